"""The inbox of stored events: claimed in batches, settled by the runs that read again, set back when one fails.

What is received is stored in `store`; which runs a batch needs is decided in `planning`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cg_pipeline.warehouse.database import Connection, Warehouse
from cg_pipeline.warehouse.models import WebhookEvent
from cg_pipeline.warehouse.sql import query
from cg_pipeline.webhooks.planning import Rerun, WaitingEvent, plan_reruns

MOST_EVENTS = 5_000
"""How many events a tick claims: more wait for the next."""


@dataclass(frozen=True)
class Tick:
    """What one look at the inbox came to. `paused`: the sites whose grant is gone; `backlog`: what is left after it."""

    reruns: list[Rerun]
    paused: list[dict[str, Any]]
    backlog: dict[str, Any]


@dataclass(frozen=True)
class ClaimedEvent:
    """An event that a run has. `post_id` None: the whole site is to be read."""

    id: UUID
    site_id: UUID
    post_id: str | None
    attempts: int


def claim(warehouse: Warehouse, now: datetime, lease: timedelta, most: int = MOST_EVENTS) -> Tick:
    """Claim what waits for the runs that are returned, which must be requested then; pause sites whose grant is gone.

    A claim ends by itself after `lease`, so that nothing is lost when its run is never requested.
    """
    with warehouse.connect() as connection:
        connection.execute(query("webhooks.lock_claims"))
        paused = connection.execute(query("webhooks.pause_sites"), {"now": now}).fetchall()
        waiting = connection.execute(query("webhooks.waiting"), {"now": now, "most": most}).fetchall()
        reruns = plan_reruns((WaitingEvent(**row) for row in waiting), now)
        for rerun in reruns:
            values = {"key": rerun.key, "ids": list(rerun.events), "until": now + lease, "now": now}
            connection.execute(query("webhooks.claim"), values)
        backlog = connection.execute(query("webhooks.backlog"), {"now": now}).fetchone() or {}
    return Tick(reruns, paused, backlog)


def renew_leases(warehouse: Warehouse, key: str, now: datetime, lease: timedelta) -> list[ClaimedEvent]:
    """What a run still has of its events, for another lease. None when it began too late: another has them by then."""
    with warehouse.connect() as connection:
        rows = connection.execute(query("webhooks.renew_leases"), {"key": key, "now": now, "until": now + lease})
        return [ClaimedEvent(**row) for row in rows]


def settle(connection: Connection, key: str, ids: Sequence[UUID], now: datetime) -> int:
    """Mark events processed, in the transaction that lands what they asked for; returns how many it still had."""
    return connection.execute(query("webhooks.settle"), {"key": key, "ids": list(ids), "now": now}).rowcount


def fail(warehouse: Warehouse, key: str, ids: Sequence[UUID], message: str, now: datetime) -> None:
    """An attempt at these events failed: they come back after a while, or are dead after the last attempt."""
    values = {"key": key, "ids": list(ids), "message": message, "now": now, "most_attempts": WebhookEvent.MAX_ATTEMPTS}
    with warehouse.connect() as connection:
        connection.execute(query("webhooks.fail"), values)


def return_lost(warehouse: Warehouse, now: datetime, most: int = MOST_EVENTS) -> dict[str, int]:
    """Set back events whose lease has ended, and failed ones that are due. Returns how many, and how many died."""
    values = {"now": now, "most": most, "most_attempts": WebhookEvent.MAX_ATTEMPTS}
    with warehouse.connect() as connection:
        expired = [row["status"] for row in connection.execute(query("webhooks.return_expired"), values)]
        due = connection.execute(query("webhooks.return_due"), values).rowcount
    return {"expired": len(expired), "died": expired.count("dead"), "due": due}


def backlog(warehouse: Warehouse, now: datetime) -> dict[str, Any]:
    """How many events wait, how many are with a run, and how many seconds the oldest has waited (None: none waits)."""
    with warehouse.connect() as connection:
        return connection.execute(query("webhooks.backlog"), {"now": now}).fetchone() or {}


def forget_fingerprints(warehouse: Warehouse, before: datetime) -> int:
    """Forget events that are older than any redelivery; returns how many."""
    with warehouse.connect() as connection:
        return connection.execute(query("webhooks.forget_fingerprints"), {"before": before}).rowcount
