"""Random histories: what CSV files may say over twelve days around the end of a quarter. Values are few and small, so
that falls, repetitions and coincidences are frequent, and that a failing example is short.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from cg_pipeline.capture.observation import ATTRIBUTES, METRICS, Observation, Page
from cg_pipeline.history import breaks
from cg_pipeline_tests.integration.lab import Lab
from cg_pipeline_tests.integration.reference import COUNTERS, File, Reference

FIRST_DAY = date(2026, 3, 26)
DAYS = [FIRST_DAY + timedelta(days=number) for number in range(12)]
"""A Thursday to the Monday of the week after the next: three ISO weeks, two months, two quarters."""

PAGES = [Page("facebook", "1001", "Harbor"), Page("facebook", "1002", "North"), Page("youtube", "UC1", "Harbor TV")]
PAGE_OF_POST = [0, 0, 1, 0, 1, 2]
POSTS = [f"{PAGES[page].platform}_{100001 + number}" for number, page in enumerate(PAGE_OF_POST)]
TAGS = ["sea", "rain"]
ARTISTS = ["Mira", "Dean"]
CURRENCIES = ["USD", "EUR"]
RATES = [Decimal(0), Decimal("12.5"), Decimal("33.3333"), Decimal(70), Decimal(100)]

MOMENTS = [
    "2025-12-31T10:00:00+00:00",
    "2026-03-26T06:59:00+00:00",  # still the 25th in Los Angeles
    "2026-03-26T12:00:00+00:00",
    "2026-03-28T00:00:00+00:00",
    "2026-03-30T23:59:59+00:00",
    "2026-04-02T03:00:00+00:00",
]

some_days = st.lists(st.sampled_from(DAYS), min_size=1, max_size=7, unique=True) | st.just(DAYS)
counts = st.integers(0, 12)
amounts = st.integers(0, 12).map(lambda number: Decimal(number) / 4) | st.sampled_from(
    [Decimal("0.000001"), Decimal("10.333333"), Decimal("1.01")]
)
cells: dict[str, SearchStrategy[Any]] = {
    **dict.fromkeys(("lifetime_earnings", "views"), st.none()),
    **dict.fromkeys(("lifetime_qualified_views", "lifetime_seconds_viewed", "reactions", "comments"), counts),
    **dict.fromkeys(("shares", "impressions", "reach", "saves", "three_second_views", "profile_visits"), counts),
    "subscribers_gained": st.integers(-3, 3),
    "estimated_cpm": amounts,
    "views_by_country": st.fixed_dictionaries({"US": counts}),
    "lifetime_earnings": amounts,
    "views": counts,
}
main = ("lifetime_earnings", "views", "reactions")
others = tuple(name for name in cells if name not in main)
definition_breaks = st.lists(
    st.tuples(
        st.sampled_from(["facebook", "facebook", "youtube"]),
        st.sampled_from(["views", "reactions"]) | st.sampled_from(sorted(COUNTERS.values())),
        st.sampled_from(DAYS),
        st.sampled_from(["Replays count.", "Previews count."]),
    ),
    max_size=5,
    unique_by=lambda known: known[:3],
)


@dataclass(frozen=True)
class Line:
    """One row of one file, before the rows are put into files."""

    day: date
    file: int
    observation: Observation


def page_of(post: str) -> Page:
    """The page that a post appears on."""
    return PAGES[PAGE_OF_POST[POSTS.index(post)]]


def said(post: str, **known: Any) -> Observation:
    """What a file says of a post, as keywords; money is in US dollars unless `currency` says otherwise."""
    currency = known.pop("currency", "USD" if {"lifetime_earnings", "estimated_cpm"} & known.keys() else None)
    attributes = {name: value for name, value in known.items() if name in ATTRIBUTES}
    metrics = {name: value for name, value in known.items() if name in METRICS}
    raw = {name: str(value) for name, value in (known | {"currency": currency}).items() if value is not None}
    return Observation(2, page_of(post), post, attributes, metrics, currency, raw)


@st.composite
def observations(draw: st.DrawFn, posts: Sequence[str], *, paid: bool = False) -> Observation:
    """What a file says of one of the posts."""
    post = draw(st.sampled_from(posts))
    metrics = draw(st.fixed_dictionaries({}, optional={name: cells[name] for name in main}))
    if paid:
        metrics["lifetime_earnings"] = draw(amounts)
    metrics |= draw(st.dictionaries(st.sampled_from(others), st.none(), max_size=3).flatmap(_filled))
    attributes = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "title": st.sampled_from("xy"),
                "asset_tag": st.sampled_from(TAGS),
                "publish_time": st.sampled_from(MOMENTS),
                "parent_post_id": st.sampled_from([*posts, "facebook_999999"]),
            },
        )
    )
    money = "lifetime_earnings" in metrics or "estimated_cpm" in metrics
    return said(post, **metrics, **attributes, currency=draw(st.sampled_from(CURRENCIES)) if money else None)


def _filled(names: dict[str, None]) -> SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: cells[name] for name in names})


@st.composite
def histories(draw: st.DrawFn, most_rows: int = 24) -> dict[date, list[File]]:
    """The files of each day in order of arrival. At least one row."""
    posts = POSTS[: draw(st.integers(1, len(POSTS)))]
    days = draw(some_days)
    size = draw(st.integers(1, most_rows))
    lines = draw(
        st.lists(
            st.builds(Line, st.sampled_from(days), st.integers(0, 2), observations(posts)),
            min_size=(size + 1) // 2,
            max_size=size,
        )
    )
    return in_files(lines)


def in_files(lines: Sequence[Line]) -> dict[date, list[File]]:
    """The lines as files by day; of two lines of one post in one file the first counts."""
    found: dict[date, dict[int, dict[str, Observation]]] = {}
    for line in lines:
        rows = found.setdefault(line.day, {}).setdefault(line.file, {})
        rows.setdefault(line.observation.post_id, line.observation)
    return {day: [list(rows.values()) for _, rows in sorted(files.items())] for day, files in sorted(found.items())}


@dataclass(frozen=True)
class Load:
    """Some files of a day come, together; `replace`: they are now all that the day has."""

    day: date
    files: Sequence[File]
    replace: bool = False

    def __call__(self, lab: Lab) -> None:
        lab.capture(self.day, *self.files, replace=self.replace)


@dataclass(frozen=True)
class Recompute:
    """The sensor of stale windows ticks."""

    def __call__(self, lab: Lab) -> None:
        lab.recompute()


@dataclass(frozen=True)
class Assign:
    """A tag, or a post if it is known, gets an artist or loses one."""

    artist: str | None
    tag: str | None = None
    post: str | None = None

    def __call__(self, lab: Lab) -> None:
        if self.post is None or self.post in Reference(lab.told).history:
            lab.assign(self.artist, tag=self.tag, post=self.post)


@dataclass(frozen=True)
class SetRate:
    """An artist gets another rate from a day on."""

    artist: str
    rate: Decimal
    from_day: date

    def __call__(self, lab: Lab) -> None:
        lab.set_rate(self.artist, self.rate, self.from_day)


@dataclass(frozen=True)
class PayOpening:
    """A site, if it is known, pays out opening balances or no longer does."""

    page: Page
    pay: bool

    def __call__(self, lab: Lab) -> None:
        if any(seen.site == self.page.platform_id for seen in Reference(lab.told).snapshots.values()):
            lab.pay_opening_balances(self.page.platform_id, pay=self.pay)


@dataclass(frozen=True)
class Redefine:
    """A version of the program starts that knows these definition breaks and no others."""

    breaks: Sequence[breaks.Break]

    def __call__(self, lab: Lab) -> list[date]:
        """Returns the days that were marked."""
        lab.clock.instant += timedelta(seconds=1)
        with lab.warehouse.connect() as connection:
            days = breaks.sync(connection, self.breaks, lab.clock.now())
        lab.told.breaks = frozenset(self.breaks)
        return days


Step = Load | Recompute | Assign | SetRate | PayOpening | Redefine


@st.composite
def orders(draw: st.DrawFn, told: dict[date, list[File]], *, shuffle: bool = True) -> list[Step]:
    """The loads of a history, those of one day in their order, one or all at a time, with recomputation in between."""
    days = [day for day, files in told.items() for _ in files]
    left = {day: list(files) for day, files in told.items()}
    steps: list[Step] = []
    for day in draw(st.permutations(days)) if shuffle else days:
        if left[day]:
            number = len(left[day]) if draw(st.booleans()) else 1
            steps.append(Load(day, left[day][:number]))
            del left[day][:number]
            if shuffle and draw(st.booleans()):
                steps.append(Recompute())
    return steps


@st.composite
def scripts(draw: st.DrawFn, *, paid: bool = False) -> list[Step]:
    """What may happen to an installation, in any order. `paid`: there is money, and there are rates, from the start."""
    posts = POSTS[: draw(st.integers(1, 4))]
    files = st.lists(observations(posts, paid=paid), min_size=1, max_size=4, unique_by=lambda row: row.post_id)
    days, artists = st.sampled_from(draw(some_days)), st.sampled_from(ARTISTS)
    load = st.builds(Load, days, st.lists(files, min_size=1, max_size=2))
    correction = st.builds(Load, days, st.lists(files, max_size=2), st.just(True))
    assign_tag = st.builds(Assign, st.none() | artists, tag=st.sampled_from(TAGS))
    assign_post = st.builds(Assign, st.none() | artists, post=st.sampled_from(posts))
    rate = st.builds(SetRate, artists, st.sampled_from(RATES), days)
    pay = st.builds(PayOpening, st.sampled_from(PAGES[:2]), st.booleans())
    redefine = st.builds(Redefine, definition_breaks)
    tick = st.just(Recompute())
    any_step = st.one_of(load, load, load, correction, tick, tick, assign_tag, assign_post, rate, pay, redefine)
    first: list[Step] = [draw(redefine)]
    if paid:
        first += [draw(load), draw(rate), draw(assign_tag)]
    size = draw(st.integers(1, 16))
    return first + draw(st.lists(any_step, min_size=(size + 1) // 2, max_size=size))
