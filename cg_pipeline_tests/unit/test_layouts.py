"""The exports that are known: by which headings they are recognised, and what their rows say."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from cg_pipeline.capture.layouts.base import Layout
from cg_pipeline.capture.layouts.meta import BUSINESS_SUITE_FACEBOOK, BUSINESS_SUITE_INSTAGRAM, CREATOR_STUDIO
from cg_pipeline.capture.layouts.registry import LAYOUTS, recognise
from cg_pipeline.capture.layouts.studio import TIKTOK_STUDIO, YOUTUBE_STUDIO
from cg_pipeline.capture.observation import Observation, Page
from cg_pipeline_tests.unit.exports import (
    CHANNEL,
    CONTEXT,
    FACEBOOK,
    INSTAGRAM,
    OLD_VIDEO,
    TIKTOK,
    YOUTUBE,
    Row,
    observe,
    read,
    refused,
    rejected,
    without,
)

EXPORTS = [
    (BUSINESS_SUITE_FACEBOOK, FACEBOOK),
    (BUSINESS_SUITE_INSTAGRAM, INSTAGRAM),
    (CREATOR_STUDIO, OLD_VIDEO),
    (YOUTUBE_STUDIO, YOUTUBE),
    (TIKTOK_STUDIO, TIKTOK),
]
every_export = pytest.mark.parametrize(("layout", "row"), EXPORTS, ids=lambda part: getattr(part, "name", ""))

every_meta_export = pytest.mark.parametrize(("layout", "row"), EXPORTS[:3], ids=lambda part: getattr(part, "name", ""))


def test_every_layout_is_tested() -> None:
    assert {layout for layout, _ in EXPORTS} == set(LAYOUTS)


# what a whole row says


@pytest.mark.parametrize(
    ("layout", "row", "expected"),
    [
        pytest.param(
            BUSINESS_SUITE_FACEBOOK,
            FACEBOOK,
            Observation(
                2,
                Page("facebook", "1002003004", "Demo Page"),
                "facebook_550000100000001",
                {
                    "asset_tag": "ocean-pack",
                    "title": "Waves at dusk\n#Sea",
                    "description": "with @Friend.One",
                    "post_type": "Video",
                    "publish_time": "2026-01-09T16:04:00+00:00",
                    "duration": 80,
                    "permalink": "https://www.facebook.com/demo/posts/1",
                    "page_id": "1002003004",
                    "page_name": "Demo Page",
                    "hashtags": ["sea"],
                    "mentions": ["friend.one"],
                    "crossposting_status": {"is_crosspost": True, "is_share": False},
                },
                {
                    "lifetime_earnings": Decimal("4.52"),
                    "lifetime_qualified_views": 5200,
                    "lifetime_seconds_viewed": 61200,
                    "views": 8210,
                    "three_second_views": 5100,
                    "one_minute_views": 820,
                    "reactions": 120,
                    "comments": 9,
                    "shares": 24,
                    "impressions": 9000,
                    "reach": 6100,
                    "profile_visits": 7,
                    "avg_watch_percentage": Decimal("15.0125"),
                    "estimated_cpm": Decimal("2.5"),
                    "traffic_source": {"organic": 8000, "boosted": 210},
                },
                "USD",
                {},
            ),
            id="Business Suite, Facebook",
        ),
        pytest.param(
            BUSINESS_SUITE_INSTAGRAM,
            INSTAGRAM,
            Observation(
                2,
                Page("instagram", "17840000000000001", "Demo", "demo"),
                "instagram_18000000000000001",
                {
                    "description": "Waves #sea @friend",
                    "post_type": "Reel",
                    "publish_time": "2025-07-10T04:30:00+00:00",
                    "duration": 32,
                    "permalink": "https://www.instagram.com/reel/DAbCdEfGh12/",
                    "page_id": "17840000000000001",
                    "page_name": "Demo",
                    "hashtags": ["sea"],
                    "mentions": ["friend"],
                },
                {
                    "views": 1500,
                    "reactions": 321,
                    "comments": 12,
                    "shares": 14,
                    "impressions": 1700,
                    "reach": 940,
                    "saves": 20,
                    "profile_visits": 4,
                    "subscribers_gained": -3,
                },
                None,
                {},
            ),
            id="Business Suite, Instagram",
        ),
        pytest.param(
            CREATOR_STUDIO,
            without(OLD_VIDEO, "Views by country (Czech Republic (CZ))", "Views by country (Chile (CL))"),
            Observation(
                2,
                Page("facebook", "1002003004", "Demo Page"),
                "facebook_660000000000001",
                {
                    "title": "Cliffs",
                    "publish_time": "2021-12-16T17:00:00+00:00",
                    "duration": 300,
                    "page_id": "1002003004",
                    "page_name": "Demo Page",
                    "hashtags": [],
                    "mentions": [],
                },
                {
                    "one_minute_views": 50,
                    "reactions": 30,
                    "reach": 400,
                    "avg_watch_percentage": 10,
                    "demographic_data": {"25-34, f": 11},
                    "traffic_source": {"recommendations": 20},
                },
                None,
                {},
            ),
            id="Creator Studio",
        ),
        pytest.param(
            YOUTUBE_STUDIO,
            YOUTUBE,
            Observation(
                2,
                CHANNEL,
                "youtube_-aB3_cD4eF5",
                {
                    "title": "Tides #Sea",
                    "publish_time": "2025-03-05T00:00:00+00:00",
                    "duration": 93,
                    "permalink": "https://www.youtube.com/watch?v=-aB3_cD4eF5",
                    "hashtags": ["sea"],
                    "mentions": [],
                },
                {
                    "lifetime_earnings": Decimal("25.563"),
                    "lifetime_qualified_views": 4000,
                    "lifetime_seconds_viewed": 1_129_571,
                    "views": 7438,
                    "reactions": 88,
                    "comments": 5,
                    "shares": 6,
                    "impressions": 29685,
                    "reach": 5000,
                    "avg_watch_percentage": Decimal("41.5"),
                    "subscribers_gained": -2,
                    "estimated_cpm": Decimal("6.4"),
                },
                "USD",
                {},
            ),
            id="YouTube Studio",
        ),
        pytest.param(
            TIKTOK_STUDIO,
            TIKTOK,
            Observation(
                2,
                Page("tiktok", "demo.one", "demo.one", "demo.one"),
                "tiktok_7550000000000000001",
                {
                    "title": "Dunes #sand",
                    "post_type": "Video",
                    "publish_time": "2025-09-14T17:35:59+00:00",
                    "permalink": TIKTOK["Video link"],
                    "page_name": "demo.one",
                    "hashtags": ["sand"],
                    "mentions": [],
                },
                {"views": 191265, "reactions": 533, "shares": 0},
                None,
                {},
            ),
            id="TikTok Studio",
        ),
    ],
)
def test_every_column_finds_its_field(layout: Layout, row: Row, expected: Observation) -> None:
    raw = {heading: cell for heading, cell in row.items() if cell}
    assert observe(layout, row) == replace(expected, raw=raw)


# recognition


@every_export
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda row: dict(reversed(row.items())), id="in another order"),
        pytest.param(lambda row: {heading.upper(): cell for heading, cell in row.items()}, id="in capitals"),
        pytest.param(lambda row: {heading.lower(): cell for heading, cell in row.items()}, id="in small letters"),
        pytest.param(
            lambda row: {heading.replace(" ", "\u00a0"): cell for heading, cell in row.items()}, id="other blanks"
        ),
        pytest.param(lambda row: {f'"{heading}"': cell for heading, cell in row.items()}, id="in quotes"),
        pytest.param(lambda row: {"New metric": "12", **row}, id="with a column that is not known"),
    ],
)
def test_a_layout_is_recognised_by_its_headings_however_they_are_written(
    layout: Layout, row: Row, change: Callable[[Row], Row]
) -> None:
    changed = change(row)
    assert recognise(list(changed)) is layout
    assert replace(observe(layout, changed), raw={}) == replace(observe(layout, row), raw={})


@every_export
def test_a_column_that_is_not_known_is_reported_and_kept(layout: Layout, row: Row) -> None:
    changed = {**row, "New metric": "12"}
    assert layout.bind(list(changed), CONTEXT).unused[-1] == "New metric"
    assert observe(layout, changed).raw["New metric"] == "12"


@every_export
def test_a_column_that_must_be_there_is_asked_for_by_name(layout: Layout, row: Row) -> None:
    for column in layout.columns:
        if column.required:
            headings = [heading for heading in row if heading.casefold() not in column.headings]
            with refused(f'The file has no column "{column.headings[0]}".'):
                layout.bind(headings, CONTEXT)


@every_export
def test_a_used_heading_that_occurs_twice_is_refused(layout: Layout, row: Row) -> None:
    for index, _ in layout.bind(list(row), CONTEXT).used:
        heading = list(row)[index]
        with refused("The heading occurs twice", column=heading):
            layout.bind([*row, heading.upper()], CONTEXT)
    layout.bind([*row, "New metric", "New metric"], CONTEXT)


def test_the_id_of_the_post_is_preferred_to_that_of_the_video() -> None:
    row = {**OLD_VIDEO, "Post ID": "660000000000007"}
    assert recognise(list(row)) is CREATOR_STUDIO
    assert observe(CREATOR_STUDIO, row).post_id == "facebook_660000000000007"
    assert observe(CREATOR_STUDIO, without(OLD_VIDEO, "Video asset ID")).post_id == "facebook_660000000000009"


def test_countries_are_named_by_their_iso_codes() -> None:
    assert observe(CREATOR_STUDIO, OLD_VIDEO).metrics["views_by_country"] == {"CZ": 7, "CL": 0}


# rows that are short, long or blank


@every_export
def test_a_row_shorter_than_the_heading_leaves_the_rest_unknown(layout: Layout, row: Row) -> None:
    bound = layout.bind(list(row), CONTEXT)
    for length in range(1, len(row)):
        cells = list(row.values())[:length]
        assert bound.read(2, cells) == bound.read(2, [*cells, *[""] * (len(row) - length)])


@every_export
def test_a_row_longer_than_the_heading_is_rejected_unless_the_rest_is_blank(layout: Layout, row: Row) -> None:
    bound = layout.bind(list(row), CONTEXT)
    assert bound.read(2, [*row.values(), "", " "]) == observe(layout, row)
    assert f"has {len(row) + 1} cells under {len(row)} headings" in str(bound.read(2, [*row.values(), "7"]))


@every_export
def test_a_blank_counter_is_unknown_and_a_zero_is_zero(layout: Layout, row: Row) -> None:
    for heading in {"Views", "Total views", "Likes"} & row.keys():
        known = observe(layout, {**row, heading: "0"}).metrics
        unknown = observe(layout, {**row, heading: ""}).metrics
        assert {key: value for key, value in known.items() if key not in unknown} in ({"views": 0}, {"reactions": 0})


@every_export
def test_a_nul_character_anywhere_quarantines_the_row_in_words_that_can_be_stored(layout: Layout, row: Row) -> None:
    row = {**row, "New metric": "12"}
    for heading in row:
        rejected(layout, {**row, heading: f"{row[heading]}\0"})
    record = layout.bind(list(row), CONTEXT).read(2, [*row.values(), "a\0b"])
    assert record
    assert "\\x00" not in repr(record)


@every_export
def test_a_cell_that_cannot_be_read_quarantines_its_row_with_the_heading(layout: Layout, row: Row) -> None:
    counters = {"Views", "Likes", "Total views", "Views by country (Chile (CL))", "Views from Boosted posts"}
    for heading in counters & row.keys():
        record = rejected(layout, {**row, heading: "-7"})
        assert (record.line, record.problem_column, record.raw[heading]) == (2, heading, "-7")
        assert record.problem == '"-7" is below zero'


# ids

IDS = [
    (BUSINESS_SUITE_FACEBOOK, FACEBOOK, "Post ID"),
    (BUSINESS_SUITE_FACEBOOK, FACEBOOK, "Page ID"),
    (BUSINESS_SUITE_INSTAGRAM, INSTAGRAM, "Post ID"),
    (BUSINESS_SUITE_INSTAGRAM, INSTAGRAM, "Account ID"),
    (CREATOR_STUDIO, OLD_VIDEO, "Video asset ID"),
    (YOUTUBE_STUDIO, YOUTUBE, "Content"),
]
every_id = pytest.mark.parametrize(("layout", "row", "heading"), IDS, ids=lambda part: getattr(part, "name", None))


@every_id
@pytest.mark.parametrize("cell", ["1.82772E+15", "1,82772E+15"])
def test_an_id_in_scientific_notation_refuses_the_file(layout: Layout, row: Row, heading: str, cell: str) -> None:
    with refused("its last digits are lost. Import the file as it was downloaded", 2, heading):
        read(layout, {**row, heading: cell})


@every_id
@pytest.mark.parametrize("cell", ["#NAME?", "", "122 164", "12"])
def test_a_damaged_id_quarantines_its_row(layout: Layout, row: Row, heading: str, cell: str) -> None:
    assert rejected(layout, {**row, heading: cell}).problem_column == heading


# lifetime rows


@every_meta_export
def test_only_lifetime_rows_are_taken_alone_or_mixed(layout: Layout, row: Row) -> None:
    for word in ("Lifetime", " LIFETIME "):
        assert observe(layout, {**row, "Date": word}).metrics
    for word in ("01/15/2026", "2026-01-15", "Livstid"):
        with refused('Export again with "Lifetime" chosen, and with English (US) as the language.', 2, "Date"):
            read(layout, {**row, "Date": word})
    assert rejected(layout, {**row, "Date": " "}).problem_column == "Date"


# kinds of posts


@pytest.mark.parametrize(
    ("layout", "row", "word", "kind"),
    [
        *(
            (BUSINESS_SUITE_FACEBOOK, FACEBOOK, word, kind)
            for word, kind in {
                "Photos": "Photo", "videos": "Video", "Live": "Video", "REELS": "Reel", "Links": "Link",
                "Text/Status": "Status", "Text": "Text", "Stories": "Status", "Holograms": None, "N/A": None, "": None,
            }.items()
        ),
        *(
            (BUSINESS_SUITE_INSTAGRAM, {**INSTAGRAM, "Permalink": "https://www.instagram.com/p/DAb/"}, word, kind)
            for word, kind in {
                "IG image": "Photo", "IG carousel": "Photo", "IG reel": "Reel", "IG video": "Video",
                "IG story": "Status", "Videos": None,
            }.items()
        ),
    ],
)  # fmt: skip
def test_the_type_of_a_post_has_our_name_and_one_that_is_new_none(
    layout: Layout, row: Row, word: str, kind: str | None
) -> None:
    assert observe(layout, {**row, "Post type": word}).attributes.get("post_type") == kind


@every_meta_export
def test_a_reel_is_known_by_its_address_whatever_its_type_says(layout: Layout, row: Row) -> None:
    row = {**row, "Post type": "Videos", "Permalink": "https://www.facebook.com/reel/777001/"}
    assert observe(layout, row).attributes["post_type"] == "Reel"
