"""What Dagster loads: everything under `defs`, the resource they share, and the policy for all of them."""

from pathlib import Path

import dagster as dg

from cg_pipeline.resources import PipelineResource


@dg.definitions
def defs() -> dg.Definitions:
    """The code location. Steps run in the process of their run: a job of short steps takes seconds, not a minute."""
    loaded = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    return dg.Definitions.merge(
        loaded,
        dg.Definitions(resources={"pipeline": PipelineResource()}, executor=dg.in_process_executor),
    )
