"""The sandbox's server: one ASGI application that answers as the platforms do, with faults switched on per account, and
addresses under `/_sandbox` to steer it.

What is the same for all platforms is here: the clock, faults, latency, the log of requests. Answers are in the modules
of the platforms.
"""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from cg_pipeline.clock import FixedClock
from cg_pipeline.sandbox import events
from cg_pipeline.sandbox.hub import Hub
from cg_pipeline.sandbox.tokens import Grant, TokenStore
from cg_pipeline.sandbox.world import BEGINNING, PLATFORMS, Account, Counters, Post, World

FAULTS = {
    "throttled": "answers that a limit is reached, with the delay that the platform tells; `seconds` says how long",
    "throttled_silently": "the same without telling a delay",
    "server_error": "answers HTTP 500 with HTML",
    "truncated": "cuts the answer off in the middle",
    "slow": "answers after `seconds`",
    "expired_token": "answers that the access token has expired, until it is renewed",
    "revoked_token": "answers that the grant is gone for good",
    "forbidden": "answers that a permission is missing",
    "no_permission_empty": "answers insights with empty data, as platforms do where a permission is missing",
    "retired_metric": "refuses the metric `name` as invalid",
    "repeated_page": "gives the same cursor again and again",
    "money_delayed": "tells money as of `days` days earlier",
    "money_restated": "tells `percent` percent of the money",
    "counters_fall": "tells `percent` percent of all counters",
    "hidden_counters": "leaves reactions and comments out",
    "credits_depleted": "answers that the app has no credits left",
    "under_review": "keeps the posts `ids` out of lists and lookups",
    "counters_delayed": "tells counters as of `days` days earlier",
    "missing_scope": "refuses fields that need the permission `scope`",
    "hub_refuses": "lets the WebSub hub refuse to subscribe the channel",
}


@dataclass
class Fault:
    """One fault of one account, for so many more `times` (None: until it is cleared)."""

    kind: str
    times: int | None = None
    values: dict[str, Any] = field(default_factory=dict)


