"""The delta assets, one per period. The rule is in `sql/queries/deltas.sql`."""

import dagster as dg

from cg_pipeline import partitions
from cg_pipeline.config import PLATFORMS
from cg_pipeline.defs import csv, platforms
from cg_pipeline.defs.reporting import OWNERS, lineage, logged_progress, new_features, table, table_schema
from cg_pipeline.history import explain
from cg_pipeline.history.deltas import recompute, summary
from cg_pipeline.history.windows import Kind
from cg_pipeline.resources import PipelineResource

COUNTERS = {
    "earnings_delta": "lifetime_earnings",
    "opening_earnings": "lifetime_earnings",
    "currency": "currency",
    "qualified_views_delta": "lifetime_qualified_views",
    "seconds_viewed_delta": "lifetime_seconds_viewed",
    **{f"{name}_delta": name for name in ("views", "reactions", "comments", "shares", "impressions", "reach")},
    "base_views": "views",
    "from_date": "snapshot_date",
    "to_date": "snapshot_date",
}
DAYS = [*COUNTERS, "artist_id", "earnings_from_date"]

WHAT_DAILY = """
What changed since the post was seen before: per metric, the value of the day minus the last known value before it.

A gap shows as a longer span between `from_date` and `to_date`. The first value of a post that was published before its
site was first captured is an opening balance: it is in `opening_earnings`, and in no delta. Falls are negative.
"""
WHAT_SUM = """
The sum of the daily deltas of each {window}, per post. Exact, because daily deltas telescope.
"""


def delta_asset(kind: Kind, window: str) -> dg.AssetsDefinition:
    """The asset that holds the deltas of one period."""
    daily = kind is Kind.DAILY
    upstream = csv.SNAPSHOTS if daily else dg.AssetKey(["deltas", "daily"])
    upstreams = [upstream, *(platforms.keys(platform)[1] for platform in PLATFORMS)] if daily else [upstream]
    columns = {ours: [theirs] for ours, theirs in COUNTERS.items()} if daily else {name: [name] for name in DAYS}

    @dg.asset(
        key=["deltas", kind.value],
        deps=upstreams,
        description=WHAT_DAILY if daily else WHAT_SUM.format(window=window),
        owners=OWNERS,
        kinds={"postgres"},
        group_name="history",
        metadata={**table_schema("deltas"), **lineage(list(upstream.path), columns)},
        partitions_def=partitions.OF[kind],
        backfill_policy=dg.BackfillPolicy.multi_run(100),  # a run writes one event per partition
    )
    def deltas(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult[None]:
        opened, starts = pipeline.open(), partitions.days(context)
        with logged_progress(context):
            done = recompute(opened.warehouse, kind, starts, opened.settings.timezone, opened.clock)
        with opened.warehouse.connect() as connection:
            sample = explain.sample(connection, kind, starts[-1])
        return dg.MaterializeResult(
            metadata={
                "windows": len(done.windows),
                "rows_written": done.written,
                "rows_removed": done.removed,
                "seconds": done.seconds,
                "sites": table(summary(opened.warehouse, kind, starts)),
                "changed_windows": table([vars(window) for window in done.windows if window.written or window.removed]),
                "explain": sample or "none",
            }
        )

    return deltas


with new_features():
    assets = [
        delta_asset(Kind.DAILY, "day"),
        delta_asset(Kind.WEEKLY, "ISO week, Monday to Sunday"),
        delta_asset(Kind.MONTHLY, "month"),
        delta_asset(Kind.QUARTERLY, "quarter"),
    ]
