"""Explains royalties: from a payee's money of a month to its lines, rates, owners of posts and daily deltas.

The shares are worked out here once more, in Python from the deltas, so that they can disagree with the lines stored.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby, pairwise
from typing import Any
from uuid import UUID

from cg_pipeline.errors import NotFound
from cg_pipeline.history.explain import command, stale_windows
from cg_pipeline.history.windows import Kind, end_of
from cg_pipeline.royalties import artists
from cg_pipeline.royalties.accruals import HOUSE, NO_RATE, SUSPENSE, payee_totals
from cg_pipeline.royalties.rounding import smallest_unit
from cg_pipeline.warehouse.database import Connection
from cg_pipeline.warehouse.sql import query

Row = Mapping[str, Any]
ALL_SUSPENSE = "(suspense)"
"""What has no artist, and what has an artist without a rate."""
ACCRUAL = "accrual"
IN_SUSPENSE = {ALL_SUSPENSE: (SUSPENSE, NO_RATE), SUSPENSE: (SUSPENSE,), NO_RATE: (NO_RATE,)}


@dataclass(frozen=True)
class Shares:
    """How an amount is shared at a rate; without artist or rate all of it is in suspense. Nothing is rounded."""

    artist_share: Decimal
    house_share: Decimal
    suspense: Decimal

    @classmethod
    def of(cls, earnings: Decimal, rate_pct: Decimal | None) -> "Shares":
        """Earnings at a rate in percent."""
        if rate_pct is None:
            return cls(Decimal(), Decimal(), earnings)
        artist = earnings * rate_pct / 100
        return cls(artist, earnings - artist, Decimal())


@dataclass(frozen=True)
class Earning:
    """One daily delta of money, the rate in force on its day, and the payee's share of it, not rounded.

    `compared_with` is the day of the snapshot before; `explained_by` the command that explains the delta.
    """

    day: date
    post_id: str
    compared_with: date | None
    currency: str
    earnings_delta: Decimal
    artist: str | None
    rate_pct: Decimal | None
    share: Decimal
    explained_by: str


@dataclass(frozen=True)
class LineCheck:
    """One royalty line as it is stored, and what the deltas make of it. `share` is the payee's part.

    Nothing of an adjustment is worked out again: it corrects what was closed before. A figure that is None is missing.
    """

    post_id: str
    artist: str | None
    currency: str
    rate_pct: Decimal | None
    kind: str
    earnings: Decimal | None
    share: Decimal | None
    earnings_again: Decimal | None
    share_again: Decimal | None
    closed: bool
    agrees: bool


@dataclass(frozen=True)
class Total:
    """The payee's money of one currency: the sum of the lines, the same worked out again, and the amount that is paid:
    rounded to `unit` together with the other payees; None where only one post is looked at."""

    currency: str
    lines: Decimal
    again: Decimal
    amount: Decimal | None
    unit: Decimal
    agrees: bool


@dataclass(frozen=True)
class Owner:
    """Whose a post is now, and why."""

    post_id: str
    artist: str | None
    why: str


@dataclass(frozen=True)
class RoyaltyExplanation:
    """The chain behind a payee's royalties of a month."""

    payee: str
    month: date
    totals: Sequence[Total]
    lines: Sequence[LineCheck]
    rates: Sequence[Row]
    earnings: Sequence[Earning]
    owners: Sequence[Owner]
    statements: Sequence[Row]
    stale: Sequence[Row]
    disagreements: Sequence[str]

    @property
    def checks(self) -> bool:
        """Whether all that is stored is what deltas and rates say, to the last decimal."""
        return not self.disagreements


@dataclass(frozen=True)
class _Payee:
    """Who is asked about: an artist, the house, or suspense; and which of an amount's shares are its."""

    name: str
    artist_id: UUID | None
    names_in_totals: Sequence[str]
    part: Callable[[Shares], Decimal]
    has: Callable[[str | None, Decimal | None], bool]


