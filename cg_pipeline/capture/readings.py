"""Readings: one pass over a site for a day, remembered answer by answer, so that it can be resumed or repeated.

What is asked is not known here, nor what becomes of the answers.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from cg_pipeline.errors import NotFound
from cg_pipeline.platforms.http import Answer, Request
from cg_pipeline.warehouse.database import Connection
from cg_pipeline.warehouse.sql import query

RESUME_WITHIN = timedelta(hours=6)
"""Answers of an unfinished reading that is older are not mixed with new ones."""
FRESH_FOR = timedelta(hours=1)
"""A site whose day was captured completely within this time is not asked again, unless it is wanted."""

PREMISES = Request("PREMISES", "")
"""Not a request: under it a reading keeps what was known when it began and decides what it asks."""


@dataclass(frozen=True)
class Log:
    """The sync log of one capture, and the reading that it is part of."""

    id: UUID
    reading_id: UUID
    read_at: datetime


class Answers:
    """The answers of one reading, as the memory of a caller. Each is committed as it comes, without secrets."""

    def __init__(
        self,
        connection: Connection,
        reading_id: UUID,
        now: Callable[[], datetime],
        hide: Callable[[str], str] = str,
    ) -> None:
        self._connection, self._reading_id, self._now, self._hide = connection, reading_id, now, hide
        self._last: dict[str, Any] | None = None

    def recall(self, request: Request) -> Answer | None:
        """The answer, if this reading has got it before."""
        self._last = self._values(request)
        row = self._connection.execute(query("platforms.recall_answer"), self._last).fetchone()
        return Answer(row["status"], {}, row["body"]) if row else None

    def keep(self, request: Request, answer: Answer) -> None:
        """Store an answer. NUL characters, which PostgreSQL cannot hold, are escaped in JSON anyway."""
        text = self._hide(answer.text).replace("\0", "")
        found = {"status": answer.status, "body": text, "now": self._now()}
        self._connection.execute(query("platforms.keep_answer"), self._values(request) | found)

    def drop_last(self) -> None:
        """Forget the answer to the last request, if it is kept: it could not be used, so it must be asked for again."""
        if self._last:
            self._connection.execute(query("platforms.drop_answer"), self._last)

    def premises(self, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What was known when the reading began; found now if it begins now."""
        known = self.recall(PREMISES)
        if known is None:
            known = Answer(200, {}, json.dumps(find()))
            self.keep(PREMISES, known)
        self._last = None
        found: dict[str, Any] = known.json()
        return found

    def _values(self, request: Request) -> dict[str, Any]:
        key = request.key
        digest = hashlib.sha256(key.encode()).hexdigest()
        return {"reading_id": self._reading_id, "digest": digest, "request": self._hide(key)}


class NoNetwork:
    """Transport and tokens of a replay: whatever was not stored cannot be had."""

    def __call__(self, request: Request, headers: Mapping[str, str]) -> Answer:  # noqa: ARG002  nothing is sent
        """Raises NotFound."""
        message = (
            f"The stored answers lack {request.key[:200]}: they were made by another version; capture the day anew."
        )
        raise NotFound(message)

    def current(self) -> str:
        """No token, and nothing to be renewed."""
        return ""

    def renew(self, refused: str) -> str:
        """Never needed."""
        return refused


def begin(connection: Connection, site_id: UUID, sync_type: str, day: date, scope: str | None, now: datetime) -> Log:
    """Start a log. The reading of a capture that did not end, not long ago and of the same posts, is continued; except
    for webhooks, whose events may be younger than its answers."""
    values = {"site_id": site_id, "sync_type": sync_type, "day": day, "scope": scope, "now": now}
    last = connection.execute(query("platforms.last_log"), values).fetchone()
    young = last is not None and last["status"] != "completed" and now - last["read_at"] < RESUME_WITHIN
    resumed = young and sync_type != "webhook"
    reading_id, read_at = (last["reading_id"], last["read_at"]) if last and resumed else (uuid4(), now)
    row = connection.execute(query("platforms.start_log"), values | {"reading_id": reading_id, "read_at": read_at})
    return Log((row.fetchone() or {})["id"], reading_id, read_at)


def is_done(connection: Connection, site_id: UUID, day: date, settled: date, now: datetime, zone: ZoneInfo) -> bool:
    """Whether the newest reading of the day was complete, and nothing can have changed since.

    That is: it was made after `settled`, the last day on which the day's counters move; or a short while ago, and the
    day has not closed since.
    """
    last = connection.execute(query("platforms.last_log"), {"site_id": site_id, "day": day, "scope": None}).fetchone()
    if last is None or last["status"] != "completed":
        return False
    read_on, today = last["read_at"].astimezone(zone).date(), now.astimezone(zone).date()
    return bool(read_on > settled or (now - last["read_at"] < FRESH_FOR and (read_on > day) == (today > day)))
