"""The sandbox's YouTube: answers of the Data API, the Analytics API and Google's token endpoint, under one address.

Facts as in `platforms.youtube`. Reports lag: counters are ready two Pacific days later, money three.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from cg_pipeline.sandbox.server import Sandbox, endpoint
from cg_pipeline.sandbox.tokens import Grant
from cg_pipeline.sandbox.world import Account, Counters, Post

PLATFORM = "youtube"
LIFE = timedelta(hours=1)
PACIFIC = ZoneInfo("America/Los_Angeles")
LAG, MONEY_LAG = 2, 3  # days
UNITS_A_DAY = 10_000  # of the Data API, for all channels together, until 00:00 Pacific time
MOST_IDS, TRAFFIC_LIMIT = 500, 50_000
RATES = {"USD": Decimal(1), "EUR": Decimal("0.92")}  # invented: so much a dollar
SCOPES = ("youtube.readonly", "yt-analytics.readonly", "yt-analytics-monetary.readonly")
TEXTS = {"insightTrafficSourceType", "deviceType", "country", "ageGroup", "gender", "video", "day"}

COUNTED = ("views", "engagedViews", "estimatedMinutesWatched")
MAIN = (
    *COUNTED, "likes", "comments", "shares", "averageViewDuration", "averageViewPercentage", "subscribersGained",
    "subscribersLost", "videosAddedToPlaylists", "videosRemovedFromPlaylists",
)  # fmt: skip
MONEY = (
    "estimatedRevenue", "estimatedAdRevenue", "grossRevenue", "estimatedRedPartnerRevenue", "cpm", "playbackBasedCpm",
    "monetizedPlaybacks", "adImpressions",
)  # fmt: skip
REPORTS: dict[str, tuple[str, ...]] = {
    "day": MAIN + MONEY,
    "video": MAIN + MONEY,
    "video,country": MAIN + MONEY,
    "video,insightTrafficSourceType": COUNTED,
    "video,deviceType": COUNTED,
    "ageGroup,gender": ("viewerPercentage",),
}
SHARES = {  # percent; the first takes the rest
    "insightTrafficSourceType": {"RELATED_VIDEO": 40, "YT_SEARCH": 30, "SUBSCRIBER": 20, "EXT_URL": 10},
    "deviceType": {"MOBILE": 60, "DESKTOP": 25, "TV": 15},
}
VIEWERS = {("age18-24", "female"): 31.5, ("age18-24", "male"): 28.5, ("age25-34", "female"): 22.0,
           ("age25-34", "male"): 18.0}  # fmt: skip
FEWEST_VIEWERS = 100  # below, demographics are withheld

Rows = Iterator[list[Any]]
_units: WeakKeyDictionary[Sandbox, Counter[date]] = WeakKeyDictionary()


def connect(sandbox: Sandbox, account: Account) -> Grant:
    """An access token for an hour, and a refresh token."""
    return sandbox.tokens.issue(account, LIFE, with_refresh=True)


def token_of(request: Request) -> str:
    """From the header."""
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def error(status: int, reason: str, message: str, domain: str = "global", state: str = "") -> JSONResponse:
    """Google's error envelope."""
    body = {"code": status, "message": message, "errors": [{"message": message, "domain": domain, "reason": reason}]}
    return JSONResponse({"error": body | ({"status": state} if state else {})}, status)


def unauthorized(_: Sandbox, __: Grant | None) -> Response:
    """The same for expired, revoked and invented tokens."""
    return error(401, "authError", "Invalid Credentials", state="UNAUTHENTICATED")


def throttled(_: Sandbox, __: Account, seconds: int | None) -> Response:
    """Too fast. Google rarely tells for how long, and in the common header if it does."""
    answer = error(429, "rateLimitExceeded", "Rate Limit Exceeded", "usageLimits", "RESOURCE_EXHAUSTED")
    answer.headers.update({"retry-after": str(seconds)} if seconds is not None else {})
    return answer


def forbidden(_: Sandbox, __: Account) -> Response:
    """A scope is missing."""
    message = "Request had insufficient authentication scopes."
    return error(403, "insufficientPermissions", message, state="PERMISSION_DENIED")


