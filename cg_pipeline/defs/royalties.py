"""The royalty assets. The rules are in `sql/queries/royalties.sql`."""

import dagster as dg

from cg_pipeline import partitions
from cg_pipeline.defs.reporting import OWNERS, lineage, logged_progress, new_features, table, table_schema
from cg_pipeline.resources import PipelineResource
from cg_pipeline.royalties import explain
from cg_pipeline.royalties.accruals import accrue, payee_totals

WHAT = """
What each artist has earned in a month: the daily earnings deltas at the rate in force on each day, in `royalty_lines`.

Earnings count on the day on which they became known. What belongs to no artist, or to one without a rate, is in
suspense. Artists, house and suspense add up to the money of the platforms, to the last decimal.
"""

with new_features():

    @dg.asset(
        key=["royalties", "accruals"],
        deps=[["deltas", "daily"]],
        description=WHAT,
        owners=OWNERS,
        kinds={"postgres"},
        group_name="royalties",
        metadata={
            **table_schema("royalty_lines"),
            **lineage(
                ["deltas", "daily"],
                {
                    **{name: ["earnings_delta"] for name in ("earnings", "artist_share", "house_share", "suspense")},
                    **{name: [name] for name in ("post_id", "artist_id", "currency")},
                    "month": ["period_start"],
                    "rate_pct": ["to_date", "artist_id"],
                },
            ),
        },
        partitions_def=partitions.MONTHLY,
        backfill_policy=dg.BackfillPolicy.multi_run(100),
    )
    def accruals(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult[None]:
        """Bring the royalty lines of the months in line with deltas, artists and rates."""
        opened, months = pipeline.open(), partitions.days(context)
        with logged_progress(context):
            done = accrue(opened.warehouse, months, opened.settings.timezone, opened.clock)
        with opened.warehouse.connect() as connection:
            totals = [vars(total) for month in months for total in payee_totals(connection, month)]
            sample = explain.sample(connection, months[-1])
        return dg.MaterializeResult(
            metadata={
                "months": len(done.windows),
                "lines_written": done.written,
                "lines_removed": done.removed,
                "seconds": done.seconds,
                "payees": table(totals),
                "explain": sample or "none",
            }
        )
