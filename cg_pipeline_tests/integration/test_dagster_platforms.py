"""The platforms' assets on a real instance: what a run with a broken site of each kind says, and what repairs it."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from psycopg import sql

from cg_pipeline.config import PLATFORMS
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.sandbox.server import Sandbox
from cg_pipeline.warehouse.database import libpq
from cg_pipeline_tests.integration.installations import Installation
from cg_pipeline_tests.integration.studio import connect
from cg_pipeline_tests.integration.tables import row_versions

SECRET = re.compile(r"sandbox-[a-z]+-(access|refresh)-\d+|sandbox-secret")
# A fault for the first account of each platform, and how its day then ends.
BROKEN = {
    "facebook": ("server_error", "partial"),
    "instagram": ("revoked_token", "failed"),
    "youtube": ("throttled", "partial"),
    "tiktok": ("truncated", "partial"),
    "twitter": ("forbidden", "failed"),
    "threads": ("expired_token", "failed"),
}


def lines(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """The table of sites that the run shows, by site."""
    (event,) = [e for e in result.get_asset_materialization_events() if e.asset_key and e.asset_key.path[1] == "posts"]
    told = event.materialization.metadata["sites"]
    assert isinstance(told, dg.TableMetadataValue)
    return {str(record.data["site"]): dict(record.data) for record in told.records}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_broken_site_is_named_the_others_land_and_repair_completes_the_day(
    installation: Installation, instance: dg.DagsterInstance, sandbox: Sandbox, platform: str
) -> None:
    fault, status = BROKEN[platform]
    broken, sound = sandbox.world.accounts[platform]
    sandbox.set_fault(broken, fault, seconds=100_000)
    if fault == "expired_token":
        sandbox.tokens.revoke(broken)
    run = {"partition_key": str(sandbox.now.date())}
    first = installation.execute(f"capture_{platform}", instance, **run)

    assert first.success
    told = lines(first)
    assert (told[broken.name]["status"], told[sound.name]["status"]) == (status, "completed"), told
    assert told[broken.name]["message"]
    assert checks(first)["incomplete_sites"] is False
    landed = {
        row["name"] for row in installation.rows("select distinct name from snapshots join sites s on s.id = site_id")
    }
    assert landed == {sound.name}

    sandbox.clear_faults(broken)
    connect(sandbox, Pipeline.open().platforms, broken)
    installation.do("update sites set api_quota = null, api_quota_reset = null")
    before, asked = row_versions(installation.pipeline.warehouse)["snapshots"], dict(sandbox.requests)
    second = installation.execute(f"capture_{platform}", instance, **run)
    assert lines(second)[broken.name]["status"] == "completed"
    assert all(checks(second).values())
    after = row_versions(installation.pipeline.warehouse)["snapshots"]
    assert before.items() < after.items(), "what had landed was not touched"
    mine = {key: count for key, count in sandbox.requests.items() if key[1] == sound.platform_id}
    assert mine == {key: count for key, count in asked.items() if key[1] == sound.platform_id}, "nor asked for again"


def test_nothing_that_a_run_leaves_in_dagsters_own_tables_is_a_secret(
    installation: Installation, instance: dg.DagsterInstance, sandbox: Sandbox, tmp_path: Path
) -> None:
    for platform, (fault, _) in (BROKEN | {"twitter": ("credits_depleted", "")}).items():
        sandbox.set_fault(sandbox.world.accounts[platform][0], fault, seconds=100_000)
    assert installation.execute("capture_all", instance, partition_key=str(sandbox.now.date())).success

    url = installation.pipeline.warehouse.url
    with psycopg.connect(libpq(url.set(database=f"{url.database}_dagster"))) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        texts = [
            str(row)
            for (table,) in tables
            for row in connection.execute(sql.SQL("select to_jsonb(t) from {} t").format(sql.Identifier(table)))
        ]
    assert len(texts) > 100
    texts += [
        path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file() and path.name != ".env"
    ]
    assert [SECRET.search(text) for text in texts if SECRET.search(text)] == []
