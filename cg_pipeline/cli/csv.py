"""`cg csv`: exports from the platforms, looked at and imported."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer
import yaml

from cg_pipeline.capture import csv_files, sites
from cg_pipeline.capture.inspection import inspect
from cg_pipeline.cli.context import current_day, ready
from cg_pipeline.cli.output import AsJson, console, errors, print_json, show, steps
from cg_pipeline.defs import run
from cg_pipeline.errors import ConfigError
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.warehouse.sql import query

app = typer.Typer(help="CSV exports: look at one, import it, load a day again, take one out.", no_args_is_help=True)

Files = Annotated[list[Path], typer.Argument(help="One or more CSV files.", exists=True, dir_okay=False)]
AsOf = Annotated[
    datetime,
    typer.Option(
        "--as-of",
        formats=["%Y-%m-%d"],
        metavar="DATE",
        help="The day on which the export was taken: its counters are those of this day. No export says it itself.",
    ),
]
CaptureOnly = Annotated[
    bool, typer.Option("--capture-only", help="Leave deltas and royalties to the sensor that `cg up` runs.")
]


@app.command("inspect")
def inspect_(
    file: Annotated[Path, typer.Argument(help="A CSV file.", exists=True, dir_okay=False)], as_json: AsJson = False
) -> None:
    """Say what a file is and what of it would be used, without importing it.

    For a table that is no known export it proposes a column mapping: save it, correct it, and give it to
    `cg csv import --mapping`.
    """
    found = inspect(file, Pipeline.open().settings.timezone)
    if as_json:
        print_json(vars(found))
        return
    console.print(f"[bold]{file.name}[/]: {found.what}")
    console.print(f"Encoding {found.encoding}, separated by {found.delimiter!r}, {found.rows:,} rows.")
    if found.used:
        show([{"column": heading, "becomes": field} for heading, field in found.used.items()], as_json=False)
        console.print(f"Kept as they are, in raw_data: {', '.join(found.unused) or 'none'}.")
    for problem in found.problems:
        console.print(f"[yellow]{problem}[/]")
    if found.proposal:
        console.print("A column mapping for it may be:\n")
        typer.echo(yaml.safe_dump(found.proposal, sort_keys=False, allow_unicode=True))


@app.command("import")
def import_(
    files: Files,
    as_of: AsOf,
    site: Annotated[str | None, typer.Option(help="Whose rows they are, where the file does not say.")] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="A column mapping (YAML) to store for the site first.", exists=True)
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="The files correct those that lie in the inbox under the same names.")
    ] = False,
    capture_only: CaptureOnly = False,
) -> None:
    """Put files into the inbox and load their day, then recompute what they touch.

    Importing the same bytes again changes nothing. A file that is refused stays in the inbox; nothing of it lands.
    """
    if mapping and not site:
        message = "--mapping needs --site: the mapping is stored for it."
        raise typer.BadParameter(message)
    pipeline = ready()
    day = as_of.date()
    _require_past(pipeline, day)
    if mapping and site:
        with pipeline.warehouse.connect() as connection:
            found = sites.find(connection, site)
            sites.put_setting(connection, found, "csv_mapping", mapping.read_text(encoding="utf-8"), pipeline.clock)
    names = [pipeline.inbox.put(file, day, replace=replace) for file in files]
    with pipeline.warehouse.connect() as connection:
        told = sites.find(connection, site) if site else None
        again = csv_files.tell(connection, pipeline.inbox, day, names, told.id if told else None, pipeline.clock.now())
    _load(pipeline, day, names, reload=again, capture_only=capture_only)


@app.command("reload")
def reload_(as_of: AsOf, capture_only: CaptureOnly = False) -> None:
    """Read all files of a day again, refused ones too: after a setting or a column mapping has changed."""
    pipeline = ready()
    _load(pipeline, as_of.date(), None, reload=True, capture_only=capture_only)


@app.command()
def withdraw(
    name: Annotated[str, typer.Argument(help="Name of the file in the inbox, as `cg csv list` shows it.")],
    as_of: AsOf,
    capture_only: CaptureOnly = False,
) -> None:
    """Take a file out again: its day is rebuilt from the other files, as if it had never come.

    The file stays in the inbox under a hidden name.
    """
    pipeline = ready()
    day = as_of.date()
    with pipeline.warehouse.connect() as connection:
        csv_files.withdraw(connection, day, name)
    pipeline.inbox.set_aside(day, name)
    _load(pipeline, day, None, reload=False, capture_only=capture_only)


@app.command("list")
def list_(
    as_of: Annotated[
        datetime | None, typer.Option("--as-of", formats=["%Y-%m-%d"], metavar="DATE", help="Only this day.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the files that have arrived and what became of each."""
    with ready().warehouse.connect() as connection:
        rows = connection.execute(query("csv_files.list"), {"as_of": as_of.date() if as_of else None}).fetchall()
    show(rows, as_json, empty="No file has arrived yet.")


def _require_past(pipeline: Pipeline, day: date) -> None:
    start, end = pipeline.settings.history_start, current_day(pipeline)
    if not start <= day <= end:
        message = f"--as-of {day} must lie between {start} (CG_HISTORY_START) and today, {end}."
        raise ConfigError(message)


def _load(pipeline: Pipeline, day: date, names: list[str] | None, *, reload: bool, capture_only: bool) -> None:
    """Run the job for the day, then what it makes stale, and say what became of the files."""
    with steps(1) as begin:
        begin(f"csv {day}")
        run.capture_csv(day, reload=reload)
        if not capture_only:
            run.refresh_stale(pipeline, lambda planned: begin(str(planned)))
    with pipeline.warehouse.connect() as connection:
        rows = connection.execute(query("csv_files.list"), {"as_of": day}).fetchall()
    chosen = [row for row in rows if names is None or row["name"] in names]
    show([{key: row[key] for key in row if key not in {"as_of", "message"}} for row in chosen], as_json=False)
    for row in chosen:
        if row["message"]:
            errors.print(f"[yellow]{row['name']}[/]: {row['message']}", highlight=False, soft_wrap=True)
    if any(row["status"] == "refused" for row in chosen):
        raise typer.Exit(1)
