"""A capture that is killed anywhere leaves no half site; the next one ends in the same tables, asking nothing again."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any

import psycopg
import pytest

from cg_pipeline.capture.access import connected_sites
from cg_pipeline.capture.tokens import SiteTokens
from cg_pipeline.sandbox.server import Sandbox, serving
from cg_pipeline.security.vault import new_key
from cg_pipeline.warehouse.database import Warehouse, libpq
from cg_pipeline_tests.integration.studio import AVAILABLE, Killed, Studio, Watched, furnish, small_world
from cg_pipeline_tests.integration.tables import stored_tables

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])

AT_REQUESTS, AT_STATEMENTS = 5, 4  # of each platform: more than fifty together
LANDED = """
select s.platform_id, count(n.*) as posts
from sites s left join snapshots n on n.site_id = s.id and n.snapshot_date = %(day)s
group by s.platform_id
"""
LOGS = "select s.platform_id, l.status, l.error_message from sync_logs l join sites s on s.id = l.site_id"
DAY_LOGS = f"{LOGS} where snapshot_date = %(day)s"


@pytest.fixture
def pair(make_warehouse: Callable[[], Warehouse], tmp_path: Path) -> Iterator[Callable[[str], tuple[Studio, Studio]]]:
    """Two installations beside one sandbox: one is killed, the other is not."""
    sandbox = small_world(posts=4, hours_between=200)
    with serving(sandbox) as address:

        def make(platform: str) -> tuple[Studio, Studio]:
            keys = new_key()
            both = [furnish(sandbox, make_warehouse(), tmp_path, address, CG_ENCRYPTION_KEYS=keys) for _ in range(2)]
            for each in both:
                each.connect_all(platform)
            return both[0], both[1]

        yield make


@contextmanager
def counted_statements(die_at: int | None = None) -> Iterator[list[int]]:
    """Count the statements and commits of all threads; from the one to die at on, everything dies."""
    count, lock = [0], Lock()
    real = {(owner, name): getattr(owner, name) for owner, name in
            ((psycopg.Cursor, "execute"), (psycopg.Connection, "commit"))}  # fmt: skip

    def mortal(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with lock:
                if die_at is not None and count[0] >= die_at:
                    if isinstance(args[0], psycopg.Connection):
                        args[0].close()  # as the end of the process would
                    raise Killed
                count[0] += 1
            return method(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for (owner, name), method in real.items():
            patch.setattr(owner, name, mortal(method))
        yield count


def tomorrow(house: Studio, platform: str) -> None:
    """The next day, with tokens renewed: between the answer and our commit nothing could save a pair of single use."""
    house.later(days=1)
    with house.platforms.warehouse.connect() as connection:
        for site in connected_sites(connection, platform):
            SiteTokens(house.platforms, site).current()


def landed(house: Studio) -> dict[str, int]:
    return {row["platform_id"]: row["posts"] for row in house.rows(LANDED, day=house.today)}


def restart(house: Studio, twin: Studio, platform: str, asked_before: int, *, in_flight: int = 0) -> None:
    """Capture again after a kill, and compare with the twin, which was not killed."""
    whole, before = landed(twin), landed(house)
    assert all(before[site] in {0, posts} for site, posts in whole.items()), "half a site is visible"
    finished = {row["platform_id"] for row in house.rows(DAY_LOGS, day=house.today) if row["status"] == "completed"}
    assert finished == {site for site, posts in before.items() if posts}

    at_restart = len(house.transport.asked)
    report = house.capture(platform)
    assert not report.incomplete, report.sites
    assert landed(house) == whole
    again = [who for who, _ in house.transport.asked[at_restart:]]
    assert not finished.intersection(again), "a finished site was asked again"
    repeated = Counter(each for each in house.transport.asked[asked_before:] if each[0])
    assert sum(repeated.values()) - len(repeated) <= in_flight, "what was answered was asked for again"
    logs = Counter(row["status"] for row in house.rows(DAY_LOGS, day=house.today))
    assert logs["completed"] == len(whole)
    assert not logs["started"]
    assert all("cut off" in row["error_message"] for row in house.rows(f"{LOGS} where l.status = 'failed'"))


@pytest.mark.slow
@pytest.mark.parametrize("platform", AVAILABLE)
def test_a_killed_capture_is_resumed_to_the_same_tables(
    pair: Callable[[str], tuple[Studio, Studio]], platform: str
) -> None:
    house, twin = pair(platform)
    chance = Random(platform)
    twin.capture(platform)
    house.capture(platform)
    tomorrow(house, platform)
    asked = len(house.transport.asked)
    with counted_statements() as count:
        house.capture(platform)
    twin.capture(platform)
    # Each kill on a day of its own, of which the twin knows how it should end.
    requests = len(house.transport.asked) - asked
    kills = [("request", chance.randrange(requests)) for _ in range(AT_REQUESTS)]
    kills += [("statement", chance.randrange(count[0] // 6, count[0] * 9 // 10)) for _ in range(AT_STATEMENTS)]
    for kind, point in kills:
        tomorrow(house, platform)
        asked = len(house.transport.asked)
        house.transport.die_at = asked + point if kind == "request" else None
        with counted_statements(point if kind == "statement" else None), pytest.raises(Killed):
            house.capture(platform)
        house.transport.die_at = None
        twin.capture(platform)
        restart(house, twin, platform, asked, in_flight=2 if kind == "statement" else 0)
    assert stored_tables(house.platforms.warehouse) == stored_tables(twin.platforms.warehouse)


class Suicidal(Watched):
    """Dies by SIGKILL."""

    def die(self) -> None:
        """Nothing runs after this."""
        os.kill(os.getpid(), signal.SIGKILL)


def _capture(url: str, home: Path, address: str, key: str, platform: str, *at: Any) -> None:
    """Capture a day, and die at a request. Runs in a process of its own."""
    now, die_at = at
    house = furnish(Sandbox(now=now), Warehouse(url), home, address, CG_ENCRYPTION_KEYS=key)
    transport = Suicidal()
    transport.die_at = die_at
    vars(house.platforms)["transport"] = transport
    house.capture(platform)


@pytest.mark.slow
@pytest.mark.parametrize("platform", [name for name in ("threads", "twitter") if name in AVAILABLE])
def test_a_process_that_is_killed_is_resumed_by_another(
    pair: Callable[[str], tuple[Studio, Studio]], platform: str
) -> None:
    house, twin = pair(platform)
    settings, url = house.platforms.settings, libpq(house.platforms.warehouse.url)
    address = house.platforms.address(platform).removesuffix(f"/{platform}")
    for die_at in (1, 4):
        tomorrow(house, platform)
        twin.capture(platform)
        arguments = (url, settings.home, address, settings.encryption_keys, platform, house.sandbox.now, die_at)
        process = PROCESSES.Process(target=_capture, args=arguments)
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        restart(house, twin, platform, len(house.transport.asked))
    assert stored_tables(house.platforms.warehouse) == stored_tables(twin.platforms.warehouse)


def test_the_others_land_while_a_killed_thread_leaves_its_log_open(
    pair: Callable[[str], tuple[Studio, Studio]], monkeypatch: pytest.MonkeyPatch
) -> None:
    house, _ = pair("threads")
    doomed = house.account("threads")

    def instead(request: Any, token: str) -> None:
        if house.transport.owner(token) == doomed.platform_id and "insights" in request.url:
            raise Killed

    house.transport.instead = instead
    with pytest.raises(Killed):
        house.capture("threads")
    assert {row["platform_id"]: row["status"] for row in house.rows(LOGS)} == {
        doomed.platform_id: "started", house.account("threads", 1).platform_id: "completed"}  # fmt: skip
    assert landed(house)[doomed.platform_id] == 0
