"""The asset that compares webhooks with polling. The comparison is in `webhooks.coverage`."""

import dagster as dg

from cg_pipeline import partitions
from cg_pipeline.config import PLATFORMS
from cg_pipeline.defs import platforms
from cg_pipeline.defs.reporting import OWNERS, new_features, table, table_schema
from cg_pipeline.resources import PipelineResource
from cg_pipeline.webhooks.coverage import compare

KEY = dg.AssetKey(["webhooks", "coverage"])

with new_features():

    @dg.asset(
        key=KEY,
        deps=[platforms.keys(platform)[0] for platform in PLATFORMS],
        description="Per site and day: how many events came, how many posts polling found, and of how many of these an "
        "event told. A site of which none told is missing webhooks: subscribe it again.",
        owners=OWNERS,
        kinds={"postgres"},
        group_name="webhooks",
        metadata=table_schema("webhook_coverage"),
        partitions_def=partitions.DAILY,
        backfill_policy=dg.BackfillPolicy.multi_run(100),
    )
    def webhook_coverage(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult[None]:
        """Compare the days, one after the other."""
        opened = pipeline.open()
        rows = [
            {"day": day, **row}
            for day in partitions.days(context)
            for row in compare(opened.warehouse, day, opened.settings.timezone, opened.clock.now())
        ]
        return dg.MaterializeResult(metadata={"sites": table(rows), "posts_missed": sum(row["missed"] for row in rows)})
