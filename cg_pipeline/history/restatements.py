"""Restatements: what closed days said before they were corrected, and all of it as it was known at an earlier moment.

They are written where snapshots change, in the same transaction (`capture.staging`); here they are read. The rules are
in `sql/queries/restatements.sql`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from cg_pipeline.errors import ConfigError
from cg_pipeline.warehouse.database import Connection
from cg_pipeline.warehouse.sql import query


@dataclass(frozen=True)
class Restatement:
    """One change of a closed day's row.

    `kind`: corrected; added (the row came late); withdrawn (the row was taken back). `source` told it at `restated_at`,
    in the capture `sync_log_id`. `changes`: by column the values before and after; None is unknown.
    """

    restated_at: datetime
    day: date
    post_id: str
    site: str | None
    source: str
    sync_log_id: UUID | None
    kind: str
    changes: Mapping[str, tuple[Any, Any]]


def as_known_on(
    connection: Connection,
    moment: datetime,
    zone: ZoneInfo,
    *,
    day: date | None = None,
    post: str | None = None,
    site: UUID | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """The snapshots of a day, a post or a site, or of all, as they were known at a moment; newest days first.

    Of days that were over by then, in the reporting zone `zone`: what an open day said earlier is not kept. Raises
    ConfigError for a `day` that was not over.
    """
    then = moment.astimezone(zone)
    if day is not None and then.date() <= day:
        message = (
            f"{day} was not over at {then:%Y-%m-%d %H:%M}, and what a day says before it closes is not kept: "
            f"ask for a moment from {day + timedelta(days=1)} 00:00 on."
        )
        raise ConfigError(message)
    values = {"moment": moment, "timezone": zone.key, "day": day, "post": post, "site": site, "limit": limit}
    return connection.execute(query("restatements.as_known_on"), values).fetchall()


def restatements(
    connection: Connection,
    *,
    first: date | None = None,
    last: date | None = None,
    post: str | None = None,
    site: UUID | None = None,
    limit: int | None = None,
) -> list[Restatement]:
    """What was restated of the days from `first` to `last`, the newest restatement first."""
    values = {"first": first, "last": last, "post": post, "site": site, "limit": limit}
    rows = connection.execute(query("restatements.list"), values).fetchall()
    return [Restatement(**row | {"changes": _changes(row["changes"])}) for row in rows]


def moment_of(text: str, zone: ZoneInfo) -> datetime:
    """The moment that a person means: a date is its end; what names no zone is in the reporting zone.

    Raises ConfigError.
    """
    try:
        moment = datetime.fromisoformat(text)
        if len(text) <= len("2026-04-07"):
            moment = datetime.combine(moment.date() + timedelta(days=1), time(), zone) - timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        message = f'"{text}" is no date or time: write 2026-04-07, 2026-04-07T18:30 or 2026-04-07T18:30+02:00.'
        raise ConfigError(message) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _changes(text: str | None) -> dict[str, tuple[Any, Any]]:
    """From JSON, in which an amount is a number with all its decimals."""
    return {column: tuple(values) for column, values in json.loads(text or "{}", parse_float=Decimal).items()}
