"""Each invariant holds on sound data and finds a row damaged on purpose; damaged deltas are not accrued."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from cg_pipeline.errors import MoneyMismatch
from cg_pipeline.history import checks
from cg_pipeline.history.windows import Kind, start_of
from cg_pipeline.royalties import accruals
from cg_pipeline.warehouse.database import Connection
from cg_pipeline_tests.integration.histories import DAYS, POSTS, said
from cg_pipeline_tests.integration.lab import UTC_ZONE, Lab, differences, expected
from cg_pipeline_tests.integration.tables import row_versions

OLD, NEW = POSTS[:2]
CAPTURED = [DAYS[number] for number in (0, 1, 3, 5, 8, 10, 11)]
MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)


@pytest.fixture
def sound(lab: Lab) -> Lab:
    """Two posts over the end of a quarter: one older than its site, with money in two currencies, and one new."""
    lab.assign("Mira", tag="sea")
    lab.set_rate("Mira", Decimal("33.3333"), date(2026, 1, 1))
    published = "2026-03-27T10:00:00+00:00"
    for number, day in enumerate(CAPTURED):
        money = {"lifetime_earnings": Decimal(100 + number * number), "currency": "EUR" if number > 4 else "USD"}
        old = said(OLD, views=1000 - number, reactions=number, asset_tag="sea", **money)
        new = said(NEW, views=number, lifetime_earnings=Decimal(number), publish_time=published)
        lab.capture(day, [old] if number < 1 else [old, new])
    lab.recompute()
    assert not differences(lab.stored(), expected(lab.told))
    return lab


def ask(connection: Connection, name: str, kind: Kind, first: date = DAYS[0], last: date = DAYS[-1]) -> list[Any]:
    found = checks.ask(connection, name, kind, start_of(kind, first), start_of(kind, last), checks.Subject(UTC_ZONE))
    assert found.holds == (not found.rows)
    return found.rows


def broken(lab: Lab, name: str, kind: Kind = Kind.DAILY, first: date = DAYS[0], last: date = DAYS[-1]) -> list[Any]:
    with lab.warehouse.connect() as connection:
        return ask(connection, name, kind, first, last)


@contextmanager
def damaged(lab: Lab, statement: Any, **values: Any) -> Iterator[Connection]:
    """The warehouse as it would be after a statement, for as long as the block lasts."""
    with lab.warehouse.connect() as connection, connection.transaction(force_rollback=True):
        assert connection.execute(statement, values).rowcount > 0, statement
        yield connection


def damage(lab: Lab, statement: Any, **values: Any) -> None:
    with lab.warehouse.connect() as connection:
        assert connection.execute(statement, values).rowcount > 0, statement


def test_sound_deltas_telescope_over_every_window(sound: Lab) -> None:
    for kind in Kind:
        assert not broken(sound, "telescoping", kind)
        for day in DAYS:
            assert not broken(sound, "telescoping", kind, day, day)


DELTA_DAMAGES = (
    "update deltas set earnings_delta = earnings_delta + 0.000001 where post_id = %(post)s and to_date = %(day)s",
    "update deltas set views_delta = views_delta - 1 where post_id = %(post)s and to_date = %(day)s",
    "update deltas set earnings_delta = null where post_id = %(post)s and period_start = %(day)s",
    "update deltas set views_delta = null where post_id = %(post)s and period_start = %(day)s",
    "update deltas set currency = 'GBP' where post_id = %(post)s and period_start = %(day)s",
    "delete from deltas where post_id = %(post)s and period_start = %(day)s and period = 'daily'",
)
SNAPSHOT_DAMAGES = (
    "update snapshots set views = views + 5 where post_id = %(post)s and snapshot_date = %(day)s",
    "update snapshots set lifetime_earnings = 0.5 where post_id = %(post)s and snapshot_date = %(day)s",
    "update snapshots set currency = 'GBP' where post_id = %(post)s and snapshot_date = %(day)s",
    "delete from snapshots where post_id = %(post)s and snapshot_date = %(day)s",
)


@pytest.mark.parametrize("post", [OLD, NEW])
def test_deltas_that_disagree_with_the_snapshots_are_found(sound: Lab, post: str) -> None:
    day = CAPTURED[4]  # in April
    for statement in (*DELTA_DAMAGES, *SNAPSHOT_DAMAGES):
        with damaged(sound, statement, post=post, day=day) as connection:
            found = ask(connection, "telescoping", Kind.DAILY, day, day)
            assert {row["post_id"] for row in found} == {post}, statement
    for statement in DELTA_DAMAGES:
        with damaged(sound, statement, post=post, day=day) as connection:
            found = ask(connection, "telescoping", Kind.MONTHLY, APRIL, APRIL)
            assert {row["post_id"] for row in found} == {post}, statement
            assert not ask(connection, "telescoping", Kind.MONTHLY, MARCH, MARCH), statement


def test_an_opening_balance_that_was_paid_out_is_found(sound: Lab) -> None:
    """It would pay an artist for years of earnings. As a sum nothing is missing, so the sum alone does not show it."""
    damage(
        sound,
        """update deltas set earnings_delta = opening_earnings, opening_earnings = null
           where post_id = %(post)s and period_start = %(day)s and period = 'daily'""",
        post=OLD,
        day=DAYS[0],
    )

    assert broken(sound, "telescoping", first=DAYS[0], last=DAYS[0])


LONGER = (Kind.WEEKLY, Kind.MONTHLY, Kind.QUARTERLY)
SUM_DAMAGES = (
    "update deltas set earnings_delta = earnings_delta + 0.000001 where post_id = %(post)s and period = %(kind)s",
    "update deltas set opening_earnings = 1 where post_id = %(post)s and period = %(kind)s",
    "update deltas set views_delta = views_delta + 1 where post_id = %(post)s and period = %(kind)s",
    "update deltas set reactions_delta = 7 where post_id = %(post)s and period = %(kind)s",
    "update deltas set reach_delta = 0 where post_id = %(post)s and period = %(kind)s",
    "delete from deltas where post_id = %(post)s and period = %(kind)s",
    "delete from deltas where post_id = %(post)s and period = 'daily'",
    "update deltas set views_delta = views_delta + 1 where post_id = %(post)s and period = 'daily'",
    """insert into deltas (post_id, period, period_start, to_date, earnings_delta, currency)
       select post_id, %(kind)s, %(start)s, %(start)s, 0, 'USD' from posts where post_id = %(other)s""",
)


def test_sound_sums_hold(sound: Lab) -> None:
    for kind in LONGER:
        assert not broken(sound, "sums", kind)
        for day in DAYS:
            assert not broken(sound, "sums", kind, day, day)


@pytest.mark.parametrize("kind", LONGER)
def test_windows_that_are_not_the_sum_of_their_days_are_found(sound: Lab, kind: Kind) -> None:
    other, start = POSTS[3], start_of(kind, CAPTURED[3])
    sound.capture(date(2025, 12, 31), [said(other)])
    sound.recompute()
    for statement in SUM_DAMAGES:
        with damaged(sound, statement, post=NEW, kind=kind, start=start, other=other) as connection:
            found = ask(connection, "sums", kind)
            assert {row["post_id"] for row in found} == {other if "insert" in statement else NEW}, statement
            assert start in {row["period_start"] for row in found}, statement


def test_royalties_tie_out_with_the_money_of_the_platforms(sound: Lab) -> None:
    assert not broken(sound, "tie_out", Kind.ROYALTY)
    for month in (MARCH, APRIL):
        assert not broken(sound, "tie_out", Kind.ROYALTY, month, month)


LINE_DAMAGES = (
    "delete from royalty_lines where post_id = %(post)s and month = %(month)s",
    """update royalty_lines set earnings = earnings + 0.01, house_share = house_share + 0.01
       where post_id = %(post)s and month = %(month)s""",
    """update royalty_lines set currency = 'GBP'
       where post_id = %(post)s and month = %(month)s and currency = 'EUR'""",
    """update royalty_lines set month = '2026-03-01'
       where post_id = %(post)s and month = %(month)s and currency = 'EUR'""",
    """update deltas set earnings_delta = 0
       where post_id = %(post)s and period = 'daily' and earnings_delta <> 0 and period_start >= %(month)s""",
)


def test_royalties_that_are_not_the_money_of_the_platforms_are_found(sound: Lab) -> None:
    for statement in LINE_DAMAGES:
        with damaged(sound, statement, post=OLD, month=APRIL) as connection:
            found = ask(connection, "tie_out", Kind.ROYALTY)
            assert APRIL in {row["month"] for row in found}, statement
            assert ask(connection, "tie_out", Kind.ROYALTY, APRIL, APRIL), statement


def test_money_of_nobody_is_named_the_largest_first(sound: Lab) -> None:
    rows = broken(sound, "unassigned", Kind.ROYALTY)

    assert {row["post_id"] for row in rows} == {NEW}
    assert [abs(row["suspense"]) for row in rows] == sorted((abs(row["suspense"]) for row in rows), reverse=True)
    sound.assign("Mira", post=NEW)
    sound.recompute()
    assert not broken(sound, "unassigned", Kind.ROYALTY)
    sound.assign("Dean", post=NEW)
    sound.recompute()
    assert {row["artist"] for row in broken(sound, "unassigned", Kind.ROYALTY)} == {"Dean"}, "who has no rate"


def test_a_capture_with_far_fewer_posts_than_the_one_before_is_thin(lab: Lab) -> None:
    of_site = [POSTS[0], POSTS[1], POSTS[3]]
    lab.capture(DAYS[0], [said(post) for post in of_site])
    lab.capture(DAYS[1], [said(post) for post in of_site])
    assert not broken(lab, "thin_captures")

    lab.capture(DAYS[3], [said(of_site[0]), said(POSTS[2])])
    (row,) = broken(lab, "thin_captures")
    assert (row["site"], row["day"], row["posts"]) == ("Harbor", DAYS[3], 1)
    assert (row["day_before"], row["posts_before"]) == (DAYS[1], 3)
    assert not broken(lab, "thin_captures", first=DAYS[1], last=DAYS[2])


def test_a_post_cannot_have_two_snapshots_of_a_day_but_if_it_had_that_would_be_found(sound: Lab) -> None:
    assert not broken(sound, "repeated_keys")
    with sound.warehouse.connect() as connection:
        connection.execute("alter table snapshots drop constraint snapshots_pkey")
        connection.execute(
            """insert into snapshots (post_id, snapshot_date, data_source, observed_at)
               select post_id, snapshot_date, data_source, observed_at from snapshots where snapshot_date = %s""",
            [DAYS[0]],
        )

    assert [(row["post_id"], row["rows"]) for row in broken(sound, "repeated_keys")] == [(OLD, 2)]


def test_refused_files_and_quarantined_rows_are_found(lab: Lab) -> None:
    assert not broken(lab, "refused_files")
    assert not broken(lab, "quarantined_rows")
    damage(
        lab,
        """insert into csv_files (as_of, name, sha256, size_bytes, modified_at, arrived_at, status, message)
           values (%(day)s, 'a.csv', repeat('0', 64), 1, now(), now(), 'refused', 'It is empty.')""",
        day=DAYS[0],
    )
    damage(
        lab,
        """insert into quarantine (csv_file_id, snapshot_date, line_number, column_name, post_id, reason, raw_data)
           select id, as_of, 7, 'views', 'facebook_1', 'is no number', '{}' from csv_files where as_of = %(day)s""",
        day=DAYS[0],
    )

    assert broken(lab, "refused_files") == [{"as_of": DAYS[0], "name": "a.csv", "message": "It is empty."}]
    (row,) = broken(lab, "quarantined_rows")
    assert (row["name"], row["line"], row["column"], row["reason"]) == ("a.csv", 7, "views", "is no number")
    assert not broken(lab, "refused_files", first=DAYS[1])
    assert not broken(lab, "quarantined_rows", first=DAYS[1])


def test_an_empty_warehouse_breaks_nothing(lab: Lab) -> None:
    for name in ("telescoping", "repeated_keys", "thin_captures", "refused_files", "quarantined_rows"):
        assert not broken(lab, name)
    assert not broken(lab, "sums", Kind.WEEKLY)
    for name in ("tie_out", "telescoping", "unassigned"):
        assert not broken(lab, name, Kind.ROYALTY)


def test_nothing_is_accrued_on_deltas_that_disagree_with_the_snapshots(sound: Lab) -> None:
    damage(
        sound,
        "update deltas set earnings_delta = earnings_delta + 5 where post_id = %(post)s and period_start = %(day)s",
        post=OLD,
        day=CAPTURED[4],
    )
    before = row_versions(sound.warehouse)
    sound.set_rate("Mira", Decimal(90), APRIL)
    waiting = sound.stale()

    with pytest.raises(MoneyMismatch, match=r"April 2026.*nothing was accrued"):
        accruals.accrue(sound.warehouse, [MARCH, APRIL], UTC_ZONE, sound.clock)
    assert row_versions(sound.warehouse)["royalty_lines"] == before["royalty_lines"]
    assert sound.stale() == waiting == {("royalty", APRIL)}


def test_days_that_wait_to_be_recomputed_do_not_hold_up_their_month(sound: Lab) -> None:
    sound.capture(CAPTURED[4], [said(OLD, lifetime_earnings=Decimal(500))])

    accruals.accrue(sound.warehouse, [APRIL], UTC_ZONE, sound.clock)
    sound.recompute()
    assert not differences(sound.stored(), expected(sound.told))


def test_nothing_is_accrued_when_a_line_is_lost_on_the_way(sound: Lab) -> None:
    before = row_versions(sound.warehouse)
    sound.set_rate("Mira", Decimal(90), APRIL)
    with sound.warehouse.connect() as connection:
        connection.execute(
            "create function lose() returns trigger language plpgsql as $$ begin return null; end $$;"
            "create trigger lose before insert on royalty_lines for each row execute function lose()"
        )

    with pytest.raises(MoneyMismatch, match=r"April 2026 in (USD|EUR) lack"):
        accruals.accrue(sound.warehouse, [APRIL], UTC_ZONE, sound.clock)
    assert row_versions(sound.warehouse)["royalty_lines"] == before["royalty_lines"]
    assert sound.stale() == {("royalty", APRIL)}


def test_accruing_again_mends_lost_and_changed_lines(sound: Lab) -> None:
    wanted = expected(sound.told)
    for statement in (
        "update royalty_lines set earnings = earnings + 1, suspense = suspense + 1 where post_id = %(post)s",
        "delete from royalty_lines where post_id = %(post)s",
        """update royalty_lines
           set rate_pct = 1, artist_id = (select id from artists), house_share = earnings, suspense = 0
           where post_id = %(post)s""",
    ):
        damage(sound, statement, post=NEW)
        accruals.accrue(sound.warehouse, [MARCH, APRIL], UTC_ZONE, sound.clock)
        assert not differences(sound.stored(), wanted), statement


def test_accruing_again_mends_a_wrong_split_of_the_right_sum(sound: Lab) -> None:
    """So that a corrected rule reaches the lines that the former one wrote."""
    damage(
        sound,
        """update royalty_lines set artist_share = artist_share + 1, house_share = house_share - 1
           where rate_pct is not null""",
    )

    accruals.accrue(sound.warehouse, [MARCH, APRIL], UTC_ZONE, sound.clock)
    assert not differences(sound.stored(), expected(sound.told))
