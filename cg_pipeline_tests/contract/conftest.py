"""Every platform of the sandbox, served once; each test has a world of its own behind it."""

from collections.abc import Callable, Iterator

import pytest

from cg_pipeline.sandbox.server import Sandbox, serving
from cg_pipeline.sandbox.world import World
from cg_pipeline_tests.contract.readings import NOW, Site


@pytest.fixture
def sandbox() -> Sandbox:
    """Two accounts on each platform with a dozen posts each, on 5 April 2026."""
    return Sandbox(World(), NOW)


@pytest.fixture
def site(sandbox: Sandbox) -> Iterator[Callable[..., Site]]:
    """Makes the reader of an account: `site("threads")`, `site("threads", 1)`."""
    with serving(sandbox) as address:

        def make(platform: str, number: int = 0) -> Site:
            return Site(sandbox, sandbox.world.accounts[platform][number], f"{address}/{platform}")

        yield make
