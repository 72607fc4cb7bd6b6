"""`cg gaps`: days that were not captured. The sentinel of `cg up` has them repaired; these commands only look."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from cg_pipeline.capture import sites
from cg_pipeline.capture.gap_repair import dated_platforms
from cg_pipeline.cli.context import current_day, ready
from cg_pipeline.cli.output import AsJson, console, show
from cg_pipeline.history import gaps
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.warehouse.models.enums import GapState, Platform

DAYS_SHOWN = timedelta(days=31)
SHOWN = 100

app = typer.Typer(help="Gaps: days of connected sites that were not captured.", no_args_is_help=True)


@app.command("list")
def list_(
    site: Annotated[str | None, typer.Option(help="Only this site, by name or id.")] = None,
    state: Annotated[GapState | None, typer.Option(help="Only gaps in this state.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the days that are or were missing, newest first, why, and what became of them."""
    pipeline, site_id = _looked(), None
    if site is not None:
        with pipeline.warehouse.connect() as connection:
            site_id = sites.find(connection, site).id
    rows = gaps.stored(pipeline.warehouse, site_id=site_id, state=state)
    show(rows if as_json else rows[:SHOWN], as_json, empty="No such day is missing.")
    if len(rows) > SHOWN and not as_json:
        console.print(f"The newest {SHOWN} of {len(rows)}; all with --json.")


@app.command()
def calendar(
    platform: Annotated[Platform | None, typer.Option(help="Only sites of this platform.")] = None,
    from_day: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], metavar="DATE", help="First day; default: 30 days before."),
    ] = None,
    to_day: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], metavar="DATE", help="Last day; default: today.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a line per connected site and a symbol per day.

    ■ captured, or told by a CSV export; ○ missing, to be repaired; ✗ lost; · not expected, or not yet.
    """
    pipeline = _looked()
    last = to_day.date() if to_day else current_day(pipeline)
    first = from_day.date() if from_day else last - DAYS_SHOWN + timedelta(days=1)
    if first > last:
        message = f"--from {first} lies after --to {last}."
        raise typer.BadParameter(message)
    rows = gaps.calendar(pipeline.warehouse, first, last, platform)
    show(rows, as_json, title=f"{first} to {last}", empty="No site is connected: cg site add PLATFORM ID.")
    if rows and not as_json:
        console.print(gaps.summary(gaps.counts(pipeline.warehouse)))


def _looked() -> Pipeline:
    """The installation, after a look at what is missing by now."""
    pipeline, now = ready(), ready().clock.now()
    gaps.look(pipeline.warehouse, gaps.Expectation.of(pipeline.settings, now, dated_platforms()), now)
    return pipeline
