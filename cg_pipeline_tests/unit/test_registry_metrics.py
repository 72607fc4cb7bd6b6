"""The metric registry: what may be asked of which post, in which unit, and how a refused metric is found."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cg_pipeline.capture.observation import METRICS
from cg_pipeline.config import PLATFORMS
from cg_pipeline.errors import InvalidMetric, Throttled
from cg_pipeline.platforms.connectors import connector
from cg_pipeline.platforms.registry import Kind, Metric, Registry, Retired, ask

DAY = date(2026, 4, 5)
NAMES = tuple("abcdefghijklmnop")


class Vendor:
    """Refuses calls that ask for a metric that is retired, as vendors do: all of the call."""

    def __init__(self, retired: set[str]) -> None:
        self.retired, self.calls = retired, list[tuple[str, ...]]()

    def __call__(self, names: Sequence[str]) -> list[str]:
        self.calls.append(tuple(names))
        if wrong := [name for name in names if name in self.retired]:
            message = f"{wrong[0]} is no metric"
            raise InvalidMetric(message)
        return list(names)


@given(retired=st.sets(st.sampled_from(NAMES)), names=st.lists(st.sampled_from(NAMES), unique=True))
def test_of_any_metrics_those_that_are_not_refused_are_got_and_the_others_noted(
    retired: set[str], names: list[str]
) -> None:
    vendor, noted = Vendor(retired), Retired()
    got = [name for answer in ask(names, "reel", noted, vendor) for name in answer]
    assert got == [name for name in names if name not in retired]
    assert set(noted.new) == {(name, "reel") for name in names if name in retired}
    vendor.calls.clear()
    assert [name for answer in ask(names, "reel", noted, vendor) for name in answer] == got
    assert len(vendor.calls) == (1 if got else 0), "asked again for what is known to be refused"


def test_one_refused_metric_of_many_costs_few_calls() -> None:
    vendor = Vendor({"p"})
    assert sum(len(answer) for answer in ask(NAMES, "reel", Retired(), vendor)) == 15
    assert len(vendor.calls) <= 9  # all, then two for each halving


def test_what_is_refused_of_one_kind_of_post_is_asked_of_others() -> None:
    vendor, noted = Vendor({"a"}), Retired()
    list(ask(["a", "b"], "reel", noted, vendor))
    vendor.retired = set()
    assert list(ask(["a", "b"], "image", noted, vendor)) == [["a", "b"]]
    assert noted.without(["a", "b"], "reel") == ["b"]


def test_what_was_known_before_is_no_news() -> None:
    noted = Retired({("a", "reel"): "long ago"})
    noted.note("a", "reel", "again")
    noted.note("b", "reel", "first")
    noted.note("b", "reel", "second")
    assert noted.new == {("b", "reel"): "first"}
    assert noted.known["a", "reel"] == "long ago"


def test_other_refusals_are_not_taken_for_a_bad_metric() -> None:
    def throttled(_: Sequence[str]) -> None:
        raise Throttled("slow down")

    noted = Retired()
    with pytest.raises(Throttled):
        list(ask(["a", "b"], "reel", noted, throttled))
    assert not noted.new


def test_nothing_is_asked_for_no_metrics() -> None:
    vendor = Vendor(set())
    assert not list(ask([], "reel", Retired(), vendor))
    assert not vendor.calls


@pytest.mark.parametrize(
    ("metric", "vendor", "ours"),
    [
        (Metric("likes", "reactions"), 12, 12),
        (Metric("likes", "reactions"), "12", 12),
        (Metric("likes", "reactions"), None, None),
        (Metric("likes", "reactions"), 9_007_199_254_740_993, 9_007_199_254_740_993),
        (Metric("time", "lifetime_seconds_viewed", scale=Decimal("0.001")), 577_882_417, 577_882),
        (Metric("share", "avg_watch_percentage", Kind.RATIO, scale=Decimal(100)), 0.4175, Decimal("41.75")),
        (Metric("cents", "lifetime_earnings", Kind.MONEY, scale=Decimal("0.01")), 1234, Decimal("12.34")),
        (Metric("money", "lifetime_earnings", Kind.MONEY), 0.1, Decimal("0.1")),
        (Metric("ages", "demographic_data", Kind.BREAKDOWN), {"18-24": 3}, {"18-24": 3}),
    ],
)
def test_values_come_in_our_unit_and_exactly(metric: Metric, vendor: object, ours: object) -> None:
    assert metric.value(vendor) == ours
    assert type(metric.value(vendor)) is type(ours)


def test_a_metric_is_legal_for_its_posts_and_between_its_days() -> None:
    metric = Metric("a", None, media=frozenset({"reel"}), since=DAY, until=DAY)
    assert metric.is_legal("reel", DAY)
    assert not metric.is_legal("image", DAY)
    assert replace(metric, media=frozenset()).is_legal("image", DAY)
    assert not metric.is_legal("reel", date(2026, 4, 4))
    assert not metric.is_legal("reel", date(2026, 4, 6))


def test_families_keep_the_order_of_the_table_and_leave_out_what_is_not_legal() -> None:
    over = Metric("b", None, until=date(2020, 1, 1))
    table = (Metric("a", "views"), Metric("m", "lifetime_earnings", family="money"), over, Metric("c", "shares"))
    families = Registry(table).families("any", DAY)
    assert {name: [metric.name for metric in metrics] for name, metrics in families.items()} == {
        "main": ["a", "c"], "money": ["m"]}  # fmt: skip
    assert Registry(table).columns() == {"views", "lifetime_earnings", "shares"}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_fills_columns_that_exist_and_names_each_metric_once(platform: str) -> None:
    registry = connector(platform).registry
    assert registry.columns() <= set(METRICS)
    assert registry.columns()
    assert {metric.kind for metric in registry.metrics if metric.column == "lifetime_earnings"} <= {Kind.MONEY}
