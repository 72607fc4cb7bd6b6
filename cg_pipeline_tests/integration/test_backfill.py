"""Backfills without Dagster: what the ledger says of each day, how days become runs, how a closed day is restored, and
rehearsals that leave no trace."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cg_pipeline.capture import backfill
from cg_pipeline.capture.backfill import DUE, Day, Means, Plan, State, Wanted, day_of_inbox, group
from cg_pipeline.capture.inbox import Inbox, InboxFile
from cg_pipeline.capture.platform_day import PlatformReport, Scope, bring_in_line
from cg_pipeline.errors import ConfigError, NotAsOf
from cg_pipeline.platforms.connectors import connector
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline_tests.integration.studio import Studio, small_world, studio
from cg_pipeline_tests.integration.tables import row_versions, stored_tables

DAY = date(2026, 3, 1)
ALL_LOGS = "select count(*) from sync_logs"
SNAPSHOTS = "select to_jsonb(s) - '{id,sync_log_id}'::text[] as row from snapshots s order by post_id, snapshot_date"


@pytest.fixture
def house(warehouse: Warehouse, tmp_path: Path) -> Iterator[Studio]:
    with studio(small_world(), warehouse, tmp_path) as made:
        yield made


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    made = Inbox(str(tmp_path / "inbox"))
    made.create()
    return made


def bring(house: Studio, platform: str, day: date, **scope: Any) -> PlatformReport:
    return bring_in_line(house.platforms, platform, day, Scope(**scope))


def planned(house: Studio, inbox: Inbox, source: str, first: date, **more: Any) -> Plan:
    """The plan of the days from `first` to the open one."""
    return backfill.plan(house.platforms, inbox, Wanted(source, first, house.today, **more))


def states(made: Plan) -> list[tuple[str, str, str]]:
    return [(str(day.day)[5:], day.site.connected.name if day.site else "", day.state.value) for day in made.days]


# What becomes of a closed day


def test_a_closed_day_is_restored_site_by_site_from_what_was_stored_and_of_the_others_nothing_is_written(
    house: Studio,
) -> None:
    kept, late = house.account("threads"), house.account("threads", 1)
    house.connect(kept)
    house.capture("threads")
    day, captured = house.today, house.rows(SNAPSHOTS)
    house.later(days=3)
    house.connect(late)
    house.rows("delete from snapshots")
    asked, logs = len(house.transport.asked), house.row(ALL_LOGS)["count"]
    report = bring(house, "threads", day)
    assert {site.site: site.status for site in report.sites} == {kept.name: "completed", late.name: "missing"}
    assert [site.site for site in report.incomplete] == [late.name]
    assert "nothing was written" in str(house.site(report, late).message)
    assert "cg csv import" in str(house.site(report, late).message)
    assert house.rows(SNAPSHOTS) == captured, "the counters of then, not those of today"
    assert len(house.transport.asked) == asked
    assert house.row(ALL_LOGS)["count"] == logs + 1


def test_a_closed_day_of_which_nothing_is_stored_is_refused_before_any_request(house: Studio) -> None:
    house.connect_all("threads")
    house.capture("threads")
    day = house.today
    house.later(days=1)
    house.rows("delete from captured_answers")
    asked, logs, versions = len(house.transport.asked), house.row(ALL_LOGS), row_versions(house.platforms.warehouse)
    for refused in (day, day - timedelta(days=1), house.today + timedelta(days=1)):
        with pytest.raises(NotAsOf):
            bring(house, "threads", refused)
    assert (len(house.transport.asked), house.row(ALL_LOGS)) == (asked, logs)
    assert row_versions(house.platforms.warehouse) == versions


def test_single_posts_of_a_closed_day_are_not_restored(house: Studio) -> None:
    account = house.account("threads")
    house.connect(account)
    house.capture("threads")
    day, post = house.today, f"threads_{house.listed(account)[0].native_id}"
    house.later(days=1)
    with pytest.raises(NotAsOf):
        bring(house, "threads", day, posts=[post])


def test_a_past_day_of_a_dated_platform_is_asked_for(house: Studio) -> None:
    house.connect_all("youtube")
    day = house.today - timedelta(days=2)
    report = bring(house, "youtube", day)
    assert {site.status for site in report.sites} == {"completed"}
    assert {row["snapshot_date"] for row in house.rows("select distinct snapshot_date from snapshots")} == {day}
    assert house.transport.asked


# What the ledger says


def test_the_plan_of_a_platform_that_tells_only_now_says_of_each_day_what_can_be_had(
    house: Studio, inbox: Inbox
) -> None:
    first, second = sorted(account.name for account in house.sandbox.world.accounts["threads"])
    house.connect_all("threads")
    day = house.today
    house.capture("threads")
    house.later(days=1)
    house.sandbox.set_fault(house.account("threads"), "forbidden", seconds=10_000)
    failed, sound = house.account("threads").name, house.account("threads", 1).name
    house.capture("threads")
    house.later(days=1)
    made = planned(house, inbox, "threads", day - timedelta(days=1))
    found = {(day_, site): state for day_, site, state in states(made)}
    assert {found["04-04", name] for name in (first, second)} == {"impossible"}
    assert {found["04-05", name] for name in (first, second)} == {"captured"}
    assert (found["04-06", failed], found["04-06", sound]) == ("impossible", "captured")
    assert {found["04-07", name] for name in (first, second)} == {"missing"}
    (run,) = made.runs
    assert (str(run), run.means, len(run.sites)) == ("threads 2026-04-07", Means.CAPTURE, 2)
    assert run.requests == sum(connector("threads").minimum_calls(site.posts) for site in run.sites) > 0

    house.rows("delete from snapshots where snapshot_date = %(day)s", day=day)
    lost = planned(house, inbox, "threads", day, states=frozenset({State.MISSING}))
    assert [(str(run), run.means, run.requests) for run in lost.runs] == [
        ("threads 2026-04-05", Means.RESTORE, 0),
        ("threads 2026-04-07", Means.CAPTURE, run.requests),
    ]
    assert str(planned(house, inbox, "threads", day, newest_first=True).runs[0]) == "threads 2026-04-07"
    assert not planned(house, inbox, "threads", day, states=frozenset({State.FAILED})).runs
    again = planned(house, inbox, "threads", day, states=DUE | {State.CAPTURED})
    assert [(str(run)[-5:], len(run.sites)) for run in again.runs] == [("04-05", 2), ("04-06", 1), ("04-07", 2)]


def test_a_failed_day_of_a_dated_platform_can_be_planned_alone_and_a_paused_site_is_left_out(
    house: Studio, inbox: Inbox
) -> None:
    house.connect_all("youtube")
    broken, other = house.account("youtube"), house.account("youtube", 1)
    day = house.today - timedelta(days=1)
    house.sandbox.set_fault(broken, "server_error", seconds=100)
    house.capture("youtube", day)
    made = planned(house, inbox, "youtube", day - timedelta(days=1), states=frozenset({State.FAILED}))
    assert [(str(run), [site.connected.name for site in run.sites]) for run in made.runs] == [
        (f"youtube {day}", [broken.name])
    ]
    house.rows("update sites set sync_status = 'paused' where name = %(name)s", name=broken.name)
    paused = planned(house, inbox, "youtube", day - timedelta(days=1))
    assert {site.connected.name for run in paused.runs for site in run.sites} == {other.name}
    assert "cg site resume" in next(each for each in paused.days if each.state is State.IMPOSSIBLE).reason


def test_the_time_of_a_run_is_estimated_from_the_captures_of_its_sites(house: Studio, inbox: Inbox) -> None:
    house.connect_all("youtube")
    day = house.today - timedelta(days=3)
    assert planned(house, inbox, "youtube", day).runs[0].seconds(4) is None
    house.capture("youtube", day)
    house.rows("update sync_logs set completed_at = started_at + interval '30 seconds'")
    (run, *_) = planned(house, inbox, "youtube", day + timedelta(days=1)).runs
    assert (run.seconds(4), run.seconds(1)) == (30, 60)


def file(name: str, size: int = 1) -> InboxFile:
    return InboxFile(DAY, datetime(2026, 3, 2, tzinfo=UTC), name, size)


def known(name: str, status: str, size: int = 1) -> dict[str, Any]:
    at = datetime(2026, 3, 2, tzinfo=UTC)
    return {"name": name, "size_bytes": size, "modified_at": at, "status": status, "message": "It is bad."}


@pytest.mark.parametrize(
    ("lying", "register", "state", "again"),
    [
        ([], [], State.IMPOSSIBLE, False),
        ([file("a.csv")], [], State.MISSING, False),
        ([file("a.csv", 2)], [known("a.csv", "loaded")], State.MISSING, False),
        ([file("a.csv"), file("b.csv")], [known("a.csv", "refused")], State.MISSING, True),
        ([file("a.csv")], [known("a.csv", "arrived")], State.FAILED, False),
        ([file("a.csv"), file("b.csv")], [known("a.csv", "loaded"), known("b.csv", "refused")], State.FAILED, True),
        ([file("a.csv"), file("b.csv")], [known("a.csv", "loaded"), known("b.csv", "duplicate")], State.CAPTURED, True),
        ([], [known("a.csv", "loaded")], State.CAPTURED, False),
    ],
)
def test_a_day_of_the_inbox_is_what_its_files_and_the_register_say(
    lying: Sequence[InboxFile], register: Sequence[dict[str, Any]], state: State, again: bool
) -> None:
    found = day_of_inbox(DAY, lying, register)
    assert (found.state, found.again) == (state, again)
    assert bool(found.reason) is (state is not State.CAPTURED)


def test_days_of_the_inbox_that_follow_one_another_are_one_run_of_at_most_a_hundred() -> None:
    def days(first: int, last: int, *, again: bool = False) -> list[Day]:
        return [
            Day(DAY + timedelta(days=number), State.MISSING, Means.LOAD, again=again) for number in range(first, last)
        ]

    runs = group("csv", [*days(200, 202), *days(0, 140), *days(202, 203, again=True)])
    assert [(str(run), len(run.days), run.again) for run in runs] == [
        ("csv 2026-03-01 to 2026-06-08", 100, False),
        ("csv 2026-06-09 to 2026-07-18", 40, False),
        ("csv 2026-09-17 to 2026-09-18", 2, False),
        ("csv 2026-09-19", 1, True),
    ]
    assert group("csv", []) == []


def test_the_inbox_is_not_planned_by_site(house: Studio, inbox: Inbox) -> None:
    with pytest.raises(ConfigError, match="leave --site out"):
        planned(house, inbox, "csv", DAY, sites=["Harbor"])


# Rehearsals


def test_the_rehearsal_of_a_restored_day_tells_what_it_would_change_and_leaves_no_trace(
    house: Studio, inbox: Inbox
) -> None:
    house.connect_all("threads")
    house.capture("threads")
    day = house.today
    rows = house.rows("select post_id from snapshots order by post_id")
    house.later(days=2)
    house.rows("delete from snapshots where post_id = %(post)s", post=rows[0]["post_id"])
    house.rows("update snapshots set views = 0, raw_data = '{}' where post_id = %(post)s", post=rows[1]["post_id"])
    warehouse = house.platforms.warehouse
    before, versions, logs = stored_tables(warehouse), row_versions(warehouse), house.row(ALL_LOGS)
    again = planned(house, inbox, "threads", day, states=frozenset({State.CAPTURED}))
    (run,) = again.runs
    tried = list(backfill.rehearse(house.platforms, inbox, run))
    assert [each.message for each in tried] == [None, None]
    counts = [sum(getattr(each, name) for each in tried) for name in ("inserted", "changed", "unchanged", "removed")]
    assert counts == [1, 1, len(rows) - 2, 0]
    assert (stored_tables(warehouse), row_versions(warehouse), house.row(ALL_LOGS)) == (before, versions, logs)
    assert house.rows("select from stale_windows where kind <> 'daily'") == []
    assert backfill.not_rolled_back(warehouse, tried) == []

    report = bring(house, "threads", day)
    assert sum(site.changed for site in report.sites) == 2, "as it was foretold"


def test_a_transaction_that_was_committed_is_not_taken_for_one_that_was_rolled_back(house: Studio) -> None:
    (row,) = house.rows("select pg_current_xact_id()::text as id")
    tried = backfill.Rehearsed(DAY, None, row["id"], 0)
    assert backfill.not_rolled_back(house.platforms.warehouse, [tried]) == [row["id"]]


def test_a_rehearsal_says_what_the_run_would_come_upon(house: Studio, inbox: Inbox) -> None:
    house.connect_all("threads")
    house.capture("threads")
    day = house.today
    house.later(days=2)
    (run,) = planned(house, inbox, "threads", day, states=frozenset({State.CAPTURED})).runs
    house.rows("delete from captured_answers where request like '%%insights%%' and request not like '%%followers%%'")
    assert {"lack" in str(each.message) for each in backfill.rehearse(house.platforms, inbox, run)} == {True}
