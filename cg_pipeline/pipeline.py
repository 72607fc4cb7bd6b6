"""One installation of the pipeline, opened: its settings, its databases, its inbox and its clock. No rules here."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from cg_pipeline import config
from cg_pipeline.capture.access import Platforms
from cg_pipeline.capture.inbox import Inbox
from cg_pipeline.clock import Clock, ShiftedClock, SystemClock, today
from cg_pipeline.config import PROJECT, Settings
from cg_pipeline.history import breaks
from cg_pipeline.platforms.definitions import BREAKS
from cg_pipeline.warehouse.database import Addresses, Warehouse, ensure_database
from cg_pipeline.warehouse.migrate import migrate


@dataclass(frozen=True)
class Pipeline:
    """What every command, asset and sensor works with."""

    settings: Settings
    clock: Clock

    @classmethod
    def open(cls, environ: Mapping[str, str] = os.environ, clock: Clock | None = None) -> "Pipeline":
        """The installation that the environment describes. Connects to nothing yet. Raises ConfigError.

        CG_CLOCK_SHIFT_SECONDS, for simulations, lets all its processes live at another time.
        """
        shift = timedelta(seconds=int(environ.get("CG_CLOCK_SHIFT_SECONDS") or 0))
        return cls(config.load(environ), clock or (ShiftedClock(shift) if shift else SystemClock()))

    @cached_property
    def addresses(self) -> Addresses:
        """Where the databases are; starts the embedded server when none are named."""
        return Addresses.of(self.settings)

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse database."""
        return Warehouse(self.addresses.warehouse)

    @cached_property
    def inbox(self) -> Inbox:
        """The CSV inbox."""
        return Inbox(self.settings.inbox)

    @cached_property
    def platforms(self) -> Platforms:
        """How the platforms are reached."""
        return Platforms(self.warehouse, self.settings, self.clock)

    def prepare(self) -> tuple[str | None, str]:
        """Make everything that a run needs: databases and their schema, the inbox, Dagster's home.

        Safe to repeat. Returns the schema's revision before and after.
        """
        self.settings.home.mkdir(parents=True, exist_ok=True)
        revisions = migrate(self.warehouse, today(self.clock, self.settings.timezone))
        with self.warehouse.connect() as connection:
            breaks.sync(connection, BREAKS, self.clock.now())
        ensure_database(self.addresses.dagster.set(drivername="postgresql"), is_log=self.settings.database_url is None)
        self.inbox.create()
        self.settings.dagster_home.mkdir(exist_ok=True)
        part = self.settings.dagster_home / f".dagster.{os.getpid()}.yaml"
        shutil.copyfile(PROJECT / "dagster.yaml", part)
        part.replace(self.settings.dagster_home / "dagster.yaml")
        return revisions

    def environment(self) -> dict[str, str]:
        """The variables by which Dagster and its runs find this installation."""
        settings = self.settings
        return {
            **self.addresses.environment(),
            "CG_HOME": str(settings.home),
            "CG_INBOX": settings.inbox,
            "CG_TIMEZONE": settings.timezone.key,
            "CG_HISTORY_START": settings.history_start.isoformat(),
            "CG_SETTLE_SECONDS": str(int(settings.settle.total_seconds())),
            "CG_SETTLE_LIMIT_SECONDS": str(int(settings.settle_limit.total_seconds())),
            "DAGSTER_HOME": str(settings.dagster_home),
            "DAGSTER_EVENT_BATCH_SIZE": "100",
        }