def routes(sandbox: Sandbox, here: Any) -> list[BaseRoute]:
    """What the connector asks."""

    async def token(request: Request) -> Response:
        return _token(sandbox, dict(parse_qsl((await request.body()).decode())))

    data = {"channels": channels, "playlistItems": playlist_items, "videos": videos}
    return [
        Route("/token", token, methods=["POST"]),
        Route("/v2/reports", endpoint(sandbox, here, reports)),
        *(Route(f"/youtube/v3/{name}", endpoint(sandbox, here, answer)) for name, answer in data.items()),
    ]


def _token(sandbox: Sandbox, form: Mapping[str, str]) -> Response:
    """The refresh token stays as it is."""
    if not form.get("client_id") or not form.get("client_secret"):
        return JSONResponse({"error": "invalid_client", "error_description": "The OAuth client was not found."}, 401)
    if form.get("grant_type") != "refresh_token":
        return JSONResponse({"error": "unsupported_grant_type", "error_description": "Invalid grant_type"}, 400)
    if (grant := sandbox.tokens.renew_access(form.get("refresh_token", ""), LIFE)) is None:
        description = "Token has been expired or revoked."
        return JSONResponse({"error": "invalid_grant", "error_description": description}, 400)
    scope = " ".join(f"https://www.googleapis.com/auth/{name}" for name in SCOPES)
    return JSONResponse({"access_token": grant.access, "expires_in": 3599, "scope": scope, "token_type": "Bearer"})


def _refusal(sandbox: Sandbox, request: Request, needed: Sequence[str]) -> Response | None:
    """What is refused before the question is looked at. Every call costs a unit, refused ones too."""
    units, today = _units.setdefault(sandbox, Counter()), _pacific(sandbox.now)
    if units[today] >= UNITS_A_DAY:
        message = "The request cannot be completed because you have exceeded your quota."
        return error(403, "quotaExceeded", message, "youtube.quota")
    units[today] += 1
    for name in needed:
        if not request.query_params.get(name):
            return error(400, "missingRequiredParameter", f"No filter selected: {name}", "youtube.parameter")
    return None


def _items(kind: str, items: Sequence[Mapping[str, Any]], total: int, following: str | None = None) -> Response:
    page = {"totalResults": total, "resultsPerPage": 50}
    body = {"kind": f"youtube#{kind}ListResponse", "etag": "e0", "pageInfo": page, "items": list(items)}
    return JSONResponse(body | ({"nextPageToken": following} if following else {}))


