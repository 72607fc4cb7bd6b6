"""Webhook events for tests, stored as the receiver stores them, and what became of them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from cg_pipeline.warehouse.database import Warehouse

STORE = """
insert into webhook_events
    (site_id, platform, event_type, event_data, fingerprint, account, post_id, action, created_at)
select s.id, s.platform, 'test', '{}', gen_random_uuid()::text, s.platform_id, %(post)s, %(action)s, %(now)s
from sites s where s.platform_id = %(account)s
returning id
"""


def store(warehouse: Warehouse, account: str, post: str | None, now: datetime, action: str = "refresh") -> UUID:
    """A pending event about a post (as in `posts.post_id`) of an account."""
    values = {"account": account, "post": post, "action": action, "now": now}
    with warehouse.connect() as connection:
        row = connection.execute(STORE, values).fetchone()
    assert row
    found: UUID = row["id"]
    return found


def states(warehouse: Warehouse) -> dict[UUID, dict[str, Any]]:
    """All events by id."""
    with warehouse.connect() as connection:
        return {row["id"]: row for row in connection.execute("select * from webhook_events")}


def statuses(warehouse: Warehouse) -> list[str]:
    """How the events stand, in the order in which they came."""
    rows = sorted(states(warehouse).values(), key=lambda row: (row["created_at"], row["id"]))
    return [row["status"] for row in rows]
