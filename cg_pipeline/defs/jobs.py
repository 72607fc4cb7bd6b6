"""The jobs: one per kind of partition, because a run has one partitioning."""

import dagster as dg

from cg_pipeline.config import PLATFORMS
from cg_pipeline.defs import csv, platforms
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
