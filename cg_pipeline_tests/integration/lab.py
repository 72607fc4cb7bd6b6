"""A warehouse to try histories on: told what sources said, it captures and recomputes as the pipeline does, and reads
back what is stored in the terms of `reference`. Emptied between the examples of a property, because a database for each
would take most of the time.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, Phase, settings

from cg_pipeline.capture import sites, staging
from cg_pipeline.capture.observation import METRICS
from cg_pipeline.clock import FixedClock
from cg_pipeline.history import stale
from cg_pipeline.history.windows import Kind, start_of
from cg_pipeline.royalties import artists
from cg_pipeline.warehouse.database import Connection, Warehouse
from cg_pipeline_tests.integration.reference import COUNTERS, PERIODS, File, Reference, Row, Told
from cg_pipeline_tests.integration.tables import recompute_stale

UTC_ZONE = ZoneInfo("UTC")
START = datetime(2026, 4, 20, 12, tzinfo=UTC)
Tables = dict[str, dict[Any, Any]]
ATTRIBUTES = ("asset_tag", "title", "publish_time", "parent_post_id")

EMPTY = """
truncate quarantine, sync_logs, csv_files, stale_windows, artist_assignments, post_versions, royalty_lines,
    royalty_rates, snapshots, deltas, posts, site_settings, sites, artists cascade
"""
CLEAR = """
delete from quarantine; delete from sync_logs; delete from csv_files; delete from stale_windows;
delete from artist_assignments; delete from post_versions; delete from royalty_lines; delete from royalty_rates;
delete from snapshot_restatements; delete from snapshots; delete from deltas; delete from posts;
delete from site_settings; delete from sites; delete from artists
"""


def examples(few: int) -> settings:
    """Settings of a property: a few examples, or as many as PROPERTY_EXAMPLES says."""
    many = os.environ.get("PROPERTY_EXAMPLES")
    return settings(
        max_examples=int(many) if many else few,
        deadline=None,
        phases=[phase for phase in Phase if phase is not Phase.explain],  # which takes minutes with a database
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


class OneConnection(Warehouse):
    """A warehouse that keeps its connections for the next caller, because most of a small test is connecting."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__(warehouse.url)
        self._idle: list[Connection] = []
        self._opened: list[Any] = []

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection that commits at the end of the block and rolls back when the block raises."""
        connection = self._idle.pop() if self._idle else self._open()
        try:
            yield connection
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        finally:
            self._idle.append(connection)

    def close(self) -> None:
        """Close what was opened."""
        for opened in self._opened:
            opened.__exit__(None, None, None)

    def _open(self) -> Connection:
        opened = super().connect()
        connection = opened.__enter__()
        connection.prepare_threshold = None  # as with a connection of one's own, nothing is planned ahead
        self._opened.append(opened)
        return connection


@dataclass(repr=False)
class Lab:
    """One warehouse, the clock, and what it has been told so far."""

    warehouse: Warehouse
    clock: FixedClock
    told: Told = field(default_factory=lambda: Told(UTC_ZONE))
    examples: int = 0

    def empty(self, zone: ZoneInfo = UTC_ZONE) -> None:
        """Forget everything. Deleting few rows is fast, but leaves dead ones behind."""
        with self.warehouse.connect() as connection:
            connection.execute(CLEAR if self.examples % 100 else EMPTY)
        self.examples += 1
        self.clock.instant = START
        self.told = Told(zone)

    def capture(self, day: date, *files: File, replace: bool = False, source: str = "csv") -> staging.Merged:
        """One load of a day: these files, on top of those that came before or in their place."""
        self.clock.instant += timedelta(seconds=1)
        now = self.clock.now()
        with self.warehouse.connect() as connection:
            staging.create(connection)
            for number, file in enumerate(files, start=1):
                staging.stage(connection, source, number, file)
            zone = self.told.zone
            merged = staging.merge(connection, staging.Capture(day, source, zone, now, now, (), replace))
        self.told.files[day] = [*([] if replace else self.told.files.get(day, [])), *files]
        return merged

    def recompute(self) -> int:
        """What the sensor of stale windows does, until nothing is stale. Returns the number of windows."""
        self.clock.instant += timedelta(seconds=1)
        return recompute_stale(self.warehouse, self.told.zone, self.clock)

    def stale(self) -> set[tuple[str, date]]:
        """The windows that wait."""
        return {(window.kind.value, window.start) for window in stale.pending(self.warehouse)}

    def stale_days(self) -> list[date]:
        """The days that wait."""
        return sorted(start for kind, start in self.stale() if kind == Kind.DAILY)

    def unsound(self) -> list[str]:
        """What is wrong in the tables although it is not marked stale."""
        return differences(self.stored(), expected(self.told), self.stale())

    def assign(self, artist: str | None, *, tag: str | None = None, post: str | None = None) -> None:
        """Give a tag or a post to an artist, who is added if need be; None takes it back."""
        self.clock.instant += timedelta(seconds=1)
        with self.warehouse.connect() as connection:
            found = self._artist(connection, artist) if artist else None
            artists.assign(connection, found, self.clock, tag=tag, post_id=post)
        named = self.told.artist_of_tag if tag is not None else self.told.artist_of_post
        named.pop(tag or post or "", None)
        if artist:
            named[tag or post or ""] = artist

    def set_rate(self, artist: str, rate: Decimal, from_day: date) -> list[date]:
        """Let a rate be in force from a day on. Returns the months that were marked."""
        self.clock.instant += timedelta(seconds=1)
        with self.warehouse.connect() as connection:
            found = self._artist(connection, artist)
            months = artists.set_rate(connection, found, rate, from_day, self.clock.now().date(), self.clock)
        self.told.rates.setdefault(artist, {})[from_day] = rate
        return months

    def pay_opening_balances(self, site: str, *, pay: bool) -> None:
        """Set a site's setting; the site must have been captured."""
        self.clock.instant += timedelta(seconds=1)
        with self.warehouse.connect() as connection:
            found = sites.find(connection, site)
            sites.put_setting(connection, found, "pay_opening_balance", str(pay).lower(), self.clock)
        self.told.paying_sites.discard(site)
        if pay:
            self.told.paying_sites.add(site)

    def _artist(self, connection: Connection, name: str) -> artists.Artist:
        if connection.execute("select from artists where name = %s", [name]).rowcount == 0:
            return artists.add(connection, name, None)
        return artists.find(connection, name)

    def rows(self, statement: Any, **values: Any) -> list[Row]:
        """What a statement returns."""
        with self.warehouse.connect() as connection:
            return connection.execute(statement, values).fetchall()

    def stored(self) -> Tables:
        """The tables in the terms of `expected`."""
        posts = self.rows("""select p.*, s.platform_id as site, a.name as artist
            from posts p left join sites s on s.id = p.site_id left join artists a on a.id = p.artist_id""")
        versions = self.rows("select * from post_versions")
        snapshots = self.rows(
            "select t.*, s.platform_id as site from snapshots t left join sites s on s.id = t.site_id"
        )
        deltas = self.rows("select d.*, a.name as artist from deltas d left join artists a on a.id = d.artist_id")
        lines = self.rows("select l.*, a.name as artist from royalty_lines l left join artists a on a.id = l.artist_id")
        seen = {row["post_id"] for row in snapshots}
        tables: Tables = {
            "posts": {row["post_id"]: _post(row) for row in posts if row["post_id"] in seen},
            "versions": {(row["post_id"], row["observed_from"]): row["attributes"] for row in versions},
            "snapshots": {(row["post_id"], row["snapshot_date"]): _snapshot(row) for row in snapshots},
            "lines": {_line_key(row): {name: row[name] for name in SHARES} for row in lines},
        }
        for row in deltas:
            table = tables.setdefault(row["period"], {})
            table[row["post_id"], row["period_start"]] = {name: row[name] for name in DELTA}
        return {name: tables.get(name, {}) for name in TABLES}


