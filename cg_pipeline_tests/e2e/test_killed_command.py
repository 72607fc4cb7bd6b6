"""`cg csv import` killed at any moment, Dagster, embedded server and all, and run again."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cg_pipeline import config
from cg_pipeline.sandbox import exports
from cg_pipeline.warehouse.database import Addresses, Warehouse
from cg_pipeline_tests.integration.tables import stored_tables

TRIALS = 4
DAY = exports.days()[4]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "exports"
    folder.mkdir()
    paths = []
    for name, content in exports.exports(DAY).items():
        if "Table" not in name:
            (folder / name).write_bytes(content)
            paths.append(folder / name)
    return paths


def _import(home: Path, files: list[Path]) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).parent / "cg"), "csv", "import", *map(str, files), "--as-of", str(DAY)]
    return subprocess.Popen(
        command, env={**os.environ, "CG_HOME": str(home)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _tables(home: Path) -> dict[str, list[str]]:
    return stored_tables(Warehouse(Addresses.of(config.load({"CG_HOME": str(home)})).warehouse))


@pytest.mark.slow
def test_a_killed_import_command_is_completed_by_the_next(server_folder: Path, files: list[Path]) -> None:
    began = time.monotonic()
    assert _import(server_folder / "undisturbed", files).wait(120) == 0
    lasted = time.monotonic() - began
    expected = _tables(server_folder / "undisturbed")
    assert expected["deltas"]

    randomness, home = random.Random(7), server_folder / "killed"
    for _ in range(TRIALS):
        process = _import(home, files)
        time.sleep(randomness.uniform(0, lasted))
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert _import(home, files).wait(120) == 0
    assert _tables(home) == expected
