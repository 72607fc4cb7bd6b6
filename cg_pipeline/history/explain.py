"""Explains a delta: from the number down to the captures and payloads it came from; and works it out once more.

The comparison is made here by itself, in Python from the snapshots, so that it can disagree with what SQL has stored.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from cg_pipeline.errors import NotFound
from cg_pipeline.history.payload import Payload, around, payloads
from cg_pipeline.history.windows import Kind, end_of, start_of
from cg_pipeline.warehouse.database import Connection
from cg_pipeline.warehouse.sql import query

Row = Mapping[str, Any]
Number = int | Decimal

EARNINGS, OPENING = "earnings_delta", "opening_earnings"
COMPARED = {
    EARNINGS: "lifetime_earnings",
    "qualified_views_delta": "lifetime_qualified_views",
    "seconds_viewed_delta": "lifetime_seconds_viewed",
    **{f"{name}_delta": name for name in ("views", "reactions", "comments", "shares", "impressions", "reach")},
}
"""By column of `deltas`, the column of `snapshots` that it is the difference of."""


@dataclass(frozen=True)
class PostFacts:
    """What decides how the first values of a post count. `published_on` and `first_captured` are days of the reporting
    zone; `first_captured` is that of the post's site."""

    post_id: str
    platform: str
    title: str | None
    site: str | None
    artist: str | None
    published_on: date | None
    first_captured: date | None
    pays_opening: bool

    @property
    def native_id(self) -> str:
        """The platform's own id."""
        return self.post_id.removeprefix(f"{self.platform}_")

    @property
    def counts_from_zero(self) -> bool:
        """Whether nothing of the post was missed before its first capture."""
        return bool(self.published_on and self.first_captured and self.published_on >= self.first_captured)


@dataclass(frozen=True)
class Comparison:
    """One metric of one day: `value` minus `base` is `difference`, or `note` says why there is none.

    `stored` is what the row in `deltas` says; `agrees`: it says the same. Money is in `currency`.
    """

    metric: str
    value: Number | None
    base_date: date | None
    base: Number | None
    difference: Number | None
    stored: Number | None
    currency: str | None
    agrees: bool
    note: str


@dataclass(frozen=True)
class DayDelta:
    """One daily delta: the stored row, None where there is none, and its metrics compared once more."""

    day: date
    row: Row | None
    metrics: Sequence[Comparison]

    @property
    def base_dates(self) -> set[date]:
        """The days of the snapshots that its snapshot is compared with."""
        return {metric.base_date for metric in self.metrics if metric.base_date}


@dataclass(frozen=True)
class Sum:
    """One metric of a longer window: the total of its daily deltas, and what the row says."""

    metric: str
    days: int
    total: Number | None
    stored: Number | None
    agrees: bool


@dataclass(frozen=True)
class SnapshotFacts:
    """One snapshot that is compared: who told it and when, what each source said where they are several, and what it
    said before it was corrected."""

    day: date
    sources: Sequence[str]
    values: Mapping[str, Number]
    currency: str | None
    observed_at: Any
    layers: Row | None
    restatements: Sequence[Row]
    capture: str
    """The sync log that wrote it, or that it is pruned."""


@dataclass(frozen=True)
class DeltaExplanation:
    """The chain behind one delta. `payloads` and `answers` are those of the first and the last snapshot: what lies
    between them cancels out."""

    post: PostFacts
    period: Kind
    start: date
    last_day: date
    row: Row | None
    sums: Sequence[Sum]
    days: Sequence[DayDelta]
    snapshots: Sequence[SnapshotFacts]
    captures: Sequence[Row]
    answers: Sequence[Row]
    payloads: Sequence[Payload]
    stale: Sequence[Row]
    disagreements: Sequence[str]

    @property
    def checks(self) -> bool:
        """Whether all that is stored is what the snapshots say."""
        return not self.disagreements


def explain_delta(connection: Connection, post_id: str, kind: Kind, day: date, timezone: ZoneInfo) -> DeltaExplanation:
    """The chain behind the delta of a post in the window in which `day` lies. `timezone` is the reporting zone.

    Raises NotFound for a post that is not known, and for a window in which nothing is known of it.
    """
    post, start = _post(connection, post_id, timezone), start_of(kind, day)
    end = end_of(kind, start)
    rows = connection.execute(
        query("explain.deltas"), {"post_id": post_id, "kind": kind, "start": start, "end": end}
    ).fetchall()
    own = next((row for row in rows if row["period"] == kind), None)
    daily = {row["period_start"]: row for row in rows if row["period"] == Kind.DAILY}
    days = _days(connection, post, start, end, daily)
    if own is None and not days:
        raise _nothing_known(connection, post_id, start, end - timedelta(days=1))
    sums = [] if kind is Kind.DAILY else _sums(days, own)
    shown = sorted({known for each in days for known in (each.day, *each.base_dates)})
    ends = {*shown[:1], *shown[-1:]}
    captures = _captures(connection, post, shown)
    snapshots, excerpts = _snapshots(connection, post_id, shown, {capture["sync_log_id"] for capture in captures})
    return DeltaExplanation(
        post=post,
        period=kind,
        start=start,
        last_day=end - timedelta(days=1),
        row=own,
        sums=sums,
        days=days,
        snapshots=snapshots,
        captures=captures,
        answers=_answers(connection, post, [capture for capture in captures if capture["snapshot_date"] in ends]),
        payloads=[payload for payload in excerpts if payload.day in ends],
        stale=stale_windows(connection, kind, start),
        disagreements=_disagreements(post, kind, own, days, sums),
    )


