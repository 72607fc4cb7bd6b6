"""Of which days a platform may be captured at which moment."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cg_pipeline.capture.asof import is_open, require_as_of
from cg_pipeline.errors import NotAsOf
from cg_pipeline.platforms.contract import AsOf

GRACE = timedelta(hours=6)
ZONES = ("UTC", "America/Los_Angeles", "Asia/Tokyo", "Pacific/Apia", "Asia/Kathmandu", "Australia/Lord_Howe")


def allowed(as_of: AsOf, day: str, now: str, zone: str = "UTC", grace: timedelta = GRACE) -> bool:
    try:
        require_as_of("threads", as_of, date.fromisoformat(day), datetime.fromisoformat(now), ZoneInfo(zone), grace)
    except NotAsOf:
        return False
    return True


@pytest.mark.parametrize(
    ("day", "now", "zone", "is_allowed"),
    [
        ("2026-04-05", "2026-04-05T00:00:00+00:00", "UTC", True),
        ("2026-04-05", "2026-04-05T23:59:59+00:00", "UTC", True),
        ("2026-04-05", "2026-04-06T00:00:00+00:00", "UTC", True),
        ("2026-04-05", "2026-04-06T05:59:59+00:00", "UTC", True),
        ("2026-04-05", "2026-04-06T06:00:00+00:00", "UTC", False),
        ("2026-04-04", "2026-04-06T00:00:00+00:00", "UTC", False),
        ("2026-04-06", "2026-04-05T23:59:59+00:00", "UTC", False),
        ("2026-04-05", "2026-04-06T06:59:59+00:00", "America/Los_Angeles", True),  # 23:59 of the day
        ("2026-04-05", "2026-04-06T12:59:59+00:00", "America/Los_Angeles", True),
        ("2026-04-05", "2026-04-06T13:00:00+00:00", "America/Los_Angeles", False),
        ("2026-04-06", "2026-04-05T15:00:00+00:00", "Asia/Tokyo", True),  # midnight there
        ("2026-04-05", "2026-04-05T20:59:59+00:00", "Asia/Tokyo", True),
        ("2026-04-05", "2026-04-05T21:00:00+00:00", "Asia/Tokyo", False),
        # On the night of the change the clock shows 7 when six hours have passed, or 5.
        ("2026-03-07", "2026-03-08T06:59:59-07:00", "America/Los_Angeles", True),
        ("2026-03-07", "2026-03-08T07:00:00-07:00", "America/Los_Angeles", False),
        ("2026-10-31", "2026-11-01T04:59:59-08:00", "America/Los_Angeles", True),
        ("2026-10-31", "2026-11-01T05:00:00-08:00", "America/Los_Angeles", False),
    ],
)
def test_a_platform_that_knows_now_only_fills_the_open_day_and_for_a_while_the_day_before(
    day: str, now: str, zone: str, is_allowed: bool
) -> None:
    assert allowed(AsOf.NOW_ONLY, day, now, zone) is is_allowed
    in_zone = datetime.fromisoformat(now).astimezone(ZoneInfo(zone)).isoformat()
    assert allowed(AsOf.NOW_ONLY, day, in_zone, zone) is is_allowed


def test_the_moment_may_be_told_in_the_reporting_zone_itself() -> None:
    zone = ZoneInfo("America/Los_Angeles")
    require_as_of("x", AsOf.NOW_ONLY, date(2026, 3, 7), datetime(2026, 3, 8, 6, 59, tzinfo=zone), zone, GRACE)
    with pytest.raises(NotAsOf):
        require_as_of("x", AsOf.NOW_ONLY, date(2026, 3, 7), datetime(2026, 3, 8, 7, tzinfo=zone), zone, GRACE)


def test_a_dated_source_fills_any_day_that_has_come() -> None:
    now = "2026-04-06T12:00:00+00:00"
    assert [allowed(AsOf.DATED, day, now) for day in ("2020-01-01", "2026-04-06", "2026-04-07")] == [True, True, False]


def test_without_grace_a_closed_day_is_closed() -> None:
    midnight = "2026-04-06T00:00:00+00:00"
    assert not allowed(AsOf.NOW_ONLY, "2026-04-05", midnight, grace=timedelta(0))
    assert allowed(AsOf.NOW_ONLY, "2026-04-06", midnight, grace=timedelta(0))


def test_the_refusal_names_the_day_and_what_else_can_be_done() -> None:
    now = datetime.fromisoformat("2026-04-06T12:00:00+00:00")
    with pytest.raises(
        NotAsOf, match=r"threads only tells today's counters, so 2026-04-01 .* nothing was asked"
    ) as error:
        require_as_of("threads", AsOf.NOW_ONLY, date(2026, 4, 1), now, ZoneInfo("UTC"), GRACE)
    assert "cg csv import --as-of" in str(error.value)
    assert "cg capture replay" in str(error.value)


@given(
    minutes=st.integers(0, 2 * 365 * 24 * 60),
    zone=st.sampled_from(ZONES),
    offset=st.integers(-3, 3),
)
def test_no_moment_lets_two_closed_days_or_a_future_day_in(minutes: int, zone: str, offset: int) -> None:
    now = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    today = now.astimezone(ZoneInfo(zone)).date()
    day = today + timedelta(days=offset)
    assert is_open(day, now, ZoneInfo(zone)) is (offset == 0)
    assert allowed(AsOf.NOW_ONLY, str(day), now.isoformat(), zone) in {0: (True,), -1: (True, False)}.get(
        offset, (False,)
    )
    assert allowed(AsOf.DATED, str(day), now.isoformat(), zone) is (offset <= 0)
