"""Recomputes windows of deltas. The rule itself is in `sql/queries/deltas.sql`; which windows need it, in `stale`."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from cg_pipeline.clock import Clock
from cg_pipeline.history import stale
from cg_pipeline.history.windows import ABOVE_A_DAY, Kind, RangeResult, WindowResult, each_window, end_of, start_of
from cg_pipeline.warehouse.database import Connection, Warehouse
from cg_pipeline.warehouse.migrate import MANY_ROWS, ensure_partitions
from cg_pipeline.warehouse.sql import query


def recompute(
    warehouse: Warehouse, kind: Kind, starts: Sequence[date], timezone: ZoneInfo, clock: Clock
) -> RangeResult:
    """Bring the deltas of these windows in line with the snapshots (daily) or the daily deltas (longer ones).

    Each window commits by itself, together with the marks on the windows above it, so an interrupted run has done whole
    windows. `timezone` is the reporting zone, in which a post's publish day is a day.
    """
    if starts:
        ensure_partitions(warehouse, min(starts), max(starts))
    with warehouse.connect() as connection:

        def compute(start: date) -> WindowResult:
            with connection.transaction():
                return _recompute(connection, kind, start, timezone, clock)

        return each_window(starts, compute)


def summary(warehouse: Warehouse, kind: Kind, starts: Sequence[date]) -> list[dict[str, Any]]:
    """What the windows from the first to the last of these hold, a line per site and currency."""
    values = {"period": kind, "first": min(starts), "last": max(starts)}
    with warehouse.connect() as connection:
        return connection.execute(query("deltas.summary"), values).fetchall()


def _recompute(connection: Connection, kind: Kind, start: date, timezone: ZoneInfo, clock: Clock) -> WindowResult:
    now = clock.now()
    window = {"kind": kind, "start": start, "end": end_of(kind, start), "period": kind, "day": start}
    values = {**window, "now": now, "timezone": timezone.key}
    connection.execute(query("deltas.lock_window"), values)
    connection.execute(query("deltas.clear_stale"), values)
    if kind is Kind.DAILY:
        values |= connection.execute(query("deltas.captured_days"), values).fetchone() or {}
        written = connection.execute(query("deltas.merge_daily"), values).rowcount
        removed = connection.execute(query("deltas.delete_vanished_daily"), values).rowcount
    else:
        written = connection.execute(query("deltas.merge_sums"), values).rowcount
        removed = connection.execute(query("deltas.delete_vanished_sums"), values).rowcount
    if written > MANY_ROWS:
        connection.execute(query("partitions.analyze_deltas"), values)
    if kind is Kind.DAILY and written + removed:
        for above in ABOVE_A_DAY:
            stale.mark(connection, above, [start_of(above, start)], now)
    return WindowResult(start, written, removed)
