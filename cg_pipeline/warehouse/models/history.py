"""What follows from snapshots: deltas, and the windows that wait to be recomputed. Computing them is SQL."""

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, Computed, ForeignKey, Index, Numeric, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from cg_pipeline.warehouse.models.base import Base, Count, CreatedAt, Money, RowId
from cg_pipeline.warehouse.models.enums import DeltaPeriod, GapState, Platform, WindowKind

if TYPE_CHECKING:
    from cg_pipeline.warehouse.models.posts import Artist, Post


class Delta(Base):
    """Change of a post's counters over a window: last known value in it minus last known value before it, per metric.

    Empty is unknown, never 0. Counters fall, so a change may be negative.
    """

    __tablename__ = "deltas"

    id: Mapped[RowId] = mapped_column(doc="names the row for other programs; the key is post, period and start")
    post_id: Mapped[str] = mapped_column(ForeignKey("posts.post_id"), primary_key=True, doc="whose counters changed")
    period: Mapped[DeltaPeriod] = mapped_column(primary_key=True, doc="daily, weekly, monthly or quarterly")
    period_start: Mapped[date] = mapped_column(primary_key=True, doc="first day of the window")
    from_date: Mapped[date | None] = mapped_column(
        doc="day of the snapshot before the window; empty: there was none. Long before the window: a gap"
    )
    to_date: Mapped[date] = mapped_column(index=True, doc="day of the last snapshot in the window")
    artist_id: Mapped[UUID | None] = mapped_column(ForeignKey("artists.id"), doc="whose post it was when computed")
    earnings_from_date: Mapped[date | None] = mapped_column(
        doc="day of the snapshot that the earnings are compared with: the last before the window that knew them"
    )
    earnings_delta: Mapped[Money | None] = mapped_column(doc="change of the money earned, in `currency`")
    opening_earnings: Mapped[Money | None] = mapped_column(
        doc="money already earned when first seen, in `currency`; not counted in earnings_delta"
    )
    currency: Mapped[str | None] = mapped_column(
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_is_iso_4217"), doc="unit of the money: ISO 4217 code"
    )
    qualified_views_delta: Mapped[Count | None] = mapped_column(doc="change of the views that count for money")
    seconds_viewed_delta: Mapped[Count | None] = mapped_column(doc="change of the time watched, in seconds")
    views_delta: Mapped[Count | None] = mapped_column(doc="change of the views")
    reactions_delta: Mapped[Count | None] = mapped_column(doc="change of the likes and other reactions")
    comments_delta: Mapped[Count | None] = mapped_column(doc="change of the comments")
    shares_delta: Mapped[Count | None] = mapped_column(doc="change of the shares")
    impressions_delta: Mapped[Count | None] = mapped_column(doc="change of the times shown on a screen")
    reach_delta: Mapped[Count | None] = mapped_column(doc="change of the different accounts that saw it")
    base_views: Mapped[Count | None] = mapped_column(doc="views from which views_delta and growth_rate start")
    growth_rate: Mapped[Decimal | None] = mapped_column(
        Numeric(26, 4),
        Computed("round(100.0 * views_delta / nullif(base_views, 0), 4)", persisted=True),
        doc="growth of the views over the window in percent; empty when base_views is empty or 0",
    )
    breaks: Mapped[list[str] | None] = mapped_column(
        ARRAY(Text), doc="metrics that are not compared, because their definition changed between the two snapshots"
    )
    computed_at: Mapped[CreatedAt] = mapped_column(doc="when the row was computed, in UTC")

    post: Mapped["Post"] = relationship(back_populates="deltas")
    artist: Mapped["Artist | None"] = relationship(back_populates="deltas")

    __table_args__ = (
        CheckConstraint(
            "from_date < to_date and earnings_from_date < to_date and period_start <= to_date",
            name="dates_are_in_order",
        ),
        CheckConstraint(
            "coalesce(earnings_delta, opening_earnings) is null or currency is not null", name="money_has_currency"
        ),
        Index(None, "post_id", "from_date", "to_date"),
        Index(None, "artist_id", "period"),
        Index(None, "period_start", "period", "post_id"),
        {"postgresql_partition_by": "RANGE (period_start)"},
    )


class StaleWindow(Base):
    """One window whose inputs changed since it was computed. Recomputing it deletes the row in the same transaction."""

    __tablename__ = "stale_windows"

    kind: Mapped[WindowKind] = mapped_column(primary_key=True)
    window_start: Mapped[date] = mapped_column(primary_key=True, doc="first day of the window")
    first_marked_at: Mapped[CreatedAt]
    marked_at: Mapped[CreatedAt] = mapped_column(doc="when an input last changed: it settles before it is recomputed")
    requested_at: Mapped[datetime | None] = mapped_column(doc="when a run was last requested for it")
    attempts: Mapped[int] = mapped_column(server_default=text("0"), doc="how many runs were requested for it")


class CaptureGap(Base):
    """A day on which a site should have been captured and was not."""

    __tablename__ = "capture_gaps"

    site_id: Mapped[UUID] = mapped_column(
        ForeignKey("sites.id", ondelete="CASCADE"), primary_key=True, doc="the site that was not captured"
    )
    day: Mapped[date] = mapped_column(primary_key=True, doc="the day that is missing, in the reporting zone")
    state: Mapped[GapState] = mapped_column(doc="whether it can be repaired, and how far that is")
    reason: Mapped[str] = mapped_column(doc="why it is missing, or why nobody can tell it any more")
    attempts: Mapped[int] = mapped_column(server_default=text("0"), doc="how many runs were requested for it")
    noticed_at: Mapped[datetime] = mapped_column(doc="when the sentinel first saw that it is missing")
    requested_at: Mapped[datetime | None] = mapped_column(doc="when a run was last requested for it")
    ended_at: Mapped[datetime | None] = mapped_column(doc="when it was repaired, or given up")

    __table_args__ = (
        CheckConstraint("(state in ('repaired', 'lost')) = (ended_at is not null)", name="ended_gaps_say_when"),
        CheckConstraint("state <> 'requested' or requested_at is not null", name="requested_gaps_say_when"),
        Index(None, "state", "day"),
    )


class DefinitionBreak(Base):
    """From which day on a platform's metric means something else than before: deltas do not cross that day."""

    __tablename__ = "definition_breaks"

    platform: Mapped[Platform] = mapped_column(primary_key=True)
    metric: Mapped[str] = mapped_column(primary_key=True, doc="our column in snapshots")
    first_day: Mapped[date] = mapped_column(primary_key=True, doc="the first day with the new definition")
    reason: Mapped[str] = mapped_column(doc="what changed, and where that is said")
