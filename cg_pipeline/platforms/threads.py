"""Threads: addresses, metrics and mapping. Facts: developers.facebook.com/documentation/threads (insights 2026-01-30,
retrieve-posts 2026-04-14). There is neither a batch call nor a list of ids: one insights call a post.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from cg_pipeline.errors import AccessDenied, Disconnected, Gone, Refused, TokenExpired
from cg_pipeline.platforms import graph
from cg_pipeline.platforms.contract import AsOf, Connector, Reading, Renewal
from cg_pipeline.platforms.http import Answer, Request, pages
from cg_pipeline.platforms.records import AccountRecord, Lookup, MetricsRecord, PostRecord, Tokens
from cg_pipeline.platforms.registry import Metric, Registry, ask

POST_FIELDS = (
    "id,media_product_type,media_type,media_url,permalink,owner,username,text,timestamp,shortcode,thumbnail_url,"
    "children{id,media_type,media_url},is_quote_post,quoted_post,reposted_post,alt_text,link_attachment_url,gif_url,"
    "poll_attachment,topic_tag,text_entities"
)
ACCOUNT_FIELDS = "id,username,name,threads_profile_picture_url,threads_biography,is_verified"
TYPES = {"TEXT_POST": "Text", "IMAGE": "Photo", "VIDEO": "Video", "CAROUSEL_ALBUM": "Photo", "AUDIO": "Status"}
REPOST = "REPOST_FACADE"  # somebody else's post, shown on the profile: it has no counters of its own

# `shares` comes last: old clients lack it, and the sum below needs it apart.
METRICS = (
    Metric("views", "views", scope="threads_manage_insights"),
    Metric("likes", "reactions", scope="threads_manage_insights"),
    Metric("replies", "comments", scope="threads_manage_insights"),
    Metric("reposts", None, scope="threads_manage_insights"),
    Metric("quotes", None, scope="threads_manage_insights"),
    Metric("shares", None, scope="threads_manage_insights"),
)
SHARING = ("reposts", "quotes", "shares")
NOT_THERE = re.compile(r"\(code 24\b")  # another word for what Meta's others say by code 100 with subcode 33
RENEW_BEFORE = timedelta(days=14)


class Threads(Connector):
    """Threads, as the owner of a profile sees it."""

    platform = "threads"
    as_of = AsOf.NOW_ONLY
    settling_days = 0
    base_url = "https://graph.threads.net"
    registry = Registry(METRICS)
    scopes: Mapping[str, str] = {
        "threads_basic": "posts and the account",
        "threads_manage_insights": "all counters",
    }
    posts_a_page = 100

    def authorize(self, token: str) -> Mapping[str, str]:
        """The token as a bearer."""
        return graph.authorize(token)

    def check(self, answer: Answer, now: datetime) -> Any:
        """As all of Meta's, but for one more code of what is gone."""
        try:
            return graph.check(answer, now)
        except Refused as refusal:
            if NOT_THERE.search(str(refusal)):
                raise Gone(str(refusal)) from refusal
            raise

    def quota(self, answer: Answer, now: datetime) -> tuple[int, datetime] | None:
        """As all of Meta's."""
        return graph.quota(answer, now)

    def account(self, reading: Reading) -> AccountRecord:
        """The profile; its followers are an insight, and unknown where that is denied."""
        url = f"{reading.base_url}/v1.0/me"
        seen = reading.caller.get(url, fields=ACCOUNT_FIELDS)
        reading.require_own(str(seen["id"]))
        try:
            followers = _insights(reading, f"{seen['id']}/threads_insights", ["followers_count"])
        except AccessDenied as refusal:
            followers = {"unavailable": str(refusal)}
        return AccountRecord(
            platform_id=str(seen["id"]),
            name=seen.get("name"),
            username=seen.get("username"),
            follower_count=followers.get("followers_count"),
            profile_image_url=seen.get("threads_profile_picture_url"),
            bio=seen.get("threads_biography"),
            raw=seen | {name: followers[name] for name in ("unavailable",) if name in followers},
        )

    def posts(self, reading: Reading) -> Iterator[list[PostRecord]]:
        """The profile's own top-level posts, newest first. Plain reposts of others are no posts of ours."""

        def read(after: str | None) -> tuple[list[PostRecord], str | None]:
            url = f"{reading.base_url}/v1.0/{reading.platform_id}/threads"
            body = reading.caller.get(url, fields=POST_FIELDS, limit=self.posts_a_page, after=after, holds="data")
            own = [item for item in body["data"] if item.get("media_type") != REPOST]
            return [_post(item) for item in own], graph.cursor(body)

        yield from pages(None, read)

    def lookup(self, reading: Reading, native_ids: Sequence[str]) -> Lookup:
        """One call a post. A lost permission looks as if posts were gone: one that can be read must prove it is not.

        Where it is none of these, the newest that is listed must, for two calls more. Without a proof they are unknown.
        """
        found, gone = _by_ids(reading, native_ids)
        if gone and not found:
            url = f"{reading.base_url}/v1.0/{reading.platform_id}/threads"
            listed = reading.caller.get(url, fields="id,media_type", holds="data")["data"]
            own = [str(item["id"]) for item in listed if item.get("media_type") != REPOST]
            proof, _ = _by_ids(reading, own[:1])
            gone = gone if proof else set()
        return Lookup(found, frozenset(gone))

    def metrics(self, reading: Reading, posts: Sequence[PostRecord]) -> Iterator[MetricsRecord]:
        """One call a post. What is denied of a post is told in raw."""
        names = [metric.name for metric in METRICS]
        for post in posts:
            request = partial(_insights, reading, f"{post.native_id}/insights")
            try:
                known = {name: value for part in ask(names, post.media, reading.retired, request)
                         for name, value in part.items()}  # fmt: skip
            except Gone:
                continue  # it went between the listing and now
            except AccessDenied as refusal:
                known = {"unavailable": str(refusal)}
            yield MetricsRecord(post.native_id, _values(known), raw=known)

    def renew(self, renewal: Renewal) -> Tokens:
        """Extend the token by 60 days; there is no refresh token, so an expired one needs the person again."""
        tokens, now = renewal.tokens, renewal.now
        if tokens.expires_at is not None and tokens.expires_at <= now:
            message = "The token of Threads has expired and cannot be extended: connect the site again."
            raise Disconnected(message)
        request = Request("GET", f"{renewal.base_url}/refresh_access_token", {"grant_type": "th_refresh_token"})
        try:
            body = renewal.send(self, request, self.authorize(tokens.access))
        except (Refused, TokenExpired) as error:
            message = f"Threads no longer extends the token ({error}): connect the site again."
            raise Disconnected(message) from error
        return Tokens(body["access_token"], None, now + timedelta(seconds=body["expires_in"]), tokens.scope)

    def renew_before(self, tokens: Tokens, now: datetime) -> bool:
        """Two weeks ahead: it must be done while the token is valid, and may be done every day."""
        return tokens.expires_at is not None and now >= tokens.expires_at - RENEW_BEFORE

    def minimum_calls(self, posts: int) -> int:
        """Two for the account, one a page, one a post."""
        return 2 + max(1, -(-posts // self.posts_a_page)) + posts


def _insights(reading: Reading, path: str, names: Sequence[str]) -> dict[str, Any]:
    """Metric -> value."""
    body = reading.caller.get(f"{reading.base_url}/v1.0/{path}", metric=",".join(names), holds="data")
    return graph.insights(body["data"])


def _by_ids(reading: Reading, native_ids: Sequence[str]) -> tuple[list[PostRecord], set[str]]:
    """The posts that can be read, and the ids of those that are gone or not for this token."""
    found, gone = [], set()
    for native_id in native_ids:
        try:
            found.append(_post(reading.caller.get(f"{reading.base_url}/v1.0/{native_id}", fields=POST_FIELDS)))
        except Gone:
            gone.add(native_id)
    return found, gone


def _post(item: Mapping[str, Any]) -> PostRecord:
    published = graph.time_of(item.get("timestamp"))
    attributes = {
        "description": item.get("text"),
        "post_type": TYPES.get(item.get("media_type", "")),
        "publish_time": published.isoformat() if published else None,
        "permalink": item.get("permalink"),
        "page_name": item.get("username"),
        "thumbnail_url": item.get("thumbnail_url"),
        "video_url": item.get("media_url") if item.get("media_type") == "VIDEO" else None,
        "hashtags": [item["topic_tag"].casefold()] if item.get("topic_tag") else None,
        "privacy_status": "public",
    }
    known = {name: value for name, value in attributes.items() if value is not None}
    return PostRecord(str(item["id"]), "any", published, known, raw=dict(item))


def _values(known: Mapping[str, Any]) -> dict[str, Any]:
    """Our columns. Reposts, quotes and shares are kept apart in raw_data and added up in `shares`."""
    values = {
        metric.column: metric.value(known[metric.name]) for metric in METRICS if metric.column and metric.name in known
    }
    if parts := [known[name] for name in SHARING if name in known]:
        values["shares"] = sum(parts)
    return values
