"""Files that come, are corrected and are withdrawn end as if only those that are left had ever existed. Through real
CSV files, the inbox, its register and a column mapping."""

import csv
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import count
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cg_pipeline import config
from cg_pipeline.capture import csv_files, sites
from cg_pipeline.capture.csv_partition import load_day
from cg_pipeline.capture.inbox import Inbox
from cg_pipeline.capture.observation import Observation
from cg_pipeline_tests.integration.histories import CURRENCIES, DAYS, POSTS, observations, said
from cg_pipeline_tests.integration.lab import Lab, differences, examples, expected
from cg_pipeline_tests.integration.tables import row_versions

COUNTS = ("views", "reactions", "comments", "shares", "impressions", "reach", "saves", "lifetime_qualified_views")
NUMBERS = (*COUNTS, "lifetime_seconds_viewed", "three_second_views", "profile_visits", "subscribers_gained")
MONEY = ("lifetime_earnings", "estimated_cpm")
TEXTS = ("title", "asset_tag", "publish_time")
MAPPING = "columns:\n" + "".join(
    f"  {name}: {name}\n" for name in ("post_id", "page_id", "page_name", *TEXTS, "parent_post_id", *NUMBERS, *MONEY)
)
NAMES = ["a.csv", "b.csv", "c.csv"]


@dataclass(frozen=True)
class Export:
    """A CSV file: its bytes, and what they say."""

    content: bytes
    rows: Sequence[Observation]


def export(rows: Sequence[Observation], currency: str) -> Export:
    """Write observations as a file whose money is in one currency."""
    headings = {name: f"{name} ({currency})" if name in MONEY else name for name in _columns()}
    text, said = io.StringIO(), []
    writer = csv.DictWriter(text, list(headings.values()))
    writer.writeheader()
    for row in rows:
        line = {headings[name]: cell for name, cell in _cells(row).items()}
        writer.writerow(line)
        said.append(_as_read(row, line, currency))
    return Export(text.getvalue().encode(), said)


def _columns() -> list[str]:
    return ["post_id", "page_id", "page_name", *TEXTS, "parent_post_id", *NUMBERS, *MONEY]


def _cells(row: Observation) -> dict[str, str]:
    known = {name: str(value) for name, value in (row.metrics | row.attributes).items() if name in _columns()}
    ids = {"post_id": row.post_id, "parent_post_id": row.attributes.get("parent_post_id", "")}
    bare = {name: value.partition("_")[2] for name, value in ids.items() if value}
    return known | bare | {"page_id": row.page.platform_id, "page_name": str(row.page.name)}


def _as_read(row: Observation, line: dict[str, str], currency: str) -> Observation:
    attributes = {name: value for name, value in row.attributes.items() if name in (*TEXTS, "parent_post_id")}
    attributes |= {"page_id": row.page.platform_id, "page_name": row.page.name}
    if "title" in attributes:
        attributes |= {"hashtags": [], "mentions": []}
    metrics = {name: value for name, value in row.metrics.items() if name in (*NUMBERS, *MONEY)}
    money = currency if any(name in metrics for name in MONEY) else None
    return replace(row, attributes=attributes, metrics=metrics, currency=money, raw=line)


@dataclass
class Office:
    """Somebody who puts files into an inbox, and knows which lie there, in order of arrival."""

    lab: Lab
    home: Path
    files: dict[date, dict[str, Export]] = field(default_factory=dict)
    seconds: Callable[[], int] = field(default_factory=lambda: count(1_775_000_000).__next__)

    def __post_init__(self) -> None:
        self.settings = config.load({"CG_HOME": str(self.home)})
        self.inbox = Inbox(self.settings.inbox)
        self.inbox.create()
        with self.lab.warehouse.connect() as connection:
            site = sites.add(connection, "facebook", "1001", "Harbor", None)
            sites.put_setting(connection, site, "csv_mapping", MAPPING, self.lab.clock)

    def put(self, day: date, name: str, content: Export) -> None:
        """A file comes, or takes the place of one with other bytes."""
        there = self.files.setdefault(day, {})
        if name in there and there[name].content == content.content:
            return
        there.pop(name, None)
        there[name] = content
        path = Path(self.inbox.url) / str(day) / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.content)
        os.utime(path, times=(moment := self.seconds(), moment))
        with self.lab.warehouse.connect() as connection:
            csv_files.register(connection, self.inbox, day, self.lab.clock.now())

    def withdraw(self, day: date, name: str) -> None:
        """A file is taken back, if it lies there."""
        if name in self.files.get(day, {}):
            with self.lab.warehouse.connect() as connection:
                csv_files.withdraw(connection, day, name)
            self.inbox.set_aside(day, name)
            del self.files[day][name]

    def load(self, day: date, *, reload: bool = False) -> int:
        """Bring the day in line with its folder. Returns how much that changed."""
        report = load_day(self.lab.warehouse, self.inbox, day, self.settings, self.lab.clock, reload=reload)
        assert not report.refused
        self.lab.told.files[day] = [content.rows for content in self._counting(day).values()]
        return report.changed_snapshots + report.changed_posts

    def _counting(self, day: date) -> dict[str, Export]:
        """The files of a day; of several with the same bytes the first that came."""
        found: dict[bytes, str] = {}
        there = self.files.get(day, {})
        for name, content in there.items():
            found.setdefault(content.content, name)
        return {name: there[name] for name in found.values()}


