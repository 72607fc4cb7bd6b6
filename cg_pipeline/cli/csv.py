"""`cg csv`: exports from the platforms, looked at and imported."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from cg_pipeline.capture import csv_files, sites
from cg_pipeline.capture.inspection import inspect
from cg_pipeline.cli.context import capture_csv, day_in_history, ready, refresh_stale, text_of
from cg_pipeline.cli.output import AsJson, console, print_json, show, steps
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
    typer.echo(f"{file.name}: {found.what}")
    console.print(f"Encoding {found.encoding}, separated by {found.delimiter!r}, {found.rows:,} rows.")
    if found.used:
        show([{"column": heading, "becomes": field} for heading, field in found.used.items()], as_json=False)
        console.print(f"Kept as they are, in raw_data: {', '.join(found.unused) or 'none'}.")
    for problem in found.problems:
        typer.echo(problem)
    if found.proposal:
        console.print("A column mapping for it may be:\n")
        typer.echo(yaml.safe_dump(found.proposal, sort_keys=False, allow_unicode=True))


@app.command("import")
def import_(
    files: Files,
    as_of: AsOf,
    site: Annotated[str | None, typer.Option(help="Whose rows they are, where the file does not say.")] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(help="A column mapping (YAML) to store for the site first.", exists=True, dir_okay=False),
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
    day = day_in_history(pipeline, as_of)
    with pipeline.warehouse.connect() as connection:
        told = sites.find(connection, site) if site else None
        if told and mapping:
            sites.put_setting(connection, told, "csv_mapping", text_of(mapping), pipeline.clock)
    names = [pipeline.inbox.put(file, day, replace=replace) for file in files]
    with pipeline.warehouse.connect() as connection:
        again = csv_files.tell(connection, pipeline.inbox, day, names, told.id if told else None, pipeline.clock.now())
    _load(pipeline, day, names, reload=again, capture_only=capture_only)


@app.command("reload")
def reload_(as_of: AsOf, capture_only: CaptureOnly = False) -> None:
    """Read all files of a day again, refused ones too: after a setting or a column mapping has changed."""
    pipeline = ready()
    _load(pipeline, day_in_history(pipeline, as_of), None, reload=True, capture_only=capture_only)


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
    day = day_in_history(pipeline, as_of)
    with pipeline.warehouse.connect() as connection:
        csv_files.withdraw(connection, day, name)
    pipeline.inbox.set_aside(day, name)
    _load(pipeline, day, [name], reload=False, capture_only=capture_only)


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
    if as_json:
        print_json(rows)
    else:
        _show_files(rows, empty="No file has arrived yet: `cg csv import`, or put one into the inbox.")


def _load(pipeline: Pipeline, day: date, names: list[str] | None, *, reload: bool, capture_only: bool) -> None:
    """Run the job for the day, then what it makes stale, and say what became of the files (None: all of the day)."""
    with steps(1) as begin:
        begin(f"csv {day}")
        capture_csv(day, reload=reload)
        if not capture_only:
            refresh_stale(pipeline, lambda planned: begin(str(planned)))
    with pipeline.warehouse.connect() as connection:
        rows = connection.execute(query("csv_files.list"), {"as_of": day}).fetchall()
        days = {"first": day, "end": day + timedelta(days=1)}
        unusable = connection.execute(query("checks.quarantined_rows"), days).fetchall()
    chosen = [row for row in rows if names is None or row["name"] in names]
    waiting = [row["name"] for row in chosen if row["status"] == "arrived"]
    chosen = rows if waiting else chosen
    _show_files(chosen, empty=f"No file of {day} has arrived.")
    for row in unusable:
        if row["name"] in {file["name"] for file in chosen}:
            column = f', column "{row["column"]}"' if row["column"] else ""
            typer.echo(f"{row['name']}: line {row['line']}{column}: {row['reason']}", err=True)
    for name in waiting:
        typer.echo(f"{name}: not loaded, because a refused file holds data of the day: correct it.", err=True)
    if waiting or any(row["status"] == "refused" for row in chosen):
        raise typer.Exit(1)


def _show_files(files: list[dict[str, Any]], *, empty: str) -> None:
    """Files as a table, and below it what there is to say about some."""
    show([{key: file[key] for key in file if key != "message"} for file in files], as_json=False, empty=empty)
    for file in files:
        if file["message"] and file["status"] in {"loaded", "refused"}:
            typer.echo(f"{file['name']}: {file['message']}", err=True)
