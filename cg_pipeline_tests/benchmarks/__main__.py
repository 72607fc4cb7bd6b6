"""`make bench`: how fast capture and deltas are, as ratios against bare SQL of the same rows, in one run on one fresh
database. Nothing here asserts: speed is looked at, not tested."""

import argparse
import atexit
import platform
import shutil
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cg_pipeline_tests.benchmarks import capture, inbox, memory, platforms, webhooks
from cg_pipeline_tests.benchmarks.database import fresh_warehouse


def main() -> None:
    """Run all benchmarks and print one table."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="snapshot rows of a day")
    parser.add_argument("--rounds", type=int, default=3, help="how often; the median counts")
    parser.add_argument("--memory-rows", type=int, default=1_000_000, help="rows of the file whose import is watched")
    parser.add_argument("--accounts", type=int, default=20, help="sites of each platform (0: leave the platforms out)")
    parser.add_argument("--events", type=int, default=1_000_000, help="webhook events stored (0: leave webhooks out)")
    parser.add_argument("--posts", type=int, default=500, help="posts of each of these sites")
    options = parser.parse_args()
    console = Console(width=118)
    folder = tempfile.mkdtemp(prefix="cg-bench-")
    atexit.register(shutil.rmtree, folder)  # registered before the server is started, so run after it is stopped
    with fresh_warehouse(Path(folder)) as warehouse:
        with warehouse.connect() as connection:
            version = connection.info.parameter_status("server_version")
        console.print(f"PostgreSQL {version}, Python {platform.python_version()}, {options.rows:,} wide rows a day")
        measured = capture.measure(warehouse, options.rows, options.rounds)
        measured += memory.measure(warehouse, Path(folder), options.memory_rows)
        if options.accounts:
            measured += platforms.measure(warehouse, Path(folder), options.accounts, options.posts)
    if options.events:  # databases of their own: what the sandbox is taken for is in the table of sites
        with fresh_warehouse(Path(folder)) as warehouse:
            measured += webhooks.measure_receiver(warehouse, Path(folder))
        with fresh_warehouse(Path(folder)) as warehouse:
            measured += inbox.measure(warehouse, Path(folder), options.events)
    table = Table("what", "seconds", "baseline", "seconds", "ratio", "goal", title="Benchmarks", title_justify="left")
    for line in measured:
        table.add_row(*line.cells())
    console.print(table)


if __name__ == "__main__":
    main()
