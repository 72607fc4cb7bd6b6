"""Recorded and published payloads say what they say, and stay readable or refused whatever is changed in them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cg_pipeline.warehouse.models.enums import WebhookAction
from cg_pipeline.webhooks.entries import Entry
from cg_pipeline.webhooks.payloads import parse
from cg_pipeline_tests.unit.test_webhook_payloads import changed, read

REAL = Path(__file__).parents[3] / "shared" / "real_data" / "webhooks"
FOLDERS = {
    "meta/facebook": "facebook",
    "meta/instagram": "instagram",
    "tiktok": "tiktok",
    "x": "twitter",
    "youtube": "youtube",
}
REFRESH, DELETE, PAUSE = WebhookAction
PAGE, CREATOR = "1234567890321", "act.example12345Example12345Example"

Told = tuple[str, str | None, str | None, WebhookAction | None]

TOLD: dict[str, list[Told]] = {
    "meta/facebook/feed-comment-add-211.json": [("feed.comment.add", PAGE, "901097836652708", REFRESH)],
    "meta/facebook/feed-comment-edited-25.json": [("feed.comment.edited", PAGE, "900728623356296", REFRESH)],
    "meta/facebook/feed-comment-hide.json": [("feed.comment.hide", PAGE, "901097836652708", REFRESH)],
    "meta/facebook/feed-comment-remove-25.json": [("feed.comment.remove", PAGE, "905578656204626", REFRESH)],
    "meta/facebook/feed-like-add-25.json": [("feed.like.add", PAGE, None, None)],  # another page's post
    "meta/facebook/feed-like-remove-25.json": [("feed.like.remove", PAGE, "940663242694065", REFRESH)],
    "meta/facebook/feed-photo-add-25.json": [("feed.photo.add", PAGE, "900767076685784", REFRESH)],
    "meta/facebook/feed-photo-edited.json": [("feed.photo.edited", PAGE, "901097836652708", REFRESH)],
    "meta/facebook/feed-post-add-25.json": [("feed.post.add", PAGE, None, None)],  # a visitor's
    "meta/facebook/feed-post-remove-25.json": [("feed.post.remove", PAGE, "901097836652708", DELETE)],
    "meta/facebook/feed-reaction-add.json": [("feed.reaction.add", PAGE, "98735342324352", REFRESH)],
    "meta/facebook/feed-reaction-edit.json": [("feed.reaction.edit", PAGE, "98735342324352", REFRESH)],
    "meta/facebook/feed-reaction-remove.json": [("feed.reaction.remove", PAGE, "98735342324352", REFRESH)],
    "meta/facebook/feed-share-add-25.json": [("feed.share.add", PAGE, "98735342324352", REFRESH)],
    "meta/facebook/feed-status-add-25.json": [("feed.status.add", PAGE, "930145403745849", REFRESH)],
    "meta/facebook/feed-status-edited-25.json": [("feed.status.edited", PAGE, "949560725137650", REFRESH)],
    "meta/facebook/feed-two-entries-25.json": [
        ("parking", PAGE, None, None),
        ("payment_options", PAGE, None, None),
    ],
    "meta/facebook/feed-video-add.json": [("feed.video.add", PAGE, "901097836652708", REFRESH)],
    "meta/facebook/feed-video-remove-25.json": [("feed.video.remove", PAGE, "900767076685784", DELETE)],
    "meta/facebook/leadgen.json": [("leadgen", PAGE, None, None)],
    "meta/facebook/mention-post-add.json": [("mention", PAGE, None, None)],
    "meta/facebook/permission-granted.wh-1.json": [("permissions.connected.granted", "0", None, None)],
    "meta/facebook/unknown-change-value.json": [("foo", PAGE, None, None)],
    "meta/instagram/wh-comments-2021.json": [("comments", "0", "76543987", REFRESH)],
    "meta/instagram/wh-mentions.json": [("mentions", "0", None, None)],
    "meta/instagram/wh-story_insights.json": [("story_insights", "0", "17887498072083520", REFRESH)],
    "tiktok/authorization_removed.json": [("authorization.removed", CREATOR, None, PAUSE)],
    "tiktok/portability_download_ready_content_as_printed.json": [("portability.download.ready", None, None, None)],
    "tiktok/video_publish_completed.json": [("video.publish.completed", CREATOR, None, REFRESH)],
    "x/tweet_delete_events.json": [("tweet_delete_events", "930524282358325248", "1045405559317569537", DELETE)],
    "x/user_event.json": [("user_event.revoke", "63046977", None, PAUSE)],
    "youtube/deleted_entry_2018.xml": [("video.delete", "UCiC2Q-noJ-2uxQeDKC6IHKg", "xScSTh-gHpQ", DELETE)],
    "youtube/new_or_updated_video_docs.xml": [("video.update", "CHANNEL_ID", "VIDEO_ID", REFRESH)],
}

pytestmark = pytest.mark.skipif(not REAL.exists(), reason="the recorded payloads are not beside this checkout")


def platform_of(name: str) -> str:
    return FOLDERS[name.rpartition("/")[0]]


def entries(name: str) -> list[Entry]:
    return read(platform_of(name), (REAL / name).read_bytes())


def test_every_recorded_payload_is_in_the_table() -> None:
    assert {path.relative_to(REAL).as_posix() for path in REAL.rglob("*") if path.is_file()} == TOLD.keys()


@pytest.mark.parametrize("name", TOLD)
def test_a_recorded_payload_means_what_it_says(name: str) -> None:
    assert [(each.event_type, each.account, each.post, each.action) for each in entries(name)] == TOLD[name]


def test_every_recorded_event_has_an_identity_of_its_own_and_the_time_of_it() -> None:
    found = [(name, each) for name in TOLD for each in entries(name)]
    assert len({each.fingerprint(platform_of(name)) for name, each in found}) == len(found)
    assert [name for name, each in found if each.event_time is None] == []


@pytest.mark.parametrize("name", [name for name in TOLD if name.endswith(".json")])
@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_a_recorded_payload_with_anything_changed_is_read_or_refused(name: str, data: st.DataObject) -> None:
    document: Any = json.loads((REAL / name).read_bytes())
    read(platform_of(name), json.dumps(data.draw(changed(document))).encode())


@pytest.mark.parametrize("name", [name for name in TOLD if name.endswith(".xml")])
@given(place=st.integers(0, 1000), size=st.integers(0, 20), text=st.binary(max_size=5))
def test_a_recorded_feed_with_anything_changed_is_read_or_refused(
    name: str, place: int, size: int, text: bytes
) -> None:
    body = (REAL / name).read_bytes()
    read(platform_of(name), body[:place] + text + body[place + size :])


def test_a_number_and_a_text_are_the_same_id() -> None:
    """`sender_id` is a number where `from.id` is text, and a removal has both."""
    name = "meta/facebook/feed-post-remove-25.json"
    in_text = (REAL / name).read_bytes().replace(b'"id": 1234567890321', b'"id": "1234567890321"')
    assert [each.action for each in parse("facebook", in_text)] == [each.action for each in entries(name)]
