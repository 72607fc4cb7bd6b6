"""The sandbox's Instagram: answers of graph.instagram.com. Facts as in `platforms.instagram`."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from cg_pipeline.sandbox import graph
from cg_pipeline.sandbox.server import Handler, Sandbox, endpoint
from cg_pipeline.sandbox.tokens import Grant
from cg_pipeline.sandbox.world import BEGINNING, Account, Post

PLATFORM = "instagram"
LIFE, YOUNGEST = timedelta(days=60), timedelta(hours=24)
STORY_LIFE = timedelta(hours=24)
MOST_LISTED = 10_000
FEWEST_VIEWERS = 5

CONVERTED_AT = BEGINNING
"""When the accounts became professional ones: what was posted before has no insights. For tests to move."""
NOT_ON_FACEBOOK: frozenset[str] = frozenset()
"""The names of the accounts that share nothing to Facebook. For tests to fill."""

# `media_product_type` and `media_type` by kind: a reel is a VIDEO like any other.
KINDS = {
    "reel": ("REELS", "VIDEO"),
    "image": ("FEED", "IMAGE"),
    "carousel": ("FEED", "CAROUSEL_ALBUM"),
    "story": ("STORY", "VIDEO"),
}
ALL = ("views", "reach", "shares", "reposts", "total_interactions", "facebook_views")
ON_PROFILE = ("follows", "profile_visits", "profile_activity")
METRICS = {
    "FEED": (*ALL, "likes", "comments", "saved", *ON_PROFILE),
    "REELS": (*ALL, "likes", "comments", "saved", "ig_reels_avg_watch_time", "ig_reels_video_view_total_time",
              "reels_skip_rate", "crossposted_views"),
    "STORY": (*ALL, *ON_PROFILE, "navigation", "replies", "link_clicks"),
}  # fmt: skip
KNOWN = ("impressions", *dict.fromkeys(name for names in METRICS.values() for name in names))
MEDIA_FIELDS = frozenset({
    "id", "ig_id", "caption", "media_type", "media_product_type", "media_url", "thumbnail_url", "permalink",
    "shortcode", "timestamp", "username", "owner", "like_count", "comments_count", "is_comment_enabled",
    "is_shared_to_feed", "media_audio_type", "alt_text", "is_ai_generated", "legacy_instagram_media_id", "children",
})  # fmt: skip
USER_FIELDS = frozenset({
    "id", "user_id", "username", "name", "account_type", "profile_picture_url", "followers_count", "follows_count",
    "media_count",
})  # fmt: skip

token_of = graph.token_of
unauthorized = graph.unauthorized
forbidden = graph.forbidden


def connect(sandbox: Sandbox, account: Account) -> Grant:
    """A long-lived token."""
    return sandbox.tokens.issue(account, LIFE)


def throttled(_: Sandbox, account: Account, seconds: int | None) -> Response:
    """The limit of an app and account."""
    return graph.throttled(80002, "instagram", account, seconds)


def routes(sandbox: Sandbox, here: Any) -> list[BaseRoute]:
    """What the connector asks."""
    return [
        Route("/refresh_access_token", endpoint(sandbox, here, refresh)),
        Route("/v26.0/me", endpoint(sandbox, here, _with_usage(me))),
        Route("/v26.0/{user}/media", endpoint(sandbox, here, _with_usage(media))),
        Route("/v26.0/{user}/stories", endpoint(sandbox, here, _with_usage(stories))),
        Route("/v26.0/{post}/insights", endpoint(sandbox, here, _with_usage(insights))),
        Route("/v26.0/{post}", endpoint(sandbox, here, _with_usage(single))),
    ]


def _with_usage(handler: Handler) -> Handler:
    """Every answer tells how much of the limit is used."""

    async def answer(sandbox: Sandbox, account: Account, request: Request) -> Response:
        response = await handler(sandbox, account, request)
        response.headers.update(graph.usage("instagram", account, 1))
        return response

    return answer


async def refresh(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """Another 60 days, for tokens that are a day old. The token stands in the address."""
    grant = sandbox.tokens.grant_of(request.query_params.get("access_token", ""))
    if grant is None or request.query_params.get("grant_type") != "ig_refresh_token":
        return graph.error(400, 100, "Invalid parameter")
    if sandbox.now - grant.issued_at < YOUNGEST:
        return graph.error(400, 100, "The access token must be at least 24 hours old to be refreshed")
    fresh = sandbox.tokens.issue(account, LIFE, family=grant.family)
    life = int(LIFE.total_seconds())
    return JSONResponse({"access_token": fresh.access, "token_type": "bearer", "expires_in": life})


async def me(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """The account. `id` is the app's own number for it."""
    item = {
        "id": f"2{account.platform_id[1:]}",
        "user_id": account.platform_id,
        "username": account.username,
        "name": account.name,
        "account_type": "MEDIA_CREATOR",
        "profile_picture_url": f"https://cdn.example/{account.username}.jpg",
        "followers_count": account.followers(sandbox.now),
        "follows_count": 40 + account.number,
        "media_count": len(_listed(sandbox, account)),
    }
    return _unknown(request, USER_FIELDS, "IGUser") or JSONResponse(_picked(request, item))


