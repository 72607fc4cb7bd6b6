"""The webhook receiver over real HTTP: what is stored, what is refused, and that either is seen."""

import base64
import hashlib
import hmac
import json
import logging
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from cg_pipeline.clock import FixedClock
from cg_pipeline.config import PLATFORMS
from cg_pipeline.security.vault import KeyRing, new_key
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline_tests.integration.receiving import (
    ACCOUNT,
    NOW,
    SECRET,
    Hook,
    atom,
    feed,
    hooked,
    meta,
    sample,
    settings_of,
    signed,
)

KEYS = new_key()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def hook(warehouse: Warehouse, clock: FixedClock, tmp_path: Path) -> Iterator[Hook]:
    tokens = {f"CG_{platform.upper()}_WEBHOOK_VERIFY_TOKEN": "let-me-in" for platform in PLATFORMS}
    settings = settings_of(
        str(tmp_path), CG_ENCRYPTION_KEYS=KEYS, CG_INSTAGRAM_WEBHOOK_SECRETS="newer, older", **tokens
    )
    with hooked(warehouse, clock, settings) as made:
        yield made


def secret_of(platform: str) -> str:
    return "newer" if platform == "instagram" else SECRET


def give_secret(hook: Hook, platform: str, secrets: str) -> None:
    site = hook.sites[platform]
    token = KeyRing.from_setting(KEYS).encrypt(secrets, f"sites.webhook_secret:{site}")
    with hook.warehouse.connect() as connection:
        connection.execute("update sites set webhook_secret = %s where id = %s", (token, site))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_signed_delivery_is_stored_once_however_often_it_comes(hook: Hook, platform: str) -> None:
    assert [hook.post(platform, sample(platform), secret=secret_of(platform)) for _ in range(3)] == [200] * 3
    (event,) = hook.events()
    expected = (hook.sites[platform], platform, ACCOUNT[platform], "pending", "refresh")
    if platform == "threads":
        assert event["account"] in {ACCOUNT[platform], "harbor"}
        expected = (*expected[:2], event["account"], *expected[3:])
    assert (event["site"], event["platform"], event["account"], event["status"], event["action"]) == expected
    assert event["post_id"].startswith(f"{platform}_")
    assert (event["created_at"], event["is_known"]) == (NOW, True)
    assert [hook.requests(platform, outcome) for outcome in ("stored", "repeated")] == [1, 2]


def test_a_retry_that_is_signed_anew_and_sent_later_is_the_same_event(hook: Hook, clock: FixedClock) -> None:
    body = sample("tiktok")
    assert hook.post("tiktok", body) == 200
    clock.instant += timedelta(minutes=2)
    assert hook.post("tiktok", body, **signed("tiktok", body, now=clock.instant)) == 200
    again = json.loads(sample("facebook"))
    assert hook.post("facebook", json.dumps(again).encode()) == 200
    again["entry"][0]["time"] += 90  # the time of sending
    assert hook.post("facebook", json.dumps(again).encode()) == 200
    assert Counter(event["platform"] for event in hook.events()) == {"tiktok": 1, "facebook": 1}


def test_two_secrets_are_valid_during_a_rotation(hook: Hook) -> None:
    bodies = [sample("instagram").replace(b'"c1"', f'"c{number}"'.encode()) for number in range(3)]
    statuses = [
        hook.post("instagram", body, secret=secret)
        for body, secret in zip(bodies, ("newer", "older", "oldest"), strict=True)
    ]
    assert (statuses, len(hook.events())) == ([200, 200, 401], 2)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_delivery_with_a_bad_signature_is_counted_and_not_stored(
    hook: Hook, platform: str, caplog: pytest.LogCaptureFixture
) -> None:
    body, headers = sample(platform), signed(platform, sample(platform), secret_of(platform))
    name, value = next(iter(headers.items()))
    forged = [b"", value[:-1].encode(), f"{value[:-1]}é".encode("latin-1"), f"{value}00".encode(), b"sha256="]
    sent = [requests.post(hook.url(platform), body, headers={name: each}, timeout=9) for each in forged]
    sent.append(requests.post(hook.url(platform), body, timeout=9))
    sent.append(requests.post(hook.url(platform), body + b" ", headers=headers, timeout=9))
    assert [answer.status_code for answer in sent] == [401] * 7
    assert (hook.events(), hook.requests(platform, "bad_signature")) == ([], 7)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_platform_without_a_secret_takes_nothing(warehouse: Warehouse, clock: FixedClock, tmp_path: Path) -> None:
    settings = settings_of(str(tmp_path), CG_FACEBOOK_CLIENT_SECRET="", CG_TIKTOK_CLIENT_SECRET=" , ")
    with hooked(warehouse, clock, settings) as hook:
        assert [hook.post(each, sample(each), secret="") for each in ("facebook", "tiktok")] == [401, 401]
        assert hook.events() == []


