"""Invariants that must hold after every run, as questions to the database. `defs` makes asset checks of them."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from cg_pipeline.history.windows import Kind, end_of
from cg_pipeline.warehouse.database import Connection
from cg_pipeline.warehouse.sql import query

_LENGTHS = {Kind.WEEKLY: "7 days", Kind.MONTHLY: "1 month", Kind.QUARTERLY: "3 months"}


@dataclass(frozen=True)
class Finding:
    """The answer to one question: rows that break the invariant; none if it holds."""

    rows: list[dict[str, Any]]

    @property
    def holds(self) -> bool:
        """Whether nothing breaks the invariant."""
        return not self.rows


@dataclass(frozen=True)
class Subject:
    """What a question is about besides windows: reporting zone, time, and the platform where it is about one."""

    timezone: ZoneInfo
    now: datetime | None = None
    platform: str | None = None


def ask(connection: Connection, name: str, kind: Kind, first: date, last: date, subject: Subject) -> Finding:
    """Ask `sql/queries/checks.sql` about the windows from `first` to `last`."""
    days = connection.execute(query("deltas.captured_days"), {"day": first}).fetchone() or {}
    values = {
        "first": first,
        "last": last,
        "end": end_of(kind, last),
        "kind": kind,
        "period": kind,
        "length": _LENGTHS.get(kind),
        "first_day": days.get("first_day"),
        "timezone": subject.timezone.key,
        "now": subject.now,
        "platform": subject.platform,
    }
    return Finding(connection.execute(query(f"checks.{name}"), values).fetchall())
