"""Bodies of webhooks, whatever the platform: what cannot be read is refused, all else becomes entries, come what may.

Also the samples of every platform, written by hand after its documentation, which the other modules use.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cg_pipeline.webhooks.entries import Entry, Unreadable
from cg_pipeline.webhooks.payloads import MOST_DEEP, READERS, parse
from cg_pipeline.webhooks.payloads_facts import key, moment, text

PLATFORMS = [*READERS, "youtube"]


def of_page(value: Any, field: str = "feed", page: str = "77", time: Any = 1795300000) -> dict[str, Any]:
    return {"object": "page", "entry": [{"id": page, "time": time, "changes": [{"field": field, "value": value}]}]}


def of_instagram(value: Any, field: str = "comments", time: Any = 1795300000) -> dict[str, Any]:
    change = {"field": field, "value": value}
    return {"object": "instagram", "entry": [{"id": "1784", "time": time, "changes": [change]}]}


def of_threads(field: str, value: Any, target: str = "1784") -> dict[str, Any]:
    values = {"field": field, "value": value}
    return {"app_id": "9", "topic": "moderate", "target_id": target, "time": 1795300000, "values": values}


def of_tiktok(event: str, content: Any = None, **changed: Any) -> dict[str, Any]:
    body = {"client_key": "ck", "event": event, "create_time": 1795300000, "user_openid": "act.7"}
    return body | {"content": json.dumps(content if content is not None else {})} | changed


def of_x(event_type: str, payload: Any, **changed: Any) -> dict[str, Any]:
    data = {"event_uuid": "5001", "filter": {"user_id": "111"}, "event_type": event_type, "payload": payload}
    return {"data": data | changed}


COMMENT = {"item": "comment", "verb": "add", "post_id": "77_5550001", "comment_id": "5550001_4", "from": {"id": "9"}}
SAMPLES: dict[str, Any] = {
    "facebook": of_page(COMMENT | {"created_time": 1795299990}),
    "instagram": of_instagram({"id": "43", "from": {"id": "6", "username": "bo"}, "text": "!", "media": {"id": "18"}}),
    "threads": of_threads("replies", {"id": "3", "root_post": {"id": "1", "owner_id": "1784"}}),
    "tiktok": of_tiktok("post.publish.publicly_available", {"publish_id": "v", "post_id": "7301"}),
    "twitter": of_x("post.create", {"id": "2080", "author_id": "111", "created_at": "2026-11-20T10:00:00.000Z"}),
}


def read(platform: str, body: bytes) -> list[Entry]:
    """The entries, which must be what the database takes; none where the body is refused."""
    try:
        entries = parse(platform, body)
    except Unreadable:
        return []
    for entry in entries:
        assert (entry.action is None) == bool(entry.reason)
        assert entry.action is None or entry.account
        assert entry.event_type
        assert all(len(name) < 700 for name in (entry.event_type, entry.account, entry.post) if name is not None)
        assert entry.event_time is None or entry.event_time.tzinfo is UTC
        # An escaped NUL, and not the text that looks like one.
        assert "\\u0000" not in json.dumps([entry.payload, entry.account, entry.post]).replace("\\\\", "")
        json.dumps(entry.payload, ensure_ascii=False, allow_nan=False).encode()
        entry.fingerprint(platform)
    return entries


def only(platform: str, document: Any) -> Entry:
    """The one entry of a document."""
    (entry,) = read(platform, json.dumps(document).encode())
    return entry


def nodes(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    children = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, child in children:
        yield from nodes(child, (*path, name))


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """The document with one of its nodes replaced by anything, or taken out."""
    path, isolated = draw(st.sampled_from(list(nodes(document)))), json.loads(json.dumps(document))
    if not path:
        return draw(ANYTHING)
    parent = isolated
    for name in path[:-1]:
        parent = parent[name]
    if draw(st.booleans()):
        parent[path[-1]] = draw(ANYTHING)
    else:
        del parent[path[-1]]
    return isolated


@given(st.sampled_from(PLATFORMS), st.binary())
def test_arbitrary_bytes_are_read_or_refused(platform: str, body: bytes) -> None:
    read(platform, body)


@given(st.sampled_from(PLATFORMS), ANYTHING)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_arbitrary_documents_are_read_or_refused(platform: str, document: Any) -> None:
    read(platform, json.dumps(document).encode())


@pytest.mark.parametrize("platform", SAMPLES)
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_sample_with_anything_changed_twice_is_read_or_refused(platform: str, data: st.DataObject) -> None:
    once = data.draw(changed(SAMPLES[platform]))
    read(platform, json.dumps(data.draw(changed(once))).encode())


@pytest.mark.parametrize("platform", SAMPLES)
def test_a_second_delivery_has_the_fingerprint_of_the_first(platform: str) -> None:
    sent = json.dumps(SAMPLES[platform], indent=1, sort_keys=True).encode()
    (again,) = parse(platform, sent)
    assert again.fingerprint(platform) == only(platform, SAMPLES[platform]).fingerprint(platform)


@pytest.mark.parametrize("platform", SAMPLES)
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"<feed/>", b'"\xed\xa0\x80"', b"[NaN]", b"{} {}"])
def test_what_is_no_json_is_refused(platform: str, body: bytes) -> None:
    with pytest.raises(Unreadable, match="no JSON in UTF-8"):
        parse(platform, body)


@pytest.mark.parametrize("platform", SAMPLES)
@pytest.mark.parametrize(
    "body", [b"null", b"1", b'"text"', b"{}", b'{"entry": 1, "data": [], "values": "x", "event": 1.5}']
)
def test_json_of_another_shape_is_refused(platform: str, body: bytes) -> None:
    with pytest.raises(Unreadable, match="is not an event of"):
        parse(platform, body)


def nested(levels: int, platform: str) -> bytes:
    """A body whose extra member makes it so deep."""
    deep = b"[" * (levels - 1) + b"]" * (levels - 1)
    return json.dumps(SAMPLES[platform]).encode()[:-1] + b', "extra": ' + deep + b"}"


@pytest.mark.parametrize("platform", SAMPLES)
def test_a_body_may_be_nested_so_deep_and_no_deeper(platform: str) -> None:
    assert len(parse(platform, nested(MOST_DEEP, platform))) == 1
    with pytest.raises(Unreadable, match="nested deeper"):
        parse(platform, nested(MOST_DEEP + 1, platform))
    with pytest.raises(Unreadable):
        parse(platform, nested(100_000, platform))


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (rb"a\u0000b", "a\ufffdb"),
        (rb"cut \ud83d", "cut \ufffd"),
        (rb"\ude00 cut", "\ufffd cut"),
        (rb"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (rb"whole \uD83D\uDE00 \u0000", "whole \U0001f600 \ufffd"),
        (rb"no escape \\u0000 \\\u0000", "no escape \\u0000 \\\ufffd"),
        (rb"no escape \\ud83d", "no escape \\ud83d"),
    ],
)
def test_text_that_no_column_can_hold_is_replaced(written: bytes, kept: str) -> None:
    """A platform that cuts a text within an emoji sends half of it."""
    body = json.dumps(of_page(COMMENT | {"message": "MESSAGE"})).encode().replace(b"MESSAGE", written)
    (entry,) = read("facebook", body)
    assert entry.payload["value"]["message"] == kept


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        (1795300000, "2026-11-21T22:26:40"),
        ("1795300000", "2026-11-21T22:26:40"),
        (1795300000500, "2026-11-21T22:26:40.500000"),
        ("2026-11-20T16:04:09+0000", "2026-11-20T16:04:09"),
        ("2026-11-20T10:00:00.000Z", "2026-11-20T10:00:00"),
        ("2026-11-20T10:00:00.552394234+02:00", "2026-11-20T08:00:00.552394"),
        ("2026-11-20T10:00:00", "2026-11-20T10:00:00"),
    ],
)
def test_times_of_all_forms_are_read(written: Any, read_as: str) -> None:
    found = moment(written)
    assert found == datetime.fromisoformat(read_as).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [0, -1, 10**11, 10**18, 2**63, "9" * 150, "9" * 5000, True, None, [], {}, 1.5, "soon", "²", "1e9", "",
     "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "1969-07-20"],
)  # fmt: skip
def test_what_is_no_time_is_unknown(written: Any) -> None:
    assert moment(written) is None


@pytest.mark.parametrize(
    ("value", "as_text"),
    [("x", "x"), (" x ", "x"), (12, "12"), (-5, "-5"), (0, "0"), ("", None), (" ", None), (True, None), (1.0, None),
     (None, None), ([], None), ("x" * 200, "x" * 200), ("x" * 201, None)],
)  # fmt: skip
def test_an_id_is_text_or_a_whole_number(value: Any, as_text: str | None) -> None:
    assert text(value) == as_text


@given(
    st.lists(ANYTHING_SMALL := st.none() | st.text() | st.integers(0, 9), max_size=3),
    st.lists(ANYTHING_SMALL, max_size=3),
)
def test_only_the_same_parts_make_the_same_key(some: list[Any], others: list[Any]) -> None:
    assert (key(*some) == key(*others)) == (some == others)


def test_a_thousand_changes_of_two_pages_stay_apart() -> None:
    changes = [{"field": "feed", "value": COMMENT | {"post_id": f"77_{n}"}} for n in range(500)]
    of_others = [{"field": "feed", "value": COMMENT | {"post_id": f"78_{n}"}} for n in range(500)]
    body = {"object": "page", "entry": [{"id": "77", "changes": changes}, {"id": "78", "changes": of_others}]}
    entries = parse("facebook", json.dumps(body).encode())
    assert [(each.account, each.post) for each in entries] == [(p, str(n)) for p in ("77", "78") for n in range(500)]
    assert len({each.fingerprint("facebook") for each in entries}) == 1000
    assert entries[999].payload == {"object": "page", "id": "78", "field": "feed", "value": of_others[499]["value"]}


def test_nobody_is_paused_where_no_account_is_named() -> None:
    entry = only("tiktok", of_tiktok("authorization.removed", user_openid=None))
    assert (entry.action, entry.reason) == (None, "it names no account")
