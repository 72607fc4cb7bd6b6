"""The sandbox's X: answers of api.x.com. Facts as in `platforms.twitter`.

Classic names by `tweet.fields`, the newer ones by `post.fields`. Some posts are edited after twenty minutes (each
version has an id and counters of its own), some are long ones whose full text is in a note.
"""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from cg_pipeline.sandbox.server import Handler, Sandbox, endpoint
from cg_pipeline.sandbox.tokens import Grant
from cg_pipeline.sandbox.world import Account, Post

PLATFORM = "twitter"
LIFE = timedelta(hours=2)
QUARTER = timedelta(minutes=15)
EDITED_AFTER = timedelta(minutes=20)
PRIVATE_FOR = timedelta(days=30)
LIMITS = {"me": 75, "timeline": 900, "lookup": 5000}
PRICES = {"post": Decimal("0.005"), "user": Decimal("0.010")}
REACHABLE = 3200
PRIVATE = ("non_public_metrics", "organic_metrics")
NEW_NAMES = {
    "retweet_count": "repost_count", "note_tweet": "note_post", "edit_history_tweet_ids": "edit_history_post_ids",
    "referenced_tweets": "referenced_posts", "tweet_count": "post_count",
}  # fmt: skip
OLD_NAMES = {new: old for old, new in NEW_NAMES.items()}


@dataclass
class Ledger:
    """What the app has used: requests by account, address and quarter of an hour; dollars by item and UTC day.

    `credits` are the dollars left; None: endless.
    """

    credits: Decimal | None = None
    billed: Decimal = Decimal(0)
    items: set[tuple[date, str, str]] = field(default_factory=set)
    windows: dict[tuple[str, str], tuple[datetime, int]] = field(default_factory=dict)

    def use(self, account: Account, name: str, now: datetime) -> tuple[int, datetime]:
        """Count a request; how many are left (below 0: too many), and until when."""
        start, used = self.windows.get((account.platform_id, name), (now, 0))
        start, used = (start, used + 1) if now < start + QUARTER else (now, 1)
        self.windows[account.platform_id, name] = start, used
        return LIMITS[name] - used, start + QUARTER

    def bill(self, kind: str, ids: Iterable[str], now: datetime) -> None:
        """Charge for what is returned; the same again within the UTC day is free."""
        fresh = {(now.astimezone(UTC).date(), kind, native_id) for native_id in ids} - self.items
        self.items |= fresh
        self.billed += len(fresh) * PRICES[kind]
        if self.credits is not None:
            self.credits -= len(fresh) * PRICES[kind]


_ledgers: WeakKeyDictionary[Sandbox, Ledger] = WeakKeyDictionary()


def ledger(sandbox: Sandbox) -> Ledger:
    """The ledger of a sandbox's one app."""
    return _ledgers.setdefault(sandbox, Ledger())


def problem(status: int, title: str, detail: str, kind: str = "", **more: Any) -> JSONResponse:
    """A bad answer; without a kind it has no type of its own."""
    address = f"https://api.x.com/2/problems/{kind}" if kind else "about:blank"
    return JSONResponse({"title": title, "detail": detail, "type": address, "status": status, **more}, status)


def connect(sandbox: Sandbox, account: Account) -> Grant:
    """A pair of tokens; the refresh token serves once."""
    return sandbox.tokens.issue(account, LIFE, with_refresh=True)


def token_of(request: Request) -> str:
    """From the header only."""
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def unauthorized(_: Sandbox, __: Grant | None) -> Response:
    """X does not tell an expired token from a revoked one."""
    return problem(401, "Unauthorized", "Unauthorized")


def throttled(sandbox: Sandbox, _: Account, seconds: int | None) -> Response:
    """A limit is reached: the end of the window stands in a header, or nowhere. There is no Retry-After."""
    answer = problem(429, "Too Many Requests", "Too Many Requests")
    if seconds is not None:
        answer.headers.update(_rate("timeline", 0, sandbox.now + timedelta(seconds=seconds)))
    return answer


def forbidden(_: Sandbox, __: Account) -> Response:
    """The app's plan does not include the address."""
    detail = "When authenticating requests to the Twitter API v2 endpoints, you must use an App attached to a Project."
    more = {"reason": "client-not-enrolled", "required_enrollment": "Appropriate Level of API Access"}
    return problem(403, "Client Forbidden", detail, "client-forbidden", client_id="1", **more)


def routes(sandbox: Sandbox, here: Any) -> list[BaseRoute]:
    """What the connector asks."""
    return [
        Route("/2/oauth2/token", partial(refresh, sandbox), methods=["POST"]),
        Route("/2/users/me", endpoint(sandbox, here, _metered("me", me))),
        Route("/2/users/{user}/tweets", endpoint(sandbox, here, _metered("timeline", timeline))),
        Route("/2/tweets", endpoint(sandbox, here, _metered("lookup", lookup))),
    ]


