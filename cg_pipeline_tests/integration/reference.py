"""The rules of design.md section 3 once more, as naively as they can be written: dictionaries, loops, no SQL. What the
pipeline stores must equal what this says, whatever happened in whatever order.

A `Told` is all that was ever said; a `Reference` is what follows from it. Nothing here looks at the product's rules: of
it only the record type `Observation` is used.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from cg_pipeline.capture.observation import Observation

COUNTERS = {
    "qualified_views_delta": "lifetime_qualified_views",
    "seconds_viewed_delta": "lifetime_seconds_viewed",
    "views_delta": "views",
    "reactions_delta": "reactions",
    "comments_delta": "comments",
    "shares_delta": "shares",
    "impressions_delta": "impressions",
    "reach_delta": "reach",
}
PERIODS: dict[str, Callable[[date], date]] = {
    "weekly": lambda day: day - timedelta(days=day.isoweekday() - 1),
    "monthly": lambda day: date(day.year, day.month, 1),
    "quarterly": lambda day: date(day.year, (day.month - 1) // 3 * 3 + 1, 1),
}

Site = str
"""A site by its platform id."""
File = Sequence[Observation]
Row = dict[str, Any]


@dataclass
class Told:
    """All that was said: the files of each day in order of arrival, who was assigned what, rates by first day."""

    zone: ZoneInfo
    files: dict[date, list[File]] = field(default_factory=dict)
    artist_of_post: dict[str, str] = field(default_factory=dict)
    artist_of_tag: dict[str, str] = field(default_factory=dict)
    rates: dict[str, dict[date, Decimal]] = field(default_factory=dict)
    paying_sites: set[Site] = field(default_factory=set)
    breaks: frozenset[tuple[str, str, date, str]] = frozenset()
    """Platform, metric, the first day on which it means something else, and why."""


@dataclass
class Seen:
    """What all files of a day together say of one post."""

    site: Site
    metrics: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
    money_in: str | None = None
    cpm_in: str | None = None

    @property
    def currency(self) -> str | None:
        """That of the earnings; where there are none, that of the cost per mille."""
        return self.money_in or self.cpm_in

    def add(self, file: Observation) -> None:
        """A later file overwrites with what it knows; what it does not know stays."""
        self.metrics |= {name: value for name, value in file.metrics.items() if value is not None}
        self.attributes |= file.attributes
        self.raw |= file.raw
        if "lifetime_earnings" in file.metrics:
            self.money_in = file.currency
        if "estimated_cpm" in file.metrics:
            self.cpm_in = file.currency


class Reference:
    """What must be stored, given what was told."""

    def __init__(self, told: Told) -> None:
        self.told = told

    @cached_property
    def snapshots(self) -> dict[tuple[str, date], Seen]:
        """Per post and day."""
        found: dict[tuple[str, date], Seen] = {}
        for day in sorted(self.told.files):
            for file in self.told.files[day]:
                for line in file:
                    found.setdefault((line.post_id, day), Seen(line.page.platform_id)).add(line)
        return found

    @cached_property
    def history(self) -> dict[str, list[tuple[date, Seen]]]:
        """The snapshots of each post, by day."""
        found: dict[str, list[tuple[date, Seen]]] = {}
        for (post, day), seen in sorted(self.snapshots.items(), key=lambda item: item[0]):
            found.setdefault(post, []).append((day, seen))
        return found

    @cached_property
    def versions(self) -> dict[tuple[str, date], dict[str, Any]]:
        """What was said of a post's attributes, on the days on which that differs from the capture before."""
        return {
            (post, day): seen.attributes
            for post, days in self.history.items()
            for number, (day, seen) in enumerate(days)
            if number == 0 or days[number - 1][1].attributes != seen.attributes
        }

    @cached_property
    def attributes(self) -> dict[str, dict[str, Any]]:
        """The last known value of each attribute of each post. A parent counts once it is known itself."""
        found: dict[str, dict[str, Any]] = {}
        for post, days in self.history.items():
            known: dict[str, Any] = {}
            for _, seen in days:
                known |= seen.attributes
            if known.get("parent_post_id") not in self.history or known["parent_post_id"] == post:
                known.pop("parent_post_id", None)
            found[post] = known
        return found

    @cached_property
    def chains(self) -> dict[str, tuple[str | None, int]]:
        """For each post the previous iteration and its own number: same tag, same site, in order of publication."""
        links: dict[str, tuple[str | None, int]] = dict.fromkeys(self.history, (None, 1))
        groups: dict[tuple[Site, str], list[tuple[datetime, str]]] = {}
        for post, known in self.attributes.items():
            if "asset_tag" in known and "publish_time" in known and "parent_post_id" not in known:
                group = groups.setdefault((self.site_of(post), known["asset_tag"]), [])
                group.append((datetime.fromisoformat(known["publish_time"]), post))
        for group in groups.values():
            posts = [post for _, post in sorted(group)]
            for number, post in enumerate(posts):
                links[post] = (posts[number - 1] if number else None, number + 1)
        return links

    def site_of(self, post: str) -> Site:
        """The site of a post."""
        return self.history[post][0][1].site

    def artist_of(self, post: str, heirs: tuple[str, ...] = ()) -> str | None:
        """Named for the post, else for its tag, else the parent's if it has one, else the previous iteration's."""
        known = self.attributes[post]
        if named := self.told.artist_of_post.get(post) or self.told.artist_of_tag.get(known.get("asset_tag", "")):
            return named
        source = known.get("parent_post_id") or self.chains[post][0]
        if source is None or source in (*heirs, post):
            return None
        return self.artist_of(source, (*heirs, post))

    def base_is_zero(self, post: str) -> bool:
        """Whether a post was published on or after the first captured day of its site, so that nothing came before."""
        published = self.attributes[post].get("publish_time")
        if published is None:
            return False
        first_day = min(day for (_, day), seen in self.snapshots.items() if seen.site == self.site_of(post))
        return datetime.fromisoformat(published).astimezone(self.told.zone).date() >= first_day

    @cached_property
    def daily(self) -> dict[tuple[str, date], Row]:
        """The daily deltas per post and day."""
        return {
            (post, days[number][0]): self._delta(post, days[: number + 1])
            for post, days in self.history.items()
            for number in range(len(days))
        }

    def _delta(self, post: str, days: Sequence[tuple[date, Seen]]) -> Row:
        """The last of these days compared with those before it, metric by metric."""
        *before, (day, seen) = days
        broken = self.broken[post, day]
        bases = {
            name: None if metric in broken else self._base(post, metric, before) for name, metric in COUNTERS.items()
        }
        row: Row = {name: _minus(seen.metrics.get(metric), bases[name]) for name, metric in COUNTERS.items()}
        row["base_views"] = bases["views_delta"] if "views" in seen.metrics else None
        row["growth_rate"] = _growth(row)
        row |= {"from_date": before[-1][0] if before else None, "to_date": day, "artist": self.artist_of(post)}
        return row | self._money(post, seen, before)

    @cached_property
    def broken(self) -> dict[tuple[str, date], list[str]]:
        """The metrics that are not compared, per post and day."""
        return {
            (post, day): [
                metric
                for metric in sorted(COUNTERS.values())
                if metric in seen.metrics and self._was_redefined(post, metric, days[:number], day)
            ]
            for post, days in self.history.items()
            for number, (day, seen) in enumerate(days)
        }

    def _was_redefined(self, post: str, metric: str, before: Sequence[tuple[date, Seen]], day: date) -> bool:
        """Whether a metric means something else on a day than when it was last known, or else the post last seen."""
        known = [then for then, seen in before if metric in seen.metrics] or [then for then, _ in before]
        breaks = [start for *what, start, _ in self.told.breaks if what == [post.partition("_")[0], metric]]
        return any(then < start <= day for then in known[-1:] for start in breaks)

    @cached_property
    def breaks(self) -> dict[tuple[str, str, date], list[str]]:
        """What the rows must say is not compared, where they say anything, per period, post and start of the window."""
        found: dict[tuple[str, str, date], set[str]] = {}
        for (post, day), metrics in self.broken.items():
            for period, start in {"daily": day, **{name: first(day) for name, first in PERIODS.items()}}.items():
                found.setdefault((period, post, start), set()).update(metrics)
        return {key: sorted(metrics) for key, metrics in found.items() if metrics}

    def _base(self, post: str, metric: str, before: Sequence[tuple[date, Seen]]) -> int | None:
        for _, seen in reversed(before):
            if metric in seen.metrics:
                return int(seen.metrics[metric])
        return 0 if self.base_is_zero(post) else None

    def _money(self, post: str, seen: Seen, before: Sequence[tuple[date, Seen]]) -> Row:
        row: Row = dict.fromkeys(("earnings_delta", "opening_earnings", "currency", "earnings_from_date"))
        if "lifetime_earnings" not in seen.metrics:
            return row
        amount, row["currency"] = seen.metrics["lifetime_earnings"], seen.currency
        earned = [(day, then) for day, then in before if "lifetime_earnings" in then.metrics]
        for day, then in reversed(earned):
            if then.currency == seen.currency:
                return row | {"earnings_delta": amount - then.metrics["lifetime_earnings"], "earnings_from_date": day}
        if not earned and (self.base_is_zero(post) or seen.site in self.told.paying_sites):
            return row | {"earnings_delta": amount}
        return row | {"opening_earnings": amount}

    def longer(self, period: str) -> dict[tuple[str, date], Row]:
        """The weekly, monthly or quarterly deltas, per post and first day of the window."""
        groups: dict[tuple[str, date], list[Row]] = {}
        for (post, day), row in sorted(self.daily.items(), key=lambda item: item[0]):
            groups.setdefault((post, PERIODS[period](day)), []).append(row)
        return {key: _sum(rows) for key, rows in groups.items()}

    @cached_property
    def lines(self) -> dict[tuple[date, str, str | None, str, Decimal | None], Row]:
        """The royalty lines per month, post, artist, currency and rate."""
        found: dict[tuple[date, str, str | None, str, Decimal | None], Row] = {}
        for (post, day), delta in self.daily.items():
            if delta["earnings_delta"]:
                rate = self.rate_of(delta["artist"], day)
                key = (PERIODS["monthly"](day), post, delta["artist"], delta["currency"], rate)
                line = found.setdefault(key, {"earnings": Decimal()})
                line["earnings"] += delta["earnings_delta"]
        for (*_, rate), line in found.items():
            share = Decimal() if rate is None else line["earnings"] * rate / 100
            line["artist_share"] = share
            line["house_share"] = Decimal() if rate is None else line["earnings"] - share
            line["suspense"] = line["earnings"] if rate is None else Decimal()
        return found

    def rate_of(self, artist: str | None, day: date) -> Decimal | None:
        """The rate in force on a day."""
        in_force = [start for start in self.told.rates.get(artist or "", {}) if start <= day]
        return self.told.rates[artist or ""][max(in_force)] if in_force else None

    def platform_money(self) -> dict[tuple[date, str], Decimal]:
        """What the platforms added, per month and currency."""
        found: dict[tuple[date, str], Decimal] = {}
        for (_, day), row in self.daily.items():
            if row["earnings_delta"] is not None:
                key = (PERIODS["monthly"](day), row["currency"])
                found[key] = found.get(key, Decimal()) + row["earnings_delta"]
        return found


