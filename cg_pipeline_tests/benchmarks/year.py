"""A backfilled year of CSV history: exports, snapshots, deltas of all four periods, royalties. Against bare SQL of the
same rows, against Dagster's one run per partition, and as the posts grow in number.

The bare SQL knows no file, no rule and no correction: a COPY of the rows that the snapshots hold, one statement of
`lag` for the daily deltas, a `group by` for each longer period and one for the royalties.
"""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import dagster as dg

from cg_pipeline import config, partitions
from cg_pipeline.capture.backfill import MOST_DAYS_A_RUN
from cg_pipeline.capture.csv_partition import load_day
from cg_pipeline.capture.inbox import Inbox
from cg_pipeline.clock import SystemClock
from cg_pipeline.config import PROJECT, Settings
from cg_pipeline.definitions import defs
from cg_pipeline.defs import jobs
from cg_pipeline.history import deltas
from cg_pipeline.history.windows import Kind, ranges, start_of
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.royalties import accruals, artists
from cg_pipeline.warehouse.database import Connection, Warehouse, libpq
from cg_pipeline_tests.benchmarks.database import Measurement, fresh_warehouse
from cg_pipeline_tests.benchmarks.memory import HEADINGS
from cg_pipeline_tests.integration.installations import drop_database, environment

FIRST_DAY = date(2025, 1, 1)
ARTISTS, PAGES, KEYS_A_RUN = 20, 20, 100
CLOCK = SystemClock()
PERIODS = {Kind.WEEKLY: "week", Kind.MONTHLY: "month", Kind.QUARTERLY: "quarter"}
COUNTERS = {
    "qualified_views_delta": "lifetime_qualified_views",
    "seconds_viewed_delta": "lifetime_seconds_viewed",
    **{f"{name}_delta": name for name in ("views", "reactions", "comments", "shares", "impressions", "reach")},
}
COLUMNS = (
    "post_id, period, period_start, from_date, to_date, artist_id, earnings_from_date, earnings_delta, "
    f"opening_earnings, currency, base_views, {', '.join(COUNTERS)}"
)

MAKE_BARE = """
create table bare_snapshots (like snapshots {including});
create table bare_deltas (like deltas {including});
create table bare_lines (like royalty_lines {including});
"""
DROP_BARE = "drop table bare_snapshots, bare_deltas, bare_lines"
BARE_DAILY = """
insert into bare_deltas ({columns})
select post_id, 'daily', snapshot_date, lag(snapshot_date) over w, snapshot_date, p.artist_id,
       lag(snapshot_date) over w, lifetime_earnings - lag(lifetime_earnings) over w,
       case when lag(lifetime_earnings) over w is null then lifetime_earnings end, currency, lag(views) over w,
       {differences}
from bare_snapshots join posts p using (post_id)
window w as (partition by post_id order by snapshot_date)
"""
BARE_SUMS = """
insert into bare_deltas ({columns})
select post_id, '{period}', date_trunc('{unit}', period_start)::date, min(from_date), max(to_date), artist_id,
       min(earnings_from_date), sum(earnings_delta), sum(opening_earnings), currency, min(base_views), {sums}
from bare_deltas
where period = 'daily'
group by post_id, date_trunc('{unit}', period_start), artist_id, currency
"""
BARE_ROYALTIES = """
insert into bare_lines (month, post_id, artist_id, currency, rate_pct, earnings, artist_share, house_share, suspense)
select date_trunc('month', period_start), post_id, artist_id, currency, rate_pct, sum(earnings_delta),
       sum(earnings_delta) * rate_pct / 100, sum(earnings_delta) - sum(earnings_delta) * rate_pct / 100, 0
from bare_deltas join royalty_rates using (artist_id)
where period = 'daily' and earnings_delta <> 0
group by date_trunc('month', period_start), post_id, artist_id, currency, rate_pct
"""
READ_DAY = "copy (select * from snapshots where snapshot_date = '{day}') to stdout (format binary)"
WRITE_DAY = "copy bare_snapshots from stdin (format binary)"
PLAIN = "including defaults including generated"
INDEXED = "including all"


