"""What Dagster hands to assets, checks and sensors: the opened installation. No asset logic here."""

import os

import dagster as dg
from pydantic import Field

from cg_pipeline.pipeline import Pipeline


class PipelineResource(dg.ConfigurableResource[Pipeline]):
    """Gives the installation that the environment describes, or that `overrides` do where a variable is named there."""

    overrides: dict[str, str] = Field(default_factory=dict)

    def open(self) -> Pipeline:
        """The opened installation."""
        return Pipeline.open({**os.environ, **self.overrides})
