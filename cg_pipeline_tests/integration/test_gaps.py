"""The gap sentinel without Dagster: which days it takes for missing, what becomes of them, and that it leaves alone
what is right. Nights are captured, or left out, by a simulated clock."""

import os
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from cg_pipeline.capture.csv_partition import load_day
from cg_pipeline.capture.gap_repair import dated_platforms
from cg_pipeline.capture.inbox import Inbox
from cg_pipeline.config import PLATFORMS
from cg_pipeline.history import gaps
from cg_pipeline.history.gaps import Expectation, Repair, Watch
from cg_pipeline.sandbox.exports import exports_of
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline_tests.integration.installations import LONG_AGO
from cg_pipeline_tests.integration.studio import Studio, at, small_world, studio
from cg_pipeline_tests.integration.tables import recompute_stale

ONE, TWO, THREE, FOUR, FIVE = (date(2026, 4, day) for day in range(5, 10))
NOW_ONLY = [platform for platform in PLATFORMS if platform != "youtube"]
STATES = """select s.platform, g.day, g.state from capture_gaps g join sites s on s.id = g.site_id
            order by s.platform::text, g.day"""
VERSIONS = "select site_id, day, xmin::text, ctid::text from capture_gaps order by site_id, day"


@pytest.fixture
def house(warehouse: Warehouse, tmp_path: Path) -> Iterator[Studio]:
    """One account of each platform, at noon of day one."""
    with studio(small_world(accounts=1, posts=2), warehouse, tmp_path) as made:
        yield made


def set_clock(house: Studio, day: date, time: str = "07:00") -> None:
    house.sandbox.clock.instant = at(f"{day}T{time}+00:00")


def night(house: Studio, closed: date, *platforms: str) -> None:
    """The nightly captures of a day, half an hour after its end."""
    set_clock(house, closed + timedelta(days=1), "00:30")
    for platform in platforms or PLATFORMS:
        house.capture(platform, closed)


def watch(house: Studio) -> Watch:
    """A tick of the sentinel, which is told what has changed just now."""
    expected = Expectation.of(house.platforms.settings, house.sandbox.now, dated_platforms())
    just_now = house.sandbox.now - timedelta(seconds=1)
    return gaps.watch(house.platforms.warehouse, expected, house.sandbox.now, just_now)


def repair(house: Studio, *repairs: Repair) -> None:
    """What the runs of the sentinel do."""
    for run in repairs:
        work = house.replay if run.replay else house.capture
        work(run.platform, run.day, sites=[str(site) for site in run.sites])


def states(house: Studio) -> dict[tuple[str, date], str]:
    return {(row["platform"], row["day"]): row["state"] for row in house.rows(STATES)}


def reason(house: Studio, day: date = TWO, platform: str = "youtube") -> str:
    (row,) = [row for row in gaps.stored(house.platforms.warehouse, first=day, last=day) if row["platform"] == platform]
    return str(row["reason"])


def runs(watched: Watch) -> list[tuple[str, date, bool]]:
    return [(run.platform, run.day, run.replay) for run in watched.repairs]


def import_csv(house: Studio, day: date, platform: str) -> None:
    """The platform's exports of a day, by way of the inbox."""
    settings = house.platforms.settings
    inbox, folder = Inbox(settings.inbox), Path(settings.inbox) / str(day)
    inbox.create()
    folder.mkdir()
    for name, content in exports_of(house.sandbox.world, at(f"{day}T23:00+00:00")).items():
        if name.startswith(platform):
            (folder / name).write_bytes(content)
            os.utime(folder / name, (LONG_AGO, LONG_AGO))
    report = load_day(house.platforms.warehouse, inbox, day, settings, house.sandbox.clock)
    assert report.rows_of_day, report


# --- two nights without a daemon


def two_nights_without_a_daemon(house: Studio, *platforms: str) -> Studio:
    """The nights of days one and two were captured, those of three and four were not; now it is the morning after."""
    house.connect_all(*platforms)
    night(house, ONE, *platforms)
    night(house, TWO, *platforms)
    set_clock(house, FIVE)
    return house


@pytest.fixture
def outage(house: Studio) -> Studio:
    """Two nights without a daemon, of some platforms."""
    return two_nights_without_a_daemon(house, "facebook", "instagram", "youtube")


