"""Facebook's tokens, lookups and earnings on the sandbox, its recorded answers, and the descriptions of its nodes."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from cg_pipeline.errors import Disconnected, Unavailable
from cg_pipeline.platforms import facebook as module
from cg_pipeline.platforms.contract import Reading, Renewal
from cg_pipeline.platforms.facebook import Facebook
from cg_pipeline.platforms.http import Answer, Caller, Request
from cg_pipeline.platforms.records import App, Tokens
from cg_pipeline.platforms.registry import Retired
from cg_pipeline.sandbox.server import Sandbox
from cg_pipeline.sandbox.world import World
from cg_pipeline_tests.contract.answers import drop, edited, fields, in_json, put
from cg_pipeline_tests.contract.facebook_answers import RECORDED, error, needs_recordings, recorded, replay
from cg_pipeline_tests.contract.readings import NOW, Site, served

Make = Callable[..., Site]


def there(page: Site) -> set[str]:
    return {post.native_id for post in page.sandbox.world.posts(page.account, page.sandbox.now)}


def test_another_token_of_the_page_leaves_that_of_the_person_as_it_is(site: Make) -> None:
    page = site("facebook", 1)
    before = page.keys.tokens
    page.keys.renew(before.access)
    assert page.keys.tokens.access != before.access
    assert (page.keys.tokens.refresh, page.keys.tokens.expires_at) == (before.refresh, before.expires_at)


def test_a_token_that_is_found_expired_within_a_batch_is_renewed_too(site: Make) -> None:
    page = site("facebook")
    expired = json.dumps([{"code": 401, "body": error(190, "Session has expired", 463).text}])
    batches: list[Request] = []

    def edit(request: Request, answer: Answer) -> Answer:
        batches.extend([request] if request.method == "POST" else [])
        return replace(answer, text=expired) if request.method == "POST" and len(batches) == 1 else answer

    assert {post.native_id for post in edited(page, edit).posts()} == there(page)
    assert page.keys.renewed == 1


def test_no_token_of_the_page_is_had_from_a_grant_that_was_revoked(site: Make) -> None:
    page = site("facebook")
    page.sandbox.set_fault(page.account, "revoked_token")
    with pytest.raises(Disconnected, match="connect the site again"):
        page.keys.renew(page.keys.tokens.access)


def test_a_renewal_finds_the_page_among_all_those_of_the_person() -> None:
    with served("facebook", World(accounts_each=130, posts_each=3), 120) as page:
        page.keys.renew(page.keys.tokens.access)
        assert page.connector.account(page.reading()).platform_id == page.account.platform_id
        assert {post.native_id for post in page.posts()} == there(page)


def test_a_page_that_the_person_no_longer_manages_is_disconnected(site: Make) -> None:
    page = site("facebook")

    def edit(request: Request, answer: Answer) -> Answer:
        return replace(answer, text='{"data": []}') if "accounts" in request.url else answer

    with pytest.raises(Disconnected, match="no longer manages"):
        edited(page, edit).keys.renew(page.keys.tokens.access)


@pytest.mark.parametrize("address", ["/accounts", "/debug_token"])
def test_an_answer_that_is_not_whole_does_not_disconnect_the_page(address: str) -> None:
    with served("facebook", World(accounts_each=2, posts_each=3)) as page:
        edited(page, in_json(address, drop("data")))
        with pytest.raises(Unavailable):
            page.keys.renew(page.keys.tokens.access)


def test_the_token_of_the_person_is_extended_in_its_last_two_weeks(site: Make) -> None:
    page = site("facebook")
    tokens, end = page.keys.tokens, page.keys.tokens.expires_at
    assert end == NOW + timedelta(days=60)
    ahead = {days: page.connector.renew_before(tokens, end - timedelta(days=days)) for days in (15, 13, 0)}
    assert ahead == {15: False, 13: True, 0: False}
    assert not page.connector.renew_before(Tokens("a", "b"), NOW)
    page.sandbox.clock.instant = end - timedelta(days=5)
    page.keys.renew(tokens.access)
    assert page.keys.tokens.expires_at == page.sandbox.now + timedelta(days=60)
    assert page.keys.tokens.refresh != tokens.refresh


def test_a_page_token_outlives_that_of_the_person_but_cannot_be_had_again(site: Make) -> None:
    page = site("facebook")
    page.sandbox.clock.instant += timedelta(days=61)
    assert {post.native_id for post in page.posts()} == there(page)
    with pytest.raises(Disconnected):
        page.keys.renew(page.keys.tokens.access)
    with pytest.raises(Disconnected, match="no token of a person"):
        page.connector.renew(Renewal(page.transport, page.base_url, App("id", "secret"), Tokens("a"), NOW))


def test_insights_without_a_permission_are_empty_and_stay_unknown(site: Make) -> None:
    page = site("facebook")
    page.sandbox.set_fault(page.account, "no_permission_empty")
    posts = page.posts()
    metrics = page.metrics(posts)
    assert all(set(post.values) == {"reactions", "comments", "shares"} for post in posts)
    assert all(record.values == {} and record.problem is None for record in metrics.values())


def test_money_and_counters_are_told_as_they_are_even_when_they_fall(site: Make) -> None:
    page = site("facebook")
    posts = page.posts()
    before = page.metrics(posts)
    page.sandbox.set_fault(page.account, "money_restated", percent=50)
    page.sandbox.set_fault(page.account, "counters_fall", percent=90)
    after = page.metrics(posts)
    fallen = {post.native_id: post.values["views"] for post in page.posts()}
    for post in posts:
        assert fallen[post.native_id] == post.values["views"] * 90 // 100
        money = before[post.native_id].values["lifetime_earnings"]
        assert after[post.native_id].values["lifetime_earnings"] == round(money / 2, 2)


def test_a_lookup_finds_posts_as_the_listing_does_and_tells_which_are_gone(site: Make) -> None:
    page = site("facebook")
    posts = page.posts()
    found = page.connector.lookup(page.reading(), ["1", *(post.native_id for post in posts)])
    assert list(found.found) == posts
    assert found.gone == {"1"}


def test_posts_are_gone_only_when_another_can_be_read(site: Make) -> None:
    page = site("facebook")
    assert page.connector.lookup(page.reading(), ["1", "2"]).gone == {"1", "2"}
    edited(page, lambda request, answer: replace(answer, text='{"data": []}') if request.params else answer)
    assert page.connector.lookup(page.reading(), ["1", "2"]).gone == frozenset()


def in_parts(change: Callable[[Any], None]) -> Callable[[Request, Answer], Answer]:
    """The edit that changes each node of a batch."""

    def edit(request: Request, answer: Answer) -> Answer:
        items = answer.json() if request.method == "POST" else []
        for item in items:
            body = json.loads(item["body"])
            change(body)
            item["body"] = json.dumps(body)
        return replace(answer, text=json.dumps(items)) if items else answer

    return edit


def test_a_post_of_a_visitor_on_the_page_is_neither_found_nor_gone(site: Make) -> None:
    page = site("facebook")
    visited, *others = [post.native_id for post in page.posts()]

    def visit(node: Any) -> None:
        if node.get("id", "").endswith(visited):
            node["from"] = {"id": "4", "name": "A visitor"}

    edited(page, in_parts(visit))
    lookup = page.connector.lookup(page.reading(), ["1", visited, *others])
    assert [post.native_id for post in lookup.found] == others
    assert lookup.gone == {"1"}
    alone = page.connector.lookup(page.reading(), ["1", visited])
    assert not alone.found
    assert alone.gone == {"1"}  # that the visitor's can be read proves that the token may read


@pytest.mark.parametrize("owner", [None, {}, {"id": None}])
def test_a_post_that_does_not_tell_whose_it_is_is_of_the_page(site: Make, owner: Any) -> None:
    page = site("facebook")
    edited(page, in_parts(put(owner, "from")))
    native_id = page.posts()[0].native_id
    (post,) = page.connector.lookup(page.reading(), [native_id]).found
    assert (post.native_id, post.attributes["page_id"]) == (native_id, page.account.platform_id)


def test_null_in_a_video_or_in_earnings_is_as_unknown_as_what_is_missing(site: Make) -> None:
    page = site("facebook")
    known = fields([post.raw.get("video") for post in page.posts()]) - {"*.id"} | {"*.insights.data.*.values"}
    for path in (each.removeprefix("*.") for each in known):
        found = []
        for change in (drop(path), put(None, path)):
            posts = edited(page, in_parts(change)).posts()
            money = [record.values for record in page.metrics(posts).values()]
            found.append(([replace(post, raw={}) for post in posts], money))
        assert found[0] == found[1], path


@dataclass
class Kept:
    """The answers of a reading, kept as `capture` keeps them: without headers."""

    answers: dict[str, Answer] = field(default_factory=dict)

    def recall(self, request: Request) -> Answer | None:
        return self.answers.get(request.key)

    def keep(self, request: Request, answer: Answer) -> None:
        self.answers[request.key] = Answer(answer.status, {}, answer.text)


def test_a_reading_is_repeated_from_its_answers_with_all_that_was_refused_in_it(site: Make) -> None:
    page, kept = site("facebook", 1), Kept()
    page.sandbox.set_fault(page.account, "retired_metric", name="post_video_followers")

    def reading() -> Reading:
        page.retired = Retired()
        return page.reading(caller=Caller(page.transport, page.sandbox.clock, page.connector, page.keys, kept))

    first = reading()
    posts = page.posts(first)
    metrics = page.metrics(posts, first)
    asked = sum(page.sandbox.requests.values())
    again = reading()
    assert page.posts(again) == posts
    assert page.metrics(posts, again) == metrics
    assert sum(page.sandbox.requests.values()) == asked
    assert ("post_video_followers", "reel") in again.retired.new


def test_earnings_that_are_denied_are_asked_for_once_and_the_reason_is_kept() -> None:
    def edit(request: Request, answer: Answer) -> Answer:
        if "approximate_earnings" not in str(request.form):
            return answer
        batches.append(request)
        denied = {"code": 403, "body": error(200, "(#200) no role").text}
        return replace(answer, text=json.dumps([denied] * len(answer.json())))

    batches: list[Request] = []
    with served("facebook", World(posts_each=120, hours_between=6)) as page:
        posts = edited(page, edit).posts()
        metrics = page.metrics(posts)
    assert len(batches) == 1
    assert len(metrics) == len(posts) > 100
    assert all("(#200)" in record.raw["unavailable"]["money"] for record in metrics.values())
    assert {column for record in metrics.values() for column in record.values} == {"estimated_cpm"}


def test_a_shared_video_and_kinds_that_are_not_known_never_fail(sandbox: Sandbox) -> None:
    shared = {"id": "1_2", "parent_id": "9_8", "permalink_url": "/reel/7/", "attachments": {"data": [
        {"media_type": "video", "target": {"id": "7"}}]}}  # fmt: skip
    new = {"id": "1_3", "status_type": "hologram", "attachments": {"data": [{"media_type": "hologram"}]}, "new": 1}
    page, asked = replay(sandbox, {"data": [shared, new]})
    first, second = page.posts()
    assert (first.media, first.attributes["permalink"]) == ("reel", "https://www.facebook.com/reel/7/")
    assert first.attributes["crossposting_status"] == {"is_share": True}
    assert len(asked) == 1  # the video is not the sharing post's own
    assert (second.media, second.values, second.raw) == ("any", {}, new)
    assert set(second.attributes) == {"page_id"}


@needs_recordings
def test_the_attributes_of_recorded_posts_are_read_right(sandbox: Sandbox) -> None:
    page, _ = replay(sandbox, recorded("facebook/apidata/posts/feeds_default_fields_p1.json"), {"data": []})
    posts = page.posts()
    photo, link = posts[0], posts[1]
    assert (photo.native_id, photo.media) == ("10158349356748553", "photo")
    assert photo.attributes["mentions"] == ["ninja van singapore", "messenger"]
    assert photo.attributes["publish_time"] == "2021-07-09T19:09:52+00:00"
    assert (link.attributes["post_type"], photo.attributes["page_id"]) == ("Link", "19292868552")
    assert "access_token" not in json.dumps([post.raw for post in posts])


@needs_recordings
def test_a_recorded_listing_without_cursors_goes_on_by_its_dates(sandbox: Sandbox) -> None:
    first, second = (recorded(f"facebook/apidata/posts/feed_fields_p{number}.json") for number in (1, 2))
    page, asked = replay(sandbox, first, second)
    assert len(page.posts()) == len(first["data"]) + len(second["data"])
    assert (asked[1].params["until"], asked[1].params["__paging_token"]) == ("1624385168", "__paging_token")
    assert "access_token" not in asked[1].params


@needs_recordings
def test_recorded_posts_and_videos_and_their_looser_fields_are_read_right(sandbox: Sandbox) -> None:
    many = recorded("facebook/apidata/posts/multi_posts_data.json")
    single = recorded("facebook/apidata/posts/single_post_data.json")
    video = recorded("facebook/models/video.json")
    on_video = {"id": "19292868552_1", "permalink_url": video["permalink_url"], "attachments": {"data": [
        {"media_type": "video", "target": {"id": video["id"]}}]}}  # fmt: skip
    body = {"data": [*many.values(), single, on_video]}
    page, _ = replay(sandbox, body, [{"code": 200, "body": json.dumps(video)}])
    posts = page.posts()
    assert [post.values["reactions"] for post in posts[:-1]][-1] == 1
    assert posts[-2].media == "text"
    assert posts[-1].attributes == {
        "title": "iCook Success Story", "description": video["description"], "post_type": "Video", "duration": 13,
        "permalink": "https://www.facebook.com/FacebookforDevelopers/videos/1192957457884299/",
        "page_id": "19292868552", "aspect_ratio": "1:1", "resolution": "1280x1280", "content_category": "TECHNOLOGY",
        "crossposting_status": {"is_crosspost": False},
    }  # fmt: skip


def described(node: str) -> set[str]:
    """The fields and edges that a node has, by Meta's own description."""
    text = (RECORDED / "specs" / "facebook_business_sdk" / f"{node}.json").read_text(encoding="utf-8")
    spec = json.loads(text)
    edges = {api["endpoint"] for api in spec["apis"] if api.get("endpoint") and api["method"] == "GET"}
    return {field["name"] for field in spec["fields"]} | edges


@needs_recordings
@pytest.mark.parametrize(
    ("node", "fields", "edge"),
    [
        ("PagePost", f"{module.POST_FIELDS},{module.SUMMARIES}", "insights"),
        ("AdVideo", module.VIDEO_FIELDS, "video_insights"),
        ("Page", module.ACCOUNT_FIELDS, "published_posts"),
    ],
)
def test_the_fields_that_are_asked_for_exist(node: str, fields: str, edge: str) -> None:
    names = re.findall(r"(\w+)", re.sub(r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}|\.\w+\([^)]*\)", "", fields))
    assert len(names) > 5
    assert {*names, edge} <= described(node)


def test_the_registry_tells_what_the_platform_can_fill() -> None:
    assert Facebook().registry.columns() == {
        "views", "reach", "impressions", "three_second_views", "one_minute_views", "lifetime_seconds_viewed",
        "views_by_country", "demographic_data", "traffic_source", "subscribers_gained", "lifetime_qualified_views",
        "estimated_cpm", "lifetime_earnings",
    }  # fmt: skip
    assert Facebook().registry.names["total_video_ad_break_ad_cpm"].value(412) == Decimal("4.12")
