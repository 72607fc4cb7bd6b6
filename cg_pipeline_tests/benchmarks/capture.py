"""Capture of a day's wide rows against a bare COPY of the same rows, and daily deltas against a bare INSERT ... SELECT.

The baseline table has the columns, constraints, foreign keys, indexes and the day before of the real one; both are fed
from the same records by the same driver."""

import gc
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from cg_pipeline.capture import staging
from cg_pipeline.capture.observation import METRICS, Observation, Page
from cg_pipeline.clock import SystemClock
from cg_pipeline.history import deltas
from cg_pipeline.history.windows import Kind
from cg_pipeline.warehouse.database import Connection, Warehouse
from cg_pipeline_tests.benchmarks.database import Measurement

FIRST_DAY = date(2026, 11, 2)
PAGES = 20
ZONE = ZoneInfo("UTC")
CLOCK = SystemClock()

MAKE_BARE_SNAPSHOTS = """
create table bare (like snapshots including all) partition by range (snapshot_date);
create table bare_1 partition of bare for values from ('2026-11-01') to ('2026-12-01');
alter table bare add foreign key (post_id) references posts, add foreign key (site_id) references sites;
insert into bare select * from snapshots where snapshot_date < '{day}';
analyze bare;
"""
COPY_BARE = (
    "copy bare (post_id, snapshot_date, data_source, site_id, "
    + ", ".join(METRICS)
    + ", currency, raw_data, observed_at) from stdin"
)
INSERT_BARE = "insert into bare ({columns}) select {columns} from computed"
MAKE_BARE_DELTAS = """
create table bare (like deltas including all) partition by range (period_start);
create table bare_1 partition of bare for values from ('2026-11-01') to ('2026-12-01');
alter table bare add foreign key (post_id) references posts, add foreign key (artist_id) references artists;
insert into bare ({columns}) select {columns} from deltas where period_start < '{day}';
create temporary table computed as select {columns} from deltas where period = 'daily' and period_start = '{day}';
analyze bare, computed;
"""


def measure(warehouse: Warehouse, rows: int, rounds: int) -> list[Measurement]:
    """Rounds of: bare COPY, new day, the same again, all changed; then bare INSERT, deltas, the same again."""
    first = records(rows, 0)
    first_ever = _capture(warehouse, FIRST_DAY, first)
    _recompute(warehouse, FIRST_DAY)
    bare, new, same, changed, insert, daily, again = [], [], [], [], [], [], []
    for number in range(1, rounds + 1):
        day, seen = FIRST_DAY + timedelta(days=number), records(rows, number)
        bare.append(_bare_copy(warehouse, day, seen))
        new.append(_capture(warehouse, day, seen))
        same.append(_capture(warehouse, day, seen))
        changed.append(_capture(warehouse, day, records(rows, number + 0.5)))
        daily.append(_recompute(warehouse, day))
        insert.append(_bare_insert(warehouse, day))
        again.append(_recompute(warehouse, day))
    copy = ("bare COPY of the rows", median(bare))
    bare_deltas = ("bare INSERT ... SELECT of the deltas", median(insert))
    return [
        Measurement("capture, new day", median(new), *copy, goal="at most 1.4"),
        Measurement("capture, all changed", median(changed), *copy, goal="at most 1.6"),
        Measurement("capture, nothing changed", median(same), *copy, goal="at most 0.8"),
        Measurement("capture, new posts too", first_ever, *copy),
        Measurement("daily deltas", median(daily), *bare_deltas, goal="at most 1.3"),
        Measurement("daily deltas again, nothing changed", median(again), *bare_deltas),
    ]


def records(rows: int, step: float) -> list[Observation]:
    """The rows of a day as a reader gives them: 15 metrics, a payload of 25 cells. `step` moves the counters."""
    grown = int(step * 100)
    return [_record(number, grown) for number in range(rows)]


