"""The calendar: every partitions definition, once. Rules about windows are in `history.windows`.

All begin on one literal day, so that weeks, months and quarters are made of whole days. `end_offset=1` adds the open
day, week, month and quarter. A partition key is the first day of its window, in the reporting zone.
"""

from datetime import date

import dagster as dg

from cg_pipeline import config
from cg_pipeline.history.windows import Kind

_SETTINGS = config.load()
_START = _SETTINGS.history_start.isoformat()
_ZONE = _SETTINGS.timezone.key

DAILY = dg.DailyPartitionsDefinition(_START, timezone=_ZONE, end_offset=1)
WEEKLY = dg.WeeklyPartitionsDefinition(_START, timezone=_ZONE, end_offset=1, day_offset=1)  # ISO weeks: Monday
MONTHLY = dg.MonthlyPartitionsDefinition(_START, timezone=_ZONE, end_offset=1)
QUARTERLY = dg.TimeWindowPartitionsDefinition(
    start=_START, fmt="%Y-%m-%d", cron_schedule="0 0 1 1,4,7,10 *", timezone=_ZONE, end_offset=1
)

OF: dict[Kind, dg.TimeWindowPartitionsDefinition] = {
    Kind.DAILY: DAILY,
    Kind.WEEKLY: WEEKLY,
    Kind.MONTHLY: MONTHLY,
    Kind.QUARTERLY: QUARTERLY,
    Kind.ROYALTY: MONTHLY,
}


def days(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[date]:
    """The first days of the windows that a run is about."""
    return [date.fromisoformat(key) for key in context.partition_keys]


def range_tags(first: date, last: date) -> dict[str, str]:
    """The tags by which Dagster knows that one run is about the windows from first to last."""
    return {
        "dagster/asset_partition_range_start": first.isoformat(),
        "dagster/asset_partition_range_end": last.isoformat(),
    }
