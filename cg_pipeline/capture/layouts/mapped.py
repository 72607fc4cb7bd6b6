"""Any other table, through a column mapping: the site's setting `csv_mapping` says which heading holds which field.

    columns:                       # our field: heading in the file
      post_id: video_id
      views: view_count
      lifetime_earnings: Revenue
    currency: EUR                  # of the money columns, where the heading does not name it
    timezone: America/New_York     # of times without an offset; default UTC
    snapshot_date_format: "%y.%d.%m"   # where `snapshot_date` is mapped and not written YYYY-MM-DD

`snapshot_date` is not stored: it must agree with the day under which the file is imported. With `page_id` mapped, each
row names its page; without it, all rows belong to the site that holds the mapping.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import partial
from typing import Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from cg_pipeline.capture import cells
from cg_pipeline.capture.layouts.base import Column, Context, Layout, Values, add_tags, names_of, post_id, whole_id
from cg_pipeline.capture.observation import METRICS, Page
from cg_pipeline.errors import ConfigError, FileRefused
from cg_pipeline.warehouse.models.enums import PostType, PrivacyStatus

MONEY = frozenset({"lifetime_earnings", "estimated_cpm"})
UTC = ZoneInfo("UTC")
JSON = frozenset({"views_by_country", "demographic_data", "traffic_source", "device_type"})

_TEXTS = ("title", "description", "permalink", "page_name", "thumbnail_url", "video_url", "aspect_ratio", "resolution")
_LABELS = ("asset_tag", "monetization_status", "content_category", "parent_post_id")
_NUMBERS: dict[str, cells.Parser] = {
    **dict.fromkeys((name for name in METRICS if name not in JSON), cells.count),
    **dict.fromkeys(MONEY, cells.decimal),
    "avg_watch_percentage": cells.average,
    "lifetime_seconds_viewed": cells.seconds,
    "subscribers_gained": cells.integer,
}

# Headings that other tools use for our fields, for the proposal of `cg csv inspect`. The first that a file has wins.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "post_id": ("post_id", "post id", "video_id", "video id", "media_id", "tweet_id", "content_id", "id"),
    "page_id": ("page_id", "page id", "channel_id", "channelid", "account_id", "account id"),
    "page_name": ("page_name", "page name", "channel_title", "channeltitle", "channel", "account name", "author"),
    "title": ("title", "video_title", "video title", "post title", "name"),
    "description": ("description", "caption", "text"),
    "publish_time": ("publish_time", "publish time", "published_at", "publishedat", "created_at", "post time"),
    "duration": ("duration", "duration_seconds", "duration_iso8601", "length"),
    "permalink": ("permalink", "link", "url", "video link"),
    "thumbnail_url": ("thumbnail_url", "thumbnail_link"),
    "asset_tag": ("asset_tag", "asset tag", "custom labels", "label"),
    "snapshot_date": ("snapshot_date", "snapshot_utc", "date_utc", "trending_date", "captured_at", "date"),
    "views": ("views", "view_count", "view count", "plays", "video views", "total views"),
    "reactions": ("reactions", "likes", "like_count", "like count", "total likes"),
    "comments": ("comments", "comment_count", "comment_total", "comment count", "total comments"),
    "shares": ("shares", "share_count", "total shares", "retweets"),
    "saves": ("saves", "saved", "bookmarks"),
    "impressions": ("impressions",),
    "reach": ("reach", "unique viewers"),
    "lifetime_seconds_viewed": ("seconds_viewed", "seconds viewed", "watch_time_seconds"),
    "lifetime_earnings": ("lifetime_earnings", "earnings", "revenue", "estimated revenue", "estimated earnings"),
}


@dataclass(frozen=True)
class ColumnMapping:
    """A column mapping as the operator wrote it."""

    columns: Mapping[str, str]
    currency: str | None = None
    timezone: ZoneInfo = UTC
    snapshot_date_format: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read YAML (or JSON). Raises ConfigError, naming the key, for a mapping that cannot be used."""
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            message = f"The column mapping is no YAML: {error}"
            raise ConfigError(message) from error
        return cls.of(data)

    @classmethod
    def of(cls, data: Any) -> Self:
        """Check a mapping that was read already. Raises ConfigError, naming the key."""
        if not isinstance(data, dict) or not isinstance(data.get("columns"), dict):
            message = "A column mapping needs a key `columns` with lines like `post_id: heading`."
            raise ConfigError(message)
        fields = field_parsers(UTC)
        unknown = [str(key) for key in data if key not in {"columns", "currency", "timezone", "snapshot_date_format"}]
        unknown += [f"columns.{name}" for name in data["columns"] if name not in fields]
        if unknown:
            message = (
                f"The column mapping has unknown keys: {', '.join(unknown)}. Fields are {', '.join(sorted(fields))}."
            )
            raise ConfigError(message)
        if "post_id" not in data["columns"]:
            message = "The column mapping does not say which column is the post_id."
            raise ConfigError(message)
        columns = {name: _heading(name, heading) for name, heading in data["columns"].items()}
        currency, form = data.get("currency"), data.get("snapshot_date_format")
        if currency is not None and str(currency) not in cells.CURRENCIES:
            message = f"currency: {currency} is no currency: write its three capital letters (ISO 4217), such as USD."
            raise ConfigError(message)
        if not isinstance(form, str | None):
            message = f'snapshot_date_format: {form} is no format of a date, such as "%y.%d.%m".'
            raise ConfigError(message)
        return cls(columns, currency, _zone(data.get("timezone")), form)

    def as_data(self) -> dict[str, Any]:
        """The mapping as it is stored."""
        data = {"columns": dict(self.columns), "currency": self.currency, "timezone": self.timezone.key}
        return {
            key: value for key, value in (data | {"snapshot_date_format": self.snapshot_date_format}).items() if value
        }


