"""Connections to the warehouse. Addresses and connections belong here; statements belong in `sql/queries`."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

import orjson
import psycopg
from psycopg import errors, sql
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_dumps
from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from cg_pipeline.config import Settings
from cg_pipeline.errors import ConfigError, Unavailable
from cg_pipeline.warehouse import embedded

Connection = psycopg.Connection[DictRow]

MINIMUM_VERSION = 15

# Compiling a statement takes longer than any of them runs on a day's rows.
OPTIONS = "-c timezone=UTC -c jit=off"


@dataclass(frozen=True)
class Addresses:
    """Where the two databases of an installation are."""

    warehouse: URL
    dagster: URL

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The addresses that the settings name; starts the embedded server when they name none."""
        if settings.database_url:
            warehouse = _url("CG_DATABASE_URL", settings.database_url)
        else:
            warehouse = embedded.start(settings.home).set(database="cg_warehouse")
        beside = warehouse.set(database=f"{warehouse.database}_dagster")
        dagster = _url("CG_DAGSTER_URL", settings.dagster_url) if settings.dagster_url else beside
        return cls(warehouse.set(drivername="postgresql+psycopg"), dagster.set(drivername="postgresql+psycopg2"))

    def environment(self) -> dict[str, str]:
        """The variables by which child processes find the same databases."""
        return {
            "CG_DATABASE_URL": libpq(self.warehouse),
            "CG_DAGSTER_URL": self.dagster.render_as_string(hide_password=False),
        }


def libpq(url: URL) -> str:
    """The address as psql and psycopg read it, password included."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


class Warehouse:
    """The warehouse database: hands out connections, each with rows as dictionaries, times in UTC."""

    def __init__(self, url: str | URL) -> None:
        self.url = make_url(url).set(drivername="postgresql+psycopg")

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection that commits at the end of the block and rolls back when the block raises.

        Raises Unavailable when the server does not answer.
        """
        try:
            connection = psycopg.connect(libpq(self.url), row_factory=dict_row, options=OPTIONS)
        except psycopg.OperationalError as error:
            message = f"PostgreSQL does not answer at {self.url!r}: {error}"
            raise Unavailable(message) from error
        with connection:
            set_json_dumps(orjson.dumps, connection)  # ten times as fast as the standard library's on a payload
            yield connection

    def engine(self, **options: Any) -> Engine:
        """A SQLAlchemy engine on the same database, for the models."""
        return create_engine(self.url, connect_args={"options": OPTIONS}, **options)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session on the models that commits at the end of the block and rolls back when the block raises."""
        engine = self.engine()
        try:
            with Session(engine) as session, session.begin():
                yield session
        finally:
            engine.dispose()


def ensure_database(url: URL, *, is_log: bool = False) -> None:
    """Create the database if its server has none of that name.

    `is_log`: it holds a log of many small writes, the last of which may be lost when the machine dies.
    Raises Unavailable when the server does not answer, ConfigError when it is older than PostgreSQL 15.
    """
    try:
        with psycopg.connect(libpq(url), connect_timeout=10) as connection:
            _require_version(connection)
            return
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            message = f"PostgreSQL does not answer at {url!r}: {error}"
            raise Unavailable(message) from error
    with psycopg.connect(libpq(url.set(database="postgres")), autocommit=True) as connection:
        _require_version(connection)
        with suppress(errors.DuplicateDatabase, errors.UniqueViolation):  # another process made it meanwhile
            name = sql.Identifier(str(url.database))
            connection.execute(sql.SQL("create database {}").format(name))
            if is_log:
                connection.execute(sql.SQL("alter database {} set synchronous_commit = off").format(name))


def _require_version(connection: psycopg.Connection[Any]) -> None:
    version = connection.info.server_version // 10_000
    if version < MINIMUM_VERSION:
        message = f"PostgreSQL {version} is too old: the warehouse needs {MINIMUM_VERSION} or newer."
        raise ConfigError(message)


def _url(variable: str, text: str) -> URL:
    try:
        url = make_url(text)
    except ArgumentError as error:
        message = f"{variable} is no database address; write it like postgresql://user:password@host:5432/cg."
        raise ConfigError(message) from error
    if url.get_backend_name() not in {"postgresql", "postgres"} or not url.database:
        message = f"{variable} must name a PostgreSQL database, like postgresql://user:password@host:5432/cg."
        raise ConfigError(message)
    return url
