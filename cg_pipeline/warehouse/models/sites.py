"""Sites and their settings. Capturing a site and decrypting its tokens do not belong here."""

import json
import re
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, WriteOnlyMapped, mapped_column, relationship

from cg_pipeline.errors import ConfigError
from cg_pipeline.warehouse.models.base import Base, Count, CreatedAt, JsonArray, JsonObject, RowId, UpdatedAt
from cg_pipeline.warehouse.models.enums import Platform, SettingType, SiteSyncStatus

if TYPE_CHECKING:
    from cg_pipeline.warehouse.models.access import User
    from cg_pipeline.warehouse.models.capture import Snapshot, SyncLog
    from cg_pipeline.warehouse.models.posts import Post
    from cg_pipeline.warehouse.models.webhooks import WebhookEvent

SettingValue = bool | str | Decimal | int | JsonObject | JsonArray | None


class Site(Base):
    """One page, channel or account on a platform that is captured."""

    __tablename__ = "sites"

    id: Mapped[RowId] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(doc="name as people here know it")
    platform: Mapped[Platform]
    platform_id: Mapped[str] = mapped_column(doc="the platform's id of the page, channel or account")
    platform_user_id: Mapped[str | None] = mapped_column(doc="the platform's id of the user who connected the site")
    platform_username: Mapped[str | None] = mapped_column(doc="handle on the platform, without @")
    access_token: Mapped[str | None] = mapped_column(doc="OAuth access token, encrypted")
    refresh_token: Mapped[str | None] = mapped_column(doc="OAuth refresh token, encrypted")
    token_expiry: Mapped[datetime | None] = mapped_column(doc="when the access token expires")
    scope: Mapped[str | None] = mapped_column(doc="OAuth permissions granted, as the platform writes them")
    webhook_url: Mapped[str | None] = mapped_column(doc="where the platform sends its events")
    webhook_secret: Mapped[str | None] = mapped_column(doc="secret that signs the platform's events, encrypted")
    business_account_id: Mapped[str | None] = mapped_column(doc="the platform's id of the business or ad account")
    follower_count: Mapped[Count | None] = mapped_column(doc="followers or subscribers at the last capture")
    profile_image_url: Mapped[str | None]
    cover_image_url: Mapped[str | None]
    bio: Mapped[str | None] = mapped_column(doc="the site's description of itself")
    api_quota: Mapped[int | None] = mapped_column(doc="requests left until api_quota_reset, as last told")
    api_quota_reset: Mapped[datetime | None] = mapped_column(doc="when the platform's limit starts anew")
    sync_status: Mapped[SiteSyncStatus] = mapped_column(server_default=SiteSyncStatus.ACTIVE, index=True)
    last_sync_at: Mapped[datetime | None] = mapped_column(doc="when a capture last succeeded")
    stats: Mapped[JsonObject] = mapped_column(server_default="{}", doc="totals over the site's posts")
    added_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    added_by_user: Mapped["User | None"] = relationship(back_populates="sites")
    settings: Mapped[list["SiteSetting"]] = relationship(
        back_populates="site", cascade="all, delete-orphan", passive_deletes=True, order_by="SiteSetting.setting_key"
    )
    synced_posts: WriteOnlyMapped["Post"] = relationship(
        back_populates="synced_from_site", passive_deletes="all", order_by="Post.publish_time"
    )
    synced_snapshots: WriteOnlyMapped["Snapshot"] = relationship(
        back_populates="synced_from_site", passive_deletes="all", order_by="Snapshot.snapshot_date"
    )
    sync_logs: WriteOnlyMapped["SyncLog"] = relationship(
        back_populates="site", passive_deletes="all", order_by="SyncLog.started_at"
    )
    webhook_events: WriteOnlyMapped["WebhookEvent"] = relationship(
        back_populates="site", passive_deletes="all", order_by="WebhookEvent.created_at"
    )

    __table_args__ = (UniqueConstraint("platform", "platform_id"),)


class SiteSetting(Base):
    """One setting of one site: a text, and how to read it."""

    __tablename__ = "site_settings"

    id: Mapped[RowId] = mapped_column(primary_key=True)
    site_id: Mapped[UUID] = mapped_column(ForeignKey("sites.id", ondelete="CASCADE"))
    setting_key: Mapped[str]
    setting_value: Mapped[str | None] = mapped_column(doc="true or false, a number, any text, or JSON")
    setting_type: Mapped[SettingType] = mapped_column(server_default=SettingType.STRING)
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    site: Mapped["Site"] = relationship(back_populates="settings")

    __table_args__ = (UniqueConstraint("site_id", "setting_key"),)

    def get_value(self) -> SettingValue:
        """The value, typed by `setting_type`: numbers are int or Decimal, never float, inside JSON too.

        Raises ConfigError when the text is not of that type.
        """
        text = self.setting_value
        if text is None or self.setting_type not in _READERS:
            return text
        try:
            return _READERS[self.setting_type](text)
        except (KeyError, ValueError, InvalidOperation, RecursionError) as error:
            message = f"site setting {self.setting_key}: {text!r} must be {_FORMS[self.setting_type]}."
            raise ConfigError(message) from error

    def set_value(self, value: SettingValue) -> None:
        """Store a value and the type it has, so that `get_value` returns an equal one; None keeps the type.

        Raises TypeError for a float or anything else that would come back as something different, ValueError for
        numbers that are not finite.
        """
        if value is None:
            self.setting_value = None
            return
        text = str(value) if isinstance(value, str) else _json(value)
        self.setting_type, self.setting_value = _type_of(value), text


def _type_of(value: SettingValue) -> SettingType:
    match value:
        case bool():
            return SettingType.BOOLEAN
        case int() | Decimal():
            return SettingType.NUMBER
        case str():
            return SettingType.STRING
        case dict() | list():
            return SettingType.JSON
    raise _refusal(value)


def _json(value: Any) -> str:
    """JSON with exact numbers: the standard library can read decimals but not write them."""
    match value:
        case dict():
            return "{" + ", ".join(f"{_json_key(key)}: {_json(part)}" for key, part in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_json, value)) + "]"
        case Decimal():
            if not value.is_finite():
                message = f"{value} can not be a setting: numbers must be finite."
                raise ValueError(message)
            return str(value)
        case None | bool() | int() | str():
            return json.dumps(value)
    raise _refusal(value)


def _json_key(key: Any) -> str:
    if not isinstance(key, str):
        raise _refusal(key)
    return json.dumps(key)


def _refusal(value: object) -> TypeError:
    kind = type(value).__name__
    remedy = "use Decimal" if isinstance(value, float) else "use bool, int, Decimal, str, dict with str keys, or list"
    message = f"{kind} {value!r} can not be a setting: {remedy}."
    return TypeError(message)


def _read_number(text: str) -> int | Decimal:
    if re.fullmatch(r"[+-]?[0-9]+", text):
        return int(text)
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(text)
    return number


def _read_json(text: str) -> JsonObject | JsonArray:
    value = json.loads(text, parse_float=Decimal, parse_constant=_read_number)
    if not isinstance(value, dict | list):
        raise ValueError(text)
    return value


_READERS = {
    SettingType.BOOLEAN: {"true": True, "false": False}.__getitem__,
    SettingType.NUMBER: _read_number,
    SettingType.JSON: _read_json,
}
_FORMS = {
    SettingType.BOOLEAN: "true or false",
    SettingType.NUMBER: "a number such as 12 or 0.5",
    SettingType.JSON: 'a JSON object or array such as {"a": 1}',
}
