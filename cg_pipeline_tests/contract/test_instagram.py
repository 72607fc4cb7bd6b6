"""What only Instagram does: metrics by kind of post, stories of a day, refusals of one post that are none of the
account, tokens that are extended and never refreshed.
"""

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cg_pipeline.errors import AccessDenied, Disconnected, Gone, Refused, Throttled, Unavailable
from cg_pipeline.platforms import instagram as platform
from cg_pipeline.platforms.http import Answer, Request
from cg_pipeline.platforms.instagram import ACCOUNT_FIELDS, POST_FIELDS, Instagram
from cg_pipeline.platforms.records import PostRecord
from cg_pipeline.sandbox import instagram as vendor
from cg_pipeline.sandbox.server import Sandbox, serving
from cg_pipeline.sandbox.world import Counters, Post, World
from cg_pipeline_tests.contract.readings import NOW, Site

Patch = pytest.MonkeyPatch
REAL = Path(__file__).parents[3] / "shared" / "real_data"
RECORDED = REAL / "api_payloads" / "facebook_instagram" / "instagram" / "apidata"
needs_real_data = pytest.mark.skipif(not REAL.exists(), reason="the recorded answers are not beside this checkout")


@pytest.fixture
def instagram(site: Callable[..., Site]) -> Site:
    """An account that has posts of each kind."""
    return site("instagram", 1)


def a_post(media: str, **changes: Any) -> PostRecord:
    return PostRecord("18000000000000001", media, NOW, {}, **changes)


def expected(post: Post, seen: Counters) -> dict[str, int]:
    """Our columns of a post, by its kind."""
    values = {"views": seen.views, "reach": seen.reach, "shares": seen.shares}
    if post.media != "story":
        values |= {"reactions": seen.reactions, "comments": seen.comments, "saves": seen.saves}
    if post.media == "reel":
        return values | {"lifetime_seconds_viewed": seen.seconds_viewed}
    return values | {"subscribers_gained": seen.followers_gained, "profile_visits": seen.profile_visits}


def capture(site: Site) -> dict[str, dict[str, Any]]:
    """One whole reading: all known values by post."""
    reading = site.reading()
    site.connector.account(reading)
    posts = site.posts(reading)
    metrics = site.metrics(posts, reading)
    return {p.native_id: {**p.values, **(metrics[p.native_id].values if p.native_id in metrics else {})} for p in posts}


def worlds(site: Site, native_ids: Iterable[str]) -> list[Post]:
    posts = [site.sandbox.world.post(site.account, native_id, site.sandbox.now) for native_id in native_ids]
    return [post for post in posts if post is not None]


def same_as_world(site: Site, captured: dict[str, dict[str, Any]], without: str | None = None) -> bool:
    """Whether all values are those of the world, but for one column that is missing."""
    known = {p.native_id: expected(p, site.sandbox.world.counters(p, site.sandbox.now)) for p in worlds(site, captured)}
    return captured == {post: {n: v for n, v in values.items() if n != without} for post, values in known.items()}


def the_story(site: Site) -> Post:
    """The account's last story, an hour of it over."""
    sandbox = site.sandbox
    story = next(post for post in sandbox.world.posts(site.account, NOW, private=False) if post.media == "story")
    sandbox.clock.instant = story.published_at + timedelta(hours=1)
    return story


def scripted(site: Site, *answers: tuple[int, Any]) -> list[Request]:
    """Let the site be answered by these, the last one for ever; gives the requests that were made."""
    seen: list[Request] = []

    def transport(request: Request, headers: Mapping[str, str]) -> Answer:
        status, body = answers[min(len(seen), len(answers) - 1)]
        seen.append(request)
        return Answer(status, {}, body if isinstance(body, str) else json.dumps(body))

    site.transport = transport
    return seen


def refused(code: int, message: str, **more: int) -> dict[str, Any]:
    return {"error": {"message": message, "type": "OAuthException", "code": code, **more}}


def test_every_value_is_that_of_the_world_for_each_kind_of_post(instagram: Site) -> None:
    captured = capture(instagram)
    assert same_as_world(instagram, captured)
    assert {post.media for post in worlds(instagram, captured)} == {"reel", "image", "carousel"}


