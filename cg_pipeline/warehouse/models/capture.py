"""What was captured: files of the inbox, rows refused, sync logs, answers of platforms, snapshots, and what these said
before a correction."""

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, Numeric, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from cg_pipeline.errors import Permanent
from cg_pipeline.warehouse.models.base import Base, Count, CreatedAt, JsonObject, Money, RowId
from cg_pipeline.warehouse.models.enums import CsvFileStatus, DataSource, Platform, SyncLogStatus, SyncType

if TYPE_CHECKING:
    from cg_pipeline.warehouse.models.posts import Post
    from cg_pipeline.warehouse.models.sites import Site


class CsvFile(Base):
    """One content of one file of the CSV inbox: the same name with other bytes is another row."""

    __tablename__ = "csv_files"

    id: Mapped[RowId] = mapped_column(primary_key=True)
    as_of: Mapped[date] = mapped_column(doc="the day whose counters the file holds")
    name: Mapped[str] = mapped_column(doc="path below the inbox")
    sha256: Mapped[str] = mapped_column(
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256_is_hexadecimal"), doc="digest of the bytes"
    )
    size_bytes: Mapped[Count]
    modified_at: Mapped[datetime] = mapped_column(doc="the file's own time of change")
    arrived_at: Mapped[datetime] = mapped_column(doc="when the pipeline first saw it")
    arrival_number: Mapped[Count] = mapped_column(
        Identity(), unique=True, doc="order of arrival: of two files that disagree the later one wins"
    )
    status: Mapped[CsvFileStatus] = mapped_column(server_default=CsvFileStatus.ARRIVED)
    site_id: Mapped[UUID | None] = mapped_column(ForeignKey("sites.id"), index=True)
    layout: Mapped[str | None] = mapped_column(doc="which known export the headings are")
    encoding: Mapped[str | None]
    rows_read: Mapped[int] = mapped_column(server_default=text("0"))
    rows_loaded: Mapped[int] = mapped_column(server_default=text("0"))
    rows_quarantined: Mapped[int] = mapped_column(server_default=text("0"))
    message: Mapped[str | None] = mapped_column(doc="why the file was refused, or what to know about it")
    loaded_at: Mapped[datetime | None]

    site: Mapped["Site | None"] = relationship()
    quarantined: Mapped[list["Quarantine"]] = relationship(
        back_populates="csv_file",
        cascade="all, delete-orphan",
        passive_deletes=True,
        order_by="Quarantine.line_number",
    )
    sync_logs: Mapped[list["SyncLog"]] = relationship(
        back_populates="csv_file", passive_deletes="all", order_by="SyncLog.started_at"
    )

    __table_args__ = (
        UniqueConstraint("as_of", "name", "sha256"),
        CheckConstraint("status <> 'refused' or message is not null", name="refused_files_say_why"),
        Index(None, "as_of", "status"),
    )


class Quarantine(Base):
    """One row of a file, or one record of a platform, that could not be used, and why."""

    __tablename__ = "quarantine"

    id: Mapped[RowId] = mapped_column(primary_key=True)
    csv_file_id: Mapped[UUID | None] = mapped_column(ForeignKey("csv_files.id", ondelete="CASCADE"), index=True)
    snapshot_date: Mapped[date] = mapped_column(index=True, doc="the day for which it was read")
    line_number: Mapped[int | None] = mapped_column(doc="1 is the first line of the file")
    column_name: Mapped[str | None] = mapped_column(doc="heading of the cell at fault")
    post_id: Mapped[str | None] = mapped_column(doc="the post it speaks of, where that can be told")
    reason: Mapped[str]
    raw_data: Mapped[JsonObject] = mapped_column(doc="the row as it was read")
    created_at: Mapped[CreatedAt]

    csv_file: Mapped["CsvFile | None"] = relationship(back_populates="quarantined")


