"""WebSub subscriptions against the sandbox's hub: asked for, verified at a callback, renewed in time, never guessed."""

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import pytest
import requests

from cg_pipeline.capture import sites, tokens
from cg_pipeline.config import load
from cg_pipeline.errors import ConfigError, NotFound, Refused, Unavailable
from cg_pipeline.platforms.records import Tokens
from cg_pipeline.sandbox import events
from cg_pipeline.sandbox.server import serving
from cg_pipeline.sandbox.world import Account
from cg_pipeline.security.vault import new_key
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline.webhooks import websub
from cg_pipeline_tests.callbacks import Callback, delivery_of, listening, receiving
from cg_pipeline_tests.integration.receiving import hooked
from cg_pipeline_tests.integration.studio import Studio, furnish, small_world

LEASE = timedelta(days=5)


@pytest.fixture
def callback() -> Iterator[Callback]:
    """The receiver's place; `house` lets it answer."""
    with receiving(Callback()) as made:
        yield made


@pytest.fixture
def house(warehouse: Warehouse, callback: Callback, tmp_path: Path) -> Iterator[Studio]:
    """Two connected channels, a hub, and the address of the callback as the receiver's."""
    sandbox = small_world(accounts=2, posts=3)

    def answer(site: UUID, asked: dict[str, str]) -> str | None:
        with warehouse.connect() as connection:
            return websub.confirm(connection, site, asked, sandbox.now)

    callback.answer = answer
    with serving(sandbox) as address:
        settings = {"CG_ENCRYPTION_KEYS": new_key(), "CG_WEBHOOK_URL": callback.address,
                    "CG_YOUTUBE_HUB_URL": f"{address}/youtube/hub/subscribe"}  # fmt: skip
        made = furnish(sandbox, warehouse, tmp_path, address, **settings)
        made.connect_all("youtube")
        yield made


def renew(house: Studio) -> dict[str, dict[str, Any]]:
    """The report by site."""
    return {row["site"]: row for row in websub.renew_due(house.platforms, house.sandbox.now)}


def outcomes(house: Studio) -> set[str]:
    return {row["outcome"] for row in renew(house).values()}


def site_of(house: Studio, account: Account) -> UUID:
    found = house.row("select id from sites where platform_id = %(id)s", id=account.platform_id)["id"]
    assert isinstance(found, UUID)
    return found


def lease_of(house: Studio, account: Account) -> dict[str, Any]:
    return house.row("select * from websub_leases where site_id = %(id)s", id=site_of(house, account))


def secrets_of(house: Studio, account: Account) -> list[str]:
    site = site_of(house, account)
    row = house.row("select webhook_secret from sites where id = %(id)s", id=site)
    return house.platforms.ring.decrypt(row["webhook_secret"], f"sites.webhook_secret:{site}").split(",")


def wait_for(is_so: Callable[[], bool]) -> None:
    """The hub verifies in its own time."""
    until = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < until, "the hub has not come in time"
        time.sleep(0.01)


def subscribed(house: Studio, callback: Callback) -> None:
    """Renew what is due, and wait until the hub has verified it all."""
    asked = len(callback.asked)
    due = [row for row in renew(house).values() if row["outcome"] == "asked"]
    wait_for(lambda: len(callback.asked) == asked + len(due))
    for account in house.sandbox.world.accounts["youtube"]:
        wait_for(partial(agree, house, account))


def agree(house: Studio, account: Account) -> bool:
    """Whether the hub signs with the newest secret of the site."""
    return [each.secret for each in house.sandbox.hub.subscriptions(account.platform_id)] == secrets_of(house, account)[
        :1
    ]


def hub_secret(house: Studio, account: Account) -> str:
    """With what the hub signs."""
    (subscription,) = house.sandbox.hub.subscriptions(account.platform_id)
    return subscription.secret


def confirm(house: Studio, account: Account, **changes: str) -> str | None:
    """Answer what a hub might ask, or somebody else."""
    asked = {"mode": "subscribe", "topic": f"{websub.TOPIC}{account.platform_id}", "challenge": "c",
             "lease_seconds": "432000"} | changes  # fmt: skip
    query = {f"hub.{name}": value for name, value in asked.items() if value != "missing"}
    with house.platforms.warehouse.connect() as connection:
        return websub.confirm(connection, site_of(house, account), query, house.sandbox.now)


