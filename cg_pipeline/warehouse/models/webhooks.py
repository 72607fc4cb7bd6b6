"""Webhook events as they were received, and how they are tried again. Verifying and planning do not belong here."""

import random
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar, Self
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from cg_pipeline.warehouse.models.base import Base, CreatedAt, JsonObject, RowId, UpdatedAt
from cg_pipeline.warehouse.models.enums import Platform, WebhookAction, WebhookStatus

if TYPE_CHECKING:
    from cg_pipeline.warehouse.models.sites import Site

FIRST_BACKOFF = timedelta(minutes=1)
LONGEST_BACKOFF = timedelta(hours=1)


class WebhookEvent(Base):
    """One event that a platform sent. A hint that something changed, never data."""

    __tablename__ = "webhook_events"

    MAX_ATTEMPTS: ClassVar[int] = 8

    id: Mapped[RowId] = mapped_column(primary_key=True)
    site_id: Mapped[UUID | None] = mapped_column(ForeignKey("sites.id"), index=True, doc="empty: no site of ours")
    platform: Mapped[Platform]
    event_type: Mapped[str] = mapped_column(doc="the platform's name for what happened, such as post.update")
    event_data: Mapped[JsonObject] = mapped_column(doc="the payload as received")
    status: Mapped[WebhookStatus] = mapped_column(server_default=WebhookStatus.PENDING)
    processed_at: Mapped[datetime | None] = mapped_column(doc="when the re-read that it asked for landed")
    retry_count: Mapped[int] = mapped_column(server_default=text("0"), doc="how many attempts failed")
    error_message: Mapped[str | None] = mapped_column(doc="why the last attempt failed")
    fingerprint: Mapped[str] = mapped_column(doc="the same for every delivery of one event")
    event_time: Mapped[datetime | None] = mapped_column(doc="when it happened, as the platform says")
    attempt_at: Mapped[datetime | None] = mapped_column(doc="not to be tried before")
    claimed_until: Mapped[datetime | None] = mapped_column(doc="a worker has it until then")
    rerun_key: Mapped[str | None] = mapped_column(doc="the run that was requested for it")
    account: Mapped[str | None] = mapped_column(doc="whose post it is, as the platform says: an id or a username")
    post_id: Mapped[str | None] = mapped_column(doc="the post that it is about, as in posts; empty: the whole site")
    action: Mapped[WebhookAction | None] = mapped_column(doc="what it asks for; empty: nothing")
    created_at: Mapped[CreatedAt] = mapped_column(primary_key=True, doc="when it was received")
    updated_at: Mapped[UpdatedAt]

    site: Mapped["Site | None"] = relationship(back_populates="webhook_events")

    __table_args__ = (
        CheckConstraint(
            "(status = 'processed') = (processed_at is not null)", name="processed_events_have_processed_at"
        ),
        CheckConstraint("(status = 'claimed') = (claimed_until is not null)", name="claimed_events_have_a_lease"),
        CheckConstraint("status <> 'failed' or attempt_at is not null", name="failed_events_have_a_next_attempt"),
        CheckConstraint(
            "status not in ('dead', 'ignored') or error_message is not null",
            name="dead_and_ignored_events_have_a_reason",
        ),
        CheckConstraint(
            "status not in ('pending', 'claimed', 'failed') or site_id is not null and action is not null",
            name="open_events_have_a_site_and_an_action",
        ),
        Index(None, "platform", "event_type"),
        Index(None, "status", "created_at"),
        Index(None, "created_at", postgresql_where=text("status = 'pending'")),
        Index(None, "claimed_until", postgresql_where=text("status = 'claimed'")),
        Index(None, "attempt_at", postgresql_where=text("status = 'failed'")),
        Index(None, "site_id", "post_id", postgresql_where=text("status in ('claimed', 'failed')")),
        Index(None, "rerun_key", postgresql_where=text("status = 'claimed'")),
        Index(None, "post_id", postgresql_where=text("post_id is not null")),
        {"postgresql_partition_by": "RANGE (created_at)"},
    )

    def mark_processed(self, now: datetime) -> None:
        """The re-read that the event asked for has landed. Call it in the transaction that lands it."""
        self.status, self.processed_at = WebhookStatus.PROCESSED, now
        self.attempt_at = self.error_message = self.claimed_until = None

    def mark_failed(self, now: datetime, error: str, chance: float | None = None) -> None:
        """An attempt failed: the next one comes after 1, 2, 4 ... at most 60 minutes; the last one leaves it dead.

        Up to a quarter is added by `chance` (0 to 1, default random), so that what failed together does not come back
        together.
        """
        self.retry_count = (self.retry_count or 0) + 1  # None before the first flush
        self.error_message, self.processed_at, self.claimed_until = error, None, None
        if self.retry_count < self.MAX_ATTEMPTS:
            jitter = 1 + (random.random() if chance is None else chance) / 4  # noqa: S311  no secret
            self.status, self.attempt_at = WebhookStatus.FAILED, now + backoff(self.retry_count) * jitter
        else:
            self.status, self.attempt_at = WebhookStatus.DEAD, None

    def should_retry(self, now: datetime) -> bool:
        """Whether the event failed, has attempts left, and its time has come."""
        return (
            self.status == WebhookStatus.FAILED
            and self.retry_count < self.MAX_ATTEMPTS
            and self.attempt_at is not None
            and self.attempt_at <= now
        )

    @classmethod
    def get_pending_events(cls, session: Session, limit: int = 100) -> Sequence[Self]:
        """Events that wait to be claimed: oldest first. `webhooks.inbox.claim` is what claims them."""
        waiting = select(cls).where(cls.status == WebhookStatus.PENDING)
        return session.scalars(waiting.order_by(cls.created_at, cls.id).limit(limit)).all()

    @classmethod
    def get_failed_retryable_events(cls, session: Session, now: datetime, limit: int = 100) -> Sequence[Self]:
        """Events for which `should_retry` holds: those that are due longest first."""
        due = select(cls).where(
            cls.status == WebhookStatus.FAILED, cls.retry_count < cls.MAX_ATTEMPTS, cls.attempt_at <= now
        )
        return session.scalars(due.order_by(cls.attempt_at, cls.id).limit(limit)).all()


