"""The CSV exports of the sandbox's world load through the real layouts, and tell what its platforms tell."""

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cg_pipeline import config
from cg_pipeline.capture import csv_files, sites
from cg_pipeline.capture.csv_partition import FileReport, load_day
from cg_pipeline.capture.inbox import Inbox
from cg_pipeline.cli.main import app
from cg_pipeline.clock import FixedClock
from cg_pipeline.config import PROJECT
from cg_pipeline.sandbox.exports import exports_of
from cg_pipeline.sandbox.world import Post, World
from cg_pipeline.warehouse.database import Warehouse

NOW = datetime(2026, 4, 5, 12, tzinfo=UTC)
DAY = NOW.date()
WORLD = World(accounts_each=3, posts_each=14)
REAL = PROJECT.parent / "shared" / "real_data"

# What each export tells, by the name in the world.
TOLD = {
    "facebook": {"views": "views", "reach": "reach", "reactions": "reactions", "comments": "comments",
                 "shares": "shares"},
    "instagram": {"views": "views", "reach": "reach", "reactions": "reactions", "comments": "comments",
                  "shares": "shares", "saves": "saves", "subscribers_gained": "followers_gained"},
    "youtube": {"views": "views", "reach": "reach", "reactions": "reactions", "comments": "comments",
                "shares": "shares", "subscribers_gained": "followers_gained",
                "lifetime_seconds_viewed": "seconds_viewed"},
    "tiktok": {"views": "views", "reactions": "reactions", "comments": "comments", "shares": "shares"},
}  # fmt: skip


@pytest.fixture
def loaded(warehouse: Warehouse, tmp_path: Path) -> list[FileReport]:
    """What became of all exports of the world."""
    inbox, clock = Inbox(str(tmp_path / "inbox")), FixedClock(NOW)
    inbox.create()
    with warehouse.connect() as connection:
        for name, content in exports_of(WORLD, NOW).items():
            (tmp_path / name).write_bytes(content)
            laid, site_id = inbox.put(tmp_path / name, DAY), None
            if name.startswith("youtube"):
                channel = next(each for each in WORLD.accounts["youtube"] if each.username in name)
                site = sites.add(connection, "youtube", channel.platform_id, channel.name, channel.username)
                sites.put_setting(connection, site, "csv_period", "lifetime", clock)
                site_id = site.id
            csv_files.tell(connection, inbox, DAY, [laid], site_id, NOW)
    return load_day(warehouse, inbox, DAY, config.load({"CG_HOME": str(tmp_path)}), clock).files


def snapshots(warehouse: Warehouse) -> dict[str, dict[str, Any]]:
    with warehouse.connect() as connection:
        rows = connection.execute("""select t.*, p.title, p.duration, p.post_type, s.platform_id as site
            from snapshots t join posts p using (post_id) join sites s on s.id = p.site_id""").fetchall()
    return {row["post_id"]: row for row in rows}


def test_every_export_loads_whole_and_gives_the_counters_of_the_world(
    loaded: list[FileReport], warehouse: Warehouse
) -> None:
    assert {file.status for file in loaded} == {"loaded"}, loaded
    assert sum(file.rows_quarantined for file in loaded) == 0
    found, posts = snapshots(warehouse), posts_by_id()
    assert found.keys() == posts.keys()
    for post_id, post in posts.items():
        seen, row = WORLD.counters(post, NOW), found[post_id]
        told = TOLD[post.account.platform]
        assert {name: row[name] for name in told} == {name: getattr(seen, of) for name, of in told.items()}, post_id


