"""Exports that nobody here wrote, where they are at hand: what they must come to is known from their README."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from psycopg.rows import tuple_row

from cg_pipeline import config
from cg_pipeline.capture import csv_files, sites
from cg_pipeline.capture.csv_partition import FileReport, load_day
from cg_pipeline.capture.inbox import Inbox
from cg_pipeline.clock import FixedClock
from cg_pipeline.config import PROJECT
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline_tests.integration.tables import recompute_stale, row_versions, stored_tables

REAL = PROJECT.parent / "shared" / "real_data"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the recorded exports are not on this machine")

CLOCK = FixedClock(datetime(2026, 11, 22, 12, tzinfo=UTC))
FACEBOOK = "meta_business_suite/facebook"
DAYS = {
    date(2025, 12, 2): ["1138478331783979"],
    date(2025, 12, 3): ["1155700690112583", "1546288099846685", "1218361386829191"],
    date(2025, 12, 6): ["746586875138185"],
}


class Importer:
    """Puts recorded files into an inbox and loads their day, as `cg csv import` does."""

    def __init__(self, warehouse: Warehouse, folder: Path) -> None:
        self.warehouse, self.inbox = warehouse, Inbox(str(folder))
        self.inbox.create()
        self.settings = config.load({"CG_HOME": str(folder), "CG_HISTORY_START": "2013-07-01"})

    def __call__(self, day: date, path: Path, site: str | None = None) -> FileReport:
        name = self.inbox.put(path, day)
        with self.warehouse.connect() as connection:
            told = sites.find(connection, site).id if site else None
            again = csv_files.tell(connection, self.inbox, day, [name], told, CLOCK.now())
        report = load_day(self.warehouse, self.inbox, day, self.settings, CLOCK, reload=again)
        return next((file for file in report.files if file.name == name), FileReport(name, "unchanged"))

    def facebook(self, day: date, number: str) -> FileReport:
        (path,) = (REAL / FACEBOOK).glob(f"*_{number}.csv")
        return self(day, path)

    def channel(self, name: str, **settings: str) -> str:
        with self.warehouse.connect() as connection:
            site = sites.add(connection, "youtube", f"UC{name}", name, None)
            for key, value in settings.items():
                sites.put_setting(connection, site, key, value, CLOCK)
        return name


@pytest.fixture
def importer(warehouse: Warehouse, tmp_path: Path) -> Importer:
    return Importer(warehouse, tmp_path / "inbox")


def _sums(warehouse: Warehouse, statement: Any) -> list[tuple[Any, ...]]:
    with warehouse.connect() as connection:
        return connection.cursor(row_factory=tuple_row).execute(statement).fetchall()


def test_the_exports_of_one_page_come_to_the_known_sums(importer: Importer, warehouse: Warehouse) -> None:
    for day, numbers in DAYS.items():
        for number in numbers:
            assert importer.facebook(day, number).status == "loaded"
    recompute_stale(warehouse, importer.settings.timezone, CLOCK)

    assert _sums(
        warehouse,
        "select snapshot_date, count(*), sum(views), sum(lifetime_earnings) from snapshots group by 1 order by 1",
    ) == [
        (date(2025, 12, 2), 180, 6_365_641, Decimal("39.22")),
        (date(2025, 12, 3), 208, 7_435_036, Decimal("48.33")),
        (date(2025, 12, 6), 223, 8_092_028, Decimal("53.88")),
    ]
    assert _sums(
        warehouse,
        """select period_start, sum(views_delta), sum(earnings_delta) from deltas
           where period = 'daily' group by 1 order by 1""",
    ) == [
        (date(2025, 12, 2), 197_458, Decimal("0.95")),
        (date(2025, 12, 3), 286_387, Decimal("2.36")),
        (date(2025, 12, 6), 656_991, Decimal("5.55")),
    ]
    assert _sums(
        warehouse,
        """select period_start, sum(earnings_delta), sum(opening_earnings) from deltas
           where period = 'monthly' group by 1""",
    ) == [(date(2025, 12, 1), Decimal("8.86"), Decimal("45.02"))]


def _import_all(importer: Importer, days: Sequence[date], *, recompute_between: bool = False) -> dict[str, Any]:
    for day in days:
        for number in DAYS[day]:
            importer.facebook(day, number)
        if recompute_between:
            recompute_stale(importer.warehouse, importer.settings.timezone, CLOCK)
    recompute_stale(importer.warehouse, importer.settings.timezone, CLOCK)
    return stored_tables(importer.warehouse)


def test_importing_any_file_again_changes_nothing(importer: Importer, warehouse: Warehouse) -> None:
    once = _import_all(importer, list(DAYS))
    versions = row_versions(warehouse)
    assert _import_all(importer, list(DAYS)) == once
    assert row_versions(warehouse) == versions


@pytest.mark.parametrize("recompute_between", [False, True], ids=["recomputed at the end", "recomputed after each day"])
@pytest.mark.parametrize("order", list(permutations(range(3)))[1:], ids=str)
def test_the_days_may_be_imported_in_any_order(
    make_warehouse: Callable[[], Warehouse], tmp_path: Path, order: tuple[int, ...], recompute_between: bool
) -> None:
    days = list(DAYS)
    in_order = _import_all(Importer(make_warehouse(), tmp_path / "one"), days)
    shuffled = Importer(make_warehouse(), tmp_path / "other")
    assert _import_all(shuffled, [days[n] for n in order], recompute_between=recompute_between) == in_order


def test_two_pages_in_one_file_make_two_sites_and_what_a_row_lacks_is_unknown(
    importer: Importer, warehouse: Warehouse
) -> None:
    assert importer.facebook(date(2025, 11, 1), "723907156931247").rows_loaded == 194
    assert _sums(
        warehouse,
        """select s.name, count(*), count(n.views), sum(n.views), count(n.reach)
           from snapshots n join sites s on s.id = n.site_id group by 1 order by 1""",
    ) == [("Juan365", 193, 183, 7_678_990, 193), ("Juan365 Cartimar", 1, 1, 15_346, 0)]


def test_the_same_bytes_under_another_name_are_a_duplicate(importer: Importer, warehouse: Warehouse) -> None:
    day = date(2025, 12, 3)
    for path in sorted((REAL / FACEBOOK).glob("*_816877404681576*.csv")):
        importer(day, path)
    assert sorted(_sums(warehouse, "select status from csv_files")) == [("duplicate",), ("loaded",)]
    assert _sums(warehouse, "select count(*), sum(views) from snapshots") == [(28, 904_117)]


def test_publish_times_agree_with_the_graph_api(importer: Importer, warehouse: Warehouse) -> None:
    importer.facebook(date(2025, 12, 6), "746586875138185")
    importer.facebook(date(2025, 11, 1), "723907156931247")
    recorded = json.loads((REAL / FACEBOOK / "graph_api_posts_2025-12-05.json").read_text(encoding="utf-8"))["posts"]
    api = {post["id"].rpartition("_")[2]: datetime.fromisoformat(post["created_time"]) for post in recorded}
    ours = dict(_sums(warehouse, "select replace(post_id, 'facebook_', ''), publish_time from posts"))
    apart = [abs(ours[number] - moment) for number, moment in api.items() if number in ours]
    assert len(apart) > 350
    assert max(apart) < timedelta(minutes=3)


def test_instagram_windows_land_and_a_later_export_wins(importer: Importer, warehouse: Warehouse) -> None:
    folder = REAL / "meta_business_suite/instagram"
    for path in sorted(folder.glob("*.csv"), key=lambda path: datetime.strptime(path.name[12:23], "%b-%d-%Y")):  # noqa: DTZ007
        assert importer(date(2025, 3, 7), path).status == "loaded"
    assert _sums(warehouse, "select count(*), count(views) from snapshots") == [(158, 61)]


def test_youtube_studio_tables_land_when_their_period_is_known(importer: Importer, warehouse: Warehouse) -> None:
    table = REAL / "youtube_studio/violetzq/DangerTV_Content.csv"
    unsure = importer.channel("Unsure")
    refused = importer(date(2025, 12, 1), table, unsure)
    assert refused.status == "refused"
    assert "csv_period lifetime" in str(refused.message)

    channel = importer.channel("Danger TV", csv_period="lifetime")
    assert importer(date(2025, 12, 1), table, channel).rows_loaded == 500
    assert _sums(warehouse, "select count(*), sum(lifetime_earnings), count(lifetime_earnings) from snapshots") == [
        (500, Decimal("367589.755"), 438)
    ]


@pytest.mark.parametrize(
    ("owner", "rows", "views"),
    [("OisinQueva", 102, 97_001), ("priyankapatel05", 442, 153_235), ("sifatprogrammer", 27, 1_222)],
)
def test_total_rows_of_youtube_studio_are_no_posts(
    importer: Importer, warehouse: Warehouse, owner: str, rows: int, views: int
) -> None:
    channel = importer.channel(owner, csv_period="lifetime")
    assert importer(date(2026, 1, 5), REAL / f"youtube_studio/{owner}/Table data.csv", channel).rows_loaded == rows
    assert _sums(warehouse, "select sum(views) from snapshots") == [(views,)]


def test_tiktok_content_lands_on_the_day_of_its_export_only(importer: Importer, warehouse: Warehouse) -> None:
    table = REAL / "tiktok_studio/en_Content.csv"
    wrong_day = importer(date(2026, 2, 27), table)
    assert wrong_day.status == "refused"
    assert "February 28" in str(wrong_day.message)
    assert importer(date(2026, 2, 28), table).rows_loaded == 13
    assert _sums(warehouse, "select sum(views) from snapshots") == [(537_161,)]


TRENDING = """
columns: {post_id: video_id, page_id: channelId, page_name: channelTitle, title: title, publish_time: publishedAt,
          views: view_count, reactions: likes, comments: comment_count}