@dataclass(frozen=True)
class Put:
    day: date
    name: str
    content: Export

    def __call__(self, office: Office) -> None:
        office.put(self.day, self.name, self.content)


@dataclass(frozen=True)
class Withdraw:
    day: date
    name: str

    def __call__(self, office: Office) -> None:
        office.withdraw(self.day, self.name)


@dataclass(frozen=True)
class Load:
    day: date
    reload: bool

    def __call__(self, office: Office) -> None:
        office.load(self.day, reload=self.reload)
        office.lab.recompute()


@st.composite
def office_days(draw: st.DrawFn) -> list[Put | Withdraw | Load]:
    """What may happen to the inbox."""
    some = draw(st.lists(st.sampled_from(DAYS), min_size=1, max_size=4, unique=True))
    posts = POSTS[: draw(st.integers(1, 5))]
    rows = st.lists(observations(posts), min_size=1, max_size=3, unique_by=lambda row: row.post_id)
    content = draw(st.lists(st.builds(export, rows, st.sampled_from(CURRENCIES)), min_size=1, max_size=6))
    days, names = st.sampled_from(some), st.sampled_from(NAMES)
    put = st.builds(Put, days, names, st.sampled_from(content))
    step = st.one_of(put, put, st.builds(Withdraw, days, names), st.builds(Load, days, st.booleans()))
    return draw(st.lists(step, min_size=1, max_size=14))


folders = count(1)


def open_office(lab: Lab, tmp_path: Path) -> Office:
    lab.empty()
    return Office(lab, tmp_path / str(next(folders)))


@given(steps=office_days())
@examples(25)
def test_files_that_came_and_went_leave_what_the_remaining_ones_say(
    lab: Lab, tmp_path: Path, steps: Sequence[Put | Withdraw | Load]
) -> None:
    office = open_office(lab, tmp_path)
    for step in steps:
        step(office)
    for day in office.files:
        office.load(day)
    lab.recompute()

    assert not differences(lab.stored(), expected(lab.told))

    before = row_versions(lab.warehouse)
    for day in office.files:
        assert office.load(day) == 0
        assert office.load(day, reload=True) == 0
    assert not lab.stale()
    assert row_versions(lab.warehouse) == before


def test_a_copy_of_a_withdrawn_file_counts_from_then_on(lab: Lab, tmp_path: Path) -> None:
    """The same export came under two names; the first is taken back, "as if it had never come"."""
    office = open_office(lab, tmp_path)
    same = export([said(POSTS[0], views=5)], "USD")
    office.put(DAYS[0], "a.csv", same)
    office.put(DAYS[0], "b.csv", same)
    office.load(DAYS[0])
    office.withdraw(DAYS[0], "a.csv")
    office.load(DAYS[0])

    assert [row["views"] for row in lab.rows("select views from snapshots")] == [5]


def test_a_file_that_went_before_it_was_loaded_does_not_keep_its_copy_out(lab: Lab, tmp_path: Path) -> None:
    """A run registered it and failed; meanwhile somebody gave it another name."""
    office = open_office(lab, tmp_path)
    same = export([said(POSTS[0], views=5)], "USD")
    office.put(DAYS[0], "a.csv", same)
    (Path(office.inbox.url) / str(DAYS[0]) / "a.csv").unlink()
    office.put(DAYS[0], "b.csv", same)
    office.load(DAYS[0])

    assert [row["views"] for row in lab.rows("select views from snapshots")] == [5]


def test_a_copy_of_a_replaced_file_counts_from_then_on(lab: Lab, tmp_path: Path) -> None:
    office = open_office(lab, tmp_path)
    same, other = export([said(POSTS[0], views=5)], "USD"), export([said(POSTS[1], views=7)], "USD")
    office.put(DAYS[0], "a.csv", same)
    office.put(DAYS[0], "b.csv", same)
    office.load(DAYS[0])
    office.put(DAYS[0], "a.csv", other)
    office.load(DAYS[0])

    assert sorted(row["views"] for row in lab.rows("select views from snapshots")) == [5, 7]
