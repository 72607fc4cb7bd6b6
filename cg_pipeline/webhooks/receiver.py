"""The webhook receiver: verify, store, answer. One address per platform and, where wanted, per site of it.

An answer 200 is sent after the commit and never before; anything that may be better in a moment is 503, which makes
the platforms deliver again. Neither secrets nor bodies are logged.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from cg_pipeline.clock import Clock
from cg_pipeline.config import PLATFORMS, Settings
from cg_pipeline.errors import CgError, Unavailable
from cg_pipeline.security.vault import KeyRing
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline.warehouse.sql import query
from cg_pipeline.webhooks import websub
from cg_pipeline.webhooks.entries import Unreadable
from cg_pipeline.webhooks.limits import BODY_SECONDS, MOST_BYTES, TokenBucket
from cg_pipeline.webhooks.metrics import Metrics
from cg_pipeline.webhooks.payloads import parse
from cg_pipeline.webhooks.signatures import BadSignature, answer_challenge, verify
from cg_pipeline.webhooks.store import Store, Stored

SITE_SECONDS = 30  # how long a site's secret is remembered
MOST_SITES = 10_000
LARGE_BYTES = 64 * 1024  # a larger body is read in a thread, while others are answered

UVICORN: dict[str, Any] = {
    "log_level": "warning",
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,
    "ws": "none",
    "limit_concurrency": 250,  # connections, each of which may hold a body in memory; further ones get 503
    "timeout_graceful_shutdown": 10,
}
"""How uvicorn is to serve the receiver."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Address:
    """Where a request came to: the site that it names, if it names one, and the secrets that are valid there."""

    site_id: UUID | None
    secrets: list[str] = field(repr=False)


