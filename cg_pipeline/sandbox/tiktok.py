"""The sandbox's TikTok: answers of the Accounts API of TikTok API for Business. Facts as in `platforms.tiktok`.

Accounts with an even number are registered Business accounts. Three faults are TikTok's own: `under_review` hides the
posts `ids` from list and lookup, `counters_delayed` tells metrics as of `days` days earlier, `missing_scope` refuses
the fields that need the permission `scope`.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from cg_pipeline.sandbox.server import Handler, Sandbox, endpoint
from cg_pipeline.sandbox.tokens import Grant
from cg_pipeline.sandbox.world import Account, Counters, Post

PLATFORM = "tiktok"
LIFE = timedelta(days=1)
REFRESH_LIFE = timedelta(days=365)
PAGE, MOST = 10, 20
SCOPE = "user.info.basic,user.info.username,user.info.profile,user.info.stats,video.list,video.insights"
VIDEO_LIST = (
    "item_id", "create_time", "caption", "media_type", "share_url", "embed_url", "thumbnail_url", "video_duration",
    "is_ad", "video_views", "likes", "comments", "shares", "favorites",
)  # fmt: skip
CLICKS = ("website_clicks", "phone_number_clicks", "app_download_clicks", "email_clicks", "address_clicks")
VIDEO_INSIGHTS = (
    "reach", "total_time_watched", "average_time_watched", "full_video_watched_rate", "new_followers",
    "video_view_retention", "engagement_likes", "impression_sources", "audience_countries", "audience_cities",
    "audience_genders", "audience_types", "profile_views", *CLICKS, "lead_submissions",
)  # fmt: skip
SCOPES = {
    "user.info.basic": ("display_name", "profile_image"),
    "user.info.username": ("username",),
    "user.info.profile": ("bio_description", "is_verified", "profile_deep_link"),
    "user.info.stats": ("followers_count", "following_count", "total_likes", "videos_count"),
    "user.account.type": ("is_business_account",),
    "video.list": VIDEO_LIST,
    "video.insights": VIDEO_INSIGHTS,
}
SOURCES = (("For You", 0.81), ("Personal Profile", 0.09), ("Follow", 0.06), ("Search", 0.04))


class _Refusal(Exception):
    """The code and the message of a refusal."""


def _envelope(code: int, message: str, data: Mapping[str, Any] | None = None) -> JSONResponse:
    """HTTP 200 whatever is answered."""
    body = {"code": code, "message": message, "request_id": "20260301000000SANDBOX", "data": data or {}}
    return JSONResponse(body)


def connect(sandbox: Sandbox, account: Account) -> Grant:
    """A token for a day, and one to renew it with."""
    return sandbox.tokens.issue(account, LIFE, with_refresh=True)


def token_of(request: Request) -> str:
    """From TikTok's own header."""
    return request.headers.get("access-token", "")


def unauthorized(sandbox: Sandbox, grant: Grant | None) -> Response:
    """Expired tokens have a code of their own."""
    if grant is not None and grant.expires_at is not None and grant.expires_at <= sandbox.now:
        return _envelope(40102, "Access token is expired.")
    return _envelope(40105, "Access token is incorrect or has been revoked.")


def throttled(_: Sandbox, __: Account, seconds: int | None) -> Response:
    """TikTok tells which limit is reached, never how long to wait: that of a second, a minute or a day."""
    if seconds is None or seconds <= 2:
        return _envelope(40100, "Too many requests. Please retry in some time.")
    if seconds <= 300:
        return _envelope(40016, "Requests made too frequently: the limit per minute is reached.")
    return _envelope(40133, "The daily quota of requests is exceeded.")


def forbidden(_: Sandbox, __: Account) -> Response:
    """A permission is missing."""
    return _envelope(40001, "The app does not have permission to access this TikTok account.")


def routes(sandbox: Sandbox, here: Any) -> list[BaseRoute]:
    """What the connector asks. An address without its last slash is another one, which is not there."""

    async def refresh_token(request: Request) -> Response:
        return await refresh(sandbox, request)

    async def nowhere(_: Request) -> Response:
        return PlainTextResponse("404 page not found", 404)

    return [
        Route("/business/get/", endpoint(sandbox, here, _refusable(_account))),
        Route("/business/video/list/", endpoint(sandbox, here, _refusable(_videos))),
        Route("/tt_user/oauth2/refresh_token/", refresh_token, methods=["POST"]),
        Route("/{rest:path}", nowhere, methods=["GET", "POST"]),
    ]


