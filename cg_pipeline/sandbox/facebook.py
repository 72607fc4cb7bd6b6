"""The sandbox's Facebook: answers of graph.facebook.com for pages. Facts as in `platforms.facebook`.

A person manages all pages of the world. The refresh token of a grant is that person's long-lived token, with which the
tokens of the pages are had; a video's id is its post's with a 9 before it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from functools import cache, partial
from typing import Any
from urllib.parse import parse_qs, parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from cg_pipeline.sandbox import graph
from cg_pipeline.sandbox.server import Handler, Sandbox, endpoint
from cg_pipeline.sandbox.tokens import Grant
from cg_pipeline.sandbox.world import Account, Post

PLATFORM = "facebook"
VERSION = "v26.0"
USER_LIFE, PAGE_LIFE = timedelta(days=60), timedelta(days=36500)
MOST, MOST_IN_A_BATCH, MOST_DATA = 100, 50, 8000

STATUS = {"reel": "added_video", "video": "added_video", "photo": "added_photos", "text": "mobile_status_update"}
# The last day of those that are no longer answered.
RETIRED = {
    "post_engaged_users": date(2024, 3, 13), "post_impressions": date(2025, 11, 14),
    "post_impressions_unique": date(2026, 6, 14), "total_video_views_unique": date(2026, 6, 14),
}  # fmt: skip
MONEY = frozenset({"monetization_approximate_earnings", "content_monetization_earnings"})
ADS = frozenset({
    "creator_monetization_qualified_views", "total_video_ad_break_ad_cpm", "total_video_ad_break_earnings",
    "total_video_ad_break_ad_impressions",
})  # fmt: skip
ONLY_VIDEOS = frozenset({"post_video_views", "post_video_views_60s_excludes_shorter"})

token_of = graph.token_of
unauthorized = graph.unauthorized
forbidden = graph.forbidden


def connect(sandbox: Sandbox, account: Account) -> Grant:
    """A page's token, which does not expire, and the person's, whose end is told."""
    grant = sandbox.tokens.issue(account, None, with_refresh=True)
    return replace(grant, expires_at=sandbox.now + USER_LIFE)


def throttled(_: Sandbox, account: Account, seconds: int | None) -> Response:
    """The limit of a page."""
    return graph.throttled(80001, "pages", account, seconds)


def routes(sandbox: Sandbox, here: Any) -> list[BaseRoute]:
    """What the connector asks."""

    def with_token(handler: Handler) -> Any:
        return endpoint(sandbox, here, _headed(handler))

    return [
        Route("/", with_token(batch), methods=["POST"]),
        Route("/{version}/oauth/access_token", partial(exchange, sandbox)),
        Route("/{version}/debug_token", partial(debug, sandbox)),
        Route("/{version}/me/accounts", partial(accounts, sandbox)),
        Route("/{version}/{page}/published_posts", with_token(listing)),
        Route("/{version}/{path:path}", with_token(single)),
    ]


def _headed(handler: Handler) -> Handler:
    async def answer(sandbox: Sandbox, account: Account, request: Request) -> Response:
        response = await handler(sandbox, account, request)
        response.headers.update(graph.usage("pages", account, 3) | {"facebook-api-version": VERSION})
        return response

    return answer


async def exchange(sandbox: Sandbox, request: Request) -> Response:
    """The person's token for another 60 days; an expired one is not exchanged."""
    params = request.query_params
    if (
        params.get("grant_type") != "fb_exchange_token"
        or not params.get("client_id")
        or not params.get("client_secret")
    ):
        return graph.error(400, 101, "Error validating application.")
    token = params.get("fb_exchange_token", "")
    grant = sandbox.tokens.rotate(token, PAGE_LIFE, single_use=False) if _consent(sandbox, token) else None
    if grant is None:
        return graph.error(400, 190, "Error validating access token: Session has expired.", 463)
    life = int(USER_LIFE.total_seconds())
    return JSONResponse({"access_token": grant.refresh, "token_type": "bearer", "expires_in": life})


async def debug(sandbox: Sandbox, request: Request) -> Response:
    """What a token is, even when it is no longer accepted; for the app itself only."""
    if "|" not in token_of(request):
        return graph.error(400, 100, "(#100) You must provide an app access token, or a user access token")
    grant = sandbox.tokens.grant_of(request.query_params.get("input_token", ""))
    if grant is None:
        return graph.error(400, 190, "Invalid OAuth access token.")
    data = {"type": "PAGE", "profile_id": grant.account.platform_id, "is_valid": sandbox.tokens.is_valid(grant)}
    return JSONResponse({"data": data})