@pytest.mark.parametrize(("posts_each", "pages"), [(12, 1), (160, 2)])
def test_a_capture_takes_the_least_calls(posts_each: int, pages: int) -> None:
    sandbox = Sandbox(World(posts_each=posts_each), datetime(2027, 6, 1, tzinfo=UTC))
    with serving(sandbox) as address:
        instagram = Site(sandbox, sandbox.world.accounts["instagram"][0], f"{address}/instagram")
        posts = len(capture(instagram))
    assert sandbox.requests.total() == instagram.connector.minimum_calls(posts) == 2 + pages + posts
    assert not instagram.retired.new


def test_posts_are_told_by_their_product_and_not_by_their_media_type(instagram: Site) -> None:
    posts = instagram.posts()
    assert [p.media for p in posts] == [p.media for p in worlds(instagram, [p.native_id for p in posts])]
    for post in posts:
        kind, attributes = post.media, post.attributes
        assert attributes["post_type"] == {"reel": "Reel", "image": "Photo", "carousel": "Photo"}[kind]
        assert (attributes["page_id"], attributes["page_name"]) == (post.raw["owner"]["id"], post.raw["username"])
        assert attributes["publish_time"].endswith("+00:00")
        assert ("video_url" in attributes) == (kind == "reel" and "media_url" in post.raw)


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ({"media_type": "VIDEO", "media_product_type": "REELS"}, "reel"),
        ({"media_type": "VIDEO", "media_product_type": "FEED"}, "video"),
        ({"media_type": "IMAGE", "media_product_type": "AD"}, "image"),
        ({"media_type": "VIDEO", "permalink": "https://www.instagram.com/reel/D1/"}, "reel"),
        ({"media_type": "IMAGE", "permalink": "https://instagram.com/stories/ana/1"}, "story"),
        ({"media_type": "HOLOGRAM", "media_product_type": "ROOM"}, "other"),
    ],
)
def test_what_is_new_or_missing_in_a_post_fails_nothing(instagram: Site, item: dict[str, Any], kind: str) -> None:
    scripted(instagram, (200, {"data": [{"id": "18000000000000001", "new_field": {}, **item}]}), (200, {"data": []}))
    (post,) = instagram.posts()
    assert (post.media, post.values, post.published_at) == (kind, {}, None)
    assert ("post_type" in post.attributes) == (kind != "other")


def test_a_story_is_listed_and_counted_while_its_day_lasts(instagram: Site, sandbox: Sandbox) -> None:
    story = the_story(instagram)
    captured = capture(instagram)
    assert story.native_id in captured
    assert same_as_world(instagram, captured)
    (post,) = [post for post in instagram.posts() if post.native_id == story.native_id]
    assert "privacy_status" not in post.attributes
    sandbox.clock.instant = story.published_at + timedelta(hours=24)
    assert story.native_id not in {post.native_id for post in instagram.posts()}
    before = sandbox.requests.total()
    assert instagram.metrics([post]) == {}
    assert sandbox.requests.total() == before  # its numbers are no longer told: asking is no use


def test_too_few_viewers_are_an_answer_and_no_missing_permission(instagram: Site, sandbox: Sandbox) -> None:
    story = the_story(instagram)
    sandbox.clock.instant = story.published_at
    (record,) = instagram.metrics([post for post in instagram.posts() if post.media == "story"]).values()
    assert (record.values, list(record.raw)) == ({}, ["unavailable"])
    assert not instagram.retired.new


def test_a_post_from_before_the_conversion_loses_only_its_own_insights(instagram: Site, monkeypatch: Patch) -> None:
    posts = instagram.posts()
    monkeypatch.setattr(vendor, "CONVERTED_AT", posts[-1].published_at + timedelta(seconds=1))  # type: ignore[operator]
    records = instagram.metrics(posts)
    assert records[posts[-1].native_id].values == {}
    assert "converted" in records[posts[-1].native_id].raw["unavailable"]
    assert posts[-1].values["reactions"]  # the listing knows it all the same
    assert all(records[post.native_id].values["views"] for post in posts[:-1])
    assert not instagram.retired.new


