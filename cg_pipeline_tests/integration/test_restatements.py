"""What closed days said before they were corrected: kept by whatever corrects them, and enough to say what was known at
any moment since a day closed."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cg_pipeline import config
from cg_pipeline.capture import sites
from cg_pipeline.capture.csv_partition import load_day
from cg_pipeline.capture.inbox import Inbox
from cg_pipeline.capture.observation import METRICS, Observation
from cg_pipeline.cli import history
from cg_pipeline.errors import ConfigError
from cg_pipeline.history.restatements import Restatement, as_known_on, moment_of, restatements
from cg_pipeline.platforms.contract import Reading
from cg_pipeline.platforms.records import MetricsRecord, PostRecord
from cg_pipeline.platforms.threads import Threads
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline_tests.integration.histories import DAYS, PAGES, POSTS, observations, said
from cg_pipeline_tests.integration.installations import Installation
from cg_pipeline_tests.integration.lab import START, UTC_ZONE, Lab, examples
from cg_pipeline_tests.integration.studio import Studio, small_world, studio

DAY, FIRST, SECOND = DAYS[0], *POSTS[:2]
STATE = "select n.*, s.name as site from snapshots n join sites s on s.id = n.site_id"
COLUMNS = ("snapshot_date", "post_id", "site", *METRICS, "currency")
"""The part of the table that `as_known_on` promises to give back."""

Row = dict[str, Any]
State = dict[tuple[date, str], Row]


@pytest.fixture
def lab(lab: Lab) -> Lab:
    """On 20 April, when all days are closed."""
    lab.empty()
    return lab


def by_key(rows: Sequence[Row]) -> State:
    return {(row["snapshot_date"], row["post_id"]): {name: row[name] for name in COLUMNS} for row in rows}


def known(warehouse: Warehouse, moment: datetime, **which: Any) -> State:
    with warehouse.connect() as connection:
        return by_key(as_known_on(connection, moment, UTC_ZONE, **which))


def told(warehouse: Warehouse, **which: Any) -> list[Restatement]:
    with warehouse.connect() as connection:
        return restatements(connection, **which)


def brief(warehouse: Warehouse) -> list[tuple[str, str, str, dict[str, tuple[Any, Any]]]]:
    """Source, post, kind and changes, the oldest first."""
    return [(each.source, each.post_id, each.kind, dict(each.changes)) for each in reversed(told(warehouse))]


def views_of(warehouse: Warehouse, moment: datetime) -> list[Any]:
    return [row["views"] for _, row in sorted(known(warehouse, moment).items())]


# --- what is kept


def test_a_correction_keeps_the_former_counters_and_money_and_who_told_it(lab: Lab) -> None:
    lab.capture(DAY, [said(FIRST, views=10, lifetime_earnings=Decimal("1.10"), reactions=3)])
    lab.capture(DAY, [said(FIRST, views=12, lifetime_earnings=Decimal("2.05"), comments=1)])

    changes = {"views": (10, 12), "lifetime_earnings": (Decimal("1.10"), Decimal("2.05")), "comments": (None, 1)}
    assert brief(lab.warehouse) == [("csv", FIRST, "corrected", changes)]
    (row,) = told(lab.warehouse)
    (log,) = lab.rows("select sync_log_id from snapshots")
    assert (row.restated_at, row.day, row.sync_log_id) == (lab.clock.now(), DAY, log["sync_log_id"])
    (stored,) = lab.rows("select former_values from snapshot_restatements")
    former = {name: value for name, value in stored["former_values"].items() if name in METRICS}
    assert former == {"views": 10, "lifetime_earnings": 1.1, "comments": None}


def test_what_is_read_again_unchanged_leaves_no_trace(lab: Lab) -> None:
    row = said(FIRST, views=10, lifetime_earnings=Decimal("1.10"))
    lab.capture(DAY, [row])
    lab.capture(DAY, [row])
    lab.capture(DAY, [row], replace=True)
    merged = lab.capture(DAY, [replace(row, raw=row.raw | {"Comment": "other"})])

    assert (merged.changed, told(lab.warehouse)) == (1, [])


def test_what_changes_while_the_day_is_open_leaves_no_trace(lab: Lab) -> None:
    lab.clock.instant = datetime.combine(DAY, START.time(), UTC)
    for rows in ([said(FIRST, views=1)], [said(FIRST, views=2), said(SECOND, views=1)], [said(SECOND, views=1)]):
        lab.capture(DAY, rows, replace=True)

    assert told(lab.warehouse) == []


@pytest.mark.parametrize(("zone", "kept"), [("UTC", 1), ("America/Los_Angeles", 0)])
def test_the_day_closes_in_the_reporting_zone(lab: Lab, zone: str, kept: int) -> None:
    lab.empty(ZoneInfo(zone))
    lab.clock.instant = datetime.combine(DAY + timedelta(days=1), datetime.min.time(), UTC) + timedelta(hours=5)
    for views in (1, 2):
        lab.capture(DAY, [said(FIRST, views=views)])

    assert len(told(lab.warehouse)) == kept


def test_the_first_load_of_a_closed_day_corrects_nothing_but_a_row_that_comes_later_does(lab: Lab) -> None:
    lab.capture(DAY, [said(FIRST, views=1)])
    before = lab.clock.now()
    assert told(lab.warehouse) == []
    lab.capture(DAY, [said(SECOND, views=5)])

    assert brief(lab.warehouse) == [("csv", SECOND, "added", {"views": (None, 5)})]
    assert (views_of(lab.warehouse, before), views_of(lab.warehouse, lab.clock.now())) == ([1], [1, 5])


def test_a_withdrawn_row_is_kept_whole_and_may_come_back(lab: Lab) -> None:
    moments = []
    for rows in ([said(FIRST, views=1, reactions=7)], [], [said(FIRST, views=2)], [said(FIRST, views=3)]):
        lab.capture(DAY, rows, replace=True)
        moments.append(lab.clock.now())

    assert brief(lab.warehouse) == [
        ("csv", FIRST, "withdrawn", {"views": (1, None), "reactions": (7, None)}),
        ("csv", FIRST, "added", {"views": (None, 2)}),
        ("csv", FIRST, "corrected", {"views": (2, 3)}),
    ]
    states = [known(lab.warehouse, moment) for moment in moments]
    assert [[(row["views"], row["reactions"]) for row in state.values()] for state in states] == [
        [(1, 7)], [], [(2, None)], [(3, None)],
    ]  # fmt: skip


def test_what_a_file_fills_in_beside_a_platform_is_a_restatement_of_the_file(lab: Lab) -> None:
    lab.capture(DAY, [said(FIRST, reactions=9)], source="facebook")
    lab.capture(DAY, [said(FIRST, views=1, reactions=5)])
    lab.capture(DAY, replace=True)

    assert brief(lab.warehouse) == [
        ("csv", FIRST, "corrected", {"views": (None, 1)}),
        ("csv", FIRST, "corrected", {"views": (1, None)}),
    ]
    logs = lab.rows(
        "select sync_log_id as id, (select sync_log_id from snapshots) as platform from snapshot_restatements"
    )
    assert all(row["id"] != row["platform"] for row in logs)


def test_a_row_that_moves_to_another_page_was_known_under_the_former_one(lab: Lab) -> None:
    lab.capture(DAY, [said(FIRST, views=1)])
    before = lab.clock.now()
    lab.capture(DAY, [replace(said(FIRST, views=1), page=PAGES[1])], replace=True)

    assert brief(lab.warehouse) == [("csv", FIRST, "corrected", {"site": ("Harbor", "North")})]
    site = {row["name"]: row["id"] for row in lab.rows("select name, id from sites")}
    assert [len(known(lab.warehouse, before, site=site[name])) for name in ("Harbor", "North")] == [1, 0]
    assert [len(known(lab.warehouse, lab.clock.now(), site=site[name])) for name in ("Harbor", "North")] == [0, 1]


def test_restatements_are_only_ever_added_in_the_order_in_which_they_happened(lab: Lab) -> None:
    """Even where the clock stands still, or a capture took its time before it had to wait for another one."""
    lab.capture(DAY, [said(FIRST, views=0)])
    stored: list[Row] = []
    for views in (1, 2, 3):
        lab.clock.instant -= timedelta(seconds=2)
        lab.capture(DAY, [said(FIRST, views=views)])
        rows = lab.rows("select r.*, xmin::text from snapshot_restatements r order by restated_at")
        assert (rows[:-1], len(rows)) == (stored, views)
        stored = rows

    assert [row["former_values"]["views"] for row in stored] == [0, 1, 2]


# --- by what

MAPPING = "columns:\n  post_id: Post\n  page_id: Page\n  views: Views\n"


def test_a_corrected_file_restates_its_day(warehouse: Warehouse, lab: Lab, tmp_path: Path) -> None:
    """What `cg csv import --replace` does."""
    settings = config.load({"CG_HOME": str(tmp_path)})
    inbox, path = Inbox(settings.inbox), tmp_path / "harbor.csv"
    inbox.create()
    with warehouse.connect() as connection:
        site = sites.add(connection, "facebook", "1001", "Harbor", None)
        sites.put_setting(connection, site, "csv_mapping", MAPPING, lab.clock)
    moments = []
    for rows in ({1: 10, 2: 20}, {1: 10, 2: 20}, {1: 11, 3: 300}):
        path.write_text("Post,Page,Views\n" + "".join(f"10000{post},1001,{views}\n" for post, views in rows.items()))
        inbox.put(path, DAY, replace=True)
        assert load_day(warehouse, inbox, DAY, settings, lab.clock).refused == []
        moments.append(lab.clock.now())
        lab.clock.instant += timedelta(hours=1)

    assert sorted(brief(warehouse)) == [
        ("csv", "facebook_100001", "corrected", {"views": (10, 11)}),
        ("csv", "facebook_100002", "withdrawn", {"views": (20, None)}),
        ("csv", "facebook_100003", "added", {"views": (None, 300)}),
    ]
    assert [views_of(warehouse, moment) for moment in moments] == [[10, 20], [10, 20], [11, 300]]
    assert views_of(warehouse, moments[0] - timedelta(seconds=1)) == []


@pytest.fixture
def house(warehouse: Warehouse, tmp_path: Path) -> Iterator[Studio]:
    with studio(small_world(accounts=1), warehouse, tmp_path) as made:
        yield made


def test_each_reading_of_a_day_that_settles_restates_what_has_settled(house: Studio) -> None:
    house.connect(house.account("youtube"))
    warehouse, day, moments, states = house.platforms.warehouse, house.today, list[datetime](), list[State]()
    for _ in range(5):
        house.later(days=1)
        house.connect(house.account("youtube"))
        assert house.capture("youtube", day).sites[0].status == "completed"
        states.append(by_key(house.rows(STATE)))
        moments.append(house.sandbox.now)

    assert {(each.source, each.kind, each.day) for each in told(warehouse)} == {("youtube", "corrected", day)}
    assert len({str(state) for state in states}) > 1
    for moment, state in zip(moments, states, strict=True):
        assert known(warehouse, moment, day=day) == state
    count = len(told(warehouse))
    house.capture("youtube", day, again=True)
    assert len(told(warehouse)) == count


def test_a_replay_restates_what_a_corrected_mapping_reads_otherwise(
    house: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.connect(house.account("threads"))
    house.capture("threads")
    warehouse, day, captured = house.platforms.warehouse, house.today, by_key(house.rows(STATE))
    house.later(days=2)
    house.replay("threads", day)
    assert told(warehouse) == []
    real = Threads.metrics

    def metrics(self: Threads, reading: Reading, posts: Sequence[PostRecord]) -> Iterator[MetricsRecord]:
        for record in real(self, reading, posts):
            yield replace(record, values={**record.values, "shares": 1_000_000})

    monkeypatch.setattr(Threads, "metrics", metrics)
    before = house.sandbox.now
    house.later(hours=1)
    changed = house.replay("threads", day).sites[0].changed

    found = told(warehouse, first=day, last=day)
    assert len(found) == changed == len(captured) > 0
    assert {(each.source, each.kind, *each.changes) for each in found} == {("threads", "corrected", "shares")}
    assert known(warehouse, before, day=day) == captured
    assert {row["shares"] for row in known(warehouse, house.sandbox.now, day=day).values()} == {1_000_000}


# --- what was known


@st.composite
def loads(draw: st.DrawFn) -> tuple[int, str, bool, list[list[Observation]], int]:
    """A day, a source, whether the day is rebuilt, what is said, of some page, and how many hours pass before."""
    rows = st.lists(observations(POSTS[:3]), max_size=3, unique_by=lambda row: row.post_id)
    page = draw(st.sampled_from(PAGES[:2]))
    files = [[replace(row, page=page) for row in file] for file in draw(st.lists(rows, min_size=1, max_size=2))]
    source = draw(st.sampled_from(["csv", "csv", "facebook"]))
    return draw(st.integers(0, 2)), source, draw(st.booleans()), files, draw(st.sampled_from([0, 0, 1, 13]))


@given(script=st.lists(loads(), min_size=2, max_size=9))
@examples(40)
def test_what_was_known_at_a_moment_is_what_the_table_held_then(
    lab: Lab, script: Sequence[tuple[int, str, bool, list[list[Observation]], int]]
) -> None:
    """Captures, late rows, corrections and withdrawals of open and closed days by two sources and two pages."""
    lab.empty()
    lab.clock.instant = datetime.combine(DAYS[1], START.time(), UTC)
    copies: list[tuple[datetime, State]] = []
    for number, source, rebuilt, files, hours in script:
        lab.clock.instant += timedelta(hours=hours)
        day = min(DAYS[number], lab.clock.now().date())
        lab.capture(day, *files, replace=rebuilt, source=source)
        copies.append((lab.clock.now(), by_key(lab.rows(STATE))))

    for moment, copy in copies:
        over = {key: row for key, row in copy.items() if key[0] < moment.date()}
        assert known(lab.warehouse, moment) == over
        for day in {day for day, _ in over}:
            assert known(lab.warehouse, moment, day=day) == {key: row for key, row in over.items() if key[0] == day}


def test_of_a_day_that_was_not_over_nothing_is_told(lab: Lab) -> None:
    lab.capture(DAY, [said(FIRST, views=1)])
    with pytest.raises(ConfigError, match=r"2026-03-26 was not over at 2026-03-26 12:00.*from 2026-03-27 00:00 on"):
        known(lab.warehouse, datetime.combine(DAY, START.time(), UTC), day=DAY)

    assert known(lab.warehouse, datetime.combine(DAY, START.time(), UTC), post=FIRST) == {}


def test_rows_are_known_from_when_they_were_read_where_logs_are_pruned(lab: Lab) -> None:
    lab.capture(DAY, [said(FIRST, views=1)])
    moment = lab.clock.now()
    lab.capture(DAY, [said(FIRST, views=2)])
    with lab.warehouse.connect() as connection:
        connection.execute("delete from sync_logs")

    assert [views_of(lab.warehouse, moment + timedelta(seconds=late)) for late in (-1, 0, 1)] == [[], [1], [2]]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-04-07", "2026-04-07T23:59:59.999999-07:00"),
        ("2026-04-07T18:30", "2026-04-07T18:30:00-07:00"),
        ("2026-04-07 18:30+02:00", "2026-04-07T18:30:00+02:00"),
    ],
)
def test_a_date_means_its_end_and_times_are_in_the_reporting_zone(text: str, moment: str) -> None:
    assert moment_of(text, ZoneInfo("America/Los_Angeles")) == datetime.fromisoformat(moment)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-02-30", "9999-12-31"])
def test_what_is_no_moment_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="is no date or time: write 2026-04-07"):
        moment_of(text, UTC_ZONE)


# --- the commands


@pytest.fixture
def corrected(installation: Installation, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """An installation in which a day was corrected: by 20 April at noon, and on the day after."""
    monkeypatch.setattr(history, "ready", lambda: installation.pipeline)
    lab.capture(DAY, [said(FIRST, views=10, lifetime_earnings=Decimal("1.10")), said(SECOND, views=1)])
    lab.clock.instant += timedelta(days=1)
    lab.capture(DAY, [said(FIRST, views=1200), said(SECOND, views=1)])
    return lab


def cg_history(*arguments: str) -> str:
    done = CliRunner().invoke(history.app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.usefixtures("corrected")
def test_the_command_shows_what_was_known() -> None:
    table = cg_history("known", "--day", str(DAY), "--on", "2026-04-20")
    assert "1.10" in table
    assert not [text for text in ("1,200", "reactions") if text in table]
    rows = json.loads(cg_history("known", "--post", FIRST, "--on", "2026-04-21", "--json"))
    assert [(row["views"], row["lifetime_earnings"], row["reactions"]) for row in rows] == [(1200, "1.100000", None)]
    assert "Nothing was known by 2026-04-19 23:59 UTC." in cg_history("known", "--site", "Harbor", "--on", "2026-04-19")
    assert "The newest 1 lines" in cg_history("known", "--site", "1001", "--on", "2026-04-20", "--limit", "1")
    assert CliRunner().invoke(history.app, ["known", "--on", "2026-04-20"]).exit_code == 2


@pytest.mark.usefixtures("corrected")
def test_the_command_lists_what_was_restated() -> None:
    table = cg_history("restatements", "--site", "Harbor", "--from", str(DAY), "--to", str(DAY))
    assert [text for text in ("views: 10 -> 1200", "corrected", "csv") if text not in table] == []
    (row,) = json.loads(cg_history("restatements", "--post", FIRST, "--json"))
    assert (row["changes"], row["day"], row["source"]) == ({"views": [10, 1200]}, str(DAY), "csv")
    assert "Nothing was restated." in cg_history("restatements", "--from", str(DAYS[1]))