def stale_windows(connection: Connection, kind: Kind, start: date) -> list[Row]:
    """What waits to be recomputed of a window: itself, and its days."""
    window = {"kind": kind, "start": start, "end": end_of(kind, start)}
    return [*connection.execute(query("explain.stale"), window)]


def sample(connection: Connection, kind: Kind, start: date) -> str | None:
    """The command that explains the most telling delta of a window; None where the window is empty."""
    row = connection.execute(query("explain.sample_delta"), {"kind": kind, "start": start}).fetchone()
    return command(row["post_id"], kind, start) if row else None


def command(post_id: str, kind: Kind, day: date) -> str:
    """The command that explains a delta."""
    return f"cg explain delta {post_id} {kind} {day}"


def compare(history: Sequence[Row], post: PostFacts, breaks: Sequence[Row], row: Row | None) -> list[Comparison]:
    """The last of these snapshots compared with those before it, metric by metric; with the stored row, if there is."""
    *before, seen = history
    found = [_compare(metric, seen, before, post, breaks, row) for metric in COMPARED]
    money = found[0]
    opening = money.value if money.difference is None else None
    stored = row[OPENING] if row else None
    note = "The value as it was first seen: it is in no delta." if opening is not None else ""
    same = row is not None and stored == opening
    currency = None if opening is None else money.currency
    return [money, Comparison(OPENING, opening, None, None, opening, stored, currency, same, note), *found[1:]]


def _compare(
    metric: str, seen: Row, before: Sequence[Row], post: PostFacts, breaks: Sequence[Row], row: Row | None
) -> Comparison:
    column, is_money = COMPARED[metric], metric == EARNINGS
    value = seen[column]
    known = [earlier for earlier in before if earlier[column] is not None]
    last = next((each for each in reversed(known) if not is_money or each["currency"] == seen["currency"]), None)
    if value is None:
        last, base, note = None, None, f"Unknown on {seen['snapshot_date']}: no source told it."
    elif not is_money and (broken := _break(column, seen, last or (before[-1] if before else None), breaks)):
        base, note = None, f"Not compared across {broken['first_day']}: {broken['reason']}"
    elif last is not None:
        base, note = last[column], _of_comparison(column, seen, last)
    elif is_money and known:
        base, note = None, f"The currency was {known[-1]['currency']} before: an opening balance in {seen['currency']}."
    else:
        base, note = _first_sight(post, is_money=is_money)
    difference = None if value is None or base is None else value - base
    stored = row[metric] if row else None
    return Comparison(
        metric=metric,
        value=value,
        base_date=last["snapshot_date"] if last else None,
        base=last[column] if last else base,
        difference=difference,
        stored=stored,
        currency=seen["currency"] if is_money and value is not None else None,
        agrees=row is not None and stored == difference,
        note=note,
    )


def _break(column: str, seen: Row, since: Row | None, breaks: Sequence[Row]) -> Row | None:
    """The last definition break of a counter since it was last known, or else since the snapshot before."""
    if since is None:
        return None
    first, day = since["snapshot_date"], seen["snapshot_date"]
    between = [each for each in breaks if each["metric"] == column and first < each["first_day"] <= day]
    return between[-1] if between else None


def _of_comparison(column: str, seen: Row, last: Row) -> str:
    span = (seen["snapshot_date"] - last["snapshot_date"]).days
    gap = f"Over {span} days: unknown in between. " if span > 1 else ""
    fall = "The counter fell: the platform took something back." if seen[column] < last[column] else ""
    return (gap + fall).strip()


def _first_sight(post: PostFacts, *, is_money: bool) -> tuple[Number | None, str]:
    """The base of a first value, and why."""
    if post.counts_from_zero:
        return 0, f"Counted from 0: published {post.published_on}; its site is captured since {post.first_captured}."
    if is_money and post.pays_opening:
        return 0, "Counted from 0: the site's setting pay_opening_balance is true."
    published = f"published {post.published_on}, before its site was first captured"
    return None, f"Opening balance: first value of a post {published if post.published_on else 'without publish time'}."


def _post(connection: Connection, post_id: str, timezone: ZoneInfo) -> PostFacts:
    values = {"post_id": post_id, "timezone": timezone.key}
    row = connection.execute(query("explain.post"), values).fetchone()
    if row is None:
        message = f'There is no post "{post_id}": `cg deltas show --by post` lists ids, such as facebook_1234567890.'
        raise NotFound(message)
    return PostFacts(**row)


