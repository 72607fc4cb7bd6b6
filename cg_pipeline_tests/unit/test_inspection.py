"""Looking at a file without importing it."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cg_pipeline.capture.inspection import MOST_PROBLEMS, Inspection, inspect
from cg_pipeline_tests.unit.exports import FACEBOOK, TIKTOK, YOUTUBE, csv_bytes, file_of, refused, without

Look = Callable[..., Inspection]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Inspects a file that was last written at noon of 15 January 2026, unless told otherwise."""

    def run(data: bytes, zone: str = "UTC", written: datetime = datetime(2026, 1, 15, 12, tzinfo=UTC)) -> Inspection:
        path = tmp_path / "file.csv"
        path.write_bytes(data)
        os.utime(path, (written.timestamp(), written.timestamp()))
        return inspect(path, ZoneInfo(zone))

    return run


def test_a_known_export_is_named_with_what_would_be_used(look: Look) -> None:
    found = look(file_of(FACEBOOK, FACEBOOK))
    assert (found.what, found.layout) == ("Meta Business Suite, Facebook posts", "meta_facebook_posts")
    assert (found.encoding, found.delimiter, found.rows) == ("utf-8-sig", ",", 2)
    assert found.headings == list(FACEBOOK)
    assert found.used["Post ID"] == "post_id"
    assert found.used["Estimated earnings (USD)"] == "estimated_earnings"
    assert found.unused == ["Reactions, Comments and Shares", "Languages"]
    assert (found.problems, found.proposal) == ([], None)


@pytest.mark.parametrize(
    ("encoding", "delimiter", "shown"),
    [("utf-8", ";", "utf-8"), ("utf-16", "\t", "utf-16"), ("cp1252", ",", "cp1252")],
)
def test_it_is_told_how_the_file_is_written(look: Look, encoding: str, delimiter: str, shown: str) -> None:
    row = {**YOUTUBE, "Video title": "Dünen"}
    found = look(file_of(row, encoding=encoding, delimiter=delimiter))
    assert (found.encoding, found.delimiter, found.rows, found.problems) == (shown, delimiter, 1, [])


def test_the_first_problems_are_shown_with_their_place_and_all_rows_are_read(look: Look) -> None:
    rows = [{**FACEBOOK, "Views": f"{number} views"} for number in range(9)]
    found = look(file_of(FACEBOOK, *rows))
    assert found.rows == 10
    # The title has a line break, so that each row takes two lines.
    assert found.problems == [
        f'line {4 + 2 * number}, column "Views": "{number} views" is no number' for number in range(MOST_PROBLEMS)
    ]


def test_a_problem_without_a_column_is_shown_too(look: Look) -> None:
    found = look(file_of(FACEBOOK)[:-2] + b",more\r\n")
    assert found.problems == [f"line 2: has {len(FACEBOOK) + 1} cells under {len(FACEBOOK)} headings"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(
            file_of(FACEBOOK, {**FACEBOOK, "Date": "01/15/2026"}),
            'It would be refused: line 4, column "Date": "01/15/2026" is not "Lifetime"',
            id="a daily row",
        ),
        pytest.param(
            file_of({**FACEBOOK, "Post ID": "5.5E+14"}),
            'It would be refused: line 2, column "Post ID": "5.5E+14" was an id',
            id="an id in scientific notation",
        ),
        pytest.param(
            file_of(without(FACEBOOK, "Date")),
            'It would be refused: line 1: The file has no column "date".',
            id="a column is missing",
        ),
        pytest.param(
            file_of(FACEBOOK) + b'"550000100000002', "It would be refused: line 4: The row that starts here is broken",
            id="cut",
        ),
        pytest.param(
            csv_bytes(["id", "clicks"], ["1", "2"]) + b'"3', "It would be refused: line 3", id="an unknown table, cut"
        ),
        pytest.param(
            file_of({**YOUTUBE, "Your estimated revenue (USD)": "25,563", "Views": "7"}, delimiter=";"),
            "25,563",
            id="decimal comma between semicolons: it could be 25 dollars or 25 thousand",
        ),
    ],
)  # fmt: skip
def test_what_would_be_refused_is_said_and_the_file_described(look: Look, data: bytes, problem: str) -> None:
    found = look(data)
    assert found.headings
    assert len(found.problems) == 1
    assert problem in found.problems[0]


@pytest.mark.parametrize(
    ("headings", "proposal"),
    [
        (["video_id", "views", "colour"], {"columns": {"post_id": "video_id", "views": "views"}, "timezone": "UTC"}),
        (["colour", "views"], None),
    ],
)
def test_a_table_that_is_not_known_comes_with_a_mapping_to_start_from(
    look: Look, headings: list[str], proposal: object
) -> None:
    found = look(csv_bytes(headings, ["a", "b", "c"], ["d", "e", "f"]))
    assert found.what.startswith(f"line 1: The headings are of no known export: {', '.join(headings)}.")
    assert (found.layout, found.rows, found.used, found.proposal) == (None, 2, {}, proposal)


def test_a_chart_of_meta_is_known_below_its_title(look: Look) -> None:
    chart = 'sep=,\r\n"Views"\r\n"Date","Primary"\r\n"2026-01-14T00:00:00","67753"\r\n'
    assert "a chart of Meta Business Suite" in look(chart.encode("utf-16")).what


@pytest.mark.parametrize(
    ("zone", "hour", "day"),
    [("UTC", 12, "January 15"), ("Asia/Tokyo", 20, "January 16"), ("America/New_York", 2, "January 14")],
)
def test_a_table_of_tiktok_should_be_of_the_day_on_which_it_was_written(
    look: Look, zone: str, hour: int, day: str
) -> None:
    written = datetime(2026, 1, 15, hour, tzinfo=UTC)
    assert look(file_of({**TIKTOK, "Time": day}), zone, written).problems == []
    (problem,) = look(file_of({**TIKTOK, "Time": "January 1"}), zone, written).problems
    assert "The table was exported on January 1, not on" in problem


@pytest.mark.parametrize(
    ("data", "saying", "line"), [(b"", "The file is empty.", None), (b"a,b\n\x81\n", "neither UTF-8", 2)]
)
def test_what_is_no_table_is_refused(look: Look, data: bytes, saying: str, line: int | None) -> None:
    with refused(saying, line):
        look(data)
