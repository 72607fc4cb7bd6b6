"""A day read again from the stored answers: the same rows, without a request, and what a corrected mapping changes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cg_pipeline.platforms.contract import Reading
from cg_pipeline.platforms.records import MetricsRecord, PostRecord
from cg_pipeline.platforms.threads import Threads
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline_tests.integration.studio import AVAILABLE, Studio, small_world, studio
from cg_pipeline_tests.integration.tables import row_versions

ALL = "select to_jsonb(s) - '{id,sync_log_id}'::text[] as row from snapshots s order by post_id, snapshot_date"
BUT_TIMES = ALL.replace("sync_log_id", "sync_log_id,observed_at")


@pytest.fixture
def house(warehouse: Warehouse, tmp_path: Path) -> Iterator[Studio]:
    with studio(small_world(), warehouse, tmp_path) as made:
        yield made


def replayed(house: Studio, platform: str, *, of: int = 2, **scope: Any) -> int:
    """Replay without a request, and return how many rows changed."""
    asked = len(house.transport.asked)
    report = house.replay(platform, **scope)
    assert [site.status for site in report.sites] == ["completed"] * of, report.sites
    assert len(house.transport.asked) == asked
    return sum(site.changed for site in report.sites)


@pytest.mark.parametrize("platform", AVAILABLE)
def test_a_replay_gives_the_same_rows_and_rewrites_none_that_is_there(house: Studio, platform: str) -> None:
    house.connect_all(platform)
    house.rows("update sites set platform_username = null")  # the account tells it
    house.capture(platform)
    captured, versions = house.rows(ALL), row_versions(house.platforms.warehouse)
    assert replayed(house, platform) == 0
    assert row_versions(house.platforms.warehouse) == versions
    house.rows("delete from snapshots")
    house.later(days=90)  # the tokens have long expired
    assert replayed(house, platform, day=house.today - timedelta(days=90)) == len(captured)
    assert house.rows(ALL) == captured


@pytest.mark.parametrize("platform", AVAILABLE)
def test_a_replay_puts_all_readings_of_a_day_together(house: Studio, platform: str) -> None:
    house.connect_all(platform)
    house.capture(platform)
    house.later(hours=1.5)
    house.sandbox.set_fault(house.account(platform), "hidden_counters")
    house.capture(platform)
    house.later(hours=1)
    post = next(post for post in house.listed(house.account(platform)) if post.media != "story")
    house.capture(platform, posts=[f"{platform}_{post.native_id}"])
    captured, versions = house.rows(BUT_TIMES), row_versions(house.platforms.warehouse)
    assert replayed(house, platform) == 0
    assert row_versions(house.platforms.warehouse) == versions
    house.rows("delete from snapshots")
    replayed(house, platform)
    assert house.rows(BUT_TIMES) == captured


def test_what_a_corrected_mapping_no_longer_fills_is_taken_back_of_the_site_alone(
    house: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.connect_all("threads")
    house.capture("threads")
    real = Threads.metrics

    def metrics(self: Threads, reading: Reading, posts: Sequence[PostRecord]) -> Iterator[MetricsRecord]:
        for record in real(self, reading, posts):
            values = {name: value for name, value in record.values.items() if name != "comments"}
            yield replace(record, values=values | {"shares": 1})

    monkeypatch.setattr(Threads, "metrics", metrics)
    house.rows("delete from stale_windows")
    name = house.account("threads").name
    changed = replayed(house, "threads", of=1, sites=[name])
    rows = house.rows("select n.comments, n.shares, s.name from snapshots n join sites s on s.id = n.site_id")
    assert changed == len([row for row in rows if row["name"] == name]) > 0
    assert {row["comments"] is None and row["shares"] == 1 for row in rows if row["name"] == name} == {True}
    assert {row["comments"] is None for row in rows if row["name"] != name} == {False}
    assert house.rows("select from stale_windows where kind = 'daily' and window_start = %(day)s", day=house.today)
    monkeypatch.undo()
    assert replayed(house, "threads") == changed


def test_a_reading_asks_in_its_replay_what_it_asked_when_other_things_were_known(house: Studio) -> None:
    house.connect_all("threads")
    account = house.account("threads")
    house.sandbox.set_fault(account, "retired_metric", name="likes")
    house.capture("threads")
    first, vanished = house.today, house.listed(account)[1]
    house.change(vanished, deleted_at=house.sandbox.now)
    for _ in range(3):
        house.later(days=1)
        house.capture("threads")
    captured = house.rows(ALL)
    house.rows("delete from snapshots")
    for number in range(4):
        replayed(house, "threads", day=first + timedelta(days=number))
    assert house.rows(ALL) == captured
    assert house.row("select count(*) from posts where status = 'removed'")["count"] == 1


def test_a_day_whose_answers_are_forgotten_stays_as_it_is(house: Studio) -> None:
    house.connect_all("threads")
    house.capture("threads")
    captured = house.rows(ALL)
    house.rows("delete from captured_answers where request like '%%insights%%' and request not like '%%followers%%'")
    report = house.replay("threads")
    assert [site.status for site in report.sites] == ["failed"] * 2
    assert "The stored answers lack GET" in str(report.sites[0].message)
    house.rows("delete from captured_answers")
    assert "No answers are kept of 2026-04-05" in str(house.replay("threads").sites[0].message)
    assert house.rows(ALL) == captured
    assert {row["status"] for row in house.rows("select status from sync_logs")} == {"completed"}


def test_answers_are_kept_for_as_long_as_is_set(house: Studio) -> None:
    house.connect(house.account("threads"))
    house.capture("threads")
    house.later(days=34)
    house.capture("threads")
    assert house.rows("select from captured_answers where received_at < %(now)s", now=house.sandbox.now)
    house.later(days=2)
    house.capture("threads")
    kept = house.rows("select distinct received_at::date as day from captured_answers")
    assert {row["day"] for row in kept} == {house.today, house.today - timedelta(days=2)}


def test_a_site_that_is_being_captured_is_not_replayed(house: Studio) -> None:
    house.connect(house.account("threads"))
    house.capture("threads")
    with house.platforms.warehouse.connect() as other:
        other.execute("select pg_advisory_lock(hashtextextended('capture ' || id::text, 0)) from sites")
        assert house.replay("threads").sites[0].status == "partial"
