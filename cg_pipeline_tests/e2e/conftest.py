"""What the end-to-end tests share: the `cg` command with a home of its own, and one demo installation for a session."""

import atexit
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from cg_pipeline_tests.conftest import new_folder

CG = str(Path(sys.executable).parent / "cg")


def cg(home: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end in the installation `home`."""
    environment = {**os.environ, "COLUMNS": "160", **variables, "CG_HOME": str(home)}
    return subprocess.run(
        [CG, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@pytest.fixture(scope="session")
def demo() -> "subprocess.CompletedProcess[str]":
    """What `cg demo --no-ui` printed; its installation stays for the session, see `demo_home`."""
    folder = new_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # after a server that a test has joined has stopped
    done = cg(folder, "demo", "--no-ui")
    assert done.returncode == 0, done.stderr
    done.args = folder / "demo"
    return done


@pytest.fixture(scope="session")
def demo_home(demo: "subprocess.CompletedProcess[str]") -> Path:
    """The demo's installation."""
    return Path(demo.args)


class Up:
    """A running `cg up`, or another command that serves the UI."""

    def __init__(self, home: Path, *command: str, **variables: str) -> None:
        self.home, self.address = home, f"http://127.0.0.1:{_free_port()}"
        home.mkdir(exist_ok=True)
        self.log = home / "up.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [CG, *(command or ["up", "--webhook-port", "0"]), "--port", self.address.rpartition(":")[2]],
                env={**os.environ, **variables, "CG_HOME": str(home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """What Dagster's GraphQL answers."""
        answer = requests.post(
            f"{self.address}/graphql", json={"query": query, "variables": variables}, timeout=30
        ).json()
        assert "errors" not in answer, answer
        return dict(answer["data"])

    def wait_for(self, what: Callable[[], Any], seconds: float) -> Any:
        """The first value that is true; fails with the log when there is none in time."""
        deadline = time.monotonic() + seconds
        while not (value := what()):
            assert time.monotonic() < deadline, f"waited {seconds} s in vain: {value!r}\n{self.log.read_text()}"
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.5)
        return value

    def wait_until_ready(self) -> None:
        """Until all has started."""
        self.wait_for(lambda: "Stop with Ctrl-C" in self.log.read_text(), 300)

    def descendants(self) -> list[psutil.Process]:
        """The command and all that it has started, the server aside: that may be shared."""
        mine = psutil.Process(self.process.pid)
        return [mine, *mine.children(recursive=True)]

    def stop(self) -> int:
        """Stop it as a service manager does."""
        self.process.terminate()
        return self.process.wait(60)


@contextmanager
def running(home: Path, *command: str, **variables: str) -> Iterator[Up]:
    """`cg up`, or another command that serves the UI, ready, for the length of the block."""
    up = Up(home, *command, **variables)
    try:
        up.wait_until_ready()
        yield up
    finally:
        if up.process.poll() is None:
            up.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
