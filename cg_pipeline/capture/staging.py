"""Takes observations into the staging table and merges them into sites, posts and snapshots, in one transaction.

The source (file or API) is not known here, and no rule of deltas: only that a changed snapshot makes windows stale, and
that what a closed day said before is kept. The statements are in `sql/queries/capture.sql` and `posts.sql`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from cg_pipeline.capture.observation import METRICS, Observation, Rejected
from cg_pipeline.warehouse.database import Connection
from cg_pipeline.warehouse.migrate import MANY_ROWS
from cg_pipeline.warehouse.sql import query

COUNTS = METRICS[:-4]
BREAKDOWNS = METRICS[-4:]  # the columns that hold an object


@dataclass(frozen=True)
class Capture:
    """One merge: which day and source, when it started and when it is written, and the files in their order.

    `replace`: the rows are all that the source has for the day, of `only_site` if given, so that what it said before is
    taken back. `timezone` is the reporting zone, in which a publish time is a day. `observed_at` is when the counters
    were read (default: `now`), `log_id` the sync log that the capture has begun already. Until `closing_grace` after
    its end a day is still being captured: what changes then is no restatement.
    """

    day: date
    source: str
    timezone: ZoneInfo
    started_at: datetime
    now: datetime
    file_ids: Sequence[UUID] = ()
    replace: bool = False
    only_site: UUID | None = None
    observed_at: datetime | None = None
    log_id: UUID | None = None
    closing_grace: timedelta = timedelta(0)

    def values(self) -> dict[str, Any]:
        """The parameters that all statements share."""
        return {
            "day": self.day,
            "source": self.source,
            "timezone": self.timezone.key,
            "started_at": self.started_at,
            "now": self.now,
            "file_ids": list(self.file_ids),
            "replace": self.replace,
            "only_site": self.only_site,
            "observed_at": self.observed_at or self.now,
            "log_id": self.log_id,
            "is_closed": self.day < (self.now - self.closing_grace).astimezone(self.timezone).date(),
        }


@dataclass(frozen=True)
class Merged:
    """What a merge changed: snapshots written or removed, posts whose attributes changed, a line per site, and per file
    how many rows landed and how many went to quarantine."""

    changed: int
    changed_posts: int
    sites: list[dict[str, Any]]
    files: dict[int, tuple[int, int]]


def create(connection: Connection) -> None:
    """Make the staging table; it lasts until the transaction ends."""
    connection.execute(query("capture.work_in_memory"))
    connection.execute(query("capture.create_staging"))


def stage(connection: Connection, source: str, file_number: int, records: Iterable[Observation | Rejected]) -> int:
    """Stream records into the staging table and return how many there were."""
    rows = 0
    with connection.cursor().copy(query("capture.copy_staging")) as copy:
        for record in records:
            row = _landing(record) if isinstance(record, Observation) else _rejected(record)
            copy.write_row((file_number, *row, Jsonb({source: record.raw})))
            rows += 1
    return rows


def merge(connection: Connection, capture: Capture) -> Merged:
    """Merge what is staged: sites, then posts, then snapshots, then the marks on stale windows."""
    return _Merge(connection, capture).run()


def _landing(seen: Observation) -> tuple[Any, ...]:
    page, metrics = seen.page, seen.metrics
    return (
        seen.line, True, seen.problem, seen.problem_column,
        page.platform, page.platform_id, page.name, page.username, seen.post_id, Jsonb(seen.attributes),
        *[metrics.get(name) for name in COUNTS],
        *[Jsonb(metrics[name]) if name in metrics else None for name in BREAKDOWNS],
        seen.currency,
    )  # fmt: skip


def _rejected(row: Rejected) -> tuple[Any, ...]:
    return (row.line, False, row.problem, row.problem_column, *[None] * (6 + len(METRICS) + 1))


class _Merge:
    """The steps of one merge, in their order."""

    def __init__(self, connection: Connection, capture: Capture) -> None:
        self.connection, self.capture, self.values = connection, capture, capture.values()

    def run(self) -> Merged:
        files = self._settle_repeats()
        self._do("capture.recognize_usernames")
        self._do(
            "capture.create_staged_pages", "capture.add_sites", "capture.lock_sites", "capture.create_staged_sites"
        )
        self._do("capture.create_staged_logs", "capture.create_touched")
        self.values |= self._rows("capture.day_has_snapshots")[0]
        counts = self._rows("capture.count_matched")[0]
        self.values |= {"matched": counts["matched"] > 0, "currency_moved": counts["currency_moved"]}
        self._do("capture.create_version_changes")
        if self.capture.replace:
            self._do("capture.withdraw_snapshots")
        changed_posts = self._count("capture.count_version_changes")
        if changed_posts:
            self._merge_posts()
        if counts["matched"]:
            self._do("capture.overwrite_snapshots")
        if counts["layered"]:
            self._do("capture.combine_snapshots")
        if counts["matched"] < counts["staged"]:
            self._do("capture.insert_snapshots")
        changed = self._count("capture.count_touched")
        if changed > MANY_ROWS:
            self._do("partitions.analyze_snapshots")
        if changed and self.values["is_closed"]:
            self._do("restatements.add")
        if changed:
            self._move_posts()
            self._mark([self.capture.day])
            self._mark_later_days()
        self._do("capture.name_sites", "capture.write_sync_logs")
        return Merged(changed, changed_posts, self._rows("capture.report_sites"), files)

    def _settle_repeats(self) -> dict[int, tuple[int, int]]:
        """Quarantine what cannot be used, make one row of several for a post, and count what became of the rows."""
        self._do("capture.clear_quarantine")
        repeats = self._count("capture.count_repeats")
        if repeats:
            self._do("capture.reject_repeats")
        counts = {
            row["file_number"]: (row["landing"], row["quarantined"]) for row in self._rows("capture.count_by_file")
        }
        if repeats or any(quarantined for _, quarantined in counts.values()):
            self._do("capture.quarantine_rows", "capture.drop_rejected")
        if repeats:
            self._do("capture.fold_files")
        return counts

    def _merge_posts(self) -> None:
        self._do("posts.create_changed_posts", "posts.collect_version_changes")
        self._do("posts.create_tag_groups", "posts.collect_tag_groups")
        self._do("capture.add_posts", "posts.add_children")
        self._do("capture.continue_former_versions", "capture.put_versions", "capture.remove_versions")
        self._do("capture.join_equal_versions", "posts.fold_versions")
        self._settle_chains()
        republished = [row["post_id"] for row in self._rows("posts.republished")]
        self._mark(self._days("stale.first_known_days", posts=republished))

    def _move_posts(self) -> None:
        """Posts that two pages report, or whose page got another id: the site of the first snapshot counts."""
        if moved := [row["post_id"] for row in self._rows("posts.find_moved")]:
            self.values["posts"] = moved
            self._do("posts.create_changed_posts", "posts.create_tag_groups", "posts.forget_changed_posts")
            self._do("posts.collect_moved", "posts.collect_tag_groups", "posts.move_to_first_site")
            self._settle_chains()
            self._mark(self._days("stale.first_known_days", posts=moved))

    def _settle_chains(self) -> None:
        """After posts have changed: the chains that they are part of now, and whose they are."""
        self._do("posts.collect_tag_groups", "posts.link_iterations", "posts.recurse_in_little_memory")
        reassigned = [row["post_id"] for row in self._rows("posts.resolve_artists")]
        self._do("capture.work_in_memory")
        self._mark(self._days("stale.delta_days", posts=reassigned))

    def _mark_later_days(self) -> None:
        """The later days whose deltas look back at what changed, or whose first sight is another one now."""
        for site in self._rows("stale.moved_first_days"):
            if site["former_day"] is not None:
                days = sorted((site["former_day"], site["first_day"] or date.max))
                between = {"site_id": site["site_id"], "from_day": days[0], "to_day": days[1]}
                posts = [row["post_id"] for row in self._rows("stale.posts_published_between", **between)]
                self._mark(self._days("stale.first_known_days", posts=posts))
        last_day = self._rows("capture.last_captured_day")[0]["last_day"]
        if last_day is not None and last_day > self.capture.day:
            self._mark(self._days("stale.next_known_days", last_day=last_day))

    def _mark(self, days: Iterable[date]) -> None:
        if marked := list(days):
            self.connection.execute(query("stale.mark"), self.values | {"kind": "daily", "days": marked})

    def _days(self, name: str, **more: Any) -> list[date]:
        return [row["day"] for row in self._rows(name, **more)]

    def _count(self, name: str) -> int:
        return int(self._rows(name)[0]["count"])

    def _rows(self, name: str, **more: Any) -> list[dict[str, Any]]:
        return self.connection.execute(query(name), self.values | more).fetchall()

    def _do(self, *names: str) -> None:
        for name in names:
            self.connection.execute(query(name), self.values)