class Refusal(Exception):
    """A request that is not taken: what is counted, and what is answered."""

    def __init__(self, outcome: str, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.outcome, self.answer = outcome, PlainTextResponse(text, status, headers)


def app_secrets(settings: Settings, platform: str) -> list[str]:
    """The secrets with which the platform's app may sign, newest first."""
    of_platform = settings.platforms[platform]
    return _secrets(of_platform.get("WEBHOOK_SECRETS") or of_platform.get("CLIENT_SECRET", ""))


def make_app(warehouse: Warehouse, settings: Settings, clock: Clock) -> Starlette:
    """The receiver as an ASGI application."""
    return Receiver(warehouse, settings, clock).app()


class Receiver:
    """What the addresses of one receiver share."""

    def __init__(self, warehouse: Warehouse, settings: Settings, clock: Clock) -> None:
        self._warehouse, self._settings, self._clock = warehouse, settings, clock
        self._store, self._metrics = Store(warehouse, clock), Metrics()
        self._buckets = {platform: TokenBucket(settings.webhook_rate) for platform in PLATFORMS}
        self._addresses: dict[tuple[str, str], tuple[float, Address | None]] = {}

    def app(self) -> Starlette:
        """The addresses."""
        routes = [
            Route(path, endpoint, methods=[method])
            for path in ("/webhooks/{platform}", "/webhooks/{platform}/{site}")
            for method, endpoint in (("POST", self._counted(self._take)), ("GET", self._counted(self._shake_hands)))
        ]
        routes += [
            Route("/healthz", self._live),
            Route("/readyz", self._ready),
            Route("/metrics", self._show_metrics),
        ]
        return Starlette(routes=routes, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        await self._store.close()

    def _counted(
        self, handle: Callable[[Request, str], Awaitable[tuple[str, Response]]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """The handler behind the rate limit, with its outcome counted and its errors as answers."""

        async def answer(request: Request) -> Response:
            platform, began = request.path_params["platform"], time.perf_counter()
            if platform not in self._buckets:
                return PlainTextResponse("There is no such platform.", 404)
            try:
                self._limit(platform)
                outcome, response = await handle(request, platform)
            except Refusal as refusal:
                outcome, response = refusal.outcome, refusal.answer
            except (CgError, psycopg.Error) as error:
                outcome, response = "unavailable", PlainTextResponse("Deliver it again later.", 503)
                if not isinstance(error, Unavailable):  # that was logged, once
                    _log.error("%s cannot be answered: %s", platform, str(error).partition("\n")[0])
            self._metrics.requests.labels(platform, outcome).inc()
            self._metrics.seconds.labels(platform).observe(time.perf_counter() - began)
            return response

        return answer

    def _limit(self, platform: str) -> None:
        if seconds := self._buckets[platform].take():
            raise Refusal("rate_limited", 429, "Too many requests.", **{"Retry-After": str(seconds)})

    async def _take(self, request: Request, platform: str) -> tuple[str, Response]:
        """A delivery: everything that it holds is stored, or nothing."""
        address = await self._address(platform, request.path_params.get("site"))
        body = await _body(request)
        try:
            verify(platform, request.headers, body, address.secrets, self._clock.now())
            entries = (
                parse(platform, body) if len(body) < LARGE_BYTES else await asyncio.to_thread(parse, platform, body)
            )
            stored = await self._store.put(platform, entries, address.site_id)
        except BadSignature:
            raise Refusal("bad_signature", 401, "The signature is not valid.") from None
        except Unreadable:
            raise Refusal("unreadable", 400, "The body cannot be read.") from None
        return self._count_entries(platform, stored), Response()

    def _count_entries(self, platform: str, stored: Stored) -> str:
        """The outcome of the request as a whole."""
        counts = {"stored": stored.pending, "ignored": stored.ignored, "repeated": stored.repeated}
        happened = [outcome for outcome, entries in counts.items() if entries]
        for outcome in happened:
            self._metrics.entries.labels(platform, outcome).inc(counts[outcome])
        return happened[0] if happened else "ignored"

    async def _shake_hands(self, request: Request, platform: str) -> tuple[str, Response]:
        """A platform asks whether the address is ours."""
        site, asked = request.path_params.get("site"), dict(request.query_params)
        address = await self._address(platform, site)
        challenge: str | dict[str, str] | None
        if platform == "youtube" and address.site_id is not None:
            challenge = await asyncio.to_thread(self._confirm, address.site_id, asked)
            self._addresses.pop((platform, str(site)), None)  # from now on the hub may sign with a new secret
        else:
            token = self._settings.platforms[platform].get("WEBHOOK_VERIFY_TOKEN", "")
            challenge = answer_challenge(platform, asked, address.secrets, token)
        if challenge is None:
            status = 404 if platform == "youtube" else 403  # as WebSub and Meta say
            raise Refusal("refused", status, "This was not asked for.")
        return "confirmed", PlainTextResponse(challenge) if isinstance(challenge, str) else JSONResponse(challenge)

    def _confirm(self, site_id: UUID, asked: Mapping[str, str]) -> str | None:
        with self._warehouse.connect() as connection:
            return websub.confirm(connection, site_id, asked, self._clock.now())

    async def _address(self, platform: str, site: str | None) -> Address:
        """Where the request came to. A site is looked up at most every half minute, also one that does not exist."""
        if site is None:
            return Address(None, app_secrets(self._settings, platform))
        found_at, address = self._addresses.get((platform, site), (-SITE_SECONDS, None))
        if time.monotonic() - found_at >= SITE_SECONDS:
            if len(self._addresses) >= MOST_SITES:
                self._addresses.clear()
            address = await self._look_up(platform, site)
            self._addresses[platform, site] = time.monotonic(), address
        if address is None:
            raise Refusal("unknown_site", 404, "There is no such site.")
        return address

    async def _look_up(self, platform: str, site: str) -> Address | None:
        """Raises ConfigError when the keys of the site's secret are missing."""
        if "\0" in site:
            return None
        for row in await self._store.read(query("receiver.addressed_site"), platform=platform, site=site):
            own = ""
            if row["webhook_secret"]:
                ring = KeyRing.from_setting(self._settings.encryption_keys)
                own = ring.decrypt(row["webhook_secret"], f"sites.webhook_secret:{row['id']}")
            return Address(row["id"], _secrets(own) + app_secrets(self._settings, platform))
        return None

    async def _live(self, _: Request) -> Response:
        return PlainTextResponse("alive")

    async def _ready(self, _: Request) -> Response:
        try:
            await self._store.read(query("receiver.ready"))
        except Unavailable:
            return PlainTextResponse("the database does not answer, or its schema is missing", 503)
        return PlainTextResponse("ready")

    async def _show_metrics(self, _: Request) -> Response:
        try:
            backlog = await self._store.read(query("receiver.backlog"), now=self._clock.now())
        except Unavailable:
            backlog = None
        return Response(self._metrics.exposition(backlog), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _body(request: Request) -> bytes:
    """The raw bytes, on which the signature is. Kept in memory, so there is a limit to them, and to the time."""
    chunks, size = list[bytes](), 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > MOST_BYTES:
                    raise Refusal("too_large", 413, f"A body may have {MOST_BYTES} bytes.")
                chunks.append(chunk)
    except (ClientDisconnect, TimeoutError):
        raise Refusal("unreadable", 408, "The body has not come to its end.", Connection="close") from None
    return b"".join(chunks)


def _secrets(text: str) -> list[str]:
    return [secret.strip() for secret in text.split(",") if secret.strip()]
