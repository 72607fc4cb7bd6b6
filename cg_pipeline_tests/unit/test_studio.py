"""What is peculiar to the tables of YouTube Studio and TikTok Studio."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

import pytest

from cg_pipeline.capture.layouts.studio import TIKTOK_STUDIO, YOUTUBE_STUDIO
from cg_pipeline.capture.observation import Page
from cg_pipeline_tests.unit.exports import CONTEXT, TIKTOK, YOUTUBE, Row, observe, read, refused, rejected

TITLE_FIRST: Row = {"Video title": YOUTUBE["Video title"], **YOUTUBE}


# YouTube Studio


@pytest.mark.parametrize("row", [YOUTUBE, TITLE_FIRST], ids=["as exported", "title first"])
@pytest.mark.parametrize("content", ["Total", " Total ", "Showing top 500 results"])
def test_a_row_that_stands_for_no_video_is_passed_over(row: Row, content: str) -> None:
    row = {**row, "Content": content, "Video title": "", "Video publish time": ""}
    assert YOUTUBE_STUDIO.bind(list(row), CONTEXT).read(2, list(row.values())) is None
    assert YOUTUBE_STUDIO.bind(list(YOUTUBE), CONTEXT).read(2, [content]) is None


@pytest.mark.parametrize("title", ["Total", "Showing top 500 results of the race"])
def test_a_video_is_taken_whatever_its_title(title: str) -> None:
    for row in (YOUTUBE, TITLE_FIRST):
        assert observe(YOUTUBE_STUDIO, {**row, "Video title": title}).attributes["title"] == title


def test_a_video_id_may_follow_a_blank_and_begin_with_a_minus() -> None:
    assert observe(YOUTUBE_STUDIO, {**YOUTUBE, "Content": " -aB3_cD4eF5"}).post_id == "youtube_-aB3_cD4eF5"


@pytest.mark.parametrize(
    ("zone", "cell", "moment"),
    [
        ("UTC", "Mar 5, 2025", "2025-03-05T00:00:00+00:00"),
        ("America/New_York", "Mar 5, 2025", "2025-03-05T05:00:00+00:00"),
        ("Asia/Tokyo", "2025-03-05", "2025-03-04T15:00:00+00:00"),
        ("UTC", "", None),
    ],
)
def test_the_day_of_publishing_is_a_day_of_the_reporting_zone(zone: str, cell: str, moment: str | None) -> None:
    context = replace(CONTEXT, timezone=ZoneInfo(zone))
    seen = observe(YOUTUBE_STUDIO, {**YOUTUBE, "Video publish time": cell}, context)
    assert seen.attributes.get("publish_time") == moment


def test_a_day_of_publishing_in_another_form_is_not_guessed_at() -> None:
    assert "13-06-2025" in rejected(YOUTUBE_STUDIO, {**YOUTUBE, "Video publish time": "13-06-2025"}).problem


def test_an_older_heading_of_the_earnings_is_known() -> None:
    row = {("Estimated revenue (EUR)" if "revenue" in heading else heading): cell for heading, cell in YOUTUBE.items()}
    del row["CPM (USD)"]
    assert observe(YOUTUBE_STUDIO, row).currency == "EUR"


@pytest.mark.parametrize("site", [None, Page("facebook", "1002003004", "Demo Page")])
def test_videos_are_not_put_on_a_page_that_is_no_channel(site: Page | None) -> None:
    with refused("Name it: cg csv import FILE --as-of DATE --site"):
        read(YOUTUBE_STUDIO, YOUTUBE, replace(CONTEXT, site=site))


# TikTok Studio


def test_a_table_that_was_exported_on_another_day_is_refused() -> None:
    with refused("exported on January 14, not on 2026-01-15. Import it with the date", 2, "Time"):
        read(TIKTOK_STUDIO, {**TIKTOK, "Time": "January 14"})
    leap_day = replace(CONTEXT, as_of=date(2028, 2, 29))
    assert observe(TIKTOK_STUDIO, {**TIKTOK, "Time": "February 29"}, leap_day)


@pytest.mark.parametrize("cell", ["15 de enero", "January", "15", "January 15th", "", "2026-01-15"])
def test_a_day_of_export_in_another_language_is_refused(cell: str) -> None:
    with refused("Export again with English as the language of the account.", 2, "Time"):
        read(TIKTOK_STUDIO, {**TIKTOK, "Time": cell})


@pytest.mark.parametrize(
    ("link", "permalink"),
    [
        ("https://tiktok.com/@demo.one/video/7550000000000000001", TIKTOK["Video link"]),
        (" https://www.tiktok.com/@demo.one/video/7550000000000000001?lang=en ", TIKTOK["Video link"]),
    ],
)
def test_the_link_names_account_and_video(link: str, permalink: str) -> None:
    seen = observe(TIKTOK_STUDIO, {**TIKTOK, "Video link": link})
    assert (seen.post_id, seen.page.platform_id) == ("tiktok_7550000000000000001", "demo.one")
    assert seen.attributes["permalink"] == permalink


def test_a_photo_post_is_a_photo() -> None:
    link = TIKTOK["Video link"].replace("/video/", "/photo/")
    attributes = observe(TIKTOK_STUDIO, {**TIKTOK, "Video link": link}).attributes
    assert (attributes["post_type"], attributes["permalink"]) == ("Photo", link)


BAD_LINKS: Sequence[str] = [
    "",
    "undefined",
    "https://www.tiktok.com/@demo.one",
    "https://example.com/@demo.one/video/7550000000000000001",
    "https://www.tiktok.com/@demo.one/video/12",  # no id is that short
    "https://www.tiktok.com/@demo.one/video/" + "7" * 40,
    "7.55E+18",
]


@pytest.mark.parametrize("link", BAD_LINKS)
def test_a_link_to_no_video_quarantines_its_row(link: str) -> None:
    assert rejected(TIKTOK_STUDIO, {**TIKTOK, "Video link": link}).problem_column == "Video link"