class Sandbox:
    """One world with its clock, tokens, faults, and a count of the requests by account and address."""

    def __init__(self, world: World | None = None, now: datetime | None = None, latency_seconds: float = 0) -> None:
        self.world = world or World()
        self.clock = FixedClock(now or BEGINNING)
        self.tokens = TokenStore(lambda: self.now)
        self.hub = Hub(self)
        self.latency_seconds = latency_seconds
        self.faults: dict[str, list[Fault]] = {}
        self.requests: Counter[tuple[str, str, str]] = Counter()

    @property
    def now(self) -> datetime:
        """What time it is in the world."""
        return self.clock.now()

    def set_fault(self, account: Account, kind: str, times: int | None = None, **values: Any) -> None:
        """Switch a fault on. Raises ValueError for one that does not exist."""
        if kind not in FAULTS:
            message = f"There is no fault {kind!r}; there are {', '.join(FAULTS)}."
            raise ValueError(message)
        self.faults.setdefault(account.platform_id, []).append(Fault(kind, times, values))
        if kind == "expired_token":
            self.tokens.expire(account)
        if kind == "revoked_token":
            self.tokens.revoke(account)

    def clear_faults(self, account: Account | None = None) -> None:
        """Switch all faults off, of one account or of all."""
        for owner in [account.platform_id] if account else list(self.faults):
            self.faults.pop(owner, None)

    def fault(self, account: Account, kind: str) -> Fault | None:
        """The fault if it is on; asking uses one of its times up."""
        for fault in self.faults.get(account.platform_id, []):
            if fault.kind == kind and fault.times != 0:
                fault.times = fault.times - 1 if fault.times is not None else None
                return fault
        return None

    def is_on(self, account: Account, kind: str) -> Fault | None:
        """The fault if it is on, without using it up."""
        faults = self.faults.get(account.platform_id, [])
        return next((fault for fault in faults if fault.kind == kind and fault.times != 0), None)

    def counters(self, post: Post, at: datetime | None = None) -> Counters:
        """What the platform tells of a post now, or as of another time, with the faults that falsify it."""
        now, owner = at or self.now, post.account
        seen = self.world.counters(post, now)
        if not self.faults.get(owner.platform_id):
            return seen
        if fault := self.is_on(owner, "counters_fall"):
            percent = int(fault.values.get("percent", 90))
            numbers = {f.name: getattr(seen, f.name) * percent // 100 for f in fields(seen) if f.name != "earnings"}
            seen = replace(seen, **numbers)
        if fault := self.is_on(owner, "money_delayed"):
            earlier = now - timedelta(days=int(fault.values.get("days", 2)))
            seen = replace(seen, earnings=self.world.counters(post, earlier).earnings)
        if seen.earnings is not None and (fault := self.is_on(owner, "money_restated")):
            share = Decimal(str(fault.values.get("percent", 95))) / 100
            seen = replace(seen, earnings=round(seen.earnings * share, 2))
        return seen


class Vendor(Protocol):
    """What a platform's sandbox module has besides its routes: how it words what all platforms have."""

    PLATFORM: str

    def routes(self, sandbox: Sandbox, here: Any) -> list[BaseRoute]:
        """Its addresses; `here` is the module itself, for `endpoint`."""
        ...

    def connect(self, sandbox: Sandbox, account: Account) -> Grant:
        """The tokens that a person's consent would give."""
        ...

    def token_of(self, request: Request) -> str:
        """The token that a request bears; empty if none."""
        ...

    def unauthorized(self, sandbox: Sandbox, grant: Grant | None) -> Response:
        """The answer to a token that is not accepted; `grant` is what it once was."""
        ...

    def throttled(self, sandbox: Sandbox, account: Account, seconds: int | None) -> Response:
        """The answer when a limit is reached; `seconds` None: without telling how long."""
        ...

    def forbidden(self, sandbox: Sandbox, account: Account) -> Response:
        """The answer when a permission is missing."""
        ...


Handler = Callable[[Sandbox, Account, Request], Awaitable[Response]]


def endpoint(sandbox: Sandbox, vendor: Any, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A route's endpoint: knows whose token it is, counts, waits, and plays the faults before the handler answers."""

    async def answer(request: Request) -> Response:
        if sandbox.latency_seconds:
            await asyncio.sleep(sandbox.latency_seconds)
        token = vendor.token_of(request)
        account = sandbox.tokens.account_of(token)
        if account is None or account.platform != vendor.PLATFORM:
            refused: Response = vendor.unauthorized(sandbox, sandbox.tokens.grant_of(token))
            return refused
        sandbox.requests[vendor.PLATFORM, account.platform_id, request.url.path] += 1
        if (early := await _fault(sandbox, vendor, account)) is not None:
            return early
        response = await handler(sandbox, account, request)
        if sandbox.fault(account, "truncated"):
            cut = bytes(response.body)[: len(response.body) // 2]
            return Response(cut, response.status_code, media_type="application/json")
        return response

    return answer


async def _fault(sandbox: Sandbox, vendor: Any, account: Account) -> Response | None:
    """What is answered instead, if a fault is on that says so."""
    if fault := sandbox.fault(account, "slow"):
        await asyncio.sleep(fault.values.get("seconds", 1))
    if sandbox.fault(account, "server_error"):
        return HTMLResponse("<html><body><h1>Internal Server Error</h1></body></html>", 500)
    response: Response | None = None
    if fault := sandbox.fault(account, "throttled"):
        response = vendor.throttled(sandbox, account, int(fault.values.get("seconds", 900)))
    elif sandbox.fault(account, "throttled_silently"):
        response = vendor.throttled(sandbox, account, None)
    elif sandbox.fault(account, "forbidden"):
        response = vendor.forbidden(sandbox, account)
    return response


def vendors() -> dict[str, Any]:
    """The module of each platform."""
    return {platform: import_module(f"cg_pipeline.sandbox.{platform}") for platform in PLATFORMS}


def make_app(sandbox: Sandbox) -> Starlette:
    """The application: `/<platform>/...` as the platforms, `/_sandbox/...` to steer."""
    mounts: list[BaseRoute] = [
        Mount(f"/{platform}", routes=vendor.routes(sandbox, vendor)) for platform, vendor in vendors().items()
    ]
    hub = Route("/youtube/hub/subscribe", sandbox.hub.take, methods=["POST"])
    return Starlette(routes=[hub, *mounts, Mount("/_sandbox", routes=_steering(sandbox))])


def _steering(sandbox: Sandbox) -> list[BaseRoute]:
    async def clock(request: Request) -> Response:
        if request.method == "POST":
            moment = datetime.fromisoformat((await request.json())["now"])
            sandbox.clock.instant = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return JSONResponse({"now": sandbox.now.isoformat()})

    async def accounts(_: Request) -> Response:
        return JSONResponse([vars(account) for each in sandbox.world.accounts.values() for account in each])

    async def requests(_: Request) -> Response:
        counted = [
            {"platform": p, "account": a, "path": path, "count": n} for (p, a, path), n in sandbox.requests.items()
        ]
        return JSONResponse(counted)

    def of_account(answer: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def find(request: Request) -> Response:
            platform, name = request.path_params["platform"], request.path_params["account"]
            account = sandbox.world.find(platform, name) if platform in PLATFORMS else None
            return (
                await answer(sandbox, account, request) if account else JSONResponse({"error": "no such account"}, 404)
            )

        return find

    who = "/{platform}/{account}"
    return [
        Route("/clock", clock, methods=["GET", "POST"]),
        Route("/accounts", accounts),
        Route("/requests", requests),
        Route(f"/connect{who}", of_account(_connect), methods=["POST"]),
        Route(f"/faults{who}", of_account(_faults), methods=["GET", "POST", "DELETE"]),
        Route(f"/send{who}", of_account(_send), methods=["POST"]),
    ]


async def _connect(sandbox: Sandbox, account: Account, _: Request) -> Response:
    grant = vendors()[account.platform].connect(sandbox, account)
    expiry = grant.expires_at.isoformat() if grant.expires_at else None
    return JSONResponse({"access_token": grant.access, "refresh_token": grant.refresh, "expires_at": expiry})


async def _faults(sandbox: Sandbox, account: Account, request: Request) -> Response:
    if request.method == "DELETE":
        sandbox.clear_faults(account)
    elif request.method == "POST":
        asked = await request.json()
        try:
            sandbox.set_fault(account, asked.pop("kind"), asked.pop("times", None), **asked)
        except (KeyError, ValueError) as error:
            return JSONResponse({"error": str(error), "faults": FAULTS}, 400)
    return JSONResponse([vars(fault) for fault in sandbox.faults.get(account.platform_id, [])])


async def _send(sandbox: Sandbox, account: Account, request: Request) -> Response:
    """Let something happen: `kind`, and perhaps `post`, `to`, `secret`, `only_tell`."""
    try:
        told = await asyncio.to_thread(events.happen, sandbox, account, **await request.json())
    except (TypeError, ValueError) as error:
        return JSONResponse({"error": str(error)}, 400)
    return JSONResponse(told)


@contextmanager
def serving(sandbox: Sandbox, port: int = 0) -> Iterator[str]:
    """Serve on loopback in a thread; yields the address. Port 0: any that is free."""
    listener = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(make_app(sandbox), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()