async def refresh(sandbox: Sandbox, request: Request) -> Response:
    """Another pair for a refresh token that has not been used: a second use ends the consent."""
    asked = await request.json()
    if missing := [
        name for name in ("client_id", "client_secret", "grant_type", "refresh_token") if not asked.get(name)
    ]:
        return _envelope(40002, f"{missing[0]}: Missing data for required parameter.")
    if asked["grant_type"] != "refresh_token":
        return _envelope(40002, "grant_type: Must be refresh_token.")
    grant = sandbox.tokens.rotate(asked["refresh_token"], LIFE, single_use=True)
    if grant is None:
        return _envelope(40107, "Refresh token is invalid.")
    given = {
        "access_token": grant.access, "token_type": "Bearer", "scope": SCOPE, "open_id": grant.account.platform_id,
        "expires_in": int(LIFE.total_seconds()), "refresh_token": grant.refresh,
        "refresh_token_expires_in": int(REFRESH_LIFE.total_seconds()),
    }  # fmt: skip
    return _envelope(0, "OK", given)


def _refusable(answer: Callable[[Sandbox, Account, QueryParams], Mapping[str, Any]]) -> Handler:
    """A handler that puts data or a refusal into the envelope."""

    async def handle(sandbox: Sandbox, account: Account, request: Request) -> Response:
        params = request.query_params
        try:
            if params.get("business_id") != account.platform_id:
                raise _Refusal(40001, "No permission to access this business_id.")
            return _envelope(0, "OK", answer(sandbox, account, params))
        except _Refusal as refusal:
            return _envelope(*refusal.args)

    return handle


def _json(params: QueryParams, name: str, default: Any) -> Any:
    """A parameter whose value is JSON."""
    try:
        return json.loads(params[name]) if name in params else default
    except ValueError as error:
        raise _Refusal(40002, f"{name}: Not a valid JSON value.") from error


def _fields(sandbox: Sandbox, account: Account, params: QueryParams, scopes: Sequence[str], default: str) -> list[str]:
    """The fields that were asked for; one that does not exist fails the call, as does one without its permission."""
    wanted = _json(params, "fields", [default])
    if not isinstance(wanted, list) or (default == "item_id" and default not in wanted):
        raise _Refusal(40002, "fields: Must be a list that includes item_id.")
    retired, missing = sandbox.is_on(account, "retired_metric"), sandbox.is_on(account, "missing_scope")
    there = {name: scope for scope in scopes for name in SCOPES[scope]}
    for name in wanted:
        if name not in there or (retired and retired.values["name"] == name):
            raise _Refusal(40002, f"fields: Invalid value '{name}'. It is not a supported field.")
        if missing and missing.values["scope"] == there[name]:
            raise _Refusal(40001, f"Missing permission {there[name]} for the field {name}.")
    return wanted


def _only(item: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: item[name] for name in names if name in item}


def _account(sandbox: Sandbox, account: Account, params: QueryParams) -> Mapping[str, Any]:
    """The account now."""
    scopes = [scope for scope in SCOPES if scope.startswith("user.")]
    names = _fields(sandbox, account, params, scopes, "username")
    seen = {
        "display_name": account.name,
        "profile_image": f"https://p16-sign.example/{account.username}.jpeg?x-expires=1764000000&x-signature=s",
        "username": account.username,
        "bio_description": f"All about {account.name}",
        "is_verified": account.number == 0,
        "profile_deep_link": f"https://vm.tiktok.example/{account.username}",
        "followers_count": account.followers(sandbox.now),
        "following_count": 12,
        "total_likes": sum(sandbox.counters(post).reactions for post in _public(sandbox, account)),
        "videos_count": len(_public(sandbox, account)),
        "is_business_account": _is_business(account),
    }
    return _only(seen, names)


def _videos(sandbox: Sandbox, account: Account, params: QueryParams) -> Mapping[str, Any]:
    """One page, newest first: posts before `cursor`, of which those under review are then taken out."""
    names = _fields(sandbox, account, params, ("video.list", "video.insights"), "item_id")
    posts = _chosen(_public(sandbox, account), _json(params, "filters", {}).get("video_ids"))
    size = _whole(params, "max_count", PAGE)
    if not 1 <= size <= MOST:
        raise _Refusal(40002, f"max_count: Must be between 1 and {MOST}.")
    before = _whole(params, "cursor", _milliseconds(sandbox.now))
    older = [post for post in posts if _milliseconds(post.published_at) < before]
    page, has_more = older[:size], len(older) > size
    following = _milliseconds(page[-1].published_at) if page else before
    if sandbox.is_on(account, "repeated_page"):
        following, has_more = before, True
    review = sandbox.is_on(account, "under_review")
    shown = [post for post in page if not (review and post.native_id in review.values["ids"])]
    videos = [_only(_item(sandbox, post), names) for post in shown]
    return {"videos": videos, "cursor": following, "has_more": has_more}


def _public(sandbox: Sandbox, account: Account) -> Sequence[Post]:
    return sandbox.world.posts(account, sandbox.now, private=False)


