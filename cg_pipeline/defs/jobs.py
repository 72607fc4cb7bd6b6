"""The jobs: one per kind of partition, because a run has one partitioning."""

import dagster as dg

from cg_pipeline.config import PLATFORMS
from cg_pipeline.defs import csv, platforms
from cg_pipeline.defs.checks import RULES
from cg_pipeline.history.windows import Kind

capture_csv = dg.define_asset_job(
    "capture_csv",
    selection=dg.AssetSelection.assets(csv.POSTS, csv.SNAPSHOTS),
    description="Load a day's folder of the CSV inbox.",
)

captures = [
    dg.define_asset_job(
        f"capture_{platform}",
        selection=dg.AssetSelection.assets(*platforms.keys(platform)),
        description=f"Capture the connected {platform} sites.",
    )
    for platform in PLATFORMS
]


def _refreshed(platform: str) -> dg.AssetSelection:
    """Without the checks that ask whether the day is complete: a few posts of the open day never are."""
    assets = dg.AssetSelection.assets(*platforms.keys(platform), ["deltas", "daily"])
    guards = [dg.AssetCheckKey(rule.asset, rule.question) for rule in RULES if rule.blocking]
    kept = [
        guard for guard in guards if guard.asset_key in {platforms.keys(platform)[1], dg.AssetKey(["deltas", "daily"])}
    ]
    return assets.without_checks() | dg.AssetSelection.checks(*kept)


refreshes = [
    dg.define_asset_job(
        f"refresh_{platform}",
        selection=_refreshed(platform),
        description=f"Read the {platform} posts again that webhook events are about, then the day's deltas.",
    )
    for platform in PLATFORMS
]

capture_all = dg.define_asset_job(
    "capture_all",
    selection=dg.AssetSelection.groups("csv", *PLATFORMS),
    description="Everything that is captured, or the part of it that is selected: the nightly runs.",
)

OF: dict[Kind, str] = {kind: f"deltas_{kind}" for kind in Kind if kind is not Kind.ROYALTY} | {
    Kind.ROYALTY: "royalties_accruals"
}

recompute = [
    dg.define_asset_job(
        OF[kind],
        selection=dg.AssetSelection.assets(
            ["royalties", "accruals"] if kind is Kind.ROYALTY else ["deltas", kind.value]
        ),
        description=f"Recompute {kind} windows from what lies below them.",
    )
    for kind in Kind
]
