"""A fresh database for benchmarks, and how a measurement is written down."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from cg_pipeline.warehouse import embedded
from cg_pipeline.warehouse.database import Warehouse, libpq
from cg_pipeline.warehouse.migrate import migrate


@dataclass(frozen=True)
class Measurement:
    """One line: seconds of ours and of the baseline in the same run, or a plain figure without a baseline."""

    what: str
    seconds: float | None = None
    baseline: str = ""
    baseline_seconds: float | None = None
    goal: str = ""
    figure: str = ""

    def cells(self) -> list[str]:
        """As a row of the printed table."""
        ratio = f"{self.seconds / self.baseline_seconds:.2f}" if self.seconds and self.baseline_seconds else self.figure
        return [
            self.what,
            f"{self.seconds:.2f}" if self.seconds is not None else "",
            self.baseline,
            f"{self.baseline_seconds:.2f}" if self.baseline_seconds is not None else "",
            ratio,
            self.goal,
        ]


@contextmanager
def fresh_warehouse(folder: Path) -> Iterator[Warehouse]:
    """A new migrated database on the server that CG_TEST_DATABASE_URL names, or on an embedded one in the folder."""
    address = os.environ.get("CG_TEST_DATABASE_URL")
    server = make_url(address) if address else embedded.start(folder)
    warehouse = Warehouse(server.set(database=f"cg_bench_{os.getpid()}"))
    migrate(warehouse, date(2026, 11, 1))
    try:
        yield warehouse
    finally:
        with psycopg.connect(libpq(server.set(database="postgres")), autocommit=True) as connection:
            name = sql.Identifier(str(warehouse.url.database))
            connection.execute(sql.SQL("drop database {} with (force)").format(name))
