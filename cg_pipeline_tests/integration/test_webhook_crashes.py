"""Receiver, sensor and runs are killed at random moments, and PostgreSQL is restarted meanwhile: every event that was
accepted ends processed exactly once, or dead with a reason."""

import atexit
import os
import shutil
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any

import pytest
import requests
import uvicorn

from cg_pipeline.clock import FixedClock
from cg_pipeline.sandbox import events
from cg_pipeline.sandbox.server import Sandbox, serving
from cg_pipeline.security.vault import new_key
from cg_pipeline.warehouse import embedded
from cg_pipeline.warehouse.database import Warehouse, libpq
from cg_pipeline.warehouse.migrate import migrate
from cg_pipeline.webhooks import inbox
from cg_pipeline.webhooks.payloads import parse
from cg_pipeline.webhooks.receiver import UVICORN, make_app
from cg_pipeline.webhooks.refresh import refresh
from cg_pipeline_tests.conftest import new_folder
from cg_pipeline_tests.integration.events import states
from cg_pipeline_tests.integration.studio import Studio, furnish, small_world

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])

KILLS = 100
PLATFORMS = ("threads", "youtube")
LEASE = timedelta(minutes=15)
# How long a process lives, at most, before it is killed: about as long as its work takes.
LIVES = {"receiver": 0.15, "sensor": 0.06, "run": 0.5, "retry": 0.04}

COUNT_SETTLEMENTS = """
create table settled (event_id uuid not null);
create function note_settlement() returns trigger language plpgsql as
    $$ begin insert into settled values (new.id); return null; end $$;
create trigger settled after update on webhook_events for each row
    when (new.status = 'processed' and old.status <> 'processed') execute function note_settlement();
"""


@dataclass(frozen=True)
class Place:
    """What a process needs to find its way."""

    url: str
    home: Path
    address: str
    key: str

    def house(self, now: datetime) -> Studio:
        """The installation, at a time."""
        return furnish(Sandbox(now=now), Warehouse(self.url), self.home, self.address, CG_ENCRYPTION_KEYS=self.key)


def _sensor(place: Place, now: datetime, tell: Any) -> None:
    """What a tick of the sensor does. What it has told is what Dagster would have been asked to run."""
    tick = inbox.claim(Warehouse(place.url), now, LEASE)
    tell.send([(rerun.platform, rerun.key) for rerun in tick.reruns])


def _run(place: Place, now: datetime, platform: str, key: str) -> None:
    refresh(place.house(now).platforms, platform, now.date(), key)


def _retry(place: Place, now: datetime) -> None:
    inbox.return_lost(Warehouse(place.url), now)


def _receiver(place: Place, now: datetime, listener: socket.socket) -> None:
    house = place.house(now)
    app = make_app(house.platforms.warehouse, house.platforms.settings, FixedClock(now))
    uvicorn.Server(uvicorn.Config(app, **UVICORN)).run(sockets=[listener])


