"""Where numbers come from: the chain is whole, what it prints is what is stored, and what does not agree is told."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from psycopg import sql

from cg_pipeline.errors import NotFound
from cg_pipeline.history.explain import COMPARED, Comparison, DeltaExplanation, explain_delta
from cg_pipeline.history.payload import around, payloads
from cg_pipeline.history.windows import Kind
from cg_pipeline.royalties.accruals import payee_totals
from cg_pipeline.royalties.explain import ALL_SUSPENSE, RoyaltyExplanation, explain_royalty
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline_tests.integration.histories import DAYS, PAGES, POSTS, Redefine, Step, said, scripts
from cg_pipeline_tests.integration.lab import UTC_ZONE, Lab, examples

FIRST, SECOND, ELSEWHERE, THIRD = POSTS[:4]
MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)
OLD = "2025-06-01T10:00:00+00:00"


def of(warehouse: Warehouse, post: str, day: date, kind: Kind = Kind.DAILY) -> DeltaExplanation:
    with warehouse.connect() as connection:
        return explain_delta(connection, post, kind, day, UTC_ZONE)


def owed(lab: Lab, payee: str, month: date = MARCH, post: str | None = None) -> RoyaltyExplanation:
    with lab.warehouse.connect() as connection:
        return explain_royalty(connection, payee, month, post)


def metrics(found: DeltaExplanation) -> dict[str, Comparison]:
    (day,) = found.days
    return {metric.metric: metric for metric in day.metrics}


def row(lab: Lab, statement: Any, **values: Any) -> dict[str, Any]:
    (found,) = lab.rows(statement, **values)
    return found


def change(lab: Lab, statement: Any, **values: Any) -> None:
    """Do to the tables what no part of the pipeline does."""
    with lab.warehouse.connect() as connection:
        assert connection.execute(statement, values).rowcount == 1


@pytest.fixture
def lab(lab: Lab) -> Lab:
    lab.empty()
    return lab


@pytest.fixture
def told(lab: Lab) -> Lab:
    """A post with an opening balance, a rise, a gap, a fall, and a correction of the day before the gap."""
    for number, (money, views) in {0: ("10.00", 100), 1: ("11.00", 140), 4: ("13.50", 190), 5: ("13.25", 170)}.items():
        lab.capture(DAYS[number], [said(FIRST, lifetime_earnings=Decimal(money), views=views, publish_time=OLD)])
    lab.recompute()
    lab.capture(DAYS[1], [said(FIRST, lifetime_earnings=Decimal("12.00"), views=150)])
    lab.recompute()
    return lab


def test_every_metric_of_a_daily_delta_is_shown_with_both_snapshots_and_as_it_is_stored(told: Lab) -> None:
    found = of(told.warehouse, FIRST, DAYS[1])
    stored = row(told, "select * from deltas where period = 'daily' and period_start = %(day)s", day=DAYS[1])
    money, views = metrics(found)["earnings_delta"], metrics(found)["views_delta"]
    assert (money.value, money.base, money.base_date, money.difference) == (12, 10, DAYS[0], stored["earnings_delta"])
    assert (views.value, views.base, views.base_date, views.difference) == (150, 100, DAYS[0], stored["views_delta"])
    assert {name: metric.stored for name, metric in metrics(found).items()} == {
        name: stored[name] for name in (*COMPARED, "opening_earnings")
    }
    assert metrics(found)["reach_delta"].note == f"Unknown on {DAYS[1]}: no source told it."
    assert found.checks
    assert [snapshot.day for snapshot in found.snapshots] == DAYS[:2]


def test_a_first_value_is_explained_as_an_opening_balance(told: Lab) -> None:
    found = metrics(of(told.warehouse, FIRST, DAYS[0]))
    assert (found["earnings_delta"].difference, found["earnings_delta"].base) == (None, None)
    assert "Opening balance" in found["earnings_delta"].note
    assert "published 2025-06-01, before its site was first captured" in found["views_delta"].note
    assert found["opening_earnings"].stored == found["opening_earnings"].difference == 10


def test_a_gap_and_a_fall_are_told(told: Lab) -> None:
    gap = metrics(of(told.warehouse, FIRST, DAYS[4]))["earnings_delta"]
    assert (gap.base_date, gap.difference, gap.note) == (DAYS[1], Decimal("1.5"), "Over 3 days: unknown in between.")
    fall = metrics(of(told.warehouse, FIRST, DAYS[5]))["views_delta"]
    assert (fall.difference, fall.note) == (-20, "The counter fell: the platform took something back.")


def test_a_corrected_snapshot_says_what_it_said_before(told: Lab) -> None:
    before, corrected = of(told.warehouse, FIRST, DAYS[1]).snapshots
    assert before.restatements == []
    (former,) = corrected.restatements
    assert {name: former["former"][name] for name in ("views", "lifetime_earnings")} == {
        "views": 140,
        "lifetime_earnings": 11,
    }


def test_a_post_published_since_the_first_capture_counts_from_zero(lab: Lab) -> None:
    lab.capture(DAYS[0], [said(FIRST, views=1)])
    lab.capture(DAYS[2], [said(SECOND, views=7, publish_time=f"{DAYS[1]}T10:00:00+00:00")])
    lab.recompute()
    views = metrics(of(lab.warehouse, SECOND, DAYS[2]))["views_delta"]
    assert (views.base, views.base_date, views.difference, views.agrees) == (0, None, 7, True)
    assert f"Counted from 0: published {DAYS[1]}; its site is captured since {DAYS[0]}" in views.note


def test_a_site_that_pays_its_opening_balances_is_named(lab: Lab) -> None:
    lab.capture(DAYS[0], [said(FIRST, lifetime_earnings=Decimal(3))])
    lab.pay_opening_balances(PAGES[0].platform_id, pay=True)
    lab.recompute()
    money = metrics(of(lab.warehouse, FIRST, DAYS[0]))["earnings_delta"]
    assert (money.difference, money.agrees) == (3, True)
    assert "pay_opening_balance" in money.note


def test_money_in_another_currency_is_an_opening_balance_and_says_which_it_was(lab: Lab) -> None:
    lab.capture(DAYS[0], [said(FIRST, lifetime_earnings=Decimal(3))])
    lab.capture(DAYS[1], [said(FIRST, lifetime_earnings=Decimal(4), currency="EUR")])
    lab.recompute()
    found = of(lab.warehouse, FIRST, DAYS[1])
    money = metrics(found)["earnings_delta"]
    assert (money.difference, money.currency, found.checks) == (None, "EUR", True)
    assert money.note == "The currency was USD before: an opening balance in EUR."
    weekly = of(lab.warehouse, FIRST, DAYS[1], Kind.WEEKLY)
    assert weekly.checks
    assert {each.metric: each.total for each in weekly.sums}["opening_earnings"] is None


def test_a_metric_is_not_compared_across_a_change_of_its_definition_and_says_why(lab: Lab) -> None:
    Redefine([("facebook", "views", DAYS[1], "Views count from the first frame on.")])(lab)
    lab.capture(DAYS[0], [said(FIRST, views=100, reactions=3)])
    lab.capture(DAYS[1], [said(FIRST, views=900, reactions=4)])
    lab.recompute()
    found = of(lab.warehouse, FIRST, DAYS[1])
    views = metrics(found)["views_delta"]
    assert found.row is not None
    assert (found.row["breaks"], views.difference, views.base, found.checks) == (["views"], None, 100, True)
    assert views.note == f"Not compared across {DAYS[1]}: Views count from the first frame on."
    assert metrics(found)["reactions_delta"].difference == 1


def test_a_longer_delta_shows_the_days_that_it_sums(told: Lab) -> None:
    found = of(told.warehouse, FIRST, DAYS[2], Kind.WEEKLY)
    sums = {each.metric: each for each in found.sums}
    assert (found.start, found.last_day) == (date(2026, 3, 23), date(2026, 3, 29))
    assert [each.day for each in found.days] == DAYS[:2]
    assert (sums["earnings_delta"].total, sums["earnings_delta"].stored, sums["opening_earnings"].stored) == (2, 2, 10)
    assert (sums["views_delta"].days, sums["reach_delta"].total, found.checks) == (1, None, True)


@pytest.mark.parametrize(
    "tampered", ["earnings_delta = 9.99", "views_delta = 51", "opening_earnings = 1", "reach_delta = 0"]
)
def test_a_row_that_was_tampered_with_does_not_check(told: Lab, tampered: str) -> None:
    statement = sql.SQL("update deltas set {} where period = 'daily' and period_start = %(day)s")
    change(told, statement.format(sql.SQL(tampered)), day=DAYS[1])
    name, value = tampered.split(" = ")
    (said_of_it,) = of(told.warehouse, FIRST, DAYS[1]).disagreements
    assert said_of_it.startswith(f"{DAYS[1]}: {name} is {value}")
    assert not of(told.warehouse, FIRST, DAYS[1], Kind.MONTHLY).checks


def test_a_sum_that_was_tampered_with_does_not_check_though_its_days_do(told: Lab) -> None:
    change(told, "update deltas set views_delta = 1 where period = 'weekly' and period_start = '2026-03-23'")
    assert of(told.warehouse, FIRST, DAYS[1]).checks
    assert of(told.warehouse, FIRST, DAYS[1], Kind.WEEKLY).disagreements == [
        "weekly: views_delta is 1, its days add up to 50"
    ]


def test_a_window_that_waits_says_so_and_what_would_change(told: Lab) -> None:
    told.capture(DAYS[1], [said(FIRST, views=160)])
    found = of(told.warehouse, FIRST, DAYS[1])
    assert [(each["kind"], each["window_start"]) for each in found.stale] == [("daily", DAYS[1])]
    assert found.disagreements == [f"{DAYS[1]}: views_delta is 50, the snapshots say 60"]
    told.assign("Mira", post=FIRST)
    assert (
        f"{DAYS[1]}: it was computed for nobody, the post belongs to Mira"
        in of(told.warehouse, FIRST, DAYS[1]).disagreements
    )
    told.recompute()
    assert (of(told.warehouse, FIRST, DAYS[1]).checks, of(told.warehouse, FIRST, DAYS[1]).stale) == (True, [])


def test_a_snapshot_without_delta_and_a_delta_without_snapshot_do_not_check(told: Lab) -> None:
    told.capture(DAYS[6], [said(FIRST, views=200)])
    assert of(told.warehouse, FIRST, DAYS[6]).disagreements == [f"{DAYS[6]}: there is a snapshot, but no daily delta"]
    change(told, "delete from snapshots where snapshot_date = %(day)s", day=DAYS[5])
    assert of(told.warehouse, FIRST, DAYS[5]).disagreements == [f"{DAYS[5]}: there is a daily delta, but no snapshot"]


def test_what_is_not_there_is_told_with_what_is(told: Lab) -> None:
    with pytest.raises(NotFound, match=r'There is no post "facebook_1".*cg deltas show --by post'):
        of(told.warehouse, "facebook_1", DAYS[0])
    with pytest.raises(NotFound, match=f"no snapshot of {FIRST} on {DAYS[2]}.*from {DAYS[0]} to {DAYS[5]}"):
        of(told.warehouse, FIRST, DAYS[2])
    with pytest.raises(NotFound, match='There is no artist "Nobody"'):
        owed(told, "Nobody")
    with pytest.raises(NotFound, match=r"\(suspense\) has no royalties in 2025-01. There are lines of 2026-03"):
        owed(told, ALL_SUSPENSE, date(2025, 1, 1))


def test_sources_of_one_row_are_shown_one_by_one(lab: Lab) -> None:
    lab.capture(DAYS[0], [said(FIRST, views=10, reach=8)])
    lab.capture(DAYS[0], [said(FIRST, views=12)], source="facebook")
    lab.recompute()
    found = of(lab.warehouse, FIRST, DAYS[0])
    (snapshot,) = found.snapshots
    assert (snapshot.sources, snapshot.values) == (["csv", "facebook"], {"views": 12, "reach": 8})
    assert snapshot.layers == {"csv": {"views": 10, "reach": 8}, "facebook": {"views": 12}}
    assert {payload.source: payload.fields.get("views") for payload in found.payloads} == {
        "csv": None,
        "facebook": "views",
    }
    assert [capture["wrote_the_row"] for capture in found.captures] == [True, False]


def test_fields_of_a_payload_are_recognised_by_their_number_in_the_units_of_platforms() -> None:
    raw = {
        "x": {"stats": [{"name": "plays", "value": "1,234"}], "estimatedMinutes": 2, "timeMs": 61_000, "other": True}
    }
    (found,) = payloads(DAYS[0], raw, {"views": 1234, "lifetime_seconds_viewed": 120, "reactions": 0})
    assert found.fields == {"views": "stats[plays].value", "lifetime_seconds_viewed": "estimatedMinutes × 60"}
    assert payloads(DAYS[0], raw, {"reach": 61})[0].fields == {"reach": "timeMs ÷ 1000"}
    assert around("a" * 500 + "b" + "a" * 500, "b", 11) == f"…{'a' * 5}b{'a' * 5}…"


@given(script=scripts(paid=True))
@examples(10)
def test_whatever_happened_the_explanations_agree_with_what_is_stored(lab: Lab, script: Sequence[Step]) -> None:
    lab.empty()
    for step in script:
        step(lab)
    lab.recompute()
    rows = lab.rows("select post_id, period, period_start from deltas")
    wrong = [
        (each, found.disagreements)
        for each in rows
        if not (found := of(lab.warehouse, each["post_id"], each["period_start"], Kind(each["period"]))).checks
    ]
    assert wrong == []
    with lab.warehouse.connect() as connection:
        totals = [total for total in payee_totals(connection) if total.posts]
    for total in totals:
        royalty = owed(lab, total.payee, total.month)
        assert (royalty.disagreements, royalty.stale) == ([], [])
        assert {each.currency: each.amount for each in royalty.totals}[total.currency] == total.amount
