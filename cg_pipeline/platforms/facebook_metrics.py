"""Facebook's metrics: the table, and what the numbers of posts, videos and earnings mean in our columns.

Names and dates: developers.facebook.com/docs/graph-api/reference/page/insights (2026-09-11) and /video/video_insights.
The API has nothing for `saves`, `profile_visits` of a post, and `device_type`; `impressions` ended in November 2025.
"""

from datetime import date
from decimal import Decimal
from typing import Any

from cg_pipeline.errors import CgError
from cg_pipeline.platforms import graph
from cg_pipeline.platforms.graph_nodes import Found, without_addresses
from cg_pipeline.platforms.records import Json, MetricsRecord, PostRecord, without_nulls
from cg_pipeline.platforms.registry import Kind, Metric

VIDEO, REEL = frozenset({"video"}), frozenset({"reel"})
BOTH, ALL = VIDEO | REEL, frozenset[str]()
SCOPE = "read_insights"
COUNT, UNIQUE, PARTS, RATIO, MONEY = Kind.CUMULATIVE, Kind.UNIQUE, Kind.BREAKDOWN, Kind.RATIO, Kind.MONEY
MILLI, CENT = Decimal("0.001"), Decimal("0.01")
APPROXIMATE, CONTENT, CPM = (
    "monetization_approximate_earnings", "content_monetization_earnings", "total_video_ad_break_ad_cpm"
)  # fmt: skip
LAST_IN_2024, LAST_IN_2025, LAST_IN_2026 = date(2024, 3, 13), date(2025, 11, 14), date(2026, 6, 14)

# Where two fill a column, the first that is known counts. Family "post" comes with the listing, whatever a post is.
METRICS = (
    Metric("post_media_view", "views", COUNT, "count", ALL, "post", SCOPE),
    Metric("post_total_media_view_unique", "reach", UNIQUE, "count", ALL, "post", SCOPE),
    Metric("post_reactions_by_type_total", None, PARTS, "count", ALL, "post", SCOPE),
    Metric("post_activity_by_action_type", None, PARTS, "count", ALL, "post", SCOPE),
    Metric("post_clicks", None, COUNT, "count", ALL, "post", SCOPE),
    Metric("post_clicks_by_type", None, PARTS, "count", ALL, "post", SCOPE),
    Metric("post_video_views", "three_second_views", COUNT, "count", BOTH, "post", SCOPE),
    Metric("post_video_views_60s_excludes_shorter", "one_minute_views", COUNT, "count", BOTH, "post", SCOPE),
    Metric("post_impressions", "impressions", COUNT, "count", ALL, "post", SCOPE, until=LAST_IN_2025),
    Metric("post_impressions_unique", "reach", UNIQUE, "count", ALL, "post", SCOPE, until=LAST_IN_2026),
    Metric("post_engaged_users", None, UNIQUE, "count", ALL, "post", SCOPE, until=LAST_IN_2024),
    Metric("total_video_views", "three_second_views", COUNT, "count", VIDEO, "video", SCOPE),
    Metric("total_video_60s_excludes_shorter_views", "one_minute_views", COUNT, "count", VIDEO, "video", SCOPE),
    Metric("total_video_view_total_time", "lifetime_seconds_viewed", COUNT, "ms", VIDEO, "video", SCOPE, MILLI),
    Metric("total_video_avg_time_watched", None, RATIO, "ms", VIDEO, "video", SCOPE),
    Metric("total_video_views_by_country_id", "views_by_country", PARTS, "count", VIDEO, "video", SCOPE),
    Metric("total_video_views_by_age_bucket_and_gender", "demographic_data", PARTS, "count", VIDEO, "video", SCOPE),
    Metric("total_video_views_by_distribution_type", "traffic_source", PARTS, "count", VIDEO, "video", SCOPE),
    Metric("total_video_views_unique", None, UNIQUE, "count", VIDEO, "video", SCOPE, until=LAST_IN_2026),
    Metric("blue_reels_play_count", None, COUNT, "count", REEL, "video", SCOPE),
    Metric("fb_reels_replay_count", None, COUNT, "count", REEL, "video", SCOPE),
    Metric("fb_reels_total_plays", None, COUNT, "count", REEL, "video", SCOPE),
    Metric("post_video_view_time", "lifetime_seconds_viewed", COUNT, "ms", REEL, "video", SCOPE, MILLI),
    Metric("post_video_avg_time_watched", None, RATIO, "ms", REEL, "video", SCOPE),
    Metric("post_video_followers", "subscribers_gained", COUNT, "count", REEL, "video", SCOPE),
    Metric("post_video_likes_by_reaction_type", None, PARTS, "count", REEL, "video", SCOPE),
    Metric("post_video_social_actions", None, PARTS, "count", REEL, "video", SCOPE),
    Metric("creator_monetization_qualified_views", "lifetime_qualified_views", COUNT, "count", BOTH, "ads", SCOPE),
    Metric(CPM, "estimated_cpm", MONEY, "cents", VIDEO, "ads", SCOPE, CENT, "USD"),
    Metric("total_video_ad_break_earnings", None, MONEY, "cents", VIDEO, "ads", SCOPE, CENT, "USD"),
    Metric("total_video_ad_break_ad_impressions", None, COUNT, "count", VIDEO, "ads", SCOPE),
    Metric(APPROXIMATE, "lifetime_earnings", MONEY, "major units of an untold currency", ALL, "money", SCOPE),
    Metric(CONTENT, None, MONEY, "micros of an undocumented divisor", ALL, "money", SCOPE),
)  # fmt: skip
# Where a summary is not told: the column, the metric, and its part that counts (None: all).
INSTEAD = (
    ("reactions", "post_reactions_by_type_total", None), ("reactions", "post_video_likes_by_reaction_type", None),
    ("comments", "post_activity_by_action_type", "comment"), ("comments", "post_video_social_actions", "COMMENT"),
    ("shares", "post_activity_by_action_type", "share"), ("shares", "post_video_social_actions", "SHARE"),
)  # fmt: skip
AVERAGES = ("total_video_avg_time_watched", "post_video_avg_time_watched")
BY_NAME = {metric.name: metric for metric in METRICS}


