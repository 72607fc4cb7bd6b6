"""From a platform's signed POST to the changed snapshot and its delta, by the processes of `cg up` alone, also when
they are killed meanwhile."""

import random
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any, LiteralString

import psutil
import pytest
import requests

from cg_pipeline.capture.platform_day import capture_platform
from cg_pipeline.clock import RunningClock, SystemClock
from cg_pipeline.config import PLATFORMS
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.sandbox import events
from cg_pipeline.sandbox.server import Sandbox, serving
from cg_pipeline.sandbox.world import BEGINNING, Account, Post, World
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline_tests.e2e.conftest import Up, cg, running
from cg_pipeline_tests.integration.studio import connect

KIND = dict.fromkeys(PLATFORMS, "update") | {"twitter": "publish"}  # X tells of nothing that happens to a post later
EVENTS = "select id, status, error_message, created_at, processed_at, post_id from webhook_events"
BEFORE = "select post_id, coalesce(views, impressions) as seen from snapshots"
LANDED = """
select s.post_id, coalesce(s.views, s.impressions) as seen, coalesce(d.views_delta, d.impressions_delta) as more
from snapshots s join deltas d on d.post_id = s.post_id and d.period = 'daily' and d.period_start = s.snapshot_date
where s.snapshot_date = %(day)s
"""


class Scene:
    """A sandbox, and an installation that takes it for the platforms."""

    def __init__(self, sandbox: Sandbox, address: str, home: Path) -> None:
        self.sandbox, self.home = sandbox, home
        self.variables = {f"CG_{name.upper()}_API_URL": f"{address}/{name}" for name in PLATFORMS}
        for name in PLATFORMS:
            secrets = {"CLIENT_ID": "sandbox", "CLIENT_SECRET": events.SECRET}
            self.variables |= {f"CG_{name.upper()}_{key}": value for key, value in secrets.items()}

    def connect(self) -> None:
        """Connect a site of each platform to the installation, which runs by now, and capture it as if yesterday."""
        url = cg(self.home, "db", "url").stdout.strip()
        self.warehouse = Warehouse(url)
        platforms = Pipeline.open({**self.variables, "CG_HOME": str(self.home), "CG_DATABASE_URL": url}).platforms
        for name in PLATFORMS:
            connect(self.sandbox, platforms, self.account(name))
            assert not capture_platform(platforms, name, self.today).incomplete
        self.rows("update snapshots set snapshot_date = snapshot_date - 1 returning 1")
        self.rows("delete from stale_windows returning 1")
        self.sandbox.clock = RunningClock(self.sandbox.now + timedelta(days=1))

    @property
    def today(self) -> date:
        """The day of the installation, whose time is the machine's; the sandbox's counters are a day ahead."""
        return SystemClock().now().date()

    def account(self, platform: str) -> Account:
        return self.sandbox.world.accounts[platform][0]

    def posts(self, platform: str) -> list[Post]:
        return list(self.sandbox.world.posts(self.account(platform), self.sandbox.now, private=False))

    def rows(self, statement: LiteralString, **values: Any) -> list[dict[str, Any]]:
        with self.warehouse.connect() as connection:
            return connection.execute(statement, values).fetchall()

    def deliver(self, up: Up, post: Post) -> str:
        """Let the platform tell of a post; returns the post's id."""
        platform = post.account.platform
        delivery = events.event(post, KIND[platform], events.SECRET, SystemClock().now())
        found = re.search(r"Webhooks +(\S+)/webhooks", up.log.read_text())
        assert found
        answer = requests.post(
            f"{found[1]}/webhooks/{platform}", delivery.body, headers=dict(delivery.headers), timeout=10
        )
        assert answer.status_code == 200, answer.text
        return f"{platform}_{post.native_id}"


@pytest.fixture
def world(server_folder: Path) -> Iterator[Scene]:
    now = SystemClock().now()
    hours = int((now - BEGINNING) / timedelta(hours=1)) - 120  # so that the newest post is young, and its counters grow
    sandbox = Sandbox(World(accounts_each=1, posts_each=3, hours_between=hours // 2), now)
    with serving(sandbox) as address:
        yield Scene(sandbox, address, server_folder / "home")


def open_events(world: Scene) -> list[dict[str, Any]]:
    return [row for row in world.rows(EVENTS) if row["status"] not in {"processed", "dead"}]


@pytest.mark.slow
def test_signed_posts_become_snapshots_and_deltas_by_themselves_though_runs_and_daemon_are_killed(world: Scene) -> None:
    with running(world.home, **world.variables, CG_WEBHOOK_LEASE_SECONDS="60") as up:
        world.connect()
        before = {row["post_id"]: row["seen"] for row in world.rows(BEFORE)}
        told = {world.deliver(up, world.posts(platform)[0]) for platform in PLATFORMS}
        up.wait_for(lambda: not open_events(world), 180)
        up.wait_for(lambda: told <= {row["post_id"] for row in world.rows(LANDED, day=world.today)}, 60)
        landed = {row["post_id"]: row for row in world.rows(LANDED, day=world.today)}
        stored = world.rows(EVENTS)
        for post in told:
            assert landed[post]["more"] == landed[post]["seen"] - before[post] > 0
        assert {row["status"] for row in stored} == {"processed"}
        took = sorted((row["processed_at"] - row["created_at"]).total_seconds() for row in stored)
        print(f"from the POST to the landed snapshot: {took[0]:.0f} to {took[-1]:.0f} s")

        for victim, platforms in {"spawn_main": PLATFORMS[:3], "dagster-daemon": PLATFORMS[3:]}.items():
            told |= {world.deliver(up, world.posts(platform)[1]) for platform in platforms}
            up.wait_for(lambda: _kill(up, victim), 60)  # noqa: B023  within the loop
        assert up.process.wait(60) == 3  # the command ends with its daemon
    with running(world.home, **world.variables) as up:
        up.wait_for(lambda: _in_haste(world), 240)
        stored = world.rows(EVENTS)
    assert {row["post_id"] for row in stored} == told
    assert len(stored) == len(told) == 2 * len(PLATFORMS)
    assert {row["status"] for row in stored} == {"processed"}, stored


def _in_haste(world: Scene) -> bool:
    """Whether nothing waits; what has failed is not to wait for its next attempt."""
    world.rows("update webhook_events set attempt_at = now() where status = 'failed' returning 1")
    return not open_events(world)


def _kill(up: Up, what: str) -> bool:
    """Kill a process of the command, after a moment; whether there was one."""
    for process in up.descendants()[1:]:
        with suppress(psutil.NoSuchProcess):  # a zombie, or gone
            if what in " ".join(process.cmdline()):
                time.sleep(random.uniform(0, 3))
                process.kill()
                return True
    return False
