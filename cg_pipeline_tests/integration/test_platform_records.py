"""What becomes of single posts in a capture: the scope, hidden counters, problems, an export beside the API."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cg_pipeline.capture.csv_partition import load_day
from cg_pipeline.capture.inbox import Inbox
from cg_pipeline.errors import NotFound
from cg_pipeline.platforms.contract import Reading
from cg_pipeline.platforms.http import Answer
from cg_pipeline.platforms.records import MetricsRecord, PostRecord
from cg_pipeline.platforms.threads import Threads
from cg_pipeline.sandbox.world import Post
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline_tests.integration.studio import AVAILABLE, Studio, small_world, studio
from cg_pipeline_tests.unit.exports import INSTAGRAM

VERSIONS = "select post_id, xmin::text, views, observed_at from snapshots order by post_id"


@pytest.fixture
def house(warehouse: Warehouse, tmp_path: Path) -> Iterator[Studio]:
    with studio(small_world(), warehouse, tmp_path) as made:
        yield made


def metrics_with(monkeypatch: pytest.MonkeyPatch, post: Post, **changes: Any) -> None:
    """Let the mapping of Threads say something else of one post."""
    real = Threads.metrics

    def metrics(self: Threads, reading: Reading, posts: Sequence[PostRecord]) -> Iterator[MetricsRecord]:
        for record in real(self, reading, posts):
            yield replace(record, **changes) if record.native_id == post.native_id else record

    monkeypatch.setattr(Threads, "metrics", metrics)


# Scope


@pytest.mark.parametrize("platform", AVAILABLE)
def test_only_the_posts_of_the_scope_are_read(house: Studio, platform: str) -> None:
    house.connect_all(platform)
    house.capture(platform)
    account, before = house.account(platform), house.rows(VERSIONS)
    posts, asked = house.listed(account), house.asked(house.account(platform, 1))
    post = next(post for post in posts if post.media != "story")
    wanted = f"{platform}_{post.native_id}"
    house.later(minutes=30)
    report = house.capture(platform, posts=[wanted])
    assert [(site.site, site.status, site.posts) for site in report.sites] == [(account.name, "completed", 1)]
    assert house.asked(house.account(platform, 1)) == asked
    changed = [row for row in house.rows(VERSIONS) if row not in before]
    assert [row["post_id"] for row in changed] in ([wanted], [])  # YouTube may tell the same as before
    assert {row["observed_at"] for row in changed} <= {house.sandbox.now}
    log = house.row("select sync_type, scope, status from sync_logs where scope is not null")
    assert log == {"sync_type": "incremental", "scope": post.native_id, "status": "completed"}
    assert not house.rows("select from post_absences")


def test_a_capture_of_some_posts_does_not_make_the_day_complete(house: Studio) -> None:
    house.connect_all("threads")
    account = house.account("threads")
    new = f"threads_{house.listed(account)[0].native_id}"
    with pytest.raises(NotFound, match=f"known to have {new}: name the one site"):
        house.capture("threads", posts=[new])
    assert not house.transport.asked
    assert house.capture("threads", posts=[new], sites=[account.name]).sites[0].posts == 1
    assert [site.status for site in house.capture("threads").sites] == ["completed"] * 2


def test_posts_of_other_sites_and_platforms_are_not_asked_for(house: Studio) -> None:
    house.connect_all("twitter")
    house.capture("twitter")
    other = f"twitter_{house.listed(house.account('twitter', 1))[0].native_id}"
    for posts in ([other], ["threads_1"]):
        with pytest.raises(NotFound, match=posts[0]):
            house.capture("twitter", posts=posts, sites=[house.account("twitter").name])


# What is not known


@pytest.mark.parametrize("platform", AVAILABLE)
def test_a_counter_that_is_hidden_is_unknown_and_takes_nothing_back(house: Studio, platform: str) -> None:
    account = house.account(platform)
    house.connect(account)
    house.capture(platform)
    house.sandbox.set_fault(account, "hidden_counters")
    known = "select reactions, comments from snapshots where snapshot_date = %(day)s"
    first, before = house.today, house.rows(known, day=house.today)
    house.capture(platform, again=True)
    assert house.rows(known, day=first) == before
    house.later(days=1)
    house.capture(platform)
    hidden = house.rows(known, day=house.today)
    assert hidden
    assert {(row["reactions"], row["comments"]) for row in hidden} <= {(None, None)}


def test_a_metric_that_is_retired_is_told_once_and_not_asked_for_again(house: Studio) -> None:
    house.connect_all("threads")
    for number in range(2):
        house.sandbox.set_fault(house.account("threads", number), "retired_metric", name="likes")
    first = house.capture("threads")
    (told,) = first.retired
    assert (told["metric"], told["media"], first.incomplete) == ("likes", "any", [])
    assert "must be one of the following values" in told["message"]
    assert not house.rows("select from snapshots where reactions is not null or views is null")
    asked = len(house.transport.asked)
    house.later(days=1)
    second = house.capture("threads")
    assert (second.retired, second.incomplete) == ([], [])
    assert not [key for _, key in house.transport.asked[asked:] if "likes" in key]
    assert sum(site.requests for site in second.sites) == sum(site.minimum for site in second.sites)
    house.rows("delete from retired_metrics")
    house.sandbox.clear_faults()
    house.later(days=1)
    house.capture("threads")
    assert not house.rows("select from snapshots where reactions is null and snapshot_date = %(day)s", day=house.today)


# What cannot be used


def test_a_problem_of_one_post_goes_to_quarantine_until_it_is_fine(
    house: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = house.account("threads")
    house.connect(account)
    post, *others = house.listed(account)
    with monkeypatch.context() as patch:
        metrics_with(patch, post, problem="an amount of an unknown unit", values={"views": 7})
        report = house.capture("threads").sites[0]
    assert (report.status, report.posts, report.quarantined) == ("completed", len(others) + 1, 1)
    held = house.row("select post_id, reason, snapshot_date, csv_file_id, raw_data from quarantine")
    assert held.pop("raw_data")["post"]["id"] == post.native_id
    reason = "an amount of an unknown unit"
    assert held == {
        "post_id": f"threads_{post.native_id}",
        "reason": reason,
        "snapshot_date": house.today,
        "csv_file_id": None,
    }
    assert {row["views"] for row in house.rows(VERSIONS)} >= {7}
    house.capture("threads", again=True)
    assert not house.rows("select from quarantine")


def test_money_without_a_currency_is_not_paid(house: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    account = house.account("threads")
    house.connect(account)
    metrics_with(monkeypatch, house.listed(account)[0], values={"lifetime_earnings": Decimal("12.5"), "views": 3})
    report = house.capture("threads").sites[0]
    assert (report.status, report.quarantined) == ("completed", 1)
    assert "earnings without a currency" in house.row("select reason from quarantine")["reason"]
    assert not house.rows("select from snapshots where lifetime_earnings is not null")


def test_texts_that_no_table_can_hold_do_not_stop_a_site(house: Studio) -> None:
    account = house.account("threads")
    house.connect(account)
    native_id = house.listed(account)[0].native_id
    listing = json.dumps({"data": [{"id": native_id, "media_type": "TEXT_POST", "text": "cut \0off \ud83d"}]})
    house.transport.instead = lambda request, _: Answer(200, {}, listing) if request.url.endswith("/threads") else None
    assert house.capture("threads").sites[0].status == "completed"
    assert house.row("select description from posts")["description"] == "cut off ?"
    assert house.replay("threads").sites[0].changed == 0


# Two sources


@pytest.mark.parametrize("csv_first", [True, False])
def test_an_export_and_the_api_make_one_row(house: Studio, tmp_path: Path, csv_first: bool) -> None:
    account = house.account("instagram")
    house.connect(account)
    post = next(post for post in house.listed(account) if post.media == "reel")
    if not csv_first:
        house.capture("instagram")
    _import(house, tmp_path, post)
    if csv_first:
        house.capture("instagram")
    row = house.row("select * from snapshots where post_id = %(id)s", id=f"instagram_{post.native_id}")
    seen = house.sandbox.counters(post)
    assert (row["data_source"], row["views"], row["reactions"]) == ("instagram", seen.views, seen.reactions)
    assert (row["impressions"], row["profile_visits"]) == (1700, 4)  # only the export knows
    assert set(row["raw_data"]) == set(row["layers"]) == {"csv", "instagram"}
    kept = house.row("select * from snapshots where post_id = %(id)s", id=row["post_id"])
    assert house.replay("instagram").sites[0].changed == 0
    assert house.row("select * from snapshots where post_id = %(id)s", id=row["post_id"]) == kept
    house.capture("instagram", again=True)
    assert house.row("select * from snapshots where post_id = %(id)s", id=row["post_id"]) == kept


def _import(house: Studio, folder: Path, post: Post) -> None:
    """Import an export of one post."""
    row = {**INSTAGRAM} | {"Post ID": post.native_id, "Account ID": post.account.platform_id}
    path = folder / "export.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    inbox, platforms = Inbox(str(folder / "inbox")), house.platforms
    inbox.create()
    inbox.put(path, house.today)
    load_day(platforms.warehouse, inbox, house.today, platforms.settings, house.sandbox.clock)
