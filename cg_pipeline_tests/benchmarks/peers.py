"""The tools that one would take instead, on the same rows, in the same database, in one run.

All sides start from rows that lie in memory in the form that they like best: observations, dictionaries, data frames.
Each has the day before already, so that no table is made while the clock runs. Then comes a new day, and then the same
day once more with all counters changed. Ours does more meanwhile: posts, sites, sync logs, provenance, marks.

- dlt: write disposition merge by primary key.
- pandas `to_sql`: append; it cannot change a row, so it has part in the new day only.
- SQLAlchemy: insert ... on conflict do update in chunks, to a table with the primary key.
- COPY of the finished rows into a table with the indexes, checks and keys of `snapshots`: what that table itself costs,
  which nothing that writes it can be faster than.
- pandas for the deltas: read both days, merge, subtract, `to_sql`, against the query that writes daily deltas.

dlt and matplotlib are in the dependency group `bench`; what is not installed is left out, with a line that says so.
"""

import gc
import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
from psycopg.types.json import Jsonb
from sqlalchemy import BigInteger, Column, Date, Engine, MetaData, Numeric, Table, Text, select
from sqlalchemy.dialects.postgresql import JSONB, insert

from cg_pipeline.capture import staging
from cg_pipeline.capture.observation import Observation
from cg_pipeline.clock import SystemClock
from cg_pipeline.history import deltas
from cg_pipeline.history.windows import Kind
from cg_pipeline.warehouse.database import Warehouse, libpq
from cg_pipeline_tests.benchmarks.capture import records
from cg_pipeline_tests.benchmarks.database import Measurement
from cg_pipeline_tests.integration.installations import environment

FIRST_DAY = date(2026, 11, 2)
ZONE = ZoneInfo("UTC")
CHUNK, MANY_VALUES = 5_000, 1_000
MONEY = Numeric(20, 6)
DECIMALS = {"lifetime_earnings", "avg_watch_percentage", "estimated_cpm"}
KEY = ["post_id", "snapshot_date"]
ONLY_APPENDS = {"to_sql", "to_sql multi", "copy"}
MAKE_BARE = """
create table peer_copy (like snapshots including all,
                        foreign key (post_id) references posts, foreign key (site_id) references sites)
"""
COPY_BARE = "copy peer_copy (post_id, snapshot_date, data_source, site_id, {columns}, observed_at) from stdin"
NOT_INSTALLED = "not installed: make bench installs it"
SIX_TIMES, THREE_TIMES = "at most 0.167", "at most 0.333"


@dataclass(frozen=True)
class Shape:
    """Which columns a row has besides key and currency; a payload is one of 25 cells."""

    name: str
    metrics: Sequence[str]
    has_payload: bool


NARROW = Shape("narrow", ("views", "reactions", "comments", "shares", "reach", "lifetime_earnings"), has_payload=False)
WIDE = Shape("wide", tuple(records(1, 0)[0].metrics), has_payload=True)


