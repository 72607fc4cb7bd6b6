"""Writes docs/benchmarks.md and the plot in it from what was measured. Nothing in them is written by hand."""

import importlib
import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cg_pipeline.config import PROJECT
from cg_pipeline_tests.benchmarks.database import Measurement

DOCS = PROJECT / "docs"
PEERS, GROWTH = "Peers on the same rows", "Growth with the number of posts"
"""The sections that are plotted."""

Sections = Mapping[str, Sequence[Measurement]]

BEGINNING = """# Benchmarks

Written by `make bench ARGS=--docs`, wholly; do not edit. Every ratio is *ours / baseline*, both measured in the \
same run, on the same server, from the same rows: 0.50 means that ours takes half the time. Nothing here is \
asserted by a test. A ratio moves by some percent from run to run, a single figure by more.

**Machine:** {machine}.

**Sizes:** {sizes}.
{note}
![Peers as multiples of our time, and time as the posts grow in number](benchmarks.svg)
"""
ENDING = """
## What is compared

- **Bare SQL of the year** knows no file, no rule and no correction. It COPYs the finished rows, in PostgreSQL's \
binary form, and computes with one `lag` and a `group by` for each period and for the royalties. Ours reads and \
checks the exports, keeps each payload, merges with what other sources said, keeps opening balances and currencies \
apart, marks stale windows, and writes only rows that differ. The bare tables are plain in one line, and have the \
indexes and checks of the real ones (no foreign keys, no partitions) in the other.
- **One run per partition** is measured on a few days and taken times the number of days, which is how it grows. \
Dagster's daemon launches each run in a process of its own, which loads the code first: so do both sides in the lines \
with a goal. In the others all runs share a process that has loaded everything. Ours is the runs over ranges that a \
backfill makes.
- **Growth** is the whole backfill with 1, 2, 4 and 8 times the posts on the same days, each in a new database.
- **Peers** start from rows in memory in their own favourite form, into a table that has the day before. A narrow \
row has six counters, a wide one fifteen and the payload of 25 cells. `to_sql` only appends: it has no part in \
changed rows. Its `method="multi"` has chunks of 1,000 rows, the upsert of SQLAlchemy of 5,000. dlt merges by primary \
key, with its defaults. The peers write one table with a primary key. Ours stages and merges as a platform's capture \
does, into posts, sites, snapshots with six indexes and provenance, and sync logs. `COPY alone` writes the finished \
rows into a table with the indexes, checks and foreign keys of the snapshots: nothing that keeps those can be faster. \
pandas for the deltas subtracts the columns of two days; ours applies the rule of the deltas.

## Run it

```
make bench                                  # everything, as a table
make bench ARGS=--docs                      # the same, and this document
make bench ARGS="--only year peers --days=30 --year-posts=500 --peer-rows=10000"
```

`make bench` installs the dependency group `bench` (dlt, matplotlib) into `.venv` from `requirements-bench.lock`; \
nothing else needs it. `CG_TEST_DATABASE_URL` names another server than the embedded one. `--help` lists all sizes.
"""


def write(sections: Sections, version: str, sizes: str, note: str, folder: Path = DOCS) -> list[Path]:
    """Write both files and return them; without matplotlib the plot is left as it is."""
    folder.mkdir(exist_ok=True)
    text = BEGINNING.format(machine=machine(version), sizes=sizes, note=f"\n**Note:** {note}\n" if note else "")
    text += "".join(_table(title, lines) for title, lines in sections.items())
    text += _missed(sections) + ENDING
    (folder / "benchmarks.md").write_text(text, encoding="utf-8")
    return [folder / "benchmarks.md", *_plot(sections, folder / "benchmarks.svg")]


def machine(version: str) -> str:
    """What the figures were measured on, in general terms."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    hardware = f"{os.cpu_count()} cores, {memory:.0f} GB of memory"
    return f"{hardware}, {platform.system()}; PostgreSQL {version}, Python {platform.python_version()}"


def met(line: Measurement) -> bool | None:
    """Whether a measurement meets its goal; None where it has none. The ratio counts, else the figure, else seconds."""
    goal = re.match(r"(at most|under) ([0-9.]+)", line.goal)
    if not goal:
        return line.figure.startswith(f"{line.goal} ") if line.goal else None
    return _value(line) <= float(goal[2])


def _value(line: Measurement) -> float:
    if line.seconds and line.baseline_seconds:
        return line.seconds / line.baseline_seconds
    if line.figure:
        return float(line.figure.split()[0].replace(",", ""))
    return line.seconds or 0.0


def _table(title: str, lines: Sequence[Measurement]) -> str:
    rows = [
        ["what", "seconds", "baseline", "seconds", "ratio", "goal", "met"],
        ["---", "--:", "---", "--:", "--:", "---", "---"],
    ]
    rows += [[*line.cells(), {True: "yes", False: "**no**", None: ""}[met(line)]] for line in lines]
    return f"\n## {title}\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _missed(sections: Sections) -> str:
    missed = [
        f"- {title}: {line.what}{line.baseline and f' against {line.baseline}'}: {_value(line):.2f}, goal {line.goal}"
        for title, lines in sections.items()
        for line in lines
        if met(line) is False
    ]
    return "\n".join(["\n## Goals missed\n", *(missed or ["None in this run."]), ""])


def _plot(sections: Sections, path: Path) -> list[Path]:
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
    except ImportError:
        return []
    matplotlib.use("svg")
    matplotlib.rcParams.update({"font.size": 8, "svg.fonttype": "none", "svg.hashsalt": "benchmarks"})
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.8), width_ratios=(5, 2), layout="constrained")
    _plot_peers(left, [line for line in sections.get(PEERS, []) if line.baseline_seconds])
    _plot_growth(right, sections.get(GROWTH, []))
    figure.savefig(path, metadata={"Date": None})
    path.write_text(
        "".join(f"{line.rstrip()}\n" for line in path.read_text(encoding="utf-8").splitlines()), encoding="utf-8"
    )
    return [path]


def _plot_peers(axes: Any, lines: Sequence[Measurement]) -> None:
    names = [f"{line.baseline}: {line.what}" for line in lines]
    times = [(line.baseline_seconds or 0) / (line.seconds or 1) for line in lines]
    bars = axes.barh(range(len(names)), times, color="#4c78a8")
    axes.bar_label(bars, [f"{each:.1f}" for each in times], padding=3)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_title("peers: times as long as ours (1 = ours)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)


def _plot_growth(axes: Any, lines: Sequence[Measurement]) -> None:
    times = [2**number for number in range(len(lines))]
    axes.plot(times, [line.seconds for line in lines], marker="o", color="#4c78a8", label="measured")
    axes.plot(times, [line.baseline_seconds for line in lines], linestyle="--", color="grey", label="linear")
    axes.set_xticks(times, [f"{each}x" for each in times])
    axes.set_ylim(bottom=0)
    axes.set_title("seconds, 1x to 8x posts")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
