"""The warehouse's tables as SQLAlchemy models, with the behaviour that the schema gives them.

Set-based work does not belong here: that is SQL in `sql/queries`. The tables themselves are made by `sql/migrations`;
a test holds the two together. Importing this package makes `Base.metadata` complete.
"""

from cg_pipeline.warehouse.models.access import ApiKey, AuditLog, User
from cg_pipeline.warehouse.models.base import Base
from cg_pipeline.warehouse.models.capture import (
    CapturedAnswer,
    CsvFile,
    PostAbsence,
    Quarantine,
    RetiredMetric,
    Snapshot,
    SnapshotRestatement,
    SyncLog,
)
from cg_pipeline.warehouse.models.history import CaptureGap, DefinitionBreak, Delta, StaleWindow
from cg_pipeline.warehouse.models.posts import Artist, ArtistAssignment, Post, PostVersion
from cg_pipeline.warehouse.models.royalties import RoyaltyLine, RoyaltyRate, RoyaltyStatement
from cg_pipeline.warehouse.models.sites import Site, SiteSetting
from cg_pipeline.warehouse.models.webhooks import WebhookCoverage, WebhookEvent, WebhookFingerprint, WebSubLease

__all__ = [
    "ApiKey",
    "Artist",
    "ArtistAssignment",
    "AuditLog",
    "Base",
    "CaptureGap",
    "CapturedAnswer",
    "CsvFile",
    "DefinitionBreak",
    "Delta",
    "Post",
    "PostAbsence",
    "PostVersion",
    "Quarantine",
    "RetiredMetric",
    "RoyaltyLine",
    "RoyaltyRate",
    "RoyaltyStatement",
    "Site",
    "SiteSetting",
    "Snapshot",
    "SnapshotRestatement",
    "StaleWindow",
    "SyncLog",
    "User",
    "WebSubLease",
    "WebhookCoverage",
    "WebhookEvent",
    "WebhookFingerprint",
]
