"""Made-up exports, one row of each kind, and what the tests of capture do with them: write, bind, read, be refused."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings

from cg_pipeline.capture.layouts.base import Context, Layout
from cg_pipeline.capture.observation import Observation, Page, Rejected
from cg_pipeline.errors import FileRefused

Row = Mapping[str, str]

steady = settings(deadline=None)  # machines that run tests may stall

DAY = date(2026, 1, 15)
CHANNEL = Page("youtube", "UCdemo", "Demo Channel")
CONTEXT = Context(DAY, ZoneInfo("UTC"), CHANNEL)

# heading -> cell
FACEBOOK: Row = {
    "Post ID": "550000100000001",
    "Page ID": "1002003004",
    "Page name": "Demo Page",
    "Title": "Waves at dusk\n#Sea",
    "Description": "with @Friend.One",
    "Duration (sec)": "80",
    "Publish time": "01/09/2026 08:04",
    "Permalink": "https://www.facebook.com/demo/posts/1",
    "Is crosspost": "1",
    "Is share": "0",
    "Post type": "Videos",
    "Custom labels": "ocean-pack",
    "Date": "Lifetime",
    "Views": "8210",
    "Views from Organic posts": "8000",
    "Views from Boosted posts": "210",
    "Impressions": "9000",
    "Reach": "6100",
    "Reactions, Comments and Shares": "153",
    "Reactions": "120",
    "Comments": "9",
    "Shares": "24",
    "Profile visits": "7",
    "Qualified Views": "5200",
    "3-second video views": "5100",
    "1-minute video views": "820",
    "Seconds viewed": "61200",
    "Average Seconds viewed": "12.01",
    "Estimated earnings (USD)": "0.10",
    "Approximate content monetization earnings": "3.42",
    "Estimated stars earnings (USD)": "1",
    "Ad CPM (USD)": "2.5",
    "Languages": "",
}
INSTAGRAM: Row = {
    "Post ID": "18000000000000001",
    "Account ID": "17840000000000001",
    "Account username": "demo",
    "Account name": "Demo",
    "Description": "Waves #sea @friend",
    "Duration (sec)": "32",
    "Publish time": "07/09/2025 21:30",
    "Permalink": "https://www.instagram.com/reel/DAbCdEfGh12/",
    "Post type": "IG reel",
    "Data comment": "",
    "Date": "Lifetime",
    "Views": "1500",
    "Impressions": "1700",
    "Reach": "940",
    "Likes": "321",
    "Shares": "14",
    "Follows": "-3",
    "Comments": "12",
    "Saves": "20",
    "Profile visits": "4",
}
OLD_VIDEO: Row = {
    "Universal video ID": "660000000000009",
    "Video asset ID": "660000000000001",
    "Page ID": "1002003004",
    "Page name": "Demo Page",
    "Title": "Cliffs",
    "Duration (sec)": "300",
    "Publish time": "2021-12-16 09:00:00",
    "Date": "lifetime",
    "People Reached": "400",
    "Likes": "30",
    "60-Second Video Views": "50",
    "60-Second Views From Recommendations": "20",
    "60-Second Views From Shares": "",
    "Averaged Seconds Viewed": "30",
    "Views by top audience (25-34, F)": "11",
    "Views by country (Czech Republic (CZ))": "7",
    "Views by country (Chile (CL))": "0",
    "Views by country (Peru (PE))": "",
    "Estimated earnings (USD)": "",
}
YOUTUBE: Row = {
    "Content": "-aB3_cD4eF5",
    "Video title": "Tides #Sea",
    "Video publish time": "Mar 5, 2025",
    "Duration": "93",
    "Views": "7438",
    "Estimated monetized playbacks": "4000",
    "Watch time (hours)": "313.7697",
    "Impressions": "29685",
    "Unique viewers": "5000",
    "Likes": "88",
    "Comments added": "5",
    "Shares": "6",
    "Subscribers": "-2",
    "Average percentage viewed (%)": "41.5",
    "Your estimated revenue (USD)": "25.563",
    "CPM (USD)": "6.4",
}
TIKTOK: Row = {
    "Time": "January 15",
    "Video title": "Dunes #sand",
    "Video link": "https://www.tiktok.com/@demo.one/video/7550000000000000001",
    "Post time": "September 14",
    "Total likes": "533",
    "Total comments": "undefined",
    "Total shares": "0",
    "Total views": "191265",
}


def csv_bytes(
    headings: Sequence[str], *rows: Sequence[str], encoding: str = "utf-8", delimiter: str = ",", end: str = "\r\n"
) -> bytes:
    """A CSV file as a tool would write it."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows([headings, *rows])
    return text.getvalue().encode(encoding)


def file_of(*rows: Row, encoding: str = "utf-8-sig", delimiter: str = ",") -> bytes:
    """A CSV file of rows with the same headings."""
    return csv_bytes(list(rows[0]), *(list(row.values()) for row in rows), encoding=encoding, delimiter=delimiter)


def without(row: Row, *headings: str) -> Row:
    """The row without some of its columns."""
    return {heading: cell for heading, cell in row.items() if heading not in headings}


def read(layout: Layout, row: Row, context: Context = CONTEXT, *, cells: int | None = None) -> Observation | Rejected:
    """What the layout says of a row that stands in line 2; with `cells`, the row ends early."""
    record = layout.bind(list(row), context).read(2, list(row.values())[:cells])
    assert record is not None
    return record


def observe(layout: Layout, row: Row, context: Context = CONTEXT, *, cells: int | None = None) -> Observation:
    """What the layout says of a row that must be usable."""
    record = read(layout, row, context, cells=cells)
    assert isinstance(record, Observation), record
    return record


def rejected(layout: Layout, row: Row, context: Context = CONTEXT, *, cells: int | None = None) -> Rejected:
    """Why the layout cannot use a row; what it says can be stored."""
    record = read(layout, row, context, cells=cells)
    assert isinstance(record, Rejected), record
    assert record.problem
    assert "\0" not in "".join([record.problem, *record.raw.values()])
    return record


@contextmanager
def refused(saying: str, line: int | None = 1, column: str | None = None) -> Iterator[list[str]]:
    """The file is refused with a problem and a remedy, at this place, in words that can be stored; gives them."""
    messages: list[str] = []
    with pytest.raises(FileRefused) as caught:
        yield messages
    error = caught.value
    messages.append(str(error))
    assert error.problem.endswith("."), error.problem
    assert error.remedy.endswith("."), error.remedy
    assert (error.line, error.column) == (line, column), error
    assert saying in str(error), error
    assert "\0" not in str(error)
