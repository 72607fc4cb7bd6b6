"""`cg artist`: who is paid, at which rate, for which posts."""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from cg_pipeline.cli.context import current_day, not_blank, ready
from cg_pipeline.cli.output import AsJson, console, show
from cg_pipeline.errors import ConfigError
from cg_pipeline.royalties import artists
from cg_pipeline.warehouse.sql import query

app = typer.Typer(help="Artists, their rates, and which posts are theirs.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name or id of the artist.")]
FromDay = Annotated[
    datetime | None,
    typer.Option("--from", formats=["%Y-%m-%d"], metavar="DATE", help="First day on which the rate is in force."),
]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name; no two artists have the same.", callback=not_blank)],
    rate: Annotated[str | None, typer.Option(help="Percent of the earnings that go to the artist, such as 70.")] = None,
    from_day: FromDay = None,
    email: Annotated[str | None, typer.Option(help="Where to reach the artist.")] = None,
) -> None:
    """Add an artist. Without --from, the rate is in force from the beginning of history."""
    if from_day and rate is None:
        message = "--from needs --rate: it is the first day of the rate."
        raise typer.BadParameter(message)
    pipeline = ready()
    with pipeline.warehouse.connect() as connection:
        artist = artists.add(connection, name, email)
        if rate is not None:
            start = from_day.date() if from_day else pipeline.settings.history_start
            artists.set_rate(connection, artist, _percent(rate), start, current_day(pipeline), pipeline.clock)
    console.print(f'Added artist "{name}" ({artist.id}).')


@app.command()
def rate(
    name: Name,
    percent: Annotated[str, typer.Argument(help="Percent of the earnings, 0 to 100, with at most 4 decimals.")],
    from_day: FromDay = None,
) -> None:
    """Let another rate be in force from a day on (default: today), until the next one.

    Months whose royalties it changes are marked to be accrued again.
    """
    pipeline = ready()
    today = current_day(pipeline)
    start = from_day.date() if from_day else today
    with pipeline.warehouse.connect() as connection:
        artist = artists.find(connection, name)
        months = artists.set_rate(connection, artist, _percent(percent), start, today, pipeline.clock)
    console.print(f'"{artist.name}" gets {percent} % from {start} on; {len(months)} months will be accrued again.')


@app.command()
def assign(
    name: Annotated[str | None, typer.Argument(help="Name or id of the artist.")] = None,
    tag: Annotated[str | None, typer.Option(help="All posts with this asset tag, also those still to come.")] = None,
    post: Annotated[str | None, typer.Option(help="One post, such as facebook_1234567890; wins over its tag.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the assignment of the tag or post back.")] = False,
) -> None:
    """Give posts to an artist, by asset tag or one by one.

    Posts with a parent (a reel of a source video) or a previous iteration (a re-upload) inherit from it.
    """
    if (tag is None) == (post is None) or (name is None) != remove:
        message = "Name an artist and either --tag or --post; or --remove and either of them."
        raise typer.BadParameter(message)
    pipeline = ready()
    with pipeline.warehouse.connect() as connection:
        artist = artists.find(connection, name) if name is not None else None
        changed = artists.assign(connection, artist, pipeline.clock, tag=tag, post_id=post)
    console.print(f"{changed} posts changed hands; their deltas will be recomputed.")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the artists with their rates, tags and number of posts."""
    with ready().warehouse.connect() as connection:
        rows = connection.execute(query("royalties.list_artists")).fetchall()
    show(rows, as_json, empty="No artist yet: cg artist add NAME --rate 70.")


def _percent(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        message = f"{text} is no rate: give a percentage such as 70 or 12.5."
        raise ConfigError(message) from error
