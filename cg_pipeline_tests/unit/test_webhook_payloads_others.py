"""What events of TikTok, X and YouTube mean, for what the recorded payloads lack."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cg_pipeline.warehouse.models.enums import WebhookAction
from cg_pipeline.webhooks.entries import Unreadable
from cg_pipeline.webhooks.payloads import parse
from cg_pipeline_tests.unit.test_webhook_payloads import of_tiktok, of_x, only, read

REFRESH, DELETE, PAUSE = WebhookAction


@pytest.mark.parametrize(
    ("event", "content", "post", "action"),
    [
        ("authorization.removed", {"reason": 2}, None, PAUSE),
        ("authorization.removed", "no object", None, PAUSE),
        ("post.publish.publicly_available", {"post_id": "7301234567890123456"}, "7301234567890123456", REFRESH),
        ("post.publish.publicly_available", {"post_id": 7301234567890123456}, "7301234567890123456", REFRESH),
        ("post.publish.publicly_available", {"publish_id": "v"}, None, None),
        ("post.publish.no_longer_publicaly_available", {"post_id": "73"}, "73", DELETE),
        ("post.publish.no_longer_publicly_available", {"post_id": "73"}, "73", DELETE),
        ("post.publish.no_longer_publicaly_available", {}, None, None),
        ("post.publish.complete", {"publish_id": "v"}, None, REFRESH),
        ("post.publish.complete", {"publish_id": "v", "post_id": "73"}, "73", REFRESH),
        ("video.publish.completed", {"share_id": "video.6974.V"}, None, REFRESH),
        ("comment.update", {"video_id": 73, "comment_id": 1}, "73", REFRESH),
        ("comment.update", {"comment_id": 1}, None, None),
        ("post.publish.failed", {"publish_id": "v", "reason": "x"}, None, None),
        ("video.upload.failed", {"share_id": "s"}, None, None),
    ],
)
def test_an_event_of_tiktok(event: str, content: Any, post: str | None, action: WebhookAction | None) -> None:
    entry = only("tiktok", of_tiktok(event, content))
    assert (entry.event_type, entry.account, entry.post, entry.action) == (event, "act.7", post, action)
    assert entry.event_time == datetime.fromtimestamp(1795300000, UTC)


@pytest.mark.parametrize("content", ["{", "{'post_id':73}", "", None, 7, {"post_id": 73}, '{"post_id": "\\u0000"}'])
def test_a_content_of_tiktok_that_is_no_json_harms_nothing(content: Any) -> None:
    entry = only("tiktok", of_tiktok("post.publish.complete") | {"content": content})
    assert entry.action == REFRESH
    assert entry.payload["content"] == content


def test_an_event_of_tiktok_is_known_by_all_it_tells() -> None:
    body = of_tiktok("comment.update", {"video_id": 73})
    prints = {only("tiktok", sent).fingerprint("tiktok") for sent in (body, body | {"extra": 1})}
    assert len(prints) == 1
    changes: list[dict[str, Any]] = [
        {"event": "comment"}, {"user_openid": "b"}, {"create_time": 1795300001}, {"content": '{"video_id":74}'}
    ]  # fmt: skip
    prints |= {only("tiktok", body | each).fingerprint("tiktok") for each in changes}
    assert len(prints) == 5


OWN, OTHERS = {"id": "20", "author_id": "111"}, {"id": "21", "author_id": "9"}


def refers(kind: str, post: str = "20") -> dict[str, Any]:
    return {"referenced_tweets": [{"type": kind, "id": post}]}


@pytest.mark.parametrize(
    ("event", "payload", "post", "action"),
    [
        ("post.create", OWN, "20", REFRESH),
        ("post.create", {"id": 20}, "20", REFRESH),
        ("post.create", OWN | {"id": "29", "edit_history_tweet_ids": ["20", "29"]}, "20", REFRESH),
        ("post.create", OWN | {"edit_history_tweet_ids": [None]}, "20", REFRESH),
        ("post.create", OWN | refers("replied_to", "7") | {"in_reply_to_user_id": "9"}, "20", REFRESH),
        ("post.create", OWN | refers("quoted", "7"), "20", REFRESH),
        ("post.create", OWN | refers("retweeted", "7"), None, None),
        ("post.create", OWN | refers("reposted", "7"), None, None),
        ("post.create", OTHERS, None, None),
        ("post.create", {"author_id": "111"}, None, None),
        ("post.create", None, None, None),
        ("post.delete", OWN, "20", DELETE),
        ("post.delete", OTHERS, None, None),
        ("post.reply.create", OTHERS | refers("replied_to"), "20", REFRESH),
        ("post.reply.create", OTHERS | {"in_reply_to_user_id": "111", "in_reply_to_tweet_id": "20"}, "20", REFRESH),
        ("post.reply.create", OTHERS | refers("replied_to") | {"in_reply_to_user_id": "8"}, None, None),
        ("post.reply.create", OTHERS, None, None),
        ("post.reply.create", OWN | refers("replied_to", "7"), "20", REFRESH),
        ("post.quote.create", OTHERS | refers("quoted"), "20", REFRESH),
        ("post.repost.create", OTHERS | refers("retweeted"), "20", REFRESH),
        ("post.repost.create", OWN | refers("retweeted", "7"), None, None),
        ("post.mention.create", OTHERS | refers("quoted", "7"), None, None),
        ("post.mention.create", OTHERS | refers("replied_to") | {"in_reply_to_user_id": "111"}, "20", REFRESH),
        ("like.create", {"liked_tweet_id": "20", "tweet_author_id": "111"}, "20", REFRESH),
        ("like.create", {"liked_tweet_id": "7", "tweet_author_id": "9"}, None, None),
        ("like.create", {"id": "1"}, None, None),
        ("follow.follow", {"target": {"id": "111"}}, None, None),
        ("profile.update.bio", {"before": "a", "after": "b"}, None, None),
        (None, OWN, None, None),
    ],
)
def test_an_event_of_the_activity_api_of_x(
    event: Any, payload: Any, post: str | None, action: WebhookAction | None
) -> None:
    entry = only("twitter", of_x(event, payload))
    assert (entry.event_type, entry.account, entry.post, entry.action) == (event or "unknown", "111", post, action)


def test_a_revocation_at_x_pauses_whose_it_is() -> None:
    revoked = {"user_id": "111", "app_id": "1", "date_time": "2026-11-20T09:48:12Z"}
    entry = only("twitter", of_x("oauth.revoke", revoked, filter={}))
    assert (entry.account, entry.action) == ("111", PAUSE)
    assert entry.event_time == datetime(2026, 11, 20, 9, 48, 12, tzinfo=UTC)
    assert only("twitter", of_x("oauth.revoke", {}, filter={})).action is None


def test_an_event_of_the_activity_api_is_known_by_its_type_uuid_and_post() -> None:
    body = of_x("post.create", OWN)
    sent = [body, of_x("post.create", OWN, event_uuid="5002"), of_x("post.create", OWN | {"id": "30"}),
            of_x("post.delete", OWN), of_x("post.create", OWN, filter={"user_id": "9"}),
            of_x("profile.update.bio", {"after": "a"}, event_uuid=None),
            of_x("profile.update.bio", {"after": "b"}, event_uuid=None)]  # fmt: skip
    assert len({only("twitter", each).fingerprint("twitter") for each in sent}) == len(sent)
    again = of_x("post.create", OWN | {"public_metrics": {"like_count": 3}}, tag="x") | {"includes": {}}
    assert only("twitter", again).fingerprint("twitter") == only("twitter", body).fingerprint("twitter")


def of_old_x(group: str, *items: Any) -> dict[str, Any]:
    return {"for_user_id": "111", group: list(items)}


US, THEM = {"id": 111, "id_str": "111"}, {"id": 9, "id_str": "9"}


@pytest.mark.parametrize(
    ("group", "item", "post", "action"),
    [
        ("tweet_create_events", {"id": 20, "id_str": "20", "user": US}, "20", REFRESH),
        ("tweet_create_events", {"id_str": "20", "user": US, "retweeted_status": {"id_str": "7"}}, None, None),
        ("tweet_create_events", {"id_str": "21", "user": THEM}, None, None),
        ("tweet_create_events", {"id_str": "21", "user": THEM, "in_reply_to_user_id_str": "111",
                                 "in_reply_to_status_id_str": "20"}, "20", REFRESH),
        ("tweet_create_events", {"id_str": "21", "user": THEM, "retweeted_status": {"id_str": "20", "user": US}}, "20",
         REFRESH),
        ("tweet_create_events", {"id_str": "21", "user": THEM, "quoted_status": {"id": 20, "user": US}}, "20", REFRESH),
        ("tweet_delete_events", {"status": {"id": "20", "user_id": "111"}}, "20", DELETE),
        ("tweet_delete_events", {"status": {"id": "20", "user_id": "9"}}, None, None),
        ("tweet_delete_events", {"status": "20"}, None, None),
        ("favorite_events", {"id": "a", "favorited_status": {"id_str": "20", "user": US}, "user": THEM}, "20", REFRESH),
        ("favorite_events", {"id": "a", "favorited_status": {"id_str": "7", "user": THEM}, "user": US}, None, None),
        ("follow_events", {"type": "follow"}, None, None),
    ],
)  # fmt: skip
def test_an_event_of_the_old_api_of_x(group: str, item: Any, post: str | None, action: WebhookAction | None) -> None:
    entry = only("twitter", of_old_x(group, item))
    assert (entry.event_type, entry.account, entry.post, entry.action) == (group, "111", post, action)
    assert entry.payload == of_old_x(group, item)


def test_one_body_of_the_old_api_holds_events_of_several_kinds() -> None:
    tweets = of_old_x("tweet_create_events", *({"id": n, "user": US, "timestamp_ms": "1795300000500"} for n in (1, 2)))
    body = tweets | of_old_x("tweet_delete_events", {"status": {"id": "3"}}) | {"user_has_blocked": False, "users": {}}
    entries = read("twitter", json.dumps(body).encode())
    assert [(each.post, each.action) for each in entries] == [("1", REFRESH), ("2", REFRESH), ("3", DELETE)]
    assert len({each.fingerprint("twitter") for each in entries}) == 3
    assert entries[0].event_time == datetime.fromtimestamp(1795300000.5, UTC)
    assert read("twitter", json.dumps(of_old_x("tweet_create_events")).encode()) == []


def feed(*entries: str, root: str = "feed") -> bytes:
    spaces = 'xmlns="http://www.w3.org/2005/Atom" xmlns:yt="http://www.youtube.com/xml/schemas/2015"'
    return f'<{root} {spaces} xmlns:at="http://purl.org/atompub/tombstones/1.0">{"".join(entries)}</{root}>'.encode()


def video(number: int, updated: str = "2026-10-02T15:04:58.9+00:00", more: str = "") -> str:
    ids = f"<id>yt:video:v{number}</id><yt:videoId>v{number}</yt:videoId><yt:channelId>UCx</yt:channelId>"
    return f"<entry>{ids}<title>Ä &amp; B</title><updated>{updated}</updated>{more}</entry>"


def tombstone(number: int, when: str = "2026-10-05T10:00:00+00:00") -> str:
    by = "<at:by><name>C</name><uri>https://www.youtube.com/channel/UCx</uri></at:by>"
    return f'<at:deleted-entry ref="yt:video:v{number}" when="{when}">{by}</at:deleted-entry>'


def test_a_feed_holds_several_entries_and_tombstones() -> None:
    entries = read("youtube", feed("<title>YouTube video feed</title>", video(1), tombstone(2), video(3)))
    assert [(each.event_type, each.account, each.post, each.action) for each in entries] == [
        ("video.update", "UCx", "v1", REFRESH),
        ("video.delete", "UCx", "v2", DELETE),
        ("video.update", "UCx", "v3", REFRESH),
    ]
    assert entries[0].event_time == datetime(2026, 10, 2, 15, 4, 58, 900000, tzinfo=UTC)
    assert entries[1].event_time == datetime(2026, 10, 5, 10, tzinfo=UTC)
    assert entries[0].payload["title"] == "Ä & B"
    assert read("youtube", feed()) == []


@pytest.mark.parametrize(
    "body",
    [
        tombstone(2).encode(),
        b'<?xml version="1.0" encoding="utf-8"?>\n' + tombstone(2).encode(),
        f"<feed>{tombstone(2)}</feed>".encode(),
        feed(tombstone(2)),
    ],
)
def test_a_tombstone_is_read_with_and_without_its_feed(body: bytes) -> None:
    (entry,) = read("youtube", body)
    assert (entry.account, entry.post, entry.action) == ("UCx", "v2", DELETE)


def test_a_video_is_known_by_its_id_and_its_update() -> None:
    entries = read("youtube", feed(video(1), video(2), video(1, "2026-10-03T00:00:00Z"), tombstone(1)))
    assert len({each.fingerprint("youtube") for each in entries}) == 4
    (again,) = read("youtube", feed(video(1, more="<published>2026-01-01T00:00:00Z</published>")))
    assert again.fingerprint("youtube") == entries[0].fingerprint("youtube")


def test_what_a_feed_does_not_name_is_kept_and_nothing_else() -> None:
    (entry,) = read("youtube", feed("<entry><updated>soon</updated></entry>"))
    assert (entry.account, entry.post, entry.action, entry.event_time) == (None, None, None, None)


BOMB = b'<!DOCTYPE f [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><feed>&b;</feed>'


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"<feed>", b"\xff\xfe\x00", BOMB, b'<!DOCTYPE feed SYSTEM "file:///etc/passwd"><feed/>', b"<html/>",
     b'<?xml version="1.0" encoding="nothing"?><feed/>', b'<?xml version="1.0" encoding="utf-7"?><feed/>',
     b"<x:feed/>", b"<at:deleted-entry>", b"<feed>&#0;</feed>",
     b"<feed>" * 33 + b"</feed>" * 33, b"<feed>" * 50_000 + b"</feed>" * 50_000],
)  # fmt: skip
def test_what_is_no_feed_is_refused(body: bytes) -> None:
    with pytest.raises(Unreadable):
        parse("youtube", body)
