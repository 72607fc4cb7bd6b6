"""`cg site`: pages, channels and accounts, and what is set for each."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from cg_pipeline.capture import sites, tokens
from cg_pipeline.cli.context import not_blank, ready, text_of
from cg_pipeline.cli.output import AsJson, console, show
from cg_pipeline.cli.simulation import connection_of_sandbox
from cg_pipeline.errors import ConfigError
from cg_pipeline.platforms.records import Tokens
from cg_pipeline.warehouse.models.enums import Platform, SiteSyncStatus
from cg_pipeline.warehouse.sql import query

app = typer.Typer(help="Sites: the pages, channels and accounts whose posts are captured.", no_args_is_help=True)

SETTINGS_HELP = "; ".join(f"{key} ({meaning})" for key, (_, meaning) in sites.SETTINGS.items())


SiteName = Annotated[str, typer.Argument(help="Its name, id, platform id or username.")]


@app.command()
def add(
    platform: Annotated[Platform, typer.Argument(help="Where the page is.")],
    platform_id: Annotated[str, typer.Argument(help="Its id on the platform.", callback=not_blank)],
    name: Annotated[str | None, typer.Option(help="A name for it; default: the username or the id.")] = None,
    username: Annotated[str | None, typer.Option(help="Its username or handle.")] = None,
) -> None:
    """Add a site: a page, channel or account to capture from its platform, by the token that `cg site token` takes.

    Pages that a CSV file names are added when it is imported; one that it does not name, as a table of YouTube Studio,
    is added by hand. Against the sandbox (CG_<PLATFORM>_API_URL as `cg sandbox serve` prints it) no token is needed.
    """
    pipeline = ready()
    given = connection_of_sandbox(pipeline.platforms.address(platform), platform, platform_id)
    with pipeline.warehouse.connect() as connection:
        site = sites.add(connection, platform, platform_id, name, username)
        if given is not None:
            tokens.store(connection, pipeline.platforms.ring, site.id, given, pipeline.clock.now())
    connected = "" if given is None else ", connected to the sandbox"
    console.print(f'Added {platform} site "{site.name}" ({site.id}){connected}.')


@app.command()
def token(
    site: SiteName,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask for a refresh token too.")] = False,
    expires_in: Annotated[int | None, typer.Option(help="Seconds until the access token expires.", min=1)] = None,
    scope: Annotated[str | None, typer.Option(help="The permissions that were granted.")] = None,
) -> None:
    """Store the token by which a site is captured, encrypted. It is asked for or read from the input: no argument.

    Facebook: the page's token, and with --refresh the person's long-lived one, from which it is renewed. Instagram and
    Threads: the long-lived token. YouTube, TikTok, X: access and refresh token.
    """
    pipeline = ready()
    access = ask_secret("Access token")
    second = ask_secret("Refresh token") if refresh else None
    now = pipeline.clock.now()
    expiry = now + timedelta(seconds=expires_in) if expires_in else None
    with pipeline.warehouse.connect() as connection:
        found = sites.find(connection, site)
        tokens.store(connection, pipeline.platforms.ring, found.id, Tokens(access, second, expiry, scope), now)
    console.print(f'Stored the token of "{found.name}". Try it: cg capture run {found.platform} --site "{found.name}"')


@app.command()
def pause(site: SiteName) -> None:
    """Leave a site out of captures until it is resumed."""
    _set_status(site, SiteSyncStatus.PAUSED)


@app.command()
def resume(site: SiteName) -> None:
    """Capture a site again."""
    _set_status(site, SiteSyncStatus.ACTIVE)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the sites, with what was captured of each."""
    with ready().warehouse.connect() as connection:
        rows = connection.execute(query("sites.with_settings")).fetchall()
    columns = ["name", "platform", "platform_id", "sync_status", "posts", "first_day", "last_day", "settings"]
    columns += ["id"] if as_json else []
    if not as_json:
        rows = [
            row | {"settings": {key: _short(text) for key, text in (row["settings"] or {}).items()}} for row in rows
        ]
    show([{key: row[key] for key in columns} for row in rows], as_json, empty="No site yet: import a file, or add one.")


@app.command("set")
def set_(
    site: SiteName,
    key: Annotated[str, typer.Argument(help=SETTINGS_HELP)],
    value: Annotated[str, typer.Argument(help="The value; @FILE reads it from a file.")],
) -> None:
    """Set one of a site's settings. Days that depend on it are marked to be recomputed."""
    pipeline = ready()
    text = text_of(Path(value[1:])) if value.startswith("@") else value
    with pipeline.warehouse.connect() as connection:
        found = sites.find(connection, site)
        sites.put_setting(connection, found, key, text, pipeline.clock)
    console.print(f'Set {key} of "{found.name}".')


def ask_secret(name: str) -> str:
    """From the terminal, unseen, or a line of the input."""
    text = typer.prompt(name, hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    if not text.strip():
        message = f"The {name.lower()} is missing: type it, or give it as a line of the input."
        raise ConfigError(message)
    return str(text).strip()


def _set_status(site: str, status: SiteSyncStatus) -> None:
    pipeline = ready()
    with pipeline.warehouse.connect() as connection:
        found = sites.find(connection, site)
        sites.set_status(connection, found, status, pipeline.clock)
    console.print(f'"{found.name}" is {status}.')


def _short(text: str) -> str:
    """A setting as far as a table has room for it."""
    return text if len(text) <= 20 else f"{text[:19]}…"
