"""`cg site`: pages, channels and accounts, and what is set for each."""

from pathlib import Path
from typing import Annotated

import typer

from cg_pipeline.capture import sites
from cg_pipeline.cli.context import ready
from cg_pipeline.cli.output import AsJson, console, show
from cg_pipeline.warehouse.models.enums import Platform
from cg_pipeline.warehouse.sql import query

app = typer.Typer(help="Sites: the pages, channels and accounts whose posts are captured.", no_args_is_help=True)

SETTINGS_HELP = "; ".join(f"{key} ({meaning})" for key, (_, meaning) in sites.SETTINGS.items())


@app.command()
def add(
    platform: Annotated[Platform, typer.Argument(help="Where the page is.")],
    platform_id: Annotated[str, typer.Argument(help="The platform's id of the page, channel or account.")],
    name: Annotated[str | None, typer.Option(help="A name for it; default: the username or the id.")] = None,
    username: Annotated[str | None, typer.Option(help="Its username or handle.")] = None,
) -> None:
    """Add a site by hand.

    Needed only where exports do not name their page, as tables of YouTube Studio: pages that a file names are added
    when it is imported.
    """
    pipeline = ready()
    with pipeline.warehouse.connect() as connection:
        site = sites.add(connection, platform, platform_id, name, username)
    console.print(f'Added {platform} site "{site.name}" ({site.id}).')


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the sites, with what was captured of each."""
    with ready().warehouse.connect() as connection:
        rows = connection.execute(query("sites.with_settings")).fetchall()
    columns = ["name", "platform", "platform_id", "sync_status", "posts", "first_day", "last_day", "settings"]
    columns += ["id"] if as_json else []
    show([{key: row[key] for key in columns} for row in rows], as_json, empty="No site yet: import a file, or add one.")


@app.command("set")
def set_(
    site: Annotated[str, typer.Argument(help="Its name, id, platform id or username.")],
    key: Annotated[str, typer.Argument(help=SETTINGS_HELP)],
    value: Annotated[str, typer.Argument(help="The value; @FILE reads it from a file.")],
) -> None:
    """Set one of a site's settings. Days that depend on it are marked to be recomputed."""
    pipeline = ready()
    text = Path(value[1:]).read_text(encoding="utf-8") if value.startswith("@") else value
    with pipeline.warehouse.connect() as connection:
        found = sites.find(connection, site)
        sites.put_setting(connection, found, key, text, pipeline.clock)
    console.print(f'Set {key} of "{found.name}".')