def measure(folder: Path, days: int, posts: int) -> list[Measurement]:
    """The whole backfill, its steps, and the bare SQL of the same."""
    history = History(folder / "year", _days(days), posts)
    with fresh_warehouse(folder) as warehouse:
        steps = history.backfill(warehouse)
        plain = _bare(warehouse, history.days, PLAIN)
        indexed = _bare(warehouse, history.days, INDEXED)
    seconds, rows = sum(steps.values()), days * posts
    return [
        Measurement(f"year: {days} days x {posts:,} posts", seconds, figure=f"{rows / seconds:,.0f} rows/s"),
        *(Measurement(f"of it: {name}", taken, figure=f"{taken / seconds:.0%}") for name, taken in steps.items()),
        Measurement("the year", seconds, "bare SQL, tables without indexes", sum(plain)),
        Measurement("the year", seconds, "bare SQL, same indexes and checks", sum(indexed)),
        Measurement("of it: capture (reads the files)", steps["capture"], "COPY, same indexes and checks", indexed[0]),
        Measurement(
            "of it: deltas and royalties", seconds - steps["capture"], "SQL, same indexes and checks", indexed[1]
        ),
    ]


def measure_growth(folder: Path, days: int, posts: int) -> list[Measurement]:
    """The same days with 1, 2, 4 and 8 times the posts, each in a database of its own."""
    lines: list[Measurement] = []
    once = 0.0
    for times in (1, 2, 4, 8):
        history = History(folder / f"growth_{times}", _days(days), posts * times)
        with fresh_warehouse(folder) as warehouse:
            seconds = sum(history.backfill(warehouse).values())
        once = once or seconds
        goal = "at most 1.1" if times == 8 else ""
        what = f"{days} days x {posts * times:,} posts"
        lines.append(Measurement(what, seconds, f"{times} x the time of {posts:,} posts", times * once, goal))
    return lines


def measure_runs(folder: Path, days: int, posts: int, single: int = 8, processes: int = 3) -> list[Measurement]:
    """Ranges against one run per partition: each run in a process of its own, as Dagster's daemon launches it, and all
    in this one. Of the single runs a few days are measured, and taken times the days.

    All have days of their own: each day is captured and computed once, so that all sides write all rows.
    """
    history = History(folder / "runs", _days(2 * days + 1 + single + processes), posts)
    mine, theirs, rest = history.days[:days], history.days[days : 2 * days], history.days[2 * days :]
    with fresh_warehouse(folder) as warehouse, _installation(warehouse, history.home) as instance:
        history.write()
        history.add_artists(warehouse)
        _run_day(partial(_execute, instance), rest[0])  # the first run of a process and of a database pays for both
        launched = _ranges_and_days(_launch, theirs, rest[1 : processes + 1])
        in_process = _ranges_and_days(partial(_execute, instance), mine, rest[processes + 1 :])
        _require_deltas(warehouse, history)
    return [
        *_against(f"a process each, {processes} measured", days, *launched, goal="at most 0.05"),
        *_against(f"all in one process, {single} measured", days, *in_process),
    ]