"""
TRACKER = """
columns: {post_id: video_id, page_id: channel_id, page_name: channel_title, title: title, publish_time: published_at,
          duration: duration_iso8601, views: view_count, reactions: like_count, comments: comment_count,
          snapshot_date: snapshot_utc}
"""


def test_trending_tables_land_through_a_mapping_day_by_day(importer: Importer, warehouse: Warehouse) -> None:
    importer.channel("Trending", csv_mapping=TRENDING)
    for path in sorted((REAL / "youtube_trending/AU_2024").glob("*.csv")):
        day = datetime.strptime(path.name[:8], "%y.%m.%d").date()  # noqa: DTZ007  the name holds a day
        assert importer(day, path).rows_loaded == 200
    recompute_stale(warehouse, importer.settings.timezone, CLOCK)
    assert _sums(warehouse, "select count(*), count(distinct post_id) from snapshots") == [(1600, 673)]
    falls = _sums(
        warehouse,
        """select count(*) filter (where views_delta < 0), count(*) filter (where comments_delta < 0),
                  count(*) filter (where reactions_delta < 0) from deltas where period = 'daily'""",
    )
    assert falls == [(4, 19, 1)]


def test_tracker_tables_land_on_the_day_that_their_rows_name(importer: Importer, warehouse: Warehouse) -> None:
    importer.channel("Tracker", csv_mapping=TRACKER)
    folder = REAL / "youtube_snapshots"
    assert importer(date(2026, 1, 27), folder / "f536b7b_videos_2026-01.csv").status == "refused"
    assert importer(date(2026, 1, 26), folder / "f536b7b_videos_2026-01.csv").rows_loaded == 4372
    assert importer(date(2026, 1, 28), folder / "59e2c20_videos_2026-01.csv").rows_loaded == 4401
    assert _sums(
        warehouse,
        """select snapshot_date, count(*) - count(reactions), count(*) - count(comments)
           from snapshots group by 1 order by 1""",
    ) == [(date(2026, 1, 26), 110, 49), (date(2026, 1, 28), 111, 51)]


@pytest.mark.parametrize(
    ("path", "mapping", "reason"),
    [
        (
            "youtube_trending/USvideos_2017-09_to_10.csv",
            "{post_id: video_id, views: views, snapshot_date: date}",
            "13.09",
        ),
        (
            "youtube_trending/USvideos_2017-11_cp1252_first5000.csv",
            "{post_id: video_id, views: views, snapshot_date: trending_date}, snapshot_date_format: '%y.%d.%m'",
            "The row is of 2017-11-15",
        ),
        ("youtube_snapshots/youtube_daily_snapshots.csv", None, "counts whole channels"),
        ("instagram_insights/post_metrics_until_2025-03-17.csv", None, "one row per post and metric"),
        ("youtube_studio/priyankapatel05/Chart data.csv", None, "views per day"),
        ("youtube_studio/priyankapatel05/Totals.csv", None, "no known export"),
        ("youtube_studio/sifatprogrammer/Totals.csv", None, "no known export"),
        ("youtube_studio/violetzq/Subscription status_Chart data.csv", None, "subscription status"),
        ("youtube_studio/violetzq/viewer_age.csv", None, "viewer age"),
        ("youtube_studio/Dhanrajmkanade/Table data.csv", None, "subscription status"),
        ("youtube_studio/Dhanrajmkanade/Table data-Geography.csv", None, "geography"),
        ("tiktok_studio/en_Overview.csv", None, "increments per day"),
        ("tiktok_studio/en_Viewers.csv", None, "names no videos"),
        ("tiktok_studio/es_Overview.csv", None, "increments per day"),
    ],
)
def test_tables_that_are_no_lifetime_posts_are_refused_for_their_reason(
    importer: Importer, warehouse: Warehouse, path: str, mapping: str | None, reason: str
) -> None:
    if mapping:
        importer.channel("Any", csv_mapping=f"{{columns: {mapping}}}")
    report = importer(date(2017, 11, 14) if mapping else date(2026, 1, 5), REAL / path)
    assert report.status == "refused"
    assert reason in str(report.message)
    assert _sums(warehouse, "select count(*) from snapshots") == [(0,)]