def explain_royalty(connection: Connection, payee: str, month: date, post_id: str | None = None) -> RoyaltyExplanation:
    """The chain behind the royalties of a payee (an artist's name or id, `(house)`, `(suspense)`) in the month that
    begins on `month`; of one post, if given.

    Raises NotFound for an unknown artist, and for a month in which the payee has nothing.
    """
    who = _payee(connection, payee)
    values = {"artist_id": who.artist_id, "post_id": post_id, "month": month, "end": end_of(Kind.ROYALTY, month)}
    rates = connection.execute(query("explain.royalty_rates"), values).fetchall()
    earnings = _earnings(connection, values, rates, who)
    stored = connection.execute(query("explain.royalty_lines"), values).fetchall()
    lines = _lines([row for row in stored if who.has(row["artist"], row["rate_pct"])], earnings, who)
    if not lines:
        raise _nothing_there(connection, who, month, post_id)
    totals = _totals(lines, None if post_id else _amounts(connection, month, who), len(who.names_in_totals))
    named = {line.artist for line in lines}
    return RoyaltyExplanation(
        payee=who.name,
        month=month,
        totals=totals,
        lines=lines,
        rates=[rate for rate in rates if rate["artist"] in named],
        earnings=earnings,
        owners=_owners(connection, sorted({line.post_id for line in lines})),
        statements=connection.execute(query("explain.royalty_statements"), values).fetchall(),
        stale=stale_windows(connection, Kind.ROYALTY, month),
        disagreements=_disagreements(lines, totals),
    )


def sample(connection: Connection, month: date) -> str | None:
    """The command that explains the payee with most of a month's money; None where there is none."""
    row = connection.execute(query("explain.sample_payee"), {"month": month}).fetchone()
    return f'cg explain royalty "{row["artist"] or ALL_SUSPENSE}" {month:%Y-%m}' if row else None


def _payee(connection: Connection, name: str) -> _Payee:
    if name == HOUSE:
        return _Payee(name, None, (HOUSE,), lambda shares: shares.house_share, lambda _artist, rate: rate is not None)
    if kinds := IN_SUSPENSE.get(name):

        def is_meant(artist: str | None, rate: Decimal | None) -> bool:
            return rate is None and (NO_RATE if artist else SUSPENSE) in kinds

        return _Payee(name, None, kinds, lambda shares: shares.suspense, is_meant)
    artist = artists.find(connection, name)
    return _Payee(
        artist.name, artist.id, (artist.name,), lambda shares: shares.artist_share, lambda _artist, _rate: True
    )


def _earnings(connection: Connection, values: Row, rates: Sequence[Row], who: _Payee) -> list[Earning]:
    """The daily deltas of money that are the payee's in part, each with the rate in force on its day."""
    found = []
    for row in connection.execute(query("explain.royalty_earnings"), values):
        rate = _rate_on(rates, row["artist"], row["day"])
        if who.has(row["artist"], rate):
            share = who.part(Shares.of(row["earnings_delta"], rate))
            explained_by = command(row["post_id"], Kind.DAILY, row["day"])
            found.append(Earning(**row, rate_pct=rate, share=share, explained_by=explained_by))
    return found


def _rate_on(rates: Sequence[Row], artist: str | None, day: date) -> Decimal | None:
    in_force = [rate for rate in rates if rate["artist"] == artist and rate["effective_from"] <= day]
    return in_force[-1]["rate_pct"] if in_force else None


def _lines(stored: Sequence[Row], earnings: Sequence[Earning], who: _Payee) -> list[LineCheck]:
    """The stored lines beside those that the deltas make, and those of either that the other lacks."""
    again: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
    for each in earnings:
        again[each.post_id, each.artist, each.currency, each.rate_pct] += each.earnings_delta
    lines = []
    for row in stored:
        key = (row["post_id"], row["artist"], row["currency"], row["rate_pct"])
        lines.append(_line(key, row, again.pop(key, None) if row["kind"] == ACCRUAL else None, who))
    return lines + [_line(key, None, expected, who) for key, expected in sorted(again.items(), key=str)]


def _line(key: tuple[Any, ...], row: Row | None, expected: Decimal | None, who: _Payee) -> LineCheck:
    post_id, artist, currency, rate = key
    is_accrual = row is None or row["kind"] == ACCRUAL
    stored = Shares(row["artist_share"], row["house_share"], row["suspense"]) if row else None
    shares = stored if not is_accrual else None if expected is None else Shares.of(expected, rate)
    return LineCheck(
        post_id=post_id,
        artist=artist,
        currency=currency,
        rate_pct=rate,
        kind=row["kind"] if row else ACCRUAL,
        earnings=row["earnings"] if row else None,
        share=who.part(stored) if stored else None,
        earnings_again=expected,
        share_again=who.part(shares) if shares else None,
        closed=bool(row and row["statement_id"]),
        agrees=stored == shares and (not is_accrual or (row is not None and row["earnings"] == expected)),
    )