TABLES = ("posts", "versions", "snapshots", "daily", *PERIODS, "lines")
MONEY = ("earnings_delta", "opening_earnings", "currency", "earnings_from_date")
DELTA = (*COUNTERS, "base_views", "growth_rate", "from_date", "to_date", "artist", *MONEY)
SHARES = ("earnings", "artist_share", "house_share", "suspense")


def expected(told: Told) -> Tables:
    """What `Lab.stored` must return, by the reference."""
    model = Reference(told)
    return {
        "posts": {post: _expected_post(model, post) for post in model.history},
        "versions": model.versions,
        "snapshots": {
            key: {"site": seen.site, "currency": seen.currency, "metrics": seen.metrics, "raw": {"csv": seen.raw}}
            for key, seen in model.snapshots.items()
        },
        "daily": model.daily,
        **{period: model.longer(period) for period in PERIODS},
        "lines": model.lines,
    }


def differences(stored: Tables, wanted: Tables, stale: Collection[tuple[str, date]] = ()) -> list[str]:
    """Where they differ, row by row, in words. Of windows that are stale, or have a stale day, nothing is expected."""
    return [
        f"{table} {key}: stored {_only(row, other)}, expected {_only(other, row)}"
        for table in TABLES
        for key in sorted({*stored[table], *wanted[table]}, key=str)
        if (row := stored[table].get(key)) != (other := wanted[table].get(key)) and not _waits(table, key, stale)
    ]


def _only(row: Row | None, other: Row | None) -> Row | None:
    """What of a row differs from another."""
    if row is None or other is None:
        return row
    return {name: value for name, value in row.items() if name not in other or other[name] != value}


def _waits(table: str, key: Any, stale: Collection[tuple[str, date]]) -> bool:
    kind = "royalty" if table == "lines" else table
    if kind not in list(Kind):
        return False
    start = key[0] if table == "lines" else key[1]
    days = [day for waiting, day in stale if waiting == Kind.DAILY]
    return (kind, start) in stale or any(start_of(Kind(kind), day) == start for day in days)


def _post(row: Row) -> Row:
    known = {name: row[name] for name in ATTRIBUTES}
    links = {name: row[name] for name in ("previous_iteration_id", "iteration", "artist", "site")}
    return known | links | {"publish_time": row["publish_time"] and row["publish_time"].astimezone(UTC)}


def _expected_post(model: Reference, post: str) -> Row:
    known = dict.fromkeys(ATTRIBUTES) | {name: model.attributes[post].get(name) for name in ATTRIBUTES}
    published = known["publish_time"]
    previous, iteration = model.chains[post]
    return known | {
        "publish_time": published and datetime.fromisoformat(published).astimezone(UTC),
        "previous_iteration_id": previous,
        "iteration": iteration,
        "artist": model.artist_of(post),
        "site": model.site_of(post),
    }


def _snapshot(row: Row) -> Row:
    metrics = {name: row[name] for name in METRICS if row[name] is not None}
    return {"site": row["site"], "currency": row["currency"], "metrics": metrics, "raw": row["raw_data"]}


def _line_key(row: Row) -> tuple[Any, ...]:
    return (row["month"], row["post_id"], row["artist"], row["currency"], row["rate_pct"])
