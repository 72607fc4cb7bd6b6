"""One site, one day: read from its platform, or from the answers of earlier readings, and merged in one transaction.

Which sites and days is decided in `platform_day`, what is asked in `platforms`, how rows become snapshots in `staging`.
"""

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from psycopg.errors import DeadlockDetected, UniqueViolation
from psycopg.types.json import Jsonb

from cg_pipeline.capture import readings, staging
from cg_pipeline.capture.access import ConnectedSite, Platforms
from cg_pipeline.capture.asof import is_open
from cg_pipeline.capture.observation import Observation
from cg_pipeline.capture.observe import Sight, fold, see
from cg_pipeline.capture.readings import Answers, Log, NoNetwork
from cg_pipeline.capture.tokens import SiteTokens
from cg_pipeline.errors import CgError, CreditsDepleted, Disconnected, NotFound, Throttled, Transient
from cg_pipeline.platforms.contract import Connector, Reading
from cg_pipeline.platforms.http import Caller
from cg_pipeline.platforms.registry import Retired
from cg_pipeline.warehouse.database import Connection
from cg_pipeline.warehouse.sql import query


@dataclass
class SiteReport:
    """How the capture of one site ended.

    `status`: completed; fresh (it was done already); partial (it goes on by itself when it is run again later); failed
    (a person is needed); paused (nobody wants it); missing (nothing is stored of a day that is over). Of a site that is
    not completed nothing has landed.
    """

    site: str
    status: str
    message: str | None = None
    posts: int = 0
    changed: int = 0
    quarantined: int = 0
    requests: int = 0
    minimum: int = 0
    retries: int = 0


class _Pass:
    """One pass over one site: what captures and replays have in common."""

    def __init__(self, platforms: Platforms, connector: Connector, site: ConnectedSite, day: date) -> None:
        self.platforms, self.connector, self.site, self.day = platforms, connector, site, day
        self.clock, self.warehouse, self.zone = platforms.clock, platforms.warehouse, platforms.settings.timezone
        self.report = SiteReport(site.name, "completed")

    def reading(self, caller: Caller, log: Log, premises: dict[str, Any]) -> Reading:
        """The reading that belongs to a log."""
        retired = {(metric, media): message for metric, media, message in premises.get("retired", [])}
        return Reading(
            caller=caller,
            base_url=self.platforms.address(self.site.platform),
            platform_id=self.site.platform_id,
            username=self.site.platform_username,
            day=self.day,
            started_at=log.read_at,
            is_open_day=is_open(self.day, log.read_at, self.zone),
            retired=Retired(retired),
            scope=premises.get("scope"),
            currency=self.site.currency,
            demographics=premises.get("demographics", False),
        )

    def lock(self, connection: Connection) -> bool:
        """Whether nobody else captures or replays the site, for as long as the connection lasts."""
        row = connection.execute(query("platforms.lock_capture"), {"site_id": self.site.id}).fetchone()
        return bool(row and row["locked"])

    def merge(self, connection: Connection, log: Log, seen: Iterable[Observation], *, replace: bool = False) -> None:
        """Stage and merge what was seen, in the caller's transaction."""
        staging.create(connection)
        staging.stage(connection, self.site.platform, 1, seen)
        capture = staging.Capture(
            day=self.day, source=self.site.platform, timezone=self.zone, started_at=log.read_at,
            now=self.clock.now(), replace=replace, only_site=self.site.id, observed_at=log.read_at, log_id=log.id,
            closing_grace=self.platforms.settings.closing_grace,
        )  # fmt: skip
        merged = staging.merge(connection, capture)
        self.report.posts, self.report.quarantined = merged.files.get(1, (0, 0))
        self.report.changed = merged.changed

    def end(self, connection: Connection, log: Log, details: Any = None) -> None:
        """End the log as the report says."""
        report = self.report
        values = {
            "log_id": log.id, "status": report.status, "now": self.clock.now(), "processed": report.posts,
            "failed": report.quarantined, "requests": report.requests, "message": report.message,
            "details": Jsonb(details) if details else None,
        }  # fmt: skip
        connection.execute(query("platforms.end_log"), values)

    def native_ids(self, posts: Iterable[str]) -> list[str]:
        """The platform's own ids of posts, in order."""
        return sorted(post.removeprefix(f"{self.site.platform}_") for post in posts)

    def absent(self, premises: dict[str, Any]) -> list[str]:
        """Which posts earlier listings have missed."""
        return self.native_ids(premises.get("absent", []))

    def say(self, status: str, message: str) -> SiteReport:
        """The report with this outcome."""
        self.report.status, self.report.message = status, message
        return self.report


