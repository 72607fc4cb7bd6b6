"""What only TikTok does: HTTP 200 for failures, pages that may be empty, shares instead of counts, tokens used once.

Nothing recorded of TikTok's API and no description of it is at hand: the sample of the reference stands for them.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from cg_pipeline import errors
from cg_pipeline.platforms.contract import Renewal
from cg_pipeline.platforms.http import Answer, Http, Request, Transport
from cg_pipeline.platforms.records import App, PostRecord, Tokens
from cg_pipeline.platforms.tiktok import VIDEO, Tiktok
from cg_pipeline.sandbox.server import Fault, Sandbox, serving
from cg_pipeline.sandbox.world import Post, World
from cg_pipeline_tests.contract.readings import NOW, Site

LISTING = "/tiktok/business/video/list/"
SAMPLE: dict[str, Any] = {
    "item_id": "7301234567890123456", "create_time": "1764000000", "caption": "d #tag", "media_type": "VIDEO",
    "share_url": "https://www.tiktok.com/@h/video/7301234567890123456?utm_campaign=x", "thumbnail_url": "https://p16",
    "video_duration": 34.2, "video_views": 5120, "reach": 4011, "likes": 310, "comments": 12, "shares": 9,
    "favorites": 41, "total_time_watched": 61440.5, "average_time_watched": 12.0, "full_video_watched_rate": 0.21,
    "new_followers": 6, "profile_views": 33, "video_view_retention": [{"second": "1", "percentage": 0.92}],
    "impression_sources": [{"impression_source": "For You", "percentage": 0.81}],
    "audience_countries": [{"country": "US", "percentage": 0.55}, {"country": "UK", "percentage": 0.2}],
    "audience_genders": [{"gender": "Female", "percentage": 0.6}],
    "audience_types": [{"type": "NEW_VIEWER", "percentage": 0.7}],
}  # fmt: skip


def envelope(code: int, data: Mapping[str, Any] | None = None, message: str = "OK") -> Answer:
    return Answer(200, {}, json.dumps({"code": code, "message": message, "request_id": "1", "data": data or {}}))


def telling(answer: Answer) -> Transport:
    """A transport that gives one answer whatever is asked."""

    def tell(request: Request, headers: Mapping[str, str]) -> Answer:
        return answer

    return tell


@contextmanager
def crowd(posts_each: int) -> Iterator[Site]:
    """An account with so many posts, four a day."""
    sandbox = Sandbox(World(posts_each=posts_each, hours_between=6), NOW)
    with serving(sandbox) as address:
        yield Site(sandbox, sandbox.world.accounts["tiktok"][0], f"{address}/tiktok")


@pytest.fixture
def tiktok(site: Callable[..., Site]) -> Site:
    return site("tiktok")


def mapped(tiktok: Site, **changes: Any) -> PostRecord:
    """The sample with changes, as one page of a listing."""
    tiktok.transport = telling(envelope(0, {"videos": [SAMPLE | changes], "has_more": False}))
    return tiktok.posts()[0]


def fault(site: Site, kind: str, **values: Any) -> None:
    """One of TikTok's own faults, which the common list does not name."""
    site.sandbox.faults.setdefault(site.account.platform_id, []).append(Fault(kind, None, values))


def public(site: Site) -> list[Post]:
    return list(site.sandbox.world.posts(site.account, site.sandbox.now, private=False))


def listings(site: Site) -> int:
    return site.sandbox.requests["tiktok", site.account.platform_id, LISTING]


def test_all_counters_come_with_the_listing(tiktok: Site, sandbox: Sandbox) -> None:
    posts = tiktok.posts()
    assert [post.native_id for post in posts] == [post.native_id for post in public(tiktok)]
    assert {post.media for post in posts} == {"video", "photo"}
    for post, there in zip(posts, public(tiktok), strict=True):
        seen = sandbox.world.counters(there, sandbox.now)
        counted = {name: value for name, value in post.values.items() if not isinstance(value, (dict, Decimal))}
        watched = {"lifetime_seconds_viewed": seen.seconds_viewed} if post.media == "video" else {}
        assert counted == watched | {
            "views": seen.views, "reactions": seen.reactions, "comments": seen.comments, "shares": seen.shares,
            "saves": seen.saves, "reach": seen.reach, "subscribers_gained": seen.followers_gained,
            "profile_visits": seen.profile_visits,
        }  # fmt: skip
    assert tiktok.metrics(posts) == {}
    assert listings(tiktok) == 1


def test_profile_visits_are_unknown_where_there_is_no_business_account(site: Callable[..., Site]) -> None:
    known = {name for post in site("tiktok", 1).posts() for name in post.values}
    assert ("views" in known, "profile_visits" in known) == (True, False)


