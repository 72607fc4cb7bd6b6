"""Loads one day of the CSV inbox: reads what has arrived, refuses what cannot be used, merges the rest at once.

What a heading means is known in `layouts`, which files are due in `csv_files`, how rows become snapshots in `staging`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from time import perf_counter
from typing import Any
from uuid import UUID

from cg_pipeline.capture import csv_files, staging, tables
from cg_pipeline.capture.csv_files import KnownFile
from cg_pipeline.capture.inbox import Inbox
from cg_pipeline.capture.layouts.base import BoundLayout, Context, Layout
from cg_pipeline.capture.layouts.mapped import ColumnMapping, layout_of
from cg_pipeline.capture.layouts.registry import recognise
from cg_pipeline.capture.observation import Observation, Page, Rejected
from cg_pipeline.clock import Clock, today
from cg_pipeline.config import Settings
from cg_pipeline.errors import ConfigError, FileRefused
from cg_pipeline.warehouse.database import Connection, Warehouse
from cg_pipeline.warehouse.migrate import ensure_partitions
from cg_pipeline.warehouse.sql import query

SOURCE = "csv"
PROGRESS_EVERY = 2_000

Progress = Callable[[str, int], None]
"""Called every so often while a file is read, with its name and the number of rows read."""


@dataclass
class FileReport:
    """What became of one file. `message` says why it was refused, or what to know of it."""

    name: str
    status: str
    layout: str | None = None
    rows_read: int = 0
    rows_loaded: int = 0
    rows_quarantined: int = 0
    message: str | None = None


@dataclass
class DayReport:
    """What loading a day did: a line per file that was read and per site that has rows in them."""

    day: date
    files: list[FileReport] = field(default_factory=list)
    sites: list[dict[str, Any]] = field(default_factory=list)
    changed_snapshots: int = 0
    changed_posts: int = 0
    files_of_day: int = 0
    rows_of_day: int = 0
    preview: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0

    @property
    def refused(self) -> list[FileReport]:
        """The files that could not be taken."""
        return [file for file in self.files if file.status == "refused"]


@dataclass(frozen=True)
class Site:
    """What the reader of a file has to know of a site."""

    id: UUID
    page: Page
    settings: Mapping[str, str]


def load_day(
    warehouse: Warehouse,
    inbox: Inbox,
    day: date,
    settings: Settings,
    clock: Clock,
    *,
    reload: bool = False,
    progress: Progress = lambda _name, _rows: None,
) -> DayReport:
    """Bring the snapshots of a day in line with its folder in the inbox.

    Files are taken in order of arrival, a later one overwriting with what it knows. All that a run changes becomes
    visible at once; a run that is cut off changed nothing, and the next one does it all. `reload` reads all files
    again, after a setting or a mapping has changed. Raises ConfigError for a day that lies in the future, NotFound when
    a rebuild needs a file that has gone.
    """
    if day > today(clock, settings.timezone):
        message = f"{day} lies in the future: counters can only be known as of a day that has come."
        raise ConfigError(message)
    began = perf_counter()
    with warehouse.connect() as connection:
        csv_files.register(connection, inbox, day, clock.now())  # noted even where loading fails: the order of arrival
    with warehouse.connect() as connection:
        csv_files.lock(connection, day)
        files = csv_files.known(connection, day)
        plan = csv_files.plan(files, {file.name for file in inbox.folder(day)}, reload=reload)
        report = DayReport(day, files_of_day=sum(file.status not in {"replaced", "withdrawn"} for file in files))
        if plan.files or plan.rebuild:
            ensure_partitions(warehouse, day, day)
            _Load(connection, inbox, day, settings, clock, progress).run(plan, files, report)
    with warehouse.connect() as connection:
        report.preview = connection.execute(query("capture.preview"), {"day": day}).fetchall()
        counted = connection.execute(query("capture.count_day"), {"day": day, "source": SOURCE}).fetchone()
    report.rows_of_day = counted["rows"] if counted else 0
    report.seconds = round(perf_counter() - began, 3)
    return report


def mapping_layout(platform: str, setting: str) -> Layout:
    """The layout that a site's setting `csv_mapping` describes."""
    return layout_of(ColumnMapping.parse(setting), platform)


