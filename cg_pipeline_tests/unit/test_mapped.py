"""Tables that are read through a column mapping: what an operator may write, and what rows say through it."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cg_pipeline.capture.layouts.mapped import ColumnMapping, field_parsers, layout_of, propose
from cg_pipeline.capture.layouts.registry import recognise
from cg_pipeline.capture.observation import Page
from cg_pipeline.errors import ConfigError
from cg_pipeline_tests.unit.exports import CHANNEL, CONTEXT, Row, observe, read, refused, rejected, steady

UTC = ZoneInfo("UTC")
ID = "-aB3_cD4eF5"

# our field -> a cell, and what comes of it: an attribute, a metric, a page or the post id
ATTRIBUTES: dict[str, tuple[str, Any]] = {
    "asset_tag": ("ocean-pack", "ocean-pack"),
    "title": ("Waves #sea", "Waves #sea"),
    "description": ("by @demo", "by @demo"),
    "post_type": ("VIDEO", "Video"),
    "publish_time": ("2026-01-09 08:04", "2026-01-09T08:04:00+00:00"),
    "duration": ("PT1M20S", 80),
    "permalink": ("https://example.com/1", "https://example.com/1"),
    "thumbnail_url": ("https://example.com/1.jpg", "https://example.com/1.jpg"),
    "video_url": ("https://example.com/1.mp4", "https://example.com/1.mp4"),
    "aspect_ratio": ("16:9", "16:9"),
    "resolution": ("1920x1080", "1920x1080"),
    "monetization_status": ("monetized", "monetized"),
    "content_category": ("Music", "Music"),
    "privacy_status": ("Unlisted", "unlisted"),
    "parent_post_id": ("AAAAAAAAAAA", "youtube_AAAAAAAAAAA"),
    "page_id": ("UCother", "UCother"),
    "page_name": ("Other Channel", "Other Channel"),
}
COUNTS = (
    "views", "three_second_views", "one_minute_views", "reactions", "comments", "shares", "impressions", "reach",
    "saves", "profile_visits", "lifetime_qualified_views",
)  # fmt: skip
METRICS: dict[str, tuple[str, Any]] = {
    **dict.fromkeys(COUNTS, ("1,234", 1234)),
    "lifetime_seconds_viewed": ("61200.4", 61200),
    "subscribers_gained": ("-2", -2),
    "avg_watch_percentage": ("41.5", Decimal("41.5")),
    "lifetime_earnings": ("$3.42", Decimal("3.42")),
    "estimated_cpm": ("2.5", Decimal("2.5")),
}
OTHERS = {"post_id": ID, "snapshot_date": "2026-01-15"}


def test_every_field_that_can_be_mapped_is_tested() -> None:
    assert {*ATTRIBUTES, *METRICS, *OTHERS} == field_parsers(UTC).keys()


@pytest.mark.parametrize("kept", [str.upper, str.lower, str.title])
def test_every_mapped_column_finds_its_field(kept: Any) -> None:
    """Headings are the names of the fields with a prefix, written in the file in another way than in the mapping."""
    fields = {name: cell for name, (cell, _) in (ATTRIBUTES | METRICS).items()} | OTHERS
    layout = layout_of(ColumnMapping({name: f"the {name}" for name in fields}, "EUR"), "youtube")
    row = {kept(f"the {name}"): cell for name, cell in fields.items()}
    assert recognise(list(row), [layout]) is layout
    seen = observe(layout, row)
    tags = {"hashtags": ["sea"], "mentions": ["demo"]}
    assert seen.attributes == {name: value for name, (_, value) in ATTRIBUTES.items()} | tags
    assert seen.metrics == {name: value for name, (_, value) in METRICS.items()}
    assert (seen.post_id, seen.page, seen.currency) == (
        f"youtube_{ID}",
        Page("youtube", "UCother", "Other Channel"),
        "EUR",
    )


def table(**cells: str) -> tuple[ColumnMapping, Row]:
    """A mapping and a row; the headings are the fields in capitals."""
    cells = {"post_id": ID, "views": "10"} | cells
    return ColumnMapping({name: name.upper() for name in cells}), {name.upper(): cell for name, cell in cells.items()}


def test_blank_and_missing_cells_are_unknown() -> None:
    mapping, row = table(reactions="", title=" ", post_type="hologram", publish_time="N/A")
    layout = layout_of(mapping, "youtube")
    for cells in (None, 2):
        seen = observe(layout, row, cells=cells)
        assert (seen.metrics, seen.attributes) == ({"views": 10}, {})
    assert rejected(layout, {"VIEWS": "", **row}, cells=1).problem == "the id is missing"


@pytest.mark.parametrize(
    ("platform", "cell"),
    [("facebook", "122164187384762707"), ("tiktok", "7550000000000000001"), ("twitter", "20"), ("threads", "18000000")],
)
def test_ids_are_those_of_the_platform_of_the_site(platform: str, cell: str) -> None:
    mapping, row = table(post_id=cell)
    context = replace(CONTEXT, site=Page(platform, "1"))
    assert observe(layout_of(mapping, platform), row, context).post_id == f"{platform}_{cell}"
    assert rejected(layout_of(mapping, platform), {**row, "POST_ID": "x y"}, context).problem_column == "POST_ID"
    with refused("its last digits are lost", 2, "POST_ID"):
        read(layout_of(mapping, platform), {**row, "POST_ID": "1.22164E+17"}, context)


# whose rows they are


def test_rows_belong_to_the_site_unless_the_table_names_their_pages() -> None:
    mapping, row = table()
    assert observe(layout_of(mapping, "youtube"), row).page == CHANNEL
    assert "page" in rejected(layout_of(mapping, "youtube"), row, replace(CONTEXT, site=None)).problem
    mapping, row = table(page_id="UCother")
    layout = layout_of(mapping, "youtube")
    seen = observe(layout, row)
    assert (seen.page, seen.attributes["page_id"]) == (Page("youtube", "UCother"), "UCother")


@pytest.mark.parametrize(("page_id", "site"), [("", CHANNEL), (" ", None)])
def test_a_row_that_does_not_name_its_page_is_not_given_to_another(page_id: str, site: Page | None) -> None:
    mapping, row = table(page_id=page_id)
    assert rejected(layout_of(mapping, "youtube"), row, replace(CONTEXT, site=site))


def test_the_id_of_a_page_in_scientific_notation_refuses_the_file() -> None:
    mapping, row = table(post_id="550000100000001", page_id="1.00200E+14")
    with refused("its last digits are lost", 2, "PAGE_ID"):
        read(layout_of(mapping, "facebook"), row)


# times and days


def test_a_time_without_an_offset_is_of_the_zone_of_the_mapping() -> None:
    mapping, row = table(publish_time="2026-01-09 08:04")
    layout = layout_of(replace(mapping, timezone=ZoneInfo("America/New_York")), "youtube")
    assert observe(layout, row).attributes["publish_time"] == "2026-01-09T13:04:00+00:00"


@pytest.mark.parametrize(
    ("cell", "form", "zone"),
    [
        ("2026-01-15", None, "UTC"),
        ("2026-01-15T13:56:14", None, "UTC"),
        ("2026-01-15T13:56:14Z", None, "UTC"),
        ("26.15.01", "%y.%d.%m", "UTC"),
        ("15/01/2026", "%d/%m/%Y", "UTC"),
        ("2026-01-16T02:00:00Z", None, "America/New_York"),  # still the 15th in the reporting zone
        ("2026-01-15T23:30:00-02:00", None, "America/New_York"),
        ("2026-01-16 02:00:00", None, "America/New_York"),  # a time without an offset is of the zone of the mapping
        ("2026-01-15", None, "Asia/Tokyo"),  # a day is a day everywhere
    ],
)
def test_rows_of_the_day_are_taken(cell: str, form: str | None, zone: str) -> None:
    mapping, row = table(snapshot_date=cell)
    layout = layout_of(replace(mapping, snapshot_date_format=form), "youtube")
    assert observe(layout, row, replace(CONTEXT, timezone=ZoneInfo(zone))).metrics == {"views": 10}


@pytest.mark.parametrize(
    ("cell", "form", "zone", "saying"),
    [
        ("2026-01-14", None, "UTC", "The row is of 2026-01-14, but the file is imported as of 2026-01-15."),
        ("26.01.15", "%y.%d.%m", "UTC", "no usable date"),  # the form flipped half way
        ("26.01.12", "%y.%d.%m", "UTC", "The row is of 2026-12-01"),
        ("2026-01-15T02:00:00Z", None, "America/New_York", "The row is of 2026-01-14"),
        ("15.01.2026", None, "UTC", "Give its format as snapshot_date_format in the mapping"),
        ("", None, "UTC", "no usable date"),
        ("0001-01-01T00:00:00+09:00", None, "UTC", "no usable date"),
        ("", "%y.%d.%m", "UTC", "no usable date"),
    ],
)
def test_rows_of_another_day_refuse_the_file(cell: str, form: str | None, zone: str, saying: str) -> None:
    mapping, row = table(snapshot_date=cell)
    layout = layout_of(replace(mapping, snapshot_date_format=form), "youtube")
    with refused(saying, 2, "SNAPSHOT_DATE"):
        read(layout, row, replace(CONTEXT, timezone=ZoneInfo(zone)))


# what an operator writes


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "`columns`"),
        ("- post_id", "`columns`"),
        ("currency: EUR", "`columns`"),
        ("columns: [post_id]", "`columns`"),
        ("columns: {}", "post_id"),
        ("columns: {views: a}", "post_id"),
        ("columns: {post_id: a", "no YAML"),
        ("columns: {post_id: a}\0", "no YAML"),
        ("columns: {post_id: a, vews: b}", "columns.vews"),
        ("columns: {post_id: a, 5: b}", "columns.5"),
        ("columns: {post_id: a}\ncurency: EUR", "curency"),
        ("columns: {post_id: a}\n5: EUR", "5"),
        ("columns: {post_id: a, views: }", "views"),  # a heading was forgotten
        ("columns: {post_id: a, views: [b, c]}", "views"),
        ("columns: {post_id: a, views: ' '}", "views"),
        ("columns: {post_id: a, views: Yes}", "views"),  # YAML reads a truth
        ("columns: {post_id: a}\ntimezone: Mars/Base", "timezone"),
        ("columns: {post_id: a}\ntimezone: ../UTC", "timezone"),
        ("columns: {post_id: a}\ntimezone: America", "timezone"),  # a folder of zones
        ("columns: {post_id: a}\ntimezone: 5", "timezone"),
        ("columns: {post_id: a}\ntimezone: [UTC]", "timezone"),
        ("columns: {post_id: a}\ncurrency: euro", "currency"),
        ("columns: {post_id: a}\ncurrency: 978", "currency"),
        ("columns: {post_id: a}\ncurrency: [EUR]", "currency"),
        ("columns: {post_id: a}\nsnapshot_date_format: 5", "snapshot_date_format"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_refused_with_the_key(text: str, key: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        ColumnMapping.parse(text)
    assert key in str(refusal.value)


def test_a_mapping_is_read_from_yaml_or_json() -> None:
    mapping = ColumnMapping({"post_id": "video_id", "views": "2026"}, "EUR", ZoneInfo("Europe/Berlin"), "%y.%d.%m")
    assert mapping == ColumnMapping.parse(
        """
        columns:
          post_id: video_id
          views: 2026
        currency: EUR
        timezone: Europe/Berlin
        snapshot_date_format: "%y.%d.%m"
        """
    )
    assert ColumnMapping.parse('{"columns": {"post_id": "a"}}') == ColumnMapping({"post_id": "a"})
    assert ColumnMapping.parse("columns: {post_id: a}\ntimezone:\ncurrency:") == ColumnMapping({"post_id": "a"})


HEADINGS = st.text(min_size=1).map(str.strip).filter(bool)
FIELDS = st.dictionaries(st.sampled_from(sorted(field_parsers(UTC))), HEADINGS)


@steady
@given(
    FIELDS,
    HEADINGS,
    st.none() | st.sampled_from(["EUR", "USD"]),
    st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata"]),
    st.none() | st.sampled_from(["%y.%d.%m", "%d/%m/%Y"]),
)
def test_a_mapping_is_stored_and_read_back(
    columns: dict[str, str], post_id: str, currency: str | None, zone: str, form: str | None
) -> None:
    mapping = ColumnMapping(columns | {"post_id": post_id}, currency, ZoneInfo(zone), form)
    assert ColumnMapping.of(mapping.as_data()) == mapping
    assert ColumnMapping.parse(yaml.safe_dump(mapping.as_data())) == mapping


# what is proposed


@pytest.mark.parametrize(
    ("headings", "columns"),
    [
        pytest.param(
            ["video_id", "trending_date", "title", "channel_title", "publish_time", "views", "likes", "comment_total"],
            {
                "post_id": "video_id", "page_name": "channel_title", "title": "title", "publish_time": "publish_time",
                "snapshot_date": "trending_date", "views": "views", "reactions": "likes", "comments": "comment_total",
            },
            id="trending videos",
        ),
        pytest.param(
            ["Channel_ID", "Video ID", "View Count", "Like Count", "id", "tags"],
            {"post_id": "Video ID", "page_id": "Channel_ID", "views": "View Count", "reactions": "Like Count"},
            id="YouTube Data API, as a person writes it; the preferred id",
        ),
        pytest.param(
            ["tweet_id", "text", "created_at", "likes", "retweets", "bookmarks"],
            {
                "post_id": "tweet_id", "description": "text", "publish_time": "created_at", "reactions": "likes",
                "shares": "retweets", "saves": "bookmarks",
            },
            id="tweets",
        ),
        pytest.param(
            ["Post ID", "Views", "Estimated revenue (USD)"],
            {"post_id": "Post ID", "views": "Views", "lifetime_earnings": "Estimated revenue (USD)"},
            id="money with its currency",
        ),
    ],
)  # fmt: skip
def test_a_proposal_maps_what_other_tools_call_our_fields(headings: Sequence[str], columns: dict[str, str]) -> None:
    mapping = propose(headings)
    assert mapping is not None
    assert mapping.columns == columns
    layout = layout_of(mapping, "youtube")
    assert layout.matches(headings)
    assert {column.field.lstrip("_") for _, column in layout.bind(headings, CONTEXT).used} == columns.keys()


@pytest.mark.parametrize("headings", [["date", "views"], ["id"], ["id", "colour"], [], [""]])
def test_nothing_is_proposed_without_an_id_and_something_to_count(headings: Sequence[str]) -> None:
    assert propose(headings) is None
