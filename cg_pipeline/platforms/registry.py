"""The metric registry: which vendor metric fills which of our columns, for which posts, since when and in which unit.

Each platform module holds its own table of `Metric`s; what is common to them all is here. No requests are made here.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from cg_pipeline.errors import InvalidMetric

T = TypeVar("T")


class Kind(StrEnum):
    """What may be done with a number: only cumulative ones and money are differenced."""

    CUMULATIVE = "cumulative"
    GAUGE = "gauge"
    UNIQUE = "unique"
    RATIO = "ratio"
    MONEY = "money"
    BREAKDOWN = "breakdown"


@dataclass(frozen=True)
class Metric:
    """One vendor metric.

    `column` is ours (None: it stays in raw_data only); `unit` is the vendor's; `scale` turns the vendor's number into
    ours. `media` are the kinds of post for which it may be asked (empty: all). `family` names the metrics that may be
    asked together; `scope` the permission that it needs. `since` and `until` are the first and the last day on which
    the vendor answers.
    """

    name: str
    column: str | None
    kind: Kind = Kind.CUMULATIVE
    unit: str = "count"
    media: frozenset[str] = frozenset()
    family: str = "main"
    scope: str = ""
    scale: Decimal = Decimal(1)
    currency: str | None = None
    since: date | None = None
    until: date | None = None

    def is_legal(self, media: str, day: date) -> bool:
        """Whether it may be asked of such a post on a day."""
        return (
            (not self.media or media in self.media)
            and (self.since is None or self.since <= day)
            and (self.until is None or day <= self.until)
        )

    def value(self, vendor: Any) -> Any:
        """The vendor's value in our unit: counters as whole numbers, ratios and money as Decimal."""
        if vendor is None or self.kind is Kind.BREAKDOWN:
            return vendor
        number = Decimal(str(vendor)) * self.scale
        return number if self.kind in {Kind.MONEY, Kind.RATIO} else round(number)


@dataclass(frozen=True)
class Registry:
    """The metrics of one platform."""

    metrics: tuple[Metric, ...]
    names: dict[str, Metric] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", {metric.name: metric for metric in self.metrics})

    def families(self, media: str, day: date) -> dict[str, list[Metric]]:
        """What may be asked of such a post on a day, by family, in the order of the table."""
        found: dict[str, list[Metric]] = {}
        for metric in self.metrics:
            if metric.is_legal(media, day):
                found.setdefault(metric.family, []).append(metric)
        return found

    def columns(self) -> set[str]:
        """The columns of `snapshots` that the platform can fill by its insights."""
        return {metric.column for metric in self.metrics if metric.column}


@dataclass
class Retired:
    """The metrics that the vendor refused, each with the kind of post, and what it said. Noted once each."""

    known: dict[tuple[str, str], str] = field(default_factory=dict)
    new: dict[tuple[str, str], str] = field(default_factory=dict)

    def note(self, name: str, media: str, message: str) -> None:
        """Remember that a metric is refused for such posts."""
        if (name, media) not in self.known:
            self.new[name, media] = message
            self.known[name, media] = message

    def without(self, names: Iterable[str], media: str) -> list[str]:
        """The names that have not been refused."""
        return [name for name in names if (name, media) not in self.known]


def ask(names: Sequence[str], media: str, retired: Retired, request: Callable[[Sequence[str]], T]) -> Iterator[T]:
    """Ask for metrics; when the vendor answers that one of them is invalid, find it by halves and get the others.

    Yields the answers, usually one. What is refused is noted in `retired` and not asked again.
    """
    wanted = retired.without(names, media)
    if not wanted:
        return
    try:
        yield request(wanted)
    except InvalidMetric as refusal:
        if len(wanted) == 1:
            retired.note(wanted[0], media, str(refusal))
            return
        half = len(wanted) // 2
        yield from ask(wanted[:half], media, retired, request)
        yield from ask(wanted[half:], media, retired, request)
