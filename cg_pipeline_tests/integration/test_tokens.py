"""Tokens of sites: renewed by one at a time, stored before they are used, and kept where only their row reads them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from cg_pipeline.capture.access import connected_sites
from cg_pipeline.capture.tokens import SiteTokens
from cg_pipeline.errors import Disconnected
from cg_pipeline.platforms.http import Answer, Request
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline_tests.integration.studio import AVAILABLE, Killed, Studio, small_world, studio

SINGLE_USE = [platform for platform in ("tiktok", "twitter") if platform in AVAILABLE]
RENEWALS = {
    "tiktok": "/tt_user/oauth2/refresh_token/",
    "twitter": "/2/oauth2/token",
    "threads": "/refresh_access_token",
}


@pytest.fixture
def house(warehouse: Warehouse, tmp_path: Path) -> Iterator[Studio]:
    with studio(small_world(accounts=1, posts=2), warehouse, tmp_path) as made:
        yield made


def tokens_of(house: Studio, platform: str) -> SiteTokens:
    """A reader of the tokens of the one site, as every process has its own."""
    with house.platforms.warehouse.connect() as connection:
        (site,) = connected_sites(connection, platform)
    return SiteTokens(house.platforms, site)


def renewals(house: Studio, platform: str) -> int:
    return len([key for _, key in house.transport.asked if RENEWALS[platform] in key])


@pytest.mark.parametrize("platform", SINGLE_USE)
def test_two_that_renew_at_once_use_a_pair_once(house: Studio, platform: str) -> None:
    house.connect(house.account(platform))
    house.later(days=2)
    both = Barrier(2, timeout=20)

    def current(tokens: SiteTokens) -> str:
        both.wait()
        return tokens.current()

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(current, [tokens_of(house, platform) for _ in range(2)])
    assert first == second
    assert renewals(house, platform) == 1
    assert house.capture(platform).sites[0].status == "completed"


@pytest.mark.parametrize("platform", SINGLE_USE)
def test_a_token_that_is_refused_is_renewed_once_by_all_who_hold_it(house: Studio, platform: str) -> None:
    account = house.account(platform)
    house.connect(account)
    readers = [tokens_of(house, platform) for _ in range(3)]
    refused = {each.current() for each in readers}
    house.sandbox.tokens.expire(account)
    with ThreadPoolExecutor(3) as pool:
        fresh = set(pool.map(lambda each: each.renew(*refused), readers))
    assert (len(fresh), fresh & refused, renewals(house, platform)) == (1, set(), 1)
    assert {each.current() for each in readers} == fresh


@pytest.mark.parametrize("platform", SINGLE_USE)
def test_a_new_pair_is_stored_before_it_is_used_and_a_kill_in_between_loses_nothing(
    house: Studio, platform: str
) -> None:
    house.connect(house.account(platform))
    house.later(days=2)

    def instead(request: Request, token: str) -> None:
        if RENEWALS[platform] not in request.url:
            stored = tokens_of(house, platform)
            assert stored.current() == token
            raise Killed

    house.transport.instead = instead
    with pytest.raises(Killed):
        house.capture(platform)
    house.transport.instead = lambda *_: None
    assert house.capture(platform).sites[0].status == "completed"
    assert renewals(house, platform) == 1
    house.later(days=1)
    assert house.capture(platform).sites[0].status == "completed"


def test_a_token_that_expires_in_the_middle_is_renewed_and_the_reading_goes_on(house: Studio) -> None:
    account = house.account("tiktok")
    house.connect(account)
    house.sandbox.tokens.expire(account)  # the row does not know
    report = house.capture("tiktok").sites[0]
    assert (report.status, report.retries, renewals(house, "tiktok")) == ("completed", 1, 1)


def test_a_renewal_that_fails_ahead_of_time_does_not_stop_a_token_that_is_still_good(house: Studio) -> None:
    house.connect(house.account("threads"))
    house.later(days=50)
    house.transport.instead = lambda request, _: Answer(500, {}, "oops") if "refresh" in request.url else None
    assert house.capture("threads").sites[0].status == "completed"
    assert renewals(house, "threads") == 1  # not before every request
    house.transport.instead = lambda *_: None
    house.later(days=1)
    house.capture("threads")
    expiry = house.row("select token_expiry from sites")["token_expiry"]
    assert expiry == house.sandbox.now + timedelta(days=60)
    house.later(days=61)
    report = house.capture("threads").sites[0]
    assert (report.status, "expired" in str(report.message)) == ("failed", True)
    assert house.row("select sync_status from sites")["sync_status"] == "disconnected"


def test_a_grant_that_is_gone_needs_a_person_and_then_all_is_well(house: Studio) -> None:
    account = house.account("twitter")
    house.connect(account)
    house.sandbox.set_fault(account, "revoked_token")
    assert house.capture("twitter").sites[0].status == "failed"
    assert house.row("select sync_status from sites")["sync_status"] == "disconnected"
    with pytest.raises(Disconnected):
        tokens_of(house, "twitter").renew(tokens_of(house, "twitter").current())
    house.repair(account)
    assert house.row("select sync_status from sites")["sync_status"] == "active"
    assert house.capture("twitter").sites[0].status == "completed"


def test_a_token_of_another_row_is_refused_and_only_its_site_fails(house: Studio) -> None:
    house.connect(house.account("threads"))
    house.connect(house.account("instagram"))
    house.rows("""update sites set access_token = (select access_token from sites where platform = 'instagram')
                  where platform = 'threads'""")
    report = house.capture("threads").sites[0]
    assert (report.status, "copied from another place" in str(report.message)) == ("failed", True)
    assert house.capture("instagram").sites[0].status == "completed"
    assert not [key for _, key in house.transport.asked if "threads" in key]


def test_what_a_token_is_allowed_reaches_the_reading(house: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    house.connect(house.account("tiktok"))
    house.rows("update sites set scope = 'user.info.basic,video.list'")
    house.capture("tiktok")
    raw: dict[str, Any] = house.rows("select raw_data -> 'tiktok' -> 'post' as post from snapshots")[0]["post"]
    assert "video.insights" in raw["unavailable"]["insights"]
    assert "reach" not in raw
