"""Facebook Pages: addresses, metrics and mapping. Facts: developers.facebook.com/docs/graph-api (page insights and
page feed, 2026-09-11), live probes of 2026-07 to 2026-10; evidence in the reference of the platform.

The listing brings the ordinary insights of 100 posts at once; videos and earnings are read by batches of 50. Earnings
are never asked together with other metrics: that fails for good with an error that looks transient.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import gcd
from typing import Any
from urllib.parse import parse_qsl

from cg_pipeline.errors import (
    AccessDenied,
    CgError,
    Disconnected,
    Gone,
    Refused,
    Throttled,
    TokenExpired,
    Unavailable,
)
from cg_pipeline.platforms import graph
from cg_pipeline.platforms.contract import AsOf, Connector, Reading, Renewal
from cg_pipeline.platforms.facebook_metrics import BOTH, METRICS, money, values_of
from cg_pipeline.platforms.graph_nodes import (
    ANY,
    BATCH,
    TOO_MUCH,
    Found,
    Ladder,
    Nodes,
    following,
    of_item,
    without_addresses,
)
from cg_pipeline.platforms.http import Answer, Request, listed, pages
from cg_pipeline.platforms.records import (
    AccountRecord,
    Json,
    Lookup,
    MetricsRecord,
    PostRecord,
    Tokens,
    without_nulls,
)
from cg_pipeline.platforms.registry import Registry

VERSION = "v26.0"
HOST = "https://www.facebook.com"

ACCOUNT_FIELDS = (
    "id,name,username,about,category,link,fan_count,followers_count,verification_status,cover{source},"
    "picture.width(400){url}"
)
POST_FIELDS = (
    "id,created_time,updated_time,message,message_tags,story,permalink_url,status_type,is_published,is_hidden,"
    "is_expired,parent_id,from,full_picture,properties,privacy,shares,attachments{media_type,type,title,description,"
    "url,unshimmed_url,target{id,url},media{image{src,width,height},source},subattachments}"
)
SUMMARIES = "reactions.summary(total_count).limit(0),comments.summary(total_count).limit(0)"
VIDEO_FIELDS = (
    "id,post_id,title,description,length,created_time,updated_time,permalink_url,views,published,status,custom_labels,"
    "content_tags,content_category,universal_video_id,is_crosspost_video,format{filter,width,height}"
)

# By the attachment's kind, else by the post's status; whatever else there is some day has no type.
MEDIA = {
    "video": "video", "photo": "photo", "album": "photo", "link": "link", "added_video": "video",
    "added_photos": "photo", "mobile_status_update": "text", "wall_post": "text", "shared_story": "status",
    "published_story": "status", "created_event": "status", "app_created_story": "status",
}  # fmt: skip
PRIVACY = {"EVERYONE": "public", "SELF": "private"}

RENEW_BEFORE = timedelta(days=14)
BLOCKED_PAUSE = timedelta(hours=6)  # a block for behaviour lasts hours to days, and is not told


def _post_ladder() -> Ladder:
    steps = [("summaries", "post"), ("summaries",), ("post",), ()]
    return Ladder("insights", ".period(lifetime)", POST_FIELDS, {"summaries": SUMMARIES}, steps)


def _video_ladder() -> Ladder:
    # Without a period: reels refuse any.
    return Ladder("video_insights", "", VIDEO_FIELDS, {}, [("video", "ads"), ("video",), ()])


def _money_ladder() -> Ladder:
    return Ladder("insights", ".period(lifetime)", "id", {}, [("money",)])


class Facebook(Connector):
    """Facebook, as those see it who manage a page.

    Of a site's tokens the access token is that of the page, which does not expire by itself; the refresh token is the
    long-lived one of the person behind it, and `expires_at` is the end of the latter.
    """

    platform = "facebook"
    as_of = AsOf.NOW_ONLY
    settling_days = 0
    base_url = "https://graph.facebook.com"
    registry = Registry(METRICS)
    scopes: Mapping[str, str] = {
        "pages_show_list": "the pages of the person, and their tokens",
        "pages_read_engagement": "posts, videos and the page",
        "pages_read_user_content": "numbers of reactions and comments",
        "read_insights": "all other counters, and earnings",
    }
    posts_a_page = 100

    def authorize(self, token: str) -> Mapping[str, str]:
        """The token as a bearer."""
        return graph.authorize(token)

    def check(self, answer: Answer, now: datetime) -> Any:
        """As all of Meta's; a batch fails as a whole where one of its answers concerns the whole site."""
        served = answer.headers.get("facebook-api-version", VERSION)
        if served != VERSION:
            message = (
                f"Facebook serves version {served} instead of {VERSION}, which it no longer knows: update VERSION."
            )
            raise Refused(message)
        try:
            body = graph.check(answer, now)
        except (Unavailable, Refused) as error:
            if (meant := _meant(error, now)) is None:
                raise
            raise meant from error
        for item in body if isinstance(body, list) else ():
            if isinstance(fault := of_item(self, item, now), TokenExpired | Throttled | Disconnected):
                raise fault
        return body

    def quota(self, answer: Answer, now: datetime) -> tuple[int, datetime] | None:
        """As all of Meta's."""
        return graph.quota(answer, now)

    def account(self, reading: Reading) -> AccountRecord:
        """The page. Its likes (`fan_count`) are not its followers."""
        seen = reading.caller.get(f"{reading.base_url}/{VERSION}/{reading.platform_id}", fields=ACCOUNT_FIELDS)
        told = without_nulls(seen)
        return AccountRecord(
            platform_id=str(told["id"]),
            name=told.get("name"),
            username=told.get("username"),
            follower_count=told.get("followers_count"),
            profile_image_url=told.get("picture", {}).get("data", {}).get("url"),
            cover_image_url=told.get("cover", {}).get("source"),
            bio=told.get("about"),
            raw=seen,
        )

    def posts(self, reading: Reading) -> Iterator[list[PostRecord]]:
        """The page's own published posts, newest first, with their ordinary counters; about the 600 best of a year.

        They are given on in groups of 50 videos, so that no batch of videos goes out half full.
        """
        nodes, ladder, videos = self._nodes(reading), _post_ladder(), _video_ladder()
        waiting: list[Json] = []
        path = f"{reading.platform_id}/published_posts"
        for items in pages(None, lambda cursor: nodes.page(path, ladder, cursor)):
            waiting += items
            while end := _ready(waiting):
                yield _with_videos(nodes, waiting[:end], videos)
                waiting = waiting[end:]
        if waiting:
            yield _with_videos(nodes, waiting, videos)

    def lookup(self, reading: Reading, native_ids: Sequence[str]) -> Lookup:
        """50 a batch. A lost permission looks as if posts were gone: one that can be read must prove that it is not."""
        nodes = self._nodes(reading)
        ids = {f"{reading.platform_id}_{native_id}": native_id for native_id in native_ids}
        answers = nodes.read(dict.fromkeys(ids, ANY), _post_ladder())
        items = [answer for answer in answers.values() if isinstance(answer, dict)]
        gone = frozenset(ids[node] for node, answer in answers.items() if isinstance(answer, Gone))
        if gone and not items:
            url = f"{reading.base_url}/{VERSION}/{reading.platform_id}/published_posts"
            gone = gone if reading.caller.get(url, fields="id", limit=1, holds="data")["data"] else frozenset()
        # What visitors post on the page has an id of the page too, and is nobody's to be paid for.
        own = [item for item in items if (item.get("from") or {}).get("id") in {None, reading.platform_id}]
        return Lookup(_with_videos(nodes, own, _video_ladder()), gone)

    def metrics(self, reading: Reading, posts: Sequence[PostRecord]) -> Iterator[MetricsRecord]:
        """The money, 50 posts a batch: the earnings, and the price of ads that came with the videos."""
        nodes, ladder, denial = self._nodes(reading), _money_ladder(), None
        for start in range(0, len(posts), BATCH):
            some = {_node(reading, post): post for post in posts[start : start + BATCH]}
            answers: dict[str, Found] = {}
            if denial is None and nodes.names(["money"], ANY):
                answers = nodes.read(dict.fromkeys(some, ANY), ladder)
                denied = [answer for answer in answers.values() if isinstance(answer, AccessDenied)]
                denial = denied[0] if len(denied) == len(answers) else None
            for node, post in some.items():
                answer = answers.get(node, denial or {})
                if not isinstance(answer, Gone):  # else it went between the listing and now
                    yield money(post, answer, reading.currency)

    def renew(self, renewal: Renewal) -> Tokens:
        """The page's token anew, by the token of the person, which is extended where its end is near or unknown."""
        user, ends = renewal.tokens.refresh, renewal.tokens.expires_at
        if user is None:
            message = "There is no token of a person to get that of the page with: connect the site again."
            raise Disconnected(message)
        try:
            if ends is None or self.renew_before(renewal.tokens, renewal.now):
                user, ends = self._extended(renewal, user)
            return Tokens(self._page_token(renewal, user), user, ends, renewal.tokens.scope)
        except (Refused, TokenExpired) as error:
            message = f"Facebook no longer gives a token for the page ({error}): connect the site again."
            raise Disconnected(message) from error

    def renew_before(self, tokens: Tokens, now: datetime) -> bool:
        """In the last two weeks of the person's token; once it is over, the page's still serves, but not anew."""
        return tokens.expires_at is not None and tokens.expires_at - RENEW_BEFORE <= now < tokens.expires_at

    def minimum_calls(self, posts: int, videos: int = 0) -> int:
        """One for the account, one a page; for each 50 videos one, and for the earnings of each 50 posts one.

        How many of the posts are videos is not in their number: unless it is given, none is.
        """
        return 1 + max(1, -(-posts // self.posts_a_page)) + -(-videos // BATCH) + -(-posts // BATCH)

    def _nodes(self, reading: Reading) -> Nodes:
        return Nodes(reading, self, VERSION, METRICS)

    def _extended(self, renewal: Renewal, user: str) -> tuple[str, datetime | None]:
        params = {
            "grant_type": "fb_exchange_token",
            "client_id": renewal.app.client_id,
            "client_secret": renewal.app.client_secret,
            "fb_exchange_token": user,
        }
        body = renewal.send(self, Request("GET", f"{renewal.base_url}/{VERSION}/oauth/access_token", params))
        seconds = body.get("expires_in")
        return body["access_token"], renewal.now + timedelta(seconds=int(seconds)) if seconds else None

    def _page_token(self, renewal: Renewal, user: str) -> str:
        """The token of the page among those of the person; which it is, the old token tells, even a dead one."""

        def read(cursor: str | None) -> tuple[list[Json], str | None]:
            params = dict(parse_qsl(cursor or "")) | {"fields": "id,name,access_token,tasks", "limit": "100"}
            request = Request("GET", f"{renewal.base_url}/{VERSION}/me/accounts", params)
            body = renewal.send(self, request, self.authorize(user))
            return listed(body, "data", request), following(body)

        owned = {str(each["id"]): each["access_token"] for some in pages(None, read) for each in some
                 if each.get("access_token")}  # fmt: skip
        if len(owned) > 1:
            request = Request(
                "GET", f"{renewal.base_url}/{VERSION}/debug_token", {"input_token": renewal.tokens.access}
            )
            app = f"{renewal.app.client_id}|{renewal.app.client_secret}"
            if not (told := renewal.send(self, request, self.authorize(app)).get("data")):
                raise Unavailable("Facebook did not tell which page the token is of (debug_token).")
            page = str(told.get("profile_id"))
            owned = {page: owned[page]} if page in owned else {}
        if not owned:
            raise Refused("The person no longer manages the page.")
        return str(next(iter(owned.values())))


def _meant(error: CgError, now: datetime) -> CgError | None:
    """What Facebook means by some errors that Meta's platforms share; None: just that."""
    text = str(error)
    if TOO_MUCH in text:
        return Refused(text)  # it is no use to ask the same again
    if type(error) is Refused and "(code 368" in text:
        return Throttled(text, now + BLOCKED_PAUSE)
    if type(error) is Refused and "(code 100)" in text and "missing permission" in text:
        return AccessDenied(text)
    return None


def _ready(items: Sequence[Json]) -> int:
    """How many items can go on: up to the last video of a full batch, or all when there is no video among them."""
    places = [place for place, item in enumerate(items) if _video_id(without_nulls(item))]
    if len(places) < BATCH:
        return 0 if places else len(items)
    return places[BATCH - 1] + 1


def _attachment(item: Json) -> Json:
    found: Json = next(iter(item.get("attachments", {}).get("data", [])), {})
    return found


def _media(item: Json) -> str:
    if "/reel/" in item.get("permalink_url", ""):
        return "reel"
    kind = MEDIA.get(_attachment(item).get("media_type", "")) or MEDIA.get(item.get("status_type", ""))
    return kind or ("text" if item.get("message") and not item.get("attachments") else ANY)


def _video_id(item: Json) -> str | None:
    """The video of a post; a shared post shows another post's, whose counters are not its own."""
    if _media(item) not in BOTH or item.get("parent_id"):
        return None
    target = _attachment(item).get("target", {}).get("id")
    return str(target) if target else None


def _with_videos(nodes: Nodes, items: Sequence[Json], ladder: Ladder) -> list[PostRecord]:
    known = [without_nulls(item) for item in items]
    videos = {video: _media(item) for item in known if (video := _video_id(item))}
    answers = nodes.read(videos, ladder)
    return [_post(item, answers.get(_video_id(told) or "")) for item, told in zip(items, known, strict=True)]


def _node(reading: Reading, post: PostRecord) -> str:
    """The id that the post is asked by: the page's, then its own."""
    return str(post.raw.get("id") or f"{reading.platform_id}_{post.native_id}")


def _post(item: Json, answer: Found | None) -> PostRecord:
    """One post; `answer` is what came of its video, if it is one."""
    video = answer if isinstance(answer, dict) else {}
    unavailable = {**item.get("unavailable", {}), **video.get("unavailable", {})}
    if isinstance(answer, CgError):
        unavailable["video"] = str(answer)
    raw = item | ({"video": video} if video else {}) | ({"unavailable": unavailable} if unavailable else {})
    item, video = without_nulls(item), without_nulls(video)
    media, published = _media(item), graph.time_of(item.get("created_time"))
    native_id = str(item["id"]).rpartition("_")[2]
    known = {name: value for name, value in _attributes(item, video, media, published).items() if value is not None}
    return PostRecord(native_id, media, published, known, values_of(item, video, media), without_addresses(raw))


def _attributes(item: Json, video: Json, media: str, published: datetime | None) -> Json:
    attachment, owner, address = _attachment(item), item.get("from", {}), item.get("permalink_url")
    tagged = [tag["name"].casefold() for tag in item.get("message_tags", []) if tag.get("name")]
    flags = {"is_crosspost": video.get("is_crosspost_video"), "is_share": True if item.get("parent_id") else None}
    length = video.get("length")
    return {
        "title": video.get("title") or (attachment.get("title") if media == "link" else None),
        "description": item.get("message") or video.get("description"),
        "post_type": media.capitalize() if media != ANY else None,
        "publish_time": published.astimezone(UTC).isoformat() if published else None,
        "permalink": HOST + address if address and address.startswith("/") else address,
        "page_id": str(owner["id"]) if owner.get("id") else str(item["id"]).rpartition("_")[0] or None,
        "page_name": owner.get("name"),
        "thumbnail_url": item.get("full_picture"),
        "video_url": attachment.get("media", {}).get("source") if media in BOTH else None,
        "duration": round(length) if length is not None else None,
        **_frame(video),
        "mentions": tagged or None,
        "asset_tag": ", ".join(video.get("custom_labels") or []) or None,
        "content_category": video.get("content_category"),
        "privacy_status": PRIVACY.get(item.get("privacy", {}).get("value", "")),
        "crossposting_status": {name: flag for name, flag in flags.items() if flag is not None} or None,
    }


def _frame(video: Json) -> Json:
    """The size as it was uploaded; pictures of a post are scaled down, and tell none."""
    native: Json = next((each for each in video.get("format", []) if each.get("filter") == "native"), {})
    width, height = native.get("width"), native.get("height")
    if not width or not height:
        return {}
    common = gcd(width, height)
    return {"aspect_ratio": f"{width // common}:{height // common}", "resolution": f"{width}x{height}"}
