"""`make bench`: how fast the pipeline is, as ratios against bare SQL of the same rows and against other tools, each in
one run on one fresh database. Nothing here asserts: speed is looked at, not tested."""

import argparse
import atexit
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cg_pipeline_tests.benchmarks import capture, document, inbox, memory, peers, platforms, webhooks, year
from cg_pipeline_tests.benchmarks.database import Measurement, fresh_warehouse

Options = argparse.Namespace


def main() -> None:
    """Run all benchmarks, or those that are asked for, and print a table of each."""
    options = _options()
    console = Console(width=138)
    folder = tempfile.mkdtemp(prefix="cg-bench-")
    atexit.register(shutil.rmtree, folder)  # registered before the server is started, so run after it is stopped
    version = _version(Path(folder))
    console.print(document.machine(version))
    measured: dict[str, list[Measurement]] = {}
    for name in options.only or SECTIONS:
        title, measure = SECTIONS[name]
        measured[title] = measure(Path(folder), options)
        console.print(_table(title, measured[title]))
    if options.docs:
        for path in document.write(measured, version, _sizes(options), options.note):
            console.print(f"wrote {path}")


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="snapshot rows of a day")
    parser.add_argument("--rounds", type=int, default=3, help="how often; the median counts")
    parser.add_argument("--memory-rows", type=int, default=1_000_000, help="rows of the file whose import is watched")
    parser.add_argument("--accounts", type=int, default=20, help="sites of each platform (0: leave the platforms out)")
    parser.add_argument("--posts", type=int, default=500, help="posts of each of these sites")
    parser.add_argument("--events", type=int, default=1_000_000, help="webhook events stored (0: leave webhooks out)")
    parser.add_argument("--days", type=int, default=365, help="days of the year that is backfilled")
    parser.add_argument("--year-posts", type=int, default=2_000, help="its posts a day")
    parser.add_argument("--run-days", type=int, default=93, help="days of the range against one run per partition")
    parser.add_argument("--growth-days", type=int, default=14, help="days of the backfill with 1 to 8 times the posts")
    parser.add_argument("--peer-rows", type=int, default=100_000, help="rows of a day for the peers")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="only these benchmarks")
    parser.add_argument(
        "--docs", action="store_true", help="write docs/benchmarks.md and its plot, of all that was run"
    )
    parser.add_argument("--note", default="", help="a sentence for that document, such as what else ran meanwhile")
    return parser.parse_args()


def _capture(folder: Path, options: Options) -> list[Measurement]:
    with fresh_warehouse(folder) as warehouse:
        measured = capture.measure(warehouse, options.rows, options.rounds)
        measured += memory.measure(warehouse, folder, options.memory_rows)
        if options.accounts:
            measured += platforms.measure(warehouse, folder, options.accounts, options.posts)
    return measured


def _webhooks(folder: Path, options: Options) -> list[Measurement]:
    """Databases of their own: what the sandbox is taken for is in the table of sites."""
    if not options.events:
        return []
    with fresh_warehouse(folder) as warehouse:
        measured = webhooks.measure_receiver(warehouse, folder)
    with fresh_warehouse(folder) as warehouse:
        return measured + inbox.measure(warehouse, folder, options.events)


def _year(folder: Path, options: Options) -> list[Measurement]:
    return year.measure(folder, options.days, options.year_posts)


def _runs(folder: Path, options: Options) -> list[Measurement]:
    return year.measure_runs(folder, options.run_days, options.year_posts)


def _growth(folder: Path, options: Options) -> list[Measurement]:
    return year.measure_growth(folder, options.growth_days, options.year_posts)


def _peers(folder: Path, options: Options) -> list[Measurement]:
    measured = []
    for shape in (peers.NARROW, peers.WIDE):
        with fresh_warehouse(folder) as warehouse:
            measured += peers.measure(warehouse, folder, shape, options.peer_rows, options.rounds)
    return measured


SECTIONS: dict[str, tuple[str, Callable[[Path, Options], list[Measurement]]]] = {
    "capture": ("Capture and daily deltas", _capture),
    "webhooks": ("Webhooks", _webhooks),
    "year": ("A year of history", _year),
    "runs": ("Ranges against one run per partition", _runs),
    "growth": (document.GROWTH, _growth),
    "peers": (document.PEERS, _peers),
}


def _version(folder: Path) -> str:
    with fresh_warehouse(folder) as warehouse, warehouse.connect() as connection:
        return str(connection.info.parameter_status("server_version"))


def _sizes(options: Options) -> str:
    """Of what was run."""
    sizes = {
        "capture": f"capture of {options.rows:,} wide rows a day",
        "year": f"history of {options.days} days x {options.year_posts:,} posts",
        "peers": f"peers of {options.peer_rows:,} rows of each shape, the median of {options.rounds}",
    }
    return "; ".join(size for name, size in sizes.items() if name in (options.only or SECTIONS))


def _table(title: str, lines: Sequence[Measurement]) -> Table:
    table = Table("what", "seconds", "baseline", "seconds", "ratio", "goal", title=title, title_justify="left")
    for line in lines:
        table.add_row(*line.cells())
    return table


if __name__ == "__main__":
    main()
