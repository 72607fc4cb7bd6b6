"""`cg royalties`: what artists have earned."""

from datetime import datetime
from typing import Annotated

import typer

from cg_pipeline.cli.context import ready
from cg_pipeline.cli.output import AsJson, console, show
from cg_pipeline.royalties import artists
from cg_pipeline.royalties.accruals import payee_totals

app = typer.Typer(help="Royalties: what artists have earned, by month.", no_args_is_help=True)


@app.command("show")
def show_(
    month: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m"], metavar="YYYY-MM", help="Only this month.")
    ] = None,
    artist: Annotated[str | None, typer.Option(help="Only this artist, by name or id.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what each payee has accrued, rounded to what can be paid.

    The payees of a month and currency add up to the platforms' money. Suspense is what has no artist, or an artist
    without a rate on the day.
    """
    with ready().warehouse.connect() as connection:
        payee = artists.find(connection, artist).name if artist else None
        totals = payee_totals(connection, month.date() if month else None)
    rows = [vars(total) for total in totals if payee in {None, total.payee}]
    show(
        rows,
        as_json,
        empty="No royalties: money counts from a page's second export on, and for posts published since its first.",
    )
    if rows and not as_json and payee is None:
        console.print("Each month's payees add up to its platform money, per currency.")