class SiteCapture(_Pass):
    """One capture over the network."""

    def __init__(
        self,
        platforms: Platforms,
        connector: Connector,
        site: ConnectedSite,
        day: date,
        landed: Callable[[Connection], None] | None = None,
    ) -> None:
        """`landed` is called in the transaction in which what was read lands: given for events that asked for it."""
        super().__init__(platforms, connector, site, day)
        self.landed = landed

    def run(self, posts: Sequence[str], depleted: Event, *, again: bool) -> SiteReport:
        """Capture the site, or these posts of it. Whatever goes wrong is its own: it ends its log and its report."""
        try:
            with self.warehouse.connect() as held:
                held.autocommit = True
                held.execute(query("platforms.do_not_wait_for_disk"))
                if not self.lock(held):
                    return self.say("partial", "Another capture of the site is under way.")
                # Whoever had begun them is dead: nobody else could hold the lock.
                held.execute(query("platforms.abandon_logs"), {"site_id": self.site.id, "now": self.clock.now()})
                if self._may_ask(held, depleted, is_wanted=again or bool(posts)):
                    self._read_and_land(held, self.native_ids(posts), depleted)
        except Exception as problem:  # the others must go on, whatever it is
            self.say("failed", f"{type(problem).__name__}: {problem}")
        return self.report

    def _may_ask(self, held: Connection, depleted: Event, *, is_wanted: bool) -> bool:
        """Whether something should be asked now; else the report says why not."""
        site, now = self.site, self.clock.now()
        settled = self.day + timedelta(days=self.connector.settling_days)
        if site.sync_status == "paused":
            self.say("paused", "The site is paused: resume it with `cg site resume`.")
        elif site.sync_status == "disconnected":
            self.say("failed", "The site is disconnected, its token is dead: connect it again with `cg site token`.")
        elif site.api_quota == 0 and site.api_quota_reset is not None and now < site.api_quota_reset:
            self.say("partial", f"The quota is used up until {_utc(site.api_quota_reset)}; nothing was asked.")
        elif depleted.is_set():
            self.say("partial", "The app has no credits left: nothing more was asked.")
        elif not is_wanted and readings.is_done(held, site.id, self.day, settled, now, self.zone):
            self.say("fresh", "Captured already; run with `again` to ask anyway.")
        else:
            return True
        return False

    def _read_and_land(self, held: Connection, wanted: list[str], depleted: Event) -> None:
        kind, scope = ("incremental", ",".join(wanted)) if wanted else ("full", None)
        kind = "webhook" if self.landed else kind
        log = readings.begin(held, self.site.id, kind, self.day, scope, self.clock.now())
        tokens = SiteTokens(self.platforms, self.site)
        answers = Answers(held, log.reading_id, self.clock.now, tokens.hide)
        caller = Caller(
            self.platforms.transport, self.clock, self.connector, tokens, answers, sleep=self.platforms.sleep
        )
        try:
            premises = answers.premises(lambda: self._premises(held))
            reading, note = self.reading(caller, log, premises), partial(self._note, held, log, caller)
            sight = see(self.connector, reading, wanted, self.absent(premises), note)
            self._land(log, reading, sight, is_full=not wanted)
        except Exception as problem:  # a mapping that stumbles over an answer is this site's matter too
            answers.drop_last()
            if isinstance(problem, CreditsDepleted):
                depleted.set()
            self._give_up(held, log, caller, problem, tokens)
        finally:
            usage = caller.usage
            if usage.quota_left is not None:
                quota = {"site_id": self.site.id, "left": usage.quota_left, "reset": usage.quota_reset}
                held.execute(query("platforms.note_quota"), quota)

    def _note(self, held: Connection, log: Log, caller: Caller, page: int, posts: int) -> None:
        """How far the listing has been read."""
        values = {"log_id": log.id, "processed": posts, "requests": caller.usage.requests, "cursor": f"page {page}"}
        held.execute(query("platforms.note_progress"), values)

    def _premises(self, held: Connection) -> dict[str, Any]:
        """What decides what is asked, besides answers: a resumed reading, or a replay, must go by the same."""
        retired = held.execute(query("platforms.retired_metrics"), {"platform": self.site.platform}).fetchall()
        absent = held.execute(query("platforms.absent_posts"), {"site_id": self.site.id, "day": self.day}).fetchall()
        return {
            "scope": self.site.scope,
            "demographics": self.site.demographics,
            "retired": [[row["metric"], row["media"], row["message"]] for row in retired],
            "absent": [row["post_id"] for row in absent],
        }

    def _land(self, log: Log, reading: Reading, sight: Sight, *, is_full: bool) -> None:
        """Merge, note who is missing and what was retired, end the log: in one transaction, with everything read."""
        self._count(reading.caller, len(sight.observations))
        if reading.demographics:
            measured = sum("metrics" in seen.raw for seen in sight.observations)
            self.report.minimum += self.connector.calls_for_demographics * measured
        try:
            self._write(log, reading, sight, is_full=is_full)
        except (DeadlockDetected, UniqueViolation):
            # Another site has written the same post, or marked the same windows, at the same moment.
            self._write(log, reading, sight, is_full=is_full)

    def _write(self, log: Log, reading: Reading, sight: Sight, *, is_full: bool) -> None:
        platform, now, site_id = self.site.platform, self.clock.now(), self.site.id
        with self.warehouse.connect() as connection:
            self.merge(connection, log, sight.observations)
            presence = {
                "site_id": site_id, "day": self.day, "now": now, "read_at": log.read_at, "oldest": sight.oldest,
                "seen": [seen.post_id for seen in sight.observations],
                "gone": [f"{platform}_{native_id}" for native_id in sight.gone],
                "lists_all": self.connector.lists_all, "fleeting": sorted(self.connector.fleeting),
            }  # fmt: skip
            connection.execute(query("platforms.revive"), presence)
            connection.execute(query("platforms.note_seen"), presence)
            connection.execute(query("platforms.remove"), presence)
            if is_full:
                connection.execute(query("platforms.note_missed"), presence)
            for (metric, media), message in sorted(reading.retired.new.items()):
                values = {"platform": platform, "metric": metric, "media": media, "message": message, "now": now}
                connection.execute(query("platforms.retire_metric"), values)
            account = {
                name: value for name, value in asdict(sight.account).items() if name not in {"raw", "platform_id"}
            }
            connection.execute(query("platforms.update_site"), account | {"site_id": site_id, "now": now})
            self.end(connection, log)
            if self.landed:
                self.landed(connection)

    def _give_up(self, held: Connection, log: Log, caller: Caller, problem: Exception, tokens: SiteTokens) -> None:
        """End the log as partial (it may go on by itself later) or failed (a person is needed); nothing has landed."""
        self._count(caller, 0)
        waits = isinstance(problem, Transient | CreditsDepleted)
        message, details = str(problem), {"error": type(problem).__name__}
        if not isinstance(problem, CgError):
            details["where"] = _place_of(problem)
            message = f"{type(problem).__name__} at {details['where']}: {problem}. This is a mistake of the pipeline."
        if isinstance(problem, Throttled) and problem.retry_at is not None:
            message += f" Waits until {_utc(problem.retry_at)}."
            caller.usage.quota_left, caller.usage.quota_reset = 0, problem.retry_at
        self.say("partial" if waits else "failed", tokens.hide(message))
        if not waits:
            status = "disconnected" if isinstance(problem, Disconnected) else "error"
            values = {"site_id": self.site.id, "status": status, "now": self.clock.now()}
            held.execute(query("platforms.note_status"), values)
        self.end(held, log, details)

    def _count(self, caller: Caller, posts: int) -> None:
        self.report.requests, self.report.retries = caller.usage.requests, caller.usage.retries
        self.report.minimum = self.connector.minimum_calls(posts) if posts else 0


