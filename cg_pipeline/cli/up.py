"""`cg init` and `cg up`: set an installation up, and run it."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated
from urllib.error import URLError
from urllib.request import urlopen

import typer

from cg_pipeline.cli.context import ready
from cg_pipeline.cli.output import console
from cg_pipeline.config import PROJECT, write_env_file
from cg_pipeline.errors import ConfigError, Unavailable
from cg_pipeline.pipeline import Pipeline

START_SECONDS = 90
STOP_SECONDS = 20

Port = Annotated[int, typer.Option(help="Where the Dagster UI listens, on 127.0.0.1.", min=1, max=65535)]


def init() -> None:
    """Write what is missing to the settings file .env of the installation. Lines that are there stay as they are."""
    settings = Pipeline.open().settings
    added = write_env_file(settings)
    outcome = f"added {', '.join(added)}" if added else "complete already"
    console.print(f"{settings.env_file}: {outcome}.", soft_wrap=True)


def up(
    port: Port = 3000,
    browser: Annotated[bool, typer.Option("--browser", help="Open the UI in a browser.")] = False,
) -> None:
    """Run the pipeline: database, schema, Dagster's UI and daemon. Stops with Ctrl-C.

    The daemon runs the nightly capture, loads files that arrive in the inbox, and recomputes what they touch.
    """
    write_env_file(Pipeline.open().settings)
    with console.status("Starting the database …"):
        pipeline = ready()
    serve(pipeline, port, browser=browser)


def serve(pipeline: Pipeline, port: int, *, browser: bool = False) -> None:
    """Run Dagster's UI and daemon for an installation that is ready, until a signal or until one of them ends."""
    home = pipeline.settings.home
    address = f"http://127.0.0.1:{port}"
    with _only_one(home), _children(home, port) as children:
        with console.status("Starting Dagster …"):
            _wait_for(address, children)
        console.print(f"Dagster UI   [bold]{address}[/]")
        console.print(f"CSV inbox    {pipeline.inbox.url}", soft_wrap=True)
        console.print(f"Database     {pipeline.addresses.warehouse!r}", soft_wrap=True)
        console.print(f"Logs         {home / 'logs'}", soft_wrap=True)
        console.print("Stop with Ctrl-C.")
        if browser:
            webbrowser.open(address)
        _wait_for_end(children, home)


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Two daemons on one installation would do everything twice."""
    with (home / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"`cg up` runs already for {home}."
            raise ConfigError(message) from error
        yield


@contextmanager
def _children(home: Path, port: int) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """The two processes of Dagster, ended with the block: first asked, then made to."""
    _require_free(port)
    workspace = ["-w", str(PROJECT / "workspace.yaml")]
    programs = Path(sys.executable).parent
    commands = {
        "webserver": [str(programs / "dagster-webserver"), "-h", "127.0.0.1", "-p", str(port), *workspace],
        "daemon": [str(programs / "dagster-daemon"), "run", *workspace],
    }
    (home / "logs").mkdir(exist_ok=True)
    children = {}
    try:
        for name, command in commands.items():
            with (home / "logs" / f"{name}.log").open("ab") as log:
                children[name] = subprocess.Popen(
                    command, stdout=log, stderr=log, cwd=PROJECT, env=dict(os.environ), start_new_session=True
                )
        yield children
    finally:
        for child in children.values():
            child.send_signal(signal.SIGINT)
        for child in children.values():
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            message = f"Port {port} is taken: choose another with --port."
            raise ConfigError(message) from error


def _wait_for(address: str, children: dict[str, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and all(child.poll() is None for child in children.values()):
        try:
            with urlopen(f"{address}/server_info", timeout=5):  # noqa: S310  our own loopback address
                return
        except (URLError, OSError):
            time.sleep(0.2)
    message = "Dagster did not start: see the logs folder of the installation."
    raise Unavailable(message)


def _wait_for_end(children: dict[str, subprocess.Popen[bytes]], home: Path) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        while all(child.poll() is None for child in children.values()):
            time.sleep(0.5)
    except KeyboardInterrupt:
        console.print("Stopping …")
        return
    ended = next(name for name, child in children.items() if child.poll() is not None)
    message = f"Dagster's {ended} has ended: see {home / 'logs' / ended}.log."
    raise Unavailable(message)
