"""What a run does about the events that it was requested for: read their posts again, and settle them as that lands."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from functools import partial
from hashlib import sha256
from threading import Event, Thread
from uuid import UUID

from cg_pipeline.capture.access import Platforms
from cg_pipeline.capture.platform_day import Part, PlatformReport, capture_parts
from cg_pipeline.errors import CgError
from cg_pipeline.warehouse.database import Connection
from cg_pipeline.webhooks import inbox
from cg_pipeline.webhooks.inbox import ClaimedEvent


def refresh(platforms: Platforms, platform: str, day: date, key: str) -> PlatformReport:
    """Read the posts of a run's events again, under the open day; the events end with what lands, site by site.

    What could not be read sets its events back. Raises what `capture_parts` raises; then all of them are set back.
    """
    events = _renew(platforms, key)
    groups = list(_groups(events, key))
    parts = [
        Part(site_id, posts, partial(_settle, platforms, key, ids), partial(_fail, platforms, key, ids))
        for site_id, posts, ids in groups
    ]
    try:
        with _kept_leases(platforms, key):
            return capture_parts(platforms, platform, day, parts)
    except Exception as problem:
        _fail(platforms, key, [event.id for event in events], str(problem))
        raise


def _renew(platforms: Platforms, key: str) -> list[ClaimedEvent]:
    return inbox.renew_leases(platforms.warehouse, key, platforms.clock.now(), platforms.settings.webhook_lease)


@contextmanager
def _kept_leases(platforms: Platforms, key: str) -> Iterator[None]:
    """Renew the leases while the block lasts, however long the platform takes."""
    ended = Event()

    def renew() -> None:
        while not ended.wait(platforms.settings.webhook_lease.total_seconds() / 3):
            with suppress(CgError):  # the database is away: the next time may be early enough
                _renew(platforms, key)

    keeper = Thread(target=renew, daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()


def _groups(events: Iterable[ClaimedEvent], key: str) -> Iterator[tuple[UUID, list[str], list[UUID]]]:
    """What is read together: all posts of a site, or the whole site where one event means it.

    Events that failed before are read post by post, so that one of them cannot fail the others again, and in another
    order at each attempt, so that one that kills its process stands before others only sometimes.
    """
    groups: dict[tuple[UUID, str | None], list[ClaimedEvent]] = defaultdict(list)
    for event in events:
        groups[event.site_id, event.post_id if event.attempts else None].append(event)
    for (site_id, _), of_group in sorted(groups.items(), key=lambda item: sha256(f"{key}{item[0]}".encode()).digest()):
        posts = {event.post_id for event in of_group}
        yield site_id, [] if None in posts else sorted(filter(None, posts)), [event.id for event in of_group]


def _settle(platforms: Platforms, key: str, ids: list[UUID], connection: Connection) -> None:
    inbox.settle(connection, key, ids, platforms.clock.now())


def _fail(platforms: Platforms, key: str, ids: list[UUID], message: str) -> None:
    inbox.fail(platforms.warehouse, key, ids, message, platforms.clock.now())
