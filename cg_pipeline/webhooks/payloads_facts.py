"""What the `payloads` modules share: JSON that PostgreSQL can hold, and ids, times and keys out of values of any type.

What an event of a platform means does not belong here.
"""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from cg_pipeline.warehouse.models.enums import WebhookAction
from cg_pipeline.webhooks.entries import Unreadable

MOST_DEEP = 32
"""How deep a body may be nested. The deepest that is documented has about ten levels."""

UNKNOWN = "unknown"  # the name of what has none
LONGEST = 200  # of an id or a word: longer ones do not fit into an index of PostgreSQL, and are no ids
IN_SECONDS = len("1764000000") + 1  # a time with more digits is in milliseconds
YEARS = range(2000, 2100)

# An escape that jsonb refuses (half of a surrogate pair, NUL) is the group; pairs and other escapes are only passed by.
ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\(u[dD][89a-fA-F][0-9a-fA-F]{2}|u0000)|\\."
)
REPLACEMENT = rb"\ufffd"


class Meaning(NamedTuple):
    """What an event asks for, and of which post; without an action, why nothing is done."""

    action: WebhookAction | None
    post: str | None = None
    reason: str | None = None


def ignored(reason: str) -> Meaning:
    """An event that is kept, and nothing else."""
    return Meaning(None, None, reason)


def asked(action: WebhookAction, post: str | None) -> Meaning:
    """An event about one post; nothing can be done where it does not name it."""
    return Meaning(action, post) if post else ignored("it names no post")


def document(body: bytes | str) -> Any:
    """A JSON document, with U+FFFD for what no column of PostgreSQL can hold: NUL, and half of a surrogate pair.

    The latter is what platforms send that cut a text within a character. Raises Unreadable.
    """
    data = body if isinstance(body, bytes) else body.encode()
    found = _loaded(data)
    require_shallow(found, _containers)
    return found


def _loaded(data: bytes) -> Any:
    with suppress(orjson.JSONDecodeError):
        if rb"\u0000" not in data:
            return orjson.loads(data)
    try:
        return orjson.loads(ESCAPE.sub(lambda escape: REPLACEMENT if escape[1] else escape[0], data))
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"The body is no JSON in UTF-8: {error.msg}.") from None  # the cause holds the body


def require_shallow(root: Any, children: Callable[[Any], Iterable[Any]]) -> None:
    """Raises Unreadable where a tree is nested deeper than MOST_DEEP; looks at it level by level."""
    level = [root]
    for _ in range(MOST_DEEP):
        level = [child for each in level for child in children(each)]
    if level:
        raise Unreadable(f"The body is nested deeper than {MOST_DEEP} levels.")


def _containers(node: Any) -> list[Any]:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [child for child in children if isinstance(child, dict | list)]


def within(value: Any, *path: str) -> Any:
    """What is at the end of a path of names; None where there is nothing, or something else on the way."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def listed(value: Any) -> list[Any]:
    """The items of a list; an object stands for a list of one. Anything else has none."""
    return value if isinstance(value, list) else [value] if isinstance(value, dict) else []


def text(value: Any) -> str | None:
    """An id or a word, which some platforms send as a number. None where it can be neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    written = value.strip() if isinstance(value, str) else ""
    return written if 0 < len(written) <= LONGEST else None


def first(value: Any, *names: str) -> str | None:
    """The first of these members of an object that is an id or a word."""
    return next((found for name in names if (found := text(within(value, name)))), None)


def moment(value: Any) -> datetime | None:
    """A time in seconds, in milliseconds, or in the form of ISO 8601; without a zone it is UTC.

    None where it is none, or one in which no platform existed.
    """
    written = text(value) or ""
    try:
        if written.isascii() and written.isdigit():
            found = datetime.fromtimestamp(int(written) / (1000 if len(written) > IN_SECONDS else 1), UTC)
        else:
            found = datetime.fromisoformat(written)
            found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.year in YEARS else None


def key(*parts: Any) -> str:
    """An identity out of parts of any type; different parts never give the same."""
    return orjson.dumps(parts, option=orjson.OPT_SORT_KEYS).decode()
