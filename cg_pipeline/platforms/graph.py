"""What Meta's three platforms (Facebook, Instagram, Threads) share: errors, usage headers, cursors, insights.

Facts: developers.facebook.com/docs/graph-api/guides/error-handling and /overview/rate-limiting. Addresses, metrics and
mappings are in the module of each platform.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from cg_pipeline.errors import (
    AccessDenied,
    Disconnected,
    Gone,
    InvalidMetric,
    Refused,
    Throttled,
    TokenExpired,
    Unavailable,
)
from cg_pipeline.platforms.http import Answer, retry_at

RATE_CODES = frozenset({4, 17, 32, 341, 613, 80001, 80002, 80006})
TRANSIENT_CODES = frozenset({1, 2})
TOKEN_CODES = frozenset({102, 190})
EXPIRED_SUBCODES = frozenset({463, 467})  # the others of code 190 need the person again
DEFAULT_PAUSE = timedelta(minutes=15)  # where a limit is reached and no header says for how long


def authorize(token: str) -> Mapping[str, str]:
    """The header that bears the token: never the address, which would be logged."""
    return {"Authorization": f"Bearer {token}"}


def check(answer: Answer, now: datetime) -> Any:
    """The body of a good answer; an error is told by the envelope's code, whatever the HTTP status."""
    if answer.status >= 500 and not answer.text.lstrip().startswith("{"):
        message = f"The platform has a fault of its own (HTTP {answer.status})."
        raise Unavailable(message)
    if answer.status == 429:
        message = f"The platform wants a pause (HTTP 429): {answer.text[:200]!r}"
        raise Throttled(message, retry_at(answer, now) or now + _regain(answer))
    body = answer.json()
    if isinstance(body, dict) and "error" in body:
        raise error_of(body["error"], answer, now)
    if answer.status >= 400:
        message = f"The platform answered HTTP {answer.status} without saying why."
        raise Unavailable(message) if answer.status >= 500 else Refused(message)
    return body


def error_of(error: Mapping[str, Any], answer: Answer, now: datetime) -> Exception:
    """The error that an envelope means."""
    code, subcode = int(error.get("code") or 0), int(error.get("error_subcode") or 0)
    text = f"{error.get('message', 'no message')} (code {code}" + (f", subcode {subcode})" if subcode else ")")
    if code in RATE_CODES:
        return Throttled(text, retry_at(answer, now) or now + _regain(answer))
    if code in TOKEN_CODES:
        return TokenExpired(text) if subcode in EXPIRED_SUBCODES or not subcode else Disconnected(text)
    if code == 100:
        return _of_100(subcode, str(error.get("message", "")), text)
    if code in {3, 10} or 200 <= code < 300:
        return AccessDenied(f"{text} A permission or a role is missing: connect the site again and grant it.")
    if code in TRANSIENT_CODES or error.get("is_transient") or answer.status >= 500:
        return Unavailable(text)
    return Refused(text)


def _of_100(subcode: int, message: str, text: str) -> Exception:
    """Code 100 is a bad metric, a post that is gone, or a mistake of ours."""
    if subcode == 33:
        return Gone(text)
    return InvalidMetric(text) if "metric" in message.lower() else Refused(text)


def quota(answer: Answer, now: datetime) -> tuple[int, datetime] | None:
    """What is left, in percent of the limit, by the usage headers; the limit is a sliding one of an hour or a day."""
    used = _usage(answer)
    if used is None:
        return None
    percent, minutes = used
    return max(0, 100 - percent), now + timedelta(minutes=minutes or 60)


def _usage(answer: Answer) -> tuple[int, int] | None:
    """The highest percentage used, and the minutes until access is regained."""
    uses: list[Mapping[str, Any]] = []
    if (text := answer.headers.get("x-business-use-case-usage")) is not None:
        uses += [use for each in json.loads(text).values() for use in each]
    if (text := answer.headers.get("x-app-usage")) is not None:
        uses.append(json.loads(text))
    if not uses:
        return None
    percents = [int(use.get(name, 0)) for use in uses for name in ("call_count", "total_time", "total_cputime")]
    return max(percents), max(int(use.get("estimated_time_to_regain_access", 0)) for use in uses)


def _regain(answer: Answer) -> timedelta:
    used = _usage(answer)
    return timedelta(minutes=used[1]) if used and used[1] else DEFAULT_PAUSE


def cursor(body: Mapping[str, Any]) -> str | None:
    """The cursor of the next page: there is one as long as `next` is given, however short the page is."""
    paging = body.get("paging") or {}
    return (paging.get("cursors") or {}).get("after") if paging.get("next") else None


def insights(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Metric -> value of what insights list, in both shapes. A metric without a value is left out: it is unknown."""
    found: dict[str, Any] = {}
    for item in items:
        if item.get("name") is None or (item.get("period") or "lifetime") != "lifetime":
            continue  # some kinds of post come with a series by day too
        total = item.get("total_value")
        values: Sequence[Mapping[str, Any]] = item.get("values") or []
        if total is not None and total.get("breakdowns"):
            found[item["name"]] = _breakdown(total["breakdowns"])
        elif total is not None and "value" in total:
            found[item["name"]] = total["value"]
        elif values and values[-1].get("value") is not None:
            found[item["name"]] = values[-1]["value"]
    return found


def _breakdown(breakdowns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        ".".join(result["dimension_values"]): result["value"]
        for each in breakdowns
        for result in each.get("results") or []
    }


def time_of(text: str | None) -> datetime | None:
    """A Graph time such as `2026-11-20T16:04:09+0000`."""
    return datetime.fromisoformat(text) if text else None
