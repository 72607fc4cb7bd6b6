"""Every platform of the sandbox, served once; each test has a world of its own behind it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from unittest.mock import patch

import pytest
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from cg_pipeline.sandbox import server
from cg_pipeline.sandbox.server import Sandbox, make_app, serving
from cg_pipeline.sandbox.world import World
from cg_pipeline_tests.contract.readings import NOW, Site


class Gate:
    """What is served: the sandbox of the test that runs. To start and stop a server takes longer than most tests."""

    app: Starlette
    address: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def gate() -> Iterator[Gate]:
    """The one server."""
    gate = Gate()
    with ExitStack() as stack:
        with patch.object(server, "make_app", lambda _: gate):
            gate.address = stack.enter_context(serving(Sandbox()))
        yield gate


@pytest.fixture
def sandbox() -> Sandbox:
    """Two accounts on each platform with a dozen posts each, on 5 April 2026."""
    return Sandbox(World(), NOW)


@pytest.fixture
def site(gate: Gate, sandbox: Sandbox) -> Callable[..., Site]:
    """Makes the reader of an account: `site("threads")`, `site("threads", 1)`."""
    gate.app = make_app(sandbox)

    def make(platform: str, number: int = 0) -> Site:
        return Site(sandbox, sandbox.world.accounts[platform][number], f"{gate.address}/{platform}")

    return make
