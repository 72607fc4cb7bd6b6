"""Capture of all platforms from a sandbox that takes its time for each answer, against what that time alone would take.

The sandbox runs in a process of its own. The ideal is the latency of the fewest requests that the platform allows, as
many sites side by side as the pipeline reads; the CPU time is that of the capturing process."""

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import requests

from cg_pipeline import config
from cg_pipeline.capture import sites, tokens
from cg_pipeline.capture.access import Platforms
from cg_pipeline.capture.platform_day import capture_platform
from cg_pipeline.clock import FixedClock
from cg_pipeline.config import PLATFORMS
from cg_pipeline.platforms.records import Tokens
from cg_pipeline.sandbox.server import Sandbox, serving
from cg_pipeline.sandbox.world import World
from cg_pipeline.security.vault import new_key
from cg_pipeline.warehouse.database import Warehouse, libpq
from cg_pipeline_tests.benchmarks.database import Measurement

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
LATENCY_SECONDS = 0.08
AT_ONCE = "20"


def measure(warehouse: Warehouse, folder: Path, accounts: int, posts: int) -> list[Measurement]:
    """Capture one day of each platform, one after the other; lines for each and for all."""
    hours = 24 * 240 // posts
    with _sandbox(World(accounts, posts, hours)) as address:
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            arguments = (libpq(warehouse.url), str(folder / "platforms"), address)
            results, cpu, peak = pool.apply(_capture, arguments)
    lines = [
        Measurement(
            f"{platform}: {found} posts of {accounts} sites", wall, f"{calls} calls x {LATENCY_SECONDS} s", ideal
        )
        for platform, wall, ideal, calls, found in results
    ]
    total = sum(found for *_, found in results)
    wall, ideal = sum(line[1] for line in results), sum(line[2] for line in results)
    return [
        *lines,
        Measurement("all six platforms", wall, "the latency of the fewest calls", ideal, goal="at most 1.5"),
        Measurement("the same: CPU of the process per 1,000 posts", figure=f"{1000 * cpu / total:.2f} s"),
        Measurement("the same: most memory of the process", figure=f"{peak:,.0f} MB"),
    ]


@contextmanager
def _sandbox(world: World) -> Iterator[str]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(world, theirs), daemon=True)
    process.start()
    yield ours.recv()
    ours.send("stop")
    process.join()


def _serve(world: World, pipe: "Pipe[str, str]") -> None:
    with serving(Sandbox(world, NOW, LATENCY_SECONDS)) as address:
        pipe.send(address)
        pipe.recv()


Line = tuple[str, float, float, int, int]


def _capture(url: str, home: str, address: str) -> tuple[list[Line], float, float]:
    environ = {f"CG_{platform.upper()}_API_URL": f"{address}/{platform}" for platform in PLATFORMS}
    settings = config.load({"CG_HOME": home, "CG_ENCRYPTION_KEYS": new_key(), "CG_SITES_AT_ONCE": AT_ONCE, **environ})
    platforms = Platforms(Warehouse(url), settings, FixedClock(NOW))
    connect_all(platforms, address)
    results: list[Line] = []
    cpu = 0.0
    for platform in PLATFORMS:
        began, used = time.perf_counter(), os.times()
        report = capture_platform(platforms, platform, NOW.date())
        after = os.times()
        wall = time.perf_counter() - began
        cpu += after.user - used.user + after.system - used.system
        calls = [site.minimum for site in report.sites]
        found = sum(site.posts for site in report.sites)
        if report.incomplete:
            raise RuntimeError(report.incomplete[0].message)
        at_once = min(settings.sites_at_once, len(calls))
        ideal = max(*calls, sum(calls) / at_once) * LATENCY_SECONDS
        results.append((platform, wall, ideal, sum(calls), found))
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    return results, cpu, int(status["VmHWM"].split()[0]) / 1024


def connect_all(platforms: Platforms, address: str) -> None:
    """Connect every account of the sandbox."""
    with platforms.warehouse.connect() as connection:
        for account in requests.get(f"{address}/_sandbox/accounts", timeout=30).json():
            platform, platform_id = account["platform"], account["platform_id"]
            site = sites.add(connection, platform, platform_id, account["name"], account["username"])
            given = requests.post(f"{address}/_sandbox/connect/{platform}/{platform_id}", timeout=30).json()
            expiry = given["expires_at"] and datetime.fromisoformat(given["expires_at"])
            pair = Tokens(given["access_token"], given["refresh_token"], expiry)
            tokens.store(connection, platforms.ring, site.id, pair, NOW)
            if platform == "facebook":
                sites.put_setting(connection, site, "currency", account["currency"], platforms.clock)
