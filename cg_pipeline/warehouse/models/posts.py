"""Artists, posts, how posts' attributes changed, and to whom they belong. Counters of posts do not belong here."""

from datetime import date, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, WriteOnlyMapped, mapped_column, relationship

from cg_pipeline.warehouse.models.base import (
    Base,
    CreatedAt,
    Json,
    JsonArray,
    JsonObject,
    Percentage,
    RowId,
    UpdatedAt,
)
from cg_pipeline.warehouse.models.enums import ArtistStatus, DataSource, Platform, PostStatus, PostType, PrivacyStatus

if TYPE_CHECKING:
    from cg_pipeline.warehouse.models.access import User
    from cg_pipeline.warehouse.models.capture import Snapshot
    from cg_pipeline.warehouse.models.history import Delta
    from cg_pipeline.warehouse.models.royalties import RoyaltyRate, RoyaltyStatement
    from cg_pipeline.warehouse.models.sites import Site


class Artist(Base):
    """One person or group that is paid royalties."""

    __tablename__ = "artists"

    id: Mapped[RowId] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str | None]
    royalty_rate: Mapped[Percentage | None] = mapped_column(
        CheckConstraint("royalty_rate between 0 and 100", name="royalty_rate_is_percentage"),
        doc="the artist's share of platform money in percent, 0 to 100; by date in royalty_rates",
    )
    status: Mapped[ArtistStatus] = mapped_column(server_default=ArtistStatus.ACTIVE)
    notes: Mapped[str | None] = mapped_column(doc="for people here, never shown to the artist")
    social_media_handles: Mapped[JsonObject] = mapped_column(server_default="{}", doc="handle by platform")
    primary_platform: Mapped[Platform | None]
    verified_platforms: Mapped[JsonArray] = mapped_column(
        server_default="[]", doc="platforms on which the artist bears the mark of a verified account"
    )
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    users: Mapped[list["User"]] = relationship(back_populates="artist", passive_deletes="all")
    posts: WriteOnlyMapped["Post"] = relationship(
        back_populates="artist", passive_deletes="all", order_by="Post.publish_time"
    )
    deltas: WriteOnlyMapped["Delta"] = relationship(
        back_populates="artist", passive_deletes="all", order_by="Delta.period_start"
    )
    assignments: Mapped[list["ArtistAssignment"]] = relationship(back_populates="artist", passive_deletes="all")
    royalty_rates: Mapped[list["RoyaltyRate"]] = relationship(
        back_populates="artist", passive_deletes="all", order_by="RoyaltyRate.effective_from"
    )
    royalty_statements: Mapped[list["RoyaltyStatement"]] = relationship(
        back_populates="artist", passive_deletes="all", order_by="RoyaltyStatement.month, RoyaltyStatement.version"
    )


