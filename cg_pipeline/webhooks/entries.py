"""What one webhook entry says, whatever platform it is of. How each platform words it is in the `payloads` modules."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cg_pipeline.errors import Permanent
from cg_pipeline.warehouse.models.enums import WebhookAction


class Unreadable(Permanent):
    """A body that was signed well and cannot be read: it is no JSON or XML of its platform, or nested too deep."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened, as the platform tells of it. A hint: nothing of it but ids and times is used.

    `account` is the platform's id, or the username, of whose post it is; None where the payload does not say.
    `post` is the platform's id of the post; None means that the whole site is meant. `action` is what to do about it;
    None: nothing, for the `reason`. `identity` is the same for every delivery of the event, and only for those.
    `payload` is this entry alone, as received.
    """

    event_type: str
    account: str | None
    post: str | None
    action: WebhookAction | None
    event_time: datetime | None
    identity: str
    payload: dict[str, Any]
    reason: str | None = None

    def fingerprint(self, platform: str) -> str:
        """By which a second delivery is recognised."""
        return hashlib.sha256(f"{platform}\n{self.identity}".encode(errors="replace")).hexdigest()
