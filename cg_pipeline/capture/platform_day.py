"""Captures one day of one platform: all its connected sites side by side, each read once and merged in one transaction.

How one site is captured is in `site_day`. A site that fails never stops the others.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from threading import Event
from time import perf_counter
from typing import Any
from uuid import UUID

from cg_pipeline import progress
from cg_pipeline.capture.access import ConnectedSite, Platforms, connected_sites
from cg_pipeline.capture.asof import ALTERNATIVES, require_as_of
from cg_pipeline.capture.site_day import SiteCapture, SiteReplay, SiteReport
from cg_pipeline.errors import NotAsOf, NotFound
from cg_pipeline.platforms.connectors import connector
from cg_pipeline.platforms.contract import Connector
from cg_pipeline.warehouse.database import Connection
from cg_pipeline.warehouse.migrate import ensure_partitions
from cg_pipeline.warehouse.sql import query

MISSING = "missing"
"""The status of a site in the report of a closed day of which nothing is stored, and nobody can be asked."""


@dataclass(frozen=True)
class Scope:
    """What to capture: these sites (none: all that are connected), of these posts (none: all), even if it is done."""

    sites: Sequence[str] = ()
    posts: Sequence[str] = ()
    again: bool = False


@dataclass(frozen=True)
class Part:
    """Posts of one site (none: all of them) that are read in one pass, because events asked for it.

    `landed` is called in the transaction in which they land, `failed` with the reason when they do not.
    """

    site_id: UUID
    posts: Sequence[str]
    landed: Callable[[Connection], None]
    failed: Callable[[str], None]


@dataclass
class PlatformReport:
    """How the capture of a day ended, a line per site. `retired`: the metrics that were refused for the first time."""

    platform: str
    day: date
    sites: list[SiteReport] = field(default_factory=list)
    retired: list[dict[str, Any]] = field(default_factory=list)
    preview: list[dict[str, Any]] = field(default_factory=list)
    rows_of_day: int = 0
    seconds: float = 0

    @property
    def incomplete(self) -> list[SiteReport]:
        """The sites of which something is missing."""
        return [site for site in self.sites if site.status in {"partial", "failed", MISSING}]


def capture_platform(platforms: Platforms, platform: str, day: date, scope: Scope | None = None) -> PlatformReport:
    """Bring the snapshots of a day in line with what the platform tells of its sites.

    Raises, before any request, NotAsOf for a day of which the platform cannot tell, NotFound for a site or post that
    there is not, ConfigError without keys for the tokens. Every other problem belongs to its site: it ends that site's
    sync log as partial or failed, and the report says so.
    """
    began, report, wanted, depleted = perf_counter(), PlatformReport(platform, day), scope or Scope(), Event()
    made = _may_capture(platforms, platform, day)
    with platforms.warehouse.connect() as connection:
        sites = connected_sites(connection, platform, wanted.sites)
        posts = _posts_by_site(connection, sites, wanted)
    if sites:
        platforms.require_keys()

    def capture(site: ConnectedSite) -> list[SiteReport]:
        return [SiteCapture(platforms, made, site, day).run(posts[site.id], depleted, again=wanted.again)]

    asked = [site for site in sites if posts[site.id]] if wanted.posts else sites
    return _capture(platforms, report, asked, capture, began)


def capture_parts(platforms: Platforms, platform: str, day: date, parts: Sequence[Part]) -> PlatformReport:
    """Read these posts of these sites again, whether or not the day is done; each part lands or fails by itself.

    The parts of a site are read one after the other. Raises what `capture_platform` raises before any request.
    """
    began, report, depleted = perf_counter(), PlatformReport(platform, day), Event()
    made, of_site = _may_capture(platforms, platform, day), defaultdict(list)
    for part in parts:
        of_site[part.site_id].append(part)
    with platforms.warehouse.connect() as connection:
        sites = [site for site in connected_sites(connection, platform) if site.id in of_site]
    if sites:
        platforms.require_keys()

    def capture(site: ConnectedSite) -> list[SiteReport]:
        return list(_capture_site_parts(platforms, made, site, day, of_site[site.id], depleted))

    for gone in of_site.keys() - {site.id for site in sites}:
        for part in of_site[gone]:
            part.failed("The site is not connected: connect it with `cg site token`.")
    return _capture(platforms, report, sites, capture, began)


def _capture_site_parts(
    platforms: Platforms, made: Connector, site: ConnectedSite, day: date, parts: Sequence[Part], depleted: Event
) -> Iterator[SiteReport]:
    """Read the parts in turn. Once the site has to wait for something, so have those that are left."""
    waits_for: str | None = None
    for part in parts:
        if waits_for is not None:
            part.failed(waits_for)
            continue
        done = SiteCapture(platforms, made, site, day, part.landed).run(part.posts, depleted, again=True)
        yield done
        if done.status != "completed":
            reason = done.message or done.status
            part.failed(reason)
            waits_for = reason if done.status == "partial" else None


def _may_capture(platforms: Platforms, platform: str, day: date) -> Connector:
    """The connector, after everything that may forbid to ask. Makes room for the day's rows."""
    made, settings, now = connector(platform), platforms.settings, platforms.clock.now()
    require_as_of(platform, made.as_of, day, now, settings.timezone, settings.closing_grace)
    ensure_partitions(platforms.warehouse, day, day)
    return made


