"""The calendar of windows: where each begins and ends, and how many runs a set of them takes."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cg_pipeline.history.windows import (
    ABOVE_A_DAY,
    Kind,
    RangeResult,
    WindowResult,
    each_window,
    end_of,
    ranges,
    start_of,
)

DAY = timedelta(days=1)
kinds = st.sampled_from(list(Kind))
days = st.dates(date(1999, 1, 1), date(2101, 1, 1))


@given(kind=kinds, day=days)
def test_a_day_lies_in_the_window_that_it_names(kind: Kind, day: date) -> None:
    start = start_of(kind, day)

    assert start <= day < end_of(kind, start)
    assert start_of(kind, start) == start


@given(kind=kinds, day=days)
def test_windows_follow_one_another_without_a_gap(kind: Kind, day: date) -> None:
    start = start_of(kind, day)

    assert start_of(kind, end_of(kind, start)) == end_of(kind, start)
    assert start_of(kind, end_of(kind, start) - DAY) == start
    assert start_of(kind, start - DAY) < start


@given(day=days)
def test_weeks_begin_on_monday_and_months_and_quarters_on_the_first(day: date) -> None:
    assert start_of(Kind.WEEKLY, day).isoweekday() == 1
    assert start_of(Kind.WEEKLY, day).isocalendar()[:2] == day.isocalendar()[:2]
    assert start_of(Kind.MONTHLY, day) == start_of(Kind.ROYALTY, day) == day.replace(day=1)
    assert start_of(Kind.QUARTERLY, day).month in {1, 4, 7, 10}
    assert start_of(Kind.QUARTERLY, day).day == 1
    assert start_of(Kind.QUARTERLY, day) <= start_of(Kind.MONTHLY, day)


@pytest.mark.parametrize(
    ("kind", "day", "start", "end"),
    [
        (Kind.DAILY, "2024-02-29", "2024-02-29", "2024-03-01"),
        (Kind.WEEKLY, "2026-01-01", "2025-12-29", "2026-01-05"),
        (Kind.WEEKLY, "2027-01-03", "2026-12-28", "2027-01-04"),
        (Kind.MONTHLY, "2026-12-31", "2026-12-01", "2027-01-01"),
        (Kind.MONTHLY, "2024-02-29", "2024-02-01", "2024-03-01"),
        (Kind.QUARTERLY, "2026-12-31", "2026-10-01", "2027-01-01"),
        (Kind.QUARTERLY, "2026-03-31", "2026-01-01", "2026-04-01"),
        (Kind.ROYALTY, "2026-12-01", "2026-12-01", "2027-01-01"),
    ],
)
def test_windows_at_the_ends_of_years(kind: Kind, day: str, start: str, end: str) -> None:
    assert start_of(kind, date.fromisoformat(day)) == date.fromisoformat(start)
    assert end_of(kind, date.fromisoformat(start)) == date.fromisoformat(end)


def test_above_a_day_lies_one_window_of_every_other_kind() -> None:
    assert {Kind.DAILY, *ABOVE_A_DAY} == set(Kind)


@given(kind=kinds, some=st.lists(st.dates(date(2025, 12, 1), date(2026, 3, 1)), max_size=40), at_most=st.integers(1, 9))
def test_ranges_hold_each_window_once_and_no_other(kind: Kind, some: list[date], at_most: int) -> None:
    starts = [start_of(kind, day) for day in some]
    held = [_windows(kind, first, last) for first, last in ranges(kind, starts, at_most)]

    assert sorted(start for run in held for start in run) == sorted(set(starts))
    assert all(len(run) <= at_most for run in held)


@given(kind=kinds, some=st.lists(st.dates(date(2025, 12, 1), date(2026, 3, 1)), max_size=40), at_most=st.integers(1, 9))
def test_no_fewer_ranges_would_do(kind: Kind, some: list[date], at_most: int) -> None:
    starts = sorted({start_of(kind, day) for day in some})
    lengths: list[int] = []
    for number, start in enumerate(starts):
        if number and end_of(kind, starts[number - 1]) == start:
            lengths[-1] += 1
        else:
            lengths.append(1)

    assert len(ranges(kind, starts, at_most)) == sum(-(-length // at_most) for length in lengths)


def test_windows_are_computed_in_order_and_their_rows_added_up() -> None:
    starts = [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)]
    asked = []

    def compute(start: date) -> WindowResult:
        asked.append(start)
        return WindowResult(start, start.day, 10 * start.day)

    done = each_window(starts, compute)

    assert asked == starts
    assert [window.start for window in done.windows] == starts
    assert (done.written, done.removed) == (6, 60)
    assert done.seconds >= 0


def test_nothing_to_compute_writes_nothing() -> None:
    assert (RangeResult([], 0).written, RangeResult([], 0).removed) == (0, 0)


def _windows(kind: Kind, first: date, last: date) -> list[date]:
    starts = [first]
    while starts[-1] < last:
        starts.append(end_of(kind, starts[-1]))
    assert starts[-1] == last
    return starts
