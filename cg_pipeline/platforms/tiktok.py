"""TikTok: addresses, metrics and mapping. Facts: Accounts API of TikTok API for Business v1.3 (November 2026).
The listing carries all counters, so nothing else is asked. HTTP is 200 even for failures: `code` decides.

What the audience did is told in shares (0 to 1), never in counts. So that nobody adds them up as counts, these columns
hold `{"unit": "share", "of": what they are shares of, "shares": {key: share}}`, with no number at the top.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, NamedTuple

from cg_pipeline.errors import (
    AccessDenied,
    CgError,
    Disconnected,
    Gone,
    InvalidMetric,
    Refused,
    Throttled,
    TokenExpired,
    Unavailable,
)
from cg_pipeline.platforms.contract import AsOf, Connector, Reading, Renewal
from cg_pipeline.platforms.http import Answer, Request, pages, require_whole, retry_at
from cg_pipeline.platforms.records import AccountRecord, Json, Lookup, MetricsRecord, PostRecord, Tokens
from cg_pipeline.platforms.registry import Kind, Metric, Registry, Retired, ask

MEDIA = {"VIDEO": "video", "PHOTO": "photo"}  # text posts are PHOTO too
UNKNOWN_MEDIA = "any"
NOT_PHOTO = frozenset({"video", UNKNOWN_MEDIA})
COUNTRIES = {"UK": "GB"}  # TikTok's own code, where ISO 3166 has another

_counter = partial(Metric, family="counters", scope="video.list")
_insight = partial(Metric, family="insights", scope="video.insights")

# Seconds watched of one viewer become a percentage of the duration. The last seven are only for registered Business
# accounts; for others TikTok leaves them out.
METRICS = (
    _counter("video_views", "views"),
    _counter("likes", "reactions"),
    _counter("comments", "comments"),
    _counter("shares", "shares"),
    _counter("favorites", "saves"),
    _insight("reach", "reach", Kind.UNIQUE),
    _insight("total_time_watched", "lifetime_seconds_viewed", unit="seconds", media=NOT_PHOTO),
    _insight("average_time_watched", "avg_watch_percentage", Kind.RATIO, "seconds", NOT_PHOTO),
    _insight("full_video_watched_rate", None, Kind.RATIO, "share"),
    _insight("new_followers", "subscribers_gained"),
    _insight("video_view_retention", None, Kind.BREAKDOWN, "share"),
    _insight("engagement_likes", None, Kind.BREAKDOWN, "share"),
    _insight("impression_sources", "traffic_source", Kind.BREAKDOWN, "share"),
    _insight("audience_countries", "views_by_country", Kind.BREAKDOWN, "share"),
    _insight("audience_genders", "demographic_data", Kind.BREAKDOWN, "share"),
    _insight("audience_cities", None, Kind.BREAKDOWN, "share"),
    _insight("audience_types", None, Kind.BREAKDOWN, "share"),
    _insight("profile_views", "profile_visits"),
    *(_insight(f"{name}_clicks", None) for name in ("website", "phone_number", "app_download", "email", "address")),
    _insight("lead_submissions", None),
)
DIMENSIONS = {
    "impression_sources": ("impression_source", "views"),
    "audience_countries": ("country", "reach"),
    "audience_genders": ("gender", "reach"),
}
FOLLOWERS = Metric("followers_count", None, Kind.GAUGE)
MISSPELT = {"favorites": "favorities"}  # one SDK reads the saves under this name


class Family(NamedTuple):
    """Fields that are given or withheld together. The first of several is the one without which nothing can be read."""

    name: str
    scope: str
    fields: tuple[str, ...]


POST_FIELDS = (
    "create_time", "caption", "media_type", "share_url", "embed_url", "thumbnail_url", "video_duration", "is_ad",
)  # fmt: skip
VIDEO = (
    Family("posts", "video.list", POST_FIELDS),
    Family("counters", "video.list", tuple(m.name for m in METRICS if m.family == "counters")),
    Family("insights", "video.insights", tuple(m.name for m in METRICS if m.family == "insights")),
)
ACCOUNT = (
    Family("basic", "user.info.basic", ("display_name", "profile_image")),
    Family("username", "user.info.username", ("username",)),
    Family("profile", "user.info.profile", ("bio_description", "is_verified", "profile_deep_link")),
    Family("stats", "user.info.stats", ("followers_count", "following_count", "total_likes", "videos_count")),
)
FIELDS = frozenset(name for family in (*VIDEO, *ACCOUNT) for name in family.fields)

OK, PARTIAL, DAY_QUOTA = 0, 20001, 40133
PARAMETER = frozenset({40000, 40002, 40006, 40007})
PAUSES = {40100: timedelta(seconds=2), 40016: timedelta(minutes=5), 60001: timedelta(minutes=5)}
_AGAIN = "Connect the site again."
_APP = "This concerns the app, not the site: look at the app in TikTok's developer portal."
ERRORS: Mapping[int, tuple[type[CgError], str]] = {
    40001: (AccessDenied, "A permission is missing: connect the site again and grant it."),
    40053: (Gone, ""),
    **dict.fromkeys((40102, 40104, 40105, 40106), (TokenExpired, "")),
    **dict.fromkeys((40101, 40103, 40107, 40110), (Disconnected, _AGAIN)),
    **dict.fromkeys((40113, 40118, 40125), (Refused, _APP)),
}
RENEW_BEFORE = timedelta(minutes=30)  # access tokens live a day, and soon perhaps only two hours


class Tiktok(Connector):
    """TikTok, as the owner of an account sees it. A site's platform id is the `open_id` of its consent."""

    platform = "tiktok"
    as_of = AsOf.NOW_ONLY
    settling_days = 0
    base_url = "https://business-api.tiktok.com/open_api/v1.3"
    registry = Registry(METRICS)
    scopes: Mapping[str, str] = {
        "user.info.basic": "the account's name and picture",
        "user.info.username": "its handle",
        "user.info.profile": "its description",
        "user.info.stats": "its followers",
        "video.list": "posts and their views, likes, comments, shares and saves",
        "video.insights": "reach, watch time, audience and all other metrics",
    }
    posts_a_page = 20

    def authorize(self, token: str) -> Mapping[str, str]:
        """The token in TikTok's own header."""
        return {"Access-Token": token}

    def check(self, answer: Answer, now: datetime) -> Any:
        """The `data` of a good answer; of a partial one too, with TikTok's reason under `partial`."""
        require_whole(answer, now)
        if answer.status == 429:
            raise Throttled("TikTok wants a pause (HTTP 429).", retry_at(answer, now))
        if answer.status == 404 and not answer.is_json:
            raise Refused(f"TikTok has no such address (HTTP 404): {answer.text[:80]!r}. All end with a slash.")
        body = answer.json()
        code = body.get("code") if isinstance(body, dict) else None
        if not isinstance(code, int):
            raise Unavailable(f"The answer (HTTP {answer.status}) bears no code of TikTok: a proxy may have given it.")
        if code not in {OK, PARTIAL}:
            raise _error(code, str(body.get("message", "no message")), str(body.get("request_id", "none")), now)
        return (body.get("data") or {}) | ({"partial": body.get("message")} if code == PARTIAL else {})

    def quota(self, answer: Answer, now: datetime) -> tuple[int, datetime] | None:  # noqa: ARG002
        """TikTok does not tell."""
        return None

    def account(self, reading: Reading) -> AccountRecord:
        """The account as it is now, in one call."""

        def request(names: Sequence[str]) -> Json:
            url = f"{reading.base_url}/business/get/"
            seen: Json = reading.caller.get(url, business_id=reading.platform_id, fields=_text(names))
            return seen

        withheld = _withheld(ACCOUNT, reading.scope)
        parts = _read(ACCOUNT, withheld, "account", reading.retired, request)
        seen = {name: value for part in parts for name, value in part.items()}
        return AccountRecord(
            platform_id=reading.platform_id,
            name=seen.get("display_name") or None,
            username=seen.get("username") or None,
            follower_count=FOLLOWERS.value(_number(seen.get("followers_count"))),
            profile_image_url=seen.get("profile_image") or None,
            bio=seen.get("bio_description") or None,
            raw=_explained(seen, withheld),
        )

    def posts(self, reading: Reading) -> Iterator[list[PostRecord]]:
        """All public posts from the reading's start back, newest first, with their counters."""
        withheld = _withheld(VIDEO, reading.scope)
        # A start that is named keeps a page the same when it is asked for in parts.
        start = str(int(reading.started_at.timestamp() * 1000))
        yield from pages(start, lambda cursor: self._page(reading, withheld, cursor))

    def lookup(self, reading: Reading, native_ids: Sequence[str]) -> Lookup:
        """Twenty posts a call. None is certainly gone: TikTok leaves out what it reviews as it does what is deleted."""
        withheld, size = _withheld(VIDEO, reading.scope), self.posts_a_page
        batches = (native_ids[start : start + size] for start in range(0, len(native_ids), size))
        return Lookup([post for batch in batches for post in self._by_ids(reading, withheld, batch)])

    def metrics(self, reading: Reading, posts: Sequence[PostRecord]) -> Iterator[MetricsRecord]:  # noqa: ARG002
        """Nothing more: `PostRecord.values` hold all that TikTok tells."""
        yield from ()

    def renew(self, renewal: Renewal) -> Tokens:
        """Fresh tokens. The refresh token is single-use: the new one must be stored before the access token is used."""
        if renewal.tokens.refresh is None:
            message = "There is no refresh token of TikTok: connect the site again."
            raise Disconnected(message)
        asked = {
            "client_id": renewal.app.client_id, "client_secret": renewal.app.client_secret,
            "grant_type": "refresh_token", "refresh_token": renewal.tokens.refresh,
        }  # fmt: skip
        request = Request("POST", f"{renewal.base_url}/tt_user/oauth2/refresh_token/", json=asked)
        try:
            given = renewal.send(self, request)
        except (AccessDenied, TokenExpired) as error:
            message = f"TikTok no longer accepts the refresh token ({error}): connect the site again."
            raise Disconnected(message) from error
        life = given.get("expires_in")
        return Tokens(
            given["access_token"],
            given.get("refresh_token") or renewal.tokens.refresh,
            renewal.now + timedelta(seconds=int(life)) if life is not None else None,
            given.get("scope") or renewal.tokens.scope,
        )

    def renew_before(self, tokens: Tokens, now: datetime) -> bool:
        """Half an hour ahead, by the life that TikTok told."""
        return tokens.expires_at is not None and now >= tokens.expires_at - RENEW_BEFORE

    def minimum_calls(self, posts: int) -> int:
        """One for the account, one a page. TikTok may give shorter pages than it could, so there may be more."""
        return 1 + max(1, -(-posts // self.posts_a_page))

    def _page(
        self, reading: Reading, withheld: dict[str, str], cursor: str | None, ids: Sequence[str] = ()
    ) -> tuple[list[PostRecord], str | None]:
        def request(names: Sequence[str]) -> Json:
            page: Json = reading.caller.get(
                f"{reading.base_url}/business/video/list/",
                business_id=reading.platform_id,
                fields=_text(["item_id", *names]),
                filters=_text({"video_ids": list(ids)}) if ids else None,
                cursor=cursor,
                max_count=self.posts_a_page,
                holds="videos",
            )
            return page

        parts = _read(VIDEO, withheld, UNKNOWN_MEDIA, reading.retired, request)
        told = [str(part["partial"]) for part in parts if "partial" in part]
        reasons = withheld | ({"partial": told[0]} if told else {})
        return [_post(item, reading, reasons) for item in _items(parts)], _following(parts[0])

    def _by_ids(self, reading: Reading, withheld: dict[str, str], ids: Sequence[str]) -> list[PostRecord]:
        """The posts of one batch. An id that TikTok calls invalid fails it all: it is found by halves and left out."""
        try:
            found = pages(None, lambda cursor: self._page(reading, withheld, cursor, ids))
            return [post for page in found for post in page]
        except Gone:
            if len(ids) == 1:
                return []
        half = len(ids) // 2
        return self._by_ids(reading, withheld, ids[:half]) + self._by_ids(reading, withheld, ids[half:])


def _error(code: int, message: str, request_id: str, now: datetime) -> CgError:
    """The error that a code means; texts vary. Unknown ones of 50000 and more may pass, the others will not."""
    text = f"{message} (code {code}, request {request_id})"
    if code == DAY_QUOTA:
        tomorrow = now.astimezone(UTC) + timedelta(days=1)
        return Throttled(text, tomorrow.replace(hour=0, minute=0, second=0, microsecond=0))
    if code in PAUSES:
        return Throttled(text, now + PAUSES[code])
    kind, advice = ERRORS.get(code, (Unavailable if code >= 50_000 else Refused, ""))
    # Only where a field of ours is named as such: else any mistake in a parameter would retire all fields for good.
    names_field = "field" in message.lower() and FIELDS & set(re.findall(r"\w+", message))
    if code in PARAMETER and names_field:
        kind = InvalidMetric
    return kind(f"{text} {advice}".strip())


def _withheld(families: Sequence[Family], scope: str | None) -> dict[str, str]:
    """The families that the granted scope is known not to give, each with the reason. The first is always asked for."""
    granted = set(re.split(r"[,\s]+", scope or ""))
    if not granted & {family.scope for family in families}:
        return {}  # unknown, or in words that are not TikTok's
    return {
        family.name: f"The permission {family.scope} was not granted."
        for family in families[1:]
        if family.scope not in granted
    }


def _read(
    families: Sequence[Family],
    withheld: dict[str, str],
    media: str,
    retired: Retired,
    request: Callable[[Sequence[str]], Json],
) -> list[Json]:
    """The answers with all fields that are given: one, more only when a field or a family is refused.

    A family that is refused is noted in `withheld` and not asked for again; the first must be given.
    """

    def of(asked: Sequence[Family]) -> list[Json]:
        try:
            return list(ask([name for family in asked for name in family.fields], media, retired, request))
        except AccessDenied as refusal:
            if len(asked) == 1 and asked[0] is families[0]:
                raise
            if len(asked) == 1:
                withheld[asked[0].name] = str(refusal)
                return []
        return [answer for family in asked for answer in of([family])]

    answers = of([family for family in families if family.name not in withheld])
    if not answers:
        message = f"TikTok refused every field of the {media} listing: see the metrics noted as retired."
        raise Refused(message)
    return answers


def _items(parts: Sequence[Json]) -> list[Json]:
    """The posts of a page, each put together from all answers that tell of it."""
    found: dict[str, Json] = {}
    for item in (item for part in parts for item in part["videos"]):
        found.setdefault(str(item["item_id"]), {}).update(item)
    return list(found.values())


def _following(page: Json) -> str | None:
    """The next cursor. `has_more` decides: pages may be short, even empty, before the last one."""
    if not page.get("has_more"):
        return None
    if not page.get("cursor"):
        raise Unavailable("TikTok says that there are more posts, but not from where: the listing is not whole.")
    return str(page["cursor"])


def _post(item: Json, reading: Reading, reasons: Mapping[str, str]) -> PostRecord:
    media = MEDIA.get(str(item.get("media_type")), UNKNOWN_MEDIA)
    created, duration = _number(item.get("create_time")), _number(item.get("video_duration"))
    published = datetime.fromtimestamp(int(created), UTC) if created else None
    attributes = {
        "description": item.get("caption"),
        "post_type": media.capitalize() if media != UNKNOWN_MEDIA else None,
        "publish_time": published.isoformat() if published else None,
        "duration": round(duration) if duration and media in NOT_PHOTO else None,
        "permalink": str(item.get("share_url") or "").partition("?")[0] or None,
        "page_id": reading.platform_id,
        "page_name": reading.username,
        "privacy_status": "public",  # no others are listed
    }
    known = {name: value for name, value in attributes.items() if value is not None}
    values = _values(item, media, reading)
    return PostRecord(str(item["item_id"]), media, published, known, values, _explained(item, reasons))


def _values(item: Json, media: str, reading: Reading) -> dict[str, Any]:
    """Our columns. What is null, blank or empty is unknown: TikTok tells it a day or two later, or not at all."""
    found = {
        metric.column: _value(metric, item)
        for metric in METRICS
        if metric.column and metric.is_legal(media, reading.day)
    }
    seconds, duration = found.pop("avg_watch_percentage", None), _number(item.get("video_duration"))
    if seconds is not None and duration:
        found["avg_watch_percentage"] = round(seconds * 100 / duration, 4)
    return {column: value for column, value in found.items() if value is not None}


def _value(metric: Metric, item: Json) -> Any:
    vendor = item.get(metric.name)
    if vendor is None and metric.name in MISSPELT:
        vendor = item.get(MISSPELT[metric.name])
    return _shares(metric.name, vendor) if metric.kind is Kind.BREAKDOWN else metric.value(_number(vendor))


def _shares(name: str, parts: Any) -> Json | None:
    """A breakdown marked as one of shares; None where there are none, as for fewer than a hundred viewers."""
    key, whole = DIMENSIONS[name]
    found: dict[str, Decimal] = {}
    for part in parts or []:
        label, share = part.get(key), _number(part.get("percentage"))
        if label and share is not None:
            label = COUNTRIES.get(label, label) if key == "country" else label
            found[label] = found.get(label, Decimal()) + share
    shares = {label: float(share) for label, share in found.items()}
    return {"unit": "share", "of": whole, "shares": shares} if shares else None


def _number(vendor: Any) -> Decimal | None:
    """A number that came as one or as text; None for anything else."""
    try:
        number = Decimal(str(vendor))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _explained(item: Json, reasons: Mapping[str, str]) -> Json:
    """What came, and under `unavailable` why something did not."""
    return item | ({"unavailable": dict(reasons)} if reasons else {})


def _text(value: Any) -> str:
    """A value of the address as TikTok wants it: JSON."""
    return json.dumps(value, separators=(",", ":"))
