"""Nothing that a capture leaves behind holds a token or the secret of the app, whatever goes wrong."""

import json
import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from cg_pipeline.platforms.http import Answer, Request
from cg_pipeline.platforms.threads import Threads
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline_tests.integration.studio import AVAILABLE, Studio, small_world, studio

SECRET = re.compile(r"sandbox-[a-z]+-(access|refresh)-\d+|sandbox-secret", re.IGNORECASE)
JWE = re.compile(r"[\w-]+\.[\w-]*\.[\w-]+\.[\w-]+\.[\w-]+")
ENCRYPTED = ("access_token", "refresh_token")
TABLES = """
select table_name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'
"""
KINDS: dict[str, dict[str, Any]] = {
    "throttled": {"seconds": 400}, "server_error": {}, "truncated": {}, "repeated_page": {}, "forbidden": {},
    "credits_depleted": {}, "retired_metric": {"name": "views"}, "expired_token": {}, "revoked_token": {},
}  # fmt: skip


@pytest.fixture
def house(warehouse: Warehouse, tmp_path: Path) -> Iterator[Studio]:
    with studio(small_world(accounts=1, posts=4), warehouse, tmp_path) as made:
        yield made


def left_behind(house: Studio) -> str:
    """All that stands in the tables, without the two columns that are encrypted."""
    texts = []
    statement = "select to_jsonb(t) - '{{access_token,refresh_token}}'::text[] as row from {} t"
    for row in house.rows(TABLES):
        texts += [str(each["row"]) for each in house.rows(sql.SQL(statement).format(sql.Identifier(row["table_name"])))]
    return "\n".join(texts)


def assert_clean(what: str) -> None:
    assert (found := SECRET.search(what)) is None, what[max(0, found.start() - 200) : found.end() + 20]


@pytest.mark.parametrize("platform", AVAILABLE)
def test_captures_with_faults_of_every_kind_leave_no_secret(
    house: Studio, platform: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, logger="urllib3")  # it would log addresses with their parameters
    account = house.account(platform)
    house.connect(account)
    reports: list[Any] = [house.capture(platform)]
    for fault, values in KINDS.items():
        house.sandbox.set_fault(account, fault, **values)
        house.later(hours=2)  # some tokens have expired by then
        reports.append(house.capture(platform, again=True))
        house.repair(account)
        house.rows("update sites set api_quota = null")
    reports.append(house.replay(platform, house.today - timedelta(days=1)))
    assert {site.status for report in reports for site in report.sites} >= {"completed", "failed", "partial"}
    assert house.rows("select from captured_answers")
    assert_clean(left_behind(house) + caplog.text + repr(reports) + repr(house.platforms) + repr(house.transport.asked))
    stored = house.row("select access_token, refresh_token from sites")
    assert all(stored[name] is None or JWE.fullmatch(stored[name]) for name in ENCRYPTED)


def test_tokens_that_a_platform_repeats_in_its_answers_are_taken_out(
    house: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Threads, "posts_a_page", 2)  # the address of the next page bears the token
    house.connect(house.account("threads"))
    assert house.capture("threads").sites[0].status == "completed"
    assert house.rows("select from captured_answers where body like '%%access_token=***%%'")
    assert_clean(left_behind(house))
    house.rows("delete from snapshots")
    assert house.replay("threads").sites[0].changed == 4


@pytest.mark.parametrize("subcode", [458, 463, 0])
def test_tokens_that_a_platform_repeats_in_its_errors_are_taken_out(house: Studio, subcode: int) -> None:
    house.connect(house.account("threads"))

    def instead(_: Request, token: str) -> Answer:
        error = {"message": f"Malformed access token {token}", "code": 190 if subcode else 1, "error_subcode": subcode}
        return Answer(400, {}, json.dumps({"error": error}))

    house.transport.instead = instead
    report = house.capture("threads")
    assert "Malformed access token ***" in str(report.sites[0].message)
    assert_clean(left_behind(house) + repr(report))


def test_a_secret_in_a_mistake_of_ours_is_taken_out(house: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def account(_: Threads, reading: Any) -> Any:
        token = reading.caller._tokens.current()
        raise KeyError(token)

    house.connect(house.account("threads"))
    monkeypatch.setattr(Threads, "account", account)
    report = house.capture("threads")
    assert "KeyError" in str(report.sites[0].message)
    assert_clean(left_behind(house) + repr(report))