def _heading(name: str, heading: object) -> str:
    # YAML takes an unquoted Yes or On for a truth, and the word is lost.
    if isinstance(heading, bool) or not isinstance(heading, str | int) or not str(heading).strip():
        message = f"columns.{name}: {heading} is no heading; write one as it stands in the file, in quotes if need be."
        raise ConfigError(message)
    return str(heading)


def _zone(name: object) -> ZoneInfo:
    try:
        return UTC if name is None else ZoneInfo(name)  # type: ignore[arg-type]
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        message = f"timezone: {name} is no time zone, such as UTC or Europe/Berlin."
        raise ConfigError(message) from error


def field_parsers(zone: ZoneInfo) -> dict[str, cells.Parser]:
    """Which fields a mapping may fill, and how their cells are read."""
    return {
        **dict.fromkeys(_TEXTS, cells.text),
        **dict.fromkeys(_LABELS, cells.label),
        **_NUMBERS,
        "post_id": cells.text,
        "page_id": whole_id(r"\S+"),
        "snapshot_date": cells.text,
        "post_type": _one_of(PostType),
        "privacy_status": _one_of(PrivacyStatus),
        "publish_time": cells.timestamp(zone),
        "duration": cells.duration,
    }


def _one_of(words: type[StrEnum]) -> cells.Parser:
    """A parser for our names of a thing, in any case. Another word is a kind that we do not know: None, no error."""
    known = {word.value.casefold(): word.value for word in words}
    return lambda cell: known.get(cell.strip().casefold())


def layout_of(mapping: ColumnMapping, platform: str) -> Layout:
    """The layout that a mapping describes, for pages of this platform."""
    parsers = field_parsers(mapping.timezone) | {"post_id": post_id(platform)}
    hidden = {"post_id", "page_id", "snapshot_date"}
    return Layout(
        name="mapped",
        title="table read through a column mapping",
        platform=platform,
        known_by=tuple(frozenset({names_of(heading)[0]}) for heading in mapping.columns.values()),
        columns=tuple(
            Column(
                field=f"_{name}" if name in hidden else name,
                headings=names_of(heading)[:1],
                parse=parsers[name],
                money=name in MONEY,
                required=True,
            )
            for name, heading in mapping.columns.items()
        ),
        finish=partial(_finish, mapping, platform),
        page=partial(_page, platform),
        currency=mapping.currency,
    )


def propose(headings: Sequence[str]) -> ColumnMapping | None:
    """A mapping for a table with these headings, by what other tools call our fields; None without an id column."""
    present = {names_of(heading)[0]: heading for heading in reversed(headings)}
    priced = {names_of(heading)[-1]: heading for heading in reversed(headings)} | present
    columns = {
        field: known[name]
        for field, names in SYNONYMS.items()
        for known in [priced if field in MONEY else present]
        if (name := next((name for name in names if name in known), None))
    }
    return ColumnMapping(columns) if "post_id" in columns and len(columns) > 1 else None


def _finish(mapping: ColumnMapping, platform: str, values: Values, context: Context) -> None:
    if "_snapshot_date" in values:
        _check_day(mapping, values["_snapshot_date"] or "", context)
    if parent := values.get("parent_post_id"):
        values["parent_post_id"] = f"{platform}_{parent}"
    add_tags(values)


def _check_day(mapping: ColumnMapping, cell: str, context: Context) -> None:
    """A row's own day must be the day of the import: today's counters never land under another day."""
    heading = mapping.columns["snapshot_date"]
    try:
        day = _day(mapping, cell, context.timezone)
    except (ValueError, OverflowError) as error:
        problem = f'"{cell}" is no usable date.'
        remedy = "Give its format as snapshot_date_format in the mapping, or leave snapshot_date out of it."
        raise FileRefused(problem, remedy, column=heading) from error
    if day != context.as_of:
        problem = f"The row is of {day}, but the file is imported as of {context.as_of}."
        raise FileRefused(problem, "Import the rows of each day as a file of their own.", column=heading)


def _day(mapping: ColumnMapping, cell: str, reporting: ZoneInfo) -> date:
    """The day as it is written, or the reporting day of a moment."""
    form = mapping.snapshot_date_format
    moment = datetime.strptime(cell, form) if form else datetime.fromisoformat(cell)  # noqa: DTZ007  the zone follows
    if not moment.tzinfo and ":" not in cell:
        return moment.date()
    return (moment if moment.tzinfo else moment.replace(tzinfo=mapping.timezone)).astimezone(reporting).date()


def _page(platform: str, values: Values, context: Context) -> Page:
    if page_id := values.get("_page_id"):  # never blank where it is mapped
        values["page_id"] = page_id
        return Page(platform, page_id, values.get("page_name"))
    if context.site is None:
        message = "the row does not name its page"
        raise ValueError(message)
    return context.site