class _Load:
    """One transaction over the files of a plan."""

    def __init__(
        self, connection: Connection, inbox: Inbox, day: date, settings: Settings, clock: Clock, progress: Progress
    ) -> None:
        self.connection, self.inbox, self.day = connection, inbox, day
        self.settings, self.clock, self.progress = settings, clock, progress
        self.sites = [_site(row) for row in connection.execute(query("sites.with_settings"))]

    def run(self, plan: csv_files.Plan, files: Sequence[KnownFile], report: DayReport) -> None:
        """Stage every file, merge what was staged, and note what became of each."""
        started_at = self.clock.now()
        staging.create(self.connection)
        report.files = [self._stage(number, file) for number, file in enumerate(plan.files, start=1)]
        if plan.rebuild and any(
            line.status == "refused" and csv_files.holds_data(file, files)
            for file, line in zip(plan.files, report.files, strict=True)
        ):
            for line in report.files:
                line.message = f"{line.message or 'Not loaded.'} The day keeps what it held before."
            return
        capture = staging.Capture(
            day=self.day,
            source=SOURCE,
            timezone=self.settings.timezone,
            started_at=started_at,
            now=self.clock.now(),
            file_ids=[file.id for file in plan.files],
            replace=plan.rebuild,
            closing_grace=self.settings.closing_grace,
        )
        merged = staging.merge(self.connection, capture)
        for number, (file, line) in enumerate(zip(plan.files, report.files, strict=True), start=1):
            if line.status == "loaded":
                line.rows_loaded, line.rows_quarantined = merged.files.get(number, (0, 0))
                self.connection.execute(query("csv_files.finish"), vars(line) | {"id": file.id, "now": capture.now})
        if plan.rebuild:
            self.connection.execute(query("csv_files.forget_taken_back"), {"as_of": self.day})
        report.sites, report.changed_snapshots, report.changed_posts = (
            merged.sites,
            merged.changed,
            merged.changed_posts,
        )

    def _stage(self, number: int, file: KnownFile) -> FileReport:
        """Read one file into staging; of a refused one nothing stays there."""
        line = FileReport(file.name, "loaded")
        if file.encoding is None:
            line.status, line.message = "refused", file.message
            return line
        try:
            with self.connection.transaction(), self.inbox.open(self.day, file.name) as stream:
                table = tables.read(stream, file.encoding)
                bound = self._bind(table, file)
                line.layout = bound.layout.name
                line.rows_read = staging.stage(self.connection, SOURCE, number, self._records(table, bound, file))
                self._require_usable_rows(number, line)
        except FileRefused as refusal:
            line.status, line.message, line.rows_read = "refused", str(refusal), 0
            self.connection.execute(query("csv_files.refuse"), vars(line) | {"id": file.id})
        else:
            if file.encoding == "cp1252":
                line.message = "Read as Windows-1252, because it is not UTF-8."
        return line

    def _bind(self, table: tables.Table, file: KnownFile) -> BoundLayout:
        """Find the layout of a file and the site whose rows it holds, where the rows do not say it."""
        told = next((site for site in self.sites if site.id == file.site_id), None)
        mapped = {
            mapping_layout(site.page.platform, site.settings["csv_mapping"]): site
            for site in ([told] if told else self.sites)
            if "csv_mapping" in site.settings
        }
        layout = recognise(table.headings, list(mapped))
        site = told or mapped.get(layout) or self._only_site(layout.platform)
        if layout.period_unknown and (site is None or site.settings.get("csv_period") != "lifetime"):
            raise _period_unknown(site)
        currencies = {
            (site.page.platform, site.page.platform_id): site.settings["currency"]
            for site in self.sites
            if "currency" in site.settings
        }
        context = Context(self.day, self.settings.timezone, site.page if site else None, currencies)
        return layout.bind(table.headings, context)

    def _only_site(self, platform: str) -> Site | None:
        candidates = [site for site in self.sites if site.page.platform == platform]
        return candidates[0] if len(candidates) == 1 else None

    def _records(self, table: tables.Table, bound: BoundLayout, file: KnownFile) -> Iterator[Observation | Rejected]:
        for number, (line, row) in enumerate(table.rows, start=1):
            if record := bound.read(line, row):
                yield record
            if number % PROGRESS_EVERY == 0:
                self.progress(file.name, number)

    def _require_usable_rows(self, number: int, line: FileReport) -> None:
        usable = self.connection.execute(query("capture.usable_rows"), {"file_number": number}).fetchone()
        if line.rows_read and usable and not usable["rows"]:
            problem = f"None of its {line.rows_read} rows can be used; the first {usable['problem']}."
            raise FileRefused(problem, "Export it again, or correct its column mapping.", line=usable["line"])


def _site(row: dict[str, Any]) -> Site:
    page = Page(row["platform"], row["platform_id"], row["name"], row["platform_username"])
    return Site(row["id"], page, row["settings"])


def _period_unknown(site: Site | None) -> FileRefused:
    name = site.page.name if site else "NAME"
    return FileRefused(
        "A table of YouTube Studio does not say which period its totals cover, and only lifetime totals can be used.",
        f'If it was exported with the period Lifetime, say so once with `cg site set "{name}" csv_period lifetime`, '
        f'then import it again with `--site "{name}"`.',
        line=1,
    )
