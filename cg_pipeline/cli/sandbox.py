"""`cg sandbox`: the six platforms simulated on this machine, to try the pipeline without any credentials."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import requests
import typer

from cg_pipeline.cli.output import console
from cg_pipeline.clock import RunningClock, SystemClock
from cg_pipeline.config import PLATFORMS
from cg_pipeline.errors import ConfigError, NotFound, Unavailable
from cg_pipeline.sandbox.events import SECRET
from cg_pipeline.sandbox.exports import exports_of
from cg_pipeline.sandbox.server import FAULTS, Sandbox, make_app
from cg_pipeline.sandbox.world import World
from cg_pipeline.warehouse.models.enums import Platform

app = typer.Typer(help="A sandbox that answers as the six platforms do, on loopback.", no_args_is_help=True)

Accounts = Annotated[int, typer.Option(help="Accounts on each platform.", min=1, max=1000)]
Posts = Annotated[int, typer.Option(help="Posts of each account.", min=1, max=10_000)]
Now = Annotated[str | None, typer.Option(help="What time it is there, such as 2026-04-05T12:00; default: now.")]


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Where it listens, on 127.0.0.1.", min=1, max=65535)] = 8700,
    accounts: Accounts = 2,
    posts: Posts = 12,
    now: Now = None,
    latency: Annotated[int, typer.Option(help="Milliseconds before each answer.", min=0)] = 0,
) -> None:
    """Serve the sandbox until Ctrl-C, and print the settings by which the pipeline uses it.

    `cg site add facebook ID` against it needs no token: the sandbox connects the account. Its clock and its faults are
    set over HTTP: see `cg sandbox faults`.
    """
    import uvicorn  # noqa: PLC0415  half a second that no other command needs

    sandbox = Sandbox(World(accounts, posts), latency_seconds=latency / 1000)
    sandbox.clock = RunningClock(_moment(now))
    for platform in PLATFORMS:
        typer.echo(f"CG_{platform.upper()}_API_URL=http://127.0.0.1:{port}/{platform}")
    typer.echo(f"CG_YOUTUBE_HUB_URL=http://127.0.0.1:{port}/youtube/hub/subscribe")
    for each in sandbox.world.accounts.values():
        for account in each:
            console.print(f"{account.platform} {account.platform_id} {account.name}", highlight=False)
    uvicorn.run(make_app(sandbox), host="127.0.0.1", port=port, log_level="warning", lifespan="off")


@app.command()
def faults() -> None:
    """List the faults that can be switched on, and how."""
    for kind, meaning in FAULTS.items():
        console.print(f"{kind}: {meaning}", highlight=False)
    example = json.dumps({"kind": "throttled", "times": 3, "seconds": 60})
    console.print(
        f"\ncurl -X POST http://127.0.0.1:8700/_sandbox/faults/twitter/ACCOUNT -d '{example}'", highlight=False
    )
    console.print("curl -X DELETE http://127.0.0.1:8700/_sandbox/faults/twitter/ACCOUNT", highlight=False)


@app.command()
def send(
    platform: Annotated[Platform, typer.Argument(help="Whose event it is.")],
    account: Annotated[str, typer.Argument(help="The id or username of the account, as `cg sandbox serve` lists it.")],
    kind: Annotated[str, typer.Argument(help="publish, update, delete or revoke, and what else the platform tells.")],
    to: Annotated[
        str | None, typer.Option(help="Where to: http://127.0.0.1:8787/webhooks/... YouTube: default its subscribers.")
    ] = None,
    post: Annotated[str | None, typer.Option(help="Which post; default: the newest that fits.")] = None,
    secret: Annotated[str, typer.Option(help="What signs it.")] = SECRET,
    only_tell: Annotated[bool, typer.Option("--only-tell", help="Leave the post or the grant as it is.")] = False,
    port: Annotated[int, typer.Option(help="Where the sandbox listens.", min=1, max=65535)] = 8700,
) -> None:
    """Let something happen in a running sandbox, and send the webhook event that the platform would send."""
    address = f"http://127.0.0.1:{port}/_sandbox/send/{platform}/{account}"
    asked = {"kind": kind, "to": to, "post": post, "secret": secret, "only_tell": only_tell}
    try:
        answer = requests.post(address, json=asked, timeout=60)
    except requests.RequestException as error:
        message = f"No sandbox listens on port {port}: start one with `cg sandbox serve`."
        raise Unavailable(message) from error
    if not answer.ok:
        raise NotFound(answer.json()["error"])
    for receiver, status in answer.json().items():
        console.print(f"{receiver} {f'answers {status}' if status else 'does not answer'}", highlight=False)
    if None in answer.json().values():
        raise typer.Exit(3)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where the CSV files go.", file_okay=False)],
    accounts: Accounts = 2,
    posts: Posts = 12,
    now: Now = None,
) -> None:
    """Write the CSV exports that the sandbox's accounts would give, as of its time.

    Those of Meta Business Suite (Facebook, Instagram), a table of YouTube Studio for each channel, whose period is the
    lifetime (`cg csv import --site CHANNEL`, `cg site set CHANNEL csv_period lifetime`), and one of TikTok Studio for
    each account.
    """
    world, moment = World(accounts, posts), _moment(now)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in exports_of(world, moment).items():
        (folder / name).write_bytes(content)
        console.print(f"{folder / name}", highlight=False)


def _moment(text: str | None) -> datetime:
    if text is None:
        return SystemClock().now()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"--now {text} is no time: write it like 2026-04-05T12:00."
        raise ConfigError(message) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