def test_the_sample_of_the_reference_is_mapped(tiktok: Site) -> None:
    post = mapped(tiktok)
    assert post.native_id == "7301234567890123456"
    assert post.published_at == datetime(2025, 11, 24, 16, tzinfo=UTC)
    assert post.attributes == {
        "description": "d #tag", "post_type": "Video", "publish_time": "2025-11-24T16:00:00+00:00", "duration": 34,
        "permalink": "https://www.tiktok.com/@h/video/7301234567890123456", "page_id": tiktok.account.platform_id,
        "page_name": tiktok.account.username, "privacy_status": "public",
    }  # fmt: skip
    assert post.values == {
        "views": 5120, "reactions": 310, "comments": 12, "shares": 9, "saves": 41, "reach": 4011,
        "lifetime_seconds_viewed": 61440, "avg_watch_percentage": Decimal("35.0877"), "subscribers_gained": 6,
        "profile_visits": 33,
        "traffic_source": {"unit": "share", "of": "views", "shares": {"For You": 0.81}},
        "views_by_country": {"unit": "share", "of": "reach", "shares": {"US": 0.55, "GB": 0.2}},
        "demographic_data": {"unit": "share", "of": "reach", "shares": {"Female": 0.6}},
    }  # fmt: skip
    assert post.raw == SAMPLE


def test_shares_can_not_be_added_up_as_counts(tiktok: Site, sandbox: Sandbox) -> None:
    for post, there in zip(tiktok.posts(), public(tiktok), strict=True):
        seen = sandbox.world.counters(there, sandbox.now)
        shares = {country: round(views / seen.views, 4) for country, views in seen.by_country.items()}
        assert post.values["views_by_country"]["shares"] == shares
        for column in ("views_by_country", "demographic_data", "traffic_source"):
            assert not any(isinstance(value, int | float) for value in post.values[column].values())
    countries = [{"country": "UK", "percentage": 0.1}, {"country": "GB", "percentage": 0.05}, {"country": "FR"}]
    assert mapped(tiktok, audience_countries=countries).values["views_by_country"]["shares"] == {"GB": 0.15}


def test_what_is_null_blank_or_empty_is_unknown(tiktok: Site) -> None:
    nothing = dict.fromkeys(name for family in VIDEO[1:] for name in family.fields)
    post = mapped(tiktok, **nothing | {"reach": "", "audience_countries": []}, video_duration=None, caption=None)
    assert post.values == {}
    assert {"description", "duration"} & set(post.attributes) == set()
    assert mapped(tiktok, video_views=0).values["views"] == 0


def test_odd_forms_are_read_and_a_photo_has_no_watch_time(tiktok: Site) -> None:
    odd = mapped(tiktok, create_time=1764000000, item_id=7301234567890123456, favorites=None, favorities="41")
    assert odd.native_id == "7301234567890123456"
    assert odd.attributes["publish_time"] == "2025-11-24T16:00:00+00:00"
    assert odd.values["saves"] == 41
    unknown = mapped(tiktok, media_type="HOLOGRAM", something_new={"a": 1})
    assert "post_type" not in unknown.attributes
    assert unknown.values["lifetime_seconds_viewed"] == 61440
    assert unknown.raw["something_new"] == {"a": 1}
    photo = mapped(tiktok, media_type="PHOTO", video_duration=0.0, total_time_watched=0.0, average_time_watched=0.0)
    assert photo.attributes["post_type"] == "Photo"
    assert not {"duration", "lifetime_seconds_viewed", "avg_watch_percentage"} & {*photo.attributes, *photo.values}


def test_the_account_is_one_call_and_is_read_without_its_followers_too(tiktok: Site, sandbox: Sandbox) -> None:
    account = tiktok.connector.account(tiktok.reading())
    assert (account.platform_id, account.username) == (tiktok.account.platform_id, tiktok.account.username)
    assert account.follower_count == tiktok.account.followers(sandbox.now)
    assert sum(sandbox.requests.values()) == 1
    fault(tiktok, "missing_scope", scope="user.info.stats")
    account = tiktok.connector.account(tiktok.reading())
    assert (account.bio, account.follower_count) == (f"All about {tiktok.account.name}", None)
    assert "user.info.stats" in account.raw["unavailable"]["stats"]


@pytest.mark.parametrize("posts_each", [12, 120])
def test_no_more_is_asked_than_must_be(posts_each: int) -> None:
    with crowd(posts_each) as site:
        site.connector.account(site.reading())
        posts = site.posts()
        site.metrics(posts)
    assert len({post.native_id for post in posts}) == len(posts) == len(public(site)) > posts_each * 0.8
    assert sum(site.sandbox.requests.values()) == site.connector.minimum_calls(len(posts))
    assert site.connector.minimum_calls(1000) == 51


