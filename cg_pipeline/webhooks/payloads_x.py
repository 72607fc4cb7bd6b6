"""Events of X: the Activity API (`data`), and the Account Activity API (`..._events`, `user_event`) before it.

Facts: docs.x.com/x-api/activity/event-payloads and /x-api/account-activity (2026-09); evidence in section 6 of the
platform's reference. There are neither events of edits (a new version is a new post) nor of numbers.
"""

import re
from typing import Any

from cg_pipeline.warehouse.models.enums import WebhookAction
from cg_pipeline.webhooks.entries import Entry, Unreadable
from cg_pipeline.webhooks.payloads_facts import (
    UNKNOWN,
    Meaning,
    asked,
    first,
    ignored,
    key,
    listed,
    moment,
    text,
    within,
)

OWN = frozenset({"post.create", "tweet_create_events"})  # of whoever is subscribed, unless an author is named
REFERRING = {  # the posts of others that refer to one of ours, and how
    "post.mention.create": frozenset[str](),
    "post.reply.create": frozenset({"replied_to"}),
    "post.quote.create": frozenset({"quoted"}),
    "post.repost.create": frozenset({"retweeted", "reposted"}),
}
REPOST = REFERRING["post.repost.create"]
DELETED = frozenset({"post.delete", "tweet_delete_events"})
LIKED = frozenset({"like.create", "favorite_events"})
GROUP = re.compile(r"[a-z_]{1,100}_events|user_event")
REVOKED = frozenset({"oauth.revoke", "user_event.revoke"})


def twitter(body: Any) -> list[Entry]:
    """The one event of the Activity API, or all of a body of the API before. Raises Unreadable."""
    if isinstance(within(body, "data"), dict):
        return [_activity(body)]
    groups = (
        [name for name in body if name.endswith("_events") or name == "user_event"] if isinstance(body, dict) else []
    )
    if not groups:
        raise Unreadable("The body is not an event of X: it has neither `data` nor a list of events.")
    return [entry for group in groups for entry in _legacy(body, group)]


def _activity(body: dict[str, Any]) -> Entry:
    data = body["data"]
    name, item = first(data, "event_type") or UNKNOWN, within(data, "payload")
    account = first(within(data, "filter"), "user_id") or first(item, "user_id")
    known = [first(data, "event_uuid"), _id(item)]
    identity = key(name, account, *(known if any(known) else [data]))
    return _entry(name, account, item, identity, body)


def _legacy(body: dict[str, Any], group: str) -> list[Entry]:
    """The events of one group; `user_event` is an object that names them."""
    named = within(body, "user_event") if group == "user_event" else None
    items = named.items() if isinstance(named, dict) else [(None, each) for each in listed(body[group])]
    return [_legacy_event(body, group, name, item) for name, item in items]


def _legacy_event(body: dict[str, Any], group: str, name: str | None, item: Any) -> Entry:
    subscriber = {"for_user_id": body["for_user_id"]} if "for_user_id" in body else {}
    account = first(within(item, "source"), "user_id") if name else first(subscriber, "for_user_id")
    event_type = f"{group}.{text(name) or UNKNOWN}" if name else group
    identity = key(event_type, account, _id(item) or _id(within(item, "status")) or item)
    return _entry(event_type, account, item, identity, subscriber | {group: {name: item} if name else [item]})


def _entry(name: str, account: str | None, item: Any, identity: str, payload: dict[str, Any]) -> Entry:
    times = (moment(within(item, each)) for each in ("created_at", "timestamp_ms", "date_time"))
    happened = next((time for time in times if time), None)
    action, post, reason = _meaning(name, item, account)
    return Entry(name, account, post, action, happened, identity, payload, reason)


def _meaning(name: str, item: Any, account: str | None) -> Meaning:
    if name in OWN or name in REFERRING:
        return _of_post(name, item, account)
    if name in DELETED:
        gone = within(item, "status") or item
        is_ours = first(gone, "author_id", "user_id") in (None, account)
        return asked(WebhookAction.DELETE, _id(gone)) if is_ours else ignored("somebody else's post")
    if name in LIKED:
        return _of_like(item, account)
    return Meaning(WebhookAction.PAUSE) if name in REVOKED else ignored(f"nothing is to be done for {name}")


def _of_post(name: str, post: Any, account: str | None) -> Meaning:
    """Our own posts are read, replies and quotes too, as the listing has them; of others' that which they refer to."""
    author = _author(post) or (account if name in OWN else None)
    if author != account:
        ours = _ours(name, post, account)
        return asked(WebhookAction.REFRESH, ours) if ours else ignored("somebody else's post")
    if within(post, "retweeted_status") or _referred(post, REPOST):
        return ignored("the listing has no reposts")
    return asked(WebhookAction.REFRESH, _first_version(post))


def _of_like(like: Any, account: str | None) -> Meaning:
    liked = within(like, "favorited_status")
    if (_author(liked) or first(like, "tweet_author_id")) != account:
        return ignored("not a like of a post of ours")
    return asked(WebhookAction.REFRESH, _id(liked) or first(like, "liked_tweet_id"))


def _ours(name: str, post: Any, account: str | None) -> str | None:
    """The post of ours that somebody else's refers to. The event tells that it is ours, or an author does."""
    for held in ("retweeted_status", "quoted_status"):
        if _author(within(post, held)) == account:
            return _id(within(post, held))
    answered = first(post, "in_reply_to_user_id_str", "in_reply_to_user_id")
    if answered == account or (answered is None and name == "post.reply.create"):
        names = ("in_reply_to_tweet_id", "in_reply_to_status_id_str", "in_reply_to_status_id")
        return first(post, *names) or _referred(post, REFERRING["post.reply.create"])
    return _referred(post, REFERRING.get(name, frozenset())) if name != "post.reply.create" else None


def _referred(post: Any, kinds: frozenset[str]) -> str | None:
    referred = [each for each in listed(within(post, "referenced_tweets")) if first(each, "type") in kinds]
    return _id(referred[0]) if referred else None


def _first_version(post: Any) -> str | None:
    """The id by which we know a post: that of its first version."""
    versions = within(post, "edit_history_tweet_ids") or within(post, "edit_history_post_ids")
    return (text(versions[0]) if isinstance(versions, list) and versions else None) or _id(post)


def _author(post: Any) -> str | None:
    return first(post, "author_id") or first(within(post, "user"), "id_str", "id")


def _id(item: Any) -> str | None:
    return first(item, "id_str", "id")