def test_a_thousand_changes_of_several_sites_in_one_body_are_all_stored(hook: Hook) -> None:
    with hook.warehouse.connect() as connection:
        connection.execute("insert into sites (name, platform, platform_id) values ('Second', 'facebook', '200')")
    pages = [ACCOUNT["facebook"], "200", "300"]
    entries = [json.loads(meta(*[feed(str(number), page) for number in range(334)], page=page))["entry"][0]
               for page in pages]  # fmt: skip
    body = json.dumps({"object": "page", "entry": [*entries, entries[0]]}).encode()
    assert hook.post("facebook", body) == 200
    stored = Counter((event["account"], event["status"], event["site"] is None) for event in hook.events())
    assert stored == {(pages[0], "pending", False): 334, ("200", "pending", False): 334, ("300", "ignored", True): 334}
    assert hook.metric('cg_webhook_entries_total{outcome="repeated",platform="facebook"}') == 334
    assert hook.metric('cg_webhook_events{status="pending"}') == 668


def test_deliveries_in_another_order_are_all_kept_with_the_times_of_what_happened(hook: Hook) -> None:
    changes = [feed(verb=verb) for verb in ("remove", "edited", "add")]
    for seconds, change in zip((30, 20, 10), changes, strict=True):
        change["value"]["created_time"] -= 60 - seconds
        assert hook.post("facebook", meta(change)) == 200
    events = sorted(hook.events(), key=lambda event: str(event["event_time"]))
    assert [event["action"] for event in events] == ["refresh", "refresh", "delete"]


def test_what_is_not_ours_is_kept_with_the_reason(hook: Hook) -> None:
    assert hook.post("facebook", meta(feed(page="999"), page="999")) == 200
    assert hook.post("facebook", meta({"field": "moon_phase", "value": {"phase": "full"}})) == 200
    stray, odd = sorted(hook.events(), key=lambda event: event["account"] != "999")
    assert (stray["status"], stray["error_message"], stray["site_id"]) == ("ignored", "no site of ours: 999", None)
    assert (odd["status"], odd["site"], bool(odd["error_message"])) == ("ignored", hook.sites["facebook"], True)
    assert hook.requests("facebook", "ignored") == 2


def test_a_site_is_known_by_its_username_too_in_any_case(hook: Hook) -> None:
    with hook.warehouse.connect() as connection:
        connection.execute("update sites set platform_username = 'Page.Of.999' where platform = 'facebook'")
    assert hook.post("facebook", meta(feed(page="page.of.999"), page="page.of.999")) == 200
    assert [event["site"] for event in hook.events()] == [hook.sites["facebook"]]


def test_the_address_of_a_site_takes_its_own_secrets_and_the_apps(hook: Hook) -> None:
    give_secret(hook, "youtube", "fresh,former")
    bodies = [atom(second=second) for second in range(10, 14)]
    secrets = ["fresh", "former", SECRET, "other"]
    statuses = [
        hook.post("youtube", body, site=hook.sites["youtube"], secret=secret)
        for body, secret in zip(bodies, secrets, strict=True)
    ]
    assert statuses == [200, 200, 200, 401]
    assert hook.post("youtube", atom(second=20), site=ACCOUNT["youtube"], secret="fresh") == 200  # by the platform's id
    assert hook.post("youtube", atom(second=21), secret="fresh") == 401  # not at the app's address
    assert {(event["site"], event["status"]) for event in hook.events()} == {(hook.sites["youtube"], "pending")}


def test_an_event_of_another_account_is_ignored_at_a_sites_address_and_does_not_hide_the_true_one(hook: Hook) -> None:
    give_secret(hook, "facebook", "of-one-site")
    with hook.warehouse.connect() as connection:
        connection.execute("insert into sites (name, platform, platform_id) values ('Victim', 'facebook', '200')")
    body = meta(feed(page="200"), page="200")
    for _ in range(2):
        assert hook.post("facebook", body, site=hook.sites["facebook"], secret="of-one-site") == 200
    assert hook.post("facebook", body) == 200
    ignored, true = sorted(hook.events(), key=lambda event: str(event["status"]))
    assert ignored["error_message"] == "came to the address of another site; of account 200"
    assert (ignored["status"], true["status"]) == ("ignored", "pending")
    assert (ignored["site_id"], true["site_id"] is None) == (None, False)


