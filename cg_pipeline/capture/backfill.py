"""Backfills: what the ledger says of each day of a source, the fewest runs for what is due, what these would change.

Planning is pure functions over rows of the ledger; a rehearsal does the real work in a transaction that is rolled back.
The runs are executed by Dagster's jobs, elsewhere.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum
from functools import partial
from itertools import groupby
from time import perf_counter
from typing import Any
from uuid import UUID

from cg_pipeline import progress
from cg_pipeline.capture import csv_partition
from cg_pipeline.capture.access import ConnectedSite, Platforms, connected_sites
from cg_pipeline.capture.asof import ALTERNATIVES, require_as_of
from cg_pipeline.capture.csv_partition import DayReport, load_day
from cg_pipeline.capture.inbox import Inbox, InboxFile
from cg_pipeline.capture.platform_day import restorable_days
from cg_pipeline.capture.site_day import SiteReplay
from cg_pipeline.clock import Clock
from cg_pipeline.config import Settings
from cg_pipeline.errors import ConfigError, NotAsOf, Permanent, Transient
from cg_pipeline.platforms.connectors import connector
from cg_pipeline.warehouse.database import Connection, Warehouse
from cg_pipeline.warehouse.sql import query

MOST_DAYS_A_RUN = 100
ONE_DAY = timedelta(days=1)
Row = Mapping[str, Any]


class State(StrEnum):
    """What the ledger says of a day of a source, or of one of its sites."""

    MISSING = "missing"  # can be had, and nothing has tried since
    FAILED = "failed"  # the last attempt did not end well
    CAPTURED = "captured"
    IMPOSSIBLE = "impossible"  # nobody can tell of it, or not before a person has done something


DUE = frozenset({State.MISSING, State.FAILED})


class Means(StrEnum):
    """How a day is brought."""

    LOAD = "load files"
    CAPTURE = "ask the platform"
    RESTORE = "read stored answers"


@dataclass(frozen=True)
class Site:
    """A site with what estimates need: its posts, and how many seconds its captures took (None: there was none yet)."""

    connected: ConnectedSite
    posts: int
    seconds: float | None

    def requests(self) -> int:
        """The fewest by which a day of the site can be captured, as far as its posts are known."""
        return connector(self.connected.platform).minimum_calls(max(self.posts, 1))


@dataclass(frozen=True)
class Day:
    """A day of the CSV inbox, or of one site of a platform.

    `reason` says why it is not captured. `again`: it is done, or was refused, and can be read again.
    """

    day: date
    state: State
    means: Means
    reason: str = ""
    site: Site | None = None
    again: bool = False


@dataclass(frozen=True)
class Run:
    """One run of a job: a range of days of the inbox, or one day of some sites of a platform."""

    source: str
    first: date
    last: date
    means: Means
    sites: tuple[Site, ...] = ()
    again: bool = False

    def __str__(self) -> str:
        return f"{self.source} {self.first}" + ("" if self.first == self.last else f" to {self.last}")

    @property
    def days(self) -> list[date]:
        """The days of the range."""
        return [self.first + number * ONE_DAY for number in range((self.last - self.first).days + 1)]

    @property
    def requests(self) -> int:
        """The fewest requests that it will send."""
        return sum(site.requests() for site in self.sites) if self.means is Means.CAPTURE else 0

    def seconds(self, sites_at_once: int) -> float | None:
        """How long it will take, by the experience with its sites; None where there is none with one of them."""
        known = [site.seconds for site in self.sites if site.seconds is not None]
        if not self.sites or len(known) < len(self.sites):
            return None
        return max(*known, sum(known) / (sites_at_once if self.means is Means.CAPTURE else 1), 0)


@dataclass(frozen=True)
class Wanted:
    """What to plan: the days from `first` to `last` of a source that are in one of the `states`."""

    source: str
    first: date
    last: date
    sites: Sequence[str] = ()
    states: frozenset[State] = DUE
    newest_first: bool = False


@dataclass(frozen=True)
class Plan:
    """All days that were looked at, and the runs for those that were wanted."""

    days: list[Day]
    runs: list[Run]


def plan(platforms: Platforms, inbox: Inbox, wanted: Wanted) -> Plan:
    """Compare the ledger with what can be had, in a transaction that can write nothing.

    Raises ConfigError when sites of the inbox are named, NotFound for a site that there is not.
    """
    with platforms.warehouse.connect() as connection:
        connection.execute(query("backfill.read_only"))
        if wanted.source == csv_partition.SOURCE:
            days = _days_of_inbox(connection, inbox, wanted)
        else:
            days = _days_of_platform(connection, platforms, wanted)
    due = [day for day in days if day.state in wanted.states and (day.state in DUE or day.again)]
    runs = group(wanted.source, due)
    return Plan(days, runs[::-1] if wanted.newest_first else runs)


def group(source: str, days: Iterable[Day]) -> list[Run]:
    """The fewest runs, oldest first: ranges of days of the inbox, or a run for each day of a platform."""
    ordered = sorted(days, key=lambda each: each.day)
    if source != csv_partition.SOURCE:
        return [_one_day(source, list(same)) for _, same in groupby(ordered, key=lambda each: each.day)]
    runs: list[Run] = []
    for each in ordered:
        last = runs[-1] if runs else None
        if last and each.day - last.last == ONE_DAY and each.again == last.again and len(last.days) < MOST_DAYS_A_RUN:
            runs[-1] = replace(last, last=each.day)
        else:
            runs.append(Run(source, each.day, each.day, Means.LOAD, again=each.again))
    return runs


def _one_day(source: str, days: Sequence[Day]) -> Run:
    sites = tuple(each.site for each in days if each.site)
    return Run(source, days[0].day, days[0].day, days[0].means, sites, any(each.again for each in days))


def _days_of_inbox(connection: Connection, inbox: Inbox, wanted: Wanted) -> list[Day]:
    if wanted.sites:
        message = "A day of the CSV inbox is loaded whole, whoever its rows belong to: leave --site out."
        raise ConfigError(message)
    known: dict[date, list[Row]] = {}
    for row in connection.execute(query("backfill.files"), {"first": wanted.first, "last": wanted.last}):
        known.setdefault(row["as_of"], []).append(row)
    lying, span = inbox.days(), Run(wanted.source, wanted.first, wanted.last, Means.LOAD)
    return [day_of_inbox(day, lying.get(day, []), known.get(day, [])) for day in span.days]


def day_of_inbox(day: date, lying: Sequence[InboxFile], known: Sequence[Row]) -> Day:
    """What becomes of a day, given the files that lie in its folder and those that the register knows."""
    status = {(row["name"], row["size_bytes"], row["modified_at"]): row for row in known}
    found = [status.get((file.name, file.size_bytes, file.modified_at)) for file in lying]
    new = sum(row is None for row in found)
    waiting = sum(row is not None and row["status"] == "arrived" for row in found)
    refused = [row for row in found if row is not None and row["status"] == "refused"]
    if new:
        return Day(day, State.MISSING, Means.LOAD, f"Files that were not read yet: {new}.", again=bool(refused))
    if waiting:
        return Day(day, State.FAILED, Means.LOAD, f"Files whose load was cut off or failed: {waiting}.")
    if refused:
        return Day(
            day, State.FAILED, Means.LOAD, f"{refused[0]['name']} was refused: {refused[0]['message']}", again=True
        )
    if any(row["status"] == "loaded" for row in known):
        return Day(day, State.CAPTURED, Means.LOAD, again=bool(lying))
    return Day(day, State.IMPOSSIBLE, Means.LOAD, "The inbox has no file of the day.")


def _days_of_platform(connection: Connection, platforms: Platforms, wanted: Wanted) -> list[Day]:
    sites = _sites(connection, connected_sites(connection, wanted.source, wanted.sites))
    values = {"sites": list(sites), "first": wanted.first, "last": wanted.last}
    stored = restorable_days(connection, list(sites), wanted.first, wanted.last)
    return [
        day_of_site(
            row, sites[row["site_id"]], can_ask=_can_ask(platforms, wanted.source, row["day"]),
            is_stored=(row["site_id"], row["day"]) in stored,
        )
        for row in connection.execute(query("backfill.site_days"), values)
    ]  # fmt: skip


def _sites(connection: Connection, connected: Sequence[ConnectedSite]) -> dict[UUID, Site]:
    rows = connection.execute(query("backfill.site_facts"), {"sites": [site.id for site in connected]})
    facts = {row["site_id"]: row for row in rows}
    return {site.id: Site(site, facts[site.id]["posts"], facts[site.id]["seconds"]) for site in connected}


def _can_ask(platforms: Platforms, platform: str, day: date) -> bool:
    settings, as_of = platforms.settings, connector(platform).as_of
    try:
        require_as_of(platform, as_of, day, platforms.clock.now(), settings.timezone, settings.closing_grace)
    except NotAsOf:
        return False
    return True


def day_of_site(row: Row, site: Site, *, can_ask: bool, is_stored: bool) -> Day:
    """What becomes of a day of a site, given its newest full capture, and who can tell of it."""
    is_done = row["status"] == "completed"
    means, again = Means.CAPTURE if can_ask else Means.RESTORE, is_done and (can_ask or is_stored)
    day = Day(row["day"], State.CAPTURED, means, site=site, again=again)
    if is_done and not row["is_empty"]:
        return day
    if obstacle := _obstacle(site.connected, can_ask=can_ask, is_stored=is_stored):
        return replace(day, state=State.IMPOSSIBLE, reason=obstacle)
    if is_done:
        return replace(day, state=State.MISSING, reason="It was captured, but its rows are gone.")
    if row["status"] is None:
        return replace(day, state=State.MISSING, reason="It was never captured.")
    return replace(day, state=State.FAILED, reason=row["message"] or f"The last capture is {row['status']}.")


def _obstacle(site: ConnectedSite, *, can_ask: bool, is_stored: bool) -> str | None:
    """Why nobody can bring a day of the site now, and what to do."""
    if not can_ask:
        reason = f"Nothing is stored, and {site.platform} only tells today's counters. {ALTERNATIVES}"
        return None if is_stored else reason
    if site.sync_status == "paused":
        return "The site is paused: resume it with `cg site resume`."
    if site.sync_status == "disconnected":
        return "The site is disconnected: connect it again with `cg site token`."
    return None


@dataclass
class DaysReport:
    """What loading some days of the inbox did; a day that failed did not stop the others."""

    loaded: list[DayReport] = field(default_factory=list)
    failed: dict[date, Exception] = field(default_factory=dict)

    def require_all(self) -> None:
        """Raises what the only day raised, or one error that names all days that failed."""
        if not self.failed:
            return
        first = next(iter(self.failed.values()))
        if len(self.failed) + len(self.loaded) == 1:
            raise first
        lines = "\n".join(f"{day}: {problem}" for day, problem in self.failed.items())
        message = (
            f"{len(self.failed)} of {len(self.failed) + len(self.loaded)} days failed; the others landed.\n{lines}"
        )
        transient = all(isinstance(problem, Transient) for problem in self.failed.values())
        raise (Transient if transient else Permanent)(message) from first


def load_days(
    warehouse: Warehouse, inbox: Inbox, days: Sequence[date], settings: Settings, clock: Clock, *, reload: bool = False
) -> DaysReport:
    """Load days of the inbox one after the other, each in a transaction of its own."""
    report = DaysReport()
    for number, day in enumerate(days, start=1):
        try:
            loaded = load_day(warehouse, inbox, day, settings, clock, reload=reload, progress=progress.report)
            report.loaded.append(loaded)
        except Exception as problem:  # the other days must go on, whatever it is
            report.failed[day] = problem
        progress.report(f"day {day}", number)
    return report


@dataclass(frozen=True)
class Rehearsed:
    """What a run would do to the snapshots of a day (of a site, of a platform); `message` says what would go wrong.
    `transaction` is the one in which it was tried and rolled back, by PostgreSQL's number."""

    day: date
    site: str | None
    transaction: str
    seconds: float
    inserted: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    message: str | None = None


