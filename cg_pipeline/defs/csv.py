"""The assets that the CSV inbox fills. What a file means and how it lands is in `capture`."""

from collections.abc import Iterator

import dagster as dg

from cg_pipeline import partitions, progress
from cg_pipeline.capture.csv_partition import load_day
from cg_pipeline.defs.reporting import OWNERS, logged_progress, new_features, table, table_schema
from cg_pipeline.resources import PipelineResource

POSTS = dg.AssetKey(["csv", "posts"])
SNAPSHOTS = dg.AssetKey(["csv", "snapshots"])

WHAT_POSTS = """
Posts found in the CSV exports of a day, in the table `posts`: titles, tags, publish times, whose they are.

The partition is the day as of which the exports were taken: the folder `<inbox>/<YYYY-MM-DD>`.
"""
WHAT_SNAPSHOTS = """
Lifetime counters of posts as the CSV exports of a day give them, in the table `snapshots`.

Files are taken in order of arrival. A file that is not understood is refused whole, a row that cannot be used goes to
`quarantine`; the rest lands at once. Materializing again changes nothing that is right already.
"""


class CsvConfig(dg.Config):
    """How to load a day."""

    reload: bool = False
    """Read all files of the day again, also those that were loaded or refused: after a mapping or a setting changed."""


with new_features():

    @dg.multi_asset(
        name="csv_capture",
        specs=[
            dg.AssetSpec(
                POSTS, description=WHAT_POSTS, owners=OWNERS, kinds={"csv", "postgres"}, metadata=table_schema("posts")
            ),
            dg.AssetSpec(
                SNAPSHOTS,
                deps=[POSTS],
                description=WHAT_SNAPSHOTS,
                owners=OWNERS,
                kinds={"csv", "postgres"},
                metadata=table_schema("snapshots"),
            ),
        ],
        group_name="csv",
        partitions_def=partitions.DAILY,
        backfill_policy=dg.BackfillPolicy.multi_run(1),  # one bad day does not hold up the others
        pool="csv",
    )
    def csv_capture(
        context: dg.AssetExecutionContext, config: CsvConfig, pipeline: PipelineResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        """Load the day's folder of the inbox, and say what became of each file and site."""
        opened = pipeline.open()
        (day,) = partitions.days(context)
        with logged_progress(context):
            report = load_day(
                opened.warehouse,
                opened.inbox,
                day,
                opened.settings,
                opened.clock,
                reload=config.reload,
                progress=progress.report,
            )
        for file in report.refused:
            context.log.warning("%s was refused. %s", file.name, file.message)
        counts = {
            "files_read": len(report.files),
            "files_refused": len(report.refused),
            "files_of_day": report.files_of_day,
        }
        sites = table(report.sites)
        yield dg.MaterializeResult(
            asset_key=POSTS, metadata={**counts, "posts_changed": report.changed_posts, "sites": sites}
        )
        yield dg.MaterializeResult(
            asset_key=SNAPSHOTS,
            metadata={
                **counts,
                "dagster/partition_row_count": report.rows_of_day,
                "snapshots_changed": report.changed_snapshots,
                "seconds": report.seconds,
                "sites": sites,
                "files": table([vars(file) for file in report.files]),
                "preview": table(report.preview),
            },
        )
