"""What Dagster loads: everything under `defs`, the resource they share, and the policy for all of them."""

import warnings
from pathlib import Path

import dagster as dg

from cg_pipeline.resources import PipelineResource

# Their assets have two backfill policies. They run for one day, so the smaller one, which Dagster takes, is right.
warnings.filterwarnings("ignore", message="Asset job (refresh_|capture_all)")


@dg.definitions
def defs() -> dg.Definitions:
    """The code location. Steps run in the process of their run: a job of short steps takes seconds, not a minute."""
    loaded = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    return dg.Definitions.merge(
        loaded,
        dg.Definitions(resources={"pipeline": PipelineResource()}, executor=dg.in_process_executor),
    )
