"""From the body of a webhook request to the entries in it. What each platform says, and how, is in `payloads_...`.

A body is read after its signature was verified, and may still be anything: every member may be of any type.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cg_pipeline.webhooks.entries import Entry
from cg_pipeline.webhooks.payloads_facts import MOST_DEEP, document
from cg_pipeline.webhooks.payloads_meta import facebook, instagram, threads
from cg_pipeline.webhooks.payloads_tiktok import tiktok
from cg_pipeline.webhooks.payloads_x import twitter
from cg_pipeline.webhooks.payloads_youtube import youtube

__all__ = ["MOST_DEEP", "parse"]

READERS: Mapping[str, Callable[[Any], list[Entry]]] = {
    "facebook": facebook,
    "instagram": instagram,
    "threads": threads,
    "tiktok": tiktok,
    "twitter": twitter,
}


def parse(platform: str, body: bytes) -> list[Entry]:
    """The entries of a body, one for each thing that happened, in its order; none in an empty envelope.

    Raises Unreadable where the body is neither JSON nor XML of the platform, or nested deeper than MOST_DEEP. What is
    only not understood within it is an entry without an action: no other of the same body is lost for it.
    """
    entries = youtube(body) if platform == "youtube" else READERS[platform](document(body))
    return [_aimed(entry) for entry in entries]


def _aimed(entry: Entry) -> Entry:
    """Nothing is done where it is not told for whom: a pause must never hit a site that it is not meant for."""
    if entry.action is None or entry.account is not None:
        return entry
    return replace(entry, action=None, reason="it names no account")
