"""The as-of contract: of which days a platform may be captured now. Pure functions."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from cg_pipeline.errors import NotAsOf
from cg_pipeline.platforms.contract import AsOf

ALTERNATIVES = (
    "Import a CSV export with that as-of date (`cg csv import --as-of`), or read the day again from what the platform "
    "answered then (`cg capture replay`)."
)


def require_as_of(platform: str, as_of: AsOf, day: date, now: datetime, zone: ZoneInfo, grace: timedelta) -> None:
    """Raises NotAsOf unless the platform's counters of this moment are those of the day.

    A platform that knows only "now" may be stored under the open day, or within `grace` after its end under the day
    that has just closed. One that knows days may be stored under any day that has come.
    """
    midnight = datetime.combine(now.astimezone(zone).date(), datetime.min.time(), zone)
    today = midnight.date()
    if day > today:
        message = f"{day} lies in the future: counters can only be known as of a day that has come."
        raise NotAsOf(message)
    # In UTC: between two times of one zone Python counts the hands of the clock, not the hours that pass.
    just_closed = day == today - timedelta(days=1) and now.astimezone(UTC) - midnight.astimezone(UTC) < grace
    if as_of is AsOf.DATED or day == today or just_closed:
        return
    message = (
        f"{platform} only tells today's counters, so {day} can no longer be captured: nothing was asked. {ALTERNATIVES}"
    )
    raise NotAsOf(message)


def is_open(day: date, now: datetime, zone: ZoneInfo) -> bool:
    """Whether the day has not ended."""
    return day == now.astimezone(zone).date()