@dataclass(frozen=True)
class History:
    """Exports of so many posts on each of these days, in the inbox of a home of its own."""

    home: Path
    days: Sequence[date]
    posts: int

    @property
    def settings(self) -> Settings:
        """The settings of its home."""
        return config.load({"CG_HOME": str(self.home)})

    def backfill(self, warehouse: Warehouse) -> dict[str, float]:
        """Write the exports, load them, recompute everything in ranges. Returns the seconds of each step."""
        self.write()
        self.add_artists(warehouse)
        steps = {"capture": _timed(self.load, warehouse, self.days)}
        for kind in (Kind.DAILY, *PERIODS):
            steps[f"{kind} deltas"] = _timed(self._recompute, warehouse, kind)
        steps["royalties"] = _timed(self._accrue, warehouse)
        return steps

    def write(self) -> None:
        """The files, one a day."""
        for number, day in enumerate(self.days):
            folder = self.home / "inbox" / str(day)
            folder.mkdir(parents=True)
            with (folder / "posts.csv").open("w", encoding="utf-8-sig", newline="") as file:
                csv.writer(file).writerows(_rows(self.posts, number))

    def load(self, warehouse: Warehouse, days: Sequence[date]) -> None:
        """Load these days, one after the other."""
        settings = self.settings
        for day in days:
            report = load_day(warehouse, Inbox(settings.inbox), day, settings, CLOCK)
            if report.rows_of_day != self.posts:
                message = f"{day} has {report.rows_of_day} rows instead of {self.posts}: {report.files}"
                raise RuntimeError(message)

    def add_artists(self, warehouse: Warehouse) -> None:
        """Every post has an artist, by its tag, and every artist a rate."""
        with warehouse.connect() as connection:
            for number in range(ARTISTS):
                artist = artists.add(connection, f"Artist {number}", None)
                artists.set_rate(connection, artist, Decimal(50 + number), self.days[0], self.days[0], CLOCK)
                artists.assign(connection, artist, CLOCK, tag=f"pack-{number}")

    def _recompute(self, warehouse: Warehouse, kind: Kind) -> None:
        for part in self._ranges(kind):
            deltas.recompute(warehouse, kind, part, self.settings.timezone, CLOCK)

    def _accrue(self, warehouse: Warehouse) -> None:
        for part in self._ranges(Kind.ROYALTY):
            accruals.accrue(warehouse, part, self.settings.timezone, CLOCK)

    def _ranges(self, kind: Kind) -> list[list[date]]:
        starts = sorted({start_of(kind, day) for day in self.days})
        parts = ranges(kind, starts, KEYS_A_RUN)
        return [[start for start in starts if first <= start <= last] for first, last in parts]


def _require_deltas(warehouse: Warehouse, history: History) -> None:
    with warehouse.connect() as connection:
        (counted,) = connection.execute("select count(*) as rows from deltas where period = 'daily'").fetchall()
    if counted["rows"] != len(history.days) * history.posts:
        message = f"{len(history.days)} days x {history.posts} posts have {counted['rows']} daily deltas"
        raise RuntimeError(message)


def _days(count: int) -> list[date]:
    return [FIRST_DAY + timedelta(days=number) for number in range(count)]


def _rows(posts: int, day: int) -> Iterator[list[object]]:
    yield list(HEADINGS.split(","))
    for post in range(posts):
        views = 1000 + post + day * (1 + post % 50)
        yield [
            5_700_000_000_000 + post, 300_000 + post % PAGES, f"Page {post % PAGES}", f"Post {post} #tag",
            "Some words of a caption.", 30, "12/20/2024 08:04", f"https://www.facebook.com/reel/{post}/", 0, 0,
            "Reels", f"pack-{post % ARTISTS}", "Lifetime", views, views - 100, views // 9, views // 70, views // 50,
            views // 2, views // 10, 4 * views, 4.5, f"{views // 100}.{post % 100:02}", 0, 1.25,
        ]  # fmt: skip


def _bare(warehouse: Warehouse, days: Sequence[date], including: str) -> tuple[float, float]:
    """Seconds of the COPY, and of the statements."""
    with warehouse.connect() as connection:
        connection.execute(MAKE_BARE.format(including=including).encode())
    copied = sum(_bare_copy(warehouse, day) for day in days)
    with warehouse.connect() as connection:
        connection.execute("analyze bare_snapshots")
        computed = _timed(_bare_compute, connection)
    with warehouse.connect() as connection:
        connection.execute(DROP_BARE.encode())
    return copied, computed


