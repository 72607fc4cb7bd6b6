"""`cg history`: what is known of past days, what was known before, and what was corrected since."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from cg_pipeline.capture import sites
from cg_pipeline.cli.context import ready
from cg_pipeline.cli.output import AsJson, console, show
from cg_pipeline.history.restatements import Restatement, as_known_on, moment_of, restatements
from cg_pipeline.pipeline import Pipeline

SHOWN = 100

app = typer.Typer(help="History: days as they were known before, and what was corrected.", no_args_is_help=True)

Site = Annotated[str | None, typer.Option(help="Only this site, by name or id.")]
Post = Annotated[str | None, typer.Option(help="Only this post, by id.")]
Limit = Annotated[int | None, typer.Option(help="At most so many lines; default: 100 in a table, all in JSON.", min=1)]


@app.command()
def known(
    on: Annotated[
        str, typer.Option("--on", metavar="DATETIME", help="When it was known: a date (its end), or a date and time.")
    ],
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="Only snapshots of this day.")
    ] = None,
    site: Site = None,
    post: Post = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Show snapshots as they were known at an earlier moment, before later corrections. Name a day, a site or a post.

    A time without a zone is in the reporting zone. Only days that were over by then: an open day's earlier values are
    not kept. Columns of which nothing is known are left out of the table.
    """
    if day is None and site is None and post is None:
        message = "Name a --day, a --site or a --post."
        raise typer.BadParameter(message)
    pipeline = ready()
    zone, at_most = pipeline.settings.timezone, limit or (None if as_json else SHOWN)
    moment, found, wanted = moment_of(on, zone), _site(pipeline, site), day.date() if day else None
    with pipeline.warehouse.connect() as connection:
        rows = as_known_on(connection, moment, zone, day=wanted, post=post, site=found, limit=at_most)
    shown = rows if as_json else [{name: row[name] for name in row if _is_known(name, rows)} for row in rows]
    show(shown, as_json, empty=f"Nothing was known by {moment:%Y-%m-%d %H:%M %Z}.")
    _say_limited(rows, at_most, as_json)


@app.command("restatements")
def restatements_(
    site: Site = None,
    post: Post = None,
    from_day: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], metavar="DATE", help="First day restated.")
    ] = None,
    to_day: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], metavar="DATE", help="Last day restated.")
    ] = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """List what closed days said before they were corrected, the newest correction first.

    source: who told the correction. A row that came late is added, one that was taken back withdrawn.
    """
    pipeline = ready()
    found, at_most = _site(pipeline, site), limit or (None if as_json else SHOWN)
    first, last = (day.date() if day else None for day in (from_day, to_day))
    with pipeline.warehouse.connect() as connection:
        rows = restatements(connection, first=first, last=last, post=post, site=found, limit=at_most)
    lines = [vars(row) if as_json else _line(row) for row in rows]
    show(lines, as_json, empty="Nothing was restated.")
    _say_limited(rows, at_most, as_json)


def _site(pipeline: Pipeline, name: str | None) -> UUID | None:
    if name is None:
        return None
    with pipeline.warehouse.connect() as connection:
        return sites.find(connection, name).id


def _is_known(column: str, rows: list[dict[str, Any]]) -> bool:
    return any(row[column] is not None for row in rows)


def _line(row: Restatement) -> dict[str, Any]:
    changes = [f"{name}: {_text(before)} -> {_text(after)}" for name, (before, after) in sorted(row.changes.items())]
    shown = {name: value for name, value in vars(row).items() if name not in {"sync_log_id", "changes"}}
    return shown | {"changes": changes}


def _text(value: Any) -> str:
    return "unknown" if value is None else str(value)


def _say_limited(rows: list[Any], limit: int | None, as_json: bool) -> None:
    if len(rows) == limit and not as_json:
        console.print(f"The newest {limit} lines; more with --limit, all with --json.")
