"""The demo's webhook events: one of each platform, signed and sent to the real receiver. The rest is left to the real
daemon, which also finds the day that the demo has left out, and captures it where the platform can still tell it."""

import os
import time
from datetime import UTC, date
from datetime import time as time_of_day
from typing import Any

from cg_pipeline.cli.output import console, show
from cg_pipeline.cli.simulation import Simulation
from cg_pipeline.cli.up import background
from cg_pipeline.config import PLATFORMS
from cg_pipeline.errors import Unavailable
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.sandbox import events
from cg_pipeline.warehouse.sql import query

EVENING = time_of_day(18, tzinfo=UTC)
LONGEST_SECONDS = 180
KINDS = dict.fromkeys(PLATFORMS, "update") | {"twitter": "publish"}
"""What each tells of a post. Most have an event for what people do with it; X only for a new one."""


def tell(pipeline: Pipeline, simulation: Simulation, day: date) -> list[dict[str, Any]]:
    """Let each platform tell of its newest post on the evening of a day, and wait until that has landed by itself, and
    until the day that is missing has been repaired.

    Returns a line for each.
    Told before, on another run of the demo, it is recognised, and changes nothing. Raises Unavailable when it takes
    too long.
    """
    simulation.go_to(day, EVENING)
    os.environ["CG_SETTLE_SECONDS"] = "3600"  # the demo recomputes what lies above the day in one go, later
    sandbox = simulation.sandbox
    with console.status("Webhooks: receiver and daemon at work …"), background(pipeline) as receiver:
        for platform in PLATFORMS:
            account = sandbox.world.accounts[platform][0]
            post = events.subject_of(sandbox, account, KINDS[platform])
            delivery = events.event(post, KINDS[platform], events.SECRET, sandbox.now)
            events.send(f"{receiver}/webhooks/{platform}", delivery)
        landed = _landed(pipeline, day)
    os.environ.update(pipeline.environment())
    return landed


def _landed(pipeline: Pipeline, day: date) -> list[dict[str, Any]]:
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        with pipeline.warehouse.connect() as connection:
            rows = connection.execute(query("webhooks.landed"), {"day": day}).fetchall()
            gaps = connection.execute(query("gaps.repairs")).fetchone() or {}
        if len(rows) >= len(PLATFORMS) and gaps["known"] and not gaps["under_way"]:
            return rows
        time.sleep(0.5)
    logs = pipeline.settings.home / "logs"
    message = f"The webhook events and the missing day have not landed within {LONGEST_SECONDS} s: see {logs}."
    raise Unavailable(message)


def report(landed: list[dict[str, Any]]) -> None:
    """What each event became, and how long that took."""
    show(landed, as_json=False, title="Webhooks: from the signed POST to the snapshot and its delta")