def test_an_export_that_names_a_connected_account_by_its_username_is_of_its_site(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    account, inbox = WORLD.accounts["tiktok"][0], Inbox(str(tmp_path / "inbox"))
    inbox.create()
    with warehouse.connect() as connection:
        site = sites.add(connection, "tiktok", account.platform_id, account.name, account.username)
        connection.execute("update sites set access_token = 'x'")
        name, content = next(
            (name, text)
            for name, text in exports_of(WORLD, NOW).items()
            if name.startswith(f"tiktok_{account.username}")
        )
        (tmp_path / name).write_bytes(content)
        csv_files.tell(connection, inbox, DAY, [inbox.put(tmp_path / name, DAY)], None, NOW)
    load_day(warehouse, inbox, DAY, config.load({"CG_HOME": str(tmp_path)}), FixedClock(NOW))
    with warehouse.connect() as connection:
        owners = connection.execute("select distinct site_id from snapshots").fetchall()
        assert owners == connection.execute("select id as site_id from sites").fetchall() == [{"site_id": site.id}]


def test_money_is_in_the_channels_currency_and_unknown_where_nothing_is_paid(
    loaded: list[FileReport], warehouse: Warehouse
) -> None:
    assert loaded
    found = snapshots(warehouse)
    paid = {post_id: post for post_id, post in posts_by_id().items() if post.account.platform == "youtube"}
    assert {post.account.currency for post in paid.values()} == {"USD", "EUR"}
    for post_id, post in paid.items():
        seen, row = WORLD.counters(post, NOW), found[post_id]
        money = (row["lifetime_earnings"], row["currency"], row["lifetime_qualified_views"])
        known = (seen.earnings, post.account.currency, seen.qualified_views)
        assert money == (known if post.account.is_monetized else (None, None, None))
    facebook = [post for post in posts_by_id().values() if post.account.platform == "facebook" and post.duration]
    assert any(post.account.is_monetized for post in facebook)
    for post in facebook:
        earned = WORLD.counters(post, NOW).earnings
        assert found[f"facebook_{post.native_id}"]["lifetime_earnings"] == earned


def test_videos_keep_title_and_length_and_photos_are_photos(loaded: list[FileReport], warehouse: Warehouse) -> None:
    assert loaded
    found = snapshots(warehouse)
    for post_id, post in posts_by_id().items():
        row = found[post_id]
        if post.account.platform == "youtube":
            assert (row["title"], row["duration"], row["site"]) == (post.text, post.duration, post.account.platform_id)
        if post.account.platform == "tiktok":
            assert (row["title"], row["post_type"], row["site"]) == (
                post.text, post.media.capitalize(), post.account.username
            )  # fmt: skip


def test_the_line_above_the_videos_holds_their_sums() -> None:
    files = {name: content for name, content in exports_of(WORLD, NOW).items() if name.startswith("youtube")}
    assert len(files) == 3
    for content in files.values():
        first, *rows = csv.DictReader(io.StringIO(content.decode()))
        assert (first["Content"], first["Video title"]) == ("Total", "")
        assert int(first["Views"]) == sum(int(row["Views"]) for row in rows)
        (revenue,) = (heading for heading in first if heading.startswith("Estimated revenue"))
        assert first[revenue] == "" or Decimal(first[revenue]) == sum(Decimal(row[revenue]) for row in rows)


@pytest.mark.skipif(not REAL.is_dir(), reason="the recorded exports are not on this machine")
@pytest.mark.parametrize(
    ("platform", "recorded"),
    [
        ("youtube", "youtube_studio/OisinQueva/Table data.csv"),
        ("tiktok", "tiktok_studio/en_Content.csv"),
    ],
)
def test_the_tables_of_the_studios_are_written_as_the_real_ones(platform: str, recorded: str) -> None:
    real = (REAL / recorded).read_bytes()
    written = next(content for name, content in exports_of(WORLD, NOW).items() if name.startswith(platform))
    for sign in (b"\xef\xbb\xbf", b"\r\n"):
        assert (sign in real) == (sign in written)
    assert real.startswith(b'\xef\xbb\xbf"') == written.startswith(b'\xef\xbb\xbf"')
    headings = [next(csv.reader(io.StringIO(content.decode("utf-8-sig")))) for content in (real, written)]
    start = 3 if platform == "youtube" else len(headings[0])  # of a video table, the columns are chosen
    assert headings[0][:start] == headings[1][:start]


def test_the_command_writes_them_all_and_again_the_same(tmp_path: Path) -> None:
    asked = [
        "sandbox",
        "export",
        str(tmp_path / "out"),
        "--accounts",
        "3",
        "--posts",
        "14",
        "--now",
        "2026-04-05T12:00",
    ]
    for _ in range(2):
        done = CliRunner().invoke(app, asked)
        assert done.exit_code == 0, done.output
        written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        assert written == exports_of(WORLD, NOW)


def posts_by_id() -> dict[str, Post]:
    """The posts of which there are exports."""
    return {
        f"{platform}_{post.native_id}": post
        for platform in TOLD
        for account in WORLD.accounts[platform]
        for post in WORLD.posts(account, NOW)
    }
