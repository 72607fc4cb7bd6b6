"""The sandbox's Threads: answers of graph.threads.net. Facts as in `platforms.threads`."""

from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from cg_pipeline.sandbox import graph
from cg_pipeline.sandbox.server import Sandbox, endpoint
from cg_pipeline.sandbox.tokens import Grant
from cg_pipeline.sandbox.world import Account, Post

PLATFORM = "threads"
LIFE = timedelta(days=60)
KINDS = {"text": "TEXT_POST", "image": "IMAGE", "video": "VIDEO"}
METRICS = ("views", "likes", "replies", "reposts", "quotes", "shares")

token_of = graph.token_of
unauthorized = graph.unauthorized
forbidden = graph.forbidden


def connect(sandbox: Sandbox, account: Account) -> Grant:
    """A long-lived token."""
    return sandbox.tokens.issue(account, LIFE)


def throttled(_: Sandbox, account: Account, seconds: int | None) -> Response:
    """The limit of an app and user."""
    return graph.throttled(80002, "threads", account, seconds)


def routes(sandbox: Sandbox, here: Any) -> list[BaseRoute]:
    """What the connector asks."""
    return [
        Route("/refresh_access_token", endpoint(sandbox, here, refresh)),
        Route("/v1.0/me", endpoint(sandbox, here, me)),
        Route("/v1.0/{user}/threads", endpoint(sandbox, here, listing)),
        Route("/v1.0/{user}/threads_insights", endpoint(sandbox, here, account_insights)),
        Route("/v1.0/{post}/insights", endpoint(sandbox, here, insights)),
        Route("/v1.0/{post}", endpoint(sandbox, here, single)),
    ]


async def refresh(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """Another 60 days, for tokens that are a day old."""
    if request.query_params.get("grant_type") != "th_refresh_token":
        return graph.error(400, 100, "Invalid grant_type")
    grant = sandbox.tokens.issue(account, LIFE)
    return JSONResponse({"access_token": grant.access, "token_type": "bearer", "expires_in": int(LIFE.total_seconds())})


async def me(_: Sandbox, account: Account, __: Request) -> Response:
    """The profile."""
    return JSONResponse(
        {
            "id": account.platform_id,
            "username": account.username,
            "name": account.name,
            "threads_profile_picture_url": f"https://cdn.example/{account.username}.jpg",
            "threads_biography": f"All about {account.name}",
            "is_verified": account.number == 0,
        }
    )


async def listing(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """The profile's own posts."""
    if request.path_params["user"] not in {account.platform_id, "me"}:
        return graph.gone(request.path_params["user"])
    posts = [] if _lacks_basic(sandbox, account) else sandbox.world.posts(account, sandbox.now, private=False)
    return graph.page(sandbox, account, request, posts, _post)


async def single(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """One post."""
    native_id = request.path_params["post"]
    post = sandbox.world.post(account, native_id, sandbox.now)
    is_seen = post and not post.is_private and not _lacks_basic(sandbox, account)
    return JSONResponse(_post(post)) if post and is_seen else graph.gone(native_id)


async def account_insights(sandbox: Sandbox, account: Account, _: Request) -> Response:
    """Followers, now only."""
    value = {"total_value": {"value": account.followers(sandbox.now)}}
    item = {"name": "followers_count", "period": "lifetime", "id": f"{account.platform_id}/insights/followers_count"}
    return JSONResponse({"data": [item | value]})


async def insights(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """The counters of a post; one unknown metric fails the call."""
    native_id = request.path_params["post"]
    post = sandbox.world.post(account, native_id, sandbox.now)
    if post is None or post.is_private:
        return graph.gone(native_id)
    retired = sandbox.is_on(account, "retired_metric")
    allowed = [name for name in METRICS if not (retired and retired.values["name"] == name)]
    wanted = request.query_params.get("metric", "").split(",")
    if unknown := [name for name in wanted if name not in allowed]:
        message = f"(#100) metric[{wanted.index(unknown[0])}] must be one of the following values: {', '.join(allowed)}"
        return graph.error(400, 100, message)
    if sandbox.is_on(account, "no_permission_empty"):
        return JSONResponse({"data": []})
    values = _values(sandbox, post)
    return JSONResponse(graph.lifetime(native_id, {name: values[name] for name in wanted if name in values}))


def _lacks_basic(sandbox: Sandbox, account: Account) -> bool:
    """Whether the token may no longer see posts: that looks as if there were none."""
    fault = sandbox.is_on(account, "missing_scope")
    return fault is not None and fault.values["scope"] == "threads_basic"


def _values(sandbox: Sandbox, post: Post) -> dict[str, int]:
    seen = sandbox.counters(post)
    values = {
        "views": seen.views,
        "likes": seen.reactions,
        "replies": seen.comments,
        "reposts": seen.shares // 2,
        "quotes": seen.shares // 6,
        "shares": seen.shares - seen.shares // 2 - seen.shares // 6,
    }
    if sandbox.is_on(post.account, "hidden_counters"):
        del values["likes"], values["replies"]
    return values


def _post(post: Post) -> dict[str, Any]:
    item = {
        "id": post.native_id,
        "media_product_type": "THREADS",
        "media_type": KINDS[post.media],
        "permalink": f"https://www.threads.com/@{post.account.username}/post/D{post.native_id[-10:]}",
        "owner": {"id": post.account.platform_id},
        "username": post.account.username,
        "text": post.text,
        "timestamp": graph.time(post.published_at),
        "shortcode": f"D{post.native_id[-10:]}",
        "is_quote_post": False,
    }
    if post.media != "text":
        item["media_url"] = f"https://cdn.example/threads/{post.native_id}"
    return item