class SiteReplay(_Pass):
    """The readings of a day once more, from their answers."""

    def run(self) -> SiteReport:
        """Merge the day of the site as if it had just been read; what stands there of it and is not seen goes.

        Where answers are missing the day stays as it is, and the report says so.
        """
        try:
            with self.warehouse.connect() as connection:
                if not self.lock(connection):
                    return self.say("partial", "A capture of the site is under way.")
                self._replay(connection)
        except Exception as problem:  # the others must go on, whatever it is
            self.report = SiteReport(self.site.name, "failed", str(problem))
        return self.report

    def _replay(self, connection: Connection) -> None:
        values = {"site_id": self.site.id, "day": self.day}
        rows = connection.execute(query("platforms.landed_readings"), values).fetchall()
        newest = next((row for row in reversed(rows) if row["scope"] is None), None)
        if newest is None:
            message = f"No answers are kept of {self.day}: the day stays as it is."
            raise NotFound(message)
        start = {"sync_type": "full", "now": self.clock.now()}
        begun = connection.execute(query("platforms.start_log"), {**values, **start, **newest}).fetchone() or {}
        log = Log(begun["id"], newest["reading_id"], rows[-1]["read_at"])
        seen: dict[str, Observation] = {}
        for row in rows:
            for each in self._sight(connection, row).observations:
                former = seen.get(each.post_id)
                seen[each.post_id] = fold(former, each) if former else each
        self.merge(connection, log, seen.values(), replace=True)
        self.end(connection, log, {"replayed": True})

    def _sight(self, connection: Connection, row: dict[str, Any]) -> Sight:
        """What one reading saw."""
        log = Log(row["reading_id"], row["reading_id"], row["read_at"])
        answers, nothing = Answers(connection, log.reading_id, self.clock.now), NoNetwork()
        premises = answers.premises(dict)
        reading = self.reading(Caller(nothing, self.clock, self.connector, nothing, answers), log, premises)
        wanted = row["scope"].split(",") if row["scope"] else []
        return see(self.connector, reading, wanted, self.absent(premises))


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _place_of(problem: Exception) -> str:
    frame = traceback.extract_tb(problem.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"
