"""`cg webhook serve`: says what is missing, receives, and stops cleanly."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from cg_pipeline.clock import SystemClock
from cg_pipeline.config import PLATFORMS
from cg_pipeline_tests.integration.receiving import SECRET, sample, signed


def start(home: Path, port: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "cg_pipeline.cli.main", "webhook", "serve", "--port", str(port)]
    environment = {**os.environ, "CG_HOME": str(home), "CG_TIKTOK_WEBHOOK_SECRETS": f"newer,{SECRET}"}
    return subprocess.Popen(
        command, env=environment, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(address: str, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{address}/readyz", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)
    process.kill()
    raise AssertionError(process.communicate())


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_the_command_names_platforms_without_a_secret_receives_and_stops_cleanly(
    server_folder: Path, sign: signal.Signals
) -> None:
    port = free_port()
    address, body = f"http://127.0.0.1:{port}", sample("tiktok")
    process = start(server_folder, port)
    wait_until_ready(address, process)
    headers = signed("tiktok", body, now=SystemClock().now())
    statuses = [requests.post(f"{address}/webhooks/{each}", body, headers=headers, timeout=9).status_code
                for each in ("tiktok", "facebook")]  # fmt: skip
    process.send_signal(sign)
    out, err = process.communicate(timeout=30)
    assert (statuses, process.returncode, err) == ([200, 401], 0, "")
    warned = {each for each in PLATFORMS if f"Warning: {each} has no secret." in out}
    assert warned == set(PLATFORMS) - {"tiktok"}
    assert "CG_FACEBOOK_CLIENT_SECRET or CG_FACEBOOK_WEBHOOK_SECRETS" in out


def test_a_port_that_is_taken_is_named(server_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(server_folder, port)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, f"Port {port} is taken: choose another with --port." in err) == (1, True)
