"""Which layout a file has, found by its headings alone; and for tables that are no posts, what to do instead."""

from collections.abc import Sequence

from cg_pipeline.capture.layouts.base import Layout, names_of
from cg_pipeline.capture.layouts.meta import BUSINESS_SUITE_FACEBOOK, BUSINESS_SUITE_INSTAGRAM, CREATOR_STUDIO
from cg_pipeline.capture.layouts.studio import TIKTOK_STUDIO, YOUTUBE_STUDIO
from cg_pipeline.errors import FileRefused

# Creator Studio stands first: its files may have all that marks a Business Suite file.
LAYOUTS = (CREATOR_STUDIO, BUSINESS_SUITE_FACEBOOK, BUSINESS_SUITE_INSTAGRAM, YOUTUBE_STUDIO, TIKTOK_STUDIO)

MOST_LISTED = 2_000  # characters of headings in a message

# Headings (lower case) that mark a table of something else -> what it is, what to do.
NOT_POSTS: tuple[tuple[frozenset[str], str, str], ...] = (
    (
        frozenset({"ad id"}),
        "This is an export of Ads Manager: it counts ads, not posts.",
        "Export the posts from Insights > Content.",
    ),
    (
        frozenset({"date", "primary"}),
        "This is a chart of Meta Business Suite: one row per day, not per post.",
        "Export the posts from Insights > Content.",
    ),
    (
        frozenset({"date", "content"}),
        "This is a chart of YouTube Studio: views per day, not lifetime counters.",
        "Import the Table data of the same export, with the period Lifetime.",
    ),
    (
        frozenset({"date", "subscription status"}),
        "This is a chart of YouTube Studio by subscription status: it names no videos.",
        "Export the Table data by Content, with the period Lifetime.",
    ),
    (
        frozenset({"date", "video views"}),
        "This is the overview of TikTok Studio: increments per day, not per video.",
        "Export Content instead.",
    ),
    (
        frozenset({"date", "total viewers"}),
        "This is the viewers table of TikTok Studio: it names no videos.",
        "Export Content instead.",
    ),
    *(
        (
            frozenset({first, "views"}),
            f'This is a table of YouTube Studio by "{first}": it names no videos.',
            "Export the Table data by Content, with the period Lifetime.",
        )
        for first in ("geography", "subscription status", "traffic source", "device type")
    ),
    (
        frozenset({"name", "period", "id", "value"}),
        "This table has one row per post and metric.",
        "Turn it into one row per post, a column per metric, and give it a column mapping: see `cg csv inspect`.",
    ),
    (
        frozenset({"channel_id", "subscribers", "videos"}),
        "This table counts whole channels, not posts.",
        "Export a table with one row per post.",
    ),
    (
        frozenset({"viewer age"}),
        "This is a table of YouTube Studio by viewer age: it names no videos.",
        "Export the Table data by Content, with the period Lifetime.",
    ),
)


def recognise(headings: Sequence[str], mapped: Sequence[Layout] = ()) -> Layout:
    """The layout of a file with these headings: a known export, else one of the sites' column mappings.

    Raises FileRefused for a table that is known to hold no posts, one that is not known, and one that fits several
    mappings.
    """
    refusal = _not_posts(headings)
    known = [] if refusal else [layout for layout in LAYOUTS if layout.matches(headings)]
    fitting = [layout for layout in mapped if layout.matches(headings)]
    if known or len(fitting) == 1:
        return (known or fitting)[0]
    if fitting:
        problem = "The headings fit the column mappings of several sites."
        raise FileRefused(problem, 'Say which it is: cg csv import FILE --as-of DATE --site "NAME".', line=1)
    raise refusal or _unknown(headings)


def _not_posts(headings: Sequence[str]) -> FileRefused | None:
    present = {name for heading in headings for name in names_of(heading)}
    for marks, problem, remedy in NOT_POSTS:
        if marks <= present:
            return FileRefused(problem, remedy, line=1)
    return None


def _unknown(headings: Sequence[str]) -> FileRefused:
    listed = ", ".join(headings)
    if len(listed) > MOST_LISTED:
        listed = f"{listed[:MOST_LISTED]}... ({len(headings)} in all)"
    problem = f"The headings are of no known export: {listed}."
    remedy = (
        "If it is an export in another language, export it again in English (US); "
        "if it is another table with one row per post, give it a column mapping: see `cg csv inspect FILE`."
    )
    return FileRefused(problem, remedy, line=1)