def _nothing_known(connection: Connection, post_id: str, start: date, last_day: date) -> NotFound:
    known = connection.execute(query("explain.captured_between"), {"post_id": post_id}).fetchone() or {}
    window = f"on {start}" if start == last_day else f"from {start} to {last_day}"
    there = f"there are some from {known['first']} to {known['last']}" if known["first"] else "there is none at all"
    return NotFound(
        f"There is no snapshot of {post_id} {window}, so no delta; {there}: choose another day (`cg deltas show "
        f"--by post --post {post_id}` lists them), or capture that one."
    )


def _days(connection: Connection, post: PostFacts, start: date, end: date, rows: Mapping[date, Row]) -> list[DayDelta]:
    """The days of the window with a snapshot, and those whose row is left over from one that was withdrawn."""
    history = connection.execute(query("explain.history"), {"post_id": post.post_id, "end": end}).fetchall()
    breaks = connection.execute(query("explain.breaks"), {"platform": post.platform}).fetchall()
    found = {
        day: DayDelta(day, rows.get(day), compare(history[: number + 1], post, breaks, rows.get(day)))
        for number, day in enumerate(row["snapshot_date"] for row in history)
        if day >= start
    }
    withdrawn = {day: DayDelta(day, row, []) for day, row in rows.items() if day not in found}
    return [each for _, each in sorted((found | withdrawn).items())]


def _sums(days: Sequence[DayDelta], own: Row | None) -> list[Sum]:
    rows = [day.row for day in days if day.row]
    currencies = {row["currency"] for row in rows} - {None}
    sums = []
    for metric in (EARNINGS, OPENING, *[name for name in COMPARED if name != EARNINGS]):
        known = [row[metric] for row in rows if row[metric] is not None]
        addable = known and (len(currencies) < 2 or metric not in {EARNINGS, OPENING})
        total, stored = sum(known[1:], known[0]) if addable else None, own[metric] if own else None
        sums.append(Sum(metric, len(known), total, stored, own is not None and total == stored))
    return sums


def _snapshots(
    connection: Connection, post_id: str, days: Sequence[date], logs: Collection[UUID]
) -> tuple[list[SnapshotFacts], list[Payload]]:
    rows = connection.execute(query("explain.snapshots"), {"post_id": post_id, "days": list(days)}).fetchall()
    facts, excerpts = [], []
    for row in rows:
        values = {name: row[name] for name in COMPARED.values() if row[name] is not None}
        log = row["sync_log_id"]
        capture = str(log) if log in logs else f"{log}, whose log is pruned" if log else "not noted"
        told = {name: row[name] for name in ("currency", "observed_at", "layers", "restatements")}
        facts.append(SnapshotFacts(row["snapshot_date"], sorted(row["raw_data"]), values, **told, capture=capture))
        excerpts += payloads(row["snapshot_date"], row["raw_data"], values)
    return facts, excerpts


def _captures(connection: Connection, post: PostFacts, days: Sequence[date]) -> list[Row]:
    """The captures of these days that may have told of the post, a line each."""
    values = {"post_id": post.post_id, "native_id": post.native_id, "days": list(days)}
    return [*connection.execute(query("explain.captures"), values)]


def _answers(connection: Connection, post: PostFacts, captures: Sequence[Row]) -> list[Row]:
    """The answers from which the rows were written, as far as they are kept."""
    readings = [capture["reading_id"] for capture in captures if capture["wrote_the_row"] and capture["reading_id"]]
    values = {"readings": readings, "native_id": post.native_id}
    rows = connection.execute(query("explain.answers"), values).fetchall()
    return [{**row, "request": around(row["request"], post.native_id)} for row in rows]


def _disagreements(
    post: PostFacts, kind: Kind, own: Row | None, days: Sequence[DayDelta], sums: Sequence[Sum]
) -> list[str]:
    """What of the stored rows is not as the snapshots say, in words."""
    found = []
    for each in days:
        where = f"{each.day}"
        if each.row is None:
            found.append(f"{where}: there is a snapshot, but no daily delta")
        elif not each.metrics:
            found.append(f"{where}: there is a daily delta, but no snapshot")
        else:
            found += [f"{where}: {m.metric} is {m.stored}, the snapshots say {m.difference}"
                      for m in each.metrics if not m.agrees]  # fmt: skip
            if each.row["artist"] != post.artist:
                was, now = each.row["artist"] or "nobody", post.artist or "nobody"
                found.append(f"{where}: it was computed for {was}, the post belongs to {now}")
    if kind is not Kind.DAILY and own is None:
        found.append(f"there is no {kind} delta")
    elif own is not None:
        found += [f"{kind}: {s.metric} is {s.stored}, its days add up to {s.total}" for s in sums if not s.agrees]
    return found
