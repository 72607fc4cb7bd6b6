"""A day of a platform: sites side by side, each whole or not at all, whatever happens to the others."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from psycopg.errors import DeadlockDetected

from cg_pipeline.capture import staging
from cg_pipeline.errors import ConfigError, NotAsOf, NotFound
from cg_pipeline.platforms.connectors import connector
from cg_pipeline.platforms.contract import AsOf
from cg_pipeline.platforms.http import Answer
from cg_pipeline.platforms.threads import Threads
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline_tests.integration.studio import AVAILABLE, Studio, at, furnish, small_world, studio

FRESH_ROWS = (
    "select post_id || snapshot_date as key, xmin::text from snapshots union select post_id, xmin::text from posts"
)
NOW_ONLY = [platform for platform in AVAILABLE if connector(platform).as_of is AsOf.NOW_ONLY]

# What is broken of one site of each platform, how that ends, and what the report says.
BROKEN: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "facebook": ("truncated", {}, "partial", "no JSON"),
    "instagram": ("retired_metric", {"name": "reach"}, "completed", ""),
    "youtube": ("server_error", {}, "partial", "500"),
    "tiktok": ("throttled", {"seconds": 300}, "partial", "Waits until 2026-04-05 12:05 UTC"),
    "twitter": ("credits_depleted", {}, "partial", "credits"),
    "threads": ("expired_token", {}, "failed", "connect the site again"),
}


@pytest.fixture
def house(warehouse: Warehouse, tmp_path: Path) -> Iterator[Studio]:
    with studio(small_world(), warehouse, tmp_path) as made:
        yield made


@pytest.mark.parametrize("platform", AVAILABLE)
def test_all_sites_land_with_what_the_platform_tells(house: Studio, platform: str) -> None:
    house.connect_all(platform)
    report = house.capture(platform)
    assert [site.status for site in report.sites] == ["completed"] * 2
    assert report.rows_of_day == sum(site.changed for site in report.sites) == sum(site.posts for site in report.sites)
    shown = {
        row["post_id"]: row for row in house.rows("select s.*, p.page_id from snapshots s join posts p using (post_id)")
    }
    for account in house.sandbox.world.accounts[platform]:
        for post in house.listed(account):
            if post.media == "story":
                continue
            row, seen = shown[f"{platform}_{post.native_id}"], house.sandbox.counters(post)
            assert row["page_id"] == account.platform_id
            assert row["observed_at"] == house.sandbox.now
            if platform == "twitter":
                assert row["impressions"] == seen.views * 2
            elif platform != "youtube":  # of views it knows those up to the day before
                assert row["views"] == seen.views
    logs = house.rows(
        "select status, sync_type, snapshot_date, records_processed, requests, next_cursor from sync_logs"
    )
    assert {(row["status"], row["sync_type"], row["snapshot_date"]) for row in logs} == {
        ("completed", "full", house.today)
    }
    assert sum(row["requests"] for row in logs) == sum(site.requests for site in report.sites) > 0


def test_one_broken_site_of_each_platform_stops_no_other_and_is_completed_by_a_rerun(house: Studio) -> None:
    house.connect_all()
    for platform in AVAILABLE:
        fault, values, *_ = BROKEN[platform]
        house.sandbox.set_fault(house.account(platform), fault, **values)
    for platform in AVAILABLE:
        *_, status, saying = BROKEN[platform]
        report = house.capture(platform)
        broken, healthy = (house.site(report, house.account(platform, number)) for number in (0, 1))
        assert (broken.status, healthy.status) == (status, "completed"), report.sites
        assert saying in (broken.message or "")
        assert [site.site for site in report.incomplete] == ([broken.site] if status != "completed" else [])
        landed = house.rows(
            "select distinct s.name from snapshots n join sites s on s.id = n.site_id where platform = %(p)s",
            p=platform,
        )
        assert {row["name"] for row in landed} == {site.site for site in report.sites if site.status == "completed"}
        logged = house.row(
            """select l.status, l.error_message from sync_logs l join sites s on s.id = l.site_id
                              where platform = %(p)s and platform_id = %(id)s""",
            p=platform,
            id=house.account(platform).platform_id,
        )
        assert (logged["status"], logged["error_message"]) == (broken.status, broken.message)

    before, asked = house.rows(FRESH_ROWS), {p: house.asked(house.account(p, 1)) for p in AVAILABLE}
    house.later(minutes=10)
    for platform in AVAILABLE:
        house.repair(house.account(platform))
        report = house.capture(platform)
        assert not report.incomplete, report.sites
        assert house.site(report, house.account(platform, 1)).status == "fresh"
        assert house.asked(house.account(platform, 1)) == asked[platform]
    after = {row["key"]: row["xmin"] for row in house.rows(FRESH_ROWS)}
    assert {row["key"]: after[row["key"]] for row in before} == {row["key"]: row["xmin"] for row in before}
    assert {row["sync_status"] for row in house.rows("select sync_status from sites")} == {"active"}


def test_a_mapping_that_stumbles_over_an_answer_fails_its_site_only(
    house: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.connect_all("threads")
    broken, real = house.account("threads"), Threads.account

    def account(self: Threads, reading: Any) -> Any:
        surprise: dict[str, Any] = {}
        return surprise["field"] if reading.platform_id == broken.platform_id else real(self, reading)

    monkeypatch.setattr(Threads, "account", account)
    report = house.capture("threads")
    assert house.site(report, house.account("threads", 1)).status == "completed"
    failed = house.site(report, broken)
    assert (failed.status, "KeyError at test_platform_capture.py" in str(failed.message)) == ("failed", True)
    assert house.rows("select from sync_logs where status = 'failed'")
    assert (
        house.row("select sync_status from sites where platform_id = %(id)s", id=broken.platform_id)["sync_status"]
        == "error"
    )


def test_an_answer_that_could_not_be_used_is_asked_for_again(house: Studio) -> None:
    house.connect(house.account("twitter"))
    problem = '{"errors": [{"type": "https://api.x.com/2/problems/resource-unavailable", "title": "Sorry"}]}'
    house.transport.instead = lambda request, _: Answer(200, {}, problem) if request.url.endswith("tweets") else None
    report = house.capture("twitter").sites[0]
    assert (report.status, "Sorry" in str(report.message)) == ("partial", True)
    house.transport.instead = lambda *_: None
    assert house.capture("twitter").sites[0].status == "completed"


def test_sites_are_read_at_the_same_time(house: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    house.connect_all("threads")
    both, real = Barrier(2, timeout=20), Threads.account

    def account(self: Threads, reading: Any) -> Any:
        both.wait()
        return real(self, reading)

    monkeypatch.setattr(Threads, "account", account)
    assert not house.capture("threads").incomplete


def test_a_site_that_waits_for_its_quota_is_not_asked_before_the_reset(house: Studio) -> None:
    house.connect_all("instagram")
    account = house.account("instagram")
    house.sandbox.set_fault(account, "throttled", seconds=3000)
    assert house.site(house.capture("instagram"), account).status == "partial"
    quota = "select api_quota, api_quota_reset, sync_status from sites where platform_id = %(id)s"
    noted = house.row(quota, id=account.platform_id)
    assert (noted["api_quota"], noted["sync_status"]) == (0, "active")
    assert noted["api_quota_reset"] == house.sandbox.now + timedelta(seconds=3000)

    house.sandbox.clear_faults(account)
    asked = house.asked(account)
    house.later(minutes=49)
    waiting = house.site(house.capture("instagram"), account)
    assert (waiting.status, house.asked(account)) == ("partial", asked)
    assert "until 2026-04-05 12:50 UTC" in str(waiting.message)
    house.later(minutes=1)
    assert house.site(house.capture("instagram"), account).status == "completed"
    assert house.row(quota, id=account.platform_id)["api_quota"] == 95


def test_a_paused_site_is_left_alone_and_a_disconnected_one_waits_for_a_person(house: Studio) -> None:
    house.connect_all("threads")
    one, other = house.account("threads"), house.account("threads", 1)
    house.rows("update sites set sync_status = 'paused' where platform_id = %(id)s", id=one.platform_id)
    house.rows("update sites set sync_status = 'disconnected' where platform_id = %(id)s", id=other.platform_id)
    report = house.capture("threads")
    assert [house.site(report, each).status for each in (one, other)] == ["paused", "failed"]
    assert [site.site for site in report.incomplete] == [other.name]
    assert house.asked(one) == house.asked(other) == 0
    house.repair(other)
    assert house.site(house.capture("threads"), other).status == "completed"
    states = house.rows("select platform_id, sync_status from sites order by sync_status")
    assert [row["sync_status"] for row in states] == ["active", "paused"]


def test_a_site_in_error_is_well_again_after_it_has_landed(house: Studio) -> None:
    account = house.account("tiktok")
    house.connect(account)
    house.sandbox.set_fault(account, "forbidden")
    assert house.capture("tiktok").sites[0].status == "failed"
    assert house.row("select sync_status from sites")["sync_status"] == "error"
    house.sandbox.clear_faults(account)
    assert house.capture("tiktok").sites[0].status == "completed"
    assert house.row("select sync_status from sites")["sync_status"] == "active"


def test_two_captures_of_one_site_do_not_run_at_once(house: Studio) -> None:
    house.connect(house.account("threads"))
    with house.platforms.warehouse.connect() as other:
        site = house.row("select id from sites")["id"]
        other.execute("select pg_advisory_lock(hashtextextended('capture ' || %s::text, 0))", (site,))
        assert "under way" in str(house.capture("threads").sites[0].message)
    assert house.capture("threads").sites[0].status == "completed"


@pytest.mark.parametrize("platform", NOW_ONLY)
def test_a_closed_day_is_refused_before_anything_is_asked(house: Studio, platform: str) -> None:
    house.connect_all(platform)
    for day in (house.today - timedelta(days=1), house.today + timedelta(days=1)):
        with pytest.raises(NotAsOf, match=r"nothing was asked.*cg csv import.*cg capture replay|lies in the future"):
            house.capture(platform, day)
    assert not house.transport.asked
    assert not house.rows("select from sync_logs")


def test_the_closing_reading_is_taken_though_the_day_was_captured_shortly_before(house: Studio) -> None:
    house.connect(house.account("threads"))
    house.sandbox.clock.instant = at("2026-04-05T23:50:00+00:00")
    day = house.today
    assert house.capture("threads").sites[0].status == "completed"
    house.later(minutes=20)
    assert house.capture("threads", day).sites[0].status == "completed"
    house.later(minutes=5)
    assert house.capture("threads", day).sites[0].status == "fresh"
    assert {row["snapshot_date"] for row in house.rows("select snapshot_date from snapshots")} == {day}


def test_the_day_is_that_of_the_reporting_zone(warehouse: Warehouse, tmp_path: Path) -> None:
    with studio(small_world(), warehouse, tmp_path, CG_TIMEZONE="America/Los_Angeles") as house:
        house.connect(house.account("threads"))
        house.sandbox.clock.instant = at("2026-04-06T01:00:00+00:00")  # 18:00 on 5 April there
        assert house.capture("threads", at("2026-04-05").date()).sites[0].status == "completed"
        house.later(hours=6.5)  # half past midnight: the reading before was none of the whole day
        assert house.capture("threads", at("2026-04-05").date()).sites[0].status == "completed"
        with pytest.raises(NotAsOf):
            house.capture("threads", at("2026-04-04").date())


def test_a_day_that_settles_is_read_again_until_it_has(house: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Threads, "as_of", AsOf.DATED)
    monkeypatch.setattr(Threads, "settling_days", 2)
    house.connect(house.account("threads"))
    day, statuses = house.today, []
    for _ in range(5):
        statuses.append(house.capture("threads", day).sites[0].status)
        house.later(days=1)
    assert statuses == ["completed", "completed", "completed", "completed", "fresh"]


def test_sites_that_nobody_knows_and_missing_keys_are_told_before_anything_is_asked(
    house: Studio, tmp_path: Path
) -> None:
    house.connect_all("threads")
    known = house.account("threads").name
    with pytest.raises(NotFound, match="called Nobody"):
        house.capture("threads", sites=[known, "Nobody"])
    keyless = furnish(house.sandbox, house.platforms.warehouse, tmp_path, "http://nowhere", CG_ENCRYPTION_KEYS="")
    with pytest.raises(ConfigError, match="CG_ENCRYPTION_KEYS is empty"):
        keyless.capture("threads")
    assert not house.rows("select from sites where sync_status <> 'active'")
    assert not house.rows("select from sync_logs")


def test_a_merge_that_another_one_was_in_the_way_of_is_done_again(
    house: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.connect(house.account("threads"))
    real, failures = staging.merge, [DeadlockDetected("two marked the same windows")]

    def merge(*args: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(*args)

    monkeypatch.setattr(staging, "merge", merge)
    assert house.capture("threads").sites[0].status == "completed"
