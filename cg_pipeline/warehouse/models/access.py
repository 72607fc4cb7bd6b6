"""Who may do what, and what was done: users, their API keys, the audit log. Checking passwords does not belong here."""

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, WriteOnlyMapped, mapped_column, relationship

from cg_pipeline.warehouse.models.base import Base, CreatedAt, JsonObject, RowId, UpdatedAt
from cg_pipeline.warehouse.models.enums import UserRole

if TYPE_CHECKING:
    from cg_pipeline.warehouse.models.posts import Artist
    from cg_pipeline.warehouse.models.sites import Site


class User(Base):
    """One person or program that may sign in."""

    __tablename__ = "users"

    id: Mapped[RowId] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str] = mapped_column(unique=True)
    password: Mapped[str] = mapped_column(doc="hash of the password, never the password")
    role: Mapped[UserRole] = mapped_column(server_default=UserRole.ANALYST)
    artist_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("artists.id"), index=True, doc="whose figures the user may see; required for the role artist"
    )
    is_active: Mapped[bool] = mapped_column(server_default=text("true"), doc="whether the user may sign in")
    last_login: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    artist: Mapped["Artist | None"] = relationship(back_populates="users")
    api_keys: Mapped[list["ApiKey"]] = relationship(
        back_populates="user", cascade="all, delete-orphan", passive_deletes=True
    )
    sites: Mapped[list["Site"]] = relationship(back_populates="added_by_user", passive_deletes="all")
    audit_logs: WriteOnlyMapped["AuditLog"] = relationship(
        back_populates="user", passive_deletes="all", order_by="AuditLog.created_at"
    )

    __table_args__ = (CheckConstraint("role <> 'artist' or artist_id is not null", name="artist_users_have_artist"),)


class ApiKey(Base):
    """One key by which a program acts for a user."""

    __tablename__ = "api_keys"

    id: Mapped[RowId] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(doc="what the key is for")
    key_hash: Mapped[str] = mapped_column(unique=True, doc="hash of the key, which is shown once and not kept")
    restrictions: Mapped[JsonObject] = mapped_column(
        server_default="{}", doc="what the key may not do although its user may"
    )
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]

    user: Mapped["User"] = relationship(back_populates="api_keys")


class AuditLog(Base):
    """One thing that a user or a command did. Rows are only ever added."""

    __tablename__ = "audit_logs"

    id: Mapped[RowId] = mapped_column(primary_key=True)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"), index=True, doc="empty: a command did it")
    action: Mapped[str]
    entity_type: Mapped[str] = mapped_column(doc="what was acted upon, such as site or royalty_statement")
    entity_id: Mapped[str | None]
    changes: Mapped[JsonObject] = mapped_column(server_default="{}", doc="former and new values, without secrets")
    ip_address: Mapped[IPv4Address | IPv6Address | None] = mapped_column(INET)
    created_at: Mapped[CreatedAt] = mapped_column(index=True)

    user: Mapped["User | None"] = relationship(back_populates="audit_logs")

    __table_args__ = (Index(None, "entity_type", "entity_id"),)