def test_short_and_empty_pages_do_not_end_the_listing() -> None:
    with crowd(60) as site:
        there = [post.native_id for post in public(site)]
        hidden = there[:23]
        fault(site, "under_review", ids=hidden)
        pages = list(site.connector.posts(site.reading()))
        looked_up = site.connector.lookup(site.reading(), hidden[:2])
    assert [len(page) for page in pages[:2]] == [0, 17]
    assert [post.native_id for page in pages for post in page] == there[23:]
    assert (list(looked_up.found), looked_up.gone) == ([], frozenset())


def test_the_listing_starts_at_the_start_of_the_reading_and_repeats_itself(tiktok: Site) -> None:
    asked, send = [], tiktok.transport

    def note(request: Request, headers: Mapping[str, str]) -> Answer:
        asked.append(request)
        return send(request, headers)

    tiktok.transport = note
    tiktok.posts()
    tiktok.posts()
    first, second = asked
    assert first.key == second.key
    assert first.params["cursor"] == str(int(NOW.timestamp() * 1000))
    assert json.loads(first.params["fields"])[0] == "item_id"


def test_a_listing_that_breaks_off_is_not_taken_for_whole(tiktok: Site) -> None:
    tiktok.transport = telling(envelope(0, {"videos": [SAMPLE], "has_more": True}))
    with pytest.raises(errors.Unavailable, match="not whole"):
        tiktok.posts()


def test_posts_are_looked_up_twenty_at_a_time_and_none_is_certainly_gone() -> None:
    with crowd(60) as site:
        deleted = next(post for post in site.sandbox.world.deletions if post.account == site.account)
        site.sandbox.clock.instant += timedelta(days=40)
        there = [post.native_id for post in public(site)][:40]
        answer = site.connector.lookup(site.reading(), [*there, deleted.native_id])
    assert {post.native_id for post in answer.found} == set(there)
    assert all(post.values["views"] for post in answer.found)
    assert answer.gone == frozenset()
    assert listings(site) == 3


def test_an_invalid_id_does_not_cost_the_others(tiktok: Site) -> None:
    there = [post.native_id for post in public(tiktok)][:3]
    answer = tiktok.connector.lookup(tiktok.reading(), [there[0], "not-an-id", *there[1:]])
    assert ({post.native_id for post in answer.found}, answer.gone) == (set(there), frozenset())


@pytest.mark.parametrize(("kind", "values"), [("no_permission_empty", {}), ("counters_delayed", {"days": 400})])
def test_metrics_that_are_not_told_are_unknown(tiktok: Site, kind: str, values: dict[str, Any]) -> None:
    fault(tiktok, kind, **values)
    posts = tiktok.posts()
    assert len(posts) == len(public(tiktok))
    assert not any(post.values for post in posts)


def test_counters_that_have_fallen_are_kept(tiktok: Site, sandbox: Sandbox) -> None:
    before = {post.native_id: post.values["views"] for post in tiktok.posts()}
    sandbox.set_fault(tiktok.account, "counters_fall", percent=90)
    for post in tiktok.posts():
        assert post.values["views"] == before[post.native_id] * 90 // 100


def test_a_mistake_in_another_parameter_retires_no_field(tiktok: Site) -> None:
    tiktok.transport = telling(envelope(40002, message="business_id: no such reach of shares"))
    with pytest.raises(errors.Refused, match="business_id"):
        tiktok.posts()
    assert tiktok.retired.new == {}


def test_without_the_permission_for_insights_the_counters_land_with_the_reason(tiktok: Site) -> None:
    fault(tiktok, "missing_scope", scope="video.insights")
    posts = tiktok.posts()
    assert all(set(post.values) == {"views", "reactions", "comments", "shares", "saves"} for post in posts)
    assert "video.insights" in posts[0].raw["unavailable"]["insights"]
    assert listings(tiktok) == 4  # all at once, then each family
    known = tiktok.reading(scope="user.info.basic,video.list")
    assert [post.values for post in tiktok.posts(known)] == [post.values for post in posts]
    assert listings(tiktok) == 5


MEANINGS = {
    errors.Refused: (40000, 40002, 40006, 40007, 40011, 40113, 40118, 40125, 49999),
    errors.AccessDenied: (40001,),
    errors.Gone: (40053,),
    errors.Disconnected: (40101, 40103, 40107, 40110),
    errors.TokenExpired: (40102, 40104, 40105, 40106),
    errors.Unavailable: (50000, 50002, 51305, 59999),
    errors.Throttled: (40100, 40016, 40133, 60001),
}
MIDNIGHT = datetime(2026, 4, 6, tzinfo=UTC)
IN_FIVE_MINUTES = NOW + timedelta(minutes=5)
PAUSES = {40100: NOW + timedelta(seconds=2), 40016: IN_FIVE_MINUTES, 60001: IN_FIVE_MINUTES, 40133: MIDNIGHT}