class _OneTransaction(Warehouse):
    """A warehouse in which everything happens in the transaction of one connection, whose end is up to its owner."""

    def __init__(self, warehouse: Warehouse, connection: Connection) -> None:
        super().__init__(warehouse.url)
        self._connection = connection

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """The connection; nothing is committed."""
        yield self._connection


def rehearse(platforms: Platforms, inbox: Inbox, run: Run) -> Iterator[Rehearsed]:
    """Do what the run would do, day by day, and roll it back. Of what a platform must be asked for nothing is known."""
    for day in run.days:
        if run.means is Means.LOAD:
            yield _rehearse(platforms, run.source, day, None, partial(_load, inbox, day, reload=run.again))
        elif run.means is Means.RESTORE:
            for site in run.sites:
                yield _rehearse(platforms, run.source, day, site.connected, partial(_restore, site.connected, day))


def _load(inbox: Inbox, day: date, inside: Platforms, *, reload: bool) -> str | None:
    """Load a day, and say what would be refused."""
    done = load_day(inside.warehouse, inbox, day, inside.settings, inside.clock, reload=reload)
    return "; ".join(f"{file.name} would be refused: {file.message}" for file in done.refused) or None


def _restore(site: ConnectedSite, day: date, inside: Platforms) -> str | None:
    """Replay a day of a site, and say why that would not do."""
    done = SiteReplay(inside, connector(site.platform), site, day).run()
    return done.message if done.status != "completed" else None


