"""What becomes of a missing day, as pure functions: from when on it is expected, whether it can be
repaired, by which runs."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from cg_pipeline.history import gaps
from cg_pipeline.history.gaps import MissingDay
from cg_pipeline.warehouse.models.enums import GapState

ONE = date(2026, 4, 5)
NOW = datetime(2026, 4, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "grace", "last"),
    [
        ("2026-04-08T05:59:59+00:00", 6, date(2026, 4, 6)),
        ("2026-04-08T06:00:00+00:00", 6, date(2026, 4, 7)),
        ("2026-04-08T01:59:59+00:00", 0, date(2026, 4, 6)),  # the night of a platform that can be asked later, too
        ("2026-04-08T02:00:00+00:00", 0, date(2026, 4, 7)),
        ("2026-04-08T23:59:59+00:00", 30, date(2026, 4, 6)),
    ],
)
def test_a_day_is_expected_once_its_night_and_its_grace_are_over(moment: str, grace: int, last: date) -> None:
    assert gaps.last_expected(datetime.fromisoformat(moment), ZoneInfo("UTC"), timedelta(hours=grace)) == last


def test_the_grace_counts_the_hours_that_pass_where_the_clock_is_put_forward() -> None:
    zone = ZoneInfo("America/Los_Angeles")
    begin = datetime(2026, 3, 8, 8, tzinfo=UTC)  # midnight; at two it is three
    grace = timedelta(hours=6)
    assert gaps.last_expected(begin + timedelta(hours=5, minutes=59), zone, grace) == date(2026, 3, 6)
    assert gaps.last_expected(begin + grace, zone, grace) == date(2026, 3, 7)


def missing(**values: Any) -> MissingDay:
    plain = MissingDay(
        uuid4(), "Harbor", "youtube", ONE, filled_by=None, last_status=None, last_message=None, is_under_way=False,
        has_answers=False, site_status="active",
    )  # fmt: skip
    return replace(plain, **values)


def test_the_runs_of_a_tick_are_bounded_newest_days_first_one_for_all_sites_of_a_platform_and_day() -> None:
    days = [ONE + timedelta(days=number) for number in range(12)]
    decided = [found for day in days for _ in range(3) if (found := gaps.decide(missing(day=day), NOW, dated=True))]
    planned = gaps.plan(decided, NOW)
    assert [run.day for run in planned] == days[:1:-1]
    assert {len(run.sites) for run in planned} == {3}
    assert len({run.key for run in planned}) == gaps.MOST_RUNS_A_TICK


@pytest.mark.parametrize(
    ("values", "dated", "state"),
    [
        ({}, True, GapState.REPAIRABLE),
        ({}, False, GapState.LOST),
        ({"has_answers": True}, False, GapState.REPAIRABLE),
        ({"filled_by": "capture", "state": "lost"}, False, GapState.REPAIRED),
        ({"attempts": 1, "requested_at": NOW - timedelta(minutes=59)}, True, GapState.REQUESTED),
        ({"attempts": 1, "requested_at": NOW - timedelta(hours=1)}, True, GapState.REPAIRABLE),
        ({"attempts": 5, "requested_at": NOW - timedelta(hours=15)}, True, GapState.REQUESTED),
        ({"attempts": 5, "requested_at": NOW - timedelta(hours=16)}, True, GapState.LOST),
        ({"site_status": "paused", "attempts": 5, "requested_at": NOW - timedelta(days=9)}, True, GapState.LOST),
    ],
)
def test_what_becomes_of_a_day_follows_from_what_is_known_of_it(
    values: dict[str, Any], dated: bool, state: GapState
) -> None:
    decision = gaps.decide(missing(**values), NOW, dated=dated)
    assert decision is not None
    assert decision.state is state
