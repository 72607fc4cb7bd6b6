"""YouTube's metrics: the table, and what the rows of its reports mean in our columns.

Names: developers.google.com/youtube/analytics/metrics and /channel_reports (read 2026-11-22).
"""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

from cg_pipeline.platforms.records import Json, MetricsRecord
from cg_pipeline.platforms.registry import Kind, Metric

SCOPE = "https://www.googleapis.com/auth/"
MONEY_SCOPE = f"{SCOPE}yt-analytics-monetary.readonly"
CURRENCY = "USD"  # what the account is paid in is not told, so the conversion is asked for by name

# The families `main` and `money` are reports by video; the others bear the name of their dimensions. A breakdown is
# named by its dimension and counts views. `engagedViews` comes last: it was seen refused beside others.
TRAFFIC, VIEWERS = "video,insightTrafficSourceType", "ageGroup,gender"
BY_VIDEO = frozenset({"main", "money"})
_money = partial(Metric, family="money", scope=MONEY_SCOPE)
METRICS = (
    Metric("views", "views"),
    Metric("likes", "reactions"),
    Metric("comments", "comments"),
    Metric("shares", "shares"),
    Metric("estimatedMinutesWatched", "lifetime_seconds_viewed", unit="minutes", scale=Decimal(60)),
    Metric("averageViewDuration", None, Kind.RATIO, "seconds"),
    Metric("averageViewPercentage", "avg_watch_percentage", Kind.RATIO, "percent"),
    Metric("subscribersGained", "subscribers_gained"),
    Metric("subscribersLost", None),
    Metric("videosAddedToPlaylists", "saves"),  # the nearest that there is: any playlist, removals not deducted
    Metric("videosRemovedFromPlaylists", None),
    Metric("engagedViews", None),
    _money("estimatedRevenue", "lifetime_earnings", Kind.MONEY, currency=CURRENCY),
    _money("estimatedAdRevenue", None, Kind.MONEY, currency=CURRENCY),
    _money("grossRevenue", None, Kind.MONEY, currency=CURRENCY),
    _money("estimatedRedPartnerRevenue", None, Kind.MONEY, currency=CURRENCY),
    _money("cpm", "estimated_cpm", Kind.MONEY, currency=CURRENCY),  # the one that Studio exports as CPM
    _money("playbackBasedCpm", None, Kind.MONEY, currency=CURRENCY),
    _money("monetizedPlaybacks", "lifetime_qualified_views"),
    _money("adImpressions", None),
    Metric("country", "views_by_country", Kind.BREAKDOWN, family="video,country"),
    Metric("insightTrafficSourceType", "traffic_source", Kind.BREAKDOWN, family=TRAFFIC),
    Metric("deviceType", "device_type", Kind.BREAKDOWN, family="video,deviceType"),
    Metric("viewerPercentage", "demographic_data", Kind.BREAKDOWN, "percent", family=VIEWERS),
)


@dataclass
class Found:
    """What was learnt: the last day and the lack of whole families, and rows and refusals by post and family."""

    coverage: dict[str, str]
    unavailable: dict[str, str]
    rows: dict[str, dict[str, list[Json]]] = field(default_factory=lambda: defaultdict(dict))
    refused: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))


def record_of(native_id: str, found: Found) -> MetricsRecord:
    """What the reports say of one video, the reasons for what they do not say, and the refusal of the whole video."""
    rows, refused = found.rows.get(native_id, {}), found.refused.get(native_id, {})
    reports = {family: dict(item for row in some for item in row.items()) if family in BY_VIDEO else some
               for family, some in rows.items()}  # fmt: skip
    told = ((metric, _value(metric, reports[metric.family])) for metric in METRICS if metric.family in reports)
    values = {metric.column: value for metric, value in told if metric.column and value is not None}
    raw = {"reports": reports, "coverage": found.coverage, "unavailable": found.unavailable | refused}
    problem = f"YouTube refuses reports of this video: {refused['main']}" if "main" in refused else None
    is_paid = any(metric.kind is Kind.MONEY for metric in METRICS if metric.column in values)
    return MetricsRecord(native_id, values, CURRENCY if is_paid else None, raw, problem)


def _value(metric: Metric, report: Any) -> Any:
    """Our value from a row, or from the rows of a breakdown; None where there is none."""
    if metric.kind is not Kind.BREAKDOWN:
        return metric.value(report.get(metric.name))
    dimensions = metric.family.removeprefix("video,").split(",")
    counted = metric.name if metric.family == VIEWERS else "views"
    told = [row for row in report if row.get(counted) is not None]
    return {".".join(str(row.get(name)) for name in dimensions): row[counted] for row in told} or None