async def channels(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """The token's channel."""
    if refusal := _refusal(sandbox, request, ["part", "mine"]):
        return refusal
    seen = sandbox.world.posts(account, sandbox.now, private=False)
    picture = {"url": f"https://yt3.example/{account.username}=s88", "width": 88, "height": 88}
    counts = {"viewCount": sum(sandbox.counters(post).views for post in seen), "videoCount": len(seen)}
    counts["subscriberCount"] = account.followers(sandbox.now)
    item = {
        "kind": "youtube#channel", "etag": "e1", "id": account.platform_id,
        "snippet": {
            "title": account.name, "description": f"All about {account.name}", "customUrl": f"@{account.username}",
            "publishedAt": "2020-01-01T00:00:00Z", "thumbnails": {"default": picture},
        },
        "contentDetails": {"relatedPlaylists": {"likes": "", "uploads": _uploads(account)}},
        "statistics": {name: str(n) for name, n in counts.items()} | {"hiddenSubscriberCount": False},
        "brandingSettings": {"image": {"bannerExternalUrl": f"https://yt3.example/{account.username}/banner"}},
    }  # fmt: skip
    return _items("channel", [_only(item, request)], 1)


async def playlist_items(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """The uploads, with the private ones, as the owner sees them; a channel without any has no such list."""
    if refusal := _refusal(sandbox, request, ["part", "playlistId"]):
        return refusal
    params, posts = request.query_params, sandbox.world.posts(account, sandbox.now)
    limit, token = int(params.get("maxResults", 5)), params.get("pageToken", "P0")
    if not 0 <= limit <= 50:
        return error(
            400, "invalidValue", "Invalid value. Values must be within the range: [0, 50]", "youtube.parameter"
        )
    if not token.removeprefix("P").isdigit():
        return error(400, "invalidPageToken", "The request specifies an invalid page token.", "youtube.parameter")
    if params["playlistId"] != _uploads(account) or not posts:
        message = "The playlist identified with the request's playlistId parameter cannot be found."
        return error(404, "playlistNotFound", message, "youtube.playlistItem")
    start = int(token.removeprefix("P"))
    following = start if sandbox.is_on(account, "repeated_page") else start + limit
    items = [_only(_playlist_item(post, start + n), request) for n, post in enumerate(posts[start : start + limit])]
    return _items("playlistItem", items, len(posts), f"P{following}" if following < len(posts) else None)


async def videos(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """Videos by id. Those that are deleted, or private and another's, are left out without a word."""
    if refusal := _refusal(sandbox, request, ["part", "id"]):
        return refusal
    ids = request.query_params["id"].split(",")
    if len(ids) > 50:
        message = "The request specifies an invalid filter parameter: at most 50 ids."
        return error(400, "invalidFilters", message, "youtube.parameter")
    found = [post for one in ids if (post := _seen(sandbox, account, one))]
    return _items("video", [_only(_video(sandbox, post), request) for post in found], len(found))


def _seen(sandbox: Sandbox, account: Account, native_id: str) -> Post | None:
    """A video that the token may see, whoever's it is."""
    there = (sandbox.world.post(owner, native_id, sandbox.now) for owner in sandbox.world.accounts[PLATFORM])
    return next((post for post in there if post and (post.account == account or not post.is_private)), None)


def _only(item: dict[str, Any], request: Request) -> dict[str, Any]:
    """The parts that were asked for."""
    parts = {"kind", "etag", "id", *request.query_params["part"].split(",")}
    return {name: value for name, value in item.items() if name in parts}


def _uploads(account: Account) -> str:
    return f"UU{account.platform_id[2:]}"


def _playlist_item(post: Post, position: int) -> dict[str, Any]:
    published = {} if post.is_private else {"videoPublishedAt": _time(post.published_at)}
    return {
        "kind": "youtube#playlistItem", "etag": "e2", "id": f"UU{post.native_id}",
        "snippet": {"title": post.text, "position": position, "channelId": post.account.platform_id},
        "contentDetails": {"videoId": post.native_id} | published,
        "status": {"privacyStatus": "private" if post.is_private else "public"},
    }  # fmt: skip


def _video(sandbox: Sandbox, post: Post) -> dict[str, Any]:
    seen, minutes = sandbox.counters(post), post.duration // 60
    width, height = ("405", "720") if post.media == "short" else ("720", "405")
    counts = {"viewCount": seen.views, "favoriteCount": 0, "likeCount": seen.reactions, "commentCount": seen.comments}
    if sandbox.is_on(post.account, "hidden_counters"):
        del counts["likeCount"], counts["commentCount"]
    picture = f"https://i.ytimg.com/vi/{post.native_id}"
    return {
        "kind": "youtube#video", "etag": "e3", "id": post.native_id,
        "snippet": {
            "publishedAt": _time(post.published_at), "channelId": post.account.platform_id, "title": post.text,
            "description": f"{post.text}\nMore on the channel.", "channelTitle": post.account.name, "categoryId": "10",
            "thumbnails": {
                "default": {"url": f"{picture}/default.jpg", "width": 120, "height": 90},
                "high": {"url": f"{picture}/hqdefault.jpg", "width": 480, "height": 360},
            },
            "liveBroadcastContent": "none",
        },
        "contentDetails": {
            "duration": f"PT{f'{minutes}M' if minutes else ''}{post.duration % 60}S", "dimension": "2d",
            "definition": "hd", "caption": "false", "licensedContent": True, "projection": "rectangular",
        },
        "status": {
            "uploadStatus": "processed", "privacyStatus": "private" if post.is_private else "public",
            "license": "youtube", "embeddable": True, "publicStatsViewable": True, "madeForKids": False,
        },
        "statistics": {name: str(value) for name, value in counts.items()},
        "player": {"embedHtml": "<iframe></iframe>", "embedWidth": width, "embedHeight": height},
    }  # fmt: skip


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _pacific(moment: datetime) -> date:
    return moment.astimezone(PACIFIC).date()


def end_of(day: date) -> datetime:
    """When a Pacific day ends."""
    return datetime.combine(day + timedelta(days=1), time.min, PACIFIC).astimezone(UTC)


async def reports(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """One report of a channel: what may be asked together is fixed, and one bad name or id fails the whole call."""
    params = request.query_params
    if missing := [name for name in ("ids", "startDate", "endDate", "metrics") if not params.get(name)]:
        return error(400, "required", f"Required parameter: {missing[0]}")
    names, dimensions = params.get("metrics", "").split(","), params.get("dimensions", "")
    video = next((each for each in params.get("filters", "").split(";") if each.startswith("video==")), "")
    ids = video.removeprefix("video==").split(",") if video else []
    start, end = date.fromisoformat(params["startDate"]), date.fromisoformat(params["endDate"])
    if (refusal := _denied(sandbox, account, params, names)) or (refusal := _unfit(params, names, ids, start, end)):
        return refusal
    deleted = {post.native_id for post in sandbox.world.deletions if not post.is_there(sandbox.now)}
    there = {post.native_id: post for post in sandbox.world.posts(account, sandbox.now)}
    if strange := [native_id for native_id in ids if native_id not in there and native_id not in deleted]:
        return error(400, "badRequest", f"Invalid video in filter: {strange[0]}")
    end = min(end, _pacific(sandbox.now) - timedelta(days=MONEY_LAG if set(names) & set(MONEY) else LAG))
    posts = [there[native_id] for native_id in ids if native_id in there] if ids else list(there.values())
    days = [start + timedelta(days=n) for n in range((end - start).days + 1)]
    currency = params.get("currency", "USD")
    rows = _days(sandbox, posts, days, names) if dimensions == "day" else (
        row for post in posts if days
        for row in _rows(sandbox, post, _within(sandbox, post, start, end), dimensions, names, currency)
    )  # fmt: skip
    headers = [_header(name) for name in [*dimensions.split(","), *names]]
    body: dict[str, Any] = {"kind": "youtubeAnalytics#resultTable", "columnHeaders": headers}
    told = [] if sandbox.is_on(account, "no_permission_empty") else list(rows)
    return JSONResponse(body | ({"rows": told} if told else {}))


def _denied(sandbox: Sandbox, account: Account, params: Mapping[str, str], names: Sequence[str]) -> Response | None:
    retired = sandbox.is_on(account, "retired_metric")
    known = {*MAIN, *MONEY, "viewerPercentage"} - ({retired.values["name"]} if retired else set())
    if params.get("ids") not in {"channel==MINE", f"channel=={account.platform_id}"}:
        return error(403, "forbidden", "Forbidden", state="PERMISSION_DENIED")
    if unknown := [name for name in names if name not in known]:
        message = f"Unknown identifier ({unknown[0]}) given in field parameters.metrics."
        return error(400, "badRequest", message, state="INVALID_ARGUMENT")
    if set(names) & set(MONEY) and not account.is_monetized:
        return error(403, "forbidden", "Forbidden", state="PERMISSION_DENIED")
    return None


def _unfit(
    params: Mapping[str, str], names: Sequence[str], ids: Sequence[str], start: date, end: date
) -> Response | None:
    """The refusal of a combination, of dates or of a list that is too long."""
    dimensions, days = params.get("dimensions", ""), (end - start).days + 1
    is_top = dimensions == "video" and not ids
    if days < 1 or params.get("currency", "USD") not in RATES or len(ids) > MOST_IDS:
        return error(400, "invalid", "Invalid value in a parameter.", state="INVALID_ARGUMENT")
    if (
        not set(names) <= set(REPORTS.get(dimensions, ()))
        or (is_top and ("sort" not in params or int(params.get("maxResults", 999)) > 200))
        or ("insightTrafficSourceType" in dimensions and len(ids) * days > TRAFFIC_LIMIT)
        or ("," in dimensions and not ids)
    ):
        message = "The query is not supported. Check the documentation for supported queries."
        return error(400, "badRequest", message, state="INVALID_ARGUMENT")
    return None


def _days(sandbox: Sandbox, posts: Sequence[Post], days: Sequence[date], names: Sequence[str]) -> Rows:
    """The rows of the channel by day; a day without activity has none."""
    for day in days:
        seen = [_values(post, _within(sandbox, post, day, day), "USD") for post in posts]
        if any(values["views"] for values in seen):
            yield [day.isoformat(), *(sum(values[name] for values in seen) for name in names)]


def _rows(sandbox: Sandbox, post: Post, seen: Counters, by: str, names: Sequence[str], currency: str) -> Rows:
    """The rows of one video; without activity it has none."""
    if by == "ageGroup,gender":
        yield from ([*who, part] for who, part in VIEWERS.items() if seen.views >= FEWEST_VIEWERS)
    elif seen.views:
        hidden = {"likes", "comments"} if sandbox.is_on(post.account, "hidden_counters") else set()
        for key, counters in _split(seen, by.removeprefix("video").removeprefix(",")):
            values = _values(post, counters, currency)
            yield [post.native_id, *key, *(None if name in hidden else values[name] for name in names)]


def _within(sandbox: Sandbox, post: Post, start: date, end: date) -> Counters:
    """The counters of some Pacific days, with the faults that falsify them."""
    last, before = (sandbox.counters(post, end_of(day)) for day in (end, start - timedelta(days=1)))
    known = {name: value for name, value in vars(last).items() if value is not None}
    return replace(last, **{name: value - getattr(before, name) for name, value in known.items()})


def _split(seen: Counters, by: str) -> Iterator[tuple[list[str], Counters]]:
    """The counters by the values of a dimension; only views are split, and they add up."""
    if not by:
        yield [], seen
        return
    parts = seen.by_country
    if by in SHARES:
        parts = {name: seen.views * percent // 100 for name, percent in SHARES[by].items()}
        first = next(iter(parts))
        parts[first] += seen.views - sum(parts.values())
    yield from (([name], replace(seen, views=views)) for name, views in parts.items() if views)


def _values(post: Post, seen: Counters, currency: str) -> dict[str, Any]:
    """All metrics. Money is converted, and rounded as Google does."""
    earned = (seen.earnings or Decimal(0)) / RATES[post.account.currency] * RATES[currency]
    watched = seen.seconds_viewed / seen.views if seen.views else 0
    ads = seen.qualified_views * 6 // 5
    money = {
        "estimatedRevenue": earned, "estimatedAdRevenue": earned * 9 / 10, "grossRevenue": earned * 2,
        "estimatedRedPartnerRevenue": earned / 10, "cpm": earned * 2000 / ads if ads else Decimal(0),
        "playbackBasedCpm": earned * 2000 / seen.qualified_views if seen.qualified_views else Decimal(0),
    }  # fmt: skip
    return {
        "views": seen.views, "engagedViews": seen.views * 4 // 5, "estimatedMinutesWatched": seen.seconds_viewed // 60,
        "likes": seen.reactions, "comments": seen.comments, "shares": seen.shares,
        "averageViewDuration": round(watched),
        "averageViewPercentage": round(100 * watched / max(post.duration, 1), 2),
        "subscribersGained": seen.followers_gained, "subscribersLost": seen.followers_gained // 5,
        "videosAddedToPlaylists": seen.saves, "videosRemovedFromPlaylists": seen.saves // 10,
        "monetizedPlaybacks": seen.qualified_views, "adImpressions": ads,
    } | {name: float(round(amount, 3)) for name, amount in money.items()}  # fmt: skip


def _header(name: str) -> dict[str, str]:
    if name in TEXTS:
        return {"name": name, "columnType": "DIMENSION", "dataType": "STRING"}
    is_float = name in MONEY[:6] or name.endswith("Percentage")
    return {"name": name, "columnType": "METRIC", "dataType": "FLOAT" if is_float else "INTEGER"}
