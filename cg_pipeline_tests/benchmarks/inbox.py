"""The inbox of webhook events under load: a tick of the sensor beside a million stored events, and a burst of ten
thousand events over fifty sites until it is drained. By itself: python -m cg_pipeline_tests.benchmarks.inbox"""

import atexit
import shutil
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import LiteralString

from psycopg.types.json import Jsonb

from cg_pipeline import config
from cg_pipeline.capture.access import Platforms
from cg_pipeline.clock import FixedClock
from cg_pipeline.config import PLATFORMS
from cg_pipeline.sandbox.server import Sandbox, serving
from cg_pipeline.sandbox.world import World
from cg_pipeline.security.vault import new_key
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline.webhooks import inbox
from cg_pipeline.webhooks.planning import Rerun
from cg_pipeline.webhooks.refresh import refresh
from cg_pipeline_tests.benchmarks.database import Measurement, fresh_warehouse
from cg_pipeline_tests.benchmarks.platforms import connect_all

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=15)
STORED, BURST, ACCOUNTS, SITES, POSTS = 1_000_000, 10_000, 9, 50, 20

# Three months of events that have been processed.
HISTORY: LiteralString = """
insert into webhook_events (site_id, platform, event_type, event_data, fingerprint, account, post_id, action, status,
                            processed_at, created_at)
select s.id, s.platform, 'update', '{"field": "feed"}', n::text, s.platform_id, s.platform || '_' || n %% 50000,
       'refresh', 'processed', %(now)s, %(now)s - n * interval '7.7 seconds'
from generate_series(1, %(events)s) as n
join (select *, row_number() over (order by id) as place from sites) as s
     on s.place = 1 + n %% (select count(*) from sites)
"""
# `posts`: by the platform's id of a site, an array of the posts that its events are about, in turn.
EVENTS: LiteralString = """
insert into webhook_events (site_id, platform, event_type, event_data, fingerprint, account, post_id, action,
                            created_at)
select s.id, s.platform, 'update', '{"field": "feed"}', 'burst ' || n, s.platform_id,
       s.posts ->> (n / %(sites)s %% jsonb_array_length(s.posts))::int, 'refresh', %(now)s - interval '1 minute'
from generate_series(1, %(events)s) as n
join (
    select s.*, p.value as posts, row_number() over (order by id) as place
    from sites s join jsonb_each(%(posts)s) as p on p.key = s.platform_id
) as s on s.place = 1 + n %% %(sites)s
"""


def measure(warehouse: Warehouse, folder: Path, stored: int = STORED) -> list[Measurement]:
    """A tick beside the stored events, then a burst until nothing of it waits."""
    sandbox = Sandbox(World(ACCOUNTS, POSTS, 240), NOW)
    with serving(sandbox) as address:
        environ = {f"CG_{platform.upper()}_API_URL": f"{address}/{platform}" for platform in PLATFORMS}
        settings = config.load({"CG_HOME": str(folder / "inbox"), "CG_ENCRYPTION_KEYS": new_key(), **environ})
        platforms = Platforms(warehouse, settings, FixedClock(NOW))
        connect_all(platforms, address)
        with warehouse.connect() as connection:
            connection.execute(HISTORY, {"now": NOW, "events": stored})
        with warehouse.connect() as connection:
            connection.execute("analyze webhook_events")
        empty = _tick(warehouse)[0]
        _burst(warehouse, sandbox)
        began = time.perf_counter()
        first, requested = _tick(warehouse)
        runs = len(requested)
        while requested:
            for rerun in requested:
                refresh(platforms, rerun.platform, NOW.date(), rerun.key)
            requested = _tick(warehouse)[1]
            runs += len(requested)
        wall = time.perf_counter() - began
    left, lost = _outcome(warehouse)
    return [
        Measurement(f"a tick with nothing to do beside {stored:,} events", empty, goal="under 1 s"),
        Measurement(f"a tick that claims {inbox.MOST_EVENTS:,} of them", first, goal="under 1 s"),
        Measurement(f"a burst of {BURST:,} events over {SITES} sites: {wall:.1f} s until it is drained",
                    figure=f"{runs} runs", goal="at most 30"),
        Measurement("events of the burst that were not processed", figure=f"{left} waiting, {lost} lost", goal="0"),
    ]  # fmt: skip


def _burst(warehouse: Warehouse, sandbox: Sandbox) -> None:
    accounts = [account for each in sandbox.world.accounts.values() for account in each][:SITES]
    posts = {
        account.platform_id: [
            f"{account.platform}_{post.native_id}" for post in sandbox.world.posts(account, NOW, private=False)
        ]
        for account in accounts
    }
    with warehouse.connect() as connection:
        connection.execute(EVENTS, {"now": NOW, "events": BURST, "sites": SITES, "posts": Jsonb(posts)})


def _tick(warehouse: Warehouse) -> tuple[float, list[Rerun]]:
    """Seconds of a tick, and the runs that it requests."""
    began = time.perf_counter()
    reruns = inbox.claim(warehouse, NOW, LEASE).reruns
    return time.perf_counter() - began, reruns


def _outcome(warehouse: Warehouse) -> tuple[int, int]:
    with warehouse.connect() as connection:
        row = connection.execute("""
            select count(*) filter (where status <> 'processed') as left, count(*) as stored
            from webhook_events where fingerprint like 'burst %'""").fetchone()
    return (row["left"], BURST - row["stored"]) if row else (BURST, BURST)


def main() -> None:
    """Run it on a fresh database and print what it took."""
    folder = Path(tempfile.mkdtemp(prefix="cg-bench-"))
    atexit.register(shutil.rmtree, folder)  # registered before the server is started, so run after it is stopped
    with fresh_warehouse(folder) as warehouse:
        for line in measure(warehouse, folder):
            print(*filter(None, line.cells()), sep="  ")


if __name__ == "__main__":
    main()