def test_both_days_are_named_for_every_site_the_dated_ones_repaired_the_rest_lost_and_the_next_delta_spans_them(
    house: Studio,
) -> None:
    two_nights_without_a_daemon(house, *PLATFORMS)
    watched = watch(house)
    assert watched.changed == [THREE, FOUR]
    assert runs(watched) == [("youtube", FOUR, False), ("youtube", THREE, False)], "newest first"
    lost = {(platform, day): "lost" for platform in NOW_ONLY for day in (THREE, FOUR)}
    assert states(house) == lost | {("youtube", THREE): "requested", ("youtube", FOUR): "requested"}
    assert reason(house, THREE, "threads") == (
        "Nothing was asked. threads only tells now, and no answers are stored: a CSV export with that as-of date would "
        "still fill it (`cg csv import --as-of`)."
    )
    counted = gaps.counts(house.platforms.warehouse)
    assert gaps.summary(counted) == "Missing days of sites: 2 requested, 10 lost; the oldest 2026-04-07."

    repair(house, *watched.repairs)
    assert watch(house) == Watch([THREE, FOUR], []), "they are there now"
    assert states(house) == lost | {("youtube", THREE): "repaired", ("youtube", FOUR): "repaired"}
    night(house, FIVE)
    set_clock(house, FIVE + timedelta(days=1))
    assert watch(house) == Watch([], [])
    assert recompute_stale(house.platforms.warehouse, house.platforms.settings.timezone, house.sandbox.clock)
    spans = house.rows(
        """select distinct p.platform, d.from_date, d.to_date from deltas d join posts p using (post_id)
           where d.period = 'daily' and d.period_start = %(day)s""",
        day=FIVE,
    )
    found = {(row["platform"], row["from_date"], row["to_date"]) for row in spans}
    assert found == {(platform, TWO, FIVE) for platform in NOW_ONLY} | {("youtube", FOUR, FIVE)}


def test_looking_again_changes_no_row(outage: Studio) -> None:
    repair(outage, *watch(outage).repairs)
    watch(outage)
    before = outage.rows(VERSIONS)
    for _ in range(2):
        outage.later(minutes=5)
        assert watch(outage) == Watch([], [])
    assert len(before) == 6
    assert outage.rows(VERSIONS) == before


def test_an_export_of_a_lost_day_repairs_it(outage: Studio) -> None:
    watch(outage)
    outage.later(minutes=5)
    import_csv(outage, THREE, "facebook")
    assert watch(outage).changed == [THREE]
    assert states(outage)["facebook", THREE] == "repaired"
    assert states(outage)["facebook", FOUR] == "lost"
    assert reason(outage, THREE, "facebook") == "A CSV export tells it."


def test_a_day_that_an_export_tells_already_is_no_gap(outage: Studio) -> None:
    import_csv(outage, THREE, "instagram")
    watch(outage)
    assert [day for platform, day in states(outage) if platform == "instagram"] == [FOUR]


def test_the_calendar_shows_each_day_of_each_site(outage: Studio) -> None:
    def shown(first: date, platform: str | None = None) -> dict[str, str]:
        rows = gaps.calendar(outage.platforms.warehouse, first, FIVE, platform)
        return {row["platform"]: row["days"] for row in rows}

    repairs = watch(outage).repairs
    lost = dict.fromkeys(["facebook", "instagram"], "·■■✗✗·")
    assert shown(ONE - timedelta(days=1)) == lost | {"youtube": "·■■○○·"}
    repair(outage, *repairs)
    import_csv(outage, THREE, "facebook")
    watch(outage)
    assert shown(ONE) == {"facebook": "■■■✗·", "instagram": "■■✗✗·", "youtube": "■■■■·"}
    assert shown(THREE, "facebook") == {"facebook": "■✗·"}


# --- what is expected


@pytest.mark.parametrize(("time", "missing"), [("05:59", []), ("06:00", [TWO])])
def test_a_day_is_not_missing_while_it_can_still_be_captured(house: Studio, time: str, missing: list[date]) -> None:
    house.connect_all("threads")
    night(house, ONE, "threads")
    set_clock(house, THREE, time)
    assert watch(house).changed == missing


def test_nothing_is_expected_of_sites_that_were_never_captured_nor_of_those_of_exports(house: Studio) -> None:
    house.connect_all("facebook")
    import_csv(house, ONE, "instagram")
    set_clock(house, FIVE)
    assert watch(house) == Watch([], [])
    assert states(house) == {}


def test_a_capture_of_some_posts_does_not_make_a_day_complete(house: Studio) -> None:
    house.connect_all("threads")
    night(house, ONE, "threads")
    set_clock(house, TWO, "12:00")
    some = house.rows("select post_id from posts limit 1")[0]["post_id"]
    assert house.capture("threads", TWO, posts=[some]).sites[0].status == "completed"
    set_clock(house, THREE)
    watch(house)
    assert states(house) == {("threads", TWO): "lost"}


# --- what becomes of it


def test_a_partial_capture_is_a_gap_that_is_tried_again_less_and_less_often_and_then_given_up(house: Studio) -> None:
    house.connect_all("youtube")
    night(house, ONE, "youtube")
    house.sandbox.set_fault(house.account("youtube"), "server_error")
    night(house, TWO, "youtube")
    set_clock(house, THREE)
    began, asked_after = house.sandbox.now, []
    for _ in range(33):
        due = [run for run in watch(house).repairs if run.day == TWO]
        repair(house, *due)
        asked_after += [(house.sandbox.now - began) / timedelta(hours=1)] * len(due)
        house.later(hours=1)
    assert asked_after == [0, 1, 3, 7, 15]
    assert states(house)["youtube", TWO] == "lost"
    assert "Its capture ended partial" in reason(house)
    assert "500" in reason(house)
    assert reason(house).endswith("5 runs have not filled it: repair the cause, then capture the day by hand.")

    house.repair(house.account("youtube"))
    house.capture("youtube", TWO)
    assert runs(watch(house)) == []
    assert states(house)["youtube", TWO] == "repaired"


