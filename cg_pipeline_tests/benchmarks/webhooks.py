"""The webhook receiver against a bare server of the same stack that makes one INSERT of each request and commits it.

Both answer after the commit. Each is one process on one core; 32 connections that are kept alive send from another, the
next request as soon as the last is answered. By itself: python -m cg_pipeline_tests.benchmarks.webhooks
"""

import argparse
import asyncio
import atexit
import multiprocessing
import os
import shutil
import socket
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import requests
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cg_pipeline.clock import FixedClock
from cg_pipeline.warehouse.database import Warehouse, libpq
from cg_pipeline.webhooks.receiver import UVICORN, make_app
from cg_pipeline_tests.benchmarks.database import Measurement, fresh_warehouse
from cg_pipeline_tests.integration.receiving import NOW, add_sites, feed, meta, settings_of, signed

CONNECTIONS = 32
BARE = "bare INSERT per request"
Make = Callable[[str, str], Starlette]


@dataclass(frozen=True)
class Load:
    """What one round took."""

    seconds: float
    latencies: Sequence[float]

    @property
    def figures(self) -> str:
        """Events per second, and how long the answers took."""
        p50, p99 = (1000 * statistics.quantiles(self.latencies, n=100)[at] for at in (49, 98))
        return f"{len(self.latencies) / self.seconds:,.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def measure_receiver(warehouse: Warehouse, folder: Path, events: int = 10_000, rounds: int = 3) -> list[Measurement]:
    """Events of one entry each, to both servers in turn; the median round counts."""
    add_sites(warehouse)
    with warehouse.connect() as connection:
        connection.execute("create table bare_events (id bigint generated always as identity, body bytea not null)")
    servers: dict[str, Make] = {"ours": _receiver, "one": _bare_with_one, "many": _bare_with_many}
    loads: dict[str, list[Load]] = {name: [] for name in servers}
    for number in range(rounds):
        bodies = [meta(feed(f"{number}{each:07}")) for each in range(events)]
        for name, make in servers.items():
            with _served(make, libpq(warehouse.url), str(folder)) as port, _on_the_other_core():
                loads[name].append(_send(port, bodies))
    _require_all(warehouse, events * rounds)
    ours, one, many = (sorted(each, key=lambda load: load.seconds)[rounds // 2] for each in loads.values())
    what = f"webhook receiver: {events:,} events, {CONNECTIONS} connections"
    return [
        Measurement(what, ours.seconds, f"{BARE}, one connection", one.seconds, goal="at most 1.43"),
        Measurement("the same", ours.seconds, f"{BARE}, {CONNECTIONS} connections", many.seconds, goal="at most 1.43"),
        Measurement("the same: webhook receiver", figure=ours.figures),
        Measurement("the same: bare, one connection", figure=one.figures),
        Measurement(f"the same: bare, {CONNECTIONS} connections", figure=many.figures),
    ]


def _require_all(warehouse: Warehouse, events: int) -> None:
    statement = """select (select count(*) from webhook_events where status = 'pending') as ours,
                          (select count(*) from bare_events) as bare"""
    with warehouse.connect() as connection:
        (counts,) = connection.execute(statement).fetchall()
    if counts != {"ours": events, "bare": 2 * events}:
        raise RuntimeError(f"{events} events were sent, and stored: {counts}")


def _receiver(url: str, home: str) -> Starlette:
    return make_app(Warehouse(url), settings_of(home), FixedClock(NOW))


def _bare_with_one(url: str, _: str) -> Starlette:
    return _bare(url, 1)


def _bare_with_many(url: str, _: str) -> Starlette:
    return _bare(url, CONNECTIONS)


def _bare(url: str, connections: int) -> Starlette:
    """No signature, no parsing, no fingerprint: what the stack itself takes."""
    idle: asyncio.Queue[psycopg.AsyncConnection[Any]] = asyncio.Queue()

    @asynccontextmanager
    async def connected(_: Starlette) -> AsyncIterator[None]:
        for _number in range(connections):
            idle.put_nowait(await psycopg.AsyncConnection.connect(url, autocommit=True))
        yield

    async def take(request: Request) -> Response:
        body, connection = await request.body(), await idle.get()
        try:
            await connection.execute("insert into bare_events (body) values (%s)", (body,))
        finally:
            idle.put_nowait(connection)
        return Response()

    ready = Route("/readyz", lambda _: Response())
    return Starlette(routes=[Route("/webhooks/{platform}", take, methods=["POST"]), ready], lifespan=connected)


@contextmanager
def _served(make: Make, url: str, home: str) -> Iterator[int]:
    """The server in a process on the first core."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2 * CONNECTIONS)
    port = int(listener.getsockname()[1])
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(make, url, home, listener), daemon=True)
    process.start()
    requests.get(f"http://127.0.0.1:{port}/readyz", timeout=60)  # waits in the backlog
    yield port
    process.terminate()
    process.join()
    listener.close()


def _serve(make: Make, url: str, home: str, listener: socket.socket) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    uvicorn.Server(uvicorn.Config(make(url, home), **UVICORN)).run(sockets=[listener])


@contextmanager
def _on_the_other_core() -> Iterator[None]:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    yield
    os.sched_setaffinity(0, cores)


def _send(port: int, bodies: Sequence[bytes]) -> Load:
    """All bodies; what is sent is made before the clock runs."""
    requests = iter([_request(body) for body in bodies])
    latencies: list[float] = []

    async def sender() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in requests:
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            latencies.append(time.perf_counter() - began)
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head)
        writer.close()

    async def all_senders() -> float:
        began = time.perf_counter()
        await asyncio.gather(*(sender() for _ in range(CONNECTIONS)))
        return time.perf_counter() - began

    return Load(asyncio.run(all_senders()), latencies)


def _request(body: bytes) -> bytes:
    (name, value), *_ = signed("facebook", body).items()
    head = f"POST /webhooks/facebook HTTP/1.1\r\nHost: hooks\r\nContent-Type: application/json\r\n{name}: {value}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def main() -> None:
    """Run this benchmark alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="cg-bench-")
    atexit.register(shutil.rmtree, folder)  # registered before the server is started, so run after it is stopped
    with fresh_warehouse(Path(folder)) as warehouse:
        for line in measure_receiver(warehouse, Path(folder), options.events, options.rounds):
            print(" | ".join(each for each in line.cells() if each))


if __name__ == "__main__":
    main()
