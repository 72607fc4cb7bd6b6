"""Whose posts are whose: named, by tag, through a parent or the iteration before; and what a change marks stale."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from cg_pipeline.capture.observation import Observation
from cg_pipeline.errors import ConfigError, NotFound
from cg_pipeline.royalties import artists
from cg_pipeline_tests.integration.histories import DAYS, POSTS, said
from cg_pipeline_tests.integration.lab import Lab, differences, expected

FIRST, SECOND, ELSEWHERE, THIRD = POSTS[:4]  # ELSEWHERE is on another page than the others
YEAR_BEFORE = "2025-06-01T10:00:00+00:00"


def owners(lab: Lab) -> dict[str, str | None]:
    rows = lab.rows("select p.post_id, a.name from posts p left join artists a on a.id = p.artist_id")
    return {row["post_id"]: row["name"] for row in rows}


def upload(post: str, day: int, **more: Any) -> Observation:
    """A post with the tag sea, published on a day of January; with the same tag, a later one follows an earlier one."""
    return said(post, asset_tag="sea", publish_time=f"2026-01-{day:02}T10:00:00+00:00", **more)


def test_an_artist_is_found_by_name_and_by_id(lab: Lab) -> None:
    with lab.warehouse.connect() as connection:
        added = artists.add(connection, "Mira", "mira@example.com")

        assert artists.find(connection, "Mira") == artists.find(connection, str(added.id)) == added
        with pytest.raises(NotFound, match='There is no artist "Dean"'):
            artists.find(connection, "Dean")
        with pytest.raises(ConfigError, match="already"):
            artists.add(connection, "Mira", None)


def test_a_tag_gives_its_posts_to_an_artist_and_a_post_named_itself_wins_over_its_tag(lab: Lab) -> None:
    lab.capture(DAYS[0], [said(FIRST, asset_tag="sea"), said(SECOND, asset_tag="sea"), said(THIRD, asset_tag="rain")])
    lab.assign("Mira", tag="sea")
    lab.assign("Dean", post=SECOND)

    assert owners(lab) == {FIRST: "Mira", SECOND: "Dean", THIRD: None}

    lab.assign(None, post=SECOND)
    assert owners(lab)[SECOND] == "Mira"


def test_a_tag_is_assigned_on_all_sites(lab: Lab) -> None:
    lab.capture(DAYS[0], [said(FIRST, asset_tag="sea"), said(ELSEWHERE, asset_tag="sea")])
    lab.assign("Mira", tag="sea")

    assert owners(lab) == {FIRST: "Mira", ELSEWHERE: "Mira"}


def test_a_post_that_comes_later_with_an_assigned_tag_is_the_artists_from_the_start(lab: Lab) -> None:
    lab.assign("Mira", tag="sea")
    lab.capture(DAYS[0], [said(FIRST, asset_tag="sea")])
    lab.recompute()

    assert owners(lab) == {FIRST: "Mira"}
    assert [row["artist"] for row in lab.stored()["daily"].values()] == ["Mira"]


def test_a_reel_inherits_from_its_source_video_and_only_from_it(lab: Lab) -> None:
    lab.capture(
        DAYS[0],
        [upload(FIRST, 1), upload(SECOND, 2, parent_post_id=ELSEWHERE), said(ELSEWHERE), upload(THIRD, 3)],
    )
    lab.assign("Mira", post=FIRST)

    assert owners(lab) == {FIRST: "Mira", SECOND: None, ELSEWHERE: None, THIRD: "Mira"}

    lab.assign("Dean", post=ELSEWHERE)
    assert owners(lab) == {FIRST: "Mira", SECOND: "Dean", ELSEWHERE: "Dean", THIRD: "Mira"}


def test_a_chain_of_parents_and_iterations_inherits_to_its_end(lab: Lab) -> None:
    reel_of_third = said(ELSEWHERE, parent_post_id=THIRD)
    lab.capture(DAYS[0], [upload(FIRST, 1), upload(SECOND, 2), upload(THIRD, 3), reel_of_third])
    lab.assign("Mira", post=FIRST)
    assert owners(lab) == dict.fromkeys((FIRST, SECOND, THIRD, ELSEWHERE), "Mira")

    lab.assign("Dean", post=SECOND)
    assert owners(lab) == {FIRST: "Mira", SECOND: "Dean", THIRD: "Dean", ELSEWHERE: "Dean"}

    lab.assign(None, post=FIRST)
    assert owners(lab) == {FIRST: None, SECOND: "Dean", THIRD: "Dean", ELSEWHERE: "Dean"}


def test_a_parent_that_comes_later_brings_its_artist(lab: Lab) -> None:
    lab.capture(DAYS[0], [said(SECOND, parent_post_id=FIRST)])
    lab.assign("Mira", tag="sea")
    assert owners(lab) == {SECOND: None}

    lab.capture(DAYS[1], [said(FIRST, asset_tag="sea")])
    assert owners(lab) == {FIRST: "Mira", SECOND: "Mira"}


def test_an_earlier_upload_that_comes_later_brings_its_artist(lab: Lab) -> None:
    lab.capture(DAYS[0], [upload(FIRST, 1), upload(THIRD, 3)])
    lab.assign("Mira", post=FIRST)
    lab.capture(DAYS[1], [upload(SECOND, 2)])

    rows = lab.rows("select post_id, previous_iteration_id, iteration from posts order by iteration")
    assert [tuple(row.values()) for row in rows] == [(FIRST, None, 1), (SECOND, FIRST, 2), (THIRD, SECOND, 3)]
    assert owners(lab) == dict.fromkeys((FIRST, SECOND, THIRD), "Mira")


def test_posts_on_a_cycle_of_parents_inherit_nothing_nor_do_those_that_hang_on_it(lab: Lab) -> None:
    cycle = [said(FIRST, parent_post_id=SECOND), said(SECOND, parent_post_id=THIRD), said(THIRD, parent_post_id=FIRST)]
    lab.capture(DAYS[0], [*cycle, said(ELSEWHERE, parent_post_id=FIRST)])
    lab.assign("Mira", tag="sea")
    assert set(owners(lab).values()) == {None}

    lab.assign("Dean", post=THIRD)
    assert owners(lab) == dict.fromkeys((FIRST, SECOND, THIRD, ELSEWHERE), "Dean")

    lab.assign(None, post=THIRD)
    assert set(owners(lab).values()) == {None}


def test_a_cycle_that_closes_later_takes_the_inherited_artist_away(lab: Lab) -> None:
    lab.capture(DAYS[0], [said(FIRST, parent_post_id=ELSEWHERE), said(SECOND, parent_post_id=FIRST), said(ELSEWHERE)])
    lab.assign("Mira", post=ELSEWHERE)
    assert set(owners(lab).values()) == {"Mira"}

    lab.capture(DAYS[1], [said(FIRST, parent_post_id=SECOND)])
    assert owners(lab) == {FIRST: None, SECOND: None, ELSEWHERE: "Mira"}


def test_a_post_that_loses_its_tag_to_another_loses_its_artist(lab: Lab) -> None:
    lab.capture(DAYS[0], [said(FIRST, asset_tag="sea")])
    lab.assign("Mira", tag="sea")
    lab.capture(DAYS[1], [said(FIRST, asset_tag="rain")])

    assert owners(lab) == {FIRST: None}


def test_a_post_that_is_not_known_cannot_be_assigned(lab: Lab) -> None:
    with pytest.raises(NotFound, match="facebook_1"):
        lab.assign("Mira", post="facebook_1")


def test_an_assignment_marks_the_days_of_the_posts_that_change_hands_and_no_others(lab: Lab) -> None:
    for day in (DAYS[0], DAYS[2], DAYS[9]):
        lab.capture(day, [upload(FIRST, 1, views=1), upload(SECOND, 2, views=1)])
    lab.capture(DAYS[4], [said(ELSEWHERE, asset_tag="sea")])
    lab.capture(DAYS[5], [said(THIRD, parent_post_id=SECOND)])
    lab.capture(DAYS[6], [said(POSTS[4])])
    lab.recompute()

    lab.assign("Mira", post=SECOND)
    assert lab.stale() == {("daily", day) for day in (DAYS[0], DAYS[2], DAYS[5], DAYS[9])}
    lab.recompute()

    lab.assign("Mira", post=SECOND)
    assert not lab.stale(), "nothing has changed hands"

    lab.assign("Dean", tag="sea")
    assert lab.stale_days() == [DAYS[0], DAYS[2], DAYS[4], DAYS[9]]
    lab.recompute()

    lab.assign("Dean", post=SECOND)
    assert lab.stale_days() == [DAYS[0], DAYS[2], DAYS[5], DAYS[9]]
    lab.recompute()
    assert not differences(lab.stored(), expected(lab.told))


def test_a_post_that_changes_hands_moves_its_money_and_that_of_its_heirs(lab: Lab) -> None:
    for number, day in enumerate((DAYS[0], DAYS[9])):
        money = Decimal(10 * number)
        source = said(FIRST, asset_tag="sea", publish_time="2026-03-26T10:00:00+00:00", lifetime_earnings=money)
        lab.capture(day, [source, said(SECOND, parent_post_id=FIRST, lifetime_earnings=money)])
    lab.set_rate("Mira", Decimal(50), date(2026, 1, 1))
    lab.set_rate("Dean", Decimal(20), date(2026, 1, 1))
    lab.assign("Mira", tag="sea")
    lab.recompute()
    shares = "select a.name, sum(l.artist_share) as share from royalty_lines l join artists a on a.id = l.artist_id"
    by_artist = shares + " group by a.name"
    assert [tuple(row.values()) for row in lab.rows(by_artist)] == [("Mira", Decimal(10))]

    lab.assign("Dean", tag="sea")
    lab.recompute()
    assert [tuple(row.values()) for row in lab.rows(by_artist)] == [("Dean", Decimal(4))]
    assert not differences(lab.stored(), expected(lab.told))


def test_a_rate_marks_the_months_with_deltas_of_the_artist_from_its_first_day_on(lab: Lab) -> None:
    days = [date(2026, month, 10) for month in (1, 2, 3, 4)]
    for number, day in enumerate(days):
        lab.capture(day, [said(FIRST, asset_tag="sea", lifetime_earnings=Decimal(number), publish_time=YEAR_BEFORE)])
    lab.capture(date(2026, 2, 11), [said(SECOND, asset_tag="rain")])
    lab.assign("Mira", tag="sea")
    lab.recompute()

    assert sorted(lab.set_rate("Mira", Decimal(50), date(2026, 2, 20))) == [date(2026, m, 1) for m in (2, 3, 4)]
    assert lab.stale() == {("royalty", date(2026, month, 1)) for month in (2, 3, 4)}
    lab.recompute()
    assert lab.set_rate("Mira", Decimal(60), date(2026, 5, 1)) == []
    assert lab.set_rate("Dean", Decimal(60), date(2026, 1, 1)) == []
    assert not lab.stale()


def test_the_rate_in_force_on_the_day_counts_and_the_same_day_given_again_corrects_it(lab: Lab) -> None:
    for number, day in enumerate(DAYS[:4]):
        lab.capture(day, [said(FIRST, lifetime_earnings=Decimal(100 * number), asset_tag="sea")])
    lab.assign("Mira", tag="sea")
    lab.set_rate("Mira", Decimal(10), DAYS[2])
    lab.recompute()
    rates = "select rate_pct, earnings, artist_share, suspense from royalty_lines order by rate_pct nulls first"
    assert [tuple(row.values()) for row in lab.rows(rates)] == [(None, 100, 0, 100), (10, 200, 20, 0)]

    lab.set_rate("Mira", Decimal("12.5"), DAYS[2])
    lab.set_rate("Mira", Decimal(50), DAYS[3])
    lab.recompute()
    assert [tuple(row.values()) for row in lab.rows(rates)] == [
        (None, 100, 0, 100),
        (Decimal("12.5"), 100, Decimal("12.5"), 0),
        (50, 100, 50, 0),
    ]


@pytest.mark.parametrize("rate", ["-0.0001", "100.0001", "12.34567", "NaN", "Infinity"])
def test_a_rate_out_of_range_is_refused(lab: Lab, rate: str) -> None:
    with pytest.raises(ConfigError, match="is no rate"):
        lab.set_rate("Mira", Decimal(rate), DAYS[0])


@pytest.mark.parametrize("rate", ["0", "100", "0.0001", "99.9999", "1E+1"])
def test_a_rate_within_range_is_taken(lab: Lab, rate: str) -> None:
    lab.set_rate("Mira", Decimal(rate), DAYS[0])

    assert lab.rows("select rate_pct from royalty_rates") == [{"rate_pct": Decimal(rate)}]


def test_the_rate_of_an_artist_is_the_one_in_force_today(lab: Lab) -> None:
    lab.clock.instant = datetime(2026, 4, 1, 12, tzinfo=UTC)
    current = "select royalty_rate from artists"

    lab.set_rate("Mira", Decimal(30), date(2026, 4, 2))
    assert lab.rows(current) == [{"royalty_rate": None}], "it is not in force yet"
    lab.set_rate("Mira", Decimal(10), date(2026, 1, 1))
    assert lab.rows(current) == [{"royalty_rate": Decimal(10)}]
    lab.set_rate("Mira", Decimal(20), date(2026, 4, 1))
    assert lab.rows(current) == [{"royalty_rate": Decimal(20)}]
    lab.set_rate("Mira", Decimal(5), date(2026, 2, 1))
    assert lab.rows(current) == [{"royalty_rate": Decimal(20)}]


def test_a_rate_is_shown_as_the_artists_own_once_its_day_has_come(lab: Lab) -> None:
    """Told ahead of time, a rate comes into force without anybody touching the artist again."""
    lab.clock.instant = datetime(2026, 4, 1, 12, tzinfo=UTC)
    lab.set_rate("Mira", Decimal(10), date(2026, 1, 1))
    lab.set_rate("Mira", Decimal(30), date(2026, 4, 2))
    lab.clock.instant += timedelta(days=1)
    lab.capture(date(2026, 4, 2), [said(FIRST, asset_tag="sea", lifetime_earnings=Decimal(1))])
    lab.assign("Mira", tag="sea")
    lab.recompute()

    assert lab.rows("select royalty_rate from artists") == [{"royalty_rate": Decimal(30)}]
