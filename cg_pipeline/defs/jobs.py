"""The jobs: one per kind of partition, because a run has one partitioning."""

import dagster as dg

from cg_pipeline.defs import csv
from cg_pipeline.history.windows import Kind

capture_csv = dg.define_asset_job(
    "capture_csv",
    selection=dg.AssetSelection.assets(csv.POSTS, csv.SNAPSHOTS),
    description="Load a day's folder of the CSV inbox.",
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