class WebhookFingerprint(Base):
    """One event that has been received, so that a second delivery is recognised.

    A table of its own because a unique key of the partitioned `webhook_events` would have to contain the time.
    """

    __tablename__ = "webhook_fingerprints"

    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(doc="the event of the first delivery")
    created_at: Mapped[CreatedAt] = mapped_column(index=True)


class WebSubLease(Base):
    """The subscription of one channel at a WebSub hub, which forgets it silently at its end."""

    __tablename__ = "websub_leases"

    site_id: Mapped[UUID] = mapped_column(ForeignKey("sites.id", ondelete="CASCADE"), primary_key=True)
    topic: Mapped[str] = mapped_column(doc="the feed that is subscribed")
    callback_url: Mapped[str] = mapped_column(doc="where the hub delivers it")
    requested_at: Mapped[datetime] = mapped_column(doc="when the hub was last asked")
    confirmed_at: Mapped[datetime | None] = mapped_column(doc="when the hub last verified the subscription")
    expires_at: Mapped[datetime | None] = mapped_column(doc="when it ends unless it is renewed")
    last_error: Mapped[str | None] = mapped_column(doc="why the hub refused, or did not answer")

    __table_args__ = (CheckConstraint("(confirmed_at is null) = (expires_at is null)", name="confirmed_leases_expire"),)


class WebhookCoverage(Base):
    """What polling saw of a site on a day against what webhooks told of it."""

    __tablename__ = "webhook_coverage"

    site_id: Mapped[UUID] = mapped_column(
        ForeignKey("sites.id", ondelete="CASCADE"), primary_key=True, doc="a site of which events have come"
    )
    day: Mapped[date] = mapped_column(primary_key=True, doc="a day in the reporting zone")
    events: Mapped[int] = mapped_column(doc="events received of the site on the day")
    posts_published: Mapped[int] = mapped_column(doc="posts that polling found, published on the day")
    posts_announced: Mapped[int] = mapped_column(doc="those of them that an event told of")
    computed_at: Mapped[datetime] = mapped_column(doc="when this was last found to have changed")


def backoff(failures: int) -> timedelta:
    """How long to wait after the given number of failures, at least 1."""
    doublings = min(failures - 1, 6)  # past the longest wait already
    return min(FIRST_BACKOFF * (1 << doublings), LONGEST_BACKOFF)
