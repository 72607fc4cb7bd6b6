"""What a run does about its events: reads their posts again under the open day, and settles them as that lands."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from cg_pipeline.config import PLATFORMS
from cg_pipeline.errors import ConfigError, NotAsOf
from cg_pipeline.platforms.http import Answer, Request
from cg_pipeline.sandbox.world import Account
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline.webhooks import inbox
from cg_pipeline.webhooks.refresh import refresh
from cg_pipeline_tests.integration.events import states, statuses, store
from cg_pipeline_tests.integration.studio import Studio, ids, small_world, studio

LEASE = timedelta(minutes=15)
SNAPSHOTS = "select * from snapshots where snapshot_date = %(day)s"


@pytest.fixture
def house(warehouse: Warehouse, tmp_path: Path) -> Iterator[Studio]:
    with studio(small_world(), warehouse, tmp_path) as opened:
        opened.connect_all()
        yield opened


def post_of(house: Studio, account: Account, place: int = 0) -> str:
    return f"{account.platform}_{house.listed(account)[place].native_id}"


def tell(house: Studio, account: Account, post: str | None, action: str = "refresh") -> UUID:
    return store(house.platforms.warehouse, account.platform_id, post, house.sandbox.now, action)


def run(house: Studio, day: date | None = None) -> list[str]:
    """A tick and its runs; the statuses of their sites."""
    tick = inbox.claim(house.platforms.warehouse, house.sandbox.now, LEASE)
    reports = [refresh(house.platforms, each.platform, day or house.today, each.key) for each in tick.reruns]
    return [site.status for report in reports for site in report.sites]


def snapshots(house: Studio, day: date | None = None) -> list[dict[str, Any]]:
    return house.rows(SNAPSHOTS, day=day or house.today)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_event_brings_todays_snapshot_of_its_post_and_of_no_other(house: Studio, platform: str) -> None:
    account = house.account(platform)
    house.capture(platform)
    house.later(days=1)
    changed = post_of(house, account)
    event = tell(house, account, changed)
    assert run(house) == ["completed"]
    assert ids(snapshots(house)) == {changed}
    assert states(house.platforms.warehouse)[event]["status"] == "processed"
    log = house.row("select * from sync_logs where sync_type = 'webhook'")
    assert (log["status"], log["snapshot_date"]) == ("completed", house.today)


def test_an_event_about_an_old_post_refreshes_today_and_never_an_old_day(house: Studio) -> None:
    account = house.account("threads")
    house.capture("threads")
    before = snapshots(house)
    day = house.today
    house.later(days=700)
    house.connect(account)
    oldest = post_of(house, account, -1)
    tell(house, account, oldest)
    assert run(house) == ["completed"]
    assert ids(snapshots(house)) == {oldest}
    assert snapshots(house, day) == before


def test_a_new_post_is_found_by_its_id_without_reading_the_list(house: Studio) -> None:
    account = house.account("youtube")
    new = post_of(house, account)
    tell(house, account, new)
    asked = house.asked(account)
    assert run(house) == ["completed"]
    assert ids(snapshots(house)) == {new}
    assert house.asked(account) - asked <= 10
    site = house.row("select id as site_id from sites where platform_id = %(id)s", id=account.platform_id)
    assert house.row("select site_id from posts") == site


def test_many_events_of_a_platform_take_one_reading_of_each_site(house: Studio) -> None:
    accounts = [house.account("twitter", number) for number in (0, 1)]
    for account in accounts:
        for _ in range(3):
            for place in range(3):
                tell(house, account, post_of(house, account, place))
    assert run(house) == ["completed", "completed"]
    assert ids(snapshots(house)) == {post_of(house, each, place) for each in accounts for place in range(3)}
    assert set(statuses(house.platforms.warehouse)) == {"processed"}


def test_an_event_about_a_whole_site_reads_all_of_it(house: Studio) -> None:
    account = house.account("tiktok")
    tell(house, account, None)
    tell(house, account, post_of(house, account))
    assert run(house) == ["completed"]
    assert ids(snapshots(house)) == {f"tiktok_{post.native_id}" for post in house.listed(account)}


def test_a_comment_on_an_unknown_picture_makes_instagram_list_the_site(house: Studio) -> None:
    account = house.account("instagram")
    tell(house, account, "instagram_18000000000000001")
    assert run(house) == ["completed"]
    assert len(snapshots(house)) >= 2
    assert not house.rows("select from posts where post_id = 'instagram_18000000000000001'")


def test_a_delete_event_marks_the_post_removed_only_when_it_is_gone(house: Studio) -> None:
    account = house.account("youtube")
    house.capture("youtube")
    gone, kept = house.listed(account)[:2]
    frozen = house.rows("select * from snapshots where post_id = %(id)s", id=f"youtube_{gone.native_id}")
    house.later(hours=1)
    house.change(gone, deleted_at=house.sandbox.now)
    for post in (gone, kept):
        tell(house, account, f"youtube_{post.native_id}", "delete")
    assert run(house) == ["completed"]
    status = {row["post_id"]: row["status"] for row in house.rows("select post_id, status from posts")}
    assert status[f"youtube_{gone.native_id}"] == "removed"
    assert status[f"youtube_{kept.native_id}"] == "live"
    assert house.rows("select * from snapshots where post_id = %(id)s", id=f"youtube_{gone.native_id}") == frozen
    assert statuses(house.platforms.warehouse) == ["processed", "processed"]


def test_a_site_that_fails_sets_back_its_own_events_only(house: Studio) -> None:
    good, bad = house.account("threads", 0), house.account("threads", 1)
    for account in (good, bad):
        tell(house, account, post_of(house, account))
    house.sandbox.set_fault(bad, "server_error")
    assert sorted(run(house)) == ["completed", "partial"]
    by_site = {row["account"]: row for row in states(house.platforms.warehouse).values()}
    assert by_site[good.platform_id]["status"] == "processed"
    failed = by_site[bad.platform_id]
    assert (failed["status"], failed["retry_count"]) == ("failed", 1)
    assert "HTTP 500" in failed["error_message"]

    house.sandbox.clear_faults()
    house.later(minutes=2)
    inbox.return_lost(house.platforms.warehouse, house.sandbox.now)
    assert run(house) == ["completed"]
    assert set(statuses(house.platforms.warehouse)) == {"processed"}


def test_a_poison_post_fails_alone_from_its_second_attempt_on(house: Studio) -> None:
    account = house.account("youtube")
    poison, other = (post_of(house, account, place) for place in (0, 1))
    events = {post: tell(house, account, post) for post in (poison, other)}

    def instead(request: Request, _: str) -> Answer | None:
        broken = "id" in request.params and poison.removeprefix("youtube_") in str(request.params["id"])
        return Answer(200, {}, '{"items": ["no video"]}') if broken else None

    house.transport.instead = instead
    assert run(house) == ["failed"]
    house.later(minutes=2)
    inbox.return_lost(house.platforms.warehouse, house.sandbox.now)
    assert sorted(run(house)) == ["completed", "failed"]
    found = states(house.platforms.warehouse)
    assert found[events[other]]["status"] == "processed"
    assert (found[events[poison]]["status"], found[events[poison]]["retry_count"]) == ("failed", 2)


def test_a_run_that_begins_after_the_day_was_closed_sets_its_events_back(house: Studio) -> None:
    account = house.account("threads")
    event = tell(house, account, post_of(house, account))
    with pytest.raises(NotAsOf):
        run(house, house.today - timedelta(days=2))
    row = states(house.platforms.warehouse)[event]
    assert (row["status"], row["retry_count"]) == ("failed", 1)
    assert "nothing was asked" in row["error_message"]


def test_a_run_without_its_events_asks_nothing(house: Studio) -> None:
    account = house.account("threads")
    tell(house, account, post_of(house, account))
    (rerun,) = inbox.claim(house.platforms.warehouse, house.sandbox.now, LEASE).reruns
    refresh(house.platforms, "threads", house.today, rerun.key)
    asked = house.asked(account)
    assert refresh(house.platforms, "threads", house.today, rerun.key).sites == []
    assert refresh(house.platforms, "threads", house.today, "webhooks:threads:unknown:1").sites == []
    assert house.asked(account) == asked


def test_events_are_not_settled_when_what_they_asked_for_does_not_land(house: Studio) -> None:
    account = house.account("threads")
    event = tell(house, account, post_of(house, account))
    house.rows("alter table sites add constraint never check (last_sync_at is null)")
    assert run(house) == ["failed"]
    assert snapshots(house) == []
    assert states(house.platforms.warehouse)[event]["status"] == "failed"


def test_a_site_that_was_disconnected_meanwhile_sets_its_events_back_with_the_way_out(house: Studio) -> None:
    account = house.account("threads")
    event = tell(house, account, post_of(house, account))
    (rerun,) = inbox.claim(house.platforms.warehouse, house.sandbox.now, LEASE).reruns
    house.rows("update sites set access_token = null")
    refresh(house.platforms, "threads", house.today, rerun.key)
    row = states(house.platforms.warehouse)[event]
    assert (row["status"], row["error_message"]) == (
        "failed", "The site is not connected: connect it with `cg site token`."
    )  # fmt: skip


def test_a_run_without_keys_says_so_and_sets_its_events_back(house: Studio) -> None:
    account = house.account("threads")
    event = tell(house, account, post_of(house, account))
    house.platforms.settings.__dict__["encryption_keys"] = ""
    with pytest.raises(ConfigError):
        run(house)
    assert states(house.platforms.warehouse)[event]["status"] == "failed"