@dataclass(frozen=True)
class Day:
    """The rows of a day; `step` moves the counters."""

    day: date
    rows: int
    step: int
    shape: Shape

    @cached_property
    def observations(self) -> list[Observation]:
        """The rows as a reader gives them."""
        seen = records(self.rows, self.step)
        return seen if self.shape.has_payload else [self._narrowed(row) for row in seen]

    @cached_property
    def dictionaries(self) -> list[dict[str, Any]]:
        """The same rows as dictionaries."""
        return [
            {"post_id": row.post_id, "snapshot_date": self.day, **row.metrics, "currency": row.currency}
            | ({"raw_data": row.raw} if self.shape.has_payload else {})
            for row in self.observations
        ]

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The same rows as a data frame."""
        return pd.DataFrame(self.dictionaries)

    def prepared(self) -> "Day":
        """Itself, once the rows are there in all forms."""
        _ = self.dictionaries, self.observations, self.frame
        return self

    def _narrowed(self, row: Observation) -> Observation:
        metrics = {name: row.metrics[name] for name in self.shape.metrics}
        return replace(row, metrics=metrics, attributes={"title": "A post"}, raw={})


Side = Callable[[Day], None]


def measure(warehouse: Warehouse, folder: Path, shape: Shape, rows: int, rounds: int) -> list[Measurement]:
    """Rounds of a new day, its changes and its deltas; the median counts."""
    peers = Peers(warehouse, shape)
    sides: dict[str, Side] = {
        "ours": peers.ours,
        "to_sql": peers.to_sql,
        "to_sql multi": peers.to_sql_multi,
        "sqlalchemy": peers.upsert,
        "copy": peers.copy,
    }
    with _dlt(warehouse, folder / shape.name) as merge:
        sides |= {"dlt": merge} if merge else {}
        new, changed, computed = _rounds(peers, sides, rows, rounds)
    what, again = f"{rows:,} {shape.name} rows, new day", f"{rows:,} {shape.name} rows, all changed"
    dlt = (
        [
            Measurement(what, new["ours"], "dlt merge", new["dlt"], SIX_TIMES),
            Measurement(again, changed["ours"], "dlt merge", changed["dlt"], SIX_TIMES),
        ]
        if merge
        else [Measurement("dlt merge", figure=NOT_INSTALLED)]
    )
    deltas_of = f"daily deltas of {rows:,} {shape.name} rows"
    return [
        *dlt,
        Measurement(what, new["ours"], "pandas to_sql", new["to_sql"], THREE_TIMES),
        Measurement(what, new["ours"], 'pandas to_sql, method="multi"', new["to_sql multi"], THREE_TIMES),
        Measurement(what, new["ours"], "COPY, our table's indexes and keys", new["copy"]),
        Measurement(f"{what}, COPY alone", new["copy"], "pandas to_sql", new["to_sql"]),
        Measurement(what, new["ours"], "SQLAlchemy bulk upsert", new["sqlalchemy"]),
        Measurement(again, changed["ours"], "SQLAlchemy bulk upsert", changed["sqlalchemy"]),
        Measurement(deltas_of, computed["ours"], "pandas, to_sql", computed["pandas"]),
    ]


class Peers:
    """What each side does with the rows of a day."""

    def __init__(self, warehouse: Warehouse, shape: Shape) -> None:
        self.warehouse, self.shape, self.engine = warehouse, shape, warehouse.engine()
        metadata = MetaData()
        self.upserted = _table("peer_upsert", metadata, shape)
        for name in ("peer_to_sql", "peer_to_sql_multi"):
            _table(name, metadata, shape)
        metadata.create_all(self.engine)
        with warehouse.connect() as connection:
            connection.execute(MAKE_BARE)

    def ours(self, seen: Day) -> None:
        """Stage and merge, as the capture of a platform does."""
        with self.warehouse.connect() as connection:
            staging.create(connection)
            staging.stage(connection, "facebook", 1, seen.observations)
            now = datetime.combine(seen.day, time(12), UTC)  # the open day: nothing closed is restated
            staging.merge(connection, staging.Capture(seen.day, "facebook", ZONE, started_at=now, now=now))

    def to_sql(self, seen: Day) -> None:
        """As pandas does it when nothing is said."""
        _append(seen.frame, "peer_to_sql", self.engine)

    def to_sql_multi(self, seen: Day) -> None:
        """Many rows in a statement."""
        _append(seen.frame, "peer_to_sql_multi", self.engine, method="multi", chunksize=MANY_VALUES)

    def upsert(self, seen: Day) -> None:
        """Chunks of an upsert, in one transaction."""
        statement = insert(self.upserted)
        new = {column.name: statement.excluded[column.name] for column in self.upserted.c if column.name not in KEY}
        statement = statement.on_conflict_do_update(index_elements=KEY, set_=new)
        rows = seen.dictionaries
        with self.engine.begin() as connection:
            for start in range(0, len(rows), CHUNK):
                connection.execute(statement, rows[start : start + CHUNK])

    def copy(self, seen: Day) -> None:
        """The rows as they stand in `snapshots`, all of one site, by one statement; ours has made posts and sites."""
        columns = [name for name in seen.dictionaries[0] if name not in KEY]
        statement = COPY_BARE.format(columns=", ".join(columns)).encode()
        now = datetime.combine(seen.day, time(12), UTC)
        with self.warehouse.connect() as connection:
            site = connection.execute("select id from sites limit 1").fetchone() or {}
            with connection.cursor().copy(statement) as copying:
                for row in seen.dictionaries:
                    values = (Jsonb(row[name]) if name == "raw_data" else row[name] for name in columns)
                    copying.write_row((row["post_id"], seen.day, "facebook", site.get("id"), *values, now))

    def our_deltas(self, seen: Day) -> None:
        """The query that the asset `deltas/daily` runs."""
        deltas.recompute(self.warehouse, Kind.DAILY, [seen.day], ZONE, SystemClock())

    def pandas_deltas(self, seen: Day) -> None:
        """Both days out of the database, the difference back in."""
        table = self.upserted
        columns = [column for column in table.c if column.name != "raw_data"]
        before, after = (
            pd.read_sql(select(*columns).where(table.c.snapshot_date == day), self.engine)
            for day in (seen.day - timedelta(days=1), seen.day)
        )
        both = after.merge(before, on="post_id", suffixes=("", "_before"))
        changes = both[["post_id", "snapshot_date", "snapshot_date_before", "currency"]].copy()
        for name in self.shape.metrics:
            changes[name] = both[name] - both[f"{name}_before"]
        _append(changes, "peer_deltas", self.engine)


Times = dict[str, list[float]]
Seconds = dict[str, float]


def _rounds(peers: Peers, sides: dict[str, Side], rows: int, rounds: int) -> tuple[Seconds, Seconds, Seconds]:
    new: Times = {name: [] for name in sides}
    changed: Times = {name: [] for name in sides if name not in ONLY_APPENDS}
    computed: Times = {"ours": [], "pandas": []}
    first = Day(FIRST_DAY, rows, 0, peers.shape).prepared()
    for side in sides.values():
        side(first)
    peers.our_deltas(first)
    for number in range(1, rounds + 1):
        day = FIRST_DAY + timedelta(days=number)
        for step, times in ((2 * number - 1, new), (2 * number, changed)):
            seen = Day(day, rows, step, peers.shape).prepared()
            for name, taken in times.items():
                taken.append(_timed(sides[name], seen))
        computed["ours"].append(_timed(peers.our_deltas, seen))
        computed["pandas"].append(_timed(peers.pandas_deltas, seen))
    return _medians(new), _medians(changed), _medians(computed)


def _medians(times: Times) -> Seconds:
    return {name: median(taken) for name, taken in times.items()}


@contextmanager
def _dlt(warehouse: Warehouse, folder: Path) -> Iterator[Side | None]:
    """The side of dlt, with all that it writes in the folder; None where it is not installed."""
    home = str(folder / "dlt")
    with environment(DLT_DATA_DIR=home, RUNTIME__DLTHUB_TELEMETRY="false", RUNTIME__LOG_LEVEL="CRITICAL"):
        try:
            dlt: Any = importlib.import_module("dlt")
        except ImportError:
            yield None
            return
        # Even with telemetry off it makes up an id of the machine, and a file of it outside the folder.
        importlib.import_module("dlt.common.runtime.anon_tracker").get_anonymous_id = lambda: ""  # type: ignore[attr-defined]
        # It wants a host, also where the socket that follows in the query is what counts.
        url = warehouse.url.set(host=warehouse.url.host or "localhost")
        destination = dlt.destinations.postgres(libpq(url))
        pipeline = dlt.pipeline("bench", pipelines_dir=home, destination=destination, dataset_name="peer_dlt")

        def merge(seen: Day) -> None:
            done = pipeline.run(seen.dictionaries, table_name="snapshots", write_disposition="merge", primary_key=KEY)
            done.raise_on_failed_jobs()

        yield merge


def _append(frame: pd.DataFrame, table: str, engine: Engine, **options: Any) -> None:
    """By `to_sql`, which must be told what a Decimal is, and a dictionary."""
    types: Any = {name: _type(name) for name in frame.columns if name in DECIMALS or name == "raw_data"}
    frame.to_sql(table, engine, if_exists="append", index=False, dtype=types, **options)


def _table(name: str, metadata: MetaData, shape: Shape) -> Table:
    key = (Column("post_id", Text, primary_key=True), Column("snapshot_date", Date, primary_key=True))
    others = [*shape.metrics, "currency", *(["raw_data"] if shape.has_payload else [])]
    return Table(name, metadata, *key, *(Column(each, _type(each)) for each in others))


def _type(name: str) -> Any:
    if name in DECIMALS:
        return MONEY
    return {"currency": Text, "raw_data": JSONB}.get(name, BigInteger)


def _timed(side: Side, seen: Day) -> float:
    gc.collect()
    began = perf_counter()
    side(seen)
    return perf_counter() - began