def test_a_channel_is_subscribed_and_its_lease_is_what_the_hub_gave(house: Studio, callback: Callback) -> None:
    account = house.account("youtube")
    assert outcomes(house) == {"asked"}
    wait_for(lambda: lease_of(house, account)["confirmed_at"] is not None)
    lease = lease_of(house, account)
    assert lease["expires_at"] == house.sandbox.now + LEASE
    assert lease["callback_url"] == f"{callback.address}/webhooks/youtube/{site_of(house, account)}"
    assert house.row("select webhook_url from sites where id = %(id)s", id=lease["site_id"]) == {
        "webhook_url": lease["callback_url"]
    }
    wait_for(partial(agree, house, account))
    assert len(secrets_of(house, account)) == 1


def test_what_the_hub_delivers_is_signed_with_the_secret_of_the_site(house: Studio, callback: Callback) -> None:
    subscribed(house, callback)
    account, other = house.sandbox.world.accounts["youtube"]
    told = events.happen(house.sandbox, account, "publish")
    assert told == {lease_of(house, account)["callback_url"]: 200}
    ((headers, body),) = callback.delivered
    (secret,) = secrets_of(house, account)
    assert headers["x-hub-signature"] == f"sha1={hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()}"
    assert secrets_of(house, other) != [secret]


def test_the_receiver_confirms_a_subscription_and_takes_what_it_brings(house: Studio) -> None:
    account, settings = house.account("youtube"), house.platforms.settings
    with hooked(house.platforms.warehouse, house.sandbox.clock, settings) as hook:
        platforms = replace(house.platforms, settings=replace(settings, webhook_url=hook.address))
        for _ in range(2):  # the second time with another secret
            websub.subscribe(platforms, site_of(house, account), house.sandbox.now)
            wait_for(partial(agree, house, account))
            assert list(events.happen(house.sandbox, account, "update").values()) == [200]
            house.later(days=3)
        stored = hook.events()
    post = f"youtube_{house.listed(account)[0].native_id}"
    assert [(e["site_id"], e["status"], e["post_id"]) for e in stored] == [
        (site_of(house, account), "pending", post)
    ] * 2


def test_a_lease_is_renewed_from_its_middle_on(house: Studio, callback: Callback) -> None:
    subscribed(house, callback)
    house.later(days=2.4)
    assert outcomes(house) == {"running"}
    house.later(days=0.1)
    subscribed(house, callback)
    assert lease_of(house, house.account("youtube"))["expires_at"] == house.sandbox.now + LEASE
    house.later(days=4.9)
    assert events.happen(house.sandbox, house.account("youtube"), "publish")


def test_the_hub_forgets_a_lease_that_is_not_renewed(house: Studio, callback: Callback) -> None:
    subscribed(house, callback)
    house.later(days=5)
    with pytest.raises(ValueError, match="Nobody is subscribed"):
        events.happen(house.sandbox, house.account("youtube"), "publish")
    subscribed(house, callback)
    assert events.happen(house.sandbox, house.account("youtube"), "publish")


def test_the_former_secret_is_kept_beside_the_new_one_and_no_third(house: Studio, callback: Callback) -> None:
    account, kept = house.account("youtube"), list[str]()
    for _ in range(3):
        subscribed(house, callback)
        kept = [hub_secret(house, account), *kept]
        assert secrets_of(house, account) == kept[:2]
        house.later(days=3)
    assert len(set(kept)) == 3


def test_a_request_that_is_never_confirmed_is_repeated_with_its_secret(house: Studio, callback: Callback) -> None:
    account = house.account("youtube")
    subscribed(house, callback)
    confirmed = secrets_of(house, account)
    house.later(days=3)
    callback.is_deaf = True
    assert outcomes(house) == {"asked"}
    pending = secrets_of(house, account)
    assert pending[1:] == confirmed
    house.later(minutes=59)
    assert outcomes(house) == {"asked"}
    assert lease_of(house, account)["requested_at"] < house.sandbox.now
    for _ in range(3):
        house.later(hours=1)
        assert outcomes(house) == {"asked"}
        assert lease_of(house, account)["requested_at"] == house.sandbox.now
    assert secrets_of(house, account) == pending
    assert hub_secret(house, account) in pending
    callback.is_deaf = False
    house.later(hours=1)
    subscribed(house, callback)
    assert secrets_of(house, account) == pending


