"""Stale windows: marking them, and deciding which runs make them fresh again.

Whoever changes a snapshot or a delta marks the windows that read it, in the same transaction. One mechanism for nightly
runs, reruns, backfills and late files.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from cg_pipeline.history.windows import Kind, end_of, ranges
from cg_pipeline.warehouse.database import Connection, Warehouse
from cg_pipeline.warehouse.sql import query

MOST_WINDOWS_A_RUN = 100  # a Dagster run writes one event per partition and asset
RETRY_BASE = timedelta(minutes=1)
RETRY_LIMIT = timedelta(hours=1)


@dataclass(frozen=True)
class StaleWindow:
    """A window that waits to be recomputed. `attempts` runs were requested since it was marked, the last at
    `requested_at`."""

    kind: Kind
    start: date
    first_marked_at: datetime
    marked_at: datetime
    requested_at: datetime | None = None
    attempts: int = 0


@dataclass(frozen=True)
class RangeRun:
    """One run over the windows from `first` to `last`, marked last at `marked_at`; `attempt` counts from 1."""

    kind: Kind
    first: date
    last: date
    marked_at: datetime
    attempt: int

    def __str__(self) -> str:
        return f"{self.kind} {self.first}" + ("" if self.first == self.last else f" to {self.last}")

    @property
    def key(self) -> str:
        """Names the run: the same windows with the same marks are requested once per attempt."""
        return f"{self.kind}:{self.first}:{self.last}:{self.marked_at:%Y%m%dT%H%M%S.%f}:{self.attempt}"


def mark(connection: Connection, kind: Kind, days: Iterable[date], now: datetime) -> None:
    """Note that these windows must be recomputed; takes effect with the caller's transaction."""
    if marked := list(days):
        connection.execute(query("stale.mark"), {"kind": kind, "days": marked, "now": now})


def pending(warehouse: Warehouse) -> list[StaleWindow]:
    """All windows that wait, oldest mark first."""
    with warehouse.connect() as connection:
        rows = connection.execute(query("stale.pending")).fetchall()
    return [StaleWindow(**{**row, "kind": Kind(row["kind"])}) for row in rows]


def plan_runs(
    windows: Sequence[StaleWindow], now: datetime, settle: timedelta, limit: timedelta, at_most: int = 25
) -> list[RangeRun]:
    """The fewest runs for the windows that are due, at most `at_most` of them.

    A window is due when nothing has marked it for `settle`, or when it has waited for `limit`; one that was requested
    before is due again after a growing delay. A window above days waits until none of its days is stale: recomputing
    it earlier would be work for nothing.
    """
    days = [window.start for window in windows if window.kind is Kind.DAILY]
    due = [
        window
        for window in windows
        if _is_due(window, now, settle, limit)
        and (
            window.kind is Kind.DAILY
            or not any(window.start <= day < end_of(window.kind, window.start) for day in days)
        )
    ]
    runs = []
    for kind in Kind:
        of_kind = [window for window in due if window.kind is kind]
        for first, last in ranges(kind, [window.start for window in of_kind], MOST_WINDOWS_A_RUN):
            inside = [window for window in of_kind if first <= window.start <= last]
            marked_at = max(window.marked_at for window in inside)
            runs.append(RangeRun(kind, first, last, marked_at, 1 + max(window.attempts for window in inside)))
    return runs[:at_most]


def note_requests(warehouse: Warehouse, runs: Iterable[RangeRun], now: datetime) -> None:
    """Remember that these runs were requested, so that they are not requested again at once."""
    with warehouse.connect() as connection:
        for run in runs:
            connection.execute(
                query("stale.note_request"), {"kind": run.kind, "first": run.first, "last": run.last, "now": now}
            )


def why_idle(windows: Sequence[StaleWindow], now: datetime) -> str:
    """Why no run is requested: nothing waits, or what does, with the age of the oldest."""
    if not windows:
        return "No window is stale."
    age = now - min(window.first_marked_at for window in windows)
    return (
        f"{len(windows)} windows wait to settle, for their days, or for a run that was requested; the oldest for {age}."
    )


def _is_due(window: StaleWindow, now: datetime, settle: timedelta, limit: timedelta) -> bool:
    if window.requested_at is not None:
        delay = RETRY_BASE * (1 << min(window.attempts, 6))  # six doublings reach the limit, forty overflow a timedelta
        return now >= window.requested_at + min(delay, RETRY_LIMIT)
    return now >= min(window.marked_at + settle, window.first_marked_at + limit)
