"""Definition breaks: the table follows the program's list, and what a change of it touches becomes stale.

What a break does to a delta is in `sql/queries/deltas.sql`; which breaks are known, in `platforms.definitions`.
"""

from collections.abc import Iterable
from datetime import date, datetime

from cg_pipeline.history import stale
from cg_pipeline.history.windows import Kind
from cg_pipeline.warehouse.database import Connection
from cg_pipeline.warehouse.sql import query

Break = tuple[str, str, date, str]
"""Platform, column of snapshots, first day with the new definition, reason."""

BREAKABLE = frozenset(
    {
        "lifetime_qualified_views",
        "lifetime_seconds_viewed",
        "views",
        "reactions",
        "comments",
        "shares",
        "impressions",
        "reach",
    }
)
"""The counters of which deltas are made. Money is none: an amount that was earned stays one."""


def sync(connection: Connection, breaks: Iterable[Break], now: datetime) -> list[date]:
    """Make the stored breaks these, and mark the days on which a post is compared otherwise by that; return them.

    One cheap query where nothing changed. Raises ValueError for a break of a column that has none.
    """
    wanted = _checked(breaks)
    if _stored(connection) == wanted:
        return []
    connection.execute(query("deltas.lock_definition_breaks"))
    stored = _stored(connection)
    moved = sorted({each[:3] for each in stored} ^ {each[:3] for each in wanted})
    _write(connection, stored, wanted)
    days = {row["day"] for each in moved for row in connection.execute(query("stale.days_at_break"), _values(*each))}
    stale.mark(connection, Kind.DAILY, sorted(days), now)
    return sorted(days)


def _checked(breaks: Iterable[Break]) -> set[Break]:
    wanted = set(breaks)
    for platform, metric, first_day, _ in wanted:
        if metric not in BREAKABLE:
            message = (
                f"{platform}'s {metric} cannot have a definition break on {first_day}: only {sorted(BREAKABLE)} can, "
                "money never does. Take it out of cg_pipeline/platforms/definitions.py."
            )
            raise ValueError(message)
    return wanted


def _stored(connection: Connection) -> set[Break]:
    rows = connection.execute(query("deltas.definition_breaks")).fetchall()
    return {(row["platform"], row["metric"], row["first_day"], row["reason"]) for row in rows}


def _write(connection: Connection, stored: set[Break], wanted: set[Break]) -> None:
    for gone in sorted({each[:3] for each in stored} - {each[:3] for each in wanted}):
        connection.execute(query("deltas.delete_definition_break"), _values(*gone))
    for platform, metric, first_day, reason in sorted(wanted - stored):
        connection.execute(
            query("deltas.put_definition_break"), {**_values(platform, metric, first_day), "reason": reason}
        )


def _values(platform: str, metric: str, first_day: date) -> dict[str, object]:
    return {"platform": platform, "metric": metric, "first_day": first_day}
