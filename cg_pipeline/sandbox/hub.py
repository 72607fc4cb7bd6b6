"""The sandbox's WebSub hub: takes subscriptions of YouTube channels' feeds, verifies them at their callbacks, and
forgets them at their end. Callbacks are on this machine only.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import requests
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from cg_pipeline.sandbox.server import Sandbox

TOPIC = "https://www.youtube.com/xml/feeds/videos.xml?channel_id="
LONGEST_LEASE = 432_000  # seconds
LONGEST_SECRET = 200  # bytes
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class Subscription:
    """Whom the hub tells of a feed, and the secret that signs what it tells."""

    topic: str
    callback: str
    secret: str
    ends_at: datetime


class Hub:
    """The subscriptions that have been verified, and lived no longer than their lease."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self._subscriptions: dict[tuple[str, str], Subscription] = {}

    def subscriptions(self, channel: str) -> list[Subscription]:
        """Whom it tells of a channel's videos at this time."""
        topic, now = f"{TOPIC}{channel}", self._sandbox.now
        return [each for each in self._subscriptions.values() if each.topic == topic and now < each.ends_at]

    async def take(self, request: Request) -> Response:
        """A request to subscribe or unsubscribe: refused at once, or verified after the answer."""
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
        if (problem := self._problem(form)) is not None:
            return PlainTextResponse(problem, 400)
        return Response(status_code=202, background=BackgroundTask(self._verify, form))

    def _problem(self, form: Mapping[str, str]) -> str | None:
        topic, seconds = form.get("hub.topic", ""), form.get("hub.lease_seconds", "")
        account = self._sandbox.world.find("youtube", topic.removeprefix(TOPIC))
        problem = None
        if form.get("hub.mode") not in {"subscribe", "unsubscribe"}:
            problem = "Invalid value for hub.mode"
        elif not topic.startswith(TOPIC):
            problem = "Invalid value for hub.topic"
        elif urlsplit(form.get("hub.callback", "")).hostname not in LOOPBACK:
            problem = "Invalid parameter: hub.callback; the sandbox calls this machine only"
        elif seconds and not seconds.isdecimal():
            problem = "Invalid value for hub.lease_seconds"
        elif len(form.get("hub.secret", "").encode()) >= LONGEST_SECRET:
            problem = "Invalid value for hub.secret"
        elif account and self._sandbox.fault(account, "hub_refuses"):
            problem = "Over the limit of subscriptions"
        return problem

    def _verify(self, form: Mapping[str, str]) -> None:
        """Ask the callback whether it is meant, and remember or forget it. A channel that does not exist is denied."""
        topic, callback, mode = form["hub.topic"], form["hub.callback"], form["hub.mode"]
        if self._sandbox.world.find("youtube", topic.removeprefix(TOPIC)) is None:
            reason = {"hub.mode": "denied", "hub.topic": topic, "hub.reason": "No such channel"}
            _asked(callback, reason)
            return
        seconds = min(int(form.get("hub.lease_seconds") or LONGEST_LEASE), LONGEST_LEASE)
        challenge = secrets.token_urlsafe(24)
        params = {"hub.mode": mode, "hub.topic": topic, "hub.challenge": challenge, "hub.lease_seconds": str(seconds)}
        if _asked(callback, params) != challenge:
            return
        if mode == "unsubscribe":
            self._subscriptions.pop((topic, callback), None)
            return
        ends_at = self._sandbox.now + timedelta(seconds=seconds)
        subscription = Subscription(topic, callback, form.get("hub.secret", ""), ends_at)
        self._subscriptions[topic, callback] = subscription


def _asked(callback: str, params: Mapping[str, str]) -> str | None:
    """What the callback answers; None where it refuses or does not answer."""
    try:
        answer = requests.get(callback, params=dict(params), timeout=10, allow_redirects=False)
    except requests.RequestException:
        return None
    return answer.text if answer.status_code // 100 == 2 else None