def values_of(item: Json, video: Json, media: str) -> Json:
    """Our columns, without money. `shares` is missing where nobody shared; it stays unknown."""
    known = _insights(item, "insights") | _insights(video, "video_insights")
    values: Json = {}
    for name in ("reactions", "comments"):
        values[name] = item.get(name, {}).get("summary", {}).get("total_count")
    values["shares"] = item.get("shares", {}).get("count")
    for metric in (metric for metric in METRICS if metric.column and metric.kind is not MONEY):
        told = known.get(metric.name) if not metric.media or media in metric.media else None
        if isinstance(told, dict if metric.kind is PARTS else int | float) and told != {}:
            values.setdefault(metric.column or "", metric.value(told))
    for column, name, part in INSTEAD:
        parts = known.get(name) or {}
        if values.get(column) is None and (part is None or part in parts) and parts:
            values[column] = parts[part] if part else sum(parts.values())
    average, length = next((known[name] for name in AVERAGES if name in known), None), video.get("length")
    if average is not None and length:
        values["avg_watch_percentage"] = round(Decimal(str(average)) / (10 * Decimal(str(length))), 4)
    return {name: value for name, value in values.items() if value is not None}


def money(post: PostRecord, answer: Found, setting: str | None) -> MetricsRecord:
    """Earnings in the currency that Facebook names with the detailed ones, else in that of the site's settings.

    The detailed amount itself is in micros of an undocumented divisor: it is kept, never used. The price of ads is in
    US dollars; a record has one currency, so it is left out beside earnings in another.
    """
    if isinstance(answer, CgError):
        answer = {"unavailable": {"money": str(answer)}}
    told = _insights(answer, "insights")
    amount, detail = told.get(APPROXIMATE), told.get(CONTENT)
    named = detail.get("currency") if isinstance(detail, dict) else None
    currency, problem = named or setting, _problem(amount, detail, named, setting)
    values: Json = {}
    if amount is not None and currency and not problem:
        values["lifetime_earnings"] = BY_NAME[APPROXIMATE].value(amount)
    price = _insights(post.raw.get("video") or {}, "video_insights").get(CPM)
    if price is not None and (not values or currency == "USD"):
        values["estimated_cpm"], currency = BY_NAME[CPM].value(price), "USD"
    return MetricsRecord(post.native_id, values, currency if values else None, without_addresses(answer), problem)


def _insights(node: Json, edge: str) -> Json:
    """What a node tells under an edge that was asked for as a field of it; it is left out where there is nothing."""
    return graph.insights(without_nulls(node.get(edge) or {}).get("data", []))


def _problem(amount: Any, detail: Any, named: str | None, setting: str | None) -> str | None:
    """Why earnings cannot be used. Nothing is no problem, whatever its currency."""
    if amount is not None and not isinstance(amount, int | float):
        return f"Earnings of {amount!r} are no plain number, as they were documented."
    if amount and named and setting and named != setting:
        return f"Facebook pays in {named}, the site's setting `currency` says {setting}: correct the setting."
    if amount and not (named or setting):
        return f"Earnings of {amount} without a currency are not paid: set the site's `currency`."
    micros = detail.get("microAmount") if isinstance(detail, dict) else None
    if amount is None and micros and Decimal(str(micros)):
        return f"Earnings are given as {micros} micros only, and what a micro is of is not documented."
    return None
