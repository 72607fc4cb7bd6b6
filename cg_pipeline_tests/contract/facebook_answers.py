"""Facebook's answers made, changed on their way, and replayed, for its tests."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cg_pipeline.platforms.http import Answer, Http, Request
from cg_pipeline.sandbox.server import Sandbox, serving
from cg_pipeline.sandbox.world import World
from cg_pipeline_tests.contract.readings import NOW, Site

RECORDED = Path(__file__).parents[3] / "shared" / "real_data"
needs_recordings = pytest.mark.skipif(not RECORDED.exists(), reason="the recorded answers are not here")


@contextmanager
def served(world: World, number: int = 0) -> Iterator[Site]:
    """An account of a world of its own."""
    sandbox = Sandbox(world, NOW)
    with serving(sandbox) as address:
        yield Site(sandbox, sandbox.world.accounts["facebook"][number], f"{address}/facebook")


def edited(site: Site, edit: Callable[[Request, Answer], Answer]) -> Site:
    """The same site behind a network that changes its answers."""
    http = Http()
    site.transport = lambda request, headers: edit(request, http(request, headers))
    return site


def overheard(site: Site) -> list[Request]:
    """What the site asks from now on."""
    asked: list[Request] = []

    def note(request: Request, answer: Answer) -> Answer:
        asked.append(request)
        return answer

    edited(site, note)
    return asked


def replay(sandbox: Sandbox, *bodies: Any) -> tuple[Site, list[Request]]:
    """A site that gives these answers one after the other, then empty batches; and what it was asked."""
    asked: list[Request] = []
    left = list(bodies)

    def transport(request: Request, headers: Mapping[str, str]) -> Answer:
        asked.append(request)
        if request.method == "POST" and request.form is not None and not (left and isinstance(left[0], list)):
            return Answer(200, {}, json.dumps([GONE_ITEM] * len(json.loads(request.form["batch"]))))
        return Answer(200, {}, json.dumps(left.pop(0)))

    return Site(sandbox, sandbox.world.accounts["facebook"][0], "http://recorded", transport), asked


def error(code: int, message: str = "no", subcode: int | None = None, status: int = 400) -> Answer:
    body = {"message": message, "code": code} | ({"error_subcode": subcode} if subcode else {})
    return Answer(status, {}, json.dumps({"error": body}))


GONE_ITEM = {"code": 400, "body": error(100, "Object does not exist", 33).text}


def recorded(path: str) -> Any:
    return json.loads((RECORDED / "api_payloads" / "facebook_instagram" / path).read_text(encoding="utf-8"))
