"""The days from which a platform's metric means something else than before, as far as they are known. Data only.

A break holds for a column of ours on all posts of a platform; deltas of that column do not cross it. None is needed
where a column ends (`impressions` of Facebook and Instagram are no longer told) or where only advertisers see the
change (X, 2026-08-13). What changed for one kind of post only is left out, because a break would take a day of `views`
from all the others too: YouTube's Shorts count every start since 2025-03-31.
"""

from datetime import date
from typing import NamedTuple


class DefinitionBreak(NamedTuple):
    """From `first_day` on, `metric` (a column of snapshots) has the new meaning; `reason` says which, with source."""

    platform: str
    metric: str
    first_day: date
    reason: str


# Of YouTube's change two days are told, and which is right shows only in the numbers: neither is crossed.
BREAKS = (
    DefinitionBreak(
        "facebook",
        "views",
        date(2025, 11, 15),
        "Displays were counted as impressions (post_impressions) until 2025-11-14, and are counted as views "
        "(post_media_view: plays and displays) since. "
        "Source: developers.facebook.com/documentation/pages-api/platforminsights/page/deprecated-metrics",
    ),
    DefinitionBreak(
        "facebook",
        "reach",
        date(2026, 6, 15),
        "post_impressions_unique ended on 2026-06-14; reach is post_total_media_view_unique, viewers, alone since. "
        "Source: developers.facebook.com/docs/graph-api/changelog/version25.0",
    ),
    DefinitionBreak(
        "youtube",
        "views",
        date(2026, 8, 24),
        "A view counts from the first frame in all formats, autoplay and previews included; the former count lives on "
        "as engagedViews. This is the day on which the switch was reported. "
        "Source: github.com/faborsky/youtube-cli-app/releases (v2.0.0)",
    ),
    DefinitionBreak(
        "youtube",
        "views",
        date(2026, 8, 27),
        "A view counts from the first frame in all formats, autoplay and previews included; the former count lives on "
        "as engagedViews. This is the day of Google's announcement. "
        "Source: developers.google.com/youtube/analytics/revision_history",
    ),
)
