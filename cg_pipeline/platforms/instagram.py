"""Instagram with Instagram Login: addresses, metrics and mapping. Facts: developers.facebook.com/documentation/
instagram-platform (media and insights reference, 2026-09-11). This host has neither a batch call nor a list of ids, and
which metrics are legal depends on the kind of post: one insights call a post.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from cg_pipeline.errors import (
    AccessDenied,
    Disconnected,
    Gone,
    InvalidMetric,
    Refused,
    TokenExpired,
)
from cg_pipeline.platforms import graph
from cg_pipeline.platforms.contract import AsOf, Connector, Reading, Renewal
from cg_pipeline.platforms.http import Answer, Request, pages
from cg_pipeline.platforms.records import AccountRecord, Lookup, MetricsRecord, PostRecord, Tokens
from cg_pipeline.platforms.registry import Kind, Metric, Registry, ask

VERSION = "v26.0"
# Only what Instagram Login offers: one field that it lacks fails the whole page.
POST_FIELDS = (
    "id,caption,media_type,media_product_type,media_url,thumbnail_url,permalink,shortcode,timestamp,username,owner,"
    "like_count,comments_count,is_comment_enabled,is_shared_to_feed,alt_text,children{id,media_type}"
)
ACCOUNT_FIELDS = "id,user_id,username,name,account_type,followers_count,follows_count,media_count,profile_picture_url"

# `media_type` never says REELS or STORY: that is in `media_product_type`. Where it is missing, the address tells.
KINDS_BY_PRODUCT = {"REELS": "reel", "STORY": "story"}
KINDS_BY_PATH = {"/reel/": "reel", "/stories/": "story"}
KINDS_BY_TYPE = {"IMAGE": "image", "CAROUSEL_ALBUM": "carousel", "VIDEO": "video"}  # a video that is no reel: old ones
POST_TYPES = {"reel": "Reel", "video": "Video", "image": "Photo", "carousel": "Photo", "story": "Status"}

INSIGHTS = "instagram_business_manage_insights"
REEL, STORY = frozenset({"reel"}), frozenset({"story"})
FEED = frozenset({"image", "carousel", "video"})

# All are asked in one call. What is refused now and then comes last: finding it by halves then costs the fewest calls.
# `facebook_views` is not asked of stories: their numbers are there for a day only, and it has failed whole batches.
METRICS = (
    Metric("views", "views", scope=INSIGHTS),
    Metric("reach", "reach", Kind.UNIQUE, scope=INSIGHTS),
    Metric("likes", "reactions", media=FEED | REEL, scope=INSIGHTS),
    Metric("comments", "comments", media=FEED | REEL, scope=INSIGHTS),
    Metric("saved", "saves", media=FEED | REEL, scope=INSIGHTS),
    Metric("shares", "shares", scope=INSIGHTS),
    Metric("total_interactions", None, scope=INSIGHTS),
    Metric("follows", "subscribers_gained", media=FEED | STORY, scope=INSIGHTS),
    Metric("profile_visits", "profile_visits", media=FEED | STORY, scope=INSIGHTS),
    Metric("profile_activity", None, media=FEED | STORY, scope=INSIGHTS),
    Metric("ig_reels_video_view_total_time", "lifetime_seconds_viewed", unit="milliseconds", media=REEL,
           scale=Decimal("0.001"), scope=INSIGHTS),
    Metric("ig_reels_avg_watch_time", None, Kind.GAUGE, unit="milliseconds", media=REEL, scope=INSIGHTS),
    # Messages to the owner, no comments; always 0 for creators in the EU and Japan.
    Metric("replies", None, media=STORY, scope=INSIGHTS),
    Metric("navigation", None, media=STORY, scope=INSIGHTS),
    Metric("link_clicks", None, media=STORY, scope=INSIGHTS),
    Metric("reposts", None, since=date(2025, 12, 3), scope=INSIGHTS),
    Metric("reels_skip_rate", None, Kind.RATIO, unit="unknown", media=REEL, scope=INSIGHTS),
    Metric("facebook_views", None, media=FEED | REEL, scope=INSIGHTS),
)  # fmt: skip

TOO_FEW_VIEWERS = "not enough viewers"  # code 10, which otherwise means a missing permission
BEFORE_CONVERSION = 2108006  # posted before the account became a professional one: it never gets insights
NOT_ON_FACEBOOK = 2207086  # refuses `facebook_views` of a post that is not shared there
TOO_MUCH_DATA = "reduce the amount of data"

STORY_LIFE = timedelta(hours=24)
LIFE = timedelta(days=60)
RENEW_AFTER = timedelta(days=7)  # well above the 24 hours that a token must be old


class Instagram(Connector):
    """Instagram, as the owner of a professional account sees it."""

    platform = "instagram"
    as_of = AsOf.NOW_ONLY
    settling_days = 0
    base_url = "https://graph.instagram.com"
    registry = Registry(METRICS)
    scopes: Mapping[str, str] = {
        "instagram_business_basic": "posts, stories and the account, with likes and comments",
        INSIGHTS: "all other counters",
    }
    posts_a_page = 100
    lists_all = False
    fleeting = frozenset({"Status"})  # stories

    def authorize(self, token: str) -> Mapping[str, str]:
        """The token as a bearer."""
        return graph.authorize(token)

    def check(self, answer: Answer, now: datetime) -> Any:
        """As all of Meta's, but for the refusals that concern one post and not the account.

        That there are no numbers for a post is an answer: empty data, with the reason under `unavailable`.
        """
        error = _error(answer) if answer.status >= 400 else {}
        text, subcode = str(error.get("error_user_msg") or error.get("message", "")), error.get("error_subcode")
        if subcode == BEFORE_CONVERSION or (error.get("code") == 10 and TOO_FEW_VIEWERS in text.lower()):
            return {"data": [], "unavailable": text}
        if subcode == NOT_ON_FACEBOOK:
            raise InvalidMetric(f"{text} (subcode {subcode}: the post is not shared to Facebook)")
        if TOO_MUCH_DATA in text:
            raise Refused(text)  # asking the same again is no use: the listing asks for less
        return graph.check(answer, now)

    def quota(self, answer: Answer, now: datetime) -> tuple[int, datetime] | None:
        """As all of Meta's."""
        return graph.quota(answer, now)

    def account(self, reading: Reading) -> AccountRecord:
        """The professional account. Its id is `user_id`; `id` is another one for each app."""
        body = reading.caller.get(f"{reading.base_url}/{VERSION}/me", fields=ACCOUNT_FIELDS)
        seen = body["data"][0] if body.get("data") else body  # both shapes are documented
        reading.require_own(*(str(seen[name]) for name in ("user_id", "id") if seen.get(name)))  # either serves
        return AccountRecord(
            platform_id=str(seen.get("user_id") or seen["id"]),
            name=seen.get("name"),
            username=seen.get("username"),
            follower_count=seen.get("followers_count"),
            profile_image_url=seen.get("profile_picture_url"),
            raw=seen,
        )

    def posts(self, reading: Reading) -> Iterator[list[PostRecord]]:
        """The newest 10,000 posts, then the stories of the last 24 hours, which are in no other listing."""
        for edge in ("media", "stories"):
            url = f"{reading.base_url}/{VERSION}/{reading.platform_id}/{edge}"

            def read(after: str | None, url: str = url) -> tuple[list[PostRecord], str | None]:
                body = self._page(reading, url, after)
                return [_post(reading, item) for item in body["data"]], graph.cursor(body)

            yield from pages(None, read)

    def lookup(self, reading: Reading, native_ids: Sequence[str]) -> Lookup:
        """One call a post, two where it is gone. A refusal for want of a permission leaves it unknown.

        A lost permission may also look as if posts were gone: one that can be read must prove it is not; where it is
        none of these, the newest that is listed must, for two calls more. Without a proof they are unknown.
        """
        found, gone = [], set()
        for native_id in native_ids:
            url = f"{reading.base_url}/{VERSION}/{native_id}"
            try:
                found.append(_post(reading, reading.caller.get(url, fields=POST_FIELDS)))
            except Gone:
                if _is_gone(reading, url):
                    gone.add(native_id)
            except AccessDenied:
                continue  # the masked answer to some tokens about deleted posts
        is_proven = not gone or found or _can_read_newest(reading)
        return Lookup(found, frozenset(gone if is_proven else ()))

    def metrics(self, reading: Reading, posts: Sequence[PostRecord]) -> Iterator[MetricsRecord]:
        """One call a post; none for a story whose day is over. What is refused of a post is told in raw."""
        for post in posts:
            if _is_over(post, reading.started_at):
                continue
            try:
                known = self._insights(reading, post)
            except Gone:
                continue  # it went between the listing and now
            except AccessDenied as refusal:
                known = {"unavailable": str(refusal)}
            yield MetricsRecord(post.native_id, _values(post, known), raw=known)

    def renew(self, renewal: Renewal) -> Tokens:
        """Extend the token by 60 days; there is no refresh token, so an expired one needs the person again."""
        tokens, now = renewal.tokens, renewal.now
        if tokens.expires_at is not None and tokens.expires_at <= now:
            message = "The token of Instagram has expired and cannot be extended: connect the site again."
            raise Disconnected(message)
        # This address documents the token as a parameter only. It is in SECRET_PARAMETERS: no key or message has it.
        params = {"grant_type": "ig_refresh_token", "access_token": tokens.access}
        try:
            body = renewal.send(self, Request("GET", f"{renewal.base_url}/refresh_access_token", params))
        except (Refused, TokenExpired) as error:
            message = f"Instagram no longer extends the token ({error}): connect the site again."
            raise Disconnected(message) from error
        return Tokens(body["access_token"], None, now + timedelta(seconds=body["expires_in"]), tokens.scope)

    def renew_before(self, tokens: Tokens, now: datetime) -> bool:
        """Every week: it must be done while the token is valid, and may be done once it is 24 hours old."""
        return tokens.expires_at is not None and now >= tokens.expires_at - (LIFE - RENEW_AFTER)

    def minimum_calls(self, posts: int) -> int:
        """One for the account, one for the stories, one a page, one a post."""
        return 2 + max(1, -(-posts // self.posts_a_page)) + posts

    def _page(self, reading: Reading, url: str, after: str | None) -> Any:
        """One page of a listing; half as long for as long as the platform finds it too much."""
        limit = self.posts_a_page
        while True:
            try:
                return reading.caller.get(url, fields=POST_FIELDS, limit=limit, after=after, holds="data")
            except Refused as refusal:
                if TOO_MUCH_DATA not in str(refusal) or limit == 1:
                    raise
                limit //= 2

    def _insights(self, reading: Reading, post: PostRecord) -> dict[str, Any]:
        """Metric -> value, and the reason under `unavailable` where the platform gives no numbers."""
        families = self.registry.families(post.media, reading.started_at.date())
        url = f"{reading.base_url}/{VERSION}/{post.native_id}/insights"

        def request(wanted: Sequence[str]) -> dict[str, Any]:
            body = reading.caller.get(url, metric=",".join(wanted), holds="data")
            return graph.insights(body["data"]) | {name: body[name] for name in ("unavailable",) if name in body}

        parts = [
            part
            for family in families.values()
            for part in ask([metric.name for metric in family], post.media, reading.retired, request)
        ]
        return {name: value for part in parts for name, value in part.items()}


def _error(answer: Answer) -> Mapping[str, Any]:
    """The error envelope; empty where there is none."""
    try:
        body = json.loads(answer.text)
    except ValueError:
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _can_read_newest(reading: Reading) -> bool:
    """Whether the newest post that is listed can be read by its id."""
    url = f"{reading.base_url}/{VERSION}"
    body = reading.caller.get(f"{url}/{reading.platform_id}/media", fields="id", limit=1, holds="data")
    return bool(body["data"]) and not _is_gone(reading, f"{url}/{body['data'][0]['id']}")


def _is_gone(reading: Reading, url: str) -> bool:
    """Whether it is gone when asked again: the same answer has been seen under load."""
    try:
        reading.caller.get(url, fields="id")
    except Gone:
        return True
    return False


def _is_over(post: PostRecord, now: datetime) -> bool:
    """Whether it is a story whose 24 hours are over: its numbers are no longer told."""
    return post.media == "story" and post.published_at is not None and post.published_at + STORY_LIFE <= now


def _kind(item: Mapping[str, Any]) -> str:
    """What the post is, in the terms of the registry."""
    product, path = item.get("media_product_type"), item.get("permalink") or ""
    if product is None and (found := next((kind for part, kind in KINDS_BY_PATH.items() if part in path), None)):
        return found
    return KINDS_BY_PRODUCT.get(product or "") or KINDS_BY_TYPE.get(item.get("media_type", ""), "other")


def _post(reading: Reading, item: Mapping[str, Any]) -> PostRecord:
    kind, published = _kind(item), graph.time_of(item.get("timestamp"))
    is_video, media_url = item.get("media_type") == "VIDEO", item.get("media_url")
    attributes = {
        "description": item.get("caption"),
        "post_type": POST_TYPES.get(kind),
        "publish_time": published.isoformat() if published else None,
        "permalink": item.get("permalink"),
        # A post of several authors may be another account's; `owner` may bear an id that only this app knows.
        "page_id": reading.platform_id if reading.username in {None, item.get("username")} else None,
        "page_name": item.get("username"),
        "thumbnail_url": item.get("thumbnail_url") or (media_url if kind == "image" else None),
        "video_url": media_url if is_video else None,
        "privacy_status": None if kind == "story" else "public",  # a story may be for close friends
    }
    known = {name: value for name, value in attributes.items() if value is not None}
    return PostRecord(str(item["id"]), kind, published, known, _counts(kind, item), raw=dict(item))


def _counts(kind: str, item: Mapping[str, Any]) -> dict[str, int]:
    """The counters of the listing. Hidden ones are missing; a story has none, whatever is shown."""
    counts = {"reactions": item.get("like_count"), "comments": item.get("comments_count")}
    return {name: value for name, value in counts.items() if value is not None and kind != "story"}


def _values(post: PostRecord, known: Mapping[str, Any]) -> dict[str, Any]:
    """Our columns. A counter of the listing stands: insights tell the same up to two days later."""
    return {
        metric.column: metric.value(known[metric.name])
        for metric in METRICS
        if metric.column and metric.name in known and metric.column not in post.values
    }
