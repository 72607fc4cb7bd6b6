"""`cg db`: where the warehouse is, and in what state."""

from typing import Annotated

import typer

from cg_pipeline.cli.context import current_day, ready
from cg_pipeline.cli.output import AsJson, console, print_json, show
from cg_pipeline.history import stale
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.warehouse.database import libpq
from cg_pipeline.warehouse.migrate import current_revision, migrate, newest_revision
from cg_pipeline.warehouse.sql import query

app = typer.Typer(help="The databases: address, schema, state.", no_args_is_help=True)


@app.command()
def url(
    dagster: Annotated[bool, typer.Option("--dagster", help="The database of Dagster's storage instead.")] = False,
) -> None:
    """Print the address of the warehouse, for psql and other programs.

    The embedded server runs while a `cg` command does: keep `cg up` running, or set CG_DATABASE_URL to a server of
    your own.
    """
    addresses = ready().addresses
    typer.echo(libpq(addresses.dagster if dagster else addresses.warehouse))


@app.command("migrate")
def migrate_() -> None:
    """Create the warehouse if it is missing, and bring its schema to the newest revision."""
    pipeline = Pipeline.open()
    before, after = migrate(pipeline.warehouse, current_day(pipeline))
    change = "as before" if before == after else f"was {before or 'empty'}"
    console.print(f"Schema at revision {after}, {change}.")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show revision, server, table sizes, and what waits to be recomputed."""
    pipeline = ready()
    with pipeline.warehouse.connect() as connection:
        tables = connection.execute(query("partitions.tables")).fetchall()
        version = connection.info.parameter_status("server_version")
    waiting = stale.pending(pipeline.warehouse)
    revision = current_revision(pipeline.warehouse)
    if as_json:
        print_json(
            {
                "server_version": version,
                "revision": revision,
                "newest_revision": newest_revision(),
                "stale_windows": len(waiting),
                "tables": tables,
            }
        )
        return
    embedded = "embedded" if pipeline.settings.database_url is None else "at CG_DATABASE_URL"
    console.print(f"PostgreSQL {version}, {embedded}. Schema at revision {revision}, newest {newest_revision()}.")
    show(tables, as_json=False)
    console.print(f"{len(waiting)} windows wait to be recomputed.")
