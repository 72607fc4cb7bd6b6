"""Events of Facebook, Instagram and Threads. Facts: developers.facebook.com/docs/graph-api/webhooks and
/documentation/threads/webhooks (2026-06 to 2026-09); evidence in section 6 of each platform's reference.

Facebook and Instagram send `entry[]` with `changes[]`, and vary it; Threads sends one flat object.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

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

# What stands in an entry, one of each makes an event: part -> the field it is, where it does not name one.
PARTS = {"changes": None, "messaging": "messages", "standby": "standby", "changed_fields": None}
ENVELOPE = ("id", "uid", "time")

# Items of a page's feed that are posts. The others (comment, reaction, like ...) are something below a post.
POSTS = frozenset(
    {"album", "event", "life_event", "link", "milestone", "note", "offer", "photo", "post", "reel", "share", "status",
     "story", "video"}
)  # fmt: skip
REMOVALS = frozenset({"remove", "delete"})

COMMENTS = frozenset({"comments", "live_comments"})
UNREAD = {
    "mention": "a mention in a post of others",
    "mentions": "a mention in a post of others",
    "messages": "messages are not read",
    "standby": "messages are not read",
}

THREADS_ENVELOPE = ("app_id", "topic", "target_id", "time", "subscription_id", "has_uid_field")


class Change(NamedTuple):
    """One change of one account, in whichever envelope it came."""

    of: str | None
    account: str | None
    time: Any
    field: str
    value: Any
    payload: dict[str, Any]

    def entry(self, event_type: str, meaning: Meaning, identity: str) -> Entry:
        """The change with its meaning. The time of sending stands for that of the event, where there is no other."""
        happened = moment(within(self.value, "created_time")) or moment(self.time)
        return Entry(
            event_type, self.account, meaning.post, meaning.action, happened, identity, self.payload, meaning.reason
        )

    def identity(self) -> str:
        """By the whole value: Facebook gives edits of one post the same `created_time`, and no number to a delivery.

        The time of sending is only looked at where there is no value, and so nothing else.
        """
        is_told = isinstance(self.value, dict) and self.of != "permissions"
        return key(self.of, self.account, self.field, self.value if is_told else self.payload)


def facebook(body: Any) -> list[Entry]:
    """Events of pages, and of permissions that people gave or took. Raises Unreadable."""
    found: list[Entry] = []
    for change in _changes(body):
        if change.of == "permissions":
            found += _of_permission(change)
        else:
            meaning = _of_page(change) if change.of == "page" else ignored(f"unknown object {change.of}")
            found.append(change.entry(_name(change), meaning, change.identity()))
    return found


def instagram(body: Any) -> list[Entry]:
    """Events of Instagram accounts. There is none of a new post. Raises Unreadable."""
    found = []
    for change in _changes(body):
        comment = first(change.value, "comment_id", "id") if change.field in COMMENTS else None
        identity = key(change.account, change.field, comment) if comment else change.identity()
        meaning = _of_instagram(change) if change.of == "instagram" else ignored(f"unknown object {change.of}")
        found.append(change.entry(change.field, meaning, identity))
    return found


def threads(body: Any) -> list[Entry]:
    """Events of Threads profiles. Raises Unreadable."""
    found = []
    for sent in body if isinstance(body, list) else [body]:
        if not isinstance(within(sent, "values"), dict | list):
            raise Unreadable("The body is not an event of Threads: it has no `values`.")
        found += [_of_threads(sent, each) for each in listed(sent["values"])]
    return found


def _changes(body: Any) -> Iterator[Change]:
    for sent in body if isinstance(body, list) else [body]:
        entries = within(sent, "entry")
        if not isinstance(entries, list):
            raise Unreadable("The body is not an event of Meta: it has no list `entry`.")
        of = text(within(sent, "object"))
        for entry in entries:
            known = {"object": of} | {name: entry[name] for name in ENVELOPE if within(entry, name) is not None}
            account, time = first(entry, "id", "uid"), within(entry, "time")
            for field, part in _parts(entry):
                yield Change(of, account, time, field or UNKNOWN, part.get("value"), known | part)


def _parts(entry: Any) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """The field of each event of an entry, and that event alone."""
    found = [(kind, part) for kind in PARTS for part in listed(within(entry, kind))]
    if not found and within(entry, "field") is not None:  # Instagram Login: the change is the entry itself
        found = [("changes", {name: entry[name] for name in ("field", "value") if name in entry})]
    for kind, part in found or [("entry", entry)]:
        if kind == "changes" and isinstance(part, dict):
            yield text(part.get("field")), part
        else:
            yield PARTS.get(kind) or text(part), {kind: [part]}


def _name(change: Change) -> str:
    words = [text(within(change.value, name)) for name in ("item", "verb")] if change.field == "feed" else []
    return ".".join([change.field, *(word for word in words if word)])


def _of_permission(change: Change) -> Iterator[Entry]:
    """A permission that a person gave or took: for each page that is named, else for the person's own id."""
    verb = first(change.payload, "verb") or first(change.value, "verb") or UNKNOWN
    action = WebhookAction.PAUSE if verb == "revoked" else None
    meaning = Meaning(action, None, None if action else f"permission {change.field}: {verb}")
    for each in _for_each_page(change):
        yield each.entry(f"permissions.{change.field}.{verb}", meaning, each.identity())


