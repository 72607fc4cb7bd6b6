"""What importing a large file takes: rows a second from file to snapshots, and the most memory of the process."""

import csv
import multiprocessing
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from time import perf_counter

from cg_pipeline import config
from cg_pipeline.capture.csv_partition import load_day
from cg_pipeline.capture.inbox import Inbox
from cg_pipeline.clock import FixedClock
from cg_pipeline.warehouse.database import Warehouse, libpq
from cg_pipeline_tests.benchmarks.database import Measurement

DAY = date(2026, 12, 1)
HEADINGS = (
    "Post ID,Page ID,Page name,Title,Description,Duration (sec),Publish time,Permalink,Is crosspost,Is share,Post type,"
    "Custom labels,Date,Views,Reach,Reactions,Comments,Shares,3-second video views,1-minute video views,Seconds viewed,"
    "Average Seconds viewed,Approximate content monetization earnings,Estimated earnings (USD),Ad CPM (USD)"
)


def measure(warehouse: Warehouse, folder: Path, rows: int) -> list[Measurement]:
    """Import one file of so many rows in a process of its own."""
    inbox = folder / "inbox" / str(DAY)
    inbox.mkdir(parents=True)
    with (inbox / "large.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(_rows(rows))
    megabytes = (inbox / "large.csv").stat().st_size / 1e6
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        seconds, peak = pool.apply(_import, (libpq(warehouse.url), str(folder)))
    what = f"import of a file of {rows:,} rows, {megabytes:,.0f} MB, all posts new"
    return [
        Measurement(what, seconds, figure=f"{rows / seconds:,.0f} rows/s"),
        Measurement("the same: most memory of the process", figure=f"{peak:,.0f} MB", goal="under 500 MB"),
    ]


def _rows(rows: int) -> Iterator[list[object]]:
    yield list(HEADINGS.split(","))
    for number in range(rows):
        yield [
            5_600_000_000_000 + number, 200_000 + number % 20, f"Large page {number % 20}", f"Post {number} #tag",
            "Some words of a caption. " * 4, 30, "11/20/2026 08:04", f"https://www.facebook.com/reel/{number}/", 0, 0,
            "Reels", "", "Lifetime", 1000 + number, 900 + number, number % 900, number % 70, number % 50, 500 + number,
            100 + number, f"{number}.5", 4.5, f"{number % 100 / 100:.2f}", 0, 1.25,
        ]  # fmt: skip


def _import(url: str, folder: str) -> tuple[float, float]:
    settings = config.load({"CG_HOME": folder})
    began = perf_counter()
    clock = FixedClock(datetime(2026, 12, 1, 20, tzinfo=UTC))
    load_day(Warehouse(url), Inbox(settings.inbox), DAY, settings, clock)
    seconds = perf_counter() - began
    # The high-water mark of this image; getrusage would count that of the process it was forked from.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    return seconds, int(status["VmHWM"].split()[0]) / 1024
