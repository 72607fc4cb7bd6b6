"""What a source says of one post on one day: the record that every source produces and that `staging` takes in.

Field names are the columns of `posts` and `snapshots`; how a source comes to its values is not known here.
"""

from dataclasses import dataclass, field
from typing import Any

METRICS = (
    "lifetime_earnings",
    "lifetime_qualified_views",
    "lifetime_seconds_viewed",
    "views",
    "three_second_views",
    "one_minute_views",
    "reactions",
    "comments",
    "shares",
    "impressions",
    "reach",
    "saves",
    "profile_visits",
    "avg_watch_percentage",
    "subscribers_gained",
    "estimated_cpm",
    "views_by_country",
    "demographic_data",
    "traffic_source",
    "device_type",
)

ATTRIBUTES = (
    "asset_tag",
    "title",
    "description",
    "post_type",
    "publish_time",
    "duration",
    "permalink",
    "page_id",
    "page_name",
    "thumbnail_url",
    "video_url",
    "aspect_ratio",
    "resolution",
    "hashtags",
    "mentions",
    "crossposting_status",
    "original_platform",
    "monetization_status",
    "restricted_countries",
    "content_category",
    "audio_copyright",
    "privacy_status",
    "parent_post_id",
)


@dataclass(frozen=True, slots=True)
class Page:
    """The account that a post appears on, as the source names it."""

    platform: str
    platform_id: str
    name: str | None = None
    username: str | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """One post as one source saw it. A field that is absent is unknown.

    `line` is the line of the file; `problem` and `problem_column` say what could not be used, and go to quarantine
    while the rest lands. Earnings are in units of `currency` (ISO 4217).
    """

    line: int
    page: Page
    post_id: str
    attributes: dict[str, Any]
    metrics: dict[str, Any]
    currency: str | None
    raw: dict[str, Any]
    problem: str | None = None
    problem_column: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """One row that cannot be used at all: it goes to quarantine as it is, with the reason."""

    line: int
    problem: str
    problem_column: str | None
    raw: dict[str, Any] = field(default_factory=dict)
