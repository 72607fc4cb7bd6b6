"""Missing days: noticing them, deciding which can be repaired, and planning the runs that do it.

Expected is every closed day of every connected site, from the first that was captured. The comparison is set-based, in
`sql/queries/gaps.sql`; the decisions are pure functions. How a day is captured is in `capture`.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from cg_pipeline.config import Settings
from cg_pipeline.warehouse.database import Connection, Warehouse
from cg_pipeline.warehouse.models.enums import GapState
from cg_pipeline.warehouse.sql import query

MOST_ATTEMPTS = 5
MOST_RUNS_A_TICK = 10
RETRY_BASE = timedelta(hours=1)  # doubled by each attempt: five of them outlast a daily quota
NIGHT = timedelta(hours=2)
"""How long after midnight the nightly captures may take, at least, before a day without one is missing."""
LONGEST_CAPTURE = timedelta(hours=6)
"""Of a capture that began earlier and has not ended it is known that it was cut off."""

WHAT_TO_DO = {
    "paused": "The site is paused: resume it with `cg site resume`.",
    "disconnected": "The site is disconnected, its token is dead: connect it again with `cg site token`.",
    "not connected": "The site is no longer connected: connect it with `cg site token`.",
}
"""By a site's status why it cannot be asked, and what to do."""
FILLED = {"capture": "It was captured after all.", "csv": "A CSV export tells it."}


@dataclass(frozen=True)
class Expectation:
    """Which days must be there, from `first` to `last`; which platforms can tell of past ones (`dated`); from which
    day on (`answers_since`) answers are kept."""

    first: date
    last: date
    answers_since: date
    dated: frozenset[str]

    @classmethod
    def of(cls, settings: Settings, now: datetime, dated: frozenset[str]) -> "Expectation":
        """What an installation must have captured by now."""
        last = last_expected(now, settings.timezone, settings.closing_grace)
        return cls(settings.history_start, last, (now - settings.answers_kept).date(), dated)


@dataclass(frozen=True)
class MissingDay:
    """One day of one site: what is known of it besides that it was expected, and the gap that it is taken for so far.

    `filled_by` (capture or csv) says that it is not missing any more. `last_status` and `last_message` are of its
    newest full capture, `has_answers` tells whether the answers of one that landed are kept.
    """

    site_id: UUID
    site: str
    platform: str
    day: date
    filled_by: str | None
    last_status: str | None
    last_message: str | None
    is_under_way: bool
    has_answers: bool
    site_status: str
    quota_until: datetime | None = None
    state: str | None = None
    reason: str | None = None
    attempts: int = 0
    requested_at: datetime | None = None

    def must_wait(self, now: datetime) -> bool:
        """Whether nothing can be asked now: somebody must do something about the site, or its quota is used up."""
        return self.site_status in WHAT_TO_DO or (self.quota_until is not None and now < self.quota_until)

    @property
    def retry_at(self) -> datetime | None:
        """Until when a run that was requested is given time."""
        if self.requested_at is None:
            return None
        return self.requested_at + RETRY_BASE * (1 << max(0, min(self.attempts, MOST_ATTEMPTS) - 1))


@dataclass(frozen=True)
class Decision:
    """What becomes of a missing day."""

    of: MissingDay
    state: GapState
    reason: str

    @property
    def is_news(self) -> bool:
        """Whether it was not known before."""
        return (self.state, self.reason) != (self.of.state, self.of.reason)


@dataclass(frozen=True)
class Repair:
    """One run: a day of a platform, of these sites, from the stored answers (`replay`) or by asking again."""

    platform: str
    day: date
    replay: bool
    sites: tuple[UUID, ...]
    attempt: int
    requested_at: datetime

    @property
    def key(self) -> str:
        """Names the run. With the time, because a site that is late may come to the same attempt of the same day."""
        how = "replay" if self.replay else "capture"
        return f"gap:{self.platform}:{self.day}:{how}:{self.attempt}:{self.requested_at:%Y%m%dT%H%M%S}"


def last_expected(now: datetime, zone: ZoneInfo, grace: timedelta) -> date:
    """The last day that can no longer be captured as usual: its night is over, and the closing grace."""
    midnight = datetime.combine(now.astimezone(zone).date(), time.min, zone)
    # In UTC: between two times of one zone Python counts the hands of the clock, not the hours that pass.
    is_over = now.astimezone(UTC) - midnight.astimezone(UTC) >= max(grace, NIGHT)
    return midnight.date() - timedelta(days=1 if is_over else 2)


def decide(missing: MissingDay, now: datetime, *, dated: bool) -> Decision | None:
    """What becomes of a day; None while a capture of it is under way.

    Repairable: the platform tells of past days (`dated`), or the answers are stored. It is given up after
    `MOST_ATTEMPTS` runs. Whatever is filled later is repaired, lost days too.
    """
    if missing.filled_by:
        return Decision(missing, GapState.REPAIRED, FILLED[missing.filled_by])
    if missing.is_under_way:
        return None
    why = _why(missing)
    if not (dated or missing.has_answers):
        nobody = f"{missing.platform} only tells now, and no answers are stored"
        remedy = "a CSV export with that as-of date would still fill it (`cg csv import --as-of`)."
        return Decision(missing, GapState.LOST, f"{why} {nobody}: {remedy}")
    if missing.retry_at and now < missing.retry_at:
        return Decision(missing, GapState.REQUESTED, f"{why} {_how(missing)}")
    if missing.attempts >= MOST_ATTEMPTS:
        again = f"{missing.attempts} runs have not filled it: repair the cause, then capture the day by hand."
        return Decision(missing, GapState.LOST, f"{why} {again}")
    return Decision(missing, GapState.REPAIRABLE, f"{why} {_how(missing)}")