def test_another_address_of_the_receiver_is_subscribed_at_once(house: Studio, callback: Callback) -> None:
    subscribed(house, callback)
    moved = replace(house.platforms.settings, webhook_url=callback.address.replace("127.0.0.1", "localhost"))
    rows = websub.renew_due(replace(house.platforms, settings=moved), house.sandbox.now)
    assert {row["outcome"] for row in rows} == {"asked"}


def test_a_refusal_is_noted_and_stops_no_other_channel(house: Studio, callback: Callback) -> None:
    refused, taken = house.sandbox.world.accounts["youtube"]
    house.sandbox.set_fault(refused, "hub_refuses")
    rows = renew(house)
    assert (rows[refused.name]["outcome"], rows[taken.name]["outcome"]) == ("failed", "asked")
    assert "HTTP 400" in rows[refused.name]["message"]
    assert "Over the limit of subscriptions" in rows[refused.name]["message"]
    assert lease_of(house, refused)["last_error"] == rows[refused.name]["message"]
    assert renew(house)[refused.name] == rows[refused.name] | {"outcome": "asked"}
    house.sandbox.clear_faults(refused)
    house.later(hours=1)
    subscribed(house, callback)
    assert lease_of(house, refused)["last_error"] is None


def test_a_channel_that_the_hub_does_not_know_is_denied(house: Studio, callback: Callback) -> None:
    with house.platforms.warehouse.connect() as connection:
        site = sites.add(connection, "youtube", "UCnobody", "Nobody", None)
        tokens.store(connection, house.platforms.ring, site.id, Tokens("t", None, None), house.sandbox.now)
    assert renew(house)["Nobody"]["outcome"] == "asked"
    wait_for(lambda: len(callback.asked) == 3)
    lease = house.row("select * from websub_leases where site_id = %(id)s", id=site.id)
    assert (lease["last_error"], lease["confirmed_at"]) == (
        "The hub denies the subscription: No such channel.",
        None,
    )


@pytest.mark.parametrize(("status", "error"), [(400, Refused), (503, Unavailable), (429, Unavailable), (301, Refused)])
def test_the_secret_is_stored_before_the_hub_is_asked_and_never_told(
    house: Studio, status: int, error: type[Exception]
) -> None:
    account, stored = house.account("youtube"), list[bool]()

    def hub(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        form = dict(parse_qsl(delivery_of(request)[1].decode()))
        stored.append(secrets_of(house, account) == [form["hub.secret"]])
        assert form["hub.lease_seconds"] == "432000"
        assert form["hub.verify"] == "async"
        return status, f"not with\x00 {form['hub.secret']}"

    with listening(hub) as address:
        youtube = {"youtube": {"HUB_URL": address}}
        platforms = replace(house.platforms, settings=replace(house.platforms.settings, platforms=youtube))
        with pytest.raises(error, match=f"HTTP {status}.*not with .*\\*\\*\\*") as raised:
            websub.subscribe(platforms, site_of(house, account), house.sandbox.now)
    assert stored == [True]
    assert secrets_of(house, account)[0] not in str(raised.value)
    assert lease_of(house, account)["last_error"] == str(raised.value)


def test_a_hub_that_is_down_fails_each_channel_by_itself(house: Studio) -> None:
    with listening(lambda _: (202, "")) as address:
        pass
    youtube = {"youtube": {"HUB_URL": address}}
    platforms = replace(house.platforms, settings=replace(house.platforms.settings, platforms=youtube))
    rows = websub.renew_due(platforms, house.sandbox.now)
    assert [row["outcome"] for row in rows] == ["failed", "failed"]
    assert "does not answer" in rows[0]["message"]


def test_missing_keys_are_told_of_each_channel(house: Studio) -> None:
    settings = replace(house.platforms.settings, encryption_keys="")
    rows = websub.renew_due(replace(house.platforms, settings=settings), house.sandbox.now)
    assert [row["outcome"] for row in rows] == ["failed", "failed"]
    assert "CG_ENCRYPTION_KEYS is empty" in rows[0]["message"]


def test_without_an_address_of_the_receiver_nothing_is_asked(house: Studio, tmp_path: Path) -> None:
    platforms = replace(house.platforms, settings=load({"CG_HOME": str(tmp_path)}))
    rows = websub.renew_due(platforms, house.sandbox.now)
    assert [row["outcome"] for row in rows] == ["off", "off"]
    with pytest.raises(ConfigError, match="CG_WEBHOOK_URL is empty"):
        websub.subscribe(platforms, site_of(house, house.account("youtube")), house.sandbox.now)
    assert house.rows("select from websub_leases") == []


def test_an_unknown_site_cannot_be_subscribed(house: Studio) -> None:
    with pytest.raises(NotFound):
        websub.subscribe(house.platforms, UUID(int=0), house.sandbox.now)


def test_two_that_renew_at_once_agree_on_the_secret(house: Studio, callback: Callback) -> None:
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: outcomes(house), range(4)))
    assert set().union(*reports) <= {"asked", "running"}
    for account in house.sandbox.world.accounts["youtube"]:
        wait_for(partial(agree, house, account))
        assert len(secrets_of(house, account)) == 1
    assert len(callback.asked) == 2