def _amounts(connection: Connection, month: date, who: _Payee) -> dict[str, Decimal]:
    """What the payee is paid, per currency."""
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    for total in payee_totals(connection, month):
        if total.payee in who.names_in_totals:
            amounts[total.currency] += total.amount
    return amounts


def _totals(lines: Sequence[LineCheck], amounts: Mapping[str, Decimal] | None, payees: int) -> list[Total]:
    """Per currency; each of the payees is rounded by itself, to less than a unit off."""
    totals = []
    for currency in sorted({line.currency for line in lines}):
        own = [line for line in lines if line.currency == currency]
        stored, again = _sum(line.share for line in own), _sum(line.share_again for line in own)
        unit, amount = smallest_unit(currency), None if amounts is None else amounts.get(currency, Decimal())
        near = amount is None or abs(amount - again) < payees * unit
        totals.append(Total(currency, stored, again, amount, unit, stored == again and near))
    return totals


def _sum(amounts: Iterable[Decimal | None]) -> Decimal:
    return sum((amount for amount in amounts if amount is not None), Decimal())


def _disagreements(lines: Sequence[LineCheck], totals: Sequence[Total]) -> list[str]:
    """What of the stored lines is not as deltas and rates say, in words."""
    return [
        *[_disagreement(line) for line in lines if not line.agrees],
        *[f"{total.currency}: the lines add up to {total.lines}, worked out again {total.again}, paid {total.amount}"
          for total in totals if not total.agrees],
    ]  # fmt: skip


def _disagreement(line: LineCheck) -> str:
    rate = "without a rate" if line.rate_pct is None else f"at {line.rate_pct:f} %"
    stored = "there is no line" if line.earnings is None else f"the line says {line.earnings}, share {line.share}"
    again = "nothing" if line.earnings_again is None else f"{line.earnings_again}, share {line.share_again}"
    closed = "; it is closed: the difference belongs into an adjustment" if line.closed else ""
    return f"{line.post_id} in {line.currency} {rate}: {stored}, the deltas say {again}{closed}"


def _owners(connection: Connection, posts: Sequence[str]) -> list[Owner]:
    rows = connection.execute(query("explain.ownership"), {"posts": list(posts)}).fetchall()
    return [_owner(post, list(way)) for post, way in groupby(rows, key=lambda row: row["of_post"])]


def _owner(post_id: str, way: Sequence[Row]) -> Owner:
    """The way from a post to the one that is assigned, in words."""
    parts = []
    for here, there in pairwise(way):
        link = "parent" if there["post_id"] == here["parent_post_id"] else "previous iteration"
        parts.append(f"inherits from its {link} {there['post_id']}")
    last = way[-1]
    if last["by_post"]:
        parts.append(f"the post {last['post_id']} is assigned to {last['by_post']}")
    elif last["by_tag"]:
        parts.append(f'the tag "{last["asset_tag"]}" of {last["post_id"]} is assigned to {last["by_tag"]}')
    else:
        tag = f'its tag "{last["asset_tag"]}"' if last["asset_tag"] else "it has no tag"
        parts.append(f"nobody: neither {last['post_id']} nor a tag of it is assigned ({tag})")
    return Owner(post_id, last["by_post"] or last["by_tag"], "; ".join(parts))


def _nothing_there(connection: Connection, who: _Payee, month: date, post_id: str | None) -> NotFound:
    rows = connection.execute(query("explain.royalty_months"), {"artist_id": who.artist_id}).fetchall()
    of_post = f" for the post {post_id}" if post_id else ""
    months = ", ".join(row["month"] for row in rows)
    known = f"There are lines of {months}." if months else "There are no lines of any month."
    return NotFound(
        f"{who.name} has no royalties in {month:%Y-%m}{of_post}. {known} `cg royalties show` lists what everybody has; "
        "if the month waits to be accrued, run `cg deltas refresh`."
    )
