"""What runs because something happened: a file or an event arrived, a window became stale. The decisions are pure
functions in `capture.csv_files`, `webhooks.planning` and `history.stale`."""

import dagster as dg

from cg_pipeline import partitions
from cg_pipeline.capture import csv_files
from cg_pipeline.clock import today
from cg_pipeline.defs import jobs
from cg_pipeline.history import stale
from cg_pipeline.resources import PipelineResource
from cg_pipeline.webhooks import inbox, planning


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


@dg.sensor(
    jobs=jobs.refreshes,
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Turns stored webhook events into the fewest runs that read their posts again, under today's date.",
)
def webhook_rerun_sensor(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.SensorResult:
    """Claim a batch of events and request its runs. What a lost tick has claimed comes back by itself."""
    opened = pipeline.open()
    now = opened.clock.now()
    tick = inbox.claim(opened.warehouse, now, opened.settings.webhook_lease)
    for site in tick.paused:
        context.log.warning("%(platform)s site %(name)s is paused: its grant is gone.", site)
    return dg.SensorResult(
        [
            dg.RunRequest(
                run_key=rerun.key,
                job_name=f"refresh_{rerun.platform}",
                partition_key=today(opened.clock, opened.settings.timezone).isoformat(),
                run_config={"ops": {f"{rerun.platform}_capture": {"config": {"webhooks": rerun.key}}}},
                tags={"cg/webhook_events": str(len(rerun.events)), "cg/webhook_attempt": str(rerun.attempt)},
            )
            for rerun in tick.reruns
        ],
        skip_reason=None if tick.reruns else planning.why_idle(**tick.backlog),
    )


@dg.sensor(
    target=jobs.refreshes[0],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sets webhook events back whose run ended without a word, and failed ones whose next attempt is due.",
)
def webhook_retry_sensor(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.SkipReason:
    """Never requests a run itself: what it sets back is claimed by the other sensor."""
    opened = pipeline.open()
    now = opened.clock.now()
    returned = inbox.return_lost(opened.warehouse, now)
    context.log.info("%(expired)s leases had ended, %(died)s events died, %(due)s attempts are due", returned)
    return dg.SkipReason(
        f"{returned['expired']} leases had ended, {returned['due']} attempts are due. "
        + planning.why_idle(**inbox.backlog(opened.warehouse, now))
    )