def _bare_copy(warehouse: Warehouse, day: date) -> float:
    with warehouse.connect() as connection:
        with connection.cursor().copy(READ_DAY.format(day=day).encode()) as reading:
            content = b"".join(reading)

        def write() -> None:
            with connection.cursor().copy(WRITE_DAY.encode()) as writing:
                writing.write(content)
            connection.commit()

        return _timed(write)


def _bare_compute(connection: Connection) -> None:
    differences = ", ".join(f"{name} - lag({name}) over w" for name in COUNTERS.values())
    sums = ", ".join(f"sum({name})" for name in COUNTERS)
    connection.execute(BARE_DAILY.format(columns=COLUMNS, differences=differences).encode())
    for period, unit in PERIODS.items():
        connection.execute(BARE_SUMS.format(columns=COLUMNS, period=period, unit=unit, sums=sums).encode())
    connection.execute(BARE_ROYALTIES.encode())
    connection.commit()


@contextmanager
def _installation(warehouse: Warehouse, home: Path) -> Iterator[dg.DagsterInstance]:
    """An installation on this warehouse, with Dagster's storage beside it."""
    with environment(CG_HOME=str(home), CG_DATABASE_URL=libpq(warehouse.url)):
        pipeline = Pipeline.open(os.environ)
        try:
            pipeline.prepare()
            os.environ.update(pipeline.environment())
            with dg.DagsterInstance.get() as instance:
                yield instance
        finally:
            drop_database(pipeline.addresses.dagster.set(drivername="postgresql"))


Runs = tuple[float, float]
"""Seconds of a capture and of the daily deltas."""
Execute = Callable[[str, Mapping[str, str]], None]
"""Runs a job with these tags."""
RUNS_OF_A_DAY = {"capture_csv": MOST_DAYS_A_RUN, jobs.OF[Kind.DAILY]: KEYS_A_RUN}
"""The jobs of a day, with the most days that a backfill gives them in one run."""


def _ranges_and_days(execute: Execute, ranged: Sequence[date], apart: Sequence[date]) -> tuple[Runs, list[Runs]]:
    """Seconds of the ranges that a backfill makes of the ones, and of a run for each day of the others."""

    def run_ranges(job: str) -> None:
        for first, last in ranges(Kind.DAILY, ranged, RUNS_OF_A_DAY[job]):
            execute(job, partitions.range_tags(first, last))

    capture, daily = (_timed(run_ranges, job) for job in RUNS_OF_A_DAY)
    return (capture, daily), [_run_day(execute, day) for day in apart]


def _run_day(execute: Execute, day: date) -> Runs:
    capture, daily = (_timed(execute, job, {"dagster/partition": day.isoformat()}) for job in RUNS_OF_A_DAY)
    return capture, daily


def _execute(instance: dg.DagsterInstance, job: str, tags: Mapping[str, str]) -> None:
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    job_def, day = defs().resolve_job_def(job), tags.get("dagster/partition")
    job_def.execute_in_process(instance=instance, run_config=quiet, tags=dict(tags), partition_key=day)


def _launch(job: str, tags: Mapping[str, str]) -> None:
    """In a process that loads the code location first, as every run that Dagster's daemon launches does."""
    program = [sys.executable, "-m", "dagster", "job", "execute", "--module-name", "cg_pipeline.definitions"]
    command = [*program, "--job", job, "--tags", json.dumps(tags)]
    subprocess.run(command, check=True, cwd=PROJECT, capture_output=True)


def _against(how: str, days: int, ranged: Runs, runs: Sequence[Runs], goal: str = "") -> list[Measurement]:
    baseline = f"one run per day, {how}"
    daily, both = [run[1] for run in runs], [sum(run) for run in runs]
    return [
        Measurement(f"daily deltas of {days} days in ranges", ranged[1], baseline, days * _mean(daily), goal),
        Measurement(f"capture and deltas of {days} days in ranges", sum(ranged), baseline, days * _mean(both), goal),
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _timed(run: Callable[..., Any], *values: Any, **options: Any) -> float:
    began = perf_counter()
    run(*values, **options)
    return perf_counter() - began
