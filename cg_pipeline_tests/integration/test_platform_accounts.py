"""Whose numbers a token gives, and what a site may be set to: the token's account, viewers, days that settle."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cg_pipeline.capture import sites, tokens
from cg_pipeline.capture.site_day import SiteReport
from cg_pipeline.errors import AccessDenied, ConfigError
from cg_pipeline.platforms.connectors import connector
from cg_pipeline.platforms.contract import Reading
from cg_pipeline.platforms.records import Tokens
from cg_pipeline.platforms.registry import Retired
from cg_pipeline.sandbox import youtube as sandbox_youtube
from cg_pipeline.sandbox.server import vendors
from cg_pipeline.sandbox.world import Account
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline_tests.integration.studio import AVAILABLE, NOON, Killed, Studio, small_world, studio

TELL_WHOSE_TOKEN_IT_IS = ["instagram", "threads", "twitter", "youtube"]


@pytest.fixture
def house(warehouse: Warehouse, tmp_path: Path) -> Iterator[Studio]:
    with studio(small_world(), warehouse, tmp_path) as made:
        yield made


def give_token_of(house: Studio, site: Account, other: Account) -> None:
    """Let the site have the token of another account, as when a person chose the wrong one."""
    grant = vendors()[other.platform].connect(house.sandbox, other)
    with house.platforms.warehouse.connect() as connection:
        found = sites.find(connection, site.platform_id)
        pair = Tokens(grant.access, grant.refresh, grant.expires_at)
        tokens.store(connection, house.platforms.ring, found.id, pair, house.sandbox.now)


def set_demographics(house: Studio, account: Account, text: str) -> None:
    with house.platforms.warehouse.connect() as connection:
        site = sites.find(connection, account.platform_id)
        sites.put_setting(connection, site, "demographics", text, house.platforms.clock)


def viewers(house: Studio) -> list[dict[str, Any]]:
    return [row["told"] for row in house.rows("select demographic_data as told from snapshots order by post_id")]


# The token's account


@pytest.mark.parametrize("platform", AVAILABLE)
def test_the_token_of_another_account_puts_nothing_under_a_site(house: Studio, platform: str) -> None:
    mine, other = house.account(platform), house.account(platform, 1)
    house.connect(mine)
    give_token_of(house, mine, other)
    before = house.row("select follower_count, platform_username, name from sites")
    assert house.site(house.capture(platform), mine).status == "failed"
    assert not house.rows("select from snapshots")
    assert not house.rows("select from posts")
    assert house.row("select follower_count, platform_username, name from sites") == before


@pytest.mark.parametrize("platform", TELL_WHOSE_TOKEN_IT_IS)
def test_whose_token_it_is_and_what_to_do_is_told_after_one_request(house: Studio, platform: str) -> None:
    mine, other = house.account(platform), house.account(platform, 1)
    house.connect(mine)
    give_token_of(house, mine, other)
    report = house.site(house.capture(platform), mine)
    assert report.requests == 1
    told = f"belongs to the account {other.platform_id}, but the site is {mine.platform_id}: store a token of the"
    assert told in str(report.message)
    house.connect(mine)
    assert house.site(house.capture(platform), mine).status == "completed"


class Told:
    """A caller to whom everything is answered alike."""

    def __init__(self, body: Any) -> None:
        self.body = body

    def get(self, _: str, **__: Any) -> Any:
        return self.body


@pytest.mark.parametrize("site_id", ["17841400000000001", "25"])
@pytest.mark.parametrize("is_wrapped", [True, False])
def test_an_instagram_account_may_be_named_by_either_of_its_ids(site_id: str, is_wrapped: bool) -> None:
    body: Any = {"id": "25", "user_id": "17841400000000001"}
    caller: Any = Told({"data": [body]} if is_wrapped else body)
    reading = Reading(caller, "https://here", site_id, None, NOON.date(), NOON, True, Retired())
    assert connector("instagram").account(reading).platform_id == "17841400000000001"
    with pytest.raises(AccessDenied, match="belongs to the account 17841400000000001, but the site is 26"):
        connector("instagram").account(replace(reading, platform_id="26"))


# Viewers by age and gender


def captured(house: Studio, setting: str | None) -> SiteReport:
    account = house.account("youtube")
    house.connect(account)
    if setting is not None:
        set_demographics(house, account, setting)
    return house.site(house.capture("youtube", again=True), account)


def test_viewers_are_read_of_the_sites_that_want_them_and_the_fewest_calls_count_them(house: Studio) -> None:
    without, with_viewers = captured(house, None), captured(house, "on")
    told = [each for each in viewers(house) if each is not None]
    assert len(told) == with_viewers.posts > 0
    assert all(sum(each.values()) == 100 for each in told)
    assert without.requests == without.minimum
    assert with_viewers.requests == with_viewers.minimum == without.minimum + with_viewers.posts
    off = captured(house, "off")
    assert off.requests == off.minimum == without.minimum


def test_of_a_video_without_activity_no_viewers_are_asked(house: Studio) -> None:
    house.sandbox.clock.instant = house.listed(house.account("youtube"))[0].published_at + timedelta(hours=1)
    report = captured(house, "on")
    asked = [key for _, key in house.transport.asked if "ageGroup" in key]
    assert 0 < len(asked) < report.posts
    assert report.requests == report.minimum


def test_other_platforms_ask_nothing_more(house: Studio) -> None:
    account = house.account("threads")
    house.connect(account)
    before = house.site(house.capture("threads"), account)
    set_demographics(house, account, "on")
    after = house.site(house.capture("threads", again=True), account)
    assert (after.requests, after.minimum) == (before.requests, before.minimum)


def test_a_reading_goes_on_as_it_began_whatever_the_setting_is_then(house: Studio) -> None:
    account = house.account("youtube")
    house.connect(account)
    set_demographics(house, account, "on")
    house.transport.die_at = 9
    with pytest.raises(Killed):
        house.capture("youtube")
    house.transport.die_at = None
    set_demographics(house, account, "off")
    report = house.site(house.capture("youtube"), account)
    assert (report.status, [each for each in viewers(house) if each is None]) == ("completed", [])
    known = viewers(house)
    assert house.replay("youtube").sites[0].status == "completed"
    assert viewers(house) == known


def test_the_setting_is_on_or_off(house: Studio) -> None:
    account = house.account("youtube")
    house.connect(account)
    with pytest.raises(ConfigError, match='"yes" must be on or off'):
        set_demographics(house, account, "yes")


# Days that settle


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Asia/Tokyo", "Pacific/Kiritimati"])
def test_the_last_reading_of_a_settling_day_has_all_its_money_in_every_zone(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    # As late as Google says that it may be: 72 hours after the end of the Pacific day.
    monkeypatch.setattr(sandbox_youtube, "MONEY_LAG", 4)
    settling = connector("youtube").settling_days
    with studio(small_world(accounts=1), warehouse, tmp_path, CG_TIMEZONE=zone) as house:
        house.connect(house.account("youtube"))
        day, coverage, statuses = datetime(2026, 4, 5, tzinfo=UTC).date(), "", list[str]()
        for night in range(1, settling + 3):
            half_past = datetime.combine(day + timedelta(days=night), datetime.min.time(), ZoneInfo(zone))
            house.sandbox.clock.instant = half_past.astimezone(UTC) + timedelta(minutes=30)
            house.connect(house.account("youtube"))
            statuses.append(house.capture("youtube", day).sites[0].status)
            row = house.rows("select raw_data from snapshots where snapshot_date = %(day)s limit 1", day=day)[0]
            coverage = row["raw_data"]["youtube"]["metrics"]["coverage"]["money"]
        assert statuses == ["completed"] * (settling + 1) + ["fresh"]
        assert coverage == str(day)
