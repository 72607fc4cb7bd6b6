"""What webhooks told of a day against what polling saw of it: how far the former can be relied on."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline.warehouse.sql import query

ANNOUNCING = ("facebook", "youtube", "twitter", "threads")
"""Platforms with an event for every new post. Instagram has none, TikTok one for what the own app publishes."""


def compare(warehouse: Warehouse, day: date, zone: ZoneInfo, now: datetime) -> list[dict[str, Any]]:
    """Compare a day of every site that webhooks have told of, store it, and return a line for each."""
    start, end = (datetime.combine(each, datetime.min.time(), zone) for each in (day, day + timedelta(days=1)))
    values = {"day": day, "start": start, "end": end, "now": now, "announcing": list(ANNOUNCING)}
    with warehouse.connect() as connection:
        connection.execute(query("webhooks.put_coverage"), values)
        return connection.execute(query("webhooks.coverage"), {"day": day}).fetchall()
