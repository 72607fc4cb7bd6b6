"""What only YouTube does: two APIs, reports of Pacific days that lag, money apart, refusals that all bear HTTP 403."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cg_pipeline import errors
from cg_pipeline.platforms import youtube as real
from cg_pipeline.platforms.http import Answer, Http, Request
from cg_pipeline.platforms.records import PostRecord, Tokens
from cg_pipeline.platforms.youtube import Youtube
from cg_pipeline.platforms.youtube_metrics import MONEY_SCOPE, TRAFFIC
from cg_pipeline.sandbox import youtube as fake
from cg_pipeline.sandbox.server import Sandbox, serving
from cg_pipeline.sandbox.world import BEGINNING, Counters, World
from cg_pipeline_tests.contract.readings import NOW, Site

DATA = Path(__file__).parents[3] / "shared" / "real_data"
READY, PAID = date(2026, 4, 3), date(2026, 4, 2)  # the last days of counters and of money on 5 April at noon
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the recorded answers are not in this checkout")


@pytest.fixture
def youtube(site: Callable[..., Site]) -> Site:
    return site("youtube")


@contextmanager
def another(world: World, now: datetime = NOW, number: int = 0) -> Iterator[Site]:
    sandbox = Sandbox(world, now)
    with serving(sandbox) as address:
        yield Site(sandbox, sandbox.world.accounts["youtube"][number], f"{address}/youtube")


class Tape:
    """Keeps what was asked and answered; answers by a function, else over the network."""

    def __init__(self, answer: Callable[[Request], Any] | None = None) -> None:
        self.asked, self.answers = list[Request](), list[tuple[str, Any]]()
        self._answer, self._http = answer, Http()

    def __call__(self, request: Request, headers: Mapping[str, str]) -> Answer:
        self.asked.append(request)
        answer = Answer(200, {}, json.dumps(self._answer(request))) if self._answer else self._http(request, headers)
        self.answers.append((request.url.rpartition("/")[2], json.loads(answer.text)))
        return answer


def counters(site: Site, native_id: str, day: date) -> Counters:
    """What the world tells of a post at the end of a Pacific day."""
    post = site.sandbox.world.post(site.account, native_id, site.sandbox.now)
    assert post is not None
    return site.sandbox.world.counters(post, fake.end_of(day))


def calls(site: Site) -> int:
    return sum(site.sandbox.requests.values())


def test_counters_are_those_of_the_last_day_that_is_ready(youtube: Site) -> None:
    metrics = youtube.metrics(youtube.posts())
    assert len(metrics) > 8
    for native_id, record in metrics.items():
        seen, paid, values = counters(youtube, native_id, READY), counters(youtube, native_id, PAID), record.values
        told = {"views": seen.views, "reactions": seen.reactions, "comments": seen.comments, "shares": seen.shares,
                "saves": seen.saves, "subscribers_gained": seen.followers_gained, "views_by_country": seen.by_country,
                "lifetime_seconds_viewed": seen.seconds_viewed // 60 * 60}  # fmt: skip
        assert {name: values[name] for name in told} == told
        assert isinstance(values["avg_watch_percentage"], Decimal)
        for breakdown in ("traffic_source", "device_type"):
            assert sum(values[breakdown].values()) == seen.views
        if paid.views:  # the latest one is not in the report of money yet
            assert (values["lifetime_earnings"], record.currency) == (paid.earnings, "USD")
            assert values["lifetime_qualified_views"] == paid.qualified_views


def test_the_day_that_is_really_covered_stays_in_raw(youtube: Site) -> None:
    posts, day = youtube.posts(), youtube.sandbox.now.date()
    first = youtube.metrics(posts)
    assert all(record.raw["coverage"] == {"main": str(READY), "money": str(PAID)} for record in first.values())
    youtube.sandbox.clock.instant += timedelta(days=3)
    settled = youtube.metrics(posts, youtube.reading(day=day))
    for native_id, record in settled.items():
        assert set(record.raw["coverage"].values()) == {"2026-04-05"}
        assert record.values["views"] == counters(youtube, native_id, day).views
        assert record.values["lifetime_earnings"] == counters(youtube, native_id, day).earnings
    assert sum(r.values["views"] for r in settled.values()) > sum(r.values["views"] for r in first.values())


def test_a_past_day_can_be_read_and_knows_nothing_of_later_posts(youtube: Site) -> None:
    day, posts = date(2026, 3, 12), youtube.posts()
    metrics = youtube.metrics(posts, youtube.reading(day=day, is_open_day=False))
    assert set(metrics) == {post.native_id for post in posts if real._published(post) <= day}
    for native_id, record in metrics.items():
        assert record.values["views"] == counters(youtube, native_id, day).views


@pytest.mark.parametrize(("world", "later"), [(World(), 0), (World(2, 120), 290), (World(2, 620, hours_between=1), 1)])
def test_a_reading_takes_the_least_calls(world: World, later: int) -> None:
    with another(world, NOW + timedelta(days=later)) as site:
        site.connector.account(site.reading())
        assert site.metrics(posts := site.posts())
        assert len(posts) > world.posts_each * 0.9
        assert calls(site) == site.connector.minimum_calls(len(posts))


def test_videos_hold_private_ones_and_keep_public_counters_in_raw_only(youtube: Site) -> None:
    there = youtube.sandbox.world.posts(youtube.account, youtube.sandbox.now)
    assert any(post.is_private for post in there)
    for found, post in zip(youtube.posts(), there, strict=True):
        assert found.native_id == post.native_id
        assert (found.values, found.media, found.published_at) == ({}, post.media, post.published_at)
        assert isinstance(found.raw["statistics"]["viewCount"], str)
        is_short, told = post.media == "short", found.attributes
        assert (told["duration"], told["page_id"]) == (post.duration, youtube.account.platform_id)
        assert told["privacy_status"] == ("private" if post.is_private else "public")
        assert (told["post_type"], told["aspect_ratio"]) == (("Reel", "9:16") if is_short else ("Video", "16:9"))
    account = youtube.connector.account(youtube.reading())
    assert (account.platform_id, account.username) == (youtube.account.platform_id, youtube.account.username)
    assert account.follower_count == youtube.account.followers(youtube.sandbox.now)


def test_without_activity_nothing_is_known_and_never_zero(youtube: Site) -> None:
    posts = youtube.posts()
    youtube.sandbox.clock.instant = next(p.published_at for p in reversed(posts) if p.published_at) + timedelta(hours=1)
    assert youtube.metrics(posts) == {}
    youtube.sandbox.clock.instant = BEGINNING  # a channel without any video has no list of them
    assert youtube.posts() == []


def test_a_channel_that_earns_nothing_has_unknown_earnings_and_all_else(site: Callable[..., Site]) -> None:
    youtube = site("youtube", 1)
    youtube.transport = tape = Tape()
    metrics = youtube.metrics(youtube.posts())
    assert metrics
    for record in metrics.values():
        assert not {"lifetime_earnings", "estimated_cpm", "lifetime_qualified_views"} & set(record.values)
        assert {"views", "views_by_country", "traffic_source", "device_type"} <= set(record.values)
        assert "forbidden" in record.raw["unavailable"]["money"]
    assert sum("currency" in request.params for request in tape.asked) == 1


def test_without_the_scope_money_is_not_asked_for(youtube: Site) -> None:
    youtube.transport = tape = Tape()
    reading = youtube.reading(scope="https://www.googleapis.com/auth/youtube.readonly")
    metrics = youtube.metrics(youtube.posts(reading), reading).values()
    assert all(MONEY_SCOPE in record.raw["unavailable"]["money"] for record in metrics)
    assert not any("currency" in request.params for request in tape.asked)


def test_money_of_a_channel_in_euros_comes_in_dollars_because_it_is_asked_so() -> None:
    with another(World(accounts_each=3), number=1) as site:
        paid = {n: r for n, r in site.metrics(site.posts()).items() if "lifetime_earnings" in r.values}
        assert paid
        for native_id, record in paid.items():
            earned = counters(site, native_id, PAID).earnings or Decimal(0)
            dollars = round(earned / fake.RATES["EUR"], 3)
            assert (record.values["lifetime_earnings"], record.currency) == (dollars, "USD")


def test_a_strange_video_is_found_by_halves_and_the_others_land(youtube: Site) -> None:
    posts = youtube.posts()
    strange = PostRecord("-foreign_id", "video", posts[3].published_at, {})
    records = list(youtube.connector.metrics(youtube.reading(), [*posts, strange]))
    assert [record.native_id for record in records if record.problem] == ["-foreign_id"]
    assert {r.native_id for r in records if not r.problem} == set(youtube.metrics(posts))
    assert all("lifetime_seconds_viewed" in record.values for record in records if not record.problem)
    youtube.transport = tape = Tape()
    all_strange = [PostRecord(f"strange{n:04}", "video", NOW - timedelta(days=9), {}) for n in range(400)]
    with pytest.raises(errors.Refused, match="Invalid video"):
        youtube.metrics(all_strange)
    assert len(tape.asked) < 250  # and not 800: it is not the videos then


def test_lookup_tells_deleted_videos_from_those_of_others(site: Callable[..., Site], sandbox: Sandbox) -> None:
    youtube, other = site("youtube"), site("youtube", 1)
    own = [post.native_id for post in sandbox.world.posts(youtube.account, sandbox.now)]
    gone = [post for post in sandbox.world.deletions if post.account == youtube.account and not post.is_there(NOW)]
    foreign = sandbox.world.posts(other.account, sandbox.now, private=False)[0].native_id
    lookup = youtube.connector.lookup(youtube.reading(), [*own, gone[0].native_id, foreign])
    assert [post.native_id for post in lookup.found] == own
    assert lookup.gone == {gone[0].native_id}


def test_calls_for_traffic_sources_keep_to_their_limit() -> None:
    posts = [PostRecord(f"v{n:010}", "video", NOW - timedelta(days=4 * n), {}) for n in range(1000)]
    site_calls = list(real._calls(TRAFFIC, posts, NOW.date()))
    assert [native_id for _, ids in site_calls for native_id in ids] == [post.native_id for post in posts]
    for start, ids in site_calls:
        assert len(ids) * ((NOW.date() - start).days + 1) <= 50_000
    assert len(site_calls) < 50  # and not 77, by 13 of the oldest a call


def test_viewers_are_asked_video_by_video_only_if_wanted(youtube: Site) -> None:
    metrics = youtube.metrics(posts := youtube.posts(), youtube.reading(demographics=True))
    least = youtube.connector.minimum_calls(len(posts)) - 1  # the account was not read
    assert calls(youtube) == least + youtube.connector.calls_for_demographics * len(posts)
    told = [record.values["demographic_data"] for record in metrics.values() if "demographic_data" in record.values]
    assert {(viewers["age18-24.female"], sum(viewers.values())) for viewers in told} == {(31.5, 100)}


def test_empty_reports_leave_all_unknown(youtube: Site) -> None:
    youtube.sandbox.set_fault(youtube.account, "no_permission_empty")
    assert youtube.metrics(youtube.posts()) == {}


def test_a_renewal_leaves_the_refresh_token_and_tells_the_scope(youtube: Site) -> None:
    before = youtube.keys.tokens
    youtube.keys.renew(before.access)
    after = youtube.keys.tokens
    assert (after.refresh, after.access != before.access) == (before.refresh, True)
    assert MONEY_SCOPE in (after.scope or "").split()
    assert after.expires_at == youtube.sandbox.now + timedelta(seconds=3599)
    due = [youtube.connector.renew_before(after, NOW + timedelta(minutes=minutes)) for minutes in (54, 56)]
    assert due == [False, True]


def test_without_a_refresh_token_the_person_is_needed(youtube: Site) -> None:
    youtube.keys.tokens = Tokens("access", None)
    with pytest.raises(errors.Disconnected, match="no refresh token"):
        youtube.keys.renew("access")


def test_a_grant_revoked_within_a_reading_ends_it_and_is_no_lack_of_a_family(youtube: Site) -> None:
    posts, http = youtube.posts(), Http()

    def revoking(request: Request, headers: Mapping[str, str]) -> Answer:
        if request.params.get("dimensions") == "video,country":
            youtube.sandbox.set_fault(youtube.account, "revoked_token")
        return http(request, headers)

    youtube.transport = revoking
    with pytest.raises(errors.Disconnected):
        youtube.metrics(posts)


def test_the_quota_is_gone_until_midnight_pacific(youtube: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "UNITS_A_DAY", 2)
    youtube.posts()
    with pytest.raises(errors.Throttled) as caught:
        youtube.posts()
    assert (caught.value.retry_at, youtube.slept) == (datetime(2026, 4, 6, 7, tzinfo=UTC), [])
    youtube.sandbox.clock.instant = datetime(2026, 4, 6, 7, tzinfo=UTC)
    assert youtube.posts()


ERRORS = {
    "403 quotaExceeded": errors.Throttled, "403 dailyLimitExceeded": errors.Throttled,
    "403 rateLimitExceeded": errors.Throttled, "403 userRateLimitExceeded": errors.Throttled,
    "429 RESOURCE_EXHAUSTED": errors.Throttled, "403 insufficientPermissions": errors.AccessDenied,
    "403 forbidden": errors.AccessDenied, "401 youtubeSignupRequired": errors.AccessDenied,
    "403 accessNotConfigured": errors.ConfigError, "401 authError": errors.TokenExpired,
    "404 playlistNotFound": errors.Gone, "404 videoNotFound": errors.Gone, "400 invalidValue": errors.Refused,
    "400 invalidPageToken": errors.Refused, "500 backendError": errors.Unavailable,
}  # fmt: skip


@pytest.mark.parametrize(("told", "kind"), ERRORS.items())
def test_every_error_is_told_by_its_reason(told: str, kind: type[Exception]) -> None:
    status, reason = int(told[:3]), told[4:]
    body = {"error": {"code": status, "message": "M", "errors": [{"message": "M", "reason": reason}]}}
    with pytest.raises(kind) as caught:
        Youtube().check(Answer(status, {}, json.dumps(body)), NOW)
    assert type(caught.value) is kind


@pytest.mark.parametrize(("text", "seconds"), {"P1DT2H": 93600, "P0D": None, "PT3M": 180, "PT1M0.5S": 60}.items())
def test_durations_and_shorts(text: str, seconds: int | None) -> None:
    item = {"id": "-_x", "player": {"embedWidth": "405", "embedHeight": "720"}, "status": {"privacyStatus": "new"}}
    post = real._post(item | {"contentDetails": {"duration": text}})
    old = real._post(item | {"contentDetails": {"duration": text}, "snippet": {"publishedAt": "2024-01-01T00:00:00Z"}})
    assert post.attributes.get("duration") == seconds
    assert (post.media == "short") == (seconds in {60, 180})
    assert (old.media == "short") == (seconds == 60)  # a Short of three minutes did not exist yet
    assert "privacy_status" not in post.attributes


@pytest.mark.parametrize(
    ("size", "duration", "kind"),
    [
        (("405", "720"), "PT1M", "Reel"), (("720", "405"), "PT1M", "Video"), (None, "PT4M", "Video"),
        (None, "PT1M", None), (("405", "720"), None, None), (("720", "405"), None, "Video"), (None, None, None),
    ],
)  # fmt: skip
def test_what_may_be_a_short_or_not_is_unknown(size: tuple[str, str] | None, duration: str | None, kind: Any) -> None:
    player = {"embedWidth": size[0], "embedHeight": size[1]} if size else None
    post = real._post({"id": "v", "player": player, "contentDetails": {"duration": duration}})
    assert post.attributes.get("post_type") == kind


def test_a_list_may_be_left_out_where_google_says_that_there_is_nothing(youtube: Site) -> None:
    youtube.transport = Tape(lambda _: {"pageInfo": {"totalResults": 0, "resultsPerPage": 5}})
    assert youtube.posts() == []
    with pytest.raises(errors.AccessDenied, match="no channel"):
        youtube.connector.account(youtube.reading())


def test_reports_and_tokens_have_hosts_of_their_own_at_the_real_address() -> None:
    assert real._url(Youtube.base_url, "/v2/reports") == "https://youtubeanalytics.googleapis.com/v2/reports"
    assert real._url("http://127.0.0.1:1/youtube", "/token") == "http://127.0.0.1:1/youtube/token"


@needs_data
def test_recorded_videos_are_looked_up(youtube: Site) -> None:
    file = DATA / "api_payloads" / "youtube" / "apidata" / "videos" / "videos_info_multi.json"
    youtube.transport = Tape(lambda _: json.loads(file.read_text(encoding="utf-8")))
    reading = youtube.reading(platform_id="UC_x5XG1OV2P6uZZ5FSM9Ttw")
    lookup = youtube.connector.lookup(reading, ["D-lhorsDlUQ", "ovdbrdCIP7U", "deleted0000"])
    assert lookup.gone == {"deleted0000"}
    assert [post.native_id for post in lookup.found] == ["D-lhorsDlUQ"]  # the other one is another channel's
    assert lookup.found[0].attributes["publish_time"] == "2019-03-21T20:37:49+00:00"
    assert lookup.found[0].attributes["thumbnail_url"].endswith("maxresdefault.jpg")


def schema(name: str, root: str) -> dict[str, Any]:
    """A schema of a Google discovery document as JSON Schema, closed against names that it does not know."""

    def convert(node: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in node:
            return {"$ref": f"#/$defs/{node['$ref']}"}
        kept = {k: v for k, v in node.items() if k in {"type", "enum"} and v != "any"}
        kept |= {"items": convert(node["items"])} if "items" in node else {}
        if "properties" in node:
            kept["properties"] = {k: convert(v) for k, v in node["properties"].items()}
            kept["additionalProperties"] = False
        return kept

    document = json.loads((DATA / "specs" / "google_discovery" / name).read_text())
    return {"$ref": f"#/$defs/{root}", "$defs": {key: convert(node) for key, node in document["schemas"].items()}}


@needs_data
def test_the_sandbox_answers_as_google_describes_it(youtube: Site) -> None:
    youtube.transport = tape = Tape()
    youtube.connector.account(youtube.reading())
    youtube.metrics(youtube.posts())
    roots = {"channels": "Channel", "playlistItems": "PlaylistItem", "videos": "Video"}
    schemas = {path: schema("youtube.v3.json", f"{root}ListResponse") for path, root in roots.items()}
    schemas["reports"] = schema("youtubeAnalytics.v2.json", "QueryResponse")
    jsonschema = pytest.importorskip("jsonschema")
    for path, body in tape.answers:
        jsonschema.validate(body, schemas[path])
    assert {path for path, _ in tape.answers} == set(schemas)
