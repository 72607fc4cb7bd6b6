"""`cg deltas`: what changed between snapshots."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from cg_pipeline.cli.context import ready, refresh_stale
from cg_pipeline.cli.output import AsJson, console, show, steps
from cg_pipeline.warehouse.models.enums import DeltaPeriod
from cg_pipeline.warehouse.sql import query

SHOWN = 100

app = typer.Typer(help="Deltas: what changed between lifetime snapshots.", no_args_is_help=True)


class By(StrEnum):
    """What a line of the report stands for."""

    SITE = "site"
    ARTIST = "artist"
    POST = "post"


@app.command("show")
def show_(
    period: Annotated[DeltaPeriod, typer.Option(help="Length of the windows.")] = DeltaPeriod.DAILY,
    by: Annotated[By, typer.Option(help="One line per window and site, artist or post.")] = By.SITE,
    from_day: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], metavar="DATE", help="First window.")
    ] = None,
    to_day: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], metavar="DATE", help="Last window.")
    ] = None,
    site: Annotated[str | None, typer.Option(help="Only this site, by name.")] = None,
    artist: Annotated[str | None, typer.Option(help="Only this artist, by name.")] = None,
    post: Annotated[str | None, typer.Option(help="Only this post, by id.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="At most so many lines; default: 100 in a table, all in JSON.", min=1)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show deltas, newest windows first.

    opening earnings: money from before the post was first seen; it is in no delta and is not paid. A blank is unknown.
    """
    values = {
        "period": period,
        "first": from_day.date() if from_day else None,
        "last": to_day.date() if to_day else None,
        "site": site,
        "artist": artist,
        "post": post,
        "limit": limit or (None if as_json else SHOWN),
    }
    with ready().warehouse.connect() as connection:
        rows = connection.execute(query(f"reports.deltas_by_{by}"), values).fetchall()
    show(rows, as_json, empty="No deltas: import a file with `cg csv import`, or look for something else.")
    if len(rows) == values["limit"] and not as_json:
        console.print(f"The newest {len(rows)} lines; more with --limit, all with --json.")


@app.command()
def refresh() -> None:
    """Recompute now what waits to be recomputed, royalties included. With `cg up` running, a sensor does it."""
    pipeline = ready()
    with steps(0) as begin:
        runs = refresh_stale(pipeline, lambda planned: begin(str(planned)))
    console.print(f"{len(runs)} runs." if runs else "Nothing waits to be recomputed.")