async def media(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """The newest posts; no stories, nothing archived."""
    return _listing(sandbox, account, request, _listed(sandbox, account)[:MOST_LISTED])


async def stories(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """The stories that are live."""
    return _listing(sandbox, account, request, _listed(sandbox, account, stories=True))


async def single(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """One post."""
    post = _find(sandbox, account, request.path_params["post"])
    if post is None:
        return graph.gone(request.path_params["post"])
    return _unknown(request, MEDIA_FIELDS, "IGMedia") or JSONResponse(_picked(request, _item(sandbox, post)))


async def insights(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """The counters of a post; one metric that is not for it fails the call."""
    post = _find(sandbox, account, request.path_params["post"])
    if post is None:
        return graph.gone(request.path_params["post"])
    wanted = [name for name in request.query_params.get("metric", "").split(",") if name]
    if (refused := _refusal(sandbox, post, wanted)) is not None:
        return refused
    if sandbox.is_on(account, "no_permission_empty"):
        return JSONResponse({"data": []})
    values = _values(sandbox, post)
    return JSONResponse(graph.lifetime(post.native_id, {name: values[name] for name in wanted if name in values}))


def _refusal(sandbox: Sandbox, post: Post, wanted: Sequence[str]) -> Response | None:
    """Why these metrics are not told of this post."""
    if post.published_at < CONVERTED_AT:
        message = (
            "The media was posted before the most recent time that the account was converted to a business account"
        )
        return graph.error(400, 100, message, 2108006, "IGApiException")
    if (refused := _bad_metric(sandbox, post, wanted)) is not None:
        return refused
    if "facebook_views" in wanted and post.account.username in NOT_ON_FACEBOOK:
        return graph.error(400, 100, "This post is not crossposted to Facebook", 2207086, "IGApiException")
    if post.media == "story" and sandbox.counters(post).reach < FEWEST_VIEWERS:
        return graph.error(400, 10, "(#10) Not enough viewers for the media to show insights")
    return None


def _bad_metric(sandbox: Sandbox, post: Post, wanted: Sequence[str]) -> Response | None:
    """The three ways in which a metric is refused."""
    if not wanted:
        return graph.error(400, 100, "(#100) The value must be a valid insights metric")
    retired = sandbox.is_on(post.account, "retired_metric")
    known = [name for name in KNOWN if not (retired and retired.values["name"] == name)]
    product = KINDS[post.media][0]
    for place, name in enumerate(wanted):
        if name not in known:
            return graph.error(
                400, 100, f"(#100) metric[{place}] must be one of the following values: {', '.join(known)}"
            )
        if name not in METRICS[product]:
            message = f"(#100) The Media Insights API does not support the {name} metric for this media product type."
            return graph.error(400, 100, message)
    return None


def _values(sandbox: Sandbox, post: Post) -> dict[str, float]:
    seen = sandbox.counters(post)
    values: dict[str, float] = {
        "views": seen.views,
        "reach": seen.reach,
        "likes": seen.reactions,
        "comments": seen.comments,
        "saved": seen.saves,
        "shares": seen.shares,
        "total_interactions": seen.reactions + seen.comments + seen.saves + seen.shares,
        "reposts": seen.shares // 3,
        "follows": seen.followers_gained,
        "profile_visits": seen.profile_visits,
        "profile_activity": seen.clicks,
        "ig_reels_video_view_total_time": seen.seconds_viewed * 1000 + 417,
        "ig_reels_avg_watch_time": seen.seconds_viewed * 1000 // max(seen.views, 1),
        "reels_skip_rate": 0.31,
        "facebook_views": seen.views // 10,
        "crossposted_views": seen.views + seen.views // 10,
        "navigation": seen.views // 2,
        "replies": seen.comments,
        "link_clicks": seen.clicks,
    }
    if sandbox.is_on(post.account, "hidden_counters"):
        del values["likes"], values["comments"]
    return values


def _find(sandbox: Sandbox, account: Account, native_id: str) -> Post | None:
    post = sandbox.world.post(account, native_id, sandbox.now)
    return post if post and not post.is_private and _is_live(sandbox, post) else None


def _is_live(sandbox: Sandbox, post: Post) -> bool:
    """A story goes after a day."""
    return post.media != "story" or sandbox.now < post.published_at + STORY_LIFE


def _listed(sandbox: Sandbox, account: Account, *, stories: bool = False) -> list[Post]:
    there = sandbox.world.posts(account, sandbox.now, private=False)
    return [post for post in there if (post.media == "story") is stories and _is_live(sandbox, post)]


def _listing(sandbox: Sandbox, account: Account, request: Request, posts: Sequence[Post]) -> Response:
    if request.path_params["user"] not in {account.platform_id, "me"}:
        return graph.gone(request.path_params["user"])
    return _unknown(request, MEDIA_FIELDS, "IGMedia") or graph.page(
        sandbox, account, request, posts, lambda post: _picked(request, _item(sandbox, post))
    )


def _item(sandbox: Sandbox, post: Post) -> dict[str, Any]:
    product, media_type = KINDS[post.media]
    shortcode, seen = f"D{post.native_id[-10:]}", sandbox.counters(post)
    path = {"REELS": "reel", "STORY": f"stories/{post.account.username}"}.get(product, "p")
    item = {
        "id": post.native_id,
        "caption": post.text,
        "media_type": media_type,
        "media_product_type": product,
        "media_url": f"https://cdn.example/instagram/{post.native_id}",
        "permalink": f"https://www.instagram.com/{path}/{shortcode}/",
        "shortcode": shortcode,
        "timestamp": graph.time(post.published_at),
        "username": post.account.username,
        "owner": {"id": post.account.platform_id},
        "like_count": seen.reactions,
        "comments_count": seen.comments,
        "is_comment_enabled": True,
    }
    return {name: value for name, value in (item | _extras(post)).items() if name not in _withheld(sandbox, post)}


def _extras(post: Post) -> dict[str, Any]:
    """What only some kinds have."""
    if post.media == "carousel":
        children = [{"id": f"{post.native_id}{place}", "media_type": "IMAGE"} for place in (1, 2)]
        return {"children": {"data": children}}
    if KINDS[post.media][1] == "VIDEO":
        return {"thumbnail_url": f"https://cdn.example/instagram/{post.native_id}.jpg", "is_shared_to_feed": True}
    return {"alt_text": f"Picture no. {post.number}"}


def _withheld(sandbox: Sandbox, post: Post) -> set[str]:
    """Likes that the owner hides; the file of a reel with somebody else's music; a story has no counters."""
    hidden = {"like_count", "comments_count"} if sandbox.is_on(post.account, "hidden_counters") else set()
    return hidden | ({"media_url"} if post.media == "reel" and post.number % 5 == 3 else set())


def _names(request: Request) -> list[str]:
    """The fields that are asked for, without those of nested objects."""
    return re.sub(r"\{[^}]*\}", "", request.query_params.get("fields", "id")).split(",")


def _picked(request: Request, item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in dict.fromkeys(["id", *_names(request)]) if name in item}


def _unknown(request: Request, known: frozenset[str], node: str) -> Response | None:
    """A field that does not exist fails the call."""
    if wrong := next((name for name in _names(request) if name not in known), None):
        return graph.error(400, 100, f"(#100) Tried accessing nonexisting field ({wrong}) on node type ({node})")
    return None
