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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, NoReturn
from urllib.error import URLError
from urllib.request import urlopen

import typer

from cg_pipeline.cli.context import fail_abandoned, ready
from cg_pipeline.cli.output import console
from cg_pipeline.config import PROJECT, write_env_file
from cg_pipeline.errors import ConfigError, Unavailable
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.security.vault import new_key

Children = dict[str, subprocess.Popen[bytes]]

TITLES = {"receiver": "The webhook receiver", "webserver": "Dagster's webserver", "daemon": "Dagster's daemon"}

START_SECONDS = 90
STOP_SECONDS = 20

Port = Annotated[int, typer.Option(help="Where the Dagster UI listens, on 127.0.0.1.", min=1, max=65535)]


def init() -> None:
    """Write what is missing to the settings file .env of the installation. Lines that are there stay as they are."""
    settings = Pipeline.open().settings
    added = write_env_file(settings, {"CG_ENCRYPTION_KEYS": new_key()})
    outcome = f"added {', '.join(added)}" if added else "complete already"
    console.print(f"{settings.env_file}: {outcome}.", soft_wrap=True)


def up(
    port: Port = 3000,
    webhook_port: Annotated[
        int, typer.Option(help="Where the webhook receiver listens, on 127.0.0.1; 0: any free port.", min=0, max=65535)
    ] = 8787,
    browser: Annotated[bool, typer.Option("--browser", help="Open the UI in a browser.")] = False,
) -> None:
    """Run the pipeline: database, schema, webhook receiver, Dagster's UI and daemon. Stops with Ctrl-C.

    The daemon runs the nightly capture, loads files that arrive in the inbox, and recomputes what they touch.
    """
    write_env_file(Pipeline.open().settings, {"CG_ENCRYPTION_KEYS": new_key()})
    with console.status("Starting the database …"):
        pipeline = ready()
    serve(pipeline, port, webhook_port, browser=browser)


def serve(pipeline: Pipeline, port: int, webhook_port: int = 0, *, browser: bool = False) -> None:
    """Run all processes of an installation that is ready, until a signal or until one of them ends."""
    home = pipeline.settings.home
    with suppress(KeyboardInterrupt), _only_one(home) as lock:
        address = _loopback(require_free(port, "--port"))
        receiver = _loopback(require_free(webhook_port, "--webhook-port"))
        with _children(home, _commands(address, receiver), lock) as children:
            with console.status("Starting Dagster and the webhook receiver …"):
                _wait_for(f"{receiver}/readyz", children, home / "logs")
                _wait_for(f"{address}/server_info", children, home / "logs")
            _show(pipeline, address, receiver)
            if browser:
                webbrowser.open(address)
            _watch(children, home / "logs")


@contextmanager
def background(pipeline: Pipeline) -> Iterator[str]:
    """The webhook receiver and Dagster's daemon, without the UI, for the length of the block: yields the receiver's
    address."""
    home, receiver = pipeline.settings.home, _loopback(require_free(0, ""))
    commands = {name: command for name, command in _commands(receiver, receiver).items() if name != "webserver"}
    with _only_one(home) as lock, _children(home, commands, lock) as children:
        _wait_for(f"{receiver}/readyz", children, home / "logs")
        yield receiver


def _show(pipeline: Pipeline, address: str, receiver: str) -> None:
    console.print(f"Dagster UI   {address}")
    console.print(f"Webhooks     {receiver}/webhooks/<platform>[/<site>]")
    console.print(f"CSV inbox    {pipeline.inbox.url}", soft_wrap=True)
    console.print(f"Database     {pipeline.addresses.warehouse!r}", soft_wrap=True)
    console.print(f"Logs         {pipeline.settings.home / 'logs'}", soft_wrap=True)
    console.print("Stop with Ctrl-C.")


def _watch(children: Children, logs: Path) -> NoReturn:
    """Raises Unavailable as soon as one of them has ended."""
    while not (ended := [name for name, child in children.items() if child.poll() is not None]):
        time.sleep(0.5)
    message = f"{TITLES[ended[0]]} has ended: see {logs / ended[0]}.log."
    raise Unavailable(message)


@contextmanager
def _only_one(home: Path) -> Iterator[int]:
    """Two daemons on one installation would do everything twice. Yields the lock, for the children to share: it holds
    as long as one of them lives, however this process ends."""
    with (home / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"`cg up`, or what a killed one has left, runs already for {home}: stop it first."
            raise ConfigError(message) from error
        yield lock.fileno()


def _commands(address: str, receiver: str) -> dict[str, list[str]]:
    """What is started. The receiver first: it is ready soonest, and must not be missing while the others start."""
    workspace = ["-w", str(PROJECT / "workspace.yaml")]
    programs, port, webhook_port = Path(sys.executable).parent, address.split(":")[2], receiver.split(":")[2]
    return {
        "receiver": [sys.executable, "-m", "cg_pipeline.cli.main", "webhook", "serve", "--port", webhook_port],
        "webserver": [str(programs / "dagster-webserver"), "-h", "127.0.0.1", "-p", port, *workspace],
        "daemon": [str(programs / "dagster-daemon"), "run", *workspace],
    }


@contextmanager
def _children(home: Path, commands: dict[str, list[str]], lock: int) -> Iterator[Children]:
    """The processes, ended with the block."""
    (home / "logs").mkdir(exist_ok=True)
    fail_abandoned()
    children: Children = {}
    try:
        for name, command in commands.items():
            with (home / "logs" / f"{name}.log").open("ab") as log:
                children[name] = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=PROJECT, env=dict(os.environ),
                    start_new_session=True, pass_fds=[lock],
                )  # fmt: skip
        yield children
    finally:
        console.print("Stopping …")
        _end(list(children.values()))


def _end(children: list[subprocess.Popen[bytes]]) -> None:
    """Ask the processes to end, then make them, and whatever they have left in their groups. Not to be interrupted."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    deadline = time.monotonic() + STOP_SECONDS
    while (alive := [child for child in children if child.poll() is None]) and time.monotonic() < deadline:
        for child in alive:
            child.terminate()  # and again: the webserver forgets a signal that comes while it starts
        with suppress(subprocess.TimeoutExpired):
            alive[0].wait(2)
    for child in children:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    for number, handler in before.items():
        signal.signal(number, handler)


def require_free(port: int, option: str) -> int:
    """The port, or a free one for 0. Raises ConfigError when it is taken, naming the option that sets it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            message = f"Port {port} is taken: choose another with {option}."
            raise ConfigError(message) from error
        return int(probe.getsockname()[1])


def _loopback(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _wait_for(address: str, children: Children, logs: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and all(child.poll() is None for child in children.values()):
        try:
            with urlopen(address, timeout=5):  # noqa: S310  our own loopback address
                return
        except (URLError, OSError):
            time.sleep(0.2)
    message = f"Dagster or the webhook receiver did not start: see {logs}."
    raise Unavailable(message)
