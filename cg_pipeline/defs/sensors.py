"""What runs because something happened: a file arrived, a window became stale. The decisions are pure functions in
`capture.csv_files` and `history.stale`."""

import dagster as dg

from cg_pipeline import partitions
from cg_pipeline.capture import csv_files
from cg_pipeline.defs import jobs
from cg_pipeline.history import stale
from cg_pipeline.resources import PipelineResource


@dg.sensor(
    job=jobs.capture_csv,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests the partition of a day when a file in its folder is new, has changed, or was not loaded yet.",
)
def csv_inbox(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.SensorResult:
    """Compare the inbox with the register of files."""
    opened = pipeline.open()
    now = opened.clock.now()
    keys = set(partitions.DAILY.get_partition_keys(current_time=now))
    requests, outside = [], []
    for arrival in csv_files.arrivals(opened.warehouse, opened.inbox, now):
        day = arrival.day.isoformat()
        if day in keys:
            requests.append(dg.RunRequest(run_key=arrival.key, partition_key=day))
        else:
            outside.append(day)
    if outside:
        context.log.warning(
            "Not loaded, because they lie before the start or after today: the inbox folders %s.", ", ".join(outside)
        )
    return dg.SensorResult(
        requests[: csv_files.MOST_DAYS_A_TICK],
        skip_reason=None if requests else f"No new file in {opened.inbox.url}.",
    )


@dg.sensor(
    jobs=jobs.recompute,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Turns stale windows into the fewest runs, days before the windows above them.",
)
def stale_windows(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.SensorResult:
    """Request what is due of the windows that wait."""
    opened = pipeline.open()
    now, waiting = opened.clock.now(), stale.pending(opened.warehouse)
    runs = stale.plan_runs(waiting, now, opened.settings.settle, opened.settings.settle_limit)
    stale.note_requests(opened.warehouse, runs, now)
    context.log.info("%s windows wait, %s runs requested", len(waiting), len(runs))
    return dg.SensorResult(
        [
            dg.RunRequest(
                run_key=run.key,
                job_name=jobs.OF[run.kind],
                tags=partitions.range_tags(run.first, run.last),
            )
            for run in runs
        ],
        skip_reason=None if runs else stale.why_idle(waiting, now),
    )
