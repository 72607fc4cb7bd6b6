"""What runs by the clock. What runs because something happened is in `sensors`."""

from datetime import timedelta

import dagster as dg

from cg_pipeline import config
from cg_pipeline.config import PLATFORMS
from cg_pipeline.defs import csv, platforms
from cg_pipeline.defs.jobs import capture_all
from cg_pipeline.platforms.connectors import connector


@dg.schedule(
    job=capture_all,
    cron_schedule="30 0 * * *",
    execution_timezone=config.load().timezone.key,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Each night, the day that has just closed, a run for each source, so that a slow one holds up nobody, "
    "and the days before it that still settle. The deltas follow through the stale windows.",
)
def nightly(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
    """Request the captures of the day before the tick, and of those before it whose counters still move."""
    closed = (context.scheduled_execution_time - timedelta(days=1)).date()
    wanted = [("csv", (csv.POSTS, csv.SNAPSHOTS), closed)]
    for platform in PLATFORMS:
        settling = range(connector(platform).settling_days + 1)
        wanted += [(platform, platforms.keys(platform), closed - timedelta(days=days)) for days in settling]
    return [
        dg.RunRequest(
            run_key=f"nightly:{closed}:{source}:{day}", partition_key=day.isoformat(), asset_selection=list(keys)
        )
        for source, keys, day in wanted
    ]
