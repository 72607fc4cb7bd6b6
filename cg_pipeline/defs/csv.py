"""The assets that the CSV inbox fills. What a file means and how it lands is in `capture`."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from cg_pipeline import partitions
from cg_pipeline.capture.backfill import MOST_DAYS_A_RUN, load_days
from cg_pipeline.capture.csv_partition import DayReport
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

In a run over several days each lands by itself; one that fails does not stop the others.
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
        backfill_policy=dg.BackfillPolicy.multi_run(MOST_DAYS_A_RUN),
        pool="csv",
    )
    def csv_capture(
        context: dg.AssetExecutionContext, config: CsvConfig, pipeline: PipelineResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetMaterialization]:
        """Load the folders of the days, and say what became of each file, day and site."""
        opened, days = pipeline.open(), partitions.days(context)
        with logged_progress(context):
            done = load_days(opened.warehouse, opened.inbox, days, opened.settings, opened.clock, reload=config.reload)
        for report in done.loaded:
            for file in report.refused:
                context.log.warning("%s of %s was refused. %s", file.name, report.day, file.message)
        if done.failed:
            yield from _each(done.loaded)
            done.require_all()
        for asset, told in _metadata(done.loaded).items():
            yield dg.MaterializeResult(asset_key=asset, metadata=told)


def _each(reports: Sequence[DayReport]) -> Iterator[dg.AssetMaterialization]:
    """The days that landed, so that they count as materialized although their run fails."""
    for report in reports:
        for asset, told in _metadata([report]).items():
            yield dg.AssetMaterialization(asset, partition=report.day.isoformat(), metadata=told)


def _metadata(reports: Sequence[DayReport]) -> dict[dg.AssetKey, dict[str, Any]]:
    """What the assets show, for one day with its details, for several with a line each: Dagster copies it to all."""
    counts = {
        "files_read": sum(len(report.files) for report in reports),
        "files_refused": sum(len(report.refused) for report in reports),
        "files_of_day": sum(report.files_of_day for report in reports),
        "days": table([_line(report) for report in reports]),
    }
    posts, snapshots = _details(reports[0]) if len(reports) == 1 else ({}, {})
    changed = sum(report.changed_snapshots for report in reports)
    seconds = round(sum(report.seconds for report in reports), 3)
    return {
        POSTS: {**counts, "posts_changed": sum(report.changed_posts for report in reports), **posts},
        SNAPSHOTS: {**counts, "snapshots_changed": changed, "seconds": seconds, **snapshots},
    }


def _line(report: DayReport) -> dict[str, Any]:
    status = "partial" if report.refused else "completed" if report.files_of_day else "no files"
    return {
        "day": report.day, "status": status, "files_of_day": report.files_of_day, "files_read": len(report.files),
        "files_refused": len(report.refused), "rows": report.rows_of_day, "changed": report.changed_snapshots,
        "seconds": report.seconds,
    }  # fmt: skip


def _details(report: DayReport) -> tuple[dict[str, Any], dict[str, Any]]:
    sites = table(report.sites)
    return {"sites": sites}, {
        "dagster/partition_row_count": report.rows_of_day,
        "sites": sites,
        "files": table([vars(file) for file in report.files]),
        "preview": table(report.preview),
    }
