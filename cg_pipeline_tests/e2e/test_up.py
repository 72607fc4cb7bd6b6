"""`cg up`: starts everything, works by itself, and leaves nothing behind."""

import re
import signal
import socket
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import LiteralString

import psutil
import psycopg
import pytest
import requests

from cg_pipeline.sandbox import exports
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline.warehouse.sql import query
from cg_pipeline_tests.e2e.conftest import Up, cg, running

DAY = exports.FIRST_DAY
SETTLE = {"CG_SETTLE_SECONDS": "1"}

HEALTH = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
LAUNCH = """
mutation ($job: String!, $tags: [ExecutionTag!]!) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "cg_pipeline", repositoryName: "__repository__", jobName: $job}
    executionMetadata: {tags: $tags}
  }) { __typename }
}
"""
RUNS = "{ runsOrError { ... on Runs { results { runId jobName status } } } }"


def unhealthy(up: Up) -> list[str]:
    daemons = up.ask(HEALTH)["instance"]["daemonHealth"]["allDaemonStatuses"]
    return [daemon["daemonType"] for daemon in daemons if daemon["required"] and not daemon["healthy"]]


def runs(up: Up) -> list[tuple[str, str]]:
    return [(run["jobName"], run["status"]) for run in up.ask(RUNS)["runsOrError"]["results"]]


@cache
def warehouse(home: Path) -> Warehouse:
    """By address, not by joining the server, which would keep it running as long as the tests do."""
    return Warehouse(cg(home, "db", "url").stdout.strip())


def has_rows(home: Path, table: LiteralString) -> bool:
    with warehouse(home).connect() as connection:
        return bool(connection.execute(f"select from {table} limit 1").fetchall())


def gone(processes: list[psutil.Process]) -> list[str]:
    """Those that still live after a moment."""
    _, alive = psutil.wait_procs(processes, timeout=5)
    return [" ".join(process.cmdline()) for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_a_file_in_the_inbox_becomes_deltas_by_itself_and_stopping_leaves_no_process(server_folder: Path) -> None:
    home = server_folder / "home"
    with running(home, **SETTLE) as up:
        assert (home / ".env").exists()
        receivers = re.findall(
            r"^Webhooks +(http://127\.0\.0\.1:\d+)/webhooks/<platform>", up.log.read_text(), re.MULTILINE
        )
        assert [requests.get(f"{address}/readyz", timeout=9).status_code for address in receivers] == [200]
        up.wait_for(lambda: not unhealthy(up), 60)
        (home / "inbox" / str(DAY)).mkdir()
        name, content = next(iter(exports.exports(DAY).items()))
        (home / "inbox" / str(DAY) / name).write_bytes(content)
        up.wait_for(lambda: has_rows(home, "snapshots"), 90)
        up.wait_for(lambda: has_rows(home, "deltas"), 90)
        assert {status for _, status in runs(up)} <= {"SUCCESS", "STARTED", "QUEUED", "STARTING"}
        second = cg(home, "up", "--port", "34199")
        assert (second.returncode, "runs already for" in second.stderr) == (1, True), second.stderr
        started = up.descendants()
        assert len(started) >= 6  # itself, receiver, webserver, daemon, and a code server for each of the latter
        assert up.stop() == 0
        assert gone(started) == []


@pytest.mark.slow
@pytest.mark.parametrize(("sign", "processes"), [(signal.SIGTERM, 2), (signal.SIGINT, 4)])
def test_stopping_while_it_starts_leaves_no_process(server_folder: Path, sign: int, processes: int) -> None:
    up = Up(server_folder)
    up.wait_for(lambda: len(up.descendants()) >= processes, 120)
    started = up.descendants()
    up.process.send_signal(sign)
    assert up.process.wait(60) in {0, 130}
    assert gone(started) == []


@pytest.mark.slow
def test_a_run_that_was_cut_off_is_taken_up_by_the_next_start(server_folder: Path) -> None:
    home = server_folder / "home"
    with running(home) as up, closing(psycopg.connect(cg(home, "db", "url").stdout.strip())) as connection:
        connection.execute(query("csv_files.lock_day"), {"as_of": DAY})  # as if another run loaded the day
        launched = up.ask(LAUNCH, job="capture_csv", tags=[{"key": "dagster/partition", "value": str(DAY)}])
        assert launched["launchRun"]["__typename"] == "LaunchRunSuccess"
        up.wait_for(lambda: ("capture_csv", "STARTED") in runs(up), 60)
        started = up.descendants()
        assert up.stop() == 0
        assert gone(started) == []
    with running(home) as up:
        assert ("capture_csv", "FAILURE") in runs(up)
        up.wait_for(lambda: ("capture_csv", "SUCCESS") in runs(up), 120)


def test_a_port_that_is_taken_is_named(server_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = cg(server_folder, "up", "--port", str(port))
    assert done.returncode == 1
    assert f"Port {port} is taken: choose another with --port." in done.stderr


@pytest.mark.slow
def test_a_process_that_ends_ends_the_command(server_folder: Path) -> None:
    with running(server_folder) as up:
        process = next(each for each in up.descendants() if "webhook serve" in " ".join(each.cmdline()))
        process.kill()
        assert up.process.wait(30) == 3
        assert "The webhook receiver has ended: see" in up.log.read_text()