def _for_each_page(change: Change) -> Iterator[Change]:
    pages = within(change.value, "target_ids")
    if not isinstance(pages, list) or not pages:
        yield change
        return
    for page in pages:
        value = change.value | {"target_ids": [page]}
        yield change._replace(account=text(page), value=value, payload=change.payload | {"value": value})


def _of_page(change: Change) -> Meaning:
    if change.field != "feed":
        return ignored(UNREAD.get(change.field, f"unknown field {change.field}"))
    if "changed_fields" in change.payload:  # the app's subscription leaves the values out
        return Meaning(WebhookAction.REFRESH)
    return _of_feed(change) if isinstance(change.value, dict) else ignored("it has no value")


def _of_feed(change: Change) -> Meaning:
    """A page's post is named `page_post`, and read by the part behind. Nobody else's can be read with its token."""
    value = change.value
    page, _, post = (first(value, "post_id") or "").rpartition("_")
    is_post, verb = text(value.get("item")) in POSTS, text(value.get("verb"))
    author = text(within(value, "from", "id")) or first(value, "sender_id")
    if page not in ("", change.account):
        return ignored("the post is not the page's own")
    if is_post and verb in REMOVALS:
        return asked(WebhookAction.DELETE, post)
    if is_post and author not in (None, change.account):
        return ignored("somebody else's post on the page")
    if is_post and value.get("published") == 0:  # there is another event when it is published
        return ignored("the post is not published")
    return asked(WebhookAction.REFRESH, post)


def _of_instagram(change: Change) -> Meaning:
    if change.field in COMMENTS:
        # An advertised post is commented under the advertisement's id.
        return asked(WebhookAction.REFRESH, first(within(change.value, "media"), "original_media_id", "id"))
    if change.field == "story_insights":
        return asked(WebhookAction.REFRESH, first(change.value, "media_id"))
    return ignored(UNREAD.get(change.field, f"unknown field {change.field}"))


def _of_threads(sent: dict[str, Any], each: Any) -> Entry:
    field, value = first(each, "field") or UNKNOWN, within(each, "value")
    account, meaning = _meant_by_threads(field, value, text(sent.get("target_id")))
    happened = within(value, "deleted_at" if field == "delete" else "timestamp")
    payload = {name: sent[name] for name in THREADS_ENVELOPE if name in sent} | {"values": each}
    post = first(value, "id")
    identity = key(account, field, post, within(value, "deleted_at")) if post else key(account, field, payload)
    time = moment(happened) or moment(sent.get("time"))
    return Entry(field, account, meaning.post, meaning.action, time, identity, payload, meaning.reason)


def _meant_by_threads(field: str, value: Any, target: str | None) -> tuple[str | None, Meaning]:
    """Whose post it is, and what to do about it. The target is a user for some fields, and a post for others."""
    post, root = first(value, "id"), within(value, "root_post")
    owner = first(within(value, "owner"), "owner_id", "id")
    match field:
        case "publish":
            # The listing has no replies, which are announced in the same way.
            is_reply = within(value, "is_reply") is True or bool(within(value, "replied_to"))
            meaning = ignored("a reply is no post") if is_reply else asked(WebhookAction.REFRESH, post)
            user = target if target != post else None
            return owner or user or first(value, "username"), meaning
        case "replies":
            return first(root, "owner_id", "username"), asked(WebhookAction.REFRESH, first(root, "id"))
        case "delete":
            return owner or first(value, "username"), asked(WebhookAction.DELETE, post)
    return target, ignored(UNREAD.get(field, f"unknown field {field}"))
