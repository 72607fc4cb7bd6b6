"""What commands share: the opened installation, the options that name days, and the making ready of Dagster."""

import os
from datetime import date, datetime
from functools import cache
from typing import Annotated

import typer

from cg_pipeline.clock import today
from cg_pipeline.pipeline import Pipeline

Day = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], metavar="DATE")]


@cache
def ready() -> Pipeline:
    """The installation, with its databases started and their schema at the newest revision, and Dagster told of it."""
    pipeline = Pipeline.open()
    pipeline.prepare()
    os.environ.update(pipeline.environment())
    return pipeline


def current_day(pipeline: Pipeline) -> date:
    """Today in the reporting zone."""
    return today(pipeline.clock, pipeline.settings.timezone)
