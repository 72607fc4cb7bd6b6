"""Which windows a capture marks: those that read what it changed, all of them, and in the plain cases no other."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from cg_pipeline import progress
from cg_pipeline.capture.observation import METRICS
from cg_pipeline.history import deltas, stale
from cg_pipeline.history.windows import Kind, start_of
from cg_pipeline_tests.integration.histories import DAYS, POSTS, page_of, said
from cg_pipeline_tests.integration.lab import Lab, differences, expected
from cg_pipeline_tests.integration.reference import COUNTERS

POST, OTHER, ELSEWHERE = POSTS[:3]


def known_from(lab: Lab, *days: date, **metrics: int) -> None:
    """The post was seen on these days with these metrics, and all is computed."""
    for number, day in enumerate(days):
        lab.capture(day, [said(POST, **{name: value + number for name, value in metrics.items()})])
    lab.recompute()


def assert_right(lab: Lab) -> None:
    assert not lab.unsound()
    lab.recompute()
    assert not lab.stale()
    assert not differences(lab.stored(), expected(lab.told))


def test_a_new_day_marks_itself_only_and_then_what_lies_above_it(lab: Lab) -> None:
    known_from(lab, *DAYS[:3], views=5)
    lab.capture(DAYS[3], [said(POST, views=9)])

    assert lab.stale() == {("daily", DAYS[3])}
    assert lab.recompute() == 5, "the day, its week, month, quarter and royalty month"
    assert_right(lab)


def test_a_late_file_marks_its_day_and_the_next_snapshot_of_its_posts(lab: Lab) -> None:
    known_from(lab, DAYS[0], DAYS[4], DAYS[6], views=5)
    lab.capture(DAYS[3], [said(OTHER, views=1)])
    lab.capture(DAYS[5], [said(OTHER, views=1)])
    lab.recompute()
    lab.capture(DAYS[2], [said(POST, views=9)])

    assert lab.stale() == {("daily", DAYS[2]), ("daily", DAYS[4])}
    assert_right(lab)


def test_a_late_file_that_says_what_is_known_marks_nothing(lab: Lab) -> None:
    known_from(lab, *DAYS[:4], views=5)
    lab.capture(DAYS[1], [said(POST, views=6)])

    assert not lab.stale()


def test_only_the_windows_above_changed_days_are_computed_again(lab: Lab) -> None:
    """A late value moves one delta down and the next up: here of two days in March, so nothing of April."""
    known_from(lab, DAYS[0], DAYS[2], DAYS[8], views=5)
    april = "select xmin::text, post_id, period, period_start from deltas where period_start >= '2026-04-01' order by 3"
    before = lab.rows(april)
    lab.capture(DAYS[1], [said(POST, views=9)])

    assert lab.stale_days() == [DAYS[1], DAYS[2]]
    week, month, quarter = (start_of(kind, DAYS[1]) for kind in (Kind.WEEKLY, Kind.MONTHLY, Kind.QUARTERLY))
    assert (week, month, quarter) == (date(2026, 3, 23), date(2026, 3, 1), date(2026, 1, 1))
    assert lab.recompute() == 2 + 4
    assert lab.rows(april) == before
    assert_right(lab)


@pytest.mark.parametrize("metric", [*COUNTERS.values(), "lifetime_earnings"])
def test_a_value_is_the_base_of_the_next_day_that_knows_the_metric(lab: Lab, metric: str) -> None:
    """On the days between only other metrics are known; those after it have a base of their own."""
    others = {name: 1 for name in COUNTERS.values() if name != metric}
    for number in (0, 6, 8):
        lab.capture(DAYS[number], [said(POST, **{metric: 10 + number, **others})])
    for number in (3, 4, 7):
        lab.capture(DAYS[number], [said(POST, **others)])
    lab.recompute()
    lab.capture(DAYS[2], [said(POST, **{metric: 11})])
    late = lab.stale_days()
    assert_right(lab)

    assert late == [DAYS[2], DAYS[3], DAYS[6]]


@pytest.mark.parametrize("metric", [name for name in METRICS if name not in {*COUNTERS.values(), "lifetime_earnings"}])
def test_a_metric_without_deltas_moves_none(lab: Lab, metric: str) -> None:
    known_from(lab, *DAYS[:3], views=5)
    before = lab.stored()["daily"]
    value = {"US": 1} if metric in METRICS[-4:] else 1
    lab.capture(DAYS[1], [said(POST, **{metric: value})])
    lab.recompute()

    assert lab.stored()["daily"] == before
    assert_right(lab)


def test_money_of_one_currency_looks_beyond_days_with_another(lab: Lab) -> None:
    for number, currency in enumerate(["USD", "EUR", "EUR", "USD", "USD"]):
        lab.capture(DAYS[2 * number], [said(POST, lifetime_earnings=Decimal(10 * number), currency=currency)])
    lab.recompute()
    lab.capture(DAYS[1], [said(POST, lifetime_earnings=Decimal(3), currency="USD")])

    assert lab.stale_days() == [DAYS[1], DAYS[2], DAYS[6]]
    assert_right(lab)


def test_a_file_that_corrects_the_currency_moves_the_later_days_of_both(lab: Lab) -> None:
    """The later day in dollars looked back at the corrected one, over a day in euros that has the new currency."""
    lab.capture(DAYS[0], [said(POST, lifetime_earnings=Decimal(10), currency="USD")])
    lab.capture(DAYS[1], [said(POST, lifetime_earnings=Decimal(20), currency="EUR")])
    lab.capture(DAYS[2], [said(POST, lifetime_earnings=Decimal(30), currency="USD")])
    lab.recompute()
    lab.capture(DAYS[0], [said(POST, lifetime_earnings=Decimal(9), currency="EUR")])

    assert not lab.unsound()
    assert lab.stale_days() == DAYS[:3]
    assert_right(lab)


def test_a_first_value_before_the_first_changes_what_the_former_first_was(lab: Lab) -> None:
    lab.capture(DAYS[2], [said(POST, lifetime_earnings=Decimal(10), publish_time="2026-03-29T10:00:00+00:00")])
    lab.recompute()
    assert lab.stored()["daily"][POST, DAYS[2]]["earnings_delta"] == 10

    lab.capture(DAYS[0], [said(POST, lifetime_earnings=Decimal(4), currency="EUR")])
    assert lab.stale_days() == [DAYS[0], DAYS[2]]
    assert_right(lab)
    assert lab.stored()["daily"][POST, DAYS[2]]["opening_earnings"] == 10


def test_an_earlier_first_day_of_a_site_turns_opening_balances_into_gains_and_back(lab: Lab) -> None:
    """Of the posts that were published in between, wherever they were seen first; on other sites of none."""
    before, between, after = POST, OTHER, POSTS[3]
    published = {before: "2026-03-27T10:00:00+00:00", between: "2026-03-29T10:00:00+00:00"}
    for post, day in ((before, DAYS[4]), (between, DAYS[6]), (after, DAYS[7])):
        lab.capture(day, [said(post, views=5, publish_time=published.get(post, "2026-03-31T10:00:00+00:00"))])
    lab.capture(DAYS[8], [said(ELSEWHERE, views=5, publish_time=published[between])])
    lab.recompute()
    assert lab.stored()["daily"][between, DAYS[6]]["views_delta"] is None

    newcomer = POSTS[3]
    lab.capture(DAYS[2], [said(newcomer)])
    assert lab.stale_days() == [DAYS[2], DAYS[6], DAYS[7]]
    assert_right(lab)
    assert lab.stored()["daily"][between, DAYS[6]]["views_delta"] == 5
    assert lab.stored()["daily"][before, DAYS[4]]["views_delta"] is None

    lab.capture(DAYS[2], replace=True)
    assert lab.stale_days() == [DAYS[2], DAYS[6], DAYS[7]]
    assert_right(lab)
    assert lab.stored()["daily"][between, DAYS[6]]["views_delta"] is None


def test_a_publish_time_that_becomes_known_or_changes_marks_the_first_sights(lab: Lab) -> None:
    lab.capture(DAYS[0], [said(OTHER)])
    lab.capture(DAYS[1], [said(POST, views=5)])
    lab.capture(DAYS[2], [said(POST, reactions=5, lifetime_earnings=Decimal(7))])
    lab.capture(DAYS[3], [said(POST, views=6, reactions=6, lifetime_earnings=Decimal(8), currency="EUR")])
    lab.capture(DAYS[5], [said(POST, views=7)])
    lab.recompute()

    lab.capture(DAYS[6], [said(POST, publish_time="2026-03-27T10:00:00+00:00")])
    assert lab.stale_days() == [DAYS[1], DAYS[2], DAYS[3], DAYS[6]]
    assert_right(lab)
    assert lab.stored()["daily"][POST, DAYS[2]]["earnings_delta"] == 7

    lab.capture(DAYS[6], replace=True)
    assert_right(lab)
    assert lab.stored()["daily"][POST, DAYS[2]]["earnings_delta"] is None


def test_paying_opening_balances_marks_the_days_of_opening_of_that_site_only(lab: Lab) -> None:
    for number, day in enumerate(DAYS[:3]):
        money = {"lifetime_earnings": Decimal(10 + number)}
        lab.capture(day, [said(POST, **money), said(ELSEWHERE, **money), *([said(OTHER, **money)] if number else [])])
    lab.recompute()
    lab.pay_opening_balances(page_of(POST).platform_id, pay=True)

    assert lab.stale_days() == [DAYS[0], DAYS[1]]
    assert_right(lab)
    assert lab.stored()["daily"][POST, DAYS[0]]["earnings_delta"] == 10
    assert lab.stored()["daily"][ELSEWHERE, DAYS[0]]["earnings_delta"] is None

    lab.pay_opening_balances(page_of(POST).platform_id, pay=False)
    assert lab.stale_days() == [DAYS[0], DAYS[1]]
    assert_right(lab)


def test_a_day_that_is_taken_back_marks_itself_and_what_looked_back_at_it(lab: Lab) -> None:
    known_from(lab, DAYS[0], DAYS[3], DAYS[7], DAYS[9], views=5)
    lab.capture(DAYS[3], replace=True)

    assert lab.stale() == {("daily", DAYS[3]), ("daily", DAYS[7])}
    assert_right(lab)
    assert (POST, DAYS[3]) not in lab.stored()["daily"]


def test_a_post_whose_artist_changes_by_a_capture_has_its_days_marked(lab: Lab) -> None:
    lab.assign("Mira", tag="sea")
    for number in (0, 2, 5):
        lab.capture(DAYS[number], [said(POST, views=number), said(OTHER, views=number)])
    lab.recompute()
    lab.capture(DAYS[3], [said(POST, asset_tag="sea")])

    assert lab.stale_days() == [DAYS[0], DAYS[2], DAYS[3], DAYS[5]]
    assert_right(lab)


def test_a_requested_window_is_not_requested_again_at_once_unless_it_is_marked_again(lab: Lab) -> None:
    known_from(lab, *DAYS[:3], views=5)
    for day in DAYS[:3]:
        lab.capture(day, [said(POST, views=1)])
    now, at_once = lab.clock.now(), timedelta(0)
    runs = stale.plan_runs(stale.pending(lab.warehouse), now, at_once, at_once)
    stale.note_requests(lab.warehouse, runs, now)

    assert [(run.first, run.last) for run in runs] == [(DAYS[0], DAYS[2])]
    assert {(window.requested_at, window.attempts) for window in stale.pending(lab.warehouse)} == {(now, 1)}
    assert not stale.plan_runs(stale.pending(lab.warehouse), now, at_once, at_once)

    lab.capture(DAYS[1], [said(POST, views=2)])
    marked = {window.start: window for window in stale.pending(lab.warehouse)}
    assert (marked[DAYS[1]].requested_at, marked[DAYS[1]].attempts) == (None, 0)
    assert marked[DAYS[1]].first_marked_at < marked[DAYS[1]].marked_at
    again = stale.plan_runs(stale.pending(lab.warehouse), lab.clock.now(), at_once, at_once)
    assert [(run.first, run.last) for run in again] == [(DAYS[1], DAYS[2])], "the day after reads it too"
    assert not {run.key for run in again} & {run.key for run in runs}


def test_an_interrupted_run_has_done_whole_windows_and_leaves_the_others_marked(lab: Lab) -> None:
    known_from(lab, *DAYS[:3], views=5)
    for day in DAYS[:3]:
        lab.capture(day, [said(POST, views=1)])

    def after_two_days(_what: str, count: int) -> None:
        if count == 2:
            raise KeyboardInterrupt

    with progress.listening(after_two_days), pytest.raises(KeyboardInterrupt):
        deltas.recompute(lab.warehouse, Kind.DAILY, DAYS[:3], lab.told.zone, lab.clock)

    assert lab.stale_days() == [DAYS[2]]
    assert ("monthly", date(2026, 3, 1)) in lab.stale()
    assert_right(lab)
