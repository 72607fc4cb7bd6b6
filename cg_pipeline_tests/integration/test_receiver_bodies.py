"""Bodies of every kind, all well signed: none crashes the receiver, none is stored twice."""

import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cg_pipeline.clock import FixedClock
from cg_pipeline.config import PLATFORMS
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline.webhooks import receiver
from cg_pipeline.webhooks.limits import MOST_BYTES
from cg_pipeline_tests.integration.receiving import NOW, Hook, feed, hooked, meta, sample, settings_of, signed

MANY = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])

BILLION_LAUGHS = b"""<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;">]><feed xmlns="http://www.w3.org/2005/Atom"><title>&c;</title></feed>"""
CORPUS = {
    "nothing": b"",
    "blanks": b" \n ",
    "deep lists": b"[" * 200_000,
    "deep closed lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"entry":' * 50_000 + b"1" + b"}" * 50_000,
    "deep payload": meta(feed()).replace(b'"item"', b'"x": ' + b"[" * 900 + b"]" * 900 + b', "item"'),
    "deep elements": b"<feed xmlns='http://www.w3.org/2005/Atom'>" + b"<entry>" * 50_000,
    "not UTF-8": b'{"object":"page","entry":[{"id":"\xff\xfe"}]}',
    "UTF-16": json.dumps({"object": "page"}).encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + sample("facebook"),
    "NUL in text": meta(feed(message="a\0b \\u0000 \\\0")),
    "NUL in an id": meta(feed(post="1\0")),
    "lone surrogate": sample("facebook").replace(b'"post"', b'"\\ud800"'),
    "big number": meta(feed(likes=10**400)),
    "big float": sample("facebook").replace(b"1768478340", b"1e999"),
    "not a number": sample("facebook").replace(b"1768478340", b"NaN"),
    "far future": meta(feed() | {"value": feed()["value"] | {"created_time": 10**18}}),
    "far past": meta(feed() | {"value": feed()["value"] | {"created_time": -(10**18)}}),
    "long id": meta(feed(post="1" * 5000)),
    "long type": meta({"field": "f" * 5000, "value": {}}),
    "long account": meta(feed(), page="1" * 5000),
    "null": b"null",
    "numbers": b"[1, 2, 3]",
    "wrong shapes": b'{"object":"page","entry":[1,null,{"id":[]},{"changes":{}},{"id":{},"changes":[0,{"field":{}}]}]}',
    "entities": BILLION_LAUGHS,
    "external entity": b'<!DOCTYPE f [<!ENTITY x SYSTEM "file:///etc/passwd">]><feed>&x;</feed>',
    "duplicate keys": b'{"object":"page","object":"page","entry":[],"entry":[]}',
    "form": b"a=1&b=2",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
}


@pytest.fixture
def hook(warehouse: Warehouse, tmp_path: Path) -> Iterator[Hook]:
    with hooked(warehouse, FixedClock(NOW), settings_of(str(tmp_path))) as made:
        yield made


def assert_stored_once(hook: Hook) -> None:
    statement = """select count(*) as events, count(distinct fingerprint) as different, count(event_id) as known
                   from webhook_events left join webhook_fingerprints f using (fingerprint) where event_id = id"""
    with hook.warehouse.connect() as connection:
        (counts,) = connection.execute(statement).fetchall()
        (total,) = connection.execute("select count(*) as events from webhook_events").fetchall()
    assert set(counts.values()) == set(total.values())


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_body_of_the_corpus_crashes_the_receiver_or_is_stored_twice(hook: Hook, platform: str) -> None:
    before = hook.post(platform, sample(platform))
    for name, body in CORPUS.items():
        first, second = hook.post(platform, body), hook.post(platform, body)
        assert (first, second) in {(200, 200), (400, 400)}, name
        events = len(hook.events())
        assert hook.post(platform, body) == second, name
        assert len(hook.events()) == events, name
    assert (before, hook.post(platform, sample(platform))) == (200, 200)
    assert_stored_once(hook)


@pytest.mark.parametrize("name", ["NUL in text", "NUL in an id", "far future", "long id", "long type", "long account"])
def test_an_odd_value_does_not_lose_the_event(hook: Hook, name: str) -> None:
    assert hook.post("facebook", CORPUS[name]) == 200
    assert len(hook.events()) == 1


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_body_that_was_cut_off_anywhere_is_no_crash(hook: Hook, platform: str) -> None:
    body = sample(platform)
    statuses = {hook.post(platform, body[:length]) for length in range(0, len(body), 7)}
    assert statuses <= {200, 400}
    assert hook.post(platform, body) == 200
    assert_stored_once(hook)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
KNOWN = "object entry id changes field value values time post_id verb item data payload event content user_openid feed"
NAMES = st.sampled_from(KNOWN.split()) | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6))
CHANGES = st.dictionaries(NAMES, JSON, max_size=6)