@pytest.mark.parametrize("path", ["myspace", "facebook/nobody", "facebook/%00", "facebook/%ff%fe", "facebook/a/b", ""])
def test_an_address_that_is_nobodys_is_not_found(hook: Hook, path: str) -> None:
    body = sample("facebook")
    answers = [requests.post(hook.url(path), body, headers=signed("facebook", body), timeout=9) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert hook.events() == []


def test_a_site_of_another_platform_is_not_found(hook: Hook) -> None:
    assert hook.post("facebook", sample("facebook"), site=hook.sites["tiktok"]) == 404


def test_a_secret_that_cannot_be_read_is_logged_and_answered_with_a_later_delivery(
    hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    with hook.warehouse.connect() as connection:
        connection.execute("update sites set webhook_secret = 'no.jwe.at.all.!' where platform = 'facebook'")
    assert hook.post("facebook", sample("facebook"), site=hook.sites["facebook"]) == 503
    assert f"sites.webhook_secret:{hook.sites['facebook']} cannot be decrypted" in caplog.text
    assert hook.post("facebook", sample("facebook")) == 200


def test_a_handshake_that_the_database_cannot_answer_is_put_off(hook: Hook) -> None:
    with hook.warehouse.connect() as connection:
        connection.execute("alter table websub_leases rename to elsewhere")
    assert requests.get(hook.url("youtube", hook.sites["youtube"]), timeout=9).status_code == 503


def test_neither_secrets_nor_bodies_are_logged(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.DEBUG, logger="cg_pipeline")
    give_secret(hook, "facebook", "of-one-site")
    with hook.warehouse.connect() as connection:
        connection.execute("alter table webhook_events add check (post_id <> 'facebook_1')")
    body = meta(feed(message="words of a stranger"))
    statuses = [hook.post("facebook", body, site=hook.sites["facebook"], secret=each) for each in ("of-one-site", "x")]
    assert (statuses, hook.post("facebook", body[:-1])) == ([503, 401], 400)
    assert not [word for word in (SECRET, "of-one-site", "stranger", KEYS) if word in caplog.text]


@pytest.mark.parametrize("platform", ["facebook", "instagram", "threads"])
def test_metas_handshake_is_answered_with_the_challenge_for_the_right_token_only(hook: Hook, platform: str) -> None:
    asked = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": "let-me-in"}
    answer = requests.get(hook.url(platform), asked, timeout=9)
    assert (answer.status_code, answer.text) == (200, "1158201444")
    for wrong in ({"hub.verify_token": "x"}, {"hub.mode": "other"}, {"hub.verify_token": ""}):
        assert requests.get(hook.url(platform), asked | wrong, timeout=9).status_code == 403
    assert (hook.requests(platform, "confirmed"), hook.requests(platform, "refused")) == (1, 3)


def test_the_crc_of_x_is_answered_with_its_token_signed(hook: Hook) -> None:
    answer = requests.get(hook.url("twitter"), {"crc_token": "abc"}, timeout=9)
    expected = base64.b64encode(hmac.new(SECRET.encode(), b"abc", hashlib.sha256).digest()).decode()
    assert (answer.status_code, answer.json()) == (200, {"response_token": f"sha256={expected}"})


def test_the_hub_is_confirmed_what_was_asked_for_and_nothing_else(hook: Hook) -> None:
    topic = f"https://www.youtube.com/xml/feeds/videos.xml?channel_id={ACCOUNT['youtube']}"
    url = hook.url("youtube", hook.sites["youtube"])
    asked = {"hub.mode": "subscribe", "hub.topic": topic, "hub.challenge": "ch", "hub.lease_seconds": "432000"}
    assert requests.get(url, asked, timeout=9).status_code == 404
    with hook.warehouse.connect() as connection:
        connection.execute(
            "insert into websub_leases (site_id, topic, callback_url, requested_at) values (%s, %s, %s, %s)",
            (hook.sites["youtube"], topic, url, NOW),
        )
    answer = requests.get(url, asked, timeout=9)
    assert (answer.status_code, answer.text) == (200, "ch")
    assert requests.get(url, asked | {"hub.topic": f"{topic}x"}, timeout=9).status_code == 404
    assert requests.get(hook.url("youtube"), asked, timeout=9).status_code == 404
    with hook.warehouse.connect() as connection:
        (lease,) = connection.execute("select * from websub_leases").fetchall()
    assert lease["expires_at"] == NOW + timedelta(days=5)


def test_too_many_requests_are_told_when_to_come_again_per_platform(
    warehouse: Warehouse, clock: FixedClock, tmp_path: Path
) -> None:
    with hooked(warehouse, clock, settings_of(str(tmp_path), CG_WEBHOOK_RATE_PER_SECOND="2")) as hook:
        answers = [requests.post(hook.url("facebook"), b"", timeout=9) for _ in range(12)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) >= 5
        assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
        assert hook.post("tiktok", sample("tiktok")) == 200
        assert hook.requests("facebook", "rate_limited") == len(refused)


def test_health_readiness_and_metrics_are_told(hook: Hook, clock: FixedClock) -> None:
    assert hook.post("facebook", sample("facebook")) == 200
    clock.instant += timedelta(seconds=90)
    assert [requests.get(f"{hook.address}/{path}", timeout=9).status_code for path in ("healthz", "readyz")] == [
        200,
        200,
    ]
    assert hook.metric("cg_webhook_oldest_pending_seconds") == 90
    assert hook.metric('cg_webhook_answer_seconds_count{platform="facebook"}') == 1
    with hook.warehouse.connect() as connection:
        connection.execute("alter table websub_leases rename to elsewhere")
    assert [requests.get(f"{hook.address}/{path}", timeout=9).status_code for path in ("healthz", "readyz")] == [
        200,
        503,
    ]