class SyncLog(Base):
    """One capture of one site: started, and ended once as completed, partial or failed."""

    __tablename__ = "sync_logs"

    id: Mapped[RowId] = mapped_column(primary_key=True)
    site_id: Mapped[UUID] = mapped_column(ForeignKey("sites.id"))
    sync_type: Mapped[SyncType]
    status: Mapped[SyncLogStatus] = mapped_column(server_default=SyncLogStatus.STARTED)
    snapshot_date: Mapped[date | None] = mapped_column(index=True, doc="the day that was captured")
    csv_file_id: Mapped[UUID | None] = mapped_column(ForeignKey("csv_files.id"), index=True)
    started_at: Mapped[datetime] = mapped_column(index=True)
    completed_at: Mapped[datetime | None] = mapped_column(doc="when it ended, however it ended")
    records_processed: Mapped[int] = mapped_column(server_default=text("0"))
    records_failed: Mapped[int] = mapped_column(server_default=text("0"))
    error_message: Mapped[str | None]
    error_details: Mapped[JsonObject | None]
    next_cursor: Mapped[str | None] = mapped_column(doc="the platform's mark of the page to read next")
    reading_id: Mapped[UUID | None] = mapped_column(index=True, doc="the pass over the site that this log is part of")
    read_at: Mapped[datetime | None] = mapped_column(doc="the moment for which the reading asks, in UTC")
    scope: Mapped[str | None] = mapped_column(doc="the posts that were asked for; empty: all")
    requests: Mapped[int] = mapped_column(server_default=text("0"), doc="how many requests were made")

    site: Mapped["Site"] = relationship(back_populates="sync_logs")
    csv_file: Mapped["CsvFile | None"] = relationship(back_populates="sync_logs")

    __table_args__ = (
        CheckConstraint("(status = 'started') = (completed_at is null)", name="ended_logs_have_completed_at"),
        Index(None, "site_id", "status"),
    )

    def mark_completed(self, now: datetime, processed: int | None = None, failed: int | None = None) -> None:
        """End the log: all was captured. A count that is not given stays. Raises Permanent if it has ended."""
        self._end(now, SyncLogStatus.COMPLETED)
        if processed is not None:
            self.records_processed = processed
        if failed is not None:
            self.records_failed = failed

    def mark_partial(self, now: datetime, message: str, details: JsonObject | None = None) -> None:
        """End the log: some was captured; the message says what was not. Raises Permanent if it has ended."""
        self._end(now, SyncLogStatus.PARTIAL)
        self.error_message, self.error_details = message, details

    def mark_failed(self, now: datetime, message: str, details: JsonObject | None = None) -> None:
        """End the log: nothing was captured; the message says why. Raises Permanent if it has ended."""
        self._end(now, SyncLogStatus.FAILED)
        self.error_message, self.error_details = message, details

    def update_progress(self, processed: int, failed: int = 0, next_cursor: str | None = None) -> None:
        """Set how many records are done so far, and where to go on (None: at the end).

        Raises Permanent if the log has ended.
        """
        self._require_open()
        self.records_processed, self.records_failed, self.next_cursor = processed, failed, next_cursor

    def _end(self, now: datetime, status: SyncLogStatus) -> None:
        self._require_open()
        self.status, self.completed_at = status, now

    def _require_open(self) -> None:
        if self.completed_at is not None:
            message = f"Sync log {self.id} ended as {self.status} at {self.completed_at}; start another instead."
            raise Permanent(message)


class CapturedAnswer(Base):
    """One answer that a reading has got: from these it is resumed, and its day can be read again."""

    __tablename__ = "captured_answers"

    reading_id: Mapped[UUID] = mapped_column(primary_key=True)
    request_digest: Mapped[str] = mapped_column(primary_key=True, doc="digest of the request, secrets left out")
    request: Mapped[str] = mapped_column(doc="the request, secrets left out")
    status: Mapped[int] = mapped_column(doc="HTTP status")
    body: Mapped[str] = mapped_column(doc="the body as it came")
    received_at: Mapped[datetime] = mapped_column(index=True)


class RetiredMetric(Base):
    """A metric that a platform refuses for a kind of post; delete the row to ask for it again."""

    __tablename__ = "retired_metrics"

    platform: Mapped[Platform] = mapped_column(primary_key=True)
    metric: Mapped[str] = mapped_column(primary_key=True)
    media: Mapped[str] = mapped_column(primary_key=True, doc="kind of post, in the terms of the metric registry")
    message: Mapped[str] = mapped_column(doc="what the platform said")
    noticed_at: Mapped[datetime]


class PostAbsence(Base):
    """A post that full listings have lacked. Missed several times, it is looked up; only then it may be removed."""

    __tablename__ = "post_absences"

    post_id: Mapped[str] = mapped_column(ForeignKey("posts.post_id", ondelete="CASCADE"), primary_key=True)
    missed: Mapped[int] = mapped_column(server_default=text("1"), doc="in how many days' listings")
    first_missed: Mapped[date]
    last_missed: Mapped[date]