def test_a_verification_that_nobody_asked_for_is_refused(house: Studio, callback: Callback) -> None:
    account, other = house.sandbox.world.accounts["youtube"]
    assert confirm(house, account) is None
    subscribed(house, callback)
    before = lease_of(house, account)
    assert confirm(house, account, topic=f"{websub.TOPIC}{other.platform_id}") is None
    assert confirm(house, account, mode="unsubscribe") is None
    house.later(days=6)
    assert confirm(house, account) is None
    assert lease_of(house, account) == before


@pytest.mark.parametrize("mode", ["subscribe", "unsubscribe"])
def test_a_stranger_who_asks_the_hub_gets_nothing(house: Studio, callback: Callback, mode: str) -> None:
    account = house.account("youtube")
    if mode == "unsubscribe":
        subscribed(house, callback)
    before, asked = house.sandbox.hub.subscriptions(account.platform_id), len(callback.asked)
    form = {"hub.mode": mode, "hub.topic": f"{websub.TOPIC}{account.platform_id}", "hub.secret": "theirs",
            "hub.callback": f"{callback.address}/webhooks/youtube/{site_of(house, account)}"}  # fmt: skip
    hub = house.platforms.settings.platforms["youtube"]["HUB_URL"]
    assert requests.post(hub, form, timeout=10).status_code == 202
    wait_for(lambda: len(callback.asked) > asked)
    assert house.sandbox.hub.subscriptions(account.platform_id) == before


@pytest.mark.parametrize(
    "change",
    [
        *({"lease_seconds": text} for text in ("missing", "", "soon", "-1", "0", "1.5", "9" * 5000, "٤", "1\x00")),
        {"challenge": "missing"}, {"challenge": ""}, {"mode": "missing"}, {"mode": "publish"}, {"topic": "missing"},
        {"topic": "\x00\ud800"},
    ],
)  # fmt: skip
def test_a_malformed_verification_is_refused(house: Studio, change: dict[str, str]) -> None:
    account = house.account("youtube")
    house.sandbox.set_fault(account, "hub_refuses")
    renew(house)
    before = lease_of(house, account)
    assert confirm(house, account, **change) is None
    assert lease_of(house, account) == before


@pytest.mark.parametrize(
    ("seconds", "lease"), [("3600", timedelta(hours=1)), ("00432000", LEASE), ("9999999999", 2 * LEASE)]
)
def test_the_lease_is_the_hubs_within_reason(house: Studio, seconds: str, lease: timedelta) -> None:
    account = house.account("youtube")
    house.sandbox.set_fault(account, "hub_refuses")
    renew(house)
    assert confirm(house, account, lease_seconds=seconds) == "c"
    assert lease_of(house, account)["expires_at"] == house.sandbox.now + lease
    assert lease_of(house, account)["last_error"] is None


def test_a_denial_is_noted_and_ends_nothing(house: Studio, callback: Callback) -> None:
    account = house.account("youtube")
    subscribed(house, callback)
    before = lease_of(house, account)
    assert confirm(house, account, mode="denied", reason="\x00gone\ud800" * 100) is None
    after = lease_of(house, account)
    assert after == before | {"last_error": after["last_error"]}
    assert after["last_error"].startswith("The hub denies the subscription: gonegone")
    assert len(after["last_error"]) < 250


def test_a_verification_at_a_clock_that_is_behind_counts(house: Studio) -> None:
    account = house.account("youtube")
    house.sandbox.set_fault(account, "hub_refuses")
    renew(house)
    house.later(seconds=-30)
    assert confirm(house, account) == "c"
    house.later(seconds=30)
    assert renew(house)[account.name]["outcome"] == "running"
    assert lease_of(house, account)["confirmed_at"] == house.sandbox.now
