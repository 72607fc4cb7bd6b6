"""Exports of Meta: Business Suite posts of Facebook and Instagram, and Creator Studio. Lifetime rows only.

Headings and traps: several exports of one page differ in order and number of columns; a row may be shorter than the
heading; `Publish time` is US Pacific wall-clock time (787 of 789 posts agreed with the API's UTC time).
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from cg_pipeline.capture import cells
from cg_pipeline.capture.layouts.base import Block, Column, Context, Layout, Values, add_tags, post_id
from cg_pipeline.capture.observation import Page
from cg_pipeline.errors import FileRefused

PACIFIC = ZoneInfo("America/Los_Angeles")

FACEBOOK_TYPES = {
    "photos": "Photo",
    "photo": "Photo",
    "videos": "Video",
    "video": "Video",
    "live": "Video",
    "reels": "Reel",
    "reel": "Reel",
    "links": "Link",
    "link": "Link",
    "text": "Text",
    "status": "Status",
    "text/status": "Status",
    "stories": "Status",
}
INSTAGRAM_TYPES = {
    "ig image": "Photo",
    "ig carousel": "Photo",
    "ig reel": "Reel",
    "ig video": "Video",
    "ig story": "Status",
}

EARNINGS = ("_estimated_earnings", "_content_monetization_earnings", "_stars_earnings")


def lifetime(cell: str) -> None:
    """Accept only the word that marks lifetime rows. Raises FileRefused for a day, ValueError for a blank."""
    word = cell.strip().casefold()
    if word == "lifetime":
        return
    if not word:
        message = "does not say whether the row is lifetime or daily"
        raise ValueError(message)
    problem = f'"{cell}" is not "Lifetime": daily rows are no lifetime counters, alone or mixed with lifetime rows.'
    raise FileRefused(problem, 'Export again with "Lifetime" chosen, and with English (US) as the language.')


COMMON = (
    Column("_lifetime", ("date",), lifetime, required=True),
    Column("description", ("description",), cells.text),
    Column("duration", ("duration (sec)",), cells.duration),
    Column("publish_time", ("publish time",), cells.timestamp(PACIFIC), required=True),
    Column("permalink", ("permalink",), cells.text),
    Column("_post_type", ("post type",), cells.label),
    Column("views", ("views",), cells.count),
    Column("impressions", ("impressions",), cells.count),
    Column("reach", ("reach", "people reached", "impression:unique_users"), cells.count),
    Column("reactions", ("reactions", "likes"), cells.count),
    Column("comments", ("comments",), cells.count),
    Column("shares", ("shares",), cells.count),
    Column("profile_visits", ("profile visits",), cells.count),
)

FACEBOOK = (
    *COMMON,
    Column("_page_id", ("page id",), post_id("facebook"), required=True),
    Column("_page_name", ("page name",), cells.text),
    Column("title", ("title",), cells.text),
    Column("asset_tag", ("custom labels",), cells.label),
    Column("_is_crosspost", ("is crosspost",), cells.flag),
    Column("_is_share", ("is share",), cells.flag),
    Column("lifetime_qualified_views", ("qualified views",), cells.count),
    Column("three_second_views", ("3-second video views",), cells.count),
    Column("one_minute_views", ("1-minute video views", "60-second video views"), cells.count),
    Column("lifetime_seconds_viewed", ("seconds viewed",), cells.seconds),
    Column("_average_seconds", ("average seconds viewed", "averaged seconds viewed"), cells.average),
    Column("_estimated_earnings", ("estimated earnings",), cells.decimal, money=True),
    Column("_content_monetization_earnings", ("approximate content monetization earnings",), cells.decimal, money=True),
    Column("_stars_earnings", ("estimated stars earnings",), cells.decimal, money=True),
    Column("estimated_cpm", ("ad cpm",), cells.decimal, money=True),
)


def _finish(values: Values, _: Context) -> None:
    """Sum the kinds of earnings (blank only when all are), derive the watched share, and name the type."""
    known = [amount for name in EARNINGS if (amount := values.get(name)) is not None]
    values["lifetime_earnings"] = sum(known, Decimal()) if known else None
    average, length = values.get("_average_seconds"), values.get("duration")
    if average is not None and length:
        values["avg_watch_percentage"] = round(100 * average / length, 4)
    flags = {name: values.get(f"_{name}") for name in ("is_crosspost", "is_share")}
    values["crossposting_status"] = {name: flag for name, flag in flags.items() if flag is not None} or None
    values["post_type"] = _post_type(values, FACEBOOK_TYPES)
    add_tags(values)


def _finish_instagram(values: Values, _: Context) -> None:
    values["post_type"] = _post_type(values, INSTAGRAM_TYPES)
    add_tags(values)


def _post_type(values: Values, types: Mapping[str, str]) -> str | None:
    """Our name of the type; None for one that Meta adds some day. A reel's type may say `Videos`, its address never."""
    if "/reel/" in (values.get("permalink") or ""):
        return "Reel"
    return types.get((values.get("_post_type") or "").casefold())


def _page(platform: str) -> Any:
    def page(values: Values, _: Context) -> Page:
        values["page_id"], values["page_name"] = values["_page_id"], values.get("_page_name")
        return Page(platform, values["_page_id"], values.get("_page_name"), values.get("_username"))

    return page


BUSINESS_SUITE_FACEBOOK = Layout(
    name="meta_facebook_posts",
    title="Meta Business Suite, Facebook posts",
    platform="facebook",
    known_by=(
        frozenset({"post id"}),
        frozenset({"page id"}),
        frozenset({"post type", "reactions, comments and shares"}),
    ),
    columns=(Column("_post_id", ("post id",), post_id("facebook"), required=True), *FACEBOOK),
    blocks=(Block("traffic_source", re.compile("views from (organic|boosted) posts")),),
    finish=_finish,
    page=_page("facebook"),
)

CREATOR_STUDIO = Layout(
    name="meta_creator_studio",
    title="Meta Creator Studio (closed in 2023), Facebook videos or posts",
    platform="facebook",
    known_by=(
        frozenset({"universal video id", "video asset id", "60-second video views"}),
        frozenset({"page id"}),
    ),
    columns=(
        # A video's id is that of its post on the page; the universal one is shared by cross-posts, so it comes last.
        Column("_post_id", ("post id", "video asset id", "universal video id"), post_id("facebook"), required=True),
        *FACEBOOK,
    ),
    blocks=(
        Block("views_by_country", re.compile(r"views by country \(.*\((\w\w)\)\)"), str.upper),
        Block("demographic_data", re.compile(r"views by top audience \((.*)\)")),
        Block("traffic_source", re.compile("60-second views from (.*)")),
    ),
    finish=_finish,
    page=_page("facebook"),
)

BUSINESS_SUITE_INSTAGRAM = Layout(
    name="meta_instagram_posts",
    title="Meta Business Suite, Instagram posts",
    platform="instagram",
    known_by=(frozenset({"post id"}), frozenset({"account id", "account username"})),
    columns=(
        Column("_post_id", ("post id",), post_id("instagram"), required=True),
        *COMMON,
        Column("_page_id", ("account id",), post_id("instagram"), required=True),
        Column("_page_name", ("account name",), cells.text),
        Column("_username", ("account username",), cells.text),
        Column("saves", ("saves",), cells.count),
        Column("subscribers_gained", ("follows",), cells.integer),
    ),
    finish=_finish_instagram,
    page=_page("instagram"),
)
