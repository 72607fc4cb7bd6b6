"""What only X does: two passes, private counters for 30 days, edited posts, partial errors, credits, token pairs."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from cg_pipeline import errors
from cg_pipeline.platforms.contract import Renewal
from cg_pipeline.platforms.http import Answer, Http, Request, Transport
from cg_pipeline.platforms.records import App, PostRecord, Tokens
from cg_pipeline.platforms.twitter import MEDIA_FIELDS, POST_FIELDS, USER_FIELDS, Twitter
from cg_pipeline.sandbox.server import Sandbox, serving
from cg_pipeline.sandbox.twitter import NEW_NAMES, ledger
from cg_pipeline.sandbox.world import BEGINNING, Post, World
from cg_pipeline_tests.contract.readings import NOW, Site

REAL = Path(__file__).parents[3] / "shared" / "real_data"
RECORDED, SPEC = REAL / "api_payloads" / "x", REAL / "specs" / "x" / "openapi.json"
needs_real_data = pytest.mark.skipif(not SPEC.exists(), reason=f"there is no {REAL} on this machine")


class Recorder:
    """The network, with a memory of what was asked."""

    def __init__(self) -> None:
        self.http, self.asked = Http(), list[Request]()

    def __call__(self, request: Request, headers: Mapping[str, str]) -> Answer:
        self.asked.append(request)
        return self.http(request, headers)


def canned(*bodies: Any) -> Transport:
    """A transport that gives these answers, one after the other."""
    left = iter(bodies)

    def answer(request: Request, headers: Mapping[str, str]) -> Answer:
        return Answer(200, {}, json.dumps(next(left)))

    return answer


def there(x: Site, native_id: str) -> Post:
    post = x.sandbox.world.post(x.account, native_id, x.sandbox.now)
    assert post is not None
    return post


def asked(x: Site) -> int:
    return sum(x.sandbox.requests.values())


@pytest.fixture
def x(site: Callable[..., Site]) -> Site:
    return site("twitter")


def test_counters_are_the_worlds(x: Site) -> None:
    posts = x.posts()
    private = x.metrics(posts)
    assert len(posts) == len(x.sandbox.world.posts(x.account, NOW, private=False)) > 8
    for post in posts:
        of_world = there(x, post.native_id)
        seen, views = x.sandbox.world.counters(of_world, NOW), post.values.get("views")
        assert post.values == ({} if views is None else {"views": views}) | {
            "impressions": seen.views * 2, "reactions": seen.reactions, "comments": seen.comments,
            "saves": seen.saves, "shares": seen.shares,
        }  # fmt: skip
        assert views == (seen.views if of_world.media == "video" else None)
        assert post.raw["public_metrics"]["quote_count"] == seen.shares // 4
        assert (post.published_at, post.attributes["description"]) == (of_world.published_at, of_world.text)
        if of_world.published_at > NOW - timedelta(days=29):
            assert private[post.native_id].values == {"profile_visits": seen.profile_visits}
        else:
            assert post.native_id not in private
    assert 0 < len(private) < len(posts)


def test_attributes_are_those_of_the_post_and_of_its_media(x: Site) -> None:
    post = next(post for post in x.posts() if post.media == "video")
    of_world, name, media = there(x, post.native_id), x.account.username, post.raw["includes"]["media"][0]
    assert post.attributes == {
        "description": of_world.text, "post_type": "Video", "publish_time": of_world.published_at.isoformat(),
        "permalink": f"https://x.com/{name}/status/{post.native_id}", "page_id": x.account.platform_id,
        "page_name": name, "hashtags": [of_world.text.split("#")[1].split()[0]], "mentions": [name],
        "thumbnail_url": media["preview_image_url"], "video_url": media["variants"][1]["url"],
        "duration": of_world.duration, "aspect_ratio": "16:9", "resolution": "1920x1080",
    }  # fmt: skip
    account = x.connector.account(x.reading())
    assert (account.platform_id, account.username) == (x.account.platform_id, x.account.username)
    assert (account.follower_count, bool(account.cover_image_url)) == (x.account.followers(NOW), True)


@pytest.mark.parametrize(("count", "days"), [(12, 35), (120, 300), (450, 1125)])
def test_a_full_reading_takes_the_least_calls_and_pays_each_post_once(count: int, days: int) -> None:
    sandbox = Sandbox(World(posts_each=count), BEGINNING + timedelta(days=days))
    with serving(sandbox) as address:
        x = Site(sandbox, sandbox.world.accounts["twitter"][0], f"{address}/twitter")
        x.connector.account(x.reading())
        posts = x.posts()
        x.metrics(posts)
    assert asked(x) == x.connector.minimum_calls(len(posts))
    assert ledger(sandbox).billed == len(posts) * Decimal("0.005") + Decimal("0.010")


def test_private_counters_of_a_page_ask_for_its_stretch_of_the_timeline_only() -> None:
    sandbox = Sandbox(World(posts_each=240, hours_between=2), BEGINNING + timedelta(days=25))
    with serving(sandbox) as address:
        x = Site(sandbox, sandbox.world.accounts["twitter"][0], f"{address}/twitter")
        pages = list(x.connector.posts(x.reading()))
        before = asked(x)
        found = [record.native_id for page in pages for record in x.connector.metrics(x.reading(), page)]
    assert asked(x) - before == len(pages) == 3
    assert sorted(found) == sorted(post.native_id for page in pages for post in page)


def test_two_passes_ask_the_same_again_and_go_back_29_days_for_private_counters(x: Site) -> None:
    x.transport = recorder = Recorder()
    for _ in range(2):
        posts = x.posts()
        x.metrics(posts)
    first, second, *again = recorder.asked
    assert [request.key for request in again] == [first.key, second.key]
    assert "start_time" not in first.params
    assert "organic_metrics" not in first.params["tweet.fields"]
    assert datetime.fromisoformat(second.params["start_time"]) >= NOW - timedelta(days=29)
    assert {first.params["exclude"], second.params["exclude"]} == {"retweets"}
    x.sandbox.clock.instant += timedelta(days=60)
    assert x.metrics(posts) == {}
    assert len(recorder.asked) == 4


def test_an_edited_post_keeps_its_first_id_and_is_looked_up_in_its_newest_version(x: Site) -> None:
    edited = next(post for post in x.posts() if post.raw["id"] != post.native_id)
    assert edited.published_at == there(x, edited.native_id).published_at
    assert edited.raw["edit_history_tweet_ids"] == [edited.native_id, edited.raw["id"]]
    assert edited.native_id in x.metrics([edited])
    (found,) = x.connector.lookup(x.reading(), [edited.native_id]).found
    assert (found.native_id, found.values, found.attributes) == (edited.native_id, edited.values, edited.attributes)
    assert x.sandbox.requests["twitter", x.account.platform_id, "/twitter/2/tweets"] == 2


def test_a_lookup_tells_the_deleted_from_the_protected(x: Site) -> None:
    deleted = next(post for post in x.sandbox.world.deletions if post.account == x.account)
    hidden = next(post for post in x.sandbox.world.posts(x.account, NOW) if post.is_private)
    seen = x.posts()[0].native_id
    answer = x.connector.lookup(x.reading(), [deleted.native_id, hidden.native_id, seen])
    assert ([post.native_id for post in answer.found], set(answer.gone)) == ([seen], {deleted.native_id})
    before, ids = asked(x), [str(number) for number in range(1, 251)]
    nothing = x.connector.lookup(x.reading(), ids)  # no `data` at all
    assert (len(nothing.found), set(nothing.gone), asked(x) - before) == (0, set(ids), 3)


def test_the_sandbox_refuses_what_x_refuses(x: Site) -> None:
    get, base, old = x.reading().caller.get, f"{x.base_url}/2", x.posts()[-1].native_id
    with pytest.raises(errors.Refused, match="max_results"):
        get(f"{base}/users/{x.account.platform_id}/tweets", max_results=101)
    with pytest.raises(errors.Refused, match="ids"):
        get(f"{base}/tweets", ids=",".join("1" * 101))
    answer = get(f"{base}/tweets", ids=old, **{"tweet.fields": "non_public_metrics,no_such_field"})
    assert set(answer["data"][0]) == {"id", "text", "edit_history_tweet_ids"}
    assert answer["errors"][0]["type"].endswith("/not-authorized-for-field")


def test_a_timeline_of_nobody_is_refused_and_not_taken_for_an_empty_one(x: Site) -> None:
    with pytest.raises(errors.Refused, match="Not Found Error"):
        x.posts(x.reading(platform_id="1"))
    x.transport = canned({"errors": [{"type": "https://api.twitter.com/2/problems/not-authorized-for-resource"}]})
    with pytest.raises(errors.AccessDenied):
        x.posts()


def test_an_empty_page_that_has_a_token_is_not_the_last(x: Site) -> None:
    item = {"id": "5", "text": "Rock &amp; roll", "created_at": "2026-03-20T10:00:00.000Z"}
    x.transport = canned({"meta": {"result_count": 0, "next_token": "t1"}}, {"data": [item], "meta": {}})
    (post,) = x.posts()
    assert post.attributes["description"] == "Rock & roll"
    assert post.values == {}  # nothing was told, which is not 0


def test_a_page_without_news_ends_the_listing(x: Site) -> None:
    page = {"data": [{"id": "5", "text": "a"}]}
    x.transport = canned(*({**page, "meta": {"next_token": f"t{number}"}} for number in range(9)))
    assert [post.native_id for post in x.posts()] == ["5"]


def test_full_text_names_of_either_vocabulary_and_unknown_media_are_read(x: Site) -> None:
    note = {"text": "Long &lt;text&gt;", "entities": {"hashtags": [{"tag": "Ünique"}, {"tag": "ünique"}]}}
    metrics = {"repost_count": 3, "quote_count": 1, "like_count": None}
    item = {"id": "9", "text": "Long…", "note_post": note, "public_metrics": metrics, "edit_history_post_ids": ["9"]}
    media = {"media": [{"media_key": "99_1", "type": "hologram"}]}
    x.transport = canned({"data": [{**item, "attachments": {"media_keys": ["99_1"]}}], "includes": media, "meta": {}})
    (post,) = x.posts()
    assert (post.attributes["description"], post.attributes["hashtags"]) == ("Long <text>", ["ünique"])
    assert (post.media, "post_type" in post.attributes, post.values) == ("other", False, {"shares": 4})


def test_views_are_of_all_videos_or_unknown_and_no_impressions_are_unknown_before_they_were_counted(x: Site) -> None:
    films = [{"media_key": f"13_{n}", "type": "video", "public_metrics": {"view_count": n}} for n in (7, 8)]
    item = {"attachments": {"media_keys": ["13_7", "13_8"]}, "public_metrics": {"impression_count": 0}}
    old, new = ({**item, "id": year, "created_at": f"{year}-01-01T00:00:00.000Z"} for year in ("2020", "2026"))
    x.transport = canned({"data": [old, new], "includes": {"media": films}, "meta": {}}, {"data": [new], "meta": {}})
    values = [post.values for post in (*x.posts(), *x.posts())]
    assert values == [{"views": 15}, {"views": 15, "impressions": 0}, {"impressions": 0}]


P = "https://api.twitter.com/2/problems/"
FIELD = {"errors": [{"parameters": {"tweet.fields": ["old"]}, "message": "[old]"}], "type": f"{P}invalid-request"}
TABLE = [
    (400, {"title": "Invalid Request", "type": f"{P}invalid-request"}, errors.Refused),
    (400, FIELD, errors.InvalidMetric),
    (401, {"title": "Unauthorized", "type": "about:blank", "status": 401}, errors.TokenExpired),
    (402, {"title": "CreditsDepleted", "type": f"{P}credits", "account_id": 1}, errors.CreditsDepleted),
    (402, "no credits", errors.CreditsDepleted),
    (403, {"reason": "client-not-enrolled", "type": f"{P}client-forbidden"}, errors.AccessDenied),
    (403, {"type": "https://api.x.com/2/problems/unsupported-authentication"}, errors.AccessDenied),
    (403, "<html>a wall</html>", errors.Unavailable),
    (404, {"type": f"{P}resource-not-found", "title": "Not Found Error"}, errors.Refused),
    (404, "", errors.Refused),
    (409, {"title": "ConnectionException"}, errors.Refused),
    (429, {"title": "Too Many Requests", "type": "about:blank", "status": 429}, errors.Throttled),
    (429, {"errors": [{"code": 88, "message": "Rate limit exceeded"}]}, errors.Throttled),
    (429, "Rate limit exceeded", errors.Throttled),
    (429, {"type": f"{P}usage-capped", "period": "Monthly"}, errors.CreditsDepleted),
    (503, {"title": "Service Unavailable"}, errors.Unavailable),
    (502, "<html></html>", errors.Unavailable),
    (200, '{"data": [', errors.Unavailable),
]


@pytest.mark.parametrize(("status", "body", "error"), TABLE)
def test_each_bad_answer_means_its_error(status: int, body: Any, error: type[Exception]) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    with pytest.raises(error) as raised:
        Twitter().check(Answer(status, {"x-rate-limit-reset": str(int(NOW.timestamp()) + 60)}, text), NOW)
    assert type(raised.value) is error
    assert getattr(raised.value, "retry_at", NOW + timedelta(minutes=1)) == NOW + timedelta(minutes=1)


def test_a_renewal_brings_another_pair_for_two_hours(x: Site) -> None:
    before = x.keys.tokens
    x.keys.renew(before.access)
    after = x.keys.tokens
    assert after.expires_at == NOW + timedelta(hours=2)
    assert after.refresh not in {None, before.refresh}
    assert x.connector.renew_before(after, NOW + timedelta(minutes=111))
    assert not x.connector.renew_before(after, NOW + timedelta(minutes=100))


def test_a_refresh_token_that_is_used_twice_kills_the_whole_family(x: Site) -> None:
    old = x.keys.tokens
    x.keys.renew(old.access)
    with pytest.raises(errors.Disconnected, match="connect the site again"):
        x.keys.renewal(old)
    with pytest.raises(errors.Disconnected):  # the new pair is dead too
        x.posts()


def test_dead_tokens_need_the_person_and_a_wrong_app_does_not(x: Site) -> None:
    renewal = Renewal(x.transport, x.base_url, App(), x.keys.tokens, NOW)
    with pytest.raises(errors.ConfigError, match="client id"):
        x.connector.renew(renewal)
    with pytest.raises(errors.Disconnected, match="no refresh token"):
        x.connector.renew(replace(renewal, tokens=Tokens("access")))
    assert x.connector.renew(replace(renewal, app=App("public-client"))).refresh


def test_each_address_has_a_quarter_of_an_hour_of_its_own(x: Site) -> None:
    for _ in range(75):
        x.connector.account(reading := x.reading())
    assert (reading.caller.usage.quota_left, reading.caller.usage.quota_reset) == (0, NOW + timedelta(minutes=15))
    x.sandbox.clock.instant += timedelta(minutes=10)
    with pytest.raises(errors.Throttled) as raised:
        x.connector.account(x.reading())
    assert raised.value.retry_at == NOW + timedelta(minutes=15)
    assert x.posts()
    x.sandbox.clock.instant += timedelta(minutes=5)
    assert x.connector.account(x.reading())


def test_without_credits_nothing_is_asked_again(x: Site) -> None:
    posts, before = x.posts(), asked(x)
    ledger(x.sandbox).credits = Decimal(0)
    with pytest.raises(errors.CreditsDepleted, match="CreditsDepleted"):
        x.metrics(posts)
    ledger(x.sandbox).credits = None
    x.sandbox.set_fault(x.account, "credits_depleted")
    with pytest.raises(errors.CreditsDepleted):
        x.posts()
    assert asked(x) == before + 2


def test_private_counters_that_are_refused_cost_no_public_ones(x: Site) -> None:
    posts = x.posts()
    x.sandbox.set_fault(x.account, "forbidden", times=1)
    refused = list(x.metrics(posts).values())
    x.sandbox.set_fault(x.account, "no_permission_empty")
    partial = list(x.metrics(posts).values())
    assert not any(record.values for record in refused + partial)
    assert "client-not-enrolled" in refused[0].raw["unavailable"]["organic_metrics"]
    assert set(partial[0].raw["unavailable"]) == {"non_public_metrics", "organic_metrics"}
    assert all("reactions" in post.values for post in x.posts())


@needs_real_data
def test_recorded_answers_are_mapped(x: Site) -> None:
    def load(name: str) -> Any:
        return json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))

    def read(body: Any) -> list[PostRecord]:
        x.transport = canned(body, {"meta": {"result_count": 0}})
        return x.posts()

    posts = read(load("apis/timeline/timeline_tweets"))
    assert [post.media for post in posts] == ["text"] * 5
    assert posts[0].published_at == datetime(2021, 2, 23, 18, 7, 7, tzinfo=UTC)
    single = load("apis/tweet/tweet_resp")
    (film,) = read({**single, "data": [single["data"]]})
    assert (film.media, film.attributes["duration"], film.values) == ("video", 137, {})
    item, media = load("models/tweet"), load("models/media")
    other = {"id": "1", "attachments": {"media_keys": [media["media_key"]]}}
    picture, film = read({"data": [item, other], "includes": {"media": [media]}, "meta": {}})
    assert (picture.media, picture.values) == ("animated_gif", {"reactions": 40, "comments": 2, "shares": 9})
    assert (film.values, film.attributes["resolution"]) == ({"views": 6909260}, "1920x1080")


@needs_real_data
def test_the_sandbox_answers_as_the_description_of_the_api_says(x: Site) -> None:
    document = json.loads(SPEC.read_text(encoding="utf-8"))
    schemas = document["components"]["schemas"]
    described = Registry[Any]().with_resource("urn:x", DRAFT202012.create_resource(document))
    x.transport = recorder = Recorder()
    x.connector.account(x.reading())
    x.sandbox.set_fault(x.account, "no_permission_empty")
    x.metrics(x.posts())
    x.connector.lookup(x.reading(), [*(post.native_id for post in x.sandbox.world.posts(x.account, NOW)), "1"])
    for request in list(recorder.asked):
        params = dict(request.params)
        fields = params.pop("tweet.fields", "id").split(",")
        params["post.fields"] = ",".join(NEW_NAMES.get(name, name) for name in fields)
        path = request.url.removeprefix(x.base_url).replace(x.account.platform_id, "{id}")
        good = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        body = x.reading().caller.get(request.url, **params)
        Draft202012Validator({"$ref": f"urn:x{good}"}, registry=described).validate(body)
        assert body["data"]
    for names, kind in ((POST_FIELDS, "Post"), (MEDIA_FIELDS, "Media"), (USER_FIELDS, "User")):
        assert {NEW_NAMES.get(name, name) for name in names.split(",")} <= set(schemas[kind]["properties"])