@pytest.mark.parametrize(("error", "code"), [(error, code) for error, codes in MEANINGS.items() for code in codes])
def test_each_code_means_an_error_although_http_says_200(error: type[errors.CgError], code: int) -> None:
    with pytest.raises(error, match=f"code {code}, request 1") as caught:
        Tiktok().check(envelope(code, message="Said so."), NOW)
    assert type(caught.value) is error
    assert getattr(caught.value, "retry_at", None) == PAUSES.get(code)


def test_answers_that_are_not_tiktoks_are_told_apart() -> None:
    check = Tiktok().check
    with pytest.raises(errors.Refused, match="end with a slash"):
        check(Answer(404, {}, "404 page not found"), NOW)
    with pytest.raises(errors.Throttled) as caught:
        check(Answer(429, {"retry-after": "7"}, "slow down"), NOW)
    assert caught.value.retry_at == NOW + timedelta(seconds=7)
    for text in ("<html></html>", "[]", "{}", '{"code": "x"}', '{"code":0,"da'):
        with pytest.raises(errors.Unavailable):
            check(Answer(200, {}, text), NOW)
    with pytest.raises(errors.InvalidMetric):
        check(envelope(40002, message="fields: Invalid value 'reach'."), NOW)


def test_a_partial_success_lands_with_its_reason(tiktok: Site) -> None:
    tiktok.transport = telling(envelope(20001, {"videos": [SAMPLE], "has_more": False}, "Some data is late."))
    (post,) = tiktok.posts()
    assert post.values["views"] == 5120
    assert post.raw["unavailable"] == {"partial": "Some data is late."}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"max_count": "21"}, 40002), ({"max_count": "x"}, 40002), ({"fields": "item_id"}, 40002),
        ({"fields": '["likes"]'}, 40002), ({"fields": '["item_id","save_count"]'}, 40002),
        ({"business_id": "another"}, 40001), ({"filters": json.dumps({"video_ids": ["7" * 19] * 21})}, 40011),
    ],
)  # fmt: skip
def test_the_sandbox_refuses_what_tiktok_refuses(tiktok: Site, changes: dict[str, str], code: int) -> None:
    params = {"business_id": tiktok.account.platform_id, "fields": '["item_id"]'} | changes
    headers = tiktok.connector.authorize(tiktok.keys.current())
    answer = Http()(Request("GET", f"{tiktok.base_url}/business/video/list/", params), headers)
    assert (answer.status, answer.json()["code"]) == (200, code)
    without_slash = Http()(Request("GET", f"{tiktok.base_url}/business/video/list", params), headers)
    assert (without_slash.status, without_slash.text) == (404, "404 page not found")


def test_a_renewal_brings_another_pair_and_tells_the_scope(tiktok: Site, sandbox: Sandbox) -> None:
    old = tiktok.keys.tokens
    tiktok.keys.renew(old.access)
    new = tiktok.keys.tokens
    assert new.refresh not in {None, old.refresh}
    assert new.expires_at == sandbox.now + timedelta(days=1)
    assert "video.insights" in (new.scope or "")


def test_a_refresh_token_that_is_used_twice_disconnects_the_site(tiktok: Site) -> None:
    old = tiktok.keys.tokens
    tiktok.keys.renew(old.access)
    renewal = Renewal(Http(), tiktok.base_url, App("sandbox", "sandbox-secret"), old, NOW)
    for tokens in (old, replace(old, refresh=None)):
        with pytest.raises(errors.Disconnected, match=r"[Cc]onnect the site again"):
            tiktok.connector.renew(replace(renewal, tokens=tokens))
    with pytest.raises(errors.Disconnected):
        tiktok.posts()  # both workers have lost it


def test_a_mistake_in_the_app_does_not_disconnect_the_site(tiktok: Site) -> None:
    with pytest.raises(errors.Refused, match="client_id") as caught:
        tiktok.connector.renew(Renewal(Http(), tiktok.base_url, App(), tiktok.keys.tokens, NOW))
    assert type(caught.value) is errors.Refused


def test_tokens_are_renewed_half_an_hour_ahead_whatever_their_life(tiktok: Site) -> None:
    for life in (timedelta(hours=2), timedelta(days=1)):
        tokens = Tokens("a", "r", NOW + life)
        assert not tiktok.connector.renew_before(tokens, NOW + life - timedelta(minutes=31))
        assert tiktok.connector.renew_before(tokens, NOW + life - timedelta(minutes=30))
    assert not tiktok.connector.renew_before(Tokens("a"), NOW)


def test_the_quota_of_the_day_is_gone_until_midnight(tiktok: Site, sandbox: Sandbox) -> None:
    sandbox.set_fault(tiktok.account, "throttled", seconds=900)
    with pytest.raises(errors.Throttled) as caught:
        tiktok.posts()
    assert (caught.value.retry_at, tiktok.slept) == (MIDNIGHT, [])
