"""Webhook events on a real instance: what the sensors request and say, what a refresh leaves, what is compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from cg_pipeline.config import PLATFORMS
from cg_pipeline.defs import sensors, upkeep
from cg_pipeline.sandbox.server import Sandbox
from cg_pipeline.sandbox.world import Account
from cg_pipeline_tests.integration.events import statuses, store
from cg_pipeline_tests.integration.installations import Installation

MORNING = datetime(2026, 4, 6, 5, tzinfo=UTC)


def tick(sensor: dg.SensorDefinition, installation: Installation) -> tuple[list[dg.RunRequest], str]:
    data = sensor.evaluate_tick(installation.sensor_context())
    return list(data.run_requests or []), data.skip_message or ""


def tell(installation: Installation, account: Account, post: str | None, **more: str) -> None:
    store(installation.pipeline.warehouse, account.platform_id, post, installation.pipeline.clock.now(), **more)


def newest(sandbox: Sandbox, account: Account) -> str:
    post = sandbox.world.posts(account, sandbox.now, private=False)[0]
    return f"{account.platform}_{post.native_id}"


@contextmanager
def later(installation: Installation, what: timedelta) -> Iterator[None]:
    """As if events had been stored that much earlier."""
    installation.do(
        "update webhook_events set claimed_until = claimed_until - %s, attempt_at = attempt_at - %s", what, what
    )
    yield


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_event_becomes_a_run_that_lands_the_posts_snapshot_and_the_days_delta(
    installation: Installation, instance: dg.DagsterInstance, sandbox: Sandbox, platform: str
) -> None:
    account = sandbox.world.accounts[platform][0]
    post = newest(sandbox, account)
    tell(installation, account, post)
    (request,), _ = tick(sensors.webhook_rerun_sensor, installation)
    assert (request.job_name, request.partition_key) == (f"refresh_{platform}", str(sandbox.now.date()))
    assert statuses(installation.pipeline.warehouse) == ["claimed"]

    done = installation.execute(
        f"refresh_{platform}", instance, partition_key=request.partition_key, run_config=request.run_config
    )
    assert done.success
    assert {check.check_name for check in done.get_asset_check_evaluations()} == {"repeated_keys", "telescoping"}
    assert statuses(installation.pipeline.warehouse) == ["processed"]
    landed = {row["post_id"] for row in installation.rows("select post_id from snapshots")}
    assert landed == {post} if platform != "instagram" else post in landed  # which lists a site for an unknown picture
    days = installation.rows("select snapshot_date as day from snapshots union select period_start from deltas")
    assert days == [{"day": sandbox.now.date()}]
    deltas = installation.rows("select post_id from deltas where period = 'daily'")
    assert {row["post_id"] for row in deltas} == landed
    assert tick(sensors.webhook_rerun_sensor, installation) == ([], "No webhook event waits.")


def test_a_burst_takes_one_run_of_each_platform_with_short_tags(installation: Installation, sandbox: Sandbox) -> None:
    for accounts in sandbox.world.accounts.values():
        for account in accounts:
            for number in range(40):
                tell(installation, account, f"{account.platform}_{number}")
    requests, _ = tick(sensors.webhook_rerun_sensor, installation)
    assert sorted(str(request.job_name) for request in requests) == sorted(f"refresh_{name}" for name in PLATFORMS)
    assert len({request.run_key for request in requests}) == 6
    for request in requests:
        assert request.tags["cg/webhook_events"] == "80"
        assert max(len(value) for value in [*request.tags.values(), str(request.run_key)]) < 100


def test_a_tick_without_a_run_tells_the_backlog(installation: Installation, sandbox: Sandbox) -> None:
    account = sandbox.world.accounts["threads"][0]
    tell(installation, account, "threads_1")
    tick(sensors.webhook_rerun_sensor, installation)
    tell(installation, account, "threads_1")
    requests, reason = tick(sensors.webhook_rerun_sensor, installation)
    assert requests == []
    assert "1 webhook events wait" in reason
    assert "1 are with a run; the oldest has waited for" in reason


def test_events_of_a_run_that_never_began_are_requested_again_under_a_new_key(
    installation: Installation, sandbox: Sandbox
) -> None:
    account = sandbox.world.accounts["threads"][0]
    tell(installation, account, "threads_1")
    (first,), _ = tick(sensors.webhook_rerun_sensor, installation)
    assert "0 leases had ended" in tick(sensors.webhook_retry_sensor, installation)[1]
    with later(installation, timedelta(minutes=16)):
        assert "1 leases had ended" in tick(sensors.webhook_retry_sensor, installation)[1]
    assert tick(sensors.webhook_rerun_sensor, installation)[0] == []
    with later(installation, timedelta(minutes=2)):
        assert "1 attempts are due" in tick(sensors.webhook_retry_sensor, installation)[1]
    (second,), _ = tick(sensors.webhook_rerun_sensor, installation)
    assert str(first.run_key).removesuffix(":1") == str(second.run_key).removesuffix(":2")


def test_a_revoked_grant_pauses_the_site_without_a_run(installation: Installation, sandbox: Sandbox) -> None:
    account = sandbox.world.accounts["tiktok"][0]
    tell(installation, account, None, action="pause")
    assert tick(sensors.webhook_rerun_sensor, installation)[0] == []
    paused = installation.rows("select platform_id from sites where sync_status = 'paused'")
    assert paused == [{"platform_id": account.platform_id}]


def coverage(done: dg.ExecuteInProcessResult) -> list[dict[str, Any]]:
    (event,) = done.get_asset_materialization_events()
    told = event.materialization.metadata["sites"]
    return [dict(record.data) for record in told.records] if isinstance(told, dg.TableMetadataValue) else []


def test_posts_that_no_event_told_of_are_missed_webhooks(
    installation: Installation, instance: dg.DagsterInstance, sandbox: Sandbox
) -> None:
    told, silent = sandbox.world.accounts["threads"]
    day = str(sandbox.now.date())
    assert installation.execute("capture_threads", instance, partition_key=day).success
    installation.do("update posts set publish_time = %s", sandbox.now)
    of_told = installation.rows(
        "select post_id from posts join sites s on s.id = site_id where s.platform_id = %s order by 1", told.platform_id
    )
    tell(installation, told, of_told[0]["post_id"])

    done = installation.execute("compare_coverage", instance, partition_key=day)
    (row,) = coverage(done)
    published = len(of_told)
    assert (row["site"], row["events"]) == (told.name, 1), "no events ever came of the other: nobody subscribed it"
    assert (row["posts_published"], row["posts_announced"], row["missed"]) == (published, 1, published - 1)
    assert [check.passed for check in done.get_asset_check_evaluations()] == [False]

    for post in of_told:
        tell(installation, told, post["post_id"])
    tell(installation, silent, None)
    done = installation.execute("compare_coverage", instance, partition_key=day)
    assert {row["site"]: row["missed"] == 0 for row in coverage(done)} == {told.name: True, silent.name: False}


def test_the_upkeep_runs_without_a_public_address_and_says_what_it_did(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    assert installation.execute("webhook_upkeep", instance).success


def test_the_schedules_of_webhooks_name_the_day_that_has_closed() -> None:
    context = dg.build_schedule_context(scheduled_execution_time=MORNING)
    request = upkeep.nightly_coverage(context)
    assert isinstance(request, dg.RunRequest)
    assert (request.partition_key, request.run_key) == ("2026-04-05", "coverage:2026-04-05")
    renewal = upkeep.renew_webhooks(dg.build_schedule_context(scheduled_execution_time=MORNING))
    assert isinstance(renewal, dg.RunRequest)
    assert renewal.run_key == "upkeep:2026-04-06T05:00:00+00:00"
