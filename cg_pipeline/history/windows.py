"""The calendar of windows, as pure functions: which window a day lies in, and where it ends.

A window is named by its first day. Weeks are ISO weeks (Monday to Sunday); a royalty window is a month.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from time import perf_counter

from cg_pipeline import progress


class Kind(StrEnum):
    """The kinds of windows that can be stale: the four periods of deltas, and the month of royalties."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    ROYALTY = "royalty"


ABOVE_A_DAY = (Kind.WEEKLY, Kind.MONTHLY, Kind.QUARTERLY, Kind.ROYALTY)

_DAYS = {Kind.DAILY: 1, Kind.WEEKLY: 7}
_MONTHS = {Kind.MONTHLY: 1, Kind.QUARTERLY: 3, Kind.ROYALTY: 1}


@dataclass(frozen=True)
class WindowResult:
    """One recomputed window: how many rows were written and how many removed. Unchanged rows are not written."""

    start: date
    written: int
    removed: int


@dataclass(frozen=True)
class RangeResult:
    """The windows that one call recomputed, and how long that took."""

    windows: list[WindowResult]
    seconds: float

    @property
    def written(self) -> int:
        """Rows inserted or updated."""
        return sum(window.written for window in self.windows)

    @property
    def removed(self) -> int:
        """Rows deleted."""
        return sum(window.removed for window in self.windows)


def each_window(starts: Iterable[date], compute: Callable[[date], WindowResult]) -> RangeResult:
    """Compute window after window, reporting progress."""
    began, done = perf_counter(), []
    for start in starts:
        done.append(compute(start))
        progress.report(f"window {start}", len(done))
    return RangeResult(done, round(perf_counter() - began, 3))


def start_of(kind: Kind, day: date) -> date:
    """The first day of the window in which a day lies."""
    match kind:
        case Kind.DAILY:
            return day
        case Kind.WEEKLY:
            return day - timedelta(days=day.weekday())
        case Kind.MONTHLY | Kind.ROYALTY:
            return day.replace(day=1)
        case Kind.QUARTERLY:
            return day.replace(day=1, month=day.month - (day.month - 1) % 3)


def end_of(kind: Kind, start: date) -> date:
    """The day after the last day of the window that starts here."""
    if kind in _DAYS:
        return start + timedelta(days=_DAYS[kind])
    months = start.month - 1 + _MONTHS[kind]
    return date(start.year + months // 12, months % 12 + 1, 1)


def ranges(kind: Kind, starts: Iterable[date], at_most: int) -> list[tuple[date, date]]:
    """The fewest runs of windows that follow one another, as (first start, last start), none longer than `at_most`."""
    runs: list[list[date]] = []
    for start in sorted(set(starts)):
        if runs and end_of(kind, runs[-1][-1]) == start and len(runs[-1]) < at_most:
            runs[-1].append(start)
        else:
            runs.append([start])
    return [(run[0], run[-1]) for run in runs]
