"""What commands share: the opened installation, options and arguments that several take, and the runs of Dagster."""

import os
from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from pathlib import Path

import typer

from cg_pipeline.capture.backfill import Run
from cg_pipeline.clock import today
from cg_pipeline.errors import ConfigError
from cg_pipeline.history.stale import RangeRun
from cg_pipeline.pipeline import Pipeline


@cache
def ready() -> Pipeline:
    """The installation, with its databases started and their schema at the newest revision, and Dagster told of it."""
    pipeline = Pipeline.open()
    pipeline.prepare()
    os.environ.update(pipeline.environment())
    return pipeline


def capture_csv(day: date, *, reload: bool = False) -> None:
    """Load a day of the inbox by Dagster's job."""
    from cg_pipeline.defs import run  # noqa: PLC0415  takes a second, and its calendar is that of `ready`

    run.capture_csv(day, reload=reload)


def capture_all(day: date) -> None:
    """Capture a day from all sources by Dagster's job."""
    from cg_pipeline.defs import run  # noqa: PLC0415  likewise

    run.capture_all(day)


def capture_platform(platform: str, day: date, config: dict[str, object]) -> None:
    """Capture a day of a platform by Dagster's job."""
    from cg_pipeline.defs import run  # noqa: PLC0415  likewise

    run.capture_platform(platform, day, config)


def backfill(planned: Run) -> None:
    """Do one run of a backfill by Dagster's job."""
    from cg_pipeline.defs import run  # noqa: PLC0415  likewise

    run.backfill(planned)


def refresh_stale(pipeline: Pipeline, before_run: Callable[[RangeRun], None]) -> list[RangeRun]:
    """Recompute what waits by Dagster's jobs, and return the runs."""
    from cg_pipeline.defs import run  # noqa: PLC0415  likewise

    return run.refresh_stale(pipeline, before_run)


def fail_abandoned() -> int:
    """Mark runs that a stopped or killed `cg up` left unfinished as failed, so that they are taken up again."""
    from cg_pipeline.defs import abandoned  # noqa: PLC0415  likewise

    return abandoned.fail_abandoned()


def current_day(pipeline: Pipeline) -> date:
    """Today in the reporting zone."""
    return today(pipeline.clock, pipeline.settings.timezone)


def day_in_history(pipeline: Pipeline, as_of: datetime) -> date:
    """The day that --as-of names. Raises ConfigError for one that has no partition."""
    day, start, end = as_of.date(), pipeline.settings.history_start, current_day(pipeline)
    if not start <= day <= end:
        message = f"--as-of {day} must lie between {start} (CG_HISTORY_START) and today, {end}."
        raise ConfigError(message)
    return day


def text_of(path: Path) -> str:
    """What a text file says. Raises ConfigError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read as UTF-8 text: {error}."
        raise ConfigError(message) from error


def not_blank(value: str) -> str:
    """For names: a blank one could never be found again."""
    if not value.strip():
        message = "It must not be blank."
        raise typer.BadParameter(message)
    return value.strip()