class Post(Base):
    """One piece of content on one platform, as it is known now: the fold of its `PostVersion` rows."""

    __tablename__ = "posts"

    post_id: Mapped[str] = mapped_column(
        primary_key=True, doc="platform, underscore, the platform's id: youtube_a1B2c3"
    )
    asset_tag: Mapped[str | None] = mapped_column(doc="our own mark of the content, the same on every platform")
    title: Mapped[str | None] = mapped_column(doc="title, or the first line where the platform has no titles")
    description: Mapped[str | None] = mapped_column(doc="text under the title, or the caption")
    post_type: Mapped[PostType | None] = mapped_column(doc="what the post is: Video, Reel, Photo, Text, Link or Status")
    publish_time: Mapped[datetime | None] = mapped_column(index=True, doc="when the post was published, in UTC")
    duration: Mapped[int | None] = mapped_column(doc="length of the video in seconds")
    permalink: Mapped[str | None] = mapped_column(doc="public address of the post")
    page_id: Mapped[str | None] = mapped_column(doc="the platform's id of the page, channel or account")
    page_name: Mapped[str | None] = mapped_column(doc="name of the page, channel or account")
    status: Mapped[PostStatus] = mapped_column(
        server_default=PostStatus.LIVE, index=True, doc="whether the platform still shows the post: live or removed"
    )
    platform: Mapped[Platform] = mapped_column(index=True, doc="where the post was published")
    data_source: Mapped[DataSource] = mapped_column(doc="highest source that has told anything of the post")
    site_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("sites.id"), index=True, doc="the connected site that publishes it; empty: known from files only"
    )
    thumbnail_url: Mapped[str | None] = mapped_column(doc="address of the still image")
    video_url: Mapped[str | None] = mapped_column(doc="address of the video itself; most platforms let it expire")
    aspect_ratio: Mapped[str | None] = mapped_column(doc="width to height, such as 16:9")
    resolution: Mapped[str | None] = mapped_column(doc="width by height in pixels, such as 1920x1080")
    hashtags: Mapped[JsonArray] = mapped_column(server_default="[]", doc="hashtags without #, in the order of the text")
    mentions: Mapped[JsonArray] = mapped_column(server_default="[]", doc="handles mentioned, without @")
    crossposting_status: Mapped[Json | None] = mapped_column(doc="where the platform shares the post on, as it says")
    original_platform: Mapped[Platform | None] = mapped_column(doc="where the content appeared first, if cross-posted")
    monetization_status: Mapped[str | None] = mapped_column(doc="whether the post may earn, in the platform's words")
    restricted_countries: Mapped[Json | None] = mapped_column(doc="where the post may or may not be seen, as told")
    content_category: Mapped[str | None] = mapped_column(doc="the platform's own category")
    audio_copyright: Mapped[Json | None] = mapped_column(doc="claims on the sound, as the platform tells them")
    privacy_status: Mapped[PrivacyStatus | None] = mapped_column(doc="who may see it: public, private or unlisted")
    parent_post_id: Mapped[str | None] = mapped_column(
        ForeignKey("posts.post_id", deferrable=True, initially="DEFERRED"), doc="the video that this reel was cut from"
    )
    previous_iteration_id: Mapped[str | None] = mapped_column(
        ForeignKey("posts.post_id", deferrable=True, initially="DEFERRED"),
        doc="the upload that this one replaces",
    )
    iteration: Mapped[int] = mapped_column(server_default=text("1"), doc="1 for the first upload, 2 for the next")
    artist_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("artists.id"), index=True, doc="who is paid for it; empty: its money is in suspense"
    )
    created_at: Mapped[CreatedAt] = mapped_column(doc="when the row was made, in UTC")
    updated_at: Mapped[UpdatedAt] = mapped_column(doc="when the row last changed, in UTC")

    artist: Mapped["Artist | None"] = relationship(back_populates="posts")
    synced_from_site: Mapped["Site | None"] = relationship(back_populates="synced_posts")
    parent: Mapped["Post | None"] = relationship(
        foreign_keys=parent_post_id, remote_side=post_id, back_populates="children"
    )
    children: Mapped[list["Post"]] = relationship(
        foreign_keys=parent_post_id, back_populates="parent", passive_deletes="all"
    )
    previous_iteration: Mapped["Post | None"] = relationship(
        foreign_keys=previous_iteration_id, remote_side=post_id, back_populates="next_iterations"
    )
    next_iterations: Mapped[list["Post"]] = relationship(
        foreign_keys=previous_iteration_id, back_populates="previous_iteration", passive_deletes="all"
    )
    snapshots: Mapped[list["Snapshot"]] = relationship(
        back_populates="post", passive_deletes="all", order_by="Snapshot.snapshot_date"
    )
    deltas: Mapped[list["Delta"]] = relationship(
        back_populates="post", passive_deletes="all", order_by="Delta.period, Delta.period_start"
    )
    versions: Mapped[list["PostVersion"]] = relationship(
        back_populates="post",
        cascade="all, delete-orphan",
        passive_deletes=True,
        order_by="PostVersion.observed_from, PostVersion.data_source",
    )

    __table_args__ = (
        CheckConstraint("starts_with(post_id, platform::text || '_')", name="post_id_names_platform"),
        CheckConstraint("duration >= 0", name="duration_is_not_negative"),
        CheckConstraint("parent_post_id <> post_id", name="parent_is_another_post"),
        CheckConstraint("previous_iteration_id <> post_id", name="previous_iteration_is_another_post"),
        Index(None, "asset_tag", postgresql_where=text("asset_tag is not null")),
        Index(None, "monetization_status", postgresql_where=text("monetization_status is not null")),
        Index(None, "privacy_status", postgresql_where=text("privacy_status is not null")),
        Index(None, "original_platform", postgresql_where=text("original_platform is not null")),
        Index(None, "parent_post_id", postgresql_where=text("parent_post_id is not null")),
        Index(None, "previous_iteration_id", postgresql_where=text("previous_iteration_id is not null")),
        Index(None, "hashtags", postgresql_using="gin"),
        Index(None, "mentions", postgresql_using="gin"),
    )


class PostVersion(Base):
    """A post's attributes as one source told them, from one capture day until the source's next row."""

    __tablename__ = "post_versions"

    post_id: Mapped[str] = mapped_column(ForeignKey("posts.post_id", ondelete="CASCADE"), primary_key=True)
    data_source: Mapped[DataSource] = mapped_column(primary_key=True)
    observed_from: Mapped[date] = mapped_column(primary_key=True, doc="capture day on which they were first told so")
    attributes: Mapped[JsonObject] = mapped_column(doc="what the source knows, by column of posts")

    post: Mapped["Post"] = relationship(back_populates="versions")

    __table_args__ = (
        Index(
            "post_versions_parent_idx",
            text("(attributes ->> 'parent_post_id')"),
            postgresql_where=text("attributes ? 'parent_post_id'"),
        ),
    )


class ArtistAssignment(Base):
    """One asset tag, or one post, that belongs to an artist. Resolved into `Post.artist_id`."""

    __tablename__ = "artist_assignments"

    id: Mapped[RowId] = mapped_column(primary_key=True)
    artist_id: Mapped[UUID] = mapped_column(ForeignKey("artists.id"), index=True)
    asset_tag: Mapped[str | None] = mapped_column(unique=True, doc="all posts that bear this tag")
    post_id: Mapped[str | None] = mapped_column(unique=True, doc="this post, which need not have been captured yet")
    created_at: Mapped[CreatedAt]

    artist: Mapped["Artist"] = relationship(back_populates="assignments")

    __table_args__ = (CheckConstraint("num_nonnulls(asset_tag, post_id) = 1", name="assignment_is_by_tag_or_by_post"),)
