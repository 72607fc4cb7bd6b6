"""What every platform module produces: frozen records of an account, a post, and what is known of a post.

Field names of `attributes` and `values` are the columns of `posts` and `snapshots`; a name that is absent is unknown.
How a platform comes to its values is not known here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = dict[str, Any]


def without_nulls(value: Any) -> Any:
    """The same without what is null, at any depth: to be read from, while `raw` keeps what came."""
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    return [without_nulls(each) for each in value if each is not None] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """The page, channel or account that was read, as the platform describes it now."""

    platform_id: str
    name: str | None = None
    username: str | None = None
    follower_count: int | None = None
    profile_image_url: str | None = None
    cover_image_url: str | None = None
    bio: str | None = None
    raw: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PostRecord:
    """One post as a listing or a lookup gave it.

    `native_id` is the platform's own id as text; `media` names what the post is in the terms of the metric registry
    (such as `reel`); `values` are counters that the listing itself carries; `published_at` has a zone.
    """

    native_id: str
    media: str
    published_at: datetime | None
    attributes: Mapping[str, Any]
    values: Mapping[str, Any] = field(default_factory=dict)
    raw: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MetricsRecord:
    """What insights say of one post: `values` by column of `snapshots`, money in units of `currency` (ISO 4217)."""

    native_id: str
    values: Mapping[str, Any]
    currency: str | None = None
    raw: Json = field(default_factory=dict)
    problem: str | None = None
    """What could not be used (an amount of an unknown unit, say): it goes to quarantine, the rest lands."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """The answer to a direct question for posts by id: those found, and those that are certainly no longer there.

    An id in neither is unknown: it may be hidden, or the token may not see it.
    """

    found: Sequence[PostRecord]
    gone: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a site is read with. `expires_at` is that of the access token; None: it does not expire by itself."""

    access: str = field(repr=False)
    refresh: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class App:
    """The application that is registered with a platform, in whose name tokens are renewed."""

    client_id: str = ""
    client_secret: str = field(default="", repr=False)