def _metered(name: str, handler: Handler) -> Handler:
    """Count, ask for credits, answer, and tell in the headers what is left."""

    async def answer(sandbox: Sandbox, account: Account, request: Request) -> Response:
        book = ledger(sandbox)
        left, reset = book.use(account, name, sandbox.now)
        if left < 0:
            response: Response = throttled(sandbox, account, None)
        elif sandbox.fault(account, "credits_depleted") or (book.credits is not None and book.credits <= 0):
            response = problem(402, "CreditsDepleted", "Your enrolled account [123] has no credits.", "credits")
        else:
            response = await handler(sandbox, account, request)
        response.headers.update(_rate(name, max(left, 0), reset))
        return response

    return answer


def _rate(name: str, left: int, reset: datetime) -> dict[str, str]:
    values = (("limit", LIMITS[name]), ("remaining", left), ("reset", int(reset.timestamp())))
    return {f"x-rate-limit-{each}": str(value) for each, value in values}


async def refresh(sandbox: Sandbox, request: Request) -> Response:
    """A new pair for a refresh token; the second use of one kills all tokens of the consent."""
    form = dict(parse_qsl((await request.body()).decode()))
    if not (request.headers.get("authorization", "").startswith("Basic ") or form.get("client_id")):
        return JSONResponse({"error": "unauthorized_client", "error_description": "Missing authorization header"}, 401)
    grant = sandbox.tokens.rotate(form.get("refresh_token", ""), LIFE, single_use=True)
    if form.get("grant_type") != "refresh_token" or grant is None:
        why = {"error": "invalid_request", "error_description": "Value passed for the token was invalid."}
        return JSONResponse(why, 400)
    more = {"token_type": "bearer", "expires_in": 7200, "scope": "tweet.read users.read offline.access"}
    return JSONResponse({"access_token": grant.access, "refresh_token": grant.refresh, **more})