def _chosen(posts: Sequence[Post], ids: Sequence[str] | None) -> Sequence[Post]:
    """The posts of these ids. Those that are not there are left out silently; an id of another form fails the call."""
    if ids is None:
        return posts
    if len(ids) > MOST:
        raise _Refusal(40011, f"filters.video_ids: Longer than the maximum of {MOST}.")
    if strange := [one for one in ids if not (one.isdigit() and 15 <= len(one) <= 19)]:
        raise _Refusal(40053, f"The video id {strange[0]} is invalid.")
    return [post for post in posts if post.native_id in ids]


def _whole(params: QueryParams, name: str, default: int) -> int:
    text = params.get(name, str(default))
    if not text.isdigit():
        raise _Refusal(40002, f"{name}: Not a valid integer.")
    return int(text)


def _milliseconds(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp() * 1000)


def _is_business(account: Account) -> bool:
    return account.number % 2 == 0


def _item(sandbox: Sandbox, post: Post) -> dict[str, Any]:
    """One post with all that TikTok tells of it."""
    kind, owner = post.media, post.account
    tracking = "utm_campaign=tt4d_open_api&utm_source=sandbox"
    return {
        "item_id": post.native_id,
        "create_time": str(int(post.published_at.timestamp())),
        "caption": post.text,
        "media_type": kind.upper(),
        "share_url": f"https://www.tiktok.com/@{owner.username}/{kind}/{post.native_id}?{tracking}",
        "embed_url": f"https://www.tiktok.com/player/v1/{post.native_id}?{tracking}",
        "thumbnail_url": f"https://p16-sign.example/{post.native_id}~c5_300x300.jpeg?x-expires=1764000000&x-signature=s",
        "video_duration": float(post.duration),
        "is_ad": False,
    } | _metrics(sandbox, post)


def _metrics(sandbox: Sandbox, post: Post) -> dict[str, Any]:
    """The lifetime totals: null until the platform knows them, and where a permission is missing."""
    nothing: dict[str, Any] = dict.fromkeys((*VIDEO_LIST[9:], *VIDEO_INSIGHTS))
    seen = sandbox.counters(post)
    if delay := sandbox.is_on(post.account, "counters_delayed"):
        earlier = sandbox.now - timedelta(days=int(delay.values["days"]))
        seen = sandbox.world.counters(post, earlier)
        if post.published_at > earlier:
            return nothing
    if sandbox.is_on(post.account, "no_permission_empty"):
        return nothing
    metrics = _totals(seen) | _watching(post, seen) | _audience(seen)
    if _is_business(post.account):
        metrics |= {"profile_views": seen.profile_visits} | dict.fromkeys(CLICKS, 0) | {"lead_submissions": 0}
    if sandbox.is_on(post.account, "hidden_counters"):
        metrics |= {"likes": None, "comments": None}
    return metrics


def _totals(seen: Counters) -> dict[str, Any]:
    return {
        "video_views": seen.views,
        "likes": seen.reactions,
        "comments": seen.comments,
        "shares": seen.shares,
        "favorites": seen.saves,
        "reach": seen.reach,
        "new_followers": seen.followers_gained,
    }


def _watching(post: Post, seen: Counters) -> dict[str, Any]:
    """What is told of watching; of photos nothing."""
    if not post.duration:
        return {"total_time_watched": None, "average_time_watched": None, "full_video_watched_rate": None}
    return {
        "total_time_watched": float(seen.seconds_viewed),
        "average_time_watched": round(seen.seconds_viewed / seen.views, 3) if seen.views else None,
        "full_video_watched_rate": 0.2105,
        "video_view_retention": [{"second": "1", "percentage": 0.92}, {"second": "2", "percentage": 0.81}],
        "engagement_likes": [{"second": "1", "percentage": 0.4}],
    }


def _audience(seen: Counters) -> dict[str, Any]:
    """Shares, never counts; nothing below a hundred viewers."""
    if seen.reach < 100:
        return {name: [] for name in VIDEO_INSIGHTS if name.startswith("audience") or name == "impression_sources"}
    countries = [
        {"country": country, "percentage": round(views / seen.views, 4)} for country, views in seen.by_country.items()
    ]
    return {
        "impression_sources": [{"impression_source": name, "percentage": share} for name, share in SOURCES],
        "audience_countries": countries,
        "audience_cities": [{"city_name": "Berlin", "percentage": 0.04}],
        "audience_genders": [{"gender": "Female", "percentage": 0.6}, {"gender": "Male", "percentage": 0.38}],
        "audience_types": [{"type": "NEW_VIEWER", "percentage": 0.7}, {"type": "RETURN_VIEWER", "percentage": 0.3}],
    }
