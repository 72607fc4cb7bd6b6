"""The gap sentinel: an asset that shows missing days, and a sensor that notices them and has them repaired. What is
missing, and what becomes of it, is decided in `history.gaps`."""

from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

from cg_pipeline import partitions
from cg_pipeline.capture.gap_repair import dated_platforms
from cg_pipeline.config import PLATFORMS
from cg_pipeline.defs import csv, jobs, platforms
from cg_pipeline.defs.reporting import OWNERS, lineage, new_features, table, table_schema
from cg_pipeline.history import gaps
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.resources import PipelineResource

KEY = dg.AssetKey(["history", "gaps"])
DAYS_SHOWN = timedelta(days=31)
MOST_DAYS_A_RUN = timedelta(days=100)  # a run writes one event per partition

WHAT = """
Days of connected sites that were not captured: those that are repaired, those that can be, and those that are lost.

Expected is every closed day from a site's first. YouTube is asked for it again; the other platforms only tell now, so
that only stored answers or a CSV export bring a day back. In the calendar: ■ captured or told by an export, ○ missing
and repairable, ✗ lost, · not expected, or not yet. Nothing is captured here: a sensor requests the runs.
"""


def _expectation(opened: Pipeline) -> gaps.Expectation:
    return gaps.Expectation.of(opened.settings, opened.clock.now(), dated_platforms())


def _shown(opened: Pipeline, first: date, last: date) -> dict[str, Any]:
    """The calendar of the month that ends with `last`, and the gaps of the days since `first`."""
    warehouse, counted = opened.warehouse, gaps.counts(opened.warehouse)
    return {
        "missing": gaps.summary(counted),
        "gaps": table(counted),
        "calendar": table(gaps.calendar(warehouse, last - DAYS_SHOWN + timedelta(days=1), last), most=500),
        "days": table(gaps.stored(warehouse, first=first, last=last)),
    }


with new_features():

    @dg.asset(
        key=KEY,
        deps=[csv.SNAPSHOTS, *(platforms.keys(platform)[1] for platform in PLATFORMS)],
        description=WHAT,
        owners=OWNERS,
        kinds={"postgres"},
        group_name="history",
        metadata={
            **table_schema("capture_gaps"),
            **lineage(list(csv.SNAPSHOTS.path), {"site_id": ["site_id"], "day": ["snapshot_date"]}),
        },
        partitions_def=partitions.DAILY,
        backfill_policy=dg.BackfillPolicy.multi_run(100),
    )
    def capture_gaps(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult[None]:
        """Notice what is missing now, and show the days."""
        opened, days = pipeline.open(), partitions.days(context)
        gaps.look(opened.warehouse, _expectation(opened), opened.clock.now())
        return dg.MaterializeResult(metadata=_shown(opened, min(days), max(days)))


show_gaps = dg.define_asset_job(
    "show_gaps",
    selection=dg.AssetSelection.assets(KEY),
    description="Show which days are missing, and check the days again whose gaps have changed.",
)


@dg.sensor(
    jobs=[*jobs.captures, show_gaps],
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Notices days that were not captured, requests what can be repaired, and records what is lost.",
)
def gap_sentinel(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.SensorResult:
    """Compare the calendar with what was captured. The cursor is the time of the last tick."""
    opened = pipeline.open()
    now, since = opened.clock.now(), datetime.fromisoformat(context.cursor) if context.cursor else None
    watched = gaps.watch(opened.warehouse, _expectation(opened), now, since)
    said = gaps.summary(gaps.counts(opened.warehouse))
    context.log.info("%s %s runs requested.", said, len(watched.repairs))
    requests = [_repair(repair) for repair in watched.repairs]
    if watched.changed:
        last = watched.changed[-1]
        first = max(watched.changed[0], last - MOST_DAYS_A_RUN + timedelta(days=1))
        tags = partitions.range_tags(first, last)
        requests.append(dg.RunRequest(run_key=f"gaps:{now.isoformat()}", job_name=show_gaps.name, tags=tags))
    return dg.SensorResult(requests, skip_reason=None if requests else said, cursor=now.isoformat())


def _repair(repair: gaps.Repair) -> dg.RunRequest:
    config = {"sites": [str(site) for site in repair.sites], "replay": repair.replay}
    return dg.RunRequest(
        run_key=repair.key,
        job_name=f"capture_{repair.platform}",
        partition_key=repair.day.isoformat(),
        run_config={"ops": {f"{repair.platform}_capture": {"config": config}}},
        tags={"cg/gap_attempt": str(repair.attempt)},
    )