class Snapshot(Base):
    """A post's lifetime counters as they stood on one day. An empty counter is unknown, never 0."""

    __tablename__ = "snapshots"

    id: Mapped[RowId] = mapped_column(doc="names the row for other programs; the key is post and day")
    post_id: Mapped[str] = mapped_column(ForeignKey("posts.post_id"), primary_key=True, doc="whose counters these are")
    snapshot_date: Mapped[date] = mapped_column(
        primary_key=True, doc="the day, in the reporting zone, whose end the counters describe"
    )
    data_source: Mapped[DataSource] = mapped_column(doc="highest source that contributed to the row")
    site_id: Mapped[UUID | None] = mapped_column(ForeignKey("sites.id"), doc="the connected site that it came from")
    lifetime_earnings: Mapped[Money | None] = mapped_column(doc="money earned since publication, in `currency`")
    lifetime_qualified_views: Mapped[Count | None] = mapped_column(doc="views that count for money, since publication")
    lifetime_seconds_viewed: Mapped[Count | None] = mapped_column(doc="time watched since publication, in seconds")
    views: Mapped[Count | None] = mapped_column(doc="views since publication, as the platform defines a view")
    three_second_views: Mapped[Count | None] = mapped_column(doc="views of at least 3 seconds, since publication")
    one_minute_views: Mapped[Count | None] = mapped_column(doc="views of at least 1 minute, since publication")
    reactions: Mapped[Count | None] = mapped_column(doc="likes and other reactions, since publication")
    comments: Mapped[Count | None] = mapped_column(doc="comments, since publication")
    shares: Mapped[Count | None] = mapped_column(doc="shares, since publication")
    impressions: Mapped[Count | None] = mapped_column(doc="times shown on a screen, since publication")
    reach: Mapped[Count | None] = mapped_column(doc="different accounts that saw it, since publication")
    saves: Mapped[Count | None] = mapped_column(doc="times saved or bookmarked, since publication")
    profile_visits: Mapped[Count | None] = mapped_column(doc="visits to the profile from the post, since publication")
    avg_watch_percentage: Mapped[Decimal | None] = mapped_column(
        Numeric(12, 4), doc="average part of the video that a view watches, in percent; above 100 when replayed"
    )
    subscribers_gained: Mapped[Count | None] = mapped_column(
        doc="followers or subscribers won by the post, since publication"
    )
    estimated_cpm: Mapped[Money | None] = mapped_column(doc="estimated money per 1000 views, in `currency`")
    views_by_country: Mapped[JsonObject | None] = mapped_column(doc="views by ISO 3166 country, since publication")
    demographic_data: Mapped[JsonObject | None] = mapped_column(doc="viewers by age and gender, as the platform tells")
    traffic_source: Mapped[JsonObject | None] = mapped_column(doc="views by where viewers came from")
    device_type: Mapped[JsonObject | None] = mapped_column(doc="views by kind of device")
    currency: Mapped[str | None] = mapped_column(
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_is_iso_4217"), doc="unit of the money: ISO 4217 code"
    )
    raw_data: Mapped[JsonObject] = mapped_column(server_default="{}", doc="each source's own record, under its name")
    layers: Mapped[JsonObject | None] = mapped_column(
        doc="where several sources tell of the row: the counters that each of them gave, under its name"
    )
    observed_at: Mapped[datetime] = mapped_column(doc="when the counters were read, in UTC")
    sync_log_id: Mapped[UUID | None] = mapped_column(doc="the capture that last changed the row; it may be pruned")

    post: Mapped["Post"] = relationship(back_populates="snapshots")
    synced_from_site: Mapped["Site | None"] = relationship(back_populates="synced_snapshots")

    __table_args__ = (
        CheckConstraint("lifetime_earnings is null or currency is not null", name="earnings_have_currency"),
        Index(None, "snapshot_date", "post_id"),
        Index(None, "site_id", "snapshot_date"),
        Index(None, "impressions", postgresql_where=text("impressions is not null")),
        Index(None, "reach", postgresql_where=text("reach is not null")),
        Index(None, "snapshot_date", postgresql_where=text("layers is not null")),
        {"postgresql_partition_by": "RANGE (snapshot_date)"},
    )


class SnapshotRestatement(Base):
    """What a closed day's snapshot said before it was corrected. Rows are only ever added."""

    __tablename__ = "snapshot_restatements"

    id: Mapped[RowId] = mapped_column(primary_key=True)
    post_id: Mapped[str] = mapped_column(ForeignKey("posts.post_id"))
    snapshot_date: Mapped[date]
    restated_at: Mapped[CreatedAt]
    data_source: Mapped[DataSource] = mapped_column(doc="who told the correction")
    sync_log_id: Mapped[UUID | None] = mapped_column(doc="the capture that corrected it; it may be pruned")
    former_values: Mapped[JsonObject] = mapped_column(doc="the changed columns with their values before")

    post: Mapped["Post"] = relationship()

    __table_args__ = (Index(None, "post_id", "snapshot_date", "restated_at"),)
