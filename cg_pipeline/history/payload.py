"""Excerpts of stored payloads: the fields that say what a snapshot says, and the beginning of the rest.

How a platform names its metrics is not known here: a field is recognised by its number.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

LONGEST = 600
UNITS = {"": (Decimal(1), ""), " × 60": (Decimal(60), "inutes"), " ÷ 1000": (Decimal("0.001"), "time")}
"""In which units platforms tell: as we do, in minutes, in milliseconds; with what such fields have in their names."""


@dataclass(frozen=True)
class Payload:
    """What one source said of a post on a day. `fields` tells, by metric, which fields of the payload have its value;
    a metric that is 0, or put together from several fields, has none."""

    day: date
    source: str
    fields: Mapping[str, str]
    excerpt: str


def payloads(day: date, raw_data: Mapping[str, Any], values: Mapping[str, Any]) -> list[Payload]:
    """The excerpts of a snapshot, a source each; `values` are its known metrics."""
    return [
        Payload(day, source, _fields(payload, values), _cut(json.dumps(payload, ensure_ascii=False)))
        for source, payload in sorted(raw_data.items())
    ]


def around(text: str, part: str, length: int = 160) -> str:
    """A text cut to a length, so that a part of it stays in sight."""
    start = max(0, min(text.find(part) - length // 2, len(text) - length))
    return ("…" if start else "") + text[start : start + length] + ("…" if start + length < len(text) else "")


def _fields(payload: Any, values: Mapping[str, Any]) -> dict[str, str]:
    leaves = [(path, number) for path, leaf in _leaves(payload) if (number := _number(leaf)) is not None]
    found = {}
    for metric, value in values.items():
        for unit, (scale, hint) in UNITS.items():
            paths = [f"{path}{unit}" for path, number in leaves if value and number * scale == value and hint in path]
            if paths:
                found[metric] = " or ".join(paths[:3])
                break
    return found


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar with its path; an item of a list goes by its name, if it has one, else by its number."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            name = inner.get("name", number) if isinstance(inner, Mapping) else number
            yield from _leaves(inner, f"{path}[{name}]")
    else:
        yield path, value


def _number(leaf: Any) -> Decimal | None:
    """The number that a field holds, if it holds one; exports write 1,234.5."""
    if isinstance(leaf, bool) or leaf is None or not re.fullmatch(r"-?[0-9][0-9,]*(\.[0-9]+)?", str(leaf)):
        return None
    try:
        return Decimal(str(leaf).replace(",", ""))
    except InvalidOperation:
        return None


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"
