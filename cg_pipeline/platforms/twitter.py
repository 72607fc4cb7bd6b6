"""X: addresses, metrics and mapping. Facts: docs.x.com (metrics, timelines, edit-posts, pricing) and OpenAPI 2.167.

Every post that is returned costs money; the same post again within a UTC day is free. We ask by `tweet.fields` (the
classic names) and accept the names of `post.fields` too. Private counters are told of own posts younger than 30 days
only, and asking for them cuts a timeline to those: hence two passes over the timeline.
"""

import base64
import html
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cg_pipeline.errors import (
    AccessDenied,
    ConfigError,
    CreditsDepleted,
    Disconnected,
    InvalidMetric,
    Refused,
    Throttled,
    TokenExpired,
    Unavailable,
)
from cg_pipeline.platforms.contract import AsOf, Connector, Reading, Renewal
from cg_pipeline.platforms.http import Answer, Request, pages, require_whole, retry_at
from cg_pipeline.platforms.records import AccountRecord, Json, Lookup, MetricsRecord, PostRecord, Tokens
from cg_pipeline.platforms.registry import Metric, Registry, ask

POST_FIELDS = (
    "id,text,created_at,entities,attachments,public_metrics,note_tweet,referenced_tweets,conversation_id,"
    "in_reply_to_user_id,edit_history_tweet_ids,edit_controls,lang,possibly_sensitive,paid_partnership,withheld"
)
MEDIA_FIELDS = "media_key,type,duration_ms,height,width,url,preview_image_url,variants,public_metrics,alt_text"
PUBLIC = {"tweet.fields": POST_FIELDS, "expansions": "attachments.media_keys", "media.fields": MEDIA_FIELDS}
USER_FIELDS = (
    "id,name,username,description,profile_image_url,profile_banner_url,public_metrics,protected,verified_type,"
    "created_at"
)
RENAMED = {"repost_count": "retweet_count"}  # `post.fields` name -> ours
TYPES = {"video": "Video", "photo": "Photo", "animated_gif": "Photo", "text": "Text"}
KEY_TYPES = {"3": "photo", "7": "video", "13": "video", "16": "animated_gif"}  # what a media key begins with
VIEWS = "media.view_count"
PRIVATE = ("non_public_metrics", "organic_metrics")

METRICS = (
    Metric("public_metrics.impression_count", "impressions", family="public_metrics", scope="tweet.read"),
    Metric("public_metrics.like_count", "reactions", family="public_metrics", scope="tweet.read"),
    Metric("public_metrics.reply_count", "comments", family="public_metrics", scope="tweet.read"),
    Metric("public_metrics.bookmark_count", "saves", family="public_metrics", scope="tweet.read"),
    Metric("public_metrics.retweet_count", None, family="public_metrics", scope="tweet.read"),
    Metric("public_metrics.quote_count", None, family="public_metrics", scope="tweet.read"),
    # The vendor sums it up over all posts that carry the video.
    Metric(VIEWS, "views", family="public_metrics", scope="tweet.read", media=frozenset({"video"})),
    Metric("non_public_metrics.user_profile_clicks", "profile_visits", family=PRIVATE[0], scope="users.read"),
    Metric("non_public_metrics.url_link_clicks", None, family=PRIVATE[0], scope="users.read"),
    Metric("non_public_metrics.engagements", None, family=PRIVATE[0], scope="users.read"),
    Metric("organic_metrics.impression_count", None, family=PRIVATE[1], scope="users.read"),
)
SHARING = ("public_metrics.retweet_count", "public_metrics.quote_count")

PRIVATE_FOR = timedelta(days=29)  # told for 30 days; a day of margin
EDITABLE = timedelta(hours=1)  # the newest version of a post may be that much younger than its first
RENEW_BEFORE = timedelta(minutes=10)
FIRST_IMPRESSIONS = datetime(2022, 12, 15, tzinfo=UTC)  # older posts were never counted and say 0
FIRST_ID_MS = 1_288_834_974_657


