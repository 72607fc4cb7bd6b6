"""Deltas do not cross the day on which a metric's definition changes, and the rows say so. A break that becomes known
later, or is withdrawn, recomputes what it touches and nothing else. Money knows no breaks."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from cg_pipeline.clock import FixedClock
from cg_pipeline.config import PLATFORMS
from cg_pipeline.history import breaks, checks
from cg_pipeline.history.windows import Kind, start_of
from cg_pipeline.platforms.definitions import BREAKS
from cg_pipeline_tests.integration.histories import DAYS, POSTS, Redefine, said
from cg_pipeline_tests.integration.installations import Installation
from cg_pipeline_tests.integration.lab import UTC_ZONE, Lab, differences, expected
from cg_pipeline_tests.integration.reference import COUNTERS
from cg_pipeline_tests.integration.tables import row_versions, stored_tables

POST, OTHER, ELSEWHERE, VIDEO = POSTS[0], POSTS[1], POSTS[2], POSTS[5]
PUBLISHED = "2026-03-26T12:00:00+00:00"
CHANGE = DAYS[4]
VIEWS = ("facebook", "views", CHANGE, "Replays count.")


@pytest.fixture
def told(lab: Lab) -> Lab:
    """Two new posts of Facebook, one of them unknown on a day, and a video of YouTube: views, reactions and money."""
    for number, day in enumerate(DAYS):
        known = {"views": 100 * number, "reactions": number, "lifetime_earnings": Decimal(number)}
        rows = [said(post, publish_time=PUBLISHED, **known) for post in (POST, OTHER, VIDEO)]
        lab.capture(day, rows if number != 7 else rows[1:])
    lab.recompute()
    return lab


def deltas_of(lab: Lab, post: str, period: str = "daily") -> dict[date, dict[str, Any]]:
    rows = lab.rows("select * from deltas where post_id = %(post)s and period = %(period)s", post=post, period=period)
    return {row["period_start"]: row for row in rows}


def assert_sound(lab: Lab) -> None:
    """All is computed, as the reference says, and the checks hold."""
    assert not lab.stale()
    assert not differences(lab.stored(), expected(lab.told))
    subject = checks.Subject(UTC_ZONE)
    with lab.warehouse.connect() as connection:
        assert not checks.ask(connection, "telescoping", Kind.DAILY, DAYS[0], DAYS[-1], subject).rows
        week = start_of(Kind.WEEKLY, DAYS[0])
        assert not checks.ask(connection, "sums", Kind.WEEKLY, week, week, subject).rows


def test_a_delta_over_a_break_is_unknown_and_the_row_names_the_metric_and_leads_to_the_reason(told: Lab) -> None:
    Redefine([VIEWS])(told)
    told.recompute()

    row = deltas_of(told, POST)[CHANGE]
    assert (row["views_delta"], row["base_views"], row["growth_rate"], row["breaks"]) == (None, None, None, ["views"])
    assert (row["reactions_delta"], row["earnings_delta"]) == (1, Decimal(1)), "the others go on"
    others = [row for day, row in deltas_of(told, POST).items() if day != CHANGE]
    assert {row["views_delta"] for row in others} == {0, 100, 200}
    assert {row["breaks"] for row in [*others, *deltas_of(told, VIDEO).values()]} == {None}, "another platform"
    reasons = told.rows(
        """select k.reason
           from deltas d join posts p using (post_id)
           join definition_breaks k on k.platform = p.platform and k.metric = any(d.breaks) and k.first_day <= d.to_date
           where d.post_id = %(post)s and d.period = 'daily'""",
        post=POST,
    )
    assert [row["reason"] for row in reasons] == ["Replays count."]
    assert_sound(told)


def test_longer_windows_add_up_what_is_known_and_name_what_their_days_name(told: Lab) -> None:
    Redefine([VIEWS, ("facebook", "reactions", DAYS[2], "Ducks count.")])(told)
    told.recompute()

    weekly = deltas_of(told, POST, "weekly")
    first, second = (start_of(Kind.WEEKLY, day) for day in (DAYS[2], CHANGE))
    assert (weekly[first]["breaks"], weekly[second]["breaks"]) == (["reactions"], ["views"])
    assert weekly[second]["views_delta"] == 600, "700 less the day of the break"
    (quarter,) = [row for row in deltas_of(told, POST, "quarterly").values() if row["period_start"].month == 1]
    assert quarter["breaks"] == ["reactions", "views"]
    assert_sound(told)


def test_a_break_in_a_gap_is_not_crossed_by_the_delta_over_the_gap(lab: Lab) -> None:
    for day, views in ((DAYS[0], 10), (DAYS[2], None), (DAYS[6], None), (DAYS[8], 90), (DAYS[9], 95)):
        lab.capture(day, [said(POST, publish_time=PUBLISHED, **({"views": views} if views else {}))])
    Redefine([VIEWS])(lab)
    lab.recompute()

    found = deltas_of(lab, POST)
    assert {day: row["breaks"] for day, row in found.items() if row["breaks"]} == {DAYS[8]: ["views"]}
    assert (found[DAYS[8]]["views_delta"], found[DAYS[9]]["views_delta"]) == (None, 5)
    assert_sound(lab)


def test_of_a_metric_that_takes_the_place_of_another_the_first_value_is_no_growth_since_zero(lab: Lab) -> None:
    for day, views in ((DAYS[3], None), (CHANGE, 700), (DAYS[5], 750)):
        counted = {"views": views} if views else {"impressions": 600}
        lab.capture(day, [said(POST, publish_time=PUBLISHED, **counted)])
    lab.recompute()
    assert deltas_of(lab, POST)[CHANGE]["views_delta"] is None, "published before its site was first captured"
    lab.capture(DAYS[0], [said(OTHER, views=1)])
    lab.recompute()
    assert deltas_of(lab, POST)[CHANGE]["views_delta"] == 700, "what is to be prevented"

    Redefine([VIEWS])(lab)
    lab.recompute()
    found = deltas_of(lab, POST)
    assert (found[CHANGE]["views_delta"], found[CHANGE]["breaks"]) == (None, ["views"])
    assert found[DAYS[5]]["views_delta"] == 50
    assert_sound(lab)


def test_a_post_that_was_first_seen_after_the_break_starts_from_zero(told: Lab) -> None:
    told.capture(CHANGE, [said(ELSEWHERE, views=5, publish_time="2026-03-30T12:00:00+00:00")])
    Redefine([VIEWS])(told)
    told.recompute()

    row = deltas_of(told, ELSEWHERE)[CHANGE]
    assert (row["views_delta"], row["breaks"]) == (5, None)
    assert_sound(told)


@pytest.mark.parametrize("metric", sorted(breaks.BREAKABLE))
def test_every_counter_can_break_and_marks_the_day_on_which_it_is_known_again(lab: Lab, metric: str) -> None:
    for day, known in ((DAYS[3], True), (CHANGE, False), (DAYS[6], True), (DAYS[7], True)):
        lab.capture(day, [said(POST, title="x", **({metric: 7} if known else {}))])
    lab.recompute()

    assert Redefine([("facebook", metric, CHANGE, "It counts otherwise.")])(lab) == [DAYS[6]]
    lab.recompute()
    found = deltas_of(lab, POST)
    assert {day: row["breaks"] for day, row in found.items() if row["breaks"]} == {DAYS[6]: [metric]}
    (name,) = (name for name, column in COUNTERS.items() if column == metric)
    assert (found[DAYS[6]][name], found[DAYS[7]][name]) == (None, 0)
    assert_sound(lab)


def test_a_break_that_becomes_known_later_recomputes_its_day_and_withdrawing_it_restores_the_numbers(told: Lab) -> None:
    before = stored_tables(told.warehouse)
    versions = row_versions(told.warehouse)
    late = DAYS[8]  # of the one post a day is missing before it

    assert Redefine([("facebook", "views", DAYS[7], "Replays count.")])(told) == [DAYS[7], late]
    assert told.stale() == {("daily", DAYS[7]), ("daily", late)}
    told.recompute()
    assert_sound(told)
    rewritten = {key for key, xmin in row_versions(told.warehouse)["deltas"].items() if versions["deltas"][key] != xmin}
    daily = {key for key in rewritten if "daily" in key}
    assert daily == {f"{OTHER}daily{DAYS[7]}", f"{POST}daily{late}"}, "no other row of these days"
    assert not any(key.startswith(VIDEO) for key in rewritten)

    assert Redefine([])(told) == [DAYS[7], late]
    told.recompute()
    assert stored_tables(told.warehouse) == before


def test_the_same_list_again_and_another_wording_mark_nothing(told: Lab) -> None:
    Redefine([VIEWS])(told)
    told.recompute()
    versions = row_versions(told.warehouse)

    assert Redefine([VIEWS])(told) == []
    assert Redefine([(*VIEWS[:3], "Replays count, said somebody else.")])(told) == []
    assert not told.stale()
    assert row_versions(told.warehouse) == versions
    assert [row["reason"] for row in told.rows("select reason from definition_breaks")] == [
        "Replays count, said somebody else."
    ]


def test_money_never_breaks(told: Lab) -> None:
    with pytest.raises(ValueError, match=r"facebook's lifetime_earnings .* on 2026-03-30.*money never does"):
        Redefine([("facebook", "lifetime_earnings", CHANGE, "It is paid otherwise.")])(told)
    Redefine([])(told)

    before = deltas_of(told, POST)
    with told.warehouse.connect() as connection:
        connection.execute(
            "insert into definition_breaks values ('facebook', 'lifetime_earnings', %s, 'By hand.')", [CHANGE]
        )
        connection.execute("insert into stale_windows (kind, window_start) values ('daily', %s)", [CHANGE])
    told.recompute()
    assert deltas_of(told, POST) == before
    assert {row["earnings_delta"] for row in before.values()} == {Decimal(0), Decimal(1), Decimal(2)}


def test_the_checks_find_deltas_that_cross_a_break_and_sums_that_do_not_say_so(told: Lab) -> None:
    Redefine([VIEWS])(told)
    told.recompute()
    week = start_of(Kind.WEEKLY, CHANGE)

    def broken(name: str, kind: Kind, first: date, statement: Any) -> Sequence[dict[str, Any]]:
        with told.warehouse.connect() as connection, connection.transaction(force_rollback=True):
            assert connection.execute(statement, {"post": POST, "day": CHANGE, "week": week}).rowcount == 1
            return checks.ask(connection, name, kind, first, first, checks.Subject(UTC_ZONE)).rows

    crossing = """update deltas set views_delta = 100
                  where post_id = %(post)s and period = 'daily' and period_start = %(day)s"""
    (row,) = broken("telescoping", Kind.DAILY, CHANGE, crossing)
    assert (row["metric"], row["expected"], row["booked"]) == ("views", "0", "100")
    silent = """update deltas set breaks = null
                where post_id = %(post)s and period = 'weekly' and period_start = %(week)s"""
    assert [row["post_id"] for row in broken("sums", Kind.WEEKLY, week, silent)] == [POST]


def test_the_known_breaks_are_of_our_platforms_and_counters_and_each_has_a_source() -> None:
    assert {known.platform for known in BREAKS} <= set(PLATFORMS)
    assert {known.metric for known in BREAKS} <= breaks.BREAKABLE
    assert len({known[:3] for known in BREAKS}) == len(BREAKS)
    assert all("Source: " in known.reason for known in BREAKS)


def test_the_columns_that_can_break_are_those_of_which_deltas_are_made() -> None:
    assert set(COUNTERS.values()) == breaks.BREAKABLE


def test_every_start_of_the_program_brings_the_known_breaks(installation: Installation, clock: FixedClock) -> None:
    def stored() -> set[tuple[Any, ...]]:
        with installation.pipeline.warehouse.connect() as connection:
            return {tuple(row.values()) for row in connection.execute("select * from definition_breaks")}

    assert stored() == set(BREAKS)
    with installation.pipeline.warehouse.connect() as connection:
        breaks.sync(connection, [("tiktok", "views", date(2026, 1, 1), "Of another version.")], clock.now())
    assert stored() != set(BREAKS)
    installation.pipeline.prepare()
    assert stored() == set(BREAKS)
