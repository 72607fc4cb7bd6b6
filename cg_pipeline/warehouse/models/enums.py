"""The enumerations of the schema, each a PostgreSQL type of the same name in snake_case, labels in the same order.

Where a value is a state, the comment says which states may follow it.
"""

import re
from enum import StrEnum

from sqlalchemy import Enum


class Platform(StrEnum):
    """Where content is published."""

    FACEBOOK = "facebook"
    INSTAGRAM = "instagram"
    YOUTUBE = "youtube"
    TIKTOK = "tiktok"
    TWITTER = "twitter"
    THREADS = "threads"


class DataSource(StrEnum):
    """Who told it. In order of precedence: a later one overwrites, an earlier one only fills what is unknown."""

    CSV = "csv"
    FACEBOOK = "facebook"
    INSTAGRAM = "instagram"
    YOUTUBE = "youtube"
    TIKTOK = "tiktok"
    TWITTER = "twitter"
    THREADS = "threads"


class SiteSyncStatus(StrEnum):
    """Whether a site is captured: any state may follow any other."""

    ACTIVE = "active"
    PAUSED = "paused"  # by a person
    ERROR = "error"  # its last capture failed
    DISCONNECTED = "disconnected"  # its token was revoked or has expired


class PostType(StrEnum):
    """What a post is."""

    VIDEO = "Video"
    REEL = "Reel"
    PHOTO = "Photo"
    TEXT = "Text"
    LINK = "Link"
    STATUS = "Status"


class PostStatus(StrEnum):
    """Whether the platform still shows a post: live <-> removed."""

    LIVE = "live"
    REMOVED = "removed"


class PrivacyStatus(StrEnum):
    """Who may see a post on its platform."""

    PUBLIC = "public"
    PRIVATE = "private"
    UNLISTED = "unlisted"


class ArtistStatus(StrEnum):
    """Whether an artist still works with us: active <-> inactive."""

    ACTIVE = "active"
    INACTIVE = "inactive"


class UserRole(StrEnum):
    """What a user may do."""

    SUPER_ADMIN = "super_admin"
    ADMIN = "admin"
    EDITOR = "editor"
    ANALYST = "analyst"
    API_USER = "api_user"
    ARTIST = "artist"


class SettingType(StrEnum):
    """How the text of a site setting is read."""

    BOOLEAN = "boolean"
    STRING = "string"
    NUMBER = "number"
    JSON = "json"


class SyncType(StrEnum):
    """How much a capture reads."""

    FULL = "full"
    INCREMENTAL = "incremental"
    WEBHOOK = "webhook"


class SyncLogStatus(StrEnum):
    """How a capture stands: started -> completed | partial | failed."""

    STARTED = "started"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"


class CsvFileStatus(StrEnum):
    """How a file of the inbox stands: arrived -> loaded | refused.

    Any of these -> replaced (other bytes came under its name) | withdrawn (by a person); both -> arrived when the same
    bytes come again. A duplicate has the bytes of another file of its day.
    """

    ARRIVED = "arrived"
    LOADED = "loaded"
    REFUSED = "refused"
    DUPLICATE = "duplicate"
    REPLACED = "replaced"
    WITHDRAWN = "withdrawn"


class DeltaPeriod(StrEnum):
    """How long the window of a delta is."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"


class WindowKind(StrEnum):
    """What has to be recomputed: deltas of a period, or a royalty month."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    ROYALTY = "royalty"


class RoyaltyLineKind(StrEnum):
    """Whether a royalty line is earned in its month or corrects a closed one."""

    ACCRUAL = "accrual"
    ADJUSTMENT = "adjustment"


class WebhookStatus(StrEnum):
    """How an event stands: pending -> claimed -> processed | failed; failed -> pending, or dead after the last attempt.

    A claim whose lease ends has failed. Ignored: nothing of ours, or nothing to do. A person may set any of them back
    to pending, and bury what waits.
    """

    PENDING = "pending"
    CLAIMED = "claimed"
    PROCESSED = "processed"
    FAILED = "failed"
    DEAD = "dead"
    IGNORED = "ignored"


class WebhookAction(StrEnum):
    """What an event asks for."""

    REFRESH = "refresh"  # read the post again
    DELETE = "delete"  # look whether the post is gone
    PAUSE = "pause"  # the grant is gone: capture the site no more


class GapState(StrEnum):
    """How a missing day stands: repairable -> requested -> repaired or repairable again; lost: nobody can tell it."""

    REPAIRABLE = "repairable"
    REQUESTED = "requested"
    REPAIRED = "repaired"
    LOST = "lost"


def database_type(enum: type[StrEnum]) -> Enum:
    """The PostgreSQL type of an enumeration: its name in snake_case, its values as labels."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.__name__).lower()
    return Enum(enum, name=name, values_callable=lambda members: [member.value for member in members])


DATABASE_TYPES = {enum: database_type(enum) for enum in StrEnum.__subclasses__() if enum.__module__ == __name__}
