"""Accrues a month's earnings to artists, and shows what came of it. The rule is in `sql/queries/royalties.sql`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby
from zoneinfo import ZoneInfo

from cg_pipeline.clock import Clock, today
from cg_pipeline.errors import MoneyMismatch
from cg_pipeline.history import checks
from cg_pipeline.history.windows import Kind, RangeResult, WindowResult, each_window, end_of
from cg_pipeline.royalties.rounding import round_to_whole
from cg_pipeline.warehouse.database import Connection, Warehouse
from cg_pipeline.warehouse.sql import query

HOUSE = "(house)"
SUSPENSE = "(suspense: no artist)"
NO_RATE = "(suspense: no rate)"


@dataclass(frozen=True)
class PayeeTotal:
    """What one payee has in a month, rounded to what can be paid: the payees of a month and currency add up to
    `platform`, the money that the platforms reported in it."""

    month: date
    currency: str
    payee: str
    amount: Decimal
    platform: Decimal
    posts: int


@dataclass(frozen=True)
class TieOut:
    """A month's money of one currency, unrounded: what the platforms added, and what became of it."""

    currency: str
    platform: Decimal
    artist_share: Decimal
    house_share: Decimal
    suspense: Decimal

    @property
    def difference(self) -> Decimal:
        """What is missing; anything but zero is an error."""
        return self.platform - self.artist_share - self.house_share - self.suspense


def accrue(warehouse: Warehouse, months: Sequence[date], timezone: ZoneInfo, clock: Clock) -> RangeResult:
    """Bring the accrual lines of these months in line with the daily deltas, the artists and the rates.

    Each month commits by itself. Raises MoneyMismatch, and leaves the month as it was, when the lines would not add up
    to the money of the platforms, or the deltas of the month do not agree with its snapshots.
    """
    with warehouse.connect() as connection:
        in_force = {"today": today(clock, timezone), "now": clock.now()}
        connection.execute(query("royalties.refresh_current_rates"), in_force)

        def compute(month: date) -> WindowResult:
            with connection.transaction():
                return _accrue(connection, month, timezone, clock)

        return each_window(months, compute)


def tie_out(connection: Connection, month: date) -> list[TieOut]:
    """The month's money, a line per currency."""
    window = {"month": month, "next_month": end_of(Kind.ROYALTY, month)}
    return [TieOut(**row) for row in connection.execute(query("royalties.tie_out"), window)]


def payee_totals(connection: Connection, month: date | None = None) -> list[PayeeTotal]:
    """What each payee has, of one month or of all: the artists by name, then the house, then what is in suspense."""
    rows = connection.execute(query("royalties.totals"), {"month": month, "artist": None}).fetchall()
    totals = []
    for (in_month, currency), group in groupby(rows, key=lambda row: (row["month"], row["currency"])):
        lines = list(group)
        shares = {row["artist"]: row["artist_share"] for row in lines if row["artist"] and not row["lacks_rate"]}
        shares[HOUSE] = sum((row["house_share"] for row in lines), Decimal())
        for name, lacks_rate in ((SUSPENSE, False), (NO_RATE, True)):
            shares[name] = sum((row["suspense"] for row in lines if row["lacks_rate"] == lacks_rate), Decimal())
        posts = _posts_per_payee(lines)
        amounts = round_to_whole(list(shares.values()), currency)
        platform = sum(amounts, Decimal())
        totals += [
            PayeeTotal(in_month, currency, payee, amount, platform, posts.get(payee, 0))
            for payee, amount in zip(shares, amounts, strict=True)
            if payee == HOUSE or posts.get(payee, 0)
        ]
    return totals


def _posts_per_payee(lines: list[dict[str, object]]) -> dict[str, int]:
    posts: dict[str, int] = {HOUSE: 0}
    for row in lines:
        payee = NO_RATE if row["lacks_rate"] else str(row["artist"] or SUSPENSE)
        posts[payee] = posts.get(payee, 0) + int(str(row["posts"]))
    return posts


def _accrue(connection: Connection, month: date, timezone: ZoneInfo, clock: Clock) -> WindowResult:
    window = {"kind": Kind.ROYALTY, "start": month, "month": month, "next_month": end_of(Kind.ROYALTY, month)}
    connection.execute(query("deltas.lock_window"), window)
    connection.execute(query("deltas.clear_stale"), window)
    _require_sound_deltas(connection, month, timezone)
    values = window | {"now": clock.now()}
    removed = connection.execute(query("royalties.delete_vanished_accruals"), values).rowcount
    written = connection.execute(query("royalties.merge_accruals"), values).rowcount
    for line in tie_out(connection, month):
        if line.difference:
            message = (
                f"The royalties of {month:%B %Y} in {line.currency} lack {line.difference} of the platforms' "
                f"{line.platform}: nothing was written. Recompute the month's daily deltas, then accrue again."
            )
            raise MoneyMismatch(message)
    return WindowResult(month, written, removed)


def _require_sound_deltas(connection: Connection, month: date, timezone: ZoneInfo) -> None:
    """A blocking check holds back only what runs with it: money asks again."""
    broken = checks.ask(connection, "telescoping", Kind.ROYALTY, month, month, checks.Subject(timezone)).rows
    if broken:
        first = broken[0]
        message = (
            f"The daily deltas of {month:%B %Y} do not agree with its snapshots for {len(broken)} posts, such as "
            f"{first['post_id']} ({first['metric']}: {first['booked']} instead of {first['expected']}): nothing was "
            "accrued. Materialize deltas/daily for the month, then royalties/accruals."
        )
        raise MoneyMismatch(message)
