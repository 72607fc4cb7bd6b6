"""The content tables of YouTube Studio and TikTok Studio. Their charts, totals and viewers hold no posts."""

import calendar
import re
from datetime import UTC, datetime

from cg_pipeline.capture import cells
from cg_pipeline.capture.layouts.base import POST_IDS, Column, Context, Layout, Values, add_tags, post_id
from cg_pipeline.capture.observation import Page
from cg_pipeline.errors import FileRefused

_LINK = re.compile(
    rf"https?://(?:www\.)?tiktok\.com/@([\w.]+)/(video|photo)/({POST_IDS['tiktok']})(?:[/?#].*)?", re.ASCII
)


def _is_youtube_post(content: str) -> bool:
    """`Total` heads the table, and `Showing top 500 results` ends one that was cut."""
    return content.strip() != "Total" and not content.startswith("Showing top ")


def _finish_youtube(values: Values, context: Context) -> None:
    values["permalink"] = f"https://www.youtube.com/watch?v={values['_post_id']}"
    if day := values.get("_publish_day"):
        # The table gives the day only: it counts as that day in the reporting zone.
        values["publish_time"] = cells.timestamp(context.timezone)(day)
    add_tags(values)


def _youtube_page(_: Values, context: Context) -> Page:
    if context.site is None or context.site.platform != "youtube":
        problem = "The table does not say which channel it belongs to."
        raise FileRefused(problem, 'Name it: cg csv import FILE --as-of DATE --site "NAME".', line=1)
    return context.site


YOUTUBE_STUDIO = Layout(
    name="youtube_studio_content",
    title="YouTube Studio, Table data by content",
    platform="youtube",
    known_by=(frozenset({"content"}), frozenset({"video title"}), frozenset({"video publish time"})),
    columns=(
        Column("_post_id", ("content",), post_id("youtube"), required=True),
        Column("title", ("video title",), cells.text),
        Column("_publish_day", ("video publish time",), cells.label),
        Column("duration", ("duration",), cells.duration),
        Column("views", ("views",), cells.count),
        Column("lifetime_qualified_views", ("estimated monetized playbacks",), cells.count),
        Column("lifetime_seconds_viewed", ("watch time (hours)",), cells.hours),
        Column("impressions", ("impressions",), cells.count),
        Column("reach", ("unique viewers",), cells.count),
        Column("reactions", ("likes",), cells.count),
        Column("comments", ("comments added", "comments"), cells.count),
        Column("shares", ("shares",), cells.count),
        Column("subscribers_gained", ("subscribers", "subscribers gained"), cells.integer),
        Column("avg_watch_percentage", ("average percentage viewed (%)",), cells.average),
        Column("lifetime_earnings", ("your estimated revenue", "estimated revenue"), cells.decimal, money=True),
        Column("estimated_cpm", ("cpm",), cells.decimal, money=True),
    ),
    finish=_finish_youtube,
    page=_youtube_page,
    is_post=_is_youtube_post,
    period_unknown=True,
)


def _link(cell: str) -> tuple[str, str, str]:
    """Account, `video` or `photo`, and id."""
    match = _LINK.fullmatch(cell.strip())
    if match is None:
        message = f'"{cell}" is no link to a TikTok video'
        raise ValueError(message)
    return match[1], match[2], match[3]


def _export_day(cell: str) -> tuple[int, int]:
    """Month and day of `February 28`. Raises FileRefused for other languages: the day could not be checked."""
    name, _, day = cell.strip().partition(" ")
    months = list(calendar.month_name)
    if name not in months[1:] or not day.isdigit():
        problem = f'"{cell}" is no day that can be read.'
        raise FileRefused(problem, "Export again with English as the language of the account.")
    return months.index(name), int(day)


def _finish_tiktok(values: Values, context: Context) -> None:
    month, day = values["_exported"]
    if (month, day) != (context.as_of.month, context.as_of.day):
        problem = f"The table was exported on {calendar.month_name[month]} {day}, not on {context.as_of}."
        raise FileRefused(problem, "Import it with the date on which it was exported.", column="Time")
    username, kind, number = values["_link"]
    values["_username"], values["_post_id"], values["post_type"] = username, number, kind.capitalize()
    values["permalink"] = f"https://www.tiktok.com/@{username}/{kind}/{number}"
    # "Post time" has no year; the upper 32 bits of a TikTok id are the second in which it was made.
    values["publish_time"] = datetime.fromtimestamp(int(number) >> 32, UTC).isoformat()
    add_tags(values)


def _tiktok_page(values: Values, _: Context) -> Page:
    values["page_name"] = values["_username"]
    return Page("tiktok", values["_username"], values["_username"], values["_username"])


TIKTOK_STUDIO = Layout(
    name="tiktok_studio_content",
    title="TikTok Studio, Content",
    platform="tiktok",
    known_by=(frozenset({"video link"}), frozenset({"total views"})),
    columns=(
        Column("_link", ("video link",), _link, required=True),
        Column("_exported", ("time",), _export_day, required=True),
        Column("title", ("video title",), cells.text),
        Column("views", ("total views",), cells.count),
        Column("reactions", ("total likes",), cells.count),
        Column("comments", ("total comments",), cells.count),
        Column("shares", ("total shares",), cells.count),
    ),
    finish=_finish_tiktok,
    page=_tiktok_page,
)
