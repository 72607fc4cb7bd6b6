"""Which runs a batch of events asks for: a pure function. Events are claimed and settled in `inbox`."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

MOST_RUNS = 12
"""A tick submits its runs one after the other; what is left over waits for the next."""


@dataclass(frozen=True)
class WaitingEvent:
    """What planning needs of an event that may be claimed. `post_id` None: the whole site is to be read."""

    id: UUID
    platform: str
    site_id: UUID
    post_id: str | None
    attempts: int
    received_at: datetime


@dataclass(frozen=True)
class Rerun:
    """One run to request: it reads again what its events are about. `key` names it for good: a hash and the attempt."""

    key: str
    platform: str
    attempt: int
    events: tuple[UUID, ...]


def plan_reruns(events: Iterable[WaitingEvent], now: datetime, at_most: int = MOST_RUNS) -> list[Rerun]:
    """The fewest runs: one for each platform, all its sites and posts together, those of the oldest event first.

    Events that have failed before get a run of their own beside it, so that one that kills its run takes no new ones
    with it. The same events at the same attempt always make the same key. Events that were received after `now` wait.
    """
    due = sorted((event for event in events if event.received_at <= now), key=_group)
    groups = [list(group) for _, group in groupby(due, key=_group)]
    groups.sort(key=lambda group: min(event.received_at for event in group))
    return [_rerun(group) for group in groups[:at_most]]


def why_idle(waiting: int, held: int, age_seconds: float | None) -> str:
    """Why no run is requested, with the backlog and the age of its oldest event."""
    if not waiting and not held:
        return "No webhook event waits."
    age = f"; the oldest has waited for {age_seconds:,.0f} s" if age_seconds is not None else ""
    return (
        f"{waiting} webhook events wait for their turn, their next attempt or a paused site, "
        f"{held} are with a run{age}."
    )


def _group(event: WaitingEvent) -> tuple[str, bool]:
    return event.platform, event.attempts > 0


def _rerun(events: Sequence[WaitingEvent]) -> Rerun:
    ids = tuple(sorted(event.id for event in events))
    attempt = 1 + max(event.attempts for event in events)
    digest = hashlib.sha256(" ".join(map(str, ids)).encode()).hexdigest()[:16]
    platform = events[0].platform
    return Rerun(f"webhooks:{platform}:{digest}:{attempt}", platform, attempt, ids)