def _sum(rows: Sequence[Row]) -> Row:
    """The days of one post and window, in order, as one row."""
    total = {name: _added([row[name] for row in rows]) for name in COUNTERS}
    with_views = [row for row in rows if row["views_delta"] is not None]
    with_money = [row for row in rows if row["currency"] is not None]
    currencies = {row["currency"] for row in with_money}
    total["base_views"] = with_views[0]["base_views"] if with_views else None
    total["growth_rate"] = _growth(total)
    total |= {"from_date": rows[0]["from_date"], "to_date": rows[-1]["to_date"], "artist": rows[0]["artist"]}
    total["earnings_from_date"] = with_money[0]["earnings_from_date"] if with_money else None
    total |= dict.fromkeys(("earnings_delta", "opening_earnings", "currency"))
    if len(currencies) == 1:
        total["currency"] = currencies.pop()
        for name in ("earnings_delta", "opening_earnings"):
            total[name] = _added([row[name] for row in with_money])
    return total


def _minus(value: int | None, base: int | None) -> int | None:
    return None if value is None or base is None else value - base


def _added(values: Sequence[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None


def _growth(row: Mapping[str, Any]) -> Decimal | None:
    """100 x views gained / views at the base, to four decimals, halves away from zero."""
    if row["views_delta"] is None or not row["base_views"]:
        return None
    ten_thousandths = Fraction(1_000_000 * row["views_delta"], row["base_views"])
    whole = Decimal(ten_thousandths.numerator) / Decimal(ten_thousandths.denominator)
    return whole.quantize(Decimal(1), ROUND_HALF_UP) / 10_000
