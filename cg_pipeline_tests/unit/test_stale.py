"""Which runs make stale windows fresh: when they are due, in which order, how few, and under which names."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cg_pipeline.history.stale import MOST_WINDOWS_A_RUN, RangeRun, StaleWindow, plan_runs, why_idle
from cg_pipeline.history.windows import Kind, end_of, start_of

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
SETTLE, LIMIT = timedelta(seconds=30), timedelta(minutes=15)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LONG_AGO = NOON - DAY
NEW_YEAR = date(2026, 1, 1)

kinds = st.sampled_from(list(Kind))
windows = st.builds(
    lambda kind, day, age, attempts: StaleWindow(
        kind,
        start_of(kind, day),
        NOON - 2 * age,
        NOON - age,
        NOON - age / 2 if attempts else None,
        attempts,
    ),
    kinds,
    st.dates(date(2025, 12, 20), date(2026, 2, 10)),
    st.timedeltas(timedelta(0), timedelta(hours=3)),
    st.integers(0, 20) | st.just(0),
)
several = st.lists(windows, max_size=30, unique_by=lambda window: (window.kind, window.start))


def waiting(kind: Kind = Kind.DAILY, start: date = NEW_YEAR, marked: datetime = LONG_AGO) -> StaleWindow:
    return StaleWindow(kind, start, marked, marked)


def plan(some: Sequence[StaleWindow], now: datetime = NOON, at_most: int = 25) -> list[RangeRun]:
    return plan_runs(some, now, SETTLE, LIMIT, at_most)


def held(run: RangeRun) -> list[tuple[Kind, date]]:
    """The windows of a run."""
    starts = [run.first]
    while starts[-1] < run.last:
        starts.append(end_of(run.kind, starts[-1]))
    return [(run.kind, start) for start in starts]


def test_nothing_stale_takes_no_run() -> None:
    assert plan([]) == []
    assert why_idle([], NOON) == "No window is stale."


def test_a_window_rests_until_nothing_has_marked_it_for_a_while() -> None:
    just_marked = waiting(marked=NOON)

    assert plan([just_marked], NOON + SETTLE - timedelta(seconds=1)) == []
    assert plan([just_marked], NOON + SETTLE) == [RangeRun(Kind.DAILY, NEW_YEAR, NEW_YEAR, NOON, 1)]


def test_a_window_that_is_marked_again_and_again_waits_no_longer_than_the_limit() -> None:
    busy = replace(waiting(marked=NOON), marked_at=NOON + LIMIT - timedelta(seconds=1))

    assert plan([busy], NOON + LIMIT - timedelta(seconds=1)) == []
    assert len(plan([busy], NOON + LIMIT)) == 1


@pytest.mark.parametrize("kind", [Kind.WEEKLY, Kind.MONTHLY, Kind.QUARTERLY, Kind.ROYALTY])
def test_a_window_waits_for_its_days(kind: Kind) -> None:
    above = waiting(kind, start_of(kind, NEW_YEAR))
    last_day = end_of(kind, above.start) - DAY

    for day in (above.start, last_day):
        runs = plan([above, waiting(start=day)])
        assert [run.kind for run in runs] == [Kind.DAILY]
    for day in (above.start - DAY, last_day + DAY):
        runs = plan([above, waiting(start=day)])
        assert [run.kind for run in runs] == [Kind.DAILY, kind]


def test_a_window_waits_for_a_day_that_is_not_due_itself() -> None:
    assert plan([waiting(Kind.MONTHLY), waiting(start=date(2026, 1, 9), marked=NOON)]) == []


def test_days_that_follow_one_another_share_a_run() -> None:
    days = [waiting(start=NEW_YEAR + number * DAY) for number in (2, 0, 1, 5)]

    assert [str(run) for run in plan(days)] == ["daily 2026-01-01 to 2026-01-03", "daily 2026-01-06"]


def test_a_run_has_at_most_a_hundred_windows() -> None:
    days = [waiting(start=NEW_YEAR + number * DAY) for number in range(250)]
    runs = plan(days)

    assert MOST_WINDOWS_A_RUN == 100
    assert [len(held(run)) for run in runs] == [100, 100, 50]


def test_no_more_runs_are_requested_at_once_than_asked_for_and_days_come_first() -> None:
    apart = [waiting(start=NEW_YEAR + 2 * number * DAY) for number in range(5)]
    years = [waiting(Kind.WEEKLY, date(2025, 1, 6) + 14 * number * DAY) for number in range(5)]

    runs = plan([*years, *apart], at_most=7)
    assert [run.kind for run in runs] == [Kind.DAILY] * 5 + [Kind.WEEKLY] * 2


def test_a_requested_window_is_due_again_after_a_growing_delay() -> None:
    delays = []
    for attempts in range(1, 10):
        requested = replace(waiting(), requested_at=NOON, attempts=attempts)
        delay = next(n * MINUTE for n in range(200) if plan([requested], NOON + n * MINUTE))
        assert plan([requested], NOON + delay)[0].attempt == attempts + 1
        delays.append(delay)

    assert delays == sorted(delays)
    assert delays[0] == 2 * MINUTE
    assert delays[-1] == HOUR


@pytest.mark.parametrize("attempts", [10, 40, 41, 1_000, 100_000])
def test_a_window_that_keeps_failing_is_tried_every_hour_however_long_it_lasts(attempts: int) -> None:
    """After 41 attempts, a day and a half, the doubled delay would no longer fit a timedelta."""
    failing = replace(waiting(), requested_at=NOON, attempts=attempts)

    assert plan([failing], NOON + HOUR - MINUTE) == []
    assert plan([failing], NOON + HOUR)[0].attempt == attempts + 1


def test_a_failing_window_does_not_hold_up_the_others() -> None:
    failing = replace(waiting(Kind.ROYALTY, date(2025, 11, 1)), requested_at=NOON, attempts=60)

    assert [run.first for run in plan([failing, waiting()])] == [NEW_YEAR]


def test_a_key_is_another_one_for_each_attempt_and_each_mark() -> None:
    window = waiting()
    states = [
        window,
        replace(window, requested_at=LONG_AGO, attempts=1),
        replace(window, requested_at=LONG_AGO, attempts=2),
        replace(window, marked_at=LONG_AGO + timedelta(microseconds=1)),
        replace(window, start=NEW_YEAR + DAY),
        replace(window, kind=Kind.MONTHLY),
        replace(window, kind=Kind.ROYALTY),
    ]
    keys = [run.key for state in states for run in plan([state])]

    assert len(set(keys)) == len(states)
    assert all(len(key) < 100 for key in keys)


def test_the_same_windows_with_the_same_marks_have_the_same_key() -> None:
    days = [waiting(start=NEW_YEAR + number * DAY) for number in range(3)]

    assert [run.key for run in plan(days)] == [run.key for run in plan(days[::-1], NOON + HOUR)]


def test_idle_windows_are_explained_with_the_age_of_the_oldest() -> None:
    some = [waiting(marked=NOON - MINUTE), waiting(Kind.MONTHLY, marked=NOON - HOUR)]

    assert why_idle(some, NOON).startswith("2 windows wait")
    assert why_idle(some, NOON).endswith("the oldest for 1:00:00.")


@given(some=several)
def test_each_due_window_is_in_one_run_and_no_other_window_is(some: list[StaleWindow]) -> None:
    runs = plan(some, at_most=1_000)
    requested = [window for run in runs for window in held(run)]
    days = [window.start for window in some if window.kind is Kind.DAILY]

    assert len(requested) == len(set(requested))
    assert set(requested) <= {(window.kind, window.start) for window in some}
    for window in some:
        blocked = window.kind is not Kind.DAILY and any(start_of(window.kind, day) == window.start for day in days)
        if window.requested_at is None:
            due = window.marked_at + SETTLE <= NOON or window.first_marked_at + LIMIT <= NOON
        else:
            due = NOON - window.requested_at >= min(HOUR, MINUTE * 2 ** min(window.attempts, 6))
        assert ((window.kind, window.start) in requested) == (due and not blocked)


@given(some=several)
def test_no_run_could_be_joined_to_another(some: list[StaleWindow]) -> None:
    runs = plan(some, at_most=1_000)
    ends = {(run.kind, end_of(run.kind, run.last)) for run in runs if len(held(run)) < MOST_WINDOWS_A_RUN}

    assert not ends & {(run.kind, run.first) for run in runs}
    assert [run.kind for run in runs] == sorted((run.kind for run in runs), key=list(Kind).index)


@given(some=several)
def test_a_run_bears_the_newest_mark_and_the_highest_attempt_of_its_windows(some: list[StaleWindow]) -> None:
    by_name = {(window.kind, window.start): window for window in some}

    for run in plan(some, at_most=1_000):
        inside = [by_name[name] for name in held(run)]
        assert run.marked_at == max(window.marked_at for window in inside)
        assert run.attempt == 1 + max(window.attempts for window in inside)