def _rehearse(
    platforms: Platforms, source: str, day: date, site: ConnectedSite | None, work: Callable[[Platforms], str | None]
) -> Rehearsed:
    began, transaction, counts, message = perf_counter(), "", dict[str, Any](), None
    values = {"day": day, "source": source, "site_id": site.id if site else None}
    with platforms.warehouse.connect() as connection:
        try:
            transaction = (connection.execute(query("backfill.transaction")).fetchone() or {})["id"]
            connection.execute(query("backfill.do_not_wait_long"))
            connection.execute(query("backfill.remember_day"), values)
            message = work(replace(platforms, warehouse=_OneTransaction(platforms.warehouse, connection)))
            counts = connection.execute(query("backfill.compare_day"), values).fetchone() or {}
        except Exception as problem:  # it is what the run would come upon
            message = message or str(problem)
        finally:
            connection.rollback()
    name, seconds = site.name if site else None, round(perf_counter() - began, 3)
    return Rehearsed(day, name, transaction, seconds, message=message, **counts)


def not_rolled_back(warehouse: Warehouse, rehearsed: Iterable[Rehearsed]) -> list[str]:
    """The transactions of rehearsals that PostgreSQL does not know as rolled back: none, if nothing was written."""
    values = {"ids": [each.transaction for each in rehearsed]}
    with warehouse.connect() as connection:
        return [row["id"] for row in connection.execute(query("backfill.not_rolled_back"), values)]
