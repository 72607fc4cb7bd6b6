"""Brings the warehouse's schema to the newest revision. The schema is in `sql/migrations`, one file a revision."""

from datetime import date
from pathlib import Path

from alembic import command, op
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from dateutil.relativedelta import relativedelta
from psycopg import Connection
from sqlalchemy import text

from cg_pipeline.warehouse.database import Warehouse, ensure_database
from cg_pipeline.warehouse.sql import MIGRATIONS, query

PARTITIONED = ("snapshots", "deltas", "webhook_events")
MONTHS_AHEAD = 3
MANY_ROWS = 5_000
"""Rows that a partition has just got: enough to mislead the planner if it is not told (`partitions.analyze_...`)."""

_LOCK = 7_042_015  # two processes that start together must not migrate together


def migrate(warehouse: Warehouse, today: date) -> tuple[str | None, str]:
    """Create the database if it is missing, bring its schema to the newest revision, make the coming partitions.

    Returns the revision before (None: new database) and after. Safe to call at any time by several processes.
    """
    ensure_database(warehouse.url)
    before = current_revision(warehouse)
    engine = warehouse.engine()
    with engine.connect() as connection:
        connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": _LOCK})
        connection.commit()
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
    ensure_partitions(warehouse, today, today)
    return before, newest_revision()


def ensure_partitions(warehouse: Warehouse, first_day: date, last_day: date) -> int:
    """Make the monthly partitions for the days from first to last and some months ahead; return how many were new.

    Runs in a transaction of its own: making a partition locks out readers for its duration.
    """
    days = {"first_day": first_day, "last_day": last_day + relativedelta(months=MONTHS_AHEAD)}
    made = 0
    for table in PARTITIONED:
        with warehouse.connect() as connection:
            row = connection.execute(query("partitions.ensure"), {"parent": table, **days}).fetchone()
            made += row["made"] if row else 0
    return made


def current_revision(warehouse: Warehouse) -> str | None:
    """The revision that the database has, or None for an empty one."""
    engine = warehouse.engine()
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def newest_revision() -> str:
    """The revision that this program needs."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def run_file_beside(revision_file: str) -> None:
    """Run the .sql file that lies beside a revision's .py file, as it is, on Alembic's connection."""
    script = Path(revision_file).with_suffix(".sql").read_text(encoding="utf-8")
    connection = op.get_bind().connection.driver_connection
    if not isinstance(connection, Connection):
        message = f"migrations need psycopg 3, not {type(connection)}"
        raise TypeError(message)
    connection.execute(script.encode())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "alembic"))
    config.set_main_option("version_locations", str(MIGRATIONS))
    config.set_main_option("path_separator", "newline")
    return config