def _capture(
    platforms: Platforms,
    report: PlatformReport,
    sites: Sequence[ConnectedSite],
    capture: Callable[[ConnectedSite], list[SiteReport]],
    began: float,
) -> PlatformReport:
    """Capture the sites side by side, and complete the report."""
    now, settings = platforms.clock.now(), platforms.settings
    with platforms.warehouse.connect() as connection:
        known = _retired(connection, report.platform)
        connection.execute(query("platforms.forget_answers"), {"before": now - settings.answers_kept})
    with ThreadPoolExecutor(settings.sites_at_once) as pool:
        for done in pool.map(capture, sites):
            report.sites += done
            progress.report(f"{report.platform} {report.day}", len(report.sites))
    with platforms.warehouse.connect() as connection:
        report.retired = [row for row in _retired(connection, report.platform) if row not in known]
        _look_at(connection, report)
    report.seconds = round(perf_counter() - began, 3)
    return report


def replay_platform(platforms: Platforms, platform: str, day: date, scope: Scope | None = None) -> PlatformReport:
    """Read a day again from the answers that are stored, without any request: after a mapping was corrected.

    What the mapping no longer fills is taken back. A site of whose day no answers are kept is reported as failed and
    stays as it is. Raises NotFound for a site that there is not.
    """
    began, report, made = perf_counter(), PlatformReport(platform, day), connector(platform)
    with platforms.warehouse.connect() as connection:
        sites = connected_sites(connection, platform, (scope or Scope()).sites)
    for site in sites:
        report.sites.append(SiteReplay(platforms, made, site, day).run())
        progress.report(f"{platform} {day}", len(report.sites))
    with platforms.warehouse.connect() as connection:
        _look_at(connection, report)
    report.seconds = round(perf_counter() - began, 3)
    return report


def bring_in_line(platforms: Platforms, platform: str, day: date, scope: Scope | None = None) -> PlatformReport:
    """Capture the day; where the platform can no longer tell of it, restore it from the answers that are stored.

    Raises what `capture_platform` raises; NotAsOf only where no answers of the sites are stored either.
    """
    wanted = scope or Scope()
    try:
        return capture_platform(platforms, platform, day, wanted)
    except NotAsOf:
        with platforms.warehouse.connect() as connection:
            sites = connected_sites(connection, platform, wanted.sites)
            stored = restorable_days(connection, [site.id for site in sites], day, day)
        if wanted.posts or not stored:
            raise
    return _restore(platforms, platform, day, sites, {site_id for site_id, _ in stored})


def restorable_days(connection: Connection, sites: Sequence[UUID], first: date, last: date) -> set[tuple[UUID, date]]:
    """The days of sites that can be restored: answers of a full capture that landed are stored."""
    values = {"sites": list(sites), "first": first, "last": last}
    return {(row["site_id"], row["day"]) for row in connection.execute(query("backfill.restorable_days"), values)}


def _restore(
    platforms: Platforms, platform: str, day: date, sites: Sequence[ConnectedSite], stored: set[UUID]
) -> PlatformReport:
    """Replay the sites of which answers are stored; of the others nothing is written, and the report says so."""
    kept = [str(site.id) for site in sites if site.id in stored]
    report = replay_platform(platforms, platform, day, Scope(kept))
    message = (
        f"Nothing is stored of {day}, and {platform} only tells today's counters: nothing was written. {ALTERNATIVES}"
    )
    report.sites += [SiteReport(site.name, MISSING, message) for site in sites if site.id not in stored]
    return report


def _posts_by_site(connection: Connection, sites: Sequence[ConnectedSite], scope: Scope) -> dict[UUID, list[str]]:
    """Whose posts those in the scope are. One that is new belongs to the one site that is named with it.

    Raises NotFound for posts that are of none of the sites: asking all would find posts of other people.
    """
    found: dict[UUID, list[str]] = {site.id: [] for site in sites}
    strangers: list[str] = []
    only = sites[0] if len(sites) == 1 and scope.sites else None
    for row in connection.execute(query("platforms.owners"), {"posts": list(scope.posts)}):
        is_new_of_only = row["site_id"] is None and only and row["post_id"].startswith(f"{only.platform}_")
        owner = only.id if only and is_new_of_only else row["site_id"]
        found.get(owner, strangers).append(row["post_id"])
    if strangers:
        message = f"None of the sites is known to have {', '.join(strangers)}: name the one site that has new posts."
        raise NotFound(message)
    return found


def _retired(connection: Connection, platform: str) -> list[dict[str, Any]]:
    return connection.execute(query("platforms.retired_metrics"), {"platform": platform}).fetchall()


def _look_at(connection: Connection, report: PlatformReport) -> None:
    """What the day holds now."""
    day = {"day": report.day, "source": report.platform}
    report.preview = connection.execute(query("capture.preview"), day).fetchall()
    report.rows_of_day = (connection.execute(query("capture.count_day"), day).fetchone() or {})["rows"]
