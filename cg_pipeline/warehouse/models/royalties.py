"""What artists earn: rates by date, lines by month, statements closed for ever. Its rules live elsewhere."""

from datetime import date, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, WriteOnlyMapped, mapped_column, relationship

from cg_pipeline.warehouse.models.base import Base, CreatedAt, Money, Percentage, RowId, Share
from cg_pipeline.warehouse.models.enums import RoyaltyLineKind

if TYPE_CHECKING:
    from cg_pipeline.warehouse.models.access import User
    from cg_pipeline.warehouse.models.posts import Artist, Post


class RoyaltyRate(Base):
    """An artist's rate from one day until the day of the artist's next row."""

    __tablename__ = "royalty_rates"

    id: Mapped[RowId] = mapped_column(primary_key=True)
    artist_id: Mapped[UUID] = mapped_column(ForeignKey("artists.id"))
    rate_pct: Mapped[Percentage] = mapped_column(
        CheckConstraint("rate_pct between 0 and 100", name="rate_is_percentage"),
        doc="the artist's share of platform money in percent, 0 to 100",
    )
    effective_from: Mapped[date] = mapped_column(doc="first day on which the rate holds")
    created_at: Mapped[CreatedAt]

    artist: Mapped["Artist"] = relationship(back_populates="royalty_rates")

    __table_args__ = (UniqueConstraint("artist_id", "effective_from"),)


class RoyaltyStatement(Base):
    """One closed statement of an artist, month and currency. It never changes: a correction is a higher version, or an
    adjustment line of a later month.
    """

    __tablename__ = "royalty_statements"

    id: Mapped[RowId] = mapped_column(primary_key=True)
    artist_id: Mapped[UUID] = mapped_column(ForeignKey("artists.id"))
    month: Mapped[date] = mapped_column(
        CheckConstraint("extract(day from month) = 1", name="month_is_first_day"), doc="first day of the month"
    )
    currency: Mapped[str] = mapped_column(
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_is_iso_4217"), doc="unit of the money: ISO 4217 code"
    )
    version: Mapped[int] = mapped_column(server_default=text("1"))
    earnings: Mapped[Money] = mapped_column(doc="platform money of all lines, in `currency`")
    artist_share: Mapped[Share] = mapped_column(doc="the artist's part of it, not rounded, in `currency`")
    payable: Mapped[Money] = mapped_column(doc="the artist's part as it is paid, in `currency`")
    closed_at: Mapped[datetime]
    closed_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))

    artist: Mapped["Artist"] = relationship(back_populates="royalty_statements")
    lines: WriteOnlyMapped["RoyaltyLine"] = relationship(back_populates="statement", passive_deletes="all")
    closed_by_user: Mapped["User | None"] = relationship()

    __table_args__ = (UniqueConstraint("artist_id", "month", "currency", "version"),)


class RoyaltyLine(Base):
    """What one post earned in one month and currency, shared at one rate. Without artist or rate it is in suspense."""

    __tablename__ = "royalty_lines"

    id: Mapped[RowId] = mapped_column(primary_key=True, doc="names the line")
    month: Mapped[date] = mapped_column(
        CheckConstraint("extract(day from month) = 1", name="month_is_first_day"),
        doc="first day of the month in which the money became known",
    )
    kind: Mapped[RoyaltyLineKind] = mapped_column(
        server_default=RoyaltyLineKind.ACCRUAL, doc="accrual: earned in this month; adjustment: corrects a closed one"
    )
    statement_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("royalty_statements.id"), index=True, doc="the statement that closed the line; empty: still open"
    )
    post_id: Mapped[str] = mapped_column(ForeignKey("posts.post_id"), index=True, doc="the post that earned it")
    artist_id: Mapped[UUID | None] = mapped_column(ForeignKey("artists.id"), doc="who is paid; empty: in suspense")
    currency: Mapped[str] = mapped_column(
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_is_iso_4217"), doc="unit of the money: ISO 4217 code"
    )
    rate_pct: Mapped[Percentage | None] = mapped_column(
        doc="the artist's share in percent, 0 to 100; empty: no rate was in force"
    )
    earnings: Mapped[Money] = mapped_column(doc="platform money, in `currency`: the sum of the three shares")
    artist_share: Mapped[Share] = mapped_column(doc="earnings times rate, not rounded, in `currency`")
    house_share: Mapped[Share] = mapped_column(doc="what is ours, not rounded, in `currency`")
    suspense: Mapped[Share] = mapped_column(doc="what waits for an artist or a rate, in `currency`: all or nothing")
    computed_at: Mapped[CreatedAt] = mapped_column(doc="when the line was computed, in UTC")

    statement: Mapped["RoyaltyStatement | None"] = relationship(back_populates="lines")
    post: Mapped["Post"] = relationship()
    artist: Mapped["Artist | None"] = relationship()

    __table_args__ = (
        CheckConstraint("artist_share + house_share + suspense = earnings", name="shares_add_up"),
        CheckConstraint(
            "case when artist_id is null or rate_pct is null then suspense = earnings and artist_share = 0"
            " else suspense = 0 end",
            name="suspense_is_all_or_nothing",
        ),
        Index(
            "royalty_lines_accrual_key",
            "month",
            "post_id",
            "artist_id",
            "currency",
            "rate_pct",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("kind = 'accrual'"),
        ),
        Index(None, "artist_id", "month"),
    )