async def me(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """The account."""
    ledger(sandbox).bill("user", [account.platform_id], sandbox.now)
    picture = f"https://cdn.example/{account.username}"
    counts = {"followers_count": account.followers(sandbox.now), "following_count": 12, "listed_count": 3}
    whole = {
        "id": account.platform_id, "name": account.name, "username": account.username,
        "description": f"All about {html.escape(account.name)}", "protected": False, "verified_type": "none",
        "profile_image_url": f"{picture}.jpg", "profile_banner_url": f"{picture}-banner.jpg",
        "created_at": "2019-02-03T04:05:06.000Z",
        "public_metrics": {**counts, "tweet_count": len(sandbox.world.posts(account, sandbox.now))},
    }  # fmt: skip
    wanted = {"id", "name", "username", *request.query_params.get("user.fields", "").split(",")}
    return _worded(request, {"data": {name: value for name, value in whole.items() if name in wanted}})


async def timeline(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """The account's posts, newest first, each in its newest version."""
    params = request.query_params
    if params.get("max_results", "10") not in map(str, range(5, 101)):
        return _invalid("max_results", params["max_results"], "is not between 5 and 100")
    if request.path_params["user"] != account.platform_id:
        return JSONResponse({"errors": [_missing(request.path_params["user"], "id", "user")]})
    versions = _chosen(sandbox, account, request)
    token, size = params.get("pagination_token"), int(params.get("max_results", "10"))
    start = 0 if token is None else next((n for n, v in enumerate(versions) if v.token == token), len(versions))
    page = versions[start : start + size]
    following = start if sandbox.is_on(account, "repeated_page") else start + size
    ends = {"newest_id": page[0].native_id, "oldest_id": page[-1].native_id} if page else {}
    meta: dict[str, Any] = {"result_count": len(page), **ends}
    if following < len(versions):
        meta["next_token"] = versions[following].token
    return _answer(sandbox, account, request, page, [], meta)


async def lookup(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """Posts by the ids of their versions; what is not there is told of beside what is."""
    ids, now = request.query_params.get("ids", "").split(","), sandbox.now
    if len(ids) > 100 or not all(re.fullmatch(r"[0-9]{1,19}", each) for each in ids):
        return _invalid("ids", ",".join(ids), "has a size that is not between 1 and 100, or is no id")
    versions = {v.native_id: v for post in sandbox.world.posts(account, now) for v in _versions(post, now)}
    found = [versions[each] for each in ids if each in versions and not versions[each].post.is_private]
    errors = [_missing(each, "ids", "tweet") for each in ids if each not in versions]
    errors += [_hidden(each) for each in ids if each in versions and versions[each].post.is_private]
    return _answer(sandbox, account, request, found, errors, {})


@dataclass(frozen=True)
class Version:
    """A post as it was written first, or after its edit."""

    post: Post
    chain: tuple[str, ...]
    number: int

    @property
    def native_id(self) -> str:
        """Its own id."""
        return self.chain[self.number]

    @property
    def created_at(self) -> datetime:
        """When it was written."""
        return self.post.published_at + self.number * EDITED_AFTER

    @property
    def token(self) -> str:
        """The pagination token of a page that begins with it."""
        return f"7140{int(self.native_id):x}"


def _versions(post: Post, now: datetime) -> list[Version]:
    """All versions that there are at a time, oldest first."""
    edited = str(int(post.native_id) + (int(EDITED_AFTER.total_seconds() * 1000) << 22))
    is_edited = post.number % 11 == 5 and now >= post.published_at + EDITED_AFTER
    chain = (post.native_id, edited) if is_edited else (post.native_id,)
    return [Version(post, chain, number) for number in range(len(chain))]


def _chosen(sandbox: Sandbox, account: Account, request: Request) -> list[Version]:
    """What a timeline is cut to: by time, and to the last thirty days when private counters are asked for."""
    params, now = request.query_params, sandbox.now
    start = datetime.fromisoformat(params.get("start_time", "2010-11-06T00:00:00Z"))
    start = max(start, now - PRIVATE_FOR) if _asked_private(request) else start
    end = datetime.fromisoformat(params["end_time"]) if "end_time" in params else now + timedelta(seconds=1)
    newest = [_versions(post, now)[-1] for post in sandbox.world.posts(account, now, private=False)]
    return [version for version in newest[:REACHABLE] if start <= version.created_at < end]


def _fields(request: Request, kind: str) -> set[str]:
    names = {OLD_NAMES.get(name, name) for name in request.query_params.get(f"{kind}.fields", "").split(",")}
    return names | (_fields(request, "post") if kind == "tweet" else set())


def _asked_private(request: Request) -> list[str]:
    return [name for name in PRIVATE if name in _fields(request, "tweet")]


def _retired(sandbox: Sandbox, account: Account, request: Request) -> Response | None:
    """Unknown fields are dropped without a word; one that is retired is refused."""
    name = fault.values["name"] if (fault := sandbox.is_on(account, "retired_metric")) else None
    if name not in _fields(request, "tweet"):
        return None
    return _invalid("tweet.fields", request.query_params.get("tweet.fields", ""), f"has the value [{name}], unknown")


def _answer(
    sandbox: Sandbox, account: Account, request: Request, found: Sequence[Version], errors: list[Any], meta: Any
) -> Response:
    """Posts with their media; `data` is left out when there is none."""
    if (refusal := _retired(sandbox, account, request)) is not None:
        return refusal
    ledger(sandbox).bill("post", [version.native_id for version in found], sandbox.now)
    is_closed, oldest = sandbox.is_on(account, "no_permission_empty"), sandbox.now - PRIVATE_FOR
    denied = {v for v in found if is_closed or v.created_at < oldest}
    errors = errors + [_closed(v.native_id, name) for v in found if v in denied for name in _asked_private(request)]
    wanted = _fields(request, "tweet") | {"id", "text", "edit_history_tweet_ids"}

    def cut(version: Version, whole: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
        legal = names - set(PRIVATE) if version in denied else names
        return {name: value for name, value in whole.items() if name in legal}

    body: dict[str, Any] = {"data": [cut(v, _item(sandbox, v), wanted) for v in found]}
    if "attachments.media_keys" in request.query_params.get("expansions", ""):
        fields = _fields(request, "media") | {"media_key", "type"}
        media = [cut(v, _media(sandbox, v), fields) for v in found if v.post.media != "text"]
        body["includes"] = {"media": media} if media else {}
    return _worded(request, {name: each for name, each in (body | {"errors": errors, "meta": meta}).items() if each})


def _item(sandbox: Sandbox, version: Version) -> dict[str, Any]:
    """A post with all its fields."""
    post, is_newest = version.post, version.number == len(version.chain) - 1
    text = post.text if is_newest else f"{post.text} (draft)"
    wire, controls = html.escape(text, quote=False), {"is_edit_eligible": True}
    item: dict[str, Any] = {
        "id": version.native_id, "text": wire, "created_at": f"{version.created_at:%Y-%m-%dT%H:%M:%S}.000Z",
        "edit_history_tweet_ids": list(version.chain), "edit_controls": controls, "conversation_id": version.chain[0],
        "lang": "en", "possibly_sensitive": False, "entities": _entities(text),
        **_counts(sandbox, version, is_newest=is_newest),
    }  # fmt: skip
    if post.number % 11 == 8:
        item |= {"note_tweet": {"text": wire, "entities": item["entities"]}, "text": f"{text[:12]}…", "entities": {}}
    return item | ({"attachments": {"media_keys": [_key(post)]}} if post.media != "text" else {})


def _counts(sandbox: Sandbox, version: Version, *, is_newest: bool) -> dict[str, dict[str, int]]:
    """The counters of a version; those of an older one stand still since the edit."""
    until = version.created_at + EDITED_AFTER
    seen = sandbox.counters(version.post) if is_newest else sandbox.world.counters(version.post, until)
    is_hidden = sandbox.is_on(version.post.account, "hidden_counters")
    likes = {} if is_hidden else {"like_count": seen.reactions, "reply_count": seen.comments}
    retweets = {"retweet_count": seen.shares - seen.shares // 4}
    more = {"quote_count": seen.shares // 4, "bookmark_count": seen.saves, "impression_count": seen.views * 2}
    clicks = {"url_link_clicks": seen.clicks, "user_profile_clicks": seen.profile_visits}
    engagements = seen.reactions + seen.comments + seen.shares + seen.clicks + seen.profile_visits
    return {
        "public_metrics": {**likes, **retweets, **more},
        "non_public_metrics": {**clicks, "impression_count": seen.views * 2, "engagements": engagements},
        "organic_metrics": {**likes, **retweets, **clicks, "impression_count": seen.views * 2 - seen.views // 20},
    }


def _media(sandbox: Sandbox, version: Version) -> dict[str, Any]:
    """The video or picture of a post; a picture has no counters."""
    post, seen = version.post, sandbox.counters(version.post)
    address, size = f"https://cdn.example/x/{_key(post)}", {"height": 1080, "width": 1920, "alt_text": "A stage"}
    if post.media == "photo":
        return {"media_key": _key(post), "type": "photo", "url": f"{address}.jpg", **size}
    played = {f"playback_{part}_count": seen.views * (100 - part * 3 // 4) // 100 for part in (0, 25, 50, 75, 100)}
    return {
        "media_key": _key(post), "type": "video", "duration_ms": post.duration * 1000 + 340,
        "preview_image_url": f"{address}.jpg",
        "variants": [
            {"content_type": "application/x-mpegURL", "url": f"{address}.m3u8"},
            {"content_type": "video/mp4", "bit_rate": 2_176_000, "url": f"{address}.mp4"},
            {"content_type": "video/mp4", "bit_rate": 256_000, "url": f"{address}-low.mp4"},
        ],
        "public_metrics": {"view_count": seen.views},
        "non_public_metrics": played,
        "organic_metrics": {"view_count": seen.views - seen.views // 20, **played},
        **size,
    }  # fmt: skip


def _key(post: Post) -> str:
    return f"{'13' if post.media == 'video' else '3'}_{int(post.native_id) - 1}"


def _entities(text: str) -> dict[str, Any]:
    def each(sign: str, name: str) -> list[dict[str, Any]]:
        return [{"start": m.start(), "end": m.end(), name: m[1]} for m in re.finditer(rf"{sign}(\w+)", text)]

    return {"hashtags": each("#", "tag"), "mentions": each("@", "username")}


def _worded(request: Request, body: Any) -> Response:
    return JSONResponse(_renamed(body) if "post.fields" in request.query_params else body)


def _renamed(value: Any) -> Any:
    """The same in the newer vocabulary."""
    if isinstance(value, list):
        return [_renamed(each) for each in value]
    if not isinstance(value, dict):
        return value
    changed = {NEW_NAMES.get(name, name): _renamed(each) for name, each in value.items()}
    return changed | ({"resource_type": "post"} if changed.get("resource_type") == "tweet" else {})


def _partial(title: str, kind: str, detail: str, value: str, **about: str) -> dict[str, str]:
    """A problem that stands beside data."""
    address = f"https://api.x.com/2/problems/{kind}"
    return {"title": title, "detail": detail, "type": address, "value": value, "resource_id": value, **about}


def _missing(value: str, parameter: str, what: str) -> dict[str, str]:
    detail, about = f"Could not find {what} with {parameter}: [{value}].", {"parameter": parameter}
    return _partial("Not Found Error", "resource-not-found", detail, value, resource_type=what, **about)


def _hidden(value: str) -> dict[str, str]:
    detail, about = f"Sorry, you are not authorized to see the Tweet with ids: [{value}].", {"parameter": "ids"}
    return _partial("Authorization Error", "not-authorized-for-resource", detail, value, resource_type="tweet", **about)


def _closed(value: str, name: str) -> dict[str, str]:
    detail, about = (
        f"Sorry, you are not authorized to access '{name}' on [{value}].",
        {"section": "data", "field": name},
    )
    return _partial("Authorization Error", "not-authorized-for-field", detail, value, resource_type="tweet", **about)


def _invalid(name: str, value: str, why: str) -> Response:
    errors = [{"parameters": {name: [value]}, "message": f"The `{name}` query parameter value [{value}] {why}"}]
    return problem(400, "Invalid Request", "One or more parameters was invalid.", "invalid-request", errors=errors)