def test_a_metric_of_posts_on_facebook_is_refused_once_a_kind(instagram: Site, monkeypatch: Patch) -> None:
    monkeypatch.setattr(vendor, "NOT_ON_FACEBOOK", {instagram.account.username})
    captured = capture(instagram)
    assert set(instagram.retired.new) == {("facebook_views", kind) for kind in ("reel", "image", "carousel")}
    assert same_as_world(instagram, captured)
    instagram.sandbox.requests.clear()
    assert capture(instagram) == captured
    assert instagram.sandbox.requests.total() == instagram.connector.minimum_calls(len(captured))


def test_metrics_are_asked_only_where_they_are_legal(instagram: Site) -> None:
    for media, product in (("reel", "REELS"), ("image", "FEED"), ("carousel", "FEED"), ("story", "STORY")):
        asking = [m.name for family in Instagram.registry.families(media, NOW.date()).values() for m in family]
        assert set(asking) <= set(vendor.METRICS[product])
    reading = instagram.reading()
    reel = next(post for post in instagram.posts(reading) if post.media == "reel")
    with pytest.raises(Refused, match="does not support the profile_visits metric"):
        reading.caller.get(f"{reading.base_url}/v26.0/{reel.native_id}/insights", metric="views,profile_visits")


def test_where_likes_are_hidden_and_insights_empty_nothing_is_known(instagram: Site, sandbox: Sandbox) -> None:
    sandbox.set_fault(instagram.account, "hidden_counters")
    sandbox.set_fault(instagram.account, "no_permission_empty")
    assert all(values == {} for values in capture(instagram).values())


def test_likes_hidden_in_the_listing_are_taken_from_insights(instagram: Site) -> None:
    item = {"name": "likes", "period": "lifetime", "values": [{"value": 7}]}
    scripted(instagram, (200, {"data": [item]}))
    hidden, shown = instagram.metrics([a_post("image")]), instagram.metrics([a_post("image", values={"reactions": 9})])
    assert [record.values for records in (hidden, shown) for record in records.values()] == [{"reactions": 7}, {}]


def test_insights_that_are_refused_of_one_post_leave_those_of_the_others(instagram: Site, sandbox: Sandbox) -> None:
    posts = instagram.posts()
    sandbox.set_fault(instagram.account, "forbidden", times=1)
    records = [instagram.metrics(posts)[post.native_id] for post in posts]
    assert (records[0].values, list(records[0].raw)) == ({}, ["unavailable"])
    assert all(record.values["views"] for record in records[1:])


def test_a_post_is_gone_only_when_asked_twice(instagram: Site) -> None:
    gone = refused(100, "Object does not exist", error_subcode=33)
    requests = scripted(instagram, (400, gone), (200, {"id": "1"}))
    assert not instagram.connector.lookup(instagram.reading(), ["1"]).gone
    assert requests[0].key != requests[1].key  # answers are kept by key
    scripted(instagram, (400, refused(10, "Application does not have permission for this action")))
    assert not instagram.connector.lookup(instagram.reading(), ["1"]).gone


def test_a_page_that_is_too_much_is_asked_for_in_halves(instagram: Site) -> None:
    heavy = (500, refused(1, "Please reduce the amount of data you're asking for, then retry your request"))
    requests = scripted(instagram, heavy, heavy, (200, {"data": [{"id": "1"}]}), (200, {"data": []}))
    assert len(instagram.posts()) == 1
    assert [request.params["limit"] for request in requests] == [100, 50, 25, 100]
    assert not instagram.slept


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (429, "<html>slow down</html>", Throttled),
        (400, refused(80002, "There have been too many calls to this Instagram account"), Throttled),
        (400, refused(190, "Session is invalid", error_subcode=460), Disconnected),
        (400, refused(100, "Unsupported get request", error_subcode=33), Gone),
        (403, refused(200, "Permissions error"), AccessDenied),
        (400, refused(36104, "The field view_count is for Business Discovery only"), Refused),
        (502, "<html>Bad Gateway</html>", Unavailable),
    ],
)
def test_each_refusal_means_its_own_error(status: int, body: Any, error: type[Exception]) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    with pytest.raises(error) as caught:
        Instagram().check(Answer(status, {}, text), NOW)
    assert type(caught.value) is error


