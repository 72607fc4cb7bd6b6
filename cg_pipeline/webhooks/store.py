"""Writes webhook events into the inbox: those of requests that arrive during a transaction go together into the next.

One connection, one statement for each transaction. Who waits is told only after the commit that holds his events.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, LiteralString
from uuid import UUID

import orjson
import psycopg
from psycopg import errors
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from cg_pipeline.clock import Clock
from cg_pipeline.errors import CgError, Unavailable
from cg_pipeline.warehouse.database import OPTIONS, Warehouse, libpq
from cg_pipeline.warehouse.sql import query
from cg_pipeline.webhooks.entries import Entry, Unreadable

CONNECTION: dict[str, Any] = {
    "options": f"{OPTIONS} -c lock_timeout=3s -c statement_timeout=8s",  # platforms wait ten seconds for an answer
    "connect_timeout": 5,
    "tcp_user_timeout": 8_000,
    "application_name": "cg webhook receiver",
}
MOST_ENTRIES = 5_000  # in one transaction, or a single larger request

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of the entries of a request."""

    pending: int = 0
    ignored: int = 0
    repeated: int = 0


@dataclass(slots=True)
class _Waiting:
    """A request whose entries are not stored yet, as JSON."""

    number: int
    entries: list[bytes]
    answer: "asyncio.Future[Stored]"

    def end(self, outcome: Stored | CgError) -> None:
        """Tell the request, unless it has been told, or has been given up."""
        if self.answer.done():
            return
        if isinstance(outcome, CgError):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class Store:
    """The receiver's one connection. Makes it when it is needed, and again when it was lost."""

    def __init__(self, warehouse: Warehouse, clock: Clock) -> None:
        self._address, self._clock = libpq(warehouse.url), clock
        self._connection: psycopg.AsyncConnection[DictRow] | None = None
        self._connecting = asyncio.Lock()
        self._numbers, self._problem = count(), ""
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def put(self, platform: str, entries: Sequence[Entry], site_id: UUID | None) -> Stored:
        """Store the entries, and return after the commit. `site_id`: of the site to whose address they came.

        Raises Unreadable when PostgreSQL cannot hold them, Unavailable when it does not answer; nothing is stored then.
        """
        if not entries:
            return Stored()
        number = next(self._numbers)
        rows = [_as_json(number, platform, entry, site_id) for entry in entries]
        waiting = _Waiting(number, rows, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        return await waiting.answer

    async def read(self, statement: LiteralString, **values: Any) -> list[DictRow]:
        """The rows of a query. Raises Unavailable when the database does not answer, or has not the schema."""
        try:
            return await self._run(statement, values)
        except psycopg.Error as error:
            raise self._unavailable(error) from None

    async def close(self) -> None:
        """End the connection, after what waits."""
        if self._writer is not None:
            await self._writer
        if self._connection is not None:
            await self._connection.close()

    async def _write_all(self) -> None:
        while batch := self._next_batch():
            try:
                await self._write(batch)
            except Exception:  # whatever happens, nobody waits for ever
                _log.exception("Events could not be stored.")
                for each in batch:
                    each.end(Unavailable("The events could not be stored."))

    def _next_batch(self) -> list[_Waiting]:
        size = taken = 0
        while taken < len(self._waiting) and (not taken or size + len(self._waiting[taken].entries) <= MOST_ENTRIES):
            size += len(self._waiting[taken].entries)
            taken += 1
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return batch

    async def _write(self, batch: list[_Waiting]) -> None:
        try:
            stored = await self._insert(batch)
        except (errors.DataError, errors.IntegrityError, errors.ProgramLimitExceeded) as error:
            if len(batch) == 1:
                batch[0].end(self._unwritable(error))
            else:  # one of them is to blame
                for each in batch:
                    await self._write([each])
        except psycopg.Error as error:
            unavailable = self._unavailable(error)
            for each in batch:
                each.end(unavailable)
        else:
            for each in batch:
                each.end(stored[each.number])

    async def _insert(self, batch: list[_Waiting]) -> dict[int, Stored]:
        events = b"[%s]" % b",".join(entry for each in batch for entry in each.entries)
        rows = await self._run(query("receiver.store"), {"events": Jsonb(events, bytes), "now": self._clock.now()})
        new: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
        new |= {row["request"]: (row["pending"], row["ignored"]) for row in rows}
        return {each.number: Stored(*new[each.number], len(each.entries) - sum(new[each.number])) for each in batch}

    async def _run(self, statement: LiteralString, values: dict[str, Any]) -> list[DictRow]:
        connection = await self._connected()
        cursor = await connection.execute(statement, values)
        self._problem = ""
        return await cursor.fetchall()

    async def _connected(self) -> psycopg.AsyncConnection[DictRow]:
        async with self._connecting:
            if self._connection is None or self._connection.closed:
                self._connection = await psycopg.AsyncConnection.connect(
                    self._address, autocommit=True, row_factory=dict_row, **CONNECTION
                )
            return self._connection

    def _unavailable(self, error: psycopg.Error) -> Unavailable:
        """Logged once, not with every delivery, and without the further lines of the error, which quote rows."""
        problem = (error.diag.message_primary or str(error)).partition("\n")[0]
        if problem != self._problem:
            _log.error("The database does not take events: %s", problem)
        self._problem = problem
        return Unavailable(f"The database does not take events: {problem}")

    def _unwritable(self, error: psycopg.Error) -> Unreadable | Unavailable:
        """A broken constraint may be a race, such as with the removal of a site: trying again helps."""
        if isinstance(error, errors.IntegrityError):
            return self._unavailable(error)
        _log.error("A body was refused: PostgreSQL cannot hold it (%s).", error.sqlstate)
        return Unreadable("PostgreSQL cannot hold what the body says.")


def _as_json(number: int, platform: str, entry: Entry, site_id: UUID | None) -> bytes:
    """The entry as the statement takes it."""
    row = {
        "request": number,
        "fingerprint": entry.fingerprint(platform),
        "platform": platform,
        "event_type": entry.event_type,
        "event_data": entry.payload,
        "account": entry.account,
        "post_id": f"{platform}_{entry.post}" if entry.post else None,
        "action": entry.action,
        "event_time": entry.event_time,
        "reason": entry.reason,
        "addressed": site_id,
    }
    return orjson.dumps(row)
