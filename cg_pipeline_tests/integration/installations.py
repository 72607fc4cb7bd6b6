"""A whole installation for a test: warehouse, storage of Dagster beside it, home, inbox, environment. Jobs run in it.

The databases are copies of templates; what the environment says while the test runs is forgotten afterwards.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
from psycopg import sql
from sqlalchemy import URL

from cg_pipeline.capture import sites
from cg_pipeline.capture.csv_partition import load_day
from cg_pipeline.definitions import defs
from cg_pipeline.defs import run
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.resources import PipelineResource
from cg_pipeline.sandbox import exports
from cg_pipeline.warehouse.database import Warehouse, libpq
from cg_pipeline_tests.integration.tables import recompute_stale

LONG_AGO = datetime(2026, 4, 6).timestamp()  # noqa: DTZ001  any moment will do


@dataclass(frozen=True)
class Installation:
    """What a test does with an installation besides calling the pipeline."""

    pipeline: Pipeline
    definitions: dg.Definitions

    @property
    def home(self) -> Path:
        """Where it writes."""
        return self.pipeline.settings.home

    def lay(self, day: date, files: Mapping[str, bytes] | None = None, *, modified: float = LONG_AGO) -> None:
        """Put files (default: the sandbox's exports of the day) into the inbox, in place of those of the same name."""
        folder = self.home / "inbox" / str(day)
        folder.mkdir(exist_ok=True)
        for number, (name, content) in enumerate((exports.exports(day) if files is None else files).items()):
            (folder / name).write_bytes(content)
            os.utime(folder / name, (modified + number, modified + number))

    def add_channel(self) -> None:
        """The site that YouTube's exports do not name, so that they are not refused."""
        page, clock = exports.HARBOR_TV, self.pipeline.clock
        with self.pipeline.warehouse.connect() as connection:
            site = sites.add(connection, page.platform, page.platform_id, page.name, None)
            sites.put_setting(connection, site, "csv_period", "lifetime", clock)

    def capture(self, *days: date) -> None:
        """Lay the exports of these days and load them by the job that does it."""
        for day in days:
            self.lay(day)
            run.capture_csv(day)

    def fill(self, *days: date) -> None:
        """Lay the exports of these days, load them and recompute what they touch, without Dagster: that is faster."""
        pipeline = self.pipeline
        for day in days:
            self.lay(day)
            load_day(pipeline.warehouse, pipeline.inbox, day, pipeline.settings, pipeline.clock)
        recompute_stale(pipeline.warehouse, pipeline.settings.timezone, pipeline.clock)

    def rows(self, statement: Any, *values: Any) -> list[dict[str, Any]]:
        """What a statement returns."""
        with self.pipeline.warehouse.connect() as connection:
            return connection.execute(statement, values).fetchall()

    def do(self, statement: Any, *values: Any) -> None:
        """Execute a statement that returns nothing."""
        with self.pipeline.warehouse.connect() as connection:
            connection.execute(statement, values)

    def execute(self, job: str, instance: dg.DagsterInstance, **options: Any) -> dg.ExecuteInProcessResult:
        """Run a job; a step that fails does not raise."""
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=instance, raise_on_error=False, **options
        )

    def sensor_context(self) -> dg.SensorEvaluationContext:
        """A tick of a sensor, without cursor."""
        return dg.build_sensor_context(resources={"pipeline": PipelineResource()}, definitions=self.definitions)


def over(first: date, last: date) -> dict[str, str]:
    """The tags of a run over a range of windows."""
    return {
        "dagster/asset_partition_range_start": first.isoformat(),
        "dagster/asset_partition_range_end": last.isoformat(),
    }


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """These variables are set, whatever happens to the environment, until the end of the block."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def installed(warehouse: Warehouse, dagster_template: str, home: Path) -> Iterator[Installation]:
    """An installation on this warehouse, prepared, and named by the environment."""
    beside = warehouse.url.set(database=f"{warehouse.url.database}_dagster")
    copy_database(beside, dagster_template)
    try:
        with environment(CG_HOME=str(home), CG_DATABASE_URL=libpq(warehouse.url)):
            pipeline = Pipeline.open(os.environ)
            pipeline.prepare()
            os.environ.update(pipeline.environment())
            yield Installation(pipeline, defs())
    finally:
        drop_database(beside)


def copy_database(url: URL, template: str) -> None:
    """Make a database from a template that nobody is connected to."""
    names = map(sql.Identifier, (str(url.database), template))
    _administer(url, sql.SQL("create database {} template {}").format(*names))


def drop_database(url: URL) -> None:
    """Remove a database with all its connections."""
    _administer(url, sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(str(url.database))))


def _administer(url: URL, statement: sql.Composed) -> None:
    with psycopg.connect(libpq(url.set(database="postgres")), autocommit=True) as connection:
        connection.execute(statement)