def test_a_partial_capture_of_what_only_tells_now_is_lost_with_its_error_and_the_others_are_not(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with studio(small_world(accounts=2, posts=2), warehouse, tmp_path) as house:
        house.connect_all("facebook")
        night(house, ONE, "facebook")
        house.sandbox.set_fault(house.account("facebook"), "truncated")
        night(house, TWO, "facebook")
        set_clock(house, THREE)
        assert watch(house) == Watch([TWO], [])
        (gap,) = gaps.stored(house.platforms.warehouse)
    assert (gap["site"], gap["day"], gap["state"]) == (house.account("facebook").name, TWO, "lost")
    assert gap["reason"].startswith("Its capture ended partial: ")
    assert (gap["noticed_at"], gap["ended_at"]) == (at(f"{THREE}T07:00+00:00"),) * 2


@pytest.mark.parametrize(
    ("status", "said"), [("paused", "resume it with `cg site resume`"), ("disconnected", "`cg site token`")]
)
def test_a_site_that_cannot_be_asked_is_reported_and_waits_until_it_can(house: Studio, status: str, said: str) -> None:
    house.connect_all("youtube")
    night(house, ONE, "youtube")
    house.rows("update sites set sync_status = %(status)s", status=status)
    set_clock(house, THREE)
    assert watch(house) == Watch([TWO], [])
    assert states(house) == {("youtube", TWO): "repairable"}
    assert said in reason(house)
    house.later(minutes=5)
    assert watch(house) == Watch([], [])

    house.rows("update sites set sync_status = 'active'")
    assert runs(watch(house)) == [("youtube", TWO, False)]
    assert said not in reason(house)


def test_a_site_waits_for_its_quota(house: Studio) -> None:
    house.connect_all("youtube")
    night(house, ONE, "youtube")
    set_clock(house, THREE)
    house.rows("update sites set api_quota = 0, api_quota_reset = %(at)s", at=house.sandbox.now + timedelta(hours=1))
    assert runs(watch(house)) == []
    house.later(hours=1)
    assert runs(watch(house)) == [("youtube", TWO, False)]


def test_a_capture_that_is_under_way_is_waited_for_and_one_that_was_cut_off_is_not(house: Studio) -> None:
    house.connect_all("threads")
    night(house, ONE, "threads")
    set_clock(house, THREE, "05:00")
    house.rows(
        """insert into sync_logs (site_id, sync_type, snapshot_date, started_at, reading_id, read_at)
           select id, 'full', %(day)s, %(now)s, gen_random_uuid(), %(now)s from sites""",
        day=TWO,
        now=house.sandbox.now,
    )
    set_clock(house, THREE, "06:30")
    assert watch(house) == Watch([], [])
    set_clock(house, THREE, "11:00")
    assert watch(house) == Watch([TWO], [])
    assert reason(house, platform="threads").startswith("Its capture was cut off.")


def test_rows_that_were_withdrawn_come_back_from_the_stored_answers_without_a_request(house: Studio) -> None:
    house.connect_all("facebook")
    night(house, ONE, "facebook")
    set_clock(house, TWO)
    watch(house)
    had = house.rows("select post_id, views from snapshots order by post_id")
    house.rows("delete from snapshots")
    asked = house.asked(house.account("facebook"))
    watched = watch(house)
    assert runs(watched) == [("facebook", ONE, True)]
    assert reason(house, ONE, "facebook") == "It was captured, but its rows are gone. Its answers are stored."
    repair(house, *watched.repairs)
    watch(house)
    assert states(house) == {("facebook", ONE): "repaired"}
    assert house.rows("select post_id, views from snapshots order by post_id") == had
    assert house.asked(house.account("facebook")) == asked


def test_a_day_that_is_missing_again_after_a_repair_is_a_new_gap(house: Studio) -> None:
    house.connect_all("facebook")
    night(house, ONE, "facebook")
    set_clock(house, TWO)
    keys = []
    for _ in range(2):
        house.rows("delete from snapshots")
        watched = watch(house)
        keys += [run.key for run in watched.repairs]
        repair(house, *watched.repairs)
        watch(house)
        house.later(hours=12)
    assert [row["state"] for row in house.rows(STATES)] == ["repaired"]
    assert keys == [
        "gap:facebook:2026-04-05:replay:1:20260406T070000",
        "gap:facebook:2026-04-05:replay:1:20260406T190000",
    ]
    (gap,) = gaps.stored(house.platforms.warehouse)
    assert (gap["attempts"], gap["noticed_at"]) == (1, at("2026-04-06T19:00+00:00"))


def test_answers_that_are_gone_are_not_counted_on(house: Studio) -> None:
    house.connect_all("facebook")
    night(house, ONE, "facebook")
    set_clock(house, TWO)
    house.rows("delete from snapshots")
    house.rows("delete from captured_answers")
    assert watch(house) == Watch([ONE], [])
    assert states(house) == {("facebook", ONE): "lost"}
    set_clock(house, date(2026, 8, 1))
    watch(house)
    assert states(house)["facebook", ONE] == "lost", "long after, it is still not there"
