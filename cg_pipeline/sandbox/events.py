"""The webhook events that the platforms would send about the sandbox's world: bodies, headers, signatures.

Each is made from its post and the time alone: at the same time it is the same event, so that sending it twice is a
second delivery. `publish` is the same event at any time. Names and numbers of other people are invented.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

from cg_pipeline.sandbox.hub import LOOPBACK, TOPIC
from cg_pipeline.sandbox.world import Account, Post

if TYPE_CHECKING:
    from cg_pipeline.sandbox.server import Sandbox

SECRET = "sandbox-secret"  # noqa: S105  the secret of the sandbox's apps
HUB = "https://pubsubhubbub.appspot.com/"

Json = dict[str, Any]


@dataclass(frozen=True)
class Delivery:
    """One POST of a platform."""

    headers: Mapping[str, str]
    body: bytes


def event(subject: Post | Account, kind: str, secret: str, now: datetime) -> Delivery:
    """What the platform sends about a post, or for `revoke` about an account. Raises ValueError if there is none."""
    account = subject.account if isinstance(subject, Post) else subject
    require_kind(account.platform, kind)
    said = EVENTS[account.platform][kind](subject, now)
    body = said.encode() if isinstance(said, str) else json.dumps(said, separators=(",", ":")).encode()
    kind_of_body = "application/atom+xml" if account.platform == "youtube" else "application/json"
    signed = _SIGNED[account.platform](secret.encode(), body, now)
    more = _MORE_HEADERS[account.platform](account, kind) if account.platform in _MORE_HEADERS else {}
    return Delivery({"Content-Type": kind_of_body, **more, **signed}, body)


def require_kind(platform: str, kind: str) -> None:
    """Raises ValueError, naming what there is, where the platform has no such event."""
    if kind not in EVENTS[platform]:
        message = f"{platform} sends no event {kind!r}; it sends {', '.join(EVENTS[platform])}."
        raise ValueError(message)


def happen(
    sandbox: "Sandbox", account: Account, kind: str, post: str | None = None, to: str | None = None,
    secret: str = SECRET, *, only_tell: bool = False,
) -> dict[str, int | None]:  # fmt: skip
    """Let something happen and send its event: to an address, or to whom the hub knows. Returns the status by address.

    It is so in the world before it is told: the post is deleted, the grant revoked; unless `only_tell`. `post` is the
    newest that fits if none is named. Raises ValueError where there is no such event, no such post, or nobody to tell.
    """
    subject = subject_of(sandbox, account, kind, post)
    told = _addressees(sandbox, account, to, secret)
    if kind == "delete" and isinstance(subject, Post) and not only_tell:
        sandbox.world.change(subject, deleted_at=sandbox.now)
    if kind == "revoke" and not only_tell:
        sandbox.tokens.revoke(account)
    return {address: send(address, event(subject, kind, key, sandbox.now)) for address, key in told.items()}


def subject_of(sandbox: "Sandbox", account: Account, kind: str, post: str | None = None) -> Post | Account:
    """What an event is about: the post of that id, or the newest that fits. Raises ValueError when there is none."""
    require_kind(account.platform, kind)
    if kind == "revoke":
        return account
    posts = sandbox.world.posts(account, sandbox.now, private=post is not None)
    fitting = [each for each in posts if post in {each.native_id, None} and _fits(each, kind)]
    if not fitting:
        raise ValueError(f"{account.name} has no post{f' {post}' if post else ''} that {kind!r} could be about.")
    return fitting[0]


def send(address: str, delivery: Delivery) -> int | None:
    """POST it, and return the status; None when nobody answers."""
    try:
        answer = requests.post(
            address, delivery.body, headers=dict(delivery.headers), timeout=10, allow_redirects=False
        )
    except requests.RequestException:
        return None
    return answer.status_code


def _addressees(sandbox: "Sandbox", account: Account, to: str | None, secret: str) -> dict[str, str]:
    """The secrets by address."""
    if to and urlsplit(to).hostname not in LOOPBACK:
        raise ValueError(f"{to} is not on this machine: the sandbox sends to loopback addresses only.")
    known = sandbox.hub.subscriptions(account.platform_id) if account.platform == "youtube" else []
    told = {to: secret} if to else {each.callback: each.secret for each in known}
    if not told:
        raise ValueError(f"Nobody is subscribed to {account.name}: say where to send it.")
    return told


def _fits(post: Post, kind: str) -> bool:
    return post.account.platform != "instagram" or (post.media == "story") == (kind == "insights")


# Facebook


def _facebook(post: Post, now: datetime, happened_at: datetime, verb: str, value: Json) -> Json:
    page = post.account
    common = {"verb": verb, "post_id": f"{page.platform_id}_{post.native_id}"}
    value = common | value | {"created_time": _seconds(happened_at)}
    changes = [{"field": "feed", "value": value}]
    return {"object": "page", "entry": [{"id": page.platform_id, "time": _seconds(now), "changes": changes}]}


def _facebook_post(post: Post, now: datetime, happened_at: datetime, verb: str) -> Json:
    item = {"photo": "photo", "text": "status"}.get(post.media, "video")
    own = {"video_id": f"9{post.native_id}"} if item == "video" else {}
    sender = {"id": post.account.platform_id, "name": post.account.name}
    shown = {"published": 1, "message": post.text} if verb != "remove" else {}
    return _facebook(post, now, happened_at, verb, {"item": item, "from": sender, **own, **shown})


def _facebook_reaction(post: Post, now: datetime) -> Json:
    value = {"item": "reaction", "reaction_type": "love", "parent_id": f"{post.account.platform_id}_{post.native_id}",
             "from": {"id": "9", "name": "Ana"}}  # fmt: skip
    return _facebook(post, now, now, "add", value)


def _facebook_comment(post: Post, now: datetime) -> Json:
    value = {"item": "comment", "comment_id": f"{post.native_id}_{_fresh(post, now)}", "message": "nice",
             "from": {"id": "9", "name": "Ana"}, "parent_id": f"{post.account.platform_id}_{post.native_id}",
             }  # fmt: skip
    return _facebook(post, now, now, "add", value)


# Instagram


def _instagram(post: Post, now: datetime, change: Json) -> Json:
    return {
        "object": "instagram",
        "entry": [{"id": post.account.platform_id, "time": _seconds(now), **change}],
    }


def _instagram_comment(post: Post, now: datetime) -> Json:
    product = "REELS" if post.media == "reel" else "FEED"
    return {"field": "comments",
            "value": {"id": f"179{_fresh(post, now)}", "from": {"id": "6000001", "username": "ana"}, "text": "wow",
                      "media": {"id": post.native_id, "media_product_type": product}}}  # fmt: skip


def _instagram_insights(post: Post, now: datetime) -> Json:
    value = {"media_id": post.native_id, "impressions": 444, "reach": 396, "taps_forward": 200, "taps_back": 100,
             "exits": 40, "replies": -1}  # fmt: skip
    return _instagram(post, now, {"changes": [{"field": "story_insights", "value": value}]})


# Threads


def _threads(topic: str, target: str, field: str, now: datetime, value: Json) -> Json:
    return {"app_id": "900001", "topic": topic, "target_id": target, "time": _seconds(now), "subscription_id": "7001",
            "has_uid_field": False, "values": {"value": value, "field": field}}  # fmt: skip


def _threads_publish(post: Post, now: datetime) -> Json:
    owner = post.account
    kind = {"text": "TEXT_POST", "image": "IMAGE", "video": "VIDEO"}[post.media]
    link = f"https://www.threads.com/@{owner.username}/post/D{post.native_id[-10:]}"
    value = {"id": post.native_id, "media_type": kind, "permalink": link, "timestamp": _meta_time(post.published_at),
             "username": owner.username}  # fmt: skip
    return _threads("interaction", owner.platform_id, "publish", now, value)


def _threads_reply(post: Post, now: datetime) -> Json:
    owner, native_id = post.account, f"170{_fresh(post, now)}"
    root = {"id": post.native_id, "owner_id": owner.platform_id, "username": owner.username}
    value = {"id": native_id, "username": "ana", "text": "so true", "media_type": "TEXT_POST",
             "permalink": f"https://www.threads.com/@ana/post/D{native_id[-10:]}", "shortcode": f"D{native_id[-10:]}",
             "replied_to": {"id": post.native_id}, "root_post": root, "timestamp": _meta_time(now)}  # fmt: skip
    return _threads("moderate", post.native_id, "replies", now, value)


def _threads_delete(post: Post, now: datetime) -> Json:
    value = {"id": post.native_id, "owner": {"owner_id": post.account.platform_id}, "deleted_at": _meta_time(now),
             "timestamp": _meta_time(post.published_at), "username": post.account.username}  # fmt: skip
    return _threads("moderate", post.native_id, "delete", now, value)


# TikTok


def _tiktok(account: Account, name: str, happened_at: datetime, content: Json) -> Json:
    """The content is JSON within JSON."""
    return {"client_key": "sandbox-id", "event": name, "create_time": _seconds(happened_at),
            "user_openid": account.platform_id, "content": json.dumps(content, separators=(",", ":"))}  # fmt: skip


def _tiktok_post(post: Post, name: str, happened_at: datetime) -> Json:
    content = {"publish_id": f"v_pub_{post.native_id}", "post_id": post.native_id}
    published = {"publish_type": "DIRECT_PUBLISH"} if name.endswith(".publicly_available") else {}
    return _tiktok(post.account, name, happened_at, content | published)


def _tiktok_comment(post: Post, now: datetime) -> Json:
    content = {"comment_id": _fresh(post, now), "video_id": int(post.native_id), "parent_comment_id": 0,
               "comment_type": "comment", "comment_action": "insert", "timestamp": _seconds(now),
               "unique_identifier": "ana", "text": "wow"}  # fmt: skip
    return _tiktok(post.account, "comment.update", now, content)


# X


def _twitter(name: str, uuid: object, filter_: Json, payload: Json, more: Json | None = None) -> Json:
    data = {"event_uuid": str(uuid), "filter": filter_, "event_type": name, "tag": "posts", "payload": payload}
    return {"data": data | (more or {})}


def _twitter_create(post: Post, _: datetime) -> Json:
    author, written = post.account, f"{post.published_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000Z"
    counts = {f"{name}{suffix}": zero for name in ("like_count", "impression_count") for suffix, zero in _ZERO.items()}
    edits = {"edits_remaining": 5, "edits_remaining_str": "5", "is_edit_eligible": True, "editable_until": written}
    payload = {"id": post.native_id, "author_id": author.platform_id, "created_at": written, "text": post.text,
               "conversation_id": post.native_id, "edit_history_tweet_ids": [post.native_id], "edit_controls": edits,
               "public_metrics": counts}  # fmt: skip
    users = {"users": [{"id": author.platform_id, "username": author.username}]}
    filter_ = {"user_id": author.platform_id}
    return _twitter("post.create", post.native_id, filter_, payload, {"includes": users})


_ZERO = {"": 0, "_str": "0"}  # every whole number comes twice


def _twitter_delete(post: Post, now: datetime) -> Json:
    payload = {"id": post.native_id, "author_id": post.account.platform_id}
    return _twitter("post.delete", -_fresh(post, now), {"user_id": post.account.platform_id}, payload)


def _twitter_revoke(account: Account, now: datetime) -> Json:
    payload = {"date_time": f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000Z", "user_id": account.platform_id,
               "app_id": "900001"}  # fmt: skip
    return _twitter("oauth.revoke", _fresh(account, now), {}, payload)


# YouTube


def _youtube_entry(post: Post, updated: datetime) -> str:
    channel, video = post.account, post.native_id
    topic = f"{TOPIC}{channel.platform_id}"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<feed xmlns:yt="http://www.youtube.com/xml/schemas/2015" xmlns="http://www.w3.org/2005/Atom">'
        f'<link rel="hub" href="{HUB}"/><link rel="self" href="{topic}"/>'
        f"<title>YouTube video feed</title><updated>{updated.isoformat()}</updated>\n"
        f"<entry><id>yt:video:{video}</id><yt:videoId>{video}</yt:videoId>"
        f"<yt:channelId>{channel.platform_id}</yt:channelId><title>{escape(post.text)}</title>"
        f'<link rel="alternate" href="https://www.youtube.com/watch?v={video}"/>{_by("author", channel)}'
        f"<published>{post.published_at.isoformat()}</published><updated>{updated.isoformat()}</updated></entry></feed>\n"
    )


def _youtube_delete(post: Post, now: datetime) -> str:
    video = post.native_id
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<feed xmlns:at="http://purl.org/atompub/tombstones/1.0" xmlns="http://www.w3.org/2005/Atom">'
        f'<at:deleted-entry ref="yt:video:{video}" when="{now.isoformat()}">'
        f'<link href="https://www.youtube.com/watch?v={video}"/>{_by("at:by", post.account)}'
        "</at:deleted-entry></feed>\n"
    )


def _by(tag: str, channel: Account) -> str:
    address = f"https://www.youtube.com/channel/{channel.platform_id}"
    return f"<{tag}><name>{escape(channel.name)}</name><uri>{address}</uri></{tag}>"


EVENTS: dict[str, dict[str, Callable[[Any, datetime], Json | str]]] = {
    "facebook": {
        "publish": lambda post, now: _facebook_post(post, now, post.published_at, "add"),
        "update": lambda post, now: _facebook_post(post, now, now, "edited"),
        "comment": _facebook_comment,
        "reaction": _facebook_reaction,
        "delete": lambda post, now: _facebook_post(post, now, now, "remove"),
    },
    "instagram": {
        "update": lambda post, now: _instagram(post, now, {"changes": [_instagram_comment(post, now)]}),
        "comment": lambda post, now: _instagram(post, now, _instagram_comment(post, now)),  # the other envelope
        "insights": _instagram_insights,
    },
    "youtube": {
        "publish": lambda post, _: _youtube_entry(post, post.published_at),
        "update": _youtube_entry,
        "delete": _youtube_delete,
    },
    "tiktok": {
        "publish": lambda post, _: _tiktok_post(post, "post.publish.publicly_available", post.published_at),
        "update": _tiktok_comment,
        "delete": lambda post, now: _tiktok_post(post, "post.publish.no_longer_publicaly_available", now),
        "revoke": lambda account, now: _tiktok(account, "authorization.removed", now, {"reason": 1}),
    },
    "twitter": {"publish": _twitter_create, "delete": _twitter_delete, "revoke": _twitter_revoke},
    "threads": {"publish": _threads_publish, "update": _threads_reply, "delete": _threads_delete},
}
"""By platform what it tells: `publish`, `update` (an edit, or what people do with a post), `delete`, `revoke`, and more
of its own."""


# Headers


def _hmac(secret: bytes, body: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.digest(secret, body, algorithm)


def _meta_signed(secret: bytes, body: bytes, _: datetime) -> dict[str, str]:
    return {"X-Hub-Signature-256": f"sha256={_hmac(secret, body).hex()}"}


def _tiktok_signed(secret: bytes, body: bytes, now: datetime) -> dict[str, str]:
    signed = b"%d.%b" % (_seconds(now), body)
    return {"TikTok-Signature": f"t={_seconds(now)},s={_hmac(secret, signed).hex()}"}


def _twitter_signed(secret: bytes, body: bytes, _: datetime) -> dict[str, str]:
    signature = f"sha256={base64.b64encode(_hmac(secret, body)).decode()}"
    return dict.fromkeys(("X-Twitter-Webhooks-Signature", "X-Twitter-Webhooks-Signature-OAuth2"), signature)


def _youtube_signed(secret: bytes, body: bytes, _: datetime) -> dict[str, str]:
    """A subscription without a secret is not signed."""
    return {"X-Hub-Signature": f"sha1={_hmac(secret, body, 'sha1').hex()}"} if secret else {}


_SIGNED: dict[str, Callable[[bytes, bytes, datetime], dict[str, str]]] = {
    **dict.fromkeys(("facebook", "instagram", "threads"), _meta_signed),
    "tiktok": _tiktok_signed,
    "twitter": _twitter_signed,
    "youtube": _youtube_signed,
}


def _youtube_links(account: Account, _: str) -> dict[str, str]:
    return {"Link": f"<{HUB}>; rel=hub, <{TOPIC}{account.platform_id}>; rel=self"}


def _tiktok_schema(_: Account, kind: str) -> dict[str, str]:
    """Of the Business API, which has the comments."""
    return {"webhook-schema-version": "1.0", "x-tt-logid": "20260405120000SANDBOX"} if kind == "update" else {}


_MORE_HEADERS = {"youtube": _youtube_links, "tiktok": _tiktok_schema}


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _meta_time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}+0000"


def _fresh(about: Post | Account, now: datetime) -> int:
    """A number that nothing else has at any other moment."""
    name = about.native_id if isinstance(about, Post) else about.platform_id
    return int(hashlib.sha256(f"{name} {now.isoformat()}".encode()).hexdigest()[:14], 16)