@dataclass
class Theatre:
    """All that goes on, and what was killed of it."""

    place: Place
    house: Studio
    restart: Callable[[], None]
    chance: Random
    killed: Counter[str] = field(default_factory=Counter)
    requested: list[tuple[str, str]] = field(default_factory=list)
    undelivered: list[tuple[str, events.Delivery]] = field(default_factory=list)
    accepted: dict[str, str] = field(default_factory=dict)
    """Fingerprint -> post."""

    @property
    def now(self) -> datetime:
        """The time of all processes."""
        return self.house.sandbox.now

    def happens(self) -> None:
        """Something happens to a post, of which the platform will tell; later than the time before."""
        self.house.later(seconds=self.chance.randrange(20, 120))
        platform = self.chance.choice(PLATFORMS)
        account = self.house.account(platform, self.chance.randrange(2))
        post = self.chance.choice(self.house.listed(account))
        self.undelivered.append((platform, events.event(post, "update", events.SECRET, self.now)))

    def act(self, role: str, *arguments: Any, doomed: bool) -> BaseProcess:
        """A process at its work, killed after a while or left to end it."""
        roles: dict[str, Callable[..., None]] = {
            "receiver": _receiver, "sensor": _sensor, "run": _run, "retry": _retry,
        }  # fmt: skip
        process = PROCESSES.Process(target=roles[role], args=(self.place, self.now, *arguments), daemon=True)
        process.start()
        if role == "receiver":
            return process
        if doomed:
            self.kill(role, process)
        process.join(60)
        return process

    def kill(self, role: str, process: BaseProcess) -> None:
        """Kill it at a random moment of its life; it counts if it was still alive."""
        process.join(self.chance.uniform(0, LIVES[role]))
        if process.is_alive() and process.pid:
            os.kill(process.pid, signal.SIGKILL)
        process.join(10)
        self.killed[role] += process.exitcode == -signal.SIGKILL

    def tick(self, *, doomed: bool) -> None:
        """A sensor's tick, whose requests are kept as Dagster keeps them."""
        hear, tell = PROCESSES.Pipe(duplex=False)
        with hear, tell:
            self.act("sensor", tell, doomed=doomed)
            tell.close()
            with suppress(EOFError):
                self.requested += hear.recv()

    def work(self, *, doomed: bool) -> None:
        """A run that was requested; one that was killed is never started again."""
        if self.requested:
            self.act("run", *self.requested.pop(0), doomed=doomed)

    def deliver(self, *, doomed: bool) -> None:
        """Deliver what happened, and again what had no answer 200, to a receiver that is killed at some time."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            receiver = self.act("receiver", listener, doomed=doomed)
        deadline = time.monotonic() + (self.chance.uniform(0.05, 0.4) if doomed else 20)
        try:
            while self.undelivered and time.monotonic() < deadline:
                self.undelivered = [each for each in self.undelivered if not self._is_accepted(port, *each)]
        finally:
            if doomed:
                self.kill("receiver", receiver)
            else:
                receiver.terminate()
            receiver.join(20)

    def _is_accepted(self, port: int, platform: str, delivery: events.Delivery) -> bool:
        address = f"http://127.0.0.1:{port}/webhooks/{platform}"
        try:
            answer = requests.post(address, delivery.body, headers=dict(delivery.headers), timeout=5)
        except requests.RequestException:
            return False
        assert answer.status_code in {200, 503}, answer.text
        if answer.status_code == 200:
            (entry,) = parse(platform, delivery.body)
            self.accepted[entry.fingerprint(platform)] = f"{platform}_{entry.post}"
        return answer.status_code == 200


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Theatre]:
    """A PostgreSQL of its own, which can be restarted, a sandbox, and two connected sites of each platform."""
    folder = new_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # after the server has stopped
    server = embedded.start(folder)
    warehouse = Warehouse(server.set(database="cg_crashes"))
    sandbox = small_world(posts=6)
    migrate(warehouse, date(2026, 4, 1))
    with serving(sandbox) as address:
        place = Place(libpq(warehouse.url), tmp_path, address, new_key())
        house = furnish(sandbox, warehouse, tmp_path, address, CG_ENCRYPTION_KEYS=place.key)
        house.connect_all(*PLATFORMS)
        house.rows(COUNT_SETTLEMENTS)
        running = embedded._server(folder / "postgres")

        def restart() -> None:
            running.stop()
            running.start()

        yield Theatre(place, house, restart, Random(20260405))


@pytest.mark.slow
def test_no_accepted_event_is_lost_or_processed_twice_whatever_is_killed(theatre: Theatre) -> None:
    acts = {"deliver": theatre.deliver, "tick": theatre.tick, "work": theatre.work}
    restarts = [KILLS // 3, 2 * KILLS // 3]
    while theatre.killed.total() < KILLS:
        for _ in range(theatre.chance.randrange(3)):
            theatre.happens()
        acts[theatre.chance.choice([*acts, "work"])](doomed=theatre.chance.random() < 0.8)
        theatre.act("retry", doomed=theatre.chance.random() < 0.3)
        theatre.house.later(minutes=theatre.chance.randrange(6))
        if restarts and theatre.killed.total() >= restarts[0]:
            theatre.restart()
            restarts.pop(0)

    theatre.deliver(doomed=False)
    assert theatre.undelivered == []
    for _ in range(60):
        theatre.house.later(minutes=40)
        theatre.act("retry", doomed=False)
        theatre.tick(doomed=False)
        while theatre.requested:
            theatre.work(doomed=False)

    stored = states(theatre.house.platforms.warehouse)
    # One whose answer was lost with its receiver may be there too: it is delivered again, and stored once.
    assert Counter(row["fingerprint"] for row in stored.values()) == Counter(theatre.accepted.keys())
    assert {row["status"] for row in stored.values()} <= {"processed", "dead"}
    assert all(row["error_message"] for row in stored.values() if row["status"] == "dead")
    settled = Counter(row["event_id"] for row in theatre.house.rows("select event_id from settled"))
    assert settled == Counter(event for event, row in stored.items() if row["status"] == "processed")
    read = {row["post_id"] for row in theatre.house.rows("select post_id from snapshots where sync_log_id in "
            "(select id from sync_logs where sync_type = 'webhook' and status = 'completed')")}  # fmt: skip
    assert {row["post_id"] for row in stored.values() if row["status"] == "processed"} <= read
    assert theatre.killed.total() >= KILLS
    assert min(theatre.killed[role] for role in ("receiver", "sensor", "run")) >= 5
    assert len(stored) > 50
    assert not theatre.house.rows("select from sync_logs where status = 'started'")
    print(f"killed {dict(theatre.killed)}; {Counter(row['status'] for row in stored.values())}")