def _record(number: int, grown: int) -> Observation:
    metrics: dict[str, Any] = {
        "lifetime_earnings": Decimal(number % 1000 + grown) / 100,
        "views": 1000 + number + grown,
        "reactions": number % 500 + grown,
        "comments": number % 50,
        "shares": number % 30,
        "reach": 900 + number + grown,
        "impressions": 1200 + number + grown,
        "three_second_views": 500 + number + grown,
        "one_minute_views": 100 + number + grown,
        "lifetime_seconds_viewed": 5000 + number + 9 * grown,
        "lifetime_qualified_views": 300 + number + grown,
        "saves": number % 9,
        "avg_watch_percentage": Decimal(number % 10000) / 100,
        "subscribers_gained": number % 5,
        "estimated_cpm": Decimal(number % 300) / 100,
    }
    page = Page("facebook", str(100_000 + number % PAGES), f"Page {number % PAGES}")
    attributes = {
        "title": f"Title of the post with the number {number}",
        "description": "A caption of some words, as captions are. " * 3,
        "publish_time": "2026-10-20T08:00:00+00:00",
        "permalink": f"https://www.facebook.com/reel/{number}/",
        "post_type": "Reel",
        "duration": 30,
        "page_id": page.platform_id,
        "page_name": page.name,
        "hashtags": [],
        "mentions": [],
    }
    raw = {f"Heading of {name}": str(value) for name, value in (metrics | attributes).items()}
    return Observation(number + 2, page, f"facebook_{5_500_000_000_000 + number}", attributes, metrics, "USD", raw)


def _capture(warehouse: Warehouse, day: date, seen: list[Observation]) -> float:
    def run() -> None:
        with warehouse.connect() as connection:
            staging.create(connection)
            staging.stage(connection, "csv", 1, seen)
            now = datetime.now(UTC)
            staging.merge(connection, staging.Capture(day, "csv", ZONE, started_at=now, now=now))

    return _timed(run)


def _recompute(warehouse: Warehouse, day: date) -> float:
    return _timed(partial(deltas.recompute, warehouse, Kind.DAILY, [day], ZONE, CLOCK))


def _bare_copy(warehouse: Warehouse, day: date, seen: list[Observation]) -> float:
    with warehouse.connect() as connection:
        _make(connection, MAKE_BARE_SNAPSHOTS.format(day=day))
        sites = {row["platform_id"]: row["id"] for row in connection.execute("select platform_id, id from sites")}
        now = datetime.now(UTC)

        def run() -> None:
            with connection.cursor().copy(COPY_BARE.encode()) as copy:
                for row in seen:
                    metrics = [row.metrics.get(name) for name in METRICS]
                    site = sites[row.page.platform_id]
                    raw = Jsonb({"csv": row.raw})
                    copy.write_row((row.post_id, day, "csv", site, *metrics, row.currency, raw, now))
            connection.commit()

        seconds = _timed(run)
        _make(connection, "drop table bare")
    return seconds


def _bare_insert(warehouse: Warehouse, day: date) -> float:
    with warehouse.connect() as connection:
        statement = """select string_agg(attname, ', ') as names from pg_attribute
                       where attrelid = 'deltas'::regclass and attnum > 0 and attgenerated = ''"""
        names = (connection.execute(statement).fetchone() or {})["names"]
        _make(connection, MAKE_BARE_DELTAS.format(columns=names, day=day))

        def run() -> None:
            _make(connection, INSERT_BARE.format(columns=names))

        seconds = _timed(run)
        _make(connection, "drop table bare; drop table computed")
    return seconds


def _make(connection: Connection, statements: str) -> None:
    connection.execute(statements.encode())
    connection.commit()


def _timed(run: Callable[[], Any]) -> float:
    gc.collect()
    gc.freeze()  # the records of both sides live on; the collector need not walk them while it is timed
    began = perf_counter()
    run()
    return perf_counter() - began
