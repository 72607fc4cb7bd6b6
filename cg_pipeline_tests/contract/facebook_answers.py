"""Facebook's answers made and replayed, for its tests."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cg_pipeline.platforms.http import Answer, Request
from cg_pipeline.sandbox.server import Sandbox
from cg_pipeline_tests.contract.readings import Site

RECORDED = Path(__file__).parents[3] / "shared" / "real_data"
needs_recordings = pytest.mark.skipif(not RECORDED.exists(), reason="the recorded answers are not here")


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
