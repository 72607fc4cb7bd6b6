"""Rules of capture that random histories found hard to keep, each as one short story."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from cg_pipeline_tests.integration.histories import DAYS, PAGES, POSTS, said
from cg_pipeline_tests.integration.lab import Lab, differences, expected
from cg_pipeline_tests.integration.tables import stored_tables

FIRST, SECOND, ELSEWHERE, THIRD = POSTS[:4]
LARGEST = 2**63 - 1


def published(post: str, day: int) -> Any:
    return said(post, asset_tag="sea", publish_time=f"2026-01-{day:02}T10:00:00+00:00")


def snapshots(lab: Lab, *columns: str) -> list[tuple[Any, ...]]:
    rows = lab.rows("select * from snapshots order by post_id, snapshot_date")
    return [tuple(row[name] for name in columns) for row in rows]


def same_in_any_order(lab: Lab, captures: Sequence[Callable[[], object]], orders: Iterable[Sequence[int]]) -> None:
    ends = []
    for order in orders:
        lab.empty()
        for number in order:
            captures[number]()
        lab.recompute()
        ends.append(stored_tables(lab.warehouse))
    for end in ends[1:]:
        assert {name: (ends[0][name], rows) for name, rows in end.items() if rows != ends[0][name]} == {}


@pytest.mark.parametrize("together", [True, False])
def test_earnings_keep_their_currency_when_another_file_brings_a_price_in_another(lab: Lab, together: bool) -> None:
    """10 dollars never become 10 euros because a second file of the day names a cost per mille in euros."""
    earned = [said(FIRST, lifetime_earnings=Decimal(10), currency="USD")]
    priced = [said(FIRST, estimated_cpm=Decimal(3), currency="EUR")]
    for files in [(earned, priced)] if together else [(earned,), (priced,)]:
        lab.capture(DAYS[0], *files)

    assert snapshots(lab, "lifetime_earnings", "currency") == [(10, "USD")]


def test_a_withdrawn_post_is_no_longer_an_iteration_of_others(lab: Lab) -> None:
    lab.assign("Mira", tag="sea")
    lab.capture(DAYS[0], [published(FIRST, 1)])
    lab.capture(DAYS[1], [published(SECOND, 2)])
    lab.recompute()
    assert lab.rows("select iteration from posts where post_id = %(post)s", post=SECOND) == [{"iteration": 2}]

    lab.capture(DAYS[0], replace=True)
    lab.recompute()
    assert not differences(lab.stored(), expected(lab.told))


def test_a_withdrawn_post_is_no_longer_the_parent_of_others(lab: Lab) -> None:
    lab.capture(DAYS[0], [said(FIRST)])
    lab.capture(DAYS[1], [said(SECOND, parent_post_id=FIRST)])
    lab.assign("Mira", post=FIRST)
    lab.capture(DAYS[0], replace=True)
    lab.recompute()

    assert not differences(lab.stored(), expected(lab.told))


def test_a_withdrawn_post_that_comes_back_is_a_parent_and_an_iteration_again(lab: Lab) -> None:
    for files in ([[published(FIRST, 1)]], [], [[published(FIRST, 1)]]):
        lab.capture(DAYS[0], *files, replace=True)
        lab.capture(DAYS[1], [published(SECOND, 2), said(THIRD, parent_post_id=FIRST)], replace=True)
        lab.recompute()
        assert not differences(lab.stored(), expected(lab.told))


def test_a_post_that_two_pages_report_ends_the_same_in_any_order(lab: Lab) -> None:
    """A page that got another id, or a post that two accounts share: its site decides what its first value is."""
    mine = said(FIRST, views=1, publish_time="2026-03-28T10:00:00+00:00")
    theirs = replace(said(FIRST, views=5), page=PAGES[1])
    captures = [
        lambda: lab.capture(DAYS[2], [said(SECOND), mine]),
        lambda: lab.capture(DAYS[3], [said(ELSEWHERE), theirs]),
    ]

    same_in_any_order(lab, captures, permutations(range(2)))


def test_any_counter_that_can_be_captured_can_be_computed(lab: Lab) -> None:
    """One mistyped cell must not hold up the day of all other posts for ever."""
    lab.capture(DAYS[0], [said(FIRST, views=1), said(SECOND, views=1)])
    lab.capture(DAYS[1], [said(FIRST, views=LARGEST), said(SECOND, views=3)])
    lab.recompute()

    assert not differences(lab.stored(), expected(lab.told))


def test_counters_whose_sum_is_no_counter_can_be_captured(lab: Lab) -> None:
    merged = lab.capture(DAYS[0], [said(FIRST, views=LARGEST), said(SECOND, views=LARGEST)])

    assert merged.changed == 2


def test_a_file_and_the_interface_end_in_the_same_row_in_any_order(lab: Lab) -> None:
    """Two files of a day and the platform's own answer, which knows less but knows better."""
    captures = [
        lambda: lab.capture(DAYS[0], [said(FIRST, views=1, reactions=1, asset_tag="sea")]),
        lambda: lab.capture(DAYS[0], [said(FIRST, views=2)]),
        lambda: lab.capture(DAYS[0], [said(FIRST, reactions=9, title="x")], source="facebook"),
    ]

    same_in_any_order(lab, captures, [(0, 1, 2), (0, 2, 1), (2, 0, 1)])


def test_what_a_file_filled_in_can_be_corrected_and_taken_back(lab: Lab) -> None:
    lab.capture(DAYS[0], [said(FIRST, reactions=9)], source="facebook")
    seen = []
    for files in ([[said(FIRST, views=1)]], [[said(FIRST, views=2)]], []):
        lab.capture(DAYS[0], *files, replace=True)
        seen += snapshots(lab, "views", "reactions")

    assert seen == [(1, 9), (2, 9), (None, 9)]


def test_money_that_fills_a_gap_brings_its_currency(lab: Lab) -> None:
    lab.capture(DAYS[0], [said(FIRST, estimated_cpm=Decimal(3), currency="EUR")], source="facebook")
    lab.capture(DAYS[0], [said(FIRST, lifetime_earnings=Decimal(10), currency="USD")])

    assert snapshots(lab, "lifetime_earnings", "currency") == [(10, "USD")]
