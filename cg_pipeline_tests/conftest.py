"""What all tests share: a PostgreSQL server, a fresh migrated database for each test that asks, a fixed clock.

The server is the one that CG_TEST_DATABASE_URL names (PostgreSQL 15 or newer, a role that may create databases),
otherwise an embedded one. Several test processes may share it.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, make_url
from xdist.scheduler import LoadScopeScheduling

from cg_pipeline.clock import FixedClock
from cg_pipeline.warehouse import embedded
from cg_pipeline.warehouse.database import Connection, Warehouse, libpq
from cg_pipeline.warehouse.migrate import migrate

SERVER = "CG_TEST_DATABASE_URL"
SCREENSHOTS = "CG_SCREENSHOTS"

MEMORY, ROOM = Path("/dev/shm"), 8 << 30  # noqa: S108  mkdtemp makes names of its own there

_numbers = count(1)


def pytest_configure() -> None:
    """A developer's own settings must not reach the tests, nor tests a developer's own installation."""
    for name in list(os.environ):
        if name.startswith(("CG_", "DAGSTER_")) and name not in {SERVER, SCREENSHOTS}:
            del os.environ[name]
    os.environ["CG_HOME"] = "/dev/null/no-installation"  # cannot be made: each test names its own


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow files come first, so that no process is left with one of them when the others have ended.

    Slow tests go without coverage, which makes Dagster half as slow again: quick tests reach the same lines.
    """
    slow = {_together(item.nodeid) for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: _together(item.nodeid) not in slow)
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker("no_cover")


class FileByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives the tests that belong together to one process."""

    def _split_scope(self, nodeid: str) -> str:
        return _together(nodeid)


def _together(nodeid: str) -> str:
    """The tests of a file, and all that look at the demo: making it takes a minute."""
    file = nodeid.partition("::")[0]
    return "demo" if file.endswith(("test_cli.py", "test_ui.py")) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileByFile:
    """Which test goes to which process, whatever --dist says."""
    return FileByFile(config, log)


def pytest_report_header() -> str:
    """Which PostgreSQL the tests use; never starts one."""
    address = os.environ.get(SERVER)
    if not address:
        return "PostgreSQL: embedded"
    url = make_url(address)
    try:
        with _administer(url, connect_timeout=3) as connection:
            version = connection.info.parameter_status("server_version")
    except psycopg.OperationalError:
        version = "does not answer"
    return f"PostgreSQL: {url.host or 'local'}:{url.port or 5432}, {version}"


@pytest.fixture(scope="session")
def server_url() -> URL:
    """The test server; the database in the address means nothing."""
    if os.environ.get(SERVER):
        return make_url(os.environ[SERVER])
    folder = new_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # after the server has stopped
    url = embedded.start(folder)
    with _administer(url) as connection:
        connection.execute("alter system set fsync = off")
        connection.execute("select pg_reload_conf()")
    return url


@pytest.fixture(scope="session")
def template(server_url: URL) -> Iterator[str]:
    """Name of a migrated database, without rows and without connections, for the others to be copied from."""
    with _unused(server_url) as url:
        migrate(Warehouse(url), date(2026, 1, 1))
        yield str(url.database)


@pytest.fixture
def new_url(server_url: URL) -> Iterator[URL]:
    """Address of a database that does not exist yet; dropped afterwards if the test has made it."""
    with _unused(server_url) as url:
        yield url


@pytest.fixture
def make_warehouse(server_url: URL, template: str) -> Iterator[Callable[[], Warehouse]]:
    """Makes fresh migrated warehouses with the partitions of January to April 2026."""
    with ExitStack() as stack:

        def make() -> Warehouse:
            url = stack.enter_context(_unused(server_url))
            names = map(sql.Identifier, (str(url.database), template))
            with _administer(url) as connection:
                connection.execute(sql.SQL("create database {} template {} strategy file_copy").format(*names))
            return Warehouse(url)

        yield make


@pytest.fixture
def warehouse(make_warehouse: Callable[[], Warehouse]) -> Warehouse:
    """A fresh migrated warehouse."""
    return make_warehouse()


@pytest.fixture
def connection(warehouse: Warehouse) -> Iterator[Connection]:
    """An open connection to the fresh warehouse; commits at the end."""
    with warehouse.connect() as connection:
        yield connection


@pytest.fixture
def clock() -> FixedClock:
    """Stands at noon on 15 January 2026."""
    return FixedClock(datetime(2026, 1, 15, 12, tzinfo=UTC))


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """A folder in which a command may start a server of its own."""
    folder = new_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def new_folder() -> Path:
    """A folder outside of pytest's own: where tests run as root, a server runs as another user, and the next session of
    pytest that starts would close its folder to it, which ends the server.

    In memory where there is room: a database is made of hundreds of files, which takes ten times as long on a disk.
    """
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    return Path(tempfile.mkdtemp(prefix="cg_test_", dir=MEMORY if has_room else None))


@contextmanager
def _unused(server: URL) -> Iterator[URL]:
    url = server.set(database=f"cg_test_{os.getpid()}_{next(_numbers)}")
    try:
        yield url
    finally:
        name = sql.Identifier(str(url.database))
        with _administer(server) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(name))


@contextmanager
def _administer(server: URL, **options: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(libpq(server.set(database="postgres")), autocommit=True, **options) as connection:
        yield connection
