"""What runs by the clock. What runs because something happened is in `sensors`."""

from datetime import timedelta

import dagster as dg

from cg_pipeline import config
from cg_pipeline.defs.jobs import capture_csv


@dg.schedule(
    job=capture_csv,
    cron_schedule="30 0 * * *",
    execution_timezone=config.load().timezone.key,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Each night, the day that has just closed. The deltas follow through the stale windows.",
)
def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request the capture of the day before the tick."""
    closed = (context.scheduled_execution_time - timedelta(days=1)).date().isoformat()
    return dg.RunRequest(run_key=f"nightly:{closed}", partition_key=closed)