def is_no_crash(hook: Hook, platform: str, body: bytes) -> None:
    assert {hook.post(platform, body) for _ in range(2)} in ({200}, {400})


@MANY
@given(st.sampled_from(PLATFORMS), st.binary(max_size=300))
def test_random_bytes_are_no_crash(hook: Hook, platform: str, body: bytes) -> None:
    is_no_crash(hook, platform, body)


@MANY
@given(st.sampled_from(PLATFORMS), JSON)
def test_random_json_is_no_crash(hook: Hook, platform: str, value: Any) -> None:
    is_no_crash(hook, platform, json.dumps(value).encode())


@MANY
@given(st.sampled_from(PLATFORMS), st.data())
def test_a_true_body_with_a_random_change_is_no_crash(hook: Hook, platform: str, data: st.DataObject) -> None:
    body = sample(platform)
    at = data.draw(st.integers(0, len(body)))
    until = data.draw(st.integers(at, min(len(body), at + 20)))
    is_no_crash(hook, platform, body[:at] + data.draw(st.binary(max_size=8)) + body[until:])


@MANY
@given(st.lists(CHANGES, max_size=5))
def test_random_changes_of_a_page_are_stored_once_each_time(hook: Hook, changes: list[dict[str, Any]]) -> None:
    is_no_crash(hook, "facebook", meta(*changes))
    assert_stored_once(hook)


NUMBERS = count(1000)


@MANY
@given(st.lists(st.lists(st.integers(10, 19), max_size=6), max_size=6))
def test_changes_in_any_order_batch_and_repetition_are_each_stored_once(hook: Hook, batches: list[list[int]]) -> None:
    prefix = next(NUMBERS)
    bodies = [meta(*[feed(f"{prefix}{number}") for number in batch]) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda body: hook.post("facebook", body), bodies)) <= {200}
    with hook.warehouse.connect() as connection:
        statement = "select post_id from webhook_events where starts_with(post_id, %s) order by 1"
        stored = [row["post_id"] for row in connection.execute(statement, [f"facebook_{prefix}"])]
    assert stored == sorted({f"facebook_{prefix}{number}" for batch in batches for number in batch})


def test_a_body_up_to_the_limit_is_taken_and_a_larger_one_is_refused(hook: Hook) -> None:
    fitting = meta(feed()).ljust(MOST_BYTES)
    assert hook.post("facebook", fitting) == 200
    headers = signed("facebook", fitting + b" ")
    assert requests.post(hook.url("facebook"), fitting + b" ", headers=headers, timeout=9).status_code == 413
    pieces = (bytes(65536) for _ in range(MOST_BYTES // 65536 + 3))  # without a length
    assert requests.post(hook.url("facebook"), pieces, timeout=9).status_code == 413
    assert (hook.requests("facebook", "too_large"), len(hook.events())) == (2, 1)


def test_a_sender_that_stops_in_the_middle_of_a_body_is_not_waited_for(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "BODY_SECONDS", 0.2)
    place = urlsplit(hook.address)
    with socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=9) as sender:
        sender.sendall(b"POST /webhooks/facebook HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert sender.recv(65536).startswith(b"HTTP/1.1 408")


def test_a_sender_that_hangs_up_in_the_middle_of_a_body_does_no_harm(hook: Hook) -> None:
    place = urlsplit(hook.address)
    for _ in range(5):
        with socket.create_connection((str(place.hostname), int(place.port or 0))) as sender:
            sender.sendall(b"POST /webhooks/facebook HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    assert hook.post("facebook", sample("facebook")) == 200
    assert len(hook.events()) == 1


NO_HTTP = [
    b"\x16\x03\x01\x02\x00\x01",
    b"\r\n\r\n",
    b"POST /webhooks/facebook HTTP/9\r\n\r\n",
    b"POST /webhooks/\xff\xfe HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    b"POST /webhooks/facebook HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /webhooks/facebook HTTP/1.1\r\nX-\xff: \xff\xfe\r\nContent-Length: 0\r\n\r\n",
]


@pytest.mark.parametrize("head", NO_HTTP)
def test_what_is_no_http_does_no_harm(hook: Hook, head: bytes) -> None:
    place = urlsplit(hook.address)
    with socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=5) as sender:
        sender.sendall(head)
        sender.shutdown(socket.SHUT_WR)
        answer = sender.recv(65536)
    assert not answer.startswith(b"HTTP/1.1 5"), answer
    assert hook.post("facebook", sample("facebook")) == 200


def test_a_connection_is_kept_for_many_deliveries(hook: Hook) -> None:
    place = urlsplit(hook.address)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=9)
    for number in range(20):
        body = meta(feed(str(number)))
        connection.request("POST", "/webhooks/facebook", body, signed("facebook", body))
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
    connection.close()
    assert len(hook.events()) == 20
