"""What events of Facebook, Instagram and Threads mean, for what the recorded payloads lack."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cg_pipeline.warehouse.models.enums import WebhookAction
from cg_pipeline.webhooks.entries import Entry
from cg_pipeline_tests.unit.test_webhook_payloads import COMMENT, of_instagram, of_page, of_threads, only, read

REFRESH, DELETE, PAUSE = WebhookAction
SENT = datetime.fromtimestamp(1795300000, UTC)
POST = {"item": "status", "verb": "add", "post_id": "77_5", "from": {"id": "77"}, "created_time": 1795299990}


def told(entry: Entry) -> tuple[str | None, str | None, WebhookAction | None, str | None]:
    return entry.account, entry.post, entry.action, entry.reason


def print_of(platform: str, document: Any) -> str:
    return only(platform, document).fingerprint(platform)


@pytest.mark.parametrize(
    ("changes", "event_type", "post", "action", "reason"),
    [
        ({}, "feed.status.add", "5", REFRESH, None),
        ({"verb": "edit"}, "feed.status.edit", "5", REFRESH, None),
        ({"verb": "edited"}, "feed.status.edited", "5", REFRESH, None),
        ({"verb": "hide"}, "feed.status.hide", "5", REFRESH, None),
        ({"verb": "remove"}, "feed.status.remove", "5", DELETE, None),
        ({"verb": "delete", "item": "reel"}, "feed.reel.delete", "5", DELETE, None),
        ({"verb": "remove", "item": "comment"}, "feed.comment.remove", "5", REFRESH, None),
        ({"verb": "remove", "item": "reaction"}, "feed.reaction.remove", "5", REFRESH, None),
        ({"verb": "remove", "item": "new thing"}, "feed.new thing.remove", "5", REFRESH, None),
        ({"post_id": 5}, "feed.status.add", "5", REFRESH, None),
        ({"item": None, "verb": 3}, "feed.3", "5", REFRESH, None),
        ({"from": {"id": 77}}, "feed.status.add", "5", REFRESH, None),
        ({"from": {"id": "9"}}, "feed.status.add", None, None, "somebody else's post on the page"),
        ({"from": None, "sender_id": 9}, "feed.status.add", None, None, "somebody else's post on the page"),
        ({"from": {"id": "9"}, "verb": "remove"}, "feed.status.remove", "5", DELETE, None),
        ({"from": {"id": "9"}, "item": "like"}, "feed.like.add", "5", REFRESH, None),
        ({"published": 1}, "feed.status.add", "5", REFRESH, None),
        ({"published": 0}, "feed.status.add", None, None, "the post is not published"),
        ({"post_id": "78_5"}, "feed.status.add", None, None, "the post is not the page's own"),
        ({"post_id": "78_5", "verb": "remove"}, "feed.status.remove", None, None, "the post is not the page's own"),
        ({"post_id": "77_"}, "feed.status.add", None, None, "it names no post"),
        ({"post_id": None}, "feed.status.add", None, None, "it names no post"),
        ({"post_id": ["77_5"]}, "feed.status.add", None, None, "it names no post"),
    ],
)
def test_a_change_in_the_feed_of_a_page(
    changes: dict[str, Any], event_type: str, post: str | None, action: WebhookAction | None, reason: str | None
) -> None:
    entry = only("facebook", of_page(POST | changes))
    assert entry.event_type == event_type
    assert told(entry) == ("77", post, action, reason)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("feed", None, "it has no value"),
        ("feed", "text", "it has no value"),
        ("mention", {"post_id": "77_5", "verb": "add"}, "a mention in a post of others"),
        ("name", "New name", "unknown field name"),
        (None, {}, "unknown field unknown"),
    ],
)
def test_other_changes_of_a_page_are_kept_and_nothing_else(field: Any, value: Any, reason: str) -> None:
    entry = only("facebook", of_page(value, field))
    assert told(entry) == ("77", None, None, reason)
    assert entry.payload == {"object": "page", "id": "77", "time": 1795300000, "field": field, "value": value}


def test_a_subscription_without_values_tells_that_the_whole_site_changed() -> None:
    body = {"object": "page", "entry": [{"id": "77", "time": 1795300000, "changed_fields": ["feed", "name"]}]}
    feed, name = read("facebook", json.dumps(body).encode())
    assert (feed.event_type, *told(feed)) == ("feed", "77", None, REFRESH, None)
    assert feed.payload == {"object": "page", "id": "77", "time": 1795300000, "changed_fields": ["feed"]}
    assert (name.event_type, *told(name)) == ("name", "77", None, None, "unknown field name")


def test_the_time_of_an_event_is_that_of_sending_only_where_there_is_no_other() -> None:
    assert only("facebook", of_page(POST)).event_time == datetime.fromtimestamp(1795299990, UTC)
    assert only("facebook", of_page(POST | {"created_time": "soon"})).event_time == SENT
    assert only("facebook", of_page(POST | {"created_time": None}, time=1795300000000)).event_time == SENT
    assert only("facebook", of_page(POST | {"created_time": None}, time=2**63)).event_time is None


def test_an_event_of_a_page_is_recognised_whenever_it_is_sent_again() -> None:
    first = print_of("facebook", of_page(POST))
    assert first == print_of("facebook", of_page(POST, time=1795309999))
    assert first != print_of("facebook", of_page(POST, page="78"))
    for changes in ({"verb": "edited"}, {"post_id": "77_6"}, {"message": "b"}, {"created_time": 1795299991}):
        assert first != print_of("facebook", of_page(POST | changes))
    no_value = of_page(None, "parking")
    assert print_of("facebook", no_value) != print_of("facebook", of_page(None, "parking", time=1795300001))


@pytest.mark.parametrize(
    ("change", "account", "event_type", "action"),
    [
        ({"field": "connected", "verb": "revoked"}, "5", "permissions.connected.revoked", PAUSE),
        ({"field": "connected", "value": {"verb": "revoked"}}, "5", "permissions.connected.revoked", PAUSE),
        ({"field": "connected", "verb": "granted"}, "5", "permissions.connected.granted", None),
        ({"field": "connected"}, "5", "permissions.connected.unknown", None),
        ({"field": "read_insights", "value": {"verb": "revoked", "target_ids": [77]}}, "77",
         "permissions.read_insights.revoked", PAUSE),
    ],
)  # fmt: skip
def test_a_permission_that_is_taken_pauses(
    change: dict[str, Any], account: str, event_type: str, action: WebhookAction | None
) -> None:
    body = {"object": "permissions", "entry": [{"uid": "5", "time": 1795300000, "changes": [change]}]}
    entry = only("facebook", body)
    assert (entry.event_type, entry.account, entry.action, entry.post) == (event_type, account, action, None)


def test_a_permission_for_two_pages_is_an_event_of_each_and_of_its_time() -> None:
    change = {"field": "read_insights", "value": {"verb": "revoked", "target_ids": ["77", "78"]}}
    entry = {"uid": "5", "time": 1795300000, "changes": [change]}
    later = entry | {"time": 1795300001}
    entries = read("facebook", json.dumps({"object": "permissions", "entry": [entry, later]}).encode())
    assert [(each.account, each.payload["value"]["target_ids"]) for each in entries] == [
        ("77", ["77"]),
        ("78", ["78"]),
    ] * 2
    assert len({each.fingerprint("facebook") for each in entries}) == 4


@pytest.mark.parametrize(("platform", "body"), [("facebook", of_instagram({})), ("instagram", of_page(COMMENT))])
def test_objects_of_another_platform_are_kept_and_nothing_else(platform: str, body: dict[str, Any]) -> None:
    assert (only(platform, body).reason or "").startswith("unknown object")


@pytest.mark.parametrize("entry", [{}, {"id": "77"}, {"id": "77", "changes": []}, "text", None, ["x"]])
def test_an_entry_without_a_change_is_kept_and_nothing_else(entry: Any) -> None:
    found = only("facebook", {"object": "page", "entry": [entry]})
    assert found.action is None
    assert found.payload["entry"] == [entry]


def test_one_bad_change_loses_no_other() -> None:
    body = of_page(POST)
    body["entry"][0]["changes"] = [7, *body["entry"][0]["changes"], None]
    assert [each.action for each in read("facebook", json.dumps([body, body]).encode())] == [None, REFRESH, None] * 2


COMMENTED = {"id": "43", "media": {"id": "18", "media_product_type": "REELS"}, "from": {"id": "6"}, "text": "!"}
STORY = {"media_id": "19", "impressions": 444, "reach": 396, "replies": -1}


@pytest.mark.parametrize(
    ("field", "value", "post", "reason"),
    [
        ("comments", COMMENTED, "18", None),
        ("live_comments", COMMENTED, "18", None),
        ("comments", {"comment_id": 43, "media": {"id": 18}}, "18", None),
        ("comments", {"id": "43", "media": {"id": "99", "ad_id": "1", "original_media_id": "18"}}, "18", None),
        ("comments", {"id": "43"}, None, "it names no post"),
        ("comments", None, None, "it names no post"),
        ("story_insights", STORY, "19", None),
        ("mentions", {"media_id": "19"}, None, "a mention in a post of others"),
        ("message_reactions", {}, None, "unknown field message_reactions"),
    ],
)
def test_a_change_of_an_instagram_account(field: str, value: Any, post: str | None, reason: str | None) -> None:
    entry = only("instagram", of_instagram(value, field))
    assert (entry.event_type, *told(entry)) == (field, "1784", post, REFRESH if post else None, reason)
    assert entry.event_time == SENT


def test_all_envelopes_of_instagram_are_read() -> None:
    flat = {"id": "1784", "time": 1795300000, "field": "comments", "value": COMMENTED}
    body = of_instagram(COMMENTED)
    for sent in (body, [body], {"object": "instagram", "entry": [flat]}, of_instagram(COMMENTED, time=1795300000000)):
        entry = only("instagram", sent)
        assert (*told(entry), entry.event_time) == ("1784", "18", REFRESH, None, SENT)
        assert entry.fingerprint("instagram") == print_of("instagram", body)


def test_messages_are_kept_and_nothing_else() -> None:
    entry = {"id": "1784", "time": 1, "messaging": [{"message": {"mid": "a"}}, {"read": {}}], "standby": [{}]}
    entries = read("instagram", json.dumps({"object": "instagram", "entry": [entry]}).encode())
    assert [each.event_type for each in entries] == ["messages", "messages", "standby"]
    assert {each.reason for each in entries} == {"messages are not read"}
    assert len({each.fingerprint("instagram") for each in entries}) == 3


def test_a_comment_is_known_by_its_id_and_a_story_by_its_values() -> None:
    comment, story = of_instagram(COMMENTED), of_instagram(STORY, "story_insights")
    assert print_of("instagram", comment) == print_of("instagram", of_instagram(COMMENTED | {"text": "?"}))
    assert print_of("instagram", comment) != print_of("instagram", of_instagram(COMMENTED | {"id": "44"}))
    assert print_of("instagram", comment) != print_of("instagram", of_instagram(COMMENTED, "live_comments"))
    assert print_of("instagram", story) == print_of("instagram", of_instagram(STORY, "story_insights", time=9))
    assert print_of("instagram", story) != print_of("instagram", of_instagram(STORY | {"reach": 397}, "story_insights"))


PUBLISHED = {"id": "18050", "media_type": "TEXT_POST", "timestamp": "2026-11-20T16:04:09+0000", "username": "demo"}
ROOT = {"id": "18050", "owner_id": "1784", "username": "demo"}


@pytest.mark.parametrize(
    ("field", "value", "target", "account", "post", "action"),
    [
        ("publish", PUBLISHED, "1784", "1784", "18050", REFRESH),
        ("publish", PUBLISHED, "18050", "demo", "18050", REFRESH),  # should the target be the post, as of other fields
        ("publish", PUBLISHED | {"owner": {"id": "1784"}}, "", "1784", "18050", REFRESH),
        ("publish", PUBLISHED | {"is_reply": True}, "1784", "1784", None, None),
        ("publish", PUBLISHED | {"replied_to": {"id": "1"}}, "1784", "1784", None, None),
        ("publish", PUBLISHED | {"is_reply": False}, "1784", "1784", "18050", REFRESH),
        ("publish", {}, "1784", "1784", None, None),
        ("replies", {"id": "3", "root_post": ROOT}, "18050", "1784", "18050", REFRESH),
        ("replies", {"id": "3", "root_post": ROOT | {"owner_id": None}}, "18050", "demo", "18050", REFRESH),
        ("replies", {"id": "3", "replied_to": {"id": "18050"}}, "18050", None, None, None),
        ("delete", PUBLISHED | {"owner": {"owner_id": "1784"}}, "18050", "1784", "18050", DELETE),
        ("delete", PUBLISHED, "18050", "demo", "18050", DELETE),
        ("mentions", PUBLISHED, "1784", "1784", None, None),
        ("insights", PUBLISHED, "1784", "1784", None, None),
    ],
)
def test_an_event_of_threads(
    field: str, value: Any, target: str, account: str | None, post: str | None, action: WebhookAction | None
) -> None:
    entry = only("threads", of_threads(field, value, target))
    assert (entry.event_type, *told(entry)[:3]) == (field, account, post, action)


def test_an_event_of_threads_has_the_time_of_what_happened() -> None:
    gone = PUBLISHED | {"deleted_at": "2026-11-20T16:25:00+0000"}
    assert only("threads", of_threads("delete", gone)).event_time == datetime(2026, 11, 20, 16, 25, tzinfo=UTC)
    assert only("threads", of_threads("publish", PUBLISHED)).event_time == datetime(2026, 11, 20, 16, 4, 9, tzinfo=UTC)
    assert only("threads", of_threads("delete", PUBLISHED)).event_time == SENT


def test_several_values_of_threads_are_several_events() -> None:
    body = of_threads("publish", PUBLISHED) | {
        "values": [{"field": "publish", "value": PUBLISHED | {"id": str(number)}} for number in (1, 2)]
    }
    entries = read("threads", json.dumps(body).encode())
    assert [(each.post, each.payload["values"]["value"]["id"]) for each in entries] == [("1", "1"), ("2", "2")]
    assert len({each.fingerprint("threads") for each in entries}) == 2
    assert read("threads", json.dumps(body | {"values": []}).encode()) == []


def test_an_event_of_threads_is_known_by_field_post_and_deletion() -> None:
    first = of_threads("publish", PUBLISHED)
    assert print_of("threads", first) == print_of("threads", first | {"time": 1795309999})
    assert print_of("threads", first) != print_of("threads", of_threads("delete", PUBLISHED))
    deleted = [of_threads("delete", PUBLISHED | {"deleted_at": f"2026-11-2{day}T00:00:00+0000"}) for day in (1, 2)]
    assert print_of("threads", deleted[0]) != print_of("threads", deleted[1])
