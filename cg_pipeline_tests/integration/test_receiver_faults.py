"""The webhook receiver when many come at once, when it is killed, and when the database goes away."""

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
import requests
from psycopg import sql

from cg_pipeline.clock import FixedClock
from cg_pipeline.warehouse.database import Warehouse, libpq
from cg_pipeline.warehouse.sql import query
from cg_pipeline_tests.integration.receiving import (
    NOW,
    Hook,
    add_sites,
    feed,
    hooked,
    meta,
    sample,
    settings_of,
    signed,
    start_process,
)


@pytest.fixture
def hook(warehouse: Warehouse, tmp_path: Path) -> Iterator[Hook]:
    with hooked(warehouse, FixedClock(NOW), settings_of(str(tmp_path))) as made:
        yield made


def administer(warehouse: Warehouse, statement: LiteralString) -> None:
    url, name = warehouse.url.set(database="postgres"), str(warehouse.url.database)
    with psycopg.connect(libpq(url), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Literal(name)))


def cut(warehouse: Warehouse) -> None:
    """End all connections to the warehouse, as a server that stops does."""
    administer(warehouse, "select pg_terminate_backend(pid) from pg_stat_activity where datname = {1}")


def test_fifty_senders_with_duplicates_have_each_event_stored_once(hook: Hook) -> None:
    numbers = [number % 300 for number in range(1500)]
    random.Random(1).shuffle(numbers)
    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(lambda number: hook.post("facebook", meta(feed(str(number)))), numbers))
    assert set(statuses) == {200}
    events = hook.events()
    assert (len(events), {event["status"] for event in events}) == (300, {"pending"})
    assert hook.requests("facebook", "stored") == 300
    assert hook.requests("facebook", "repeated") == 1200


def test_two_receivers_with_the_same_deliveries_in_other_orders_store_each_once(hook: Hook, tmp_path: Path) -> None:
    bodies = [meta(*[feed(str(number)) for number in range(start, start + 40)]) for start in range(0, 200, 5)]
    listener = socket.create_server(("127.0.0.1", 0))
    process = start_process(hook.warehouse, str(tmp_path), listener)
    second = Hook(f"http://127.0.0.1:{listener.getsockname()[1]}", hook.warehouse, hook.sites)
    with ThreadPoolExecutor(8) as pool:
        jobs = [(each, body) for pair in zip(bodies, bodies[::-1], strict=True)
                for each, body in zip((hook, second), pair, strict=True)]  # fmt: skip
        statuses = list(pool.map(lambda job: job[0].post("facebook", job[1]), jobs))
    process.terminate()
    process.join(20)
    listener.close()
    assert set(statuses) == {200}
    assert len(hook.events()) == 235


CHECKS = {"right(post_id, 3) <> '113'": 503, "1 / (right(post_id, 3)::int - 113) < 9": 400}


@pytest.mark.parametrize("check", CHECKS)
def test_a_body_that_the_database_refuses_fails_alone(hook: Hook, check: LiteralString) -> None:
    with hook.warehouse.connect() as connection:
        connection.execute(sql.SQL("alter table webhook_events add check ({})").format(sql.SQL(check)))
    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(lambda number: hook.post("facebook", meta(feed(str(number)))), range(100, 160)))
    assert Counter(statuses) == {200: 59, CHECKS[check]: 1}
    assert statuses[13] == CHECKS[check]
    assert len(hook.events()) == 59


def test_without_the_database_deliveries_are_put_off_and_taken_when_it_is_back(
    hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    assert hook.post("facebook", meta(feed("1"))) == 200
    administer(hook.warehouse, "alter database {0} with allow_connections false")
    cut(hook.warehouse)
    with ThreadPoolExecutor(10) as pool:
        statuses = set(pool.map(lambda number: hook.post("facebook", meta(feed(str(number)))), range(40)))
    assert statuses == {503}
    assert [requests.get(f"{hook.address}/{path}", timeout=9).status_code for path in ("healthz", "readyz")] == [
        200,
        503,
    ]
    assert hook.metric("cg_webhook_database_up") == 0
    assert hook.post("facebook", sample("facebook"), site="unknown") == 503
    assert 1 <= len([record for record in caplog.records if record.name.startswith("cg_pipeline")]) <= 4
    administer(hook.warehouse, "alter database {0} with allow_connections true")
    assert [hook.post("facebook", meta(feed(str(number)))) for number in range(40)] == [200] * 40
    assert requests.get(f"{hook.address}/readyz", timeout=9).status_code == 200
    assert (len(hook.events()), hook.metric("cg_webhook_database_up")) == (40, 1)


def test_a_connection_that_is_cut_again_and_again_under_load_loses_nothing(hook: Hook) -> None:
    done = threading.Event()

    def disturb() -> None:
        while not done.wait(0.05):
            cut(hook.warehouse)

    disturber = threading.Thread(target=disturb)
    disturber.start()
    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(lambda number: hook.post("facebook", meta(feed(str(number)))), range(1000)))
    done.set()
    disturber.join()
    assert set(statuses) == {200, 503}
    assert_nothing_lost(hook, {number for number, status in enumerate(statuses) if status == 200})


def test_a_token_that_is_being_renewed_keeps_no_delivery_waiting(hook: Hook) -> None:
    with hook.warehouse.connect() as connection:
        connection.execute(query("platforms.lock_tokens"), {"site_id": hook.sites["facebook"]})
        began = time.monotonic()
        assert hook.post("facebook", sample("facebook")) == 200
        assert time.monotonic() - began < 5


@pytest.mark.slow
def test_a_receiver_that_is_killed_at_any_moment_has_stored_all_that_it_answered(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    hook = Hook(f"http://127.0.0.1:{listener.getsockname()[1]}", warehouse, add_sites(warehouse))
    answered, done, chance = set[int](), threading.Event(), random.Random(7)
    senders = [threading.Thread(target=send, args=(hook, number, answered, done)) for number in range(8)]
    process = start_process(warehouse, str(tmp_path), listener)
    for sender in senders:
        sender.start()
    for _ in range(5):
        time.sleep(0.2 + chance.random() / 2)
        process.kill()
        process.join()
        process = start_process(warehouse, str(tmp_path), listener)
    time.sleep(0.3)
    done.set()
    for sender in senders:
        sender.join()
    process.terminate()
    process.join(20)
    listener.close()
    assert len(answered) > 100
    assert_nothing_lost(hook, answered)


def send(hook: Hook, sender: int, answered: set[int], done: threading.Event) -> None:
    """Deliver as platforms do: again, until it is answered with 200."""
    session: Any = requests.Session()
    for number in range(sender, 1_000_000, 8):
        body = meta(feed(str(number)))
        while not done.is_set():
            try:
                answer = session.post(hook.url("facebook"), body, headers=signed("facebook", body), timeout=10)
            except requests.RequestException:
                continue
            if answer.status_code == 200:
                answered.add(number)
                break
        if done.is_set():
            session.close()
            return


def assert_nothing_lost(hook: Hook, answered: set[int]) -> None:
    stored = Counter(int(event["post_id"].rpartition("_")[2]) for event in hook.events())
    assert answered <= stored.keys()
    assert set(stored.values()) <= {1}
    assert all(event["is_known"] for event in hook.events())