def plan(decisions: Sequence[Decision], now: datetime) -> list[Repair]:
    """The fewest runs that repair what can be repaired now, newest days first, at most `MOST_RUNS_A_TICK`."""
    together: dict[tuple[str, date, bool], list[MissingDay]] = defaultdict(list)
    for decision in decisions:
        missing = decision.of
        if decision.state is GapState.REPAIRABLE and not missing.must_wait(now):
            together[missing.platform, missing.day, missing.has_answers].append(missing)
    newest_first = sorted(together.items(), key=lambda item: (-item[0][1].toordinal(), item[0]))
    return [
        Repair(*what, tuple(site.site_id for site in sites), 1 + max(site.attempts for site in sites), now)
        for what, sites in newest_first[:MOST_RUNS_A_TICK]
    ]


def notice(connection: Connection, expected: Expectation, now: datetime) -> list[Decision]:
    """Compare the calendar with what was captured and bring the stored gaps in line; takes effect with the caller's
    transaction. Returns what was decided; rows of which nothing is news are not written."""
    values = {
        "first": expected.first,
        "last": expected.last,
        "answers_since": expected.answers_since,
        "under_way_since": now - LONGEST_CAPTURE,
    }
    connection.execute(query("gaps.lock"))
    missing = [MissingDay(**row) for row in connection.execute(query("gaps.facts"), values)]
    decided = [found for day in missing if (found := decide(day, now, dated=day.platform in expected.dated))]
    _write(connection, [decision for decision in decided if decision.is_news], now)
    return decided


def look(warehouse: Warehouse, expected: Expectation, now: datetime) -> list[Decision]:
    """Notice, and commit."""
    with warehouse.connect() as connection:
        return notice(connection, expected, now)


@dataclass(frozen=True)
class Watch:
    """What one tick of the sentinel found: days whose gaps have changed, and the runs that repair."""

    changed: list[date]
    repairs: list[Repair]


def watch(warehouse: Warehouse, expected: Expectation, now: datetime, since: datetime | None = None) -> Watch:
    """Notice, plan the repairs, and note that they are requested, in one transaction.

    The days that are returned have changed after `since`, or ever, whoever has noticed it.
    """
    with warehouse.connect() as connection:
        repairs = plan(notice(connection, expected, now), now)
        for repair in repairs:
            values = {"day": repair.day, "sites": list(repair.sites), "now": now}
            connection.execute(query("gaps.note_request"), values)
        changed = connection.execute(query("gaps.changed_days"), {"since": since}).fetchall()
    return Watch([row["day"] for row in changed], repairs)


def stored(
    warehouse: Warehouse,
    *,
    site_id: UUID | None = None,
    state: str | None = None,
    first: date | None = None,
    last: date | None = None,
) -> list[dict[str, Any]]:
    """The gaps that were noticed, newest days first."""
    values = {"site_id": site_id, "state": state, "first": first, "last": last}
    with warehouse.connect() as connection:
        return connection.execute(query("gaps.stored"), values).fetchall()


def calendar(warehouse: Warehouse, first: date, last: date, platform: str | None = None) -> list[dict[str, Any]]:
    """A line per site, a symbol per day: ■ captured, ○ missing and repairable, ✗ lost, · not expected (yet)."""
    values = {"first": first, "last": last, "platform": platform}
    with warehouse.connect() as connection:
        return connection.execute(query("gaps.calendar"), values).fetchall()


def counts(warehouse: Warehouse) -> list[dict[str, Any]]:
    """How many gaps there are of each state, and the oldest of them."""
    with warehouse.connect() as connection:
        return connection.execute(query("gaps.counts")).fetchall()


def summary(counted: Sequence[dict[str, Any]]) -> str:
    """How many days are missing, in which state, and since when."""
    missing = [row for row in counted if row["state"] != GapState.REPAIRED]
    if not missing:
        return "No day is missing."
    numbers = ", ".join(f"{row['gaps']} {row['state']}" for row in missing)
    return f"Missing days of sites: {numbers}; the oldest {min(row['oldest'] for row in missing)}."


def _write(connection: Connection, news: Sequence[Decision], now: datetime) -> None:
    values = {
        "sites": [decision.of.site_id for decision in news],
        "days": [decision.of.day for decision in news],
        "states": [decision.state for decision in news],
        "reasons": [decision.reason for decision in news],
        "now": now,
    }
    if news:
        connection.execute(query("gaps.write"), values)


def _why(missing: MissingDay) -> str:
    """Why it is missing."""
    match missing.last_status:
        case None:
            return "Nothing was asked."
        case "completed":
            return "It was captured, but its rows are gone."
        case "started":
            return "Its capture was cut off."
        case ended:
            return f"Its capture ended {ended}: {missing.last_message or 'without a message.'}"


def _how(missing: MissingDay) -> str:
    """How it is repaired, or what that waits for."""
    how = "Its answers are stored." if missing.has_answers else "The platform can still tell it."
    return WHAT_TO_DO.get(missing.site_status, how)