async def accounts(sandbox: Sandbox, request: Request) -> Response:
    """The pages of the person, each with a token of its own."""
    user = token_of(request)
    grant = _consent(sandbox, user)
    renewed = sandbox.tokens.renew_access(user, PAGE_LIFE) if grant else None
    if grant is None or renewed is None:
        return graph.error(401, 190, "Error validating access token: The session has been invalidated.", 460)

    def word(page: Account) -> dict[str, Any]:
        token = renewed if page == grant.account else sandbox.tokens.issue(page, None)
        return {"id": page.platform_id, "name": page.name, "tasks": ["ANALYZE"], "access_token": token.access}

    return graph.page(sandbox, grant.account, request, sandbox.world.accounts[PLATFORM], word)


async def batch(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """Up to 50 requests in one, each answered as if it were alone."""
    form = parse_qs((await request.body()).decode())
    calls = json.loads(form.get("batch", ["[]"])[0])
    if len(calls) > MOST_IN_A_BATCH:
        message = f"Too many requests in batch message. Maximum batch size is {MOST_IN_A_BATCH}"
        return graph.error(400, 100, message, kind="GraphBatchException")
    answers = []
    for call in calls:
        path, _, query = call["relative_url"].partition("?")
        answer = _node(sandbox, account, path.partition("/")[2], dict(parse_qsl(query)))
        answers.append({"code": answer.status_code, "body": bytes(answer.body).decode()})
    return JSONResponse(answers)


async def single(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """One node, or an edge of it."""
    if "ids" in request.query_params:
        return graph.error(400, 100, "(#100) The parameter ids is no longer supported")
    return _node(sandbox, account, request.path_params["path"], request.query_params)


async def listing(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """The page's own posts, hidden ones too."""
    if request.path_params["page"] != account.platform_id:
        return graph.gone(request.path_params["page"])
    fields = request.query_params.get("fields", "id,created_time,message")
    if fields.count(",") * int(request.query_params.get("limit", graph.PAGE)) > MOST_DATA:
        message = "Please reduce the amount of data you're asking for, then retry your request"
        return graph.error(500, 1, message)

    def word(post: Post) -> Response | dict[str, Any]:
        return _selected(sandbox, post, _post(sandbox, post), "Post", fields)

    return graph.page(sandbox, account, request, sandbox.world.posts(account, sandbox.now), word, MOST)


def _consent(sandbox: Sandbox, user: str) -> Grant | None:
    """The grant that a person's token was given with, as long as that token is valid: each has a page's beside it."""
    grant = sandbox.tokens.grant_of(user.replace("-refresh-", "-access-"))
    return grant if grant and grant.refresh == user and sandbox.now < grant.issued_at + USER_LIFE else None


def _node(sandbox: Sandbox, account: Account, path: str, params: Mapping[str, str]) -> Response:
    """A page, a post or a video; or the insights of one of the latter two."""
    node, _, edge = path.partition("/")
    if node == account.platform_id and not edge:
        answer = _only(_page(sandbox, account), "Page", params.get("fields", "id,name"))
        return answer if isinstance(answer, Response) else JSONResponse(answer)
    page, _, native_id = node.rpartition("_")
    is_video = not page and node.startswith("9")
    post = sandbox.world.post(account, node[1:] if is_video else native_id, sandbox.now)
    if post is None or page not in {"", account.platform_id} or (is_video and post.media not in {"reel", "video"}):
        return graph.gone(node)
    kind, known = ("Video", _video(post)) if is_video else ("Post", _post(sandbox, post))
    if not edge:
        found = _selected(sandbox, post, known, kind, params.get("fields", "id,created_time"))
        return found if isinstance(found, Response) else JSONResponse(found)
    if edge != ("video_insights" if is_video else "insights"):
        return _nonexisting(edge, kind)
    return _insights(sandbox, post, kind, params.get("metric", ""), params.get("period"))


def _selected(sandbox: Sandbox, post: Post, known: dict[str, Any], kind: str, fields: str) -> Response | dict[str, Any]:
    """The fields that are asked for, metrics among them. One that does not exist fails the whole."""
    edge = "video_insights" if kind == "Video" else "insights"
    metrics = next((field for field in _split(fields) if field.startswith(f"{edge}.")), None)
    found = _only(known, kind, ",".join(field for field in _split(fields) if field != metrics))
    if isinstance(found, Response) or metrics is None:
        return found
    wanted = dict(re.findall(r"\.(\w+)\(([^)]*)\)", metrics))
    answer = _insights(sandbox, post, kind, wanted.get("metric", ""), wanted.get("period"))
    return found | {edge: json.loads(bytes(answer.body))} if answer.status_code == 200 else answer


def _only(known: Mapping[str, Any], kind: str, fields: str) -> Response | dict[str, Any]:
    names = [re.split(r"[.{(]", field)[0] for field in _split(fields)]
    if unknown := next((name for name in names if name not in known), None):
        return _nonexisting(unknown, kind)
    return {name: known[name] for name in dict.fromkeys(["id", *names]) if known[name] is not None}


def _nonexisting(name: str, kind: str) -> Response:
    return graph.error(400, 100, f"(#100) Tried accessing nonexisting field ({name}) on node type ({kind})")


@cache
def _split(fields: str) -> list[str]:
    """At the commas that are in no brackets."""
    parts, depth = [""], 0
    for sign in fields:
        depth += (sign in "({") - (sign in ")}")
        if sign == "," and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return [part for part in parts if part]


def _insights(sandbox: Sandbox, post: Post, kind: str, metric: str, period: str | None) -> Response:
    """Lifetime values, with addresses that bear a token, as the real ones."""
    names = [name for name in metric.split(",") if name]
    values = _video_values(sandbox, post) if kind == "Video" else _post_values(sandbox, post)
    if (refused := _refused(sandbox, post, kind, names, values)) is not None:
        return refused
    if period not in {None, "lifetime"} or (period and kind == "Video" and post.media == "reel"):
        return graph.error(400, 100, "(#100) period is not supported for this object")
    if sandbox.is_on(post.account, "no_permission_empty"):
        return JSONResponse({"data": []})
    told = {name: values[name] for name in names if values[name] is not None}
    body = graph.lifetime(_full(post) if kind == "Post" else _video_of(post), told)
    address = f"https://graph.facebook.com/{VERSION}/{_full(post)}/insights?access_token=a-token-in-an-address"
    return JSONResponse(body | {"paging": {"previous": f"{address}&until=1", "next": f"{address}&since=1"}})


def _refused(sandbox: Sandbox, post: Post, kind: str, names: list[str], values: Mapping[str, Any]) -> Response | None:
    """One bad name fails all of them, and so does money beside others."""
    owner, retired = post.account, sandbox.is_on(post.account, "retired_metric")
    bad = {name for name, last in RETIRED.items() if sandbox.now.date() > last}
    bad |= {retired.values["name"]} if retired else set()
    answer: Response | None = None
    if not names:
        answer = graph.error(400, 3001, "(#3001) No metric was specified", 1504028)
    elif any(name not in values or name in bad for name in names):
        answer = graph.error(400, 100, "(#100) The value must be a valid insights metric")
    elif MONEY & set(names) and set(names) - MONEY:
        answer = graph.error(500, 2, "(#2) An unexpected error has occurred. Please retry your request later.")
    elif ADS & set(names) and not owner.is_monetized:
        answer = graph.error(403, 200, f"(#200) The page of this {kind} does not earn by ad breaks")
    return answer


def _post_values(sandbox: Sandbox, post: Post) -> dict[str, Any]:
    """What `/insights` knows; None: a valid name without a value."""
    seen, owner = sandbox.counters(post), post.account
    hidden, is_video = sandbox.is_on(owner, "hidden_counters"), post.media in {"reel", "video"}
    by_type = {"like": seen.reactions - seen.reactions // 5, "love": seen.reactions // 5}
    activity = {name: number for name, number in (("comment", seen.comments), ("share", seen.shares)) if number}
    values: dict[str, Any] = {
        "post_media_view": seen.views,
        "post_total_media_view_unique": seen.reach,
        "post_reactions_by_type_total": by_type if not hidden else None,
        "post_activity_by_action_type": activity if not hidden else None,
        "post_clicks": seen.clicks,
        "post_clicks_by_type": {"other clicks": seen.clicks},
        "post_video_views": seen.three_second_views,
        "post_video_views_60s_excludes_shorter": seen.one_minute_views,
        "post_impressions": seen.views * 2,
        "post_impressions_unique": seen.reach + 7,
        "post_engaged_users": seen.clicks,
    }
    earned, micros = seen.earnings, None
    if earned is not None:
        # Every third page is paid by another program, for which the detailed earnings say 0 and name no currency.
        micros = {"currency": owner.currency, "microAmount": str(int(earned * 10**6))} if owner.number % 3 != 2 else 0
    values["monetization_approximate_earnings"] = None if earned is None else float(earned)
    values["content_monetization_earnings"] = micros
    return values if is_video else values | dict.fromkeys(ONLY_VIDEOS)


def _video_values(sandbox: Sandbox, post: Post) -> dict[str, Any]:
    """What `/video_insights` knows: reels and videos have next to nothing in common."""
    seen = sandbox.counters(post)
    average = seen.seconds_viewed * 1000 // seen.views if seen.views else 0
    ads = {"creator_monetization_qualified_views": seen.qualified_views}
    if post.media == "reel":
        hidden = sandbox.is_on(post.account, "hidden_counters")
        return ads | {
            "blue_reels_play_count": seen.views * 9 // 10,
            "fb_reels_replay_count": seen.views - seen.views * 9 // 10,
            "fb_reels_total_plays": seen.views,
            "post_video_view_time": seen.seconds_viewed * 1000,
            "post_video_avg_time_watched": average,
            "post_video_followers": seen.followers_gained,
            "post_video_likes_by_reaction_type": None if hidden else {"REACTION_LIKE": seen.reactions},
            "post_video_social_actions": None if hidden else {"COMMENT": seen.comments, "SHARE": seen.shares},
        }
    return ads | {
        "total_video_views": seen.three_second_views,
        "total_video_60s_excludes_shorter_views": seen.one_minute_views,
        "total_video_view_total_time": seen.seconds_viewed * 1000,
        "total_video_avg_time_watched": average,
        "total_video_views_by_country_id": seen.by_country,
        "total_video_views_by_age_bucket_and_gender": {"F.25-34": seen.views // 2, "M.25-34": seen.views // 3},
        "total_video_views_by_distribution_type": {"page_owned": seen.views, "shared": 0},
        "total_video_views_unique": seen.reach,
        "total_video_ad_break_ad_cpm": 412,
        "total_video_ad_break_earnings": 5,
        "total_video_ad_break_ad_impressions": seen.views // 10,
    }


def _full(post: Post) -> str:
    return f"{post.account.platform_id}_{post.native_id}"


def _video_of(post: Post) -> str:
    return f"9{post.native_id}"


def _page(sandbox: Sandbox, account: Account) -> dict[str, Any]:
    return {
        "id": account.platform_id,
        "name": account.name,
        "username": account.username,
        "about": f"All about {account.name}",
        **{"category": "Musician/band", "link": f"https://www.facebook.com/{account.username}"},
        "fan_count": account.followers(sandbox.now) - 500,
        "followers_count": account.followers(sandbox.now),
        "verification_status": "not_verified",
        "cover": {"id": "1", "source": f"https://cdn.example/{account.username}-cover.jpg"},
        "picture": {"data": {"url": f"https://cdn.example/{account.username}.jpg", "is_silhouette": False}},
    }


def _post(sandbox: Sandbox, post: Post) -> dict[str, Any]:
    """All fields of a post; None: absent."""
    seen, owner, full = sandbox.counters(post), post.account, _full(post)
    hidden = sandbox.is_on(owner, "hidden_counters")
    return dict.fromkeys(("story", "parent_id", "properties")) | {
        "id": full,
        **{"is_published": True, "is_hidden": False, "is_expired": False},
        **dict.fromkeys(("created_time", "updated_time"), graph.time(post.published_at)),
        "message": post.text,
        "message_tags": [{"id": owner.platform_id, "name": owner.name, "type": "page", "offset": 0, "length": 1}],
        "permalink_url": f"https://www.facebook.com{_address(post)}",
        "status_type": STATUS[post.media],
        "from": {"id": owner.platform_id, "name": owner.name},
        "full_picture": f"https://cdn.example/{full}.jpg" if post.media != "text" else None,
        "privacy": {"value": "SELF" if post.is_private else "EVERYONE"},
        "shares": {"count": seen.shares} if seen.shares else None,
        "attachments": _attachments(post),
        "reactions": None if hidden else {"data": [], "summary": {"total_count": seen.reactions}},
        "comments": None if hidden else {"data": [], "summary": {"total_count": seen.comments}},
    }


def _attachments(post: Post) -> dict[str, Any] | None:
    if post.media == "text":
        return None
    kind, target = ("photo", post.native_id) if post.media == "photo" else ("video", _video_of(post))
    media = {"image": {"src": f"https://cdn.example/{target}.jpg", "width": 720, "height": 405}}
    source = {} if kind == "photo" else {"source": f"https://cdn.example/{target}.mp4"}
    return {"data": [{"media_type": kind, "type": kind, "target": {"id": target}, "media": media | source}]}


def _address(post: Post) -> str:
    page = post.account.username
    where = {"reel": f"/reel/{_video_of(post)}/", "video": f"/{page}/videos/{_video_of(post)}/"}
    return where.get(post.media, f"/{page}/posts/pfbid0{post.native_id}")


def _video(post: Post) -> dict[str, Any]:
    size = {"width": 1080, "height": 1920} if post.media == "reel" else {"width": 1920, "height": 1080}
    return dict.fromkeys(("content_tags", "universal_video_id")) | {
        "id": _video_of(post),
        "post_id": post.native_id,
        "title": post.text.partition(" #")[0],
        "description": post.text,
        "length": post.duration + 0.4,
        **dict.fromkeys(("created_time", "updated_time"), graph.time(post.published_at)),
        "permalink_url": _address(post),
        "views": 0,
        **{"published": True, "status": {"video_status": "ready"}, "is_crosspost_video": False},
        "custom_labels": [post.tag],
        "content_category": "MUSIC",
        "format": [{"filter": "130x130", "width": 130, "height": 130}, {"filter": "native"} | size],
    }
