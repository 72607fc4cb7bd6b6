"""Events of YouTube: Atom feeds that a WebSub hub sends. Facts: developers.google.com/youtube/v3/guides/
push_notifications and RFC 6721 (deleted entries); evidence in section 6 of the platform's reference.

A new video and a changed one are told in the same words. A tombstone may mean no more than that a video is private.
"""

import re
from typing import Any
from xml.etree.ElementTree import Element

from defusedxml import ElementTree

from cg_pipeline.warehouse.models.enums import WebhookAction
from cg_pipeline.webhooks.entries import Entry, Unreadable
from cg_pipeline.webhooks.payloads_facts import asked, first, key, moment, require_shallow, text, within

EVENTS = {  # an element of the feed -> the event, what to do about it, and where its time is
    "entry": ("video.update", WebhookAction.REFRESH, "updated"),
    "deleted-entry": ("video.delete", WebhookAction.DELETE, "when"),
}
ROOTS = frozenset({"feed", *EVENTS})
VIDEO = "yt:video:"
CHANNEL = "/channel/"

DECLARATION = re.compile(rb"^\s*<\?xml[^>]*\?>")
UNDECLARED_PREFIX = 27  # XML_ERROR_UNBOUND_PREFIX of expat
WRAPPER = (
    b'<feed xmlns="http://www.w3.org/2005/Atom" xmlns:at="http://purl.org/atompub/tombstones/1.0" '
    b'xmlns:yt="http://www.youtube.com/xml/schemas/2015">%b</feed>'
)


def youtube(body: bytes) -> list[Entry]:
    """All entries of a feed, or the one that comes without. Raises Unreadable."""
    root = _tree(body)
    require_shallow(root, iter)
    if _name(root) not in ROOTS:
        raise Unreadable("The body is not a feed of YouTube.")
    return [_entry(_name(node), _fields(node)) for node in root.iter() if _name(node) in EVENTS]


def _tree(body: bytes) -> Element:
    """The document; a fragment of a feed, whose prefixes the feed declares, is read within one."""
    try:
        return _parsed(body)
    except ElementTree.ParseError as error:
        if error.code != UNDECLARED_PREFIX:
            raise Unreadable(f"The body is no XML: {error}.") from error
    try:
        return _parsed(WRAPPER % DECLARATION.sub(b"", body))
    except ElementTree.ParseError as error:
        raise Unreadable(f"The body is no XML: {error}.") from error


def _parsed(body: bytes) -> Element:
    try:
        tree: Element = ElementTree.fromstring(body, forbid_dtd=True)
    except (ValueError, LookupError) as error:  # a DTD or an entity; an encoding that there is not
        raise Unreadable(f"The body is no XML that is accepted: {error}.") from error
    return tree


def _name(node: Element) -> str:
    return node.tag.rpartition("}")[2]


def _fields(node: Element) -> dict[str, Any]:
    """An element as JSON: attributes and children by name, those without either as text."""
    children = {_name(child): _fields(child) if len(child) or child.attrib else child.text or "" for child in node}
    return {**node.attrib, **children}


def _entry(element: str, fields: dict[str, Any]) -> Entry:
    event_type, action, time = EVENTS[element]
    named = (first(fields, "id") or first(fields, "ref") or "").removeprefix(VIDEO)
    uri = first(within(fields, "author"), "uri") or first(within(fields, "by"), "uri") or ""
    video, channel = first(fields, "videoId") or named, first(fields, "channelId") or uri.partition(CHANNEL)[2]
    happened, account = text(fields.get(time)), text(channel)
    meaning = asked(action, text(video))
    identity = key(event_type, account, video, happened)
    payload = {"element": element, **fields}
    return Entry(event_type, account, meaning.post, meaning.action, moment(happened), identity, payload, meaning.reason)
