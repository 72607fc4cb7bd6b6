"""What webhooks need regularly: WebSub leases renewed, last month's fingerprints forgotten, yesterday compared."""

from datetime import timedelta

import dagster as dg

from cg_pipeline import config
from cg_pipeline.defs import coverage
from cg_pipeline.defs.reporting import table
from cg_pipeline.resources import PipelineResource
from cg_pipeline.webhooks import inbox, websub


@dg.op(description="Renew the WebSub leases that end soon, subscribe channels without one, forget old fingerprints.")
def keep_webhooks_coming(context: dg.OpExecutionContext, pipeline: PipelineResource) -> None:
    """Ask the hub; one channel's failure does not stop the others."""
    opened = pipeline.open()
    now = opened.clock.now()
    leases = websub.renew_due(opened.platforms, now)
    forgotten = inbox.forget_fingerprints(opened.warehouse, now - opened.settings.fingerprints_kept)
    context.add_output_metadata({"leases": table(leases), "fingerprints_forgotten": forgotten})


@dg.job(description="What webhooks need regularly.")
def webhook_upkeep() -> None:
    """A single step."""
    keep_webhooks_coming()


@dg.schedule(
    job=webhook_upkeep,
    cron_schedule="15 */6 * * *",
    execution_timezone=config.load().timezone.key,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Four times a day: a WebSub lease lasts five days, and is renewed from its middle on.",
)
def renew_webhooks(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request the upkeep."""
    return dg.RunRequest(run_key=f"upkeep:{context.scheduled_execution_time.isoformat()}")


compare_coverage = dg.define_asset_job(
    "compare_coverage",
    selection=dg.AssetSelection.assets(coverage.KEY),
    description="Compare a day's webhooks with what polling saw.",
)


@dg.schedule(
    job=compare_coverage,
    cron_schedule="0 5 * * *",
    execution_timezone=config.load().timezone.key,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Each morning, of the day that has closed, after the nightly captures.",
)
def nightly_coverage(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request the day before the tick."""
    closed = (context.scheduled_execution_time - timedelta(days=1)).date().isoformat()
    return dg.RunRequest(run_key=f"coverage:{closed}", partition_key=closed)
