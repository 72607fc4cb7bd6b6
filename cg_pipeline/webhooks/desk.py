"""What a person does about webhooks: look at stored events, set them back, give them up, which is audited; and say with
which secret a site's are signed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from cg_pipeline.errors import NotFound
from cg_pipeline.security.vault import KeyRing
from cg_pipeline.warehouse.database import Connection
from cg_pipeline.warehouse.models.enums import WebhookStatus
from cg_pipeline.warehouse.sql import query

RETRIED = (WebhookStatus.FAILED, WebhookStatus.DEAD)
REPLAYED = (*RETRIED, WebhookStatus.PROCESSED, WebhookStatus.IGNORED)
SECRET = "sites.webhook_secret"  # noqa: S105  the place of it
AT_ONCE = 1_000_000
"""A minute: as good as no limit."""


@dataclass(frozen=True)
class Filter:
    """Which events: those that fit all that is given. `type` may hold % for anything; `until` is exclusive."""

    id: UUID | None = None
    platform: str | None = None
    site: UUID | None = None
    type: str | None = None
    status: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def find(connection: Connection, wanted: Filter, limit: int) -> list[dict[str, Any]]:
    """Events, newest first."""
    return connection.execute(query("webhooks.listed"), {**vars(wanted), "limit": limit}).fetchall()


def show(connection: Connection, event_id: UUID) -> dict[str, Any]:
    """One event, whole. Raises NotFound."""
    row = connection.execute(query("webhooks.shown"), {"id": event_id}).fetchone()
    if row is None:
        message = f"There is no webhook event {event_id}: see `cg webhook list`."
        raise NotFound(message)
    return row


def replay(connection: Connection, events: Sequence[UUID], a_minute: int, now: datetime) -> int:
    """Let events be processed anew, processed and ignored ones too, so many a minute. Returns how many.

    One that came for an account that was no site of ours finds its site by now.
    """
    return _reopen(connection, "replay", events, REPLAYED, a_minute, now)


def retry(connection: Connection, events: Sequence[UUID], now: datetime) -> int:
    """Try failed and dead events at once, with all their attempts. Returns how many."""
    return _reopen(connection, "retry", events, RETRIED, AT_ONCE, now)


def bury(connection: Connection, events: Sequence[UUID], reason: str, now: datetime) -> int:
    """Give waiting events up: they are dead, for this reason. Returns how many."""
    values = {"ids": list(events), "message": f"Buried: {reason}", "now": now}
    done = [row["id"] for row in connection.execute(query("webhooks.bury"), values)]
    _audit(connection, "bury", done, {"reason": reason}, now)
    return len(done)


def add_secret(connection: Connection, ring: KeyRing, site_id: UUID, secret: str, now: datetime) -> None:
    """Let a site's webhooks be signed with another secret; the one before stays valid beside it, during the change."""
    row = connection.execute(query("webhooks.site_secrets"), {"site_id": site_id}).fetchone() or {}
    known = ring.decrypt(row["webhook_secret"], f"{SECRET}:{site_id}").split(",") if row["webhook_secret"] else []
    kept = ",".join(dict.fromkeys([secret, *known[:1]]))
    values = {"site_id": site_id, "secrets": ring.encrypt(kept, f"{SECRET}:{site_id}"), "now": now}
    connection.execute(query("webhooks.put_site_secrets"), values)


def _reopen(
    connection: Connection, action: str, events: Sequence[UUID], allowed: Sequence[str], a_minute: int, now: datetime
) -> int:
    values = {"ids": list(events), "from": list(allowed), "a_minute": a_minute, "now": now}
    done = [row["id"] for row in connection.execute(query("webhooks.reopen"), values)]
    _audit(connection, action, done, {"status": "pending", "a_minute": a_minute}, now)
    return len(done)


def _audit(connection: Connection, action: str, events: Sequence[UUID], changes: dict[str, Any], now: datetime) -> None:
    values = {
        "action": f"webhook.{action}",
        "ids": [str(each) for each in events],
        "changes": Jsonb(changes),
        "now": now,
    }
    connection.execute(query("webhooks.audit"), values)
