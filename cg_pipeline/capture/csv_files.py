"""The register of CSV files: which versions arrived in which order, and which of them a day still has to load."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from cg_pipeline.capture import tables
from cg_pipeline.capture.inbox import Inbox, InboxFile
from cg_pipeline.errors import NotFound
from cg_pipeline.warehouse.database import Connection, Warehouse
from cg_pipeline.warehouse.sql import query

MOST_DAYS_A_TICK = 25
SETTLE = timedelta(seconds=5)


@dataclass(frozen=True)
class KnownFile:
    """A version of a file. `loaded_at` is set while the snapshots hold what it says."""

    id: UUID
    name: str
    sha256: str
    size_bytes: int
    modified_at: datetime
    arrival_number: int
    status: str
    encoding: str | None
    site_id: UUID | None
    loaded_at: datetime | None
    message: str | None


@dataclass(frozen=True)
class Plan:
    """The files to load, in order of arrival. `rebuild`: they are all of the day and replace what it said before."""

    files: list[KnownFile]
    rebuild: bool


def register(connection: Connection, inbox: Inbox, as_of: date, now: datetime) -> list[KnownFile]:
    """Note which files have come or changed since the last time, and return the register of the day.

    A file that lies under a known name with other bytes replaces what was there. Of files with the same bytes the first
    that came counts, and the others are its duplicates until it is taken back. A file that cannot be decoded is
    refused here.
    """
    lock(connection, as_of)
    seen = {
        (file.name, file.size_bytes, file.modified_at) for file in known(connection, as_of) if file.status != "replaced"
    }
    folder = inbox.folder(as_of)
    for file in folder:
        if (file.name, file.size_bytes, file.modified_at) not in seen:
            _add(connection, inbox, file, now)
    connection.execute(query("csv_files.tell_duplicates"), {"as_of": as_of, "present": [file.name for file in folder]})
    return known(connection, as_of)


def lock(connection: Connection, as_of: date) -> None:
    """Wait until nobody else changes the register of the day or loads it; others wait until the transaction ends."""
    connection.execute(query("csv_files.lock_day"), {"as_of": as_of})


def known(connection: Connection, as_of: date) -> list[KnownFile]:
    """The register of a day in order of arrival."""
    return [KnownFile(**row) for row in connection.execute(query("csv_files.of_day"), {"as_of": as_of})]


def plan(files: Sequence[KnownFile], present: set[str], *, reload: bool) -> Plan:
    """Which files to load, given those that the register knows and the names that lie in the inbox.

    New files are loaded on top of the others. The day is rebuilt from all its files, refused ones included, when
    something must be taken back (a version was replaced or withdrawn), when a file came before one that is loaded
    already, or when `reload` asks for it. Raises NotFound when a rebuild would need a file that is no longer in the
    inbox.
    """
    current = [file for file in files if file.status in {"arrived", "loaded", "refused"}]
    waiting = [file for file in current if file.status == "arrived" and file.name in present]
    last_loaded = max((file.arrival_number for file in files if file.loaded_at), default=0)
    taken_back = any(file.loaded_at for file in files if file.status in {"replaced", "withdrawn"})
    late = any(file.arrival_number < last_loaded for file in waiting)
    if not (reload or taken_back or late):
        return Plan(waiting, rebuild=False)
    if missing := [file.name for file in current if file.loaded_at and file.name not in present]:
        message = (
            f"The day must be rebuilt from all its files, but the inbox no longer has {', '.join(missing)}: "
            "put them back, or take them out for good with `cg csv withdraw`."
        )
        raise NotFound(message)
    return Plan([file for file in current if file.name in present], rebuild=True)


def tell(
    connection: Connection, inbox: Inbox, as_of: date, names: Sequence[str], site_id: UUID | None, now: datetime
) -> bool:
    """Register files that were put into the inbox, and whose rows they hold, where somebody knows.

    Returns whether the day must be read anew, because one of them was refused before.
    """
    files = [file for file in register(connection, inbox, as_of, now) if file.name in names]
    if site_id is not None:
        for file in files:
            connection.execute(query("csv_files.tell_site"), {"id": file.id, "site_id": site_id})
    return any(file.status == "refused" for file in files)


def withdraw(connection: Connection, as_of: date, name: str) -> None:
    """Take a file out of the register. Raises NotFound when the day has no such file."""
    lock(connection, as_of)
    if not connection.execute(query("csv_files.withdraw"), {"as_of": as_of, "name": name}).fetchall():
        message = f'No file "{name}" of {as_of} is loaded or waits: see `cg csv list --as-of {as_of}`.'
        raise NotFound(message)


@dataclass(frozen=True)
class Arrival:
    """A day with files that wait to be loaded; `key` names this state of its folder in this hour."""

    day: date
    key: str


def arrivals(warehouse: Warehouse, inbox: Inbox, now: datetime) -> list[Arrival]:
    """The days with files that are new, changed, or not loaded yet although a run has seen them.

    Oldest first; those that a run has seen come last, so that days that keep failing do not crowd out the others. A
    day waits while one of these files is being written.
    """
    with warehouse.connect() as connection:
        rows = connection.execute(query("csv_files.newest")).fetchall()
    waits = {(row["as_of"], row["name"], row["size_bytes"], row["modified_at"]): row["waits"] for row in rows}
    unseen: list[Arrival] = []
    seen: list[Arrival] = []
    for day, files in sorted(inbox.days().items()):
        states = {file: waits.get((day, file.name, file.size_bytes, file.modified_at)) for file in files}
        due = [file for file, waiting in states.items() if waiting is not False]
        if due and all(abs(now - file.modified_at) > SETTLE for file in due):
            (unseen if None in states.values() else seen).append(Arrival(day, _folder_key(files, now)))
    return unseen + seen


def _folder_key(files: Sequence[InboxFile], now: datetime) -> str:
    """Differs whenever a file of the folder does, and each hour: a key whose run failed is never run again."""
    listing = "\n".join(f"{file.name} {file.size_bytes} {file.modified_at.isoformat()}" for file in files)
    return f"{files[0].as_of}:{hashlib.sha256(listing.encode()).hexdigest()[:16]}:{now:%Y%m%dT%H}"


def holds_data(file: KnownFile, files: Sequence[KnownFile]) -> bool:
    """Whether the snapshots hold what this file, or a former version of it, says."""
    return any(other.loaded_at for other in files if other.name == file.name)


def _add(connection: Connection, inbox: Inbox, file: InboxFile, now: datetime) -> None:
    with inbox.open(file.as_of, file.name) as stream:
        bytes_ = tables.fingerprint(stream)
    values = {
        "as_of": file.as_of,
        "name": file.name,
        "modified_at": file.modified_at,
        "now": now,
        "sha256": bytes_.sha256,
        "size_bytes": bytes_.size_bytes,
        "encoding": bytes_.encoding,
        "refusal": str(bytes_.refusal) if bytes_.refusal else None,
    }
    connection.execute(query("csv_files.replace_others"), values)
    connection.execute(query("csv_files.add"), values)