def test_a_token_is_extended_every_week_and_not_in_its_first_day(instagram: Site, sandbox: Sandbox) -> None:
    tokens, issued = instagram.keys.tokens, sandbox.now
    assert not instagram.connector.renew_before(tokens, issued + timedelta(days=6))
    assert instagram.connector.renew_before(tokens, issued + timedelta(days=7))
    sandbox.clock.instant = issued + timedelta(hours=23)
    with pytest.raises(Disconnected, match="24 hours old"):
        instagram.keys.renew(tokens.access)
    sandbox.clock.instant = issued + timedelta(days=7)
    instagram.keys.renew(tokens.access)
    assert instagram.keys.tokens.expires_at == sandbox.now + timedelta(days=60)
    assert instagram.posts()


def test_the_account_is_known_by_its_professional_id_in_both_shapes(instagram: Site, sandbox: Sandbox) -> None:
    account = instagram.connector.account(instagram.reading())
    assert account.platform_id == instagram.account.platform_id != account.raw["id"]
    assert account.follower_count == instagram.account.followers(sandbox.now)
    scripted(instagram, (200, {"data": [{"id": "25", "user_id": "17841400000000001"}]}))
    wrapped = instagram.connector.account(instagram.reading(platform_id="17841400000000001"))
    assert (wrapped.platform_id, wrapped.follower_count) == ("17841400000000001", None)


@needs_real_data
def test_recorded_insights_of_both_generations_are_read(instagram: Site) -> None:
    old = ("insights", {"reach": 5, "saves": 0}, {"impressions": 8, "reach": 5, "saved": 0})
    for name, values, raw in (old, ("insights_new", {}, {"profile_activity": {"bio_link_clicked": 11}})):
        scripted(instagram, (200, (RECORDED / f"medias/{name}.json").read_text()))
        (record,) = instagram.metrics([a_post("image")]).values()
        assert (record.values, record.raw) == (values, raw)


@needs_real_data
def test_the_metrics_of_real_posts_are_those_that_are_asked_for() -> None:
    by_post = dict[str, dict[str, int]]()
    with (REAL / "instagram_insights" / "post_metrics_until_2025-03-17.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            by_post.setdefault(row["id"], {})[row["name"]] = int(float(row["value"]))
    assert len(by_post) > 100
    for known in by_post.values():
        kind = "reel" if "ig_reels_avg_watch_time" in known else "image"
        asking = {m.name for family in Instagram.registry.families(kind, NOW.date()).values() for m in family}
        assert set(known) <= asking
        values = platform._values(a_post(kind), known)
        assert values["views"] == known["views"]
        milliseconds = known.get("ig_reels_video_view_total_time", 0)
        assert values.get("lifetime_seconds_viewed", 0) == pytest.approx(milliseconds / 1000, abs=0.5)


@needs_real_data
def test_fields_and_answers_are_those_of_metas_descriptions(instagram: Site) -> None:
    def described(node: str) -> dict[str, str]:
        found = json.loads((REAL / "specs" / "facebook_business_sdk" / f"{node}.json").read_text())["fields"]
        return {each["name"]: each["type"] for each in found}

    types = {"string": str, "int": int, "bool": bool, "datetime": str, "IGUser": dict}
    types["list<InstagramInsightsValue>"] = list
    media, result = described("IGMedia"), described("InstagramInsightsResult")
    assert set(POST_FIELDS.partition(",children")[0].split(",")) <= media.keys()
    # Both are of Instagram Login only; the description is of the other path.
    assert set(ACCOUNT_FIELDS.split(",")) - {"user_id", "account_type"} <= set(described("IGUser"))
    reading = instagram.reading()
    posts = instagram.posts(reading)
    body = reading.caller.get(f"{reading.base_url}/v26.0/{posts[0].native_id}/insights", metric="views,reach")
    for item, node in [*[(post.raw, media) for post in posts], *[(each, result) for each in body["data"]]]:
        for name in item.keys() - {"children"}:
            assert isinstance(item[name], types[node[name]]), name
