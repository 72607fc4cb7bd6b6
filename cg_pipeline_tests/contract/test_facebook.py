"""What only Facebook does: metrics within listings, batches, families that must not be mixed, earnings without a
currency, two tokens, and refusals that look like something else.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import requests

from cg_pipeline.errors import (
    AccessDenied,
    Disconnected,
    Gone,
    InvalidMetric,
    Refused,
    Throttled,
    TokenExpired,
    Unavailable,
)
from cg_pipeline.platforms.facebook import Facebook
from cg_pipeline.platforms.http import Answer, Request
from cg_pipeline.platforms.records import PostRecord
from cg_pipeline.sandbox.server import Sandbox
from cg_pipeline.sandbox.world import World
from cg_pipeline_tests.contract.answers import edited, overheard
from cg_pipeline_tests.contract.facebook_answers import GONE_ITEM, error, replay
from cg_pipeline_tests.contract.readings import NOW, Site, served

Make = Callable[..., Site]
DOLLARS = {"currency": "USD", "microAmount": "123000000"}


def count(sandbox: Sandbox) -> int:
    return sum(sandbox.requests.values())


def expected(site: Site, post: PostRecord) -> dict[str, Any]:
    """What the world says of a post, in our columns."""
    there = site.sandbox.world.post(site.account, post.native_id, site.sandbox.now)
    assert there is not None
    seen = site.sandbox.world.counters(there, site.sandbox.now)
    values: dict[str, Any] = {
        "views": seen.views, "reach": seen.reach, "reactions": seen.reactions, "comments": seen.comments,
        "shares": seen.shares, "lifetime_earnings": seen.earnings,
    }  # fmt: skip
    if there.media in {"reel", "video"}:
        average = seen.seconds_viewed * 1000 // seen.views
        values |= {
            "three_second_views": seen.three_second_views, "one_minute_views": seen.one_minute_views,
            "lifetime_seconds_viewed": seen.seconds_viewed, "lifetime_qualified_views": seen.qualified_views,
            "avg_watch_percentage": round(Decimal(average) / (10 * Decimal(f"{there.duration}.4")), 4),
        }  # fmt: skip
    if there.media == "reel":
        values["subscribers_gained"] = seen.followers_gained
    if there.media == "video":
        values |= {
            "views_by_country": seen.by_country, "traffic_source": {"page_owned": seen.views, "shared": 0},
            "demographic_data": {"F.25-34": seen.views // 2, "M.25-34": seen.views // 3},
            "estimated_cpm": Decimal("4.12"),
        }  # fmt: skip
    return values


def test_every_counter_of_every_kind_of_post_lands_in_its_column(site: Make) -> None:
    page = site("facebook")
    posts = page.posts()
    metrics = page.metrics(posts)
    assert {post.media for post in posts} == {"reel", "video", "photo", "text"}
    for post in posts:
        assert {**post.values, **metrics[post.native_id].values} == expected(page, post)
        assert metrics[post.native_id].currency == "USD"
        assert post.attributes["post_type"] == post.media.capitalize()


def test_a_post_bears_the_right_part_of_its_id_and_keeps_the_others_but_no_token(site: Make) -> None:
    page = site("facebook")
    posts = page.posts()
    metrics = page.metrics(posts)
    for post in posts:
        assert post.raw["id"] == f"{page.account.platform_id}_{post.native_id}"
        assert post.published_at is not None
        assert post.attributes["publish_time"] == post.published_at.isoformat()
        if post.media in {"reel", "video"}:
            there = page.sandbox.world.post(page.account, post.native_id, NOW)
            assert there is not None
            assert post.raw["video"]["id"] == f"9{post.native_id}"
            assert (post.attributes["asset_tag"], post.attributes["duration"]) == (there.tag, there.duration)
        kept = json.dumps([post.raw, metrics[post.native_id].raw])
        assert "access_token" not in kept
        assert page.keys.tokens.access not in kept


@pytest.mark.parametrize(("posts_each", "hours"), [(12, 60), (120, 6), (330, 2)])
def test_a_full_capture_takes_the_fewest_calls(posts_each: int, hours: int) -> None:
    with served("facebook", World(posts_each=posts_each, hours_between=hours)) as page:
        reading = page.reading()
        page.connector.account(reading)
        posts = page.posts(reading)
        assert len(page.metrics(posts, reading)) == len(posts)
        videos = sum(post.media in {"reel", "video"} for post in posts)
        assert count(page.sandbox) == Facebook().minimum_calls(len(posts), videos)
        assert len({post.native_id for post in posts}) == len(page.sandbox.world.posts(page.account, NOW))


def test_the_calls_for_a_thousand_posts_are_a_page_a_hundred_and_a_batch_for_fifty() -> None:
    assert Facebook().minimum_calls(1000, 500) == 1 + 10 + 10 + 20
    assert Facebook().minimum_calls(1000) == 1 + 10 + 20
    assert Facebook().minimum_calls(0) == 2


@pytest.mark.parametrize(
    ("name", "media", "column"),
    [
        ("post_media_view", "any", "views"),
        ("total_video_view_total_time", "video", "lifetime_seconds_viewed"),
        ("post_video_followers", "reel", "subscribers_gained"),
        ("creator_monetization_qualified_views", "reel", "lifetime_qualified_views"),
        ("total_video_ad_break_ad_cpm", "video", "estimated_cpm"),
        ("monetization_approximate_earnings", "any", "lifetime_earnings"),
        ("content_monetization_earnings", "any", None),
    ],
)
def test_a_retired_metric_costs_its_own_column_only(site: Make, name: str, media: str, column: str | None) -> None:
    page = site("facebook")
    page.sandbox.set_fault(page.account, "retired_metric", name=name)
    reading = page.reading(currency="USD")
    posts = page.posts(reading)
    metrics = page.metrics(posts, reading)
    assert (name, media) in page.retired.new
    assert {refused for refused, _ in page.retired.new} == {name}
    for post in posts:
        wanted = {key: value for key, value in expected(page, post).items() if key != column}
        found = {**post.values, **metrics[post.native_id].values}
        assert {key: value for key, value in found.items() if key != column} == wanted
        assert column not in found or media not in {"any", post.media}
    before = count(page.sandbox)
    page.metrics(page.posts())
    assert count(page.sandbox) - before == 3


def test_metrics_are_asked_for_until_the_day_on_which_they_ended() -> None:
    with served("facebook", World()) as page:
        asked = overheard(page)
        page.posts(page.reading(started_at=datetime(2025, 11, 14, tzinfo=UTC)))
        page.posts(page.reading(started_at=datetime(2026, 6, 15, tzinfo=UTC)))
        page.sandbox.clock.instant = datetime(2026, 6, 15, tzinfo=UTC)
        page.retired.known.clear()
        page.retired.new.clear()
        page.posts()
    listings = [str(request.params) for request in asked if request.method == "GET"]
    assert "post_impressions," in listings[0]
    assert not any("post_impressions" in each for each in listings[-2:])
    assert page.retired.new == {}


def test_a_page_that_earns_nothing_by_ads_loses_that_family_only_and_keeps_the_reason(site: Make) -> None:
    page = site("facebook", 1)
    posts = page.posts()
    assert count(page.sandbox) == 3  # the listing, the videos, the videos without ads
    video = next(post for post in posts if post.media == "video")
    assert "does not earn" in video.raw["unavailable"]["ads"]
    assert "lifetime_qualified_views" not in video.values
    assert video.values["lifetime_seconds_viewed"] > 0
    record = page.metrics(posts)[video.native_id]
    assert (record.values, record.currency, record.problem) == ({}, None, None)


def earnings(sandbox: Sandbox, values: Mapping[str, Any], currency: str | None = None) -> Any:
    data = [{"name": name, "period": "lifetime", "values": [{"value": value}]} for name, value in values.items()]
    body = json.dumps({"id": "1_2", "insights": {"data": data}})
    page, _ = replay(sandbox, [{"code": 200, "body": body}])
    post = PostRecord("2", "photo", None, {}, raw={"id": "1_2"})
    return next(page.connector.metrics(page.reading(currency=currency), [post]))


@pytest.mark.parametrize(
    ("values", "setting", "amount", "currency", "problem"),
    [
        ({"approximate": 12.34}, None, None, None, "without a currency"),
        ({"approximate": 12.34}, "EUR", Decimal("12.34"), "EUR", None),
        (
            {"approximate": 12.34, "content": DOLLARS},
            None,
            Decimal("12.34"),
            "USD",
            None,
        ),
        ({"approximate": 12.34, "content": DOLLARS}, "EUR", None, None, "correct the"),
        ({"approximate": 0, "content": 0}, None, None, None, None),
        ({"approximate": 0}, "EUR", Decimal(0), "EUR", None),
        ({"content": DOLLARS}, "USD", None, None, "micros only"),
        ({"approximate": {"amount": 5}}, "USD", None, None, "no plain number"),
        ({}, "USD", None, None, None),
    ],
)
def test_earnings_count_only_in_a_currency_that_is_known(
    sandbox: Sandbox, values: dict[str, Any], setting: str | None, amount: Any, currency: Any, problem: Any
) -> None:
    names = {"approximate": "monetization_approximate_earnings", "content": "content_monetization_earnings"}
    record = earnings(sandbox, {names[name]: value for name, value in values.items()}, setting)
    assert record.values.get("lifetime_earnings") == amount
    assert record.currency == currency
    assert (problem is None and record.problem is None) or problem in record.problem


def test_the_price_of_ads_in_dollars_never_stands_beside_earnings_in_euros(site: Make) -> None:
    page = site("facebook")
    edited(page, lambda _, answer: replace(answer, text=answer.text.replace('\\"USD\\"', '\\"EUR\\"')))
    posts = page.posts()
    for record in page.metrics(posts).values():
        assert record.currency == "EUR"
        assert set(record.values) == {"lifetime_earnings"}


def test_money_is_never_asked_together_with_other_metrics(site: Make) -> None:
    page = site("facebook")
    asked = overheard(page)
    posts = page.posts()
    page.metrics(posts)
    money = [str(request) for request in asked if "monetization_approximate_earnings" in str(request)]
    assert len(money) == 1
    assert not re.search("post_media_view|post_clicks|video_insights", money[0])
    mixed = "post_clicks,content_monetization_earnings"
    assert "(#2)" in direct(page, f"{posts[0].raw['id']}/insights", metric=mixed)


def direct(page: Site, path: str, **params: Any) -> str:
    """The text of an answer, as the sandbox gives it."""
    headers = {"Authorization": f"Bearer {page.keys.tokens.access}"}
    return requests.get(f"{page.base_url}/v26.0/{path}", params, headers=headers, timeout=5).text


def test_the_sandbox_keeps_the_limits_of_the_real_api(site: Make) -> None:
    page = site("facebook")
    me, posts = page.account.platform_id, page.posts()
    reel = next(post for post in posts if post.media == "reel").raw["video"]["id"]
    assert "limit must not be larger" in direct(page, f"{me}/published_posts", limit=101)
    assert "nonexisting field (reactions)" in direct(page, reel, fields="id,reactions")
    assert "nonexisting field (insights)" in direct(page, f"{reel}/insights", metric="post_clicks")
    assert "period is not supported" in direct(
        page, f"{reel}/video_insights", metric="post_video_followers", period="day"
    )
    assert "3001" in direct(page, f"{posts[0].raw['id']}/insights")
    calls = json.dumps([{"method": "GET", "relative_url": f"v26.0/{me}"}] * 51)
    headers = {"Authorization": f"Bearer {page.keys.tokens.access}"}
    answer = requests.post(f"{page.base_url}/", {"batch": calls}, headers=headers, timeout=5)
    assert "Maximum batch size is 50" in answer.text


@pytest.mark.parametrize(("denied", "lost"), [("reactions.summary", "summaries"), ("insights.metric(post_", "post")])
def test_what_is_denied_of_the_listing_is_left_out_and_the_rest_lands(site: Make, denied: str, lost: str) -> None:
    page = site("facebook")

    def edit(request: Request, answer: Answer) -> Answer:
        return error(10, "(#10) needs a permission") if denied in str(request.params) else answer

    posts = edited(page, edit).posts()
    there = expected(page, posts[0])
    assert "(#10)" in posts[0].raw["unavailable"][lost]
    assert posts[0].values["reactions"] == there["reactions"]
    assert posts[0].values["comments"] == there["comments"]
    assert posts[0].values.get("views") == (there["views"] if lost == "summaries" else None)


def test_a_page_of_the_listing_that_is_too_much_is_asked_smaller(site: Make) -> None:
    page = site("facebook")

    def edit(request: Request, answer: Answer) -> Answer:
        too_much = error(1, "Please reduce the amount of data you're asking for, then retry your request", status=500)
        return too_much if int(request.params.get("limit", 0)) > 10 else answer

    reading = page.reading()
    assert len(edited(page, edit).posts(reading)) == len(page.sandbox.world.posts(page.account, NOW))
    assert (page.slept, reading.caller.usage.retries) == ([], 0)


def test_parts_of_a_batch_that_came_too_late_are_asked_again(site: Make) -> None:
    page = site("facebook")
    sizes: list[int] = []

    def edit(request: Request, answer: Answer) -> Answer:
        if request.method == "GET":
            return answer
        items = answer.json()
        sizes.append(len(items))
        return replace(answer, text=json.dumps([None, *items[1:]])) if len(sizes) == 1 else answer

    posts = edited(page, edit).posts()
    assert sizes == [5, 1]
    assert all("video" in post.raw for post in posts if post.media in {"reel", "video"})


def test_a_batch_of_which_nothing_comes_is_a_fault_and_a_single_odd_node_is_not(site: Make) -> None:
    page = site("facebook")
    edited(page, lambda request, answer: answer if request.method == "GET" else replace(answer, text="[]"))
    with pytest.raises(Unavailable, match="in time"):
        page.posts()
    odd: list[str] = []

    def edit(request: Request, answer: Answer) -> Answer:
        if request.method == "GET":
            return answer
        odd.append("")
        items = answer.json()
        return replace(answer, text=json.dumps([{"code": 400, "body": error(100, "odd").text}, *items[1:]]))

    posts = edited(page, edit).posts()
    assert ["video" in post.raw.get("unavailable", {}) for post in posts].count(True) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(190, "expired", 463, 401), TokenExpired), (error(190, "removed", 458, 401), Disconnected),
        (error(190, "checkpoint", 459), Disconnected), (error(190, "password", 460), Disconnected),
        (error(190, "session", 492), Disconnected), (error(102), TokenExpired),
        (error(4), Throttled), (error(17), Throttled), (error(32), Throttled), (error(341), Throttled),
        (error(613, "calls", 1996), Throttled), (error(80001), Throttled), (error(368), Throttled),
        (error(10), AccessDenied), (error(200), AccessDenied), (error(283), AccessDenied), (error(3), AccessDenied),
        (error(100, "(#100) The value must be a valid insights metric"), InvalidMetric),
        (error(100, "does not exist, cannot be loaded due to missing permissions", 33), Gone),
        (error(100, "cannot be loaded due to missing permission or reviewable feature"), AccessDenied),
        (error(100, "range too long", 1504016), Refused), (error(3001, "none", 1504028), Refused),
        (error(12), Refused), (error(1, status=500), Unavailable), (error(2, status=500), Unavailable),
        (error(1, "Please reduce the amount of data", status=500), Refused), (error(1, status=200), Unavailable),
        (Answer(503, {}, "<html>"), Unavailable), (Answer(200, {}, '{"data": ['), Unavailable),
        (Answer(200, {"facebook-api-version": "v21.0"}, "{}"), Refused),
        (Answer(200, {}, json.dumps([GONE_ITEM, {"code": 400, "body": error(80001).text}])), Throttled),
        (Answer(200, {}, json.dumps([{"code": 401, "body": error(190, "expired", 463).text}])), TokenExpired),
    ],
)  # fmt: skip
def test_every_error_is_what_it_means(answer: Answer, kind: type[Exception]) -> None:
    with pytest.raises(kind) as raised:
        Facebook().check(answer, NOW)
    assert raised.type is kind
