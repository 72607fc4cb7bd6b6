"""A process that is killed in the middle of its work (SIGKILL) leaves nothing half-done: the next run ends in the same
tables as if nothing had happened."""

import os
import signal
from collections.abc import Callable
from datetime import UTC, date, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cg_pipeline import config
from cg_pipeline.capture.csv_partition import load_day
from cg_pipeline.capture.inbox import Inbox
from cg_pipeline.clock import FixedClock
from cg_pipeline.sandbox import exports
from cg_pipeline.warehouse.database import Warehouse, libpq
from cg_pipeline_tests.integration.tables import recompute_stale, stored_tables

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])

CLOCK = FixedClock(datetime(2026, 4, 6, 12, tzinfo=UTC))
DAYS = (date(2026, 3, 30), date(2026, 3, 31))
POINTS = 25


def _work(url: str, folder: str, kill_at: int) -> None:
    """Load two days and recompute what they touch; die by SIGKILL at the given moment. Runs in a process of its own."""
    moments = 0

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal moments
            moments += 1
            if moments == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*args, **kwargs)

        return call

    psycopg.Cursor.execute = counted(psycopg.Cursor.execute)  # type: ignore[method-assign]
    psycopg.Copy.write_row = counted(psycopg.Copy.write_row)  # type: ignore[method-assign]
    psycopg.Connection.commit = counted(psycopg.Connection.commit)  # type: ignore[method-assign]
    warehouse, settings = Warehouse(url), config.load({"CG_HOME": folder})
    for day in DAYS:
        load_day(warehouse, Inbox(settings.inbox), day, settings, CLOCK)
    recompute_stale(warehouse, settings.timezone, CLOCK)
    Path(folder, "moments").write_text(str(moments), encoding="utf-8")


def _run(warehouse: Warehouse, folder: Path, kill_at: int = 0) -> int | None:
    process = PROCESSES.Process(target=_work, args=(libpq(warehouse.url), str(folder), kill_at))
    process.start()
    process.join(60)
    return process.exitcode


def _snapshots(warehouse: Warehouse, day: date) -> list[dict[str, Any]]:
    with warehouse.connect() as connection:
        statement = "select post_id, views, raw_data from snapshots where snapshot_date = %s order by 1"
        return connection.execute(statement, (day,)).fetchall()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An installation whose inbox holds two days, the first of them a wrong file and its correction."""
    inbox = Inbox(str(tmp_path / "inbox"))
    inbox.create()
    for day in DAYS:
        for name, content in exports.exports(day).items():
            if "Table" not in name:
                source = tmp_path / name
                source.write_bytes(content)
                inbox.put(source, day)
    return tmp_path


@pytest.mark.slow
def test_a_killed_import_ends_in_the_same_tables_when_it_is_run_again(
    make_warehouse: Callable[[], Warehouse], folder: Path
) -> None:
    undisturbed = make_warehouse()
    assert _run(undisturbed, folder) == 0
    expected = stored_tables(undisturbed)
    assert expected["deltas"]
    moments = int((folder / "moments").read_text(encoding="utf-8"))

    for kill_at in range(1, moments + 1, max(1, moments // POINTS)):
        warehouse = make_warehouse()
        assert _run(warehouse, folder, kill_at) == -signal.SIGKILL
        for day in DAYS:
            assert _snapshots(warehouse, day) in ([], _snapshots(undisturbed, day)), f"half a day after {kill_at}"
        assert _run(warehouse, folder) == 0
        assert stored_tables(warehouse) == expected, f"killed at moment {kill_at} of {moments}"
