"""The `cg` command: puts the groups of commands together and turns errors into one sentence and an exit code."""

import signal
import sys
from types import FrameType

import typer

from cg_pipeline.cli import (
    artist,
    backfill,
    capture,
    csv,
    db,
    deltas,
    demo,
    explain,
    gaps,
    history,
    royalties,
    sandbox,
    site,
    up,
    webhook,
    webhook_events,
)
from cg_pipeline.errors import CgError, Transient

app = typer.Typer(
    name="cg",
    help="Lifetime snapshots, deltas and artist royalties from social platforms and CSV exports.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command("init")(up.init)
app.command("up")(up.up)
app.command("demo")(demo.demo)
app.add_typer(db.app, name="db")
app.add_typer(site.app, name="site")
app.add_typer(artist.app, name="artist")
app.add_typer(csv.app, name="csv")
app.add_typer(capture.app, name="capture")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(deltas.app, name="deltas")
app.add_typer(royalties.app, name="royalties")
app.add_typer(backfill.app, name="backfill")
app.add_typer(explain.app, name="explain")
app.add_typer(history.app, name="history")
app.add_typer(gaps.app, name="gaps")
webhook_events.add_to(webhook.app)
app.add_typer(webhook.app, name="webhook")


def main() -> None:
    """Run the command. Exit code 1: it could not be done; 2: it was not understood; 3: trying again may help."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, _interrupt)
    try:
        app()
    except CgError as error:
        typer.secho(f"Error: {error}", fg="red", err=True)
        sys.exit(3 if isinstance(error, Transient) else 1)
    except OSError as error:
        typer.secho(f"Error: {error}. Can CG_HOME and CG_INBOX be written, and is there room?", fg="red", err=True)
        sys.exit(1)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End as by Ctrl-C, so that what the command has started is stopped, the embedded server too."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
