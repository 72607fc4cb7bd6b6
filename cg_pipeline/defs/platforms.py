"""The assets that the platforms fill, a pair for each, from one pass. How a site is captured is in `capture`."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from cg_pipeline import partitions
from cg_pipeline.capture.access import Platforms
from cg_pipeline.capture.platform_day import PlatformReport, Scope, bring_in_line, replay_platform
from cg_pipeline.config import PLATFORMS
from cg_pipeline.defs.reporting import OWNERS, logged_progress, new_features, table, table_schema
from cg_pipeline.history import gaps
from cg_pipeline.platforms.connectors import connector
from cg_pipeline.platforms.contract import AsOf
from cg_pipeline.resources import PipelineResource
from cg_pipeline.webhooks.refresh import refresh

WHAT_POSTS = "Posts of all connected {platform} sites, in the table `posts`: captions, times, links, whose they are."
WHAT_SNAPSHOTS = """
Lifetime counters of the posts of all connected {platform} sites, in the table `snapshots`.

Sites are read side by side; each lands whole or not at all. One that fails, waits for its quota or lost its token is
partial and says why; the others land. Materializing again asks only the sites that are not complete. {as_of}
"""
DATED = "Any past day can be captured: the platform can be asked for the counters up to a day."
NOW_ONLY = (
    "Only the open day, and shortly after midnight the day before, can be captured: the platform only knows now. Any "
    "other day is restored from the answers stored then; of a site without them nothing is written: it is missing."
)
AROUND = timedelta(days=15)  # the calendar shows so many days before and after


class PlatformConfig(dg.Config):
    """Which sites and posts to capture."""

    sites: list[str] = Field(default=[], description="Names or ids of the sites; empty: all that are connected.")
    posts: list[str] = Field(default=[], description="Post ids; empty: all posts of the sites.")
    again: bool = Field(default=False, description="Ask also the sites whose day was captured already.")
    replay: bool = Field(default=False, description="Ask nobody: read the day again from the stored answers.")
    webhooks: str = Field(
        default="", description="The rerun whose webhook events are to be read again; a sensor sets it."
    )

    def run(self, platforms: Platforms, platform: str, day: date) -> PlatformReport:
        """Do what was configured."""
        if self.webhooks:
            return refresh(platforms, platform, day, self.webhooks)
        work = replay_platform if self.replay else bring_in_line
        return work(platforms, platform, day, Scope(self.sites, self.posts, self.again))


def keys(platform: str) -> tuple[dg.AssetKey, dg.AssetKey]:
    """The assets of a platform: posts and snapshots."""
    return dg.AssetKey([platform, "posts"]), dg.AssetKey([platform, "snapshots"])


def capture_assets(platform: str) -> dg.AssetsDefinition:
    """Posts and snapshots of one platform from a single pass."""
    posts, snapshots = keys(platform)
    as_of = DATED if connector(platform).as_of is AsOf.DATED else NOW_ONLY

    def spec(key: dg.AssetKey, what: str, filled: str, deps: list[dg.AssetKey]) -> dg.AssetSpec:
        return dg.AssetSpec(
            key, deps=deps, description=what.format(platform=platform, as_of=as_of), owners=OWNERS,
            kinds={"api", "postgres"}, metadata=table_schema(filled),
        )  # fmt: skip

    @dg.multi_asset(
        name=f"{platform}_capture",
        specs=[spec(posts, WHAT_POSTS, "posts", []), spec(snapshots, WHAT_SNAPSHOTS, "snapshots", [posts])],
        group_name=platform,
        partitions_def=partitions.DAILY,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        pool=platform,
    )
    def capture(
        context: dg.AssetExecutionContext, config: PlatformConfig, pipeline: PipelineResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        (day,) = partitions.days(context)
        opened = pipeline.open()
        with logged_progress(context):
            report = config.run(opened.platforms, platform, day)
        for site in report.incomplete:
            context.log.warning("%s is %s. %s", site.site, site.status, site.message)
        for metric in report.retired:
            context.log.warning("%(metric)s is no longer answered for %(media)s posts: %(message)s", metric)
        yield dg.MaterializeResult(asset_key=posts, metadata=_metadata(report))
        yield dg.MaterializeResult(
            asset_key=snapshots,
            metadata={
                **_metadata(report),
                "dagster/partition_row_count": report.rows_of_day,
                "snapshots_changed": sum(site.changed for site in report.sites),
                "calendar": table(gaps.calendar(opened.warehouse, day - AROUND, day + AROUND, platform), most=500),
                "retired_metrics": table(report.retired),
                "preview": table(report.preview),
            },
        )

    return capture


def _metadata(report: PlatformReport) -> dict[str, Any]:
    return {
        "sites_captured": len(report.sites) - len(report.incomplete),
        "sites_incomplete": len(report.incomplete),
        "requests": sum(site.requests for site in report.sites),
        "fewest_requests_possible": sum(site.minimum for site in report.sites),
        "seconds": report.seconds,
        "sites": table([vars(site) for site in report.sites]),
    }


with new_features():
    assets = [capture_assets(platform) for platform in PLATFORMS]