class Twitter(Connector):
    """X, as the owner of an account sees it."""

    platform = "twitter"
    as_of = AsOf.NOW_ONLY
    settling_days = 0
    base_url = "https://api.x.com"
    registry = Registry(METRICS)
    scopes: Mapping[str, str] = {
        "tweet.read": "posts and their public counters",
        "users.read": "the account, and private counters of posts younger than 30 days",
        "offline.access": "renewal of the access token, which lives for two hours",
    }
    posts_a_page = 100
    lists_all = False

    def authorize(self, token: str) -> Mapping[str, str]:
        """The token as a bearer."""
        return {"Authorization": f"Bearer {token}"}

    def check(self, answer: Answer, now: datetime) -> Any:
        """The body of a good answer. `errors` beside `data` are partial, and no reason to fail."""
        require_whole(answer, now)
        if answer.status >= 400:
            raise _error(answer, now)
        return answer.json()

    def quota(self, answer: Answer, now: datetime) -> tuple[int, datetime] | None:
        """What is left of this address's quarter of an hour."""
        left, reset = (answer.headers.get(f"x-rate-limit-{name}", "") for name in ("remaining", "reset"))
        if not (left.isdigit() and reset.isdigit()):
            return None
        return int(left), datetime.fromtimestamp(int(reset), now.tzinfo)

    def account(self, reading: Reading) -> AccountRecord:
        """The account that the token belongs to (billed as one user)."""
        seen = _whole(reading.caller.get(f"{reading.base_url}/2/users/me", **{"user.fields": USER_FIELDS}))["data"]
        reading.require_own(str(seen["id"]))
        return AccountRecord(
            platform_id=str(seen["id"]),
            name=seen.get("name"),
            username=seen.get("username"),
            follower_count=(seen.get("public_metrics") or {}).get("followers_count"),
            profile_image_url=seen.get("profile_image_url"),
            cover_image_url=seen.get("profile_banner_url"),
            bio=html.unescape(seen["description"]) if seen.get("description") is not None else None,
            raw=seen,
        )

    def posts(self, reading: Reading) -> Iterator[list[PostRecord]]:
        """Own posts, newest first: X lists the latest 3,200 only, older ones must be looked up by id."""
        for body in self._timeline(reading, PUBLIC):
            yield _posts(body, reading)

    def lookup(self, reading: Reading, native_ids: Sequence[str]) -> Lookup:
        """A hundred posts a call. Not found is gone; not authorized (a protected author, say) is unknown.

        The id of an edited post names its first version, which has old text and counters: the newest is asked too.
        """
        found, gone = self._by_ids(reading, native_ids)
        newest = {post.native_id: _chain(post.raw)[-1] for post in found}
        edited = [newest[post.native_id] for post in found if newest[post.native_id] != post.raw["id"]]
        current = [post for post in found if newest[post.native_id] == post.raw["id"]]
        return Lookup(current + self._by_ids(reading, edited)[0], frozenset(gone))

    def metrics(self, reading: Reading, posts: Sequence[PostRecord]) -> Iterator[MetricsRecord]:
        """Private counters of the posts that are young enough. The others have none, which is unknown and not 0."""
        oldest = reading.started_at - PRIVATE_FOR
        young = {post.native_id: post for post in posts if post.published_at and post.published_at >= oldest}
        if not young:
            return
        window = _window([post.published_at for post in young.values() if post.published_at], reading.started_at)

        def request(names: Sequence[str]) -> list[MetricsRecord]:
            try:
                records = [each for body in self._timeline(reading, _fields(names) | window) for each in _private(body)]
            except AccessDenied as refusal:
                reasons = dict.fromkeys(names, str(refusal))
                return [MetricsRecord(native_id, {}, raw={"unavailable": reasons}) for native_id in young]
            return [record for record in records if record.native_id in young]

        for records in ask(PRIVATE, "any", reading.retired, request):
            yield from records

    def renew(self, renewal: Renewal) -> Tokens:
        """A new pair of tokens. A refresh token serves once, and using it again kills all tokens of the consent:
        the caller must ask once a token (under a lock on the site's row), and keep the new pair before using it.
        """
        if not renewal.tokens.refresh:
            message = "There is no refresh token for X: connect the site again and grant offline.access."
            raise Disconnected(message)
        app, form = renewal.app, {"grant_type": "refresh_token", "refresh_token": renewal.tokens.refresh}
        basic = base64.b64encode(f"{app.client_id}:{app.client_secret}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}"} if app.client_secret else {}
        form |= {} if app.client_secret else {"client_id": app.client_id}
        try:
            body = renewal.send(self, Request("POST", f"{renewal.base_url}/2/oauth2/token", form=form), headers)
        except (TokenExpired, Refused) as error:
            raise _not_renewed(error) from error
        expires_at, scope = renewal.now + timedelta(seconds=body.get("expires_in", 7200)), renewal.tokens.scope
        return Tokens(body["access_token"], body.get("refresh_token"), expires_at, body.get("scope", scope))

    def renew_before(self, tokens: Tokens, now: datetime) -> bool:
        """Ten minutes before its two hours are over, and no earlier: every renewal risks the chain."""
        return tokens.expires_at is not None and now >= tokens.expires_at - RENEW_BEFORE

    def minimum_calls(self, posts: int) -> int:
        """One for the account, one a page, one for the private counters of up to a hundred young posts."""
        return 1 + max(1, -(-posts // self.posts_a_page)) + (1 if posts else 0)

    def _timeline(self, reading: Reading, params: Mapping[str, str]) -> Iterator[Json]:
        """The answers of the timeline, each with the posts that are new. A page may be empty and not the last.

        Raises Unavailable at a token that comes back; a page that brings nothing new under a new token is the end.
        """
        url, seen = f"{reading.base_url}/2/users/{reading.platform_id}/tweets", set[str]()
        fixed: Json = {"max_results": self.posts_a_page, "exclude": "retweets", **params}

        def read(token: str | None) -> tuple[list[Json], str | None]:
            body = _whole(reading.caller.get(url, **fixed, pagination_token=token))
            items, following = body.get("data") or [], (body.get("meta") or {}).get("next_token")
            fresh = [item for item in items if item["id"] not in seen]
            seen.update(item["id"] for item in fresh)
            is_end = bool(items) and not fresh and following != token
            return [{**body, "data": fresh}], None if is_end else following

        for bodies in pages(None, read):
            yield from bodies

    def _by_ids(self, reading: Reading, ids: Sequence[str]) -> tuple[list[PostRecord], set[str]]:
        found, gone = [], set()
        for start in range(0, len(ids), self.posts_a_page):
            asked = ",".join(ids[start : start + self.posts_a_page])
            body = reading.caller.get(f"{reading.base_url}/2/tweets", ids=asked, **PUBLIC)
            found += _posts(body, reading)
            if not body.get("errors"):
                _whole(body)
            errors = [error for error in body.get("errors") or [] if _kind(error) == "resource-not-found"]
            gone |= {str(error.get("resource_id") or error.get("value")) for error in errors}
        return found, gone & set(ids)


def _kind(problem: Mapping[str, Any]) -> str:
    """A problem's type without its host, of which there are two."""
    return str(problem.get("type", "")).rsplit("/", 1)[-1]


def _problem(answer: Answer) -> Json:
    """The problem that a bad answer tells of. Raises Unavailable when it cannot be read."""
    if not answer.text.strip() or (answer.status == 402 and not answer.is_json):
        return {}
    body = answer.json()
    return body if isinstance(body, dict) else {}


def _error(answer: Answer, now: datetime) -> Exception:
    """The error that a bad answer means."""
    problem = _problem(answer)
    kind, text = _kind(problem), _text(problem, answer.status)
    if answer.status == 402 or kind in {"credits", "usage-capped"}:
        return CreditsDepleted(f"{text} No request of this app succeeds until there are credits again.")
    match answer.status:
        case 429:
            return Throttled(text, retry_at(answer, now))
        case 401:
            return TokenExpired(text)
        case 403:
            return AccessDenied(f"{text} Check the app's plan and project, or connect the site again.")
    errors = problem.get("errors") or []
    is_field = any(name.endswith(".fields") for error in errors for name in error.get("parameters") or {})
    return InvalidMetric(text) if is_field else Refused(text)


def _text(problem: Mapping[str, Any], status: int) -> str:
    """All that a problem says, in the forms of the API and of its token address."""
    names = ("title", "detail", "reason", "period", "error", "error_description")
    said = [str(problem[name]) for name in names if problem.get(name)]
    said += [str(error["message"]) for error in problem.get("errors") or [] if error.get("message")]
    return f"{': '.join(dict.fromkeys(said)) or 'X gave no reason'} (HTTP {status})"


def _not_renewed(error: Exception) -> Exception:
    """Why there are no new tokens: only a refresh token that is dead needs the person again."""
    if isinstance(error, TokenExpired) or "_client" in str(error):
        return ConfigError(f"X does not accept the app's client id and secret ({error}): check the app's settings.")
    if isinstance(error, AccessDenied | CreditsDepleted):
        return error
    return Disconnected(f"X no longer renews the token ({error}): connect the site again.")


def _whole(body: Json) -> Json:
    """The answer, unless it holds neither data nor the word that there is none: such a timeline is not an empty one.

    Raises AccessDenied, Unavailable or Refused.
    """
    if body.get("data") is not None or (body.get("meta") or {}).get("result_count") == 0:
        return body
    if not (errors := body.get("errors")):
        raise Unavailable("X told neither of account or posts nor of errors: the answer is not whole.")
    kind, text = _kind(errors[0]), f"{_text(errors[0], 200)} X told of errors only, and of neither account nor posts."
    if kind.startswith("not-authorized"):
        raise AccessDenied(text)
    raise Unavailable(text) if kind in {"resource-unavailable", "internal-error"} else Refused(text)


def _chain(item: Mapping[str, Any]) -> list[str]:
    """The ids of all versions of a post, the first one first: that one names the post."""
    return item.get("edit_history_tweet_ids") or item.get("edit_history_post_ids") or [item["id"]]


def _window(published: Sequence[datetime], now: datetime) -> dict[str, str]:
    """The shortest stretch of the timeline that holds these posts: what is returned is billed."""
    end = max(published) + EDITABLE
    window = {"start_time": min(published)} | ({"end_time": end} if end + EDITABLE < now else {})
    return {name: f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for name, moment in window.items()}


def _fields(names: Sequence[str]) -> dict[str, str]:
    """What to ask for private counters. No referenced posts: those of others would be refused, and billed."""
    return {
        "tweet.fields": ",".join(("id", "edit_history_tweet_ids", "attachments", *names)),
        "expansions": "attachments.media_keys",
        "media.fields": ",".join(("media_key", "type", *names)),
    }


def _with_media(item: Json, body: Json) -> Json:
    """The item as it came, and of what was included that which belongs to it."""
    media = {each.get("media_key"): each for each in (body.get("includes") or {}).get("media") or []}
    keys = (item.get("attachments") or {}).get("media_keys") or []
    own = [media.get(key, {"media_key": key}) for key in keys]
    return {**item, "includes": {"media": own}} if own else item


def _posts(body: Json, reading: Reading) -> list[PostRecord]:
    return [_post(_with_media(item, body), reading) for item in body.get("data") or []]


def _post(item: Json, reading: Reading) -> PostRecord:
    chain, media = _chain(item), item.get("includes", {}).get("media", [])
    kind, published = _media_type(media), _published(item, chain)
    note = item.get("note_tweet") or item.get("note_post") or {}
    entities = note.get("entities") or item.get("entities") or {}
    text = note.get("text") or item.get("text")
    attributes = {
        "description": html.unescape(text) if text is not None else None,
        "post_type": TYPES.get(kind),
        "publish_time": published.isoformat() if published else None,
        "permalink": f"https://x.com/{reading.username or 'i/web'}/status/{chain[0]}",
        "page_id": reading.platform_id,
        "page_name": reading.username,
        "hashtags": _each_once(tag.get("tag") for tag in entities.get("hashtags") or []),
        "mentions": _each_once(user.get("username") for user in entities.get("mentions") or []),
        "restricted_countries": item.get("withheld"),
        **_of_media(next((each for each in media if _type(each) == kind), {})),
    }
    known = {name: value for name, value in attributes.items() if value is not None}
    return PostRecord(str(chain[0]), kind, published, known, _values(item, kind, published), item)


def _each_once(names: Iterable[str | None]) -> list[str] | None:
    return list(dict.fromkeys(name.casefold() for name in names if name)) or None


def _published(item: Mapping[str, Any], chain: Sequence[str]) -> datetime | None:
    """When the first version was published: of an edited post only that version's id tells."""
    if len(chain) > 1:
        return datetime.fromtimestamp(((int(chain[0]) >> 22) + FIRST_ID_MS) // 1000, UTC)
    created = item.get("created_at")
    return datetime.fromisoformat(created) if created else None


def _type(media: Mapping[str, Any]) -> str:
    return str(media.get("type") or KEY_TYPES.get(str(media.get("media_key", "")).split("_")[0], "other"))


def _media_type(media: Sequence[Mapping[str, Any]]) -> str:
    """What a post is: a video if there is one in it."""
    types = [_type(each) for each in media]
    return next((kind for kind in ("video", "photo", "animated_gif") if kind in types), "other" if types else "text")


def _of_media(media: Mapping[str, Any]) -> dict[str, Any]:
    """What the post's leading video or picture tells."""
    width, height, length = media.get("width"), media.get("height"), media.get("duration_ms")
    films = [each for each in media.get("variants") or [] if each.get("content_type") == "video/mp4"]
    best: Mapping[str, Any] = max(films, key=lambda each: each.get("bit_rate") or 0, default={})
    common = math.gcd(width, height) if width and height else 0
    return {
        "thumbnail_url": media.get("preview_image_url") or media.get("url"),
        "video_url": best.get("url"),
        "duration": (length + 500) // 1000 if length is not None else None,
        "aspect_ratio": f"{width // common}:{height // common}" if width and height else None,
        "resolution": f"{width}x{height}" if width and height else None,
    }


def _numbers(item: Json) -> dict[str, Any]:
    """Vendor metric -> number, where it is known. A post's views are those of all its videos, if each tells them."""
    groups = ("public_metrics", *PRIVATE)
    found = {f"{g}.{RENAMED.get(name, name)}": n for g in groups for name, n in (item.get(g) or {}).items()}
    films = [each for each in item.get("includes", {}).get("media", []) if _type(each) == "video"]
    views = [n for each in films if (n := (each.get("public_metrics") or {}).get("view_count")) is not None]
    found[VIEWS] = sum(map(int, views)) if films and len(views) == len(films) else None
    return {name: number for name, number in found.items() if number is not None}


def _values(item: Json, kind: str, published: datetime | None) -> dict[str, Any]:
    """Our columns. Shares are retweets and quotes together; both parts stay in raw_data."""
    numbers = _numbers(item)
    if numbers.get("public_metrics.impression_count") == 0 and published and published < FIRST_IMPRESSIONS:
        del numbers["public_metrics.impression_count"]
    metrics = [m for m in METRICS if m.column and m.name in numbers and (not m.media or kind in m.media)]
    values = {str(metric.column): metric.value(numbers[metric.name]) for metric in metrics}
    if all(name in numbers for name in SHARING):
        values["shares"] = sum(int(numbers[name]) for name in SHARING)
    return values


def _private(body: Json) -> Iterator[MetricsRecord]:
    """The private counters of a page, with what X said of those that it did not give."""
    for item in body["data"]:
        raw = _with_media(item, body)
        about = {item["id"], *((item.get("attachments") or {}).get("media_keys") or [])}
        errors = [each for each in body.get("errors") or [] if (each.get("resource_id") or each.get("value")) in about]
        reasons = {str(each.get("field") or each.get("parameter") or _kind(each)): _text(each, 200) for each in errors}
        yield MetricsRecord(
            _chain(item)[0], _values(raw, "any", None), raw=raw | ({"unavailable": reasons} if reasons else {})
        )
