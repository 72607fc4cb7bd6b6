"""`cg capture`: the platforms, captured by hand. By itself it happens every night under `cg up`."""

from datetime import date, datetime
from typing import Annotated, Any

import typer

from cg_pipeline.cli.context import capture_platform, current_day, ready, refresh_stale
from cg_pipeline.cli.output import AsJson, errors, show, steps
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.warehouse.models.enums import Platform
from cg_pipeline.warehouse.sql import query

app = typer.Typer(help="Capture the connected sites of a platform, or read a day again.", no_args_is_help=True)

Which = Annotated[Platform, typer.Argument(help="The platform.")]
Day = Annotated[
    datetime | None, typer.Option("--day", formats=["%Y-%m-%d"], metavar="DATE", help="Which day; default: today.")
]
Sites = Annotated[list[str] | None, typer.Option("--site", help="Only this site; may be given several times.")]


@app.command()
def run(
    platform: Which,
    day: Day = None,
    site: Sites = None,
    post: Annotated[
        list[str] | None, typer.Option("--post", help="Only this post, such as youtube_aB3dE9xYz01.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Ask also the sites whose day is captured already.")] = False,
) -> None:
    """Capture a day of a platform, then recompute what that touches.

    Sites that are not complete say why; run it again when their cause is gone. Most platforms only know now: a past day
    is refused, except for YouTube.
    """
    _run(platform, day, {"sites": site or [], "posts": post or [], "again": again})


@app.command()
def replay(platform: Which, day: Day = None, site: Sites = None) -> None:
    """Read a day again from the answers that were stored, without asking anybody: after a mapping was corrected."""
    _run(platform, day, {"sites": site or [], "replay": True})


@app.command()
def status(platform: Which, day: Day = None, as_json: AsJson = False) -> None:
    """Show how the captures of a day ended, site by site."""
    pipeline = ready()
    _show(pipeline, platform, day.date() if day else current_day(pipeline), as_json=as_json)


def _run(platform: Platform, day: datetime | None, config: dict[str, object]) -> None:
    pipeline = ready()
    wanted = day.date() if day else current_day(pipeline)
    with steps(1) as begin:
        begin(f"{platform} {wanted}")
        capture_platform(platform, wanted, config)
        refresh_stale(pipeline, lambda planned: begin(str(planned)))
    rows = _show(pipeline, platform, wanted)
    if any(row["status"] not in {"completed", None} for row in rows):
        errors.print("Not every site is complete: see the messages above.")
        raise typer.Exit(1)


def _show(pipeline: Pipeline, platform: Platform, day: date, *, as_json: bool = False) -> list[dict[str, Any]]:
    """How the captures of the day ended, site by site."""
    with pipeline.warehouse.connect() as connection:
        rows = connection.execute(query("platforms.day_of_sites"), {"platform": platform, "day": day}).fetchall()
    show(rows, as_json, empty=f"No {platform} site is connected: cg site add {platform} ID.")
    return rows
