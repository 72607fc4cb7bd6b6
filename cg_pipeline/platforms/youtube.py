"""YouTube: addresses, metrics and mapping. Facts: developers.google.com/youtube (v3/docs, analytics/channel_reports,
analytics/data_model, analytics/metrics; read 2026-11-22).

Videos come from the Data API, every counter from the Analytics API: only that one can tell of a day. The two never
agree, so the Data API's `statistics` stay in raw_data and out of the series. Days of Analytics end at midnight Pacific
time. It answers up to the last day, two or three back, for which all that is asked for is ready: raw_data says how far.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from math import gcd
from typing import Any
from zoneinfo import ZoneInfo

from cg_pipeline import errors
from cg_pipeline.errors import AccessDenied, Disconnected, Gone, Refused, Throttled, Unavailable
from cg_pipeline.platforms.contract import AsOf, Connector, Reading, Renewal
from cg_pipeline.platforms.http import Answer, Request, pages, require_whole, retry_at
from cg_pipeline.platforms.records import (
    AccountRecord,
    Json,
    Lookup,
    MetricsRecord,
    PostRecord,
    Tokens,
    without_nulls,
)
from cg_pipeline.platforms.registry import Registry, ask
from cg_pipeline.platforms.youtube_metrics import (
    BY_VIDEO,
    CURRENCY,
    METRICS,
    MONEY_SCOPE,
    SCOPE,
    TRAFFIC,
    VIEWERS,
    Found,
    record_of,
)

BASE_URL = "https://www.googleapis.com"
HOSTS = {"/v2/reports": "https://youtubeanalytics.googleapis.com", "/token": "https://oauth2.googleapis.com"}
CHANNEL_PARTS = "snippet,contentDetails,statistics,brandingSettings"
VIDEO_PARTS = "snippet,contentDetails,status,statistics,liveStreamingDetails,player"

PACIFIC = ZoneInfo("America/Los_Angeles")
BEGINNING = date(2005, 2, 14)  # no video is older
LONGER_SHORTS = datetime(2024, 10, 15, tzinfo=UTC)  # until then a Short had 60 seconds, since then 180
COVERAGE = timedelta(days=9)  # the last rows by day are at most so far back, where there are views
POST_TYPES = {"short": "Reel", "video": "Video"}
IDS_A_CALL = 500
TRAFFIC_LIMIT = 50_000  # videos times days of one call for traffic sources
MOST_REFUSED = 100  # so many refused ids before anything landed: it is not the ids
_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?)?")


class Youtube(Connector):
    """YouTube, as the owner of a channel sees it."""

    platform = "youtube"
    as_of = AsOf.DATED
    # Money comes up to 72 hours after its Pacific day, which ends up to 22 hours after that of the reporting zone: in
    # every zone that is over at the midnight after the fourth day, and in most not yet at that after the third.
    settling_days = 4
    base_url = BASE_URL
    registry = Registry(METRICS)
    scopes: Mapping[str, str] = {
        f"{SCOPE}youtube.readonly": "videos, private ones too, and the channel; all reports need it as well",
        f"{SCOPE}yt-analytics.readonly": "all counters but money",
        MONEY_SCOPE: "money and counters of advertising",
    }
    posts_a_page = 50
    calls_for_demographics = 1  # percentages add up within one answer

    def authorize(self, token: str) -> Mapping[str, str]:
        """The token as a bearer."""
        return {"Authorization": f"Bearer {token}"}

    def check(self, answer: Answer, now: datetime) -> Any:
        """The body of a good answer. HTTP 403 stands for quota, pace, scope and permission: the reason tells."""
        require_whole(answer, now)
        body = answer.json()
        if answer.status < 400:
            return _with_items(body)
        error = (body.get("error") or {}) if isinstance(body, dict) else {}
        raise _oauth_error(body) if isinstance(error, str) else _error(error, answer, now)

    def quota(self, answer: Answer, now: datetime) -> tuple[int, datetime] | None:  # noqa: ARG002
        """No header tells of the quota."""
        return None

    def account(self, reading: Reading) -> AccountRecord:
        """The channel that was picked at consent."""
        channel = _channel(reading)
        reading.require_own(str(channel["id"]))
        told = without_nulls(channel)
        snippet, statistics = told.get("snippet", {}), told.get("statistics", {})
        subscribers = None if statistics.get("hiddenSubscriberCount") else statistics.get("subscriberCount")
        return AccountRecord(
            platform_id=str(channel["id"]),
            name=snippet.get("title"),
            username=snippet["customUrl"].removeprefix("@") if snippet.get("customUrl") else None,
            follower_count=int(subscribers) if subscribers is not None else None,
            profile_image_url=_largest(snippet.get("thumbnails", {})),
            cover_image_url=told.get("brandingSettings", {}).get("image", {}).get("bannerExternalUrl"),
            bio=snippet.get("description") or None,
            raw=channel,
        )

    def posts(self, reading: Reading) -> Iterator[list[PostRecord]]:
        """The uploads, private ones too. Their playlist bears the channel's id; a channel without uploads has none."""
        url, uploads = f"{reading.base_url}/youtube/v3/playlistItems", f"UU{reading.platform_id[2:]}"
        asked = {"part": "contentDetails", "playlistId": uploads, "maxResults": self.posts_a_page}

        def read(cursor: str | None) -> tuple[list[PostRecord], str | None]:
            body = reading.caller.get(url, **asked, pageToken=cursor, holds="items")
            ids = [item["contentDetails"]["videoId"] for item in body["items"]]
            return self._videos(reading, ids), body.get("nextPageToken")

        try:
            yield from pages(None, read)
        except Gone as missing:
            if (_channel(reading).get("statistics") or {}).get("videoCount") != "0":
                raise Unavailable(f"The channel has videos, but no list of its uploads: {missing}") from missing

    def _videos(self, reading: Reading, ids: Sequence[str]) -> list[PostRecord]:
        """Up to 50 videos by id. Those that are deleted, or another's and private, are left out without a word."""
        if not ids:
            return []
        asked = {"part": VIDEO_PARTS, "id": ",".join(ids), "maxWidth": 720, "maxHeight": 720}  # gives the player's size
        body = reading.caller.get(f"{reading.base_url}/youtube/v3/videos", holds="items", **asked)
        return [_post(item) for item in body["items"]]

    def lookup(self, reading: Reading, native_ids: Sequence[str]) -> Lookup:
        """50 a call. The owner's token sees private videos too, so what is left out is deleted."""
        found = [post for ids in _parts(native_ids, self.posts_a_page) for post in self._videos(reading, ids)]
        own = [post for post in found if post.attributes.get("page_id") == reading.platform_id]
        return Lookup(own, frozenset(native_ids) - {post.native_id for post in found})

    def metrics(self, reading: Reading, posts: Sequence[PostRecord]) -> Iterator[MetricsRecord]:
        """Up to 500 posts a call and family, the latest first. A post without activity is in no report: no record."""
        latest = sorted(posts, key=lambda post: (_published(post), post.native_id), reverse=True)
        there = [post for post in latest if _published(post) <= reading.day]
        if not there:
            return
        coverage, unavailable = self._covered(reading)
        for some in _parts(there, IDS_A_CALL):
            found = Found(coverage, unavailable)
            for family in (name for name in self._families(reading) if name not in unavailable):
                asked = [post for post in some if "main" not in found.refused.get(post.native_id, {})]
                if family == VIEWERS:  # nobody has seen what is in no report
                    asked = [post for post in asked if post.native_id in found.rows]
                for start, ids in _calls(family, asked, reading.day):
                    self._read(reading, family, start, ids, found)
            known = found.rows.keys() | found.refused.keys()
            yield from (record_of(post.native_id, found) for post in some if post.native_id in known)

    def _families(self, reading: Reading) -> dict[str, list[str]]:
        legal = self.registry.families("any", reading.day).items()
        return {name: [m.name for m in some] for name, some in legal if name != VIEWERS or reading.demographics}

    def _covered(self, reading: Reading) -> tuple[dict[str, str], dict[str, str]]:
        """The last day of which counters and money tell, and why a family is not to be had.

        These calls name no video, so where one is refused a permission is missing. Without money the rest can be read.
        """
        coverage, unavailable = {}, {}
        for family in ("main", "money"):
            names, request = self._families(reading)[family], partial(_report, reading, family, None, ())
            try:
                if family == "money" and reading.scope is not None and MONEY_SCOPE not in reading.scope.split():
                    raise AccessDenied(f"The permission {MONEY_SCOPE} was not granted: connect the site again.")
                days = [max(row["day"] for row in rows) for rows in ask(names, "any", reading.retired, request) if rows]
                coverage.update({family: min(days)} if days else {})
            except Refused as denial:
                if family == "main" or isinstance(denial, Disconnected):
                    raise
                unavailable[family] = str(denial)
        return coverage, unavailable

    def _read(self, reading: Reading, family: str, start: date, ids: Sequence[str], found: Found) -> None:
        """One call. A video that is not there, or not the channel's, fails it: it is found by halves of the ids.

        After that, a refusal is about the family: these posts lack it.
        """
        names, request = self._families(reading)[family], partial(_report, reading, family, start, ids)
        try:
            for row in (row for rows in ask(names, "any", reading.retired, request) for row in rows):
                found.rows[row.get("video", ids[0])].setdefault(family, []).append(row)
        except Refused as refusal:
            hopeless = family == "main" and len(found.refused) >= MOST_REFUSED and not found.rows
            if hopeless or isinstance(refusal, Disconnected):
                raise
            if family == "main" and len(ids) > 1:
                half = len(ids) // 2
                self._read(reading, family, start, ids[:half], found)
                self._read(reading, family, start, ids[half:], found)
            else:
                for native_id in ids:
                    found.refused[native_id][family] = str(refusal)

    def renew(self, renewal: Renewal) -> Tokens:
        """Another access token for an hour; the refresh token stays the same."""
        app, tokens = renewal.app, renewal.tokens
        if tokens.refresh is None:
            raise Disconnected("There is no refresh token for YouTube: connect the site again.")
        form = {"grant_type": "refresh_token", "client_id": app.client_id, "client_secret": app.client_secret}
        form["refresh_token"] = tokens.refresh
        body = renewal.send(self, Request("POST", _url(renewal.base_url, "/token"), form=form))
        expires_at = renewal.now + timedelta(seconds=body["expires_in"])
        return Tokens(body["access_token"], tokens.refresh, expires_at, body.get("scope", tokens.scope))

    def renew_before(self, tokens: Tokens, now: datetime) -> bool:
        """Five minutes ahead; later it still can be renewed."""
        return tokens.expires_at is not None and now >= tokens.expires_at - timedelta(minutes=5)

    def minimum_calls(self, posts: int) -> int:
        """One for the channel, two per 50 videos, five per 500 (one a family), and two to know the days covered.

        Traffic sources need more where videos times days exceed 50,000: 13 videos a call for those of ten years ago.
        """
        details, families = -(-posts // self.posts_a_page), 5 * -(-posts // IDS_A_CALL)
        return 1 + max(1, details) + details + families + (2 if posts else 0)


def _url(base_url: str, path: str) -> str:
    """Reports and tokens have hosts of their own, but not in a sandbox."""
    return (HOSTS[path] if base_url == BASE_URL else base_url) + path


def _with_items(body: Any) -> Any:
    """A listing always with its list, which Google may leave out where it says that there is nothing."""
    is_empty = isinstance(body, dict) and (body.get("pageInfo") or {}).get("totalResults") == 0
    return {"items": [], **body} if is_empty else body


def _channel(reading: Reading) -> Json:
    body = reading.caller.get(f"{reading.base_url}/youtube/v3/channels", part=CHANNEL_PARTS, mine="true", holds="items")
    if not body["items"]:
        raise AccessDenied("The Google account has no channel: connect the site again and choose the channel.")
    return dict(body["items"][0])


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _calls(family: str, posts: Sequence[PostRecord], day: date) -> Iterator[tuple[date, list[str]]]:
    """First day and ids of each call, for posts from the latest to the oldest."""
    start, ids = BEGINNING, list[str]()
    for post in posts:
        days = (day - _published(post)).days + 1
        if ids and (family == VIEWERS or (family == TRAFFIC and (len(ids) + 1) * days > TRAFFIC_LIMIT)):
            yield start, ids
            ids = []
        start = _published(post) if family == TRAFFIC else BEGINNING
        ids.append(post.native_id)
    yield from [(start, ids)] if ids else []


def _report(reading: Reading, family: str, start: date | None, ids: Sequence[str], names: Sequence[str]) -> list[Json]:
    """The rows of one report up to the reading's day, as column -> value: of videos, or the channel's by day."""
    by_ids = {"dimensions": "video" if family in BY_VIDEO else family, "filters": f"video=={','.join(ids)}"}
    body = reading.caller.get(
        _url(reading.base_url, "/v2/reports"),
        ids=f"channel=={reading.platform_id}",
        startDate=(start or reading.day - COVERAGE).isoformat(),
        endDate=reading.day.isoformat(),
        metrics=",".join(names) if family in BY_VIDEO | {VIEWERS} else "views",
        currency=CURRENCY if family == "money" else None,
        holds="columnHeaders",  # without activity there are no `rows`
        **(by_ids if ids else {"dimensions": "day"}),
    )
    headers = [column["name"] for column in body["columnHeaders"]]
    return [dict(zip(headers, row, strict=False)) for row in body.get("rows") or []]


def _post(raw: Json) -> PostRecord:
    item = without_nulls(raw)
    snippet, details = item.get("snippet", {}), item.get("contentDetails", {})
    published = datetime.fromisoformat(snippet["publishedAt"]) if snippet.get("publishedAt") else None
    size, seconds = _size(item.get("player", {})), _seconds(details.get("duration"))
    media = _media(size, seconds, published)
    privacy = item.get("status", {}).get("privacyStatus")
    attributes = {
        "title": snippet.get("title"),
        "description": snippet.get("description"),
        "post_type": POST_TYPES.get(media),
        "publish_time": published.astimezone(UTC).isoformat() if published else None,
        "permalink": f"https://www.youtube.com/watch?v={item['id']}",
        "page_id": snippet.get("channelId"),
        "page_name": snippet.get("channelTitle"),
        "thumbnail_url": _largest(snippet.get("thumbnails", {})),
        "duration": seconds,
        "aspect_ratio": f"{size[0] // gcd(*size)}:{size[1] // gcd(*size)}" if size else None,
        "content_category": snippet.get("categoryId"),
        "privacy_status": privacy if privacy in {"public", "unlisted", "private"} else None,
        "restricted_countries": details.get("regionRestriction"),
    }
    told = {name: value for name, value in attributes.items() if value not in (None, "")}
    return PostRecord(str(item["id"]), media, published, told, raw=raw)


def _published(post: PostRecord) -> date:
    """The day of Analytics on which a post was published; the first of all where that is not told."""
    return post.published_at.astimezone(PACIFIC).date() if post.published_at else BEGINNING


def _media(size: list[int] | None, seconds: int | None, published: datetime | None) -> str:
    """What the Data API does not tell. A Short is not wider than high, and had a minute at most before it had three;
    where size or length are not told, it may be either.
    """
    longest = 60 if published and published < LONGER_SHORTS else 180
    if (size and size[0] > size[1]) or (seconds and seconds > longest):
        return "video"
    return "short" if size and seconds else "any"


def _size(player: Mapping[str, Any]) -> list[int] | None:
    size = [int(player.get(name) or 0) for name in ("embedWidth", "embedHeight")]
    return size if all(size) else None


def _seconds(duration: str | None) -> int | None:
    """The length of `PT1H2M3S`. A broadcast has `P0D` until it can be watched again: unknown."""
    parts = [int(part or 0) for match in [_DURATION.fullmatch(duration or "")] if match for part in match.groups()]
    return sum(n * unit for n, unit in zip(parts, (604_800, 86_400, 3_600, 60, 1), strict=False)) or None


def _largest(thumbnails: Mapping[str, Mapping[str, Any]]) -> str | None:
    return max(thumbnails.values(), key=lambda each: each.get("width") or 0, default={}).get("url")


def _oauth_error(body: Mapping[str, Any]) -> Exception:
    """What the token endpoint means, whose errors have another form."""
    text = f"{body.get('error_description', 'no description')} ({body['error']})"
    if body["error"] == "invalid_grant":
        return Disconnected(f"{text} The refresh token of YouTube is dead: connect the site again.")
    return errors.ConfigError(f"{text} Check the client id and secret of the Google app.")


def _error(error: Mapping[str, Any], answer: Answer, now: datetime) -> Exception:
    """The error that an envelope means."""
    listed, details = error.get("errors") or [{}], error.get("details") or [{}]
    reason = listed[0].get("reason") or details[0].get("reason") or error.get("status") or "no reason"
    message, status = str(error.get("message", "no message")), answer.status
    text = f"{message} (HTTP {status}, {reason})"
    if reason in {"quotaExceeded", "dailyLimitExceeded"}:  # anew at 00:00 Pacific time
        tomorrow = now.astimezone(PACIFIC).date() + timedelta(days=1)
        return Throttled(text, datetime.combine(tomorrow, time.min, PACIFIC).astimezone(UTC))
    if status == 429 or reason in {"rateLimitExceeded", "userRateLimitExceeded", "RESOURCE_EXHAUSTED"}:
        return Throttled(text, retry_at(answer, now))
    if reason in {"accessNotConfigured", "SERVICE_DISABLED"}:
        return errors.ConfigError(f"{text} Enable the API in the project of the Google app.")
    if status == 403 or reason == "youtubeSignupRequired":
        return AccessDenied(f"{text} A permission is missing, or the channel is another's: connect the site again.")
    if status == 400 and ("parameters.metrics" in message or "query is not supported" in message):
        return errors.InvalidMetric(text)
    return {401: errors.TokenExpired, 404: Gone}.get(status, Refused)(text)
