"""WebSub: how YouTube announces videos. Subscriptions of channels at the hub, their secrets, their renewal in time.

The hub verifies a subscription by a request to the receiver, which `confirm` answers. What the hub delivers is not read
here.
"""

import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import requests

from cg_pipeline import progress
from cg_pipeline.capture.access import Platforms
from cg_pipeline.errors import CgError, ConfigError, NotFound, Refused, Unavailable
from cg_pipeline.warehouse import sql
from cg_pipeline.warehouse.database import Connection

HUB = "https://pubsubhubbub.appspot.com/subscribe"
TOPIC = "https://www.youtube.com/xml/feeds/videos.xml?channel_id="
SECRET = "sites.webhook_secret"  # noqa: S105  the place of it
SECRETS_KEPT = 2
"""The newest and the one before: the hub signs with that until it has confirmed the newest."""
LEASE = timedelta(seconds=432_000)
LONGEST_LEASE = 2 * LEASE
ANSWERS_WITHIN = timedelta(days=1)
"""How long after a request the hub may come to verify it."""
TIMEOUT_SECONDS = (10, 30)


def renew_due(platforms: Platforms, now: datetime) -> list[dict[str, Any]]:
    """Subscribe the connected channels whose subscription is due; returns site, outcome, end and message of each.

    Outcomes: `running`, `asked` (the hub has yet to confirm), `failed`, and `off` where the receiver has no address.
    """
    values = {"now": now, "callbacks": _callbacks(platforms)}
    with platforms.warehouse.connect() as connection:
        sites = connection.execute(sql.query("websub.sites"), values).fetchall()
    rows = []
    for number, site in enumerate(sites, start=1):
        rows.append(_row(site, *_renewed(platforms, site, now)))
        progress.report("channels looked at", number)
    return rows


def subscribe(platforms: Platforms, site_id: UUID, now: datetime, *, asked_at: datetime | None = None) -> None:
    """Ask the hub to announce a channel's videos. Its answer means little: it verifies by a request of its own.

    With `asked_at`, when the hub was last asked, nothing is done if somebody has asked it since: of two secrets that go
    to the hub at once, nobody knows which it keeps.
    Raises ConfigError without an address of the receiver, Refused or Unavailable when the hub does not take it.
    """
    if not platforms.settings.webhook_url:
        raise ConfigError(_OFF)
    # Committed before the hub is asked: it may deliver, and come to verify, before it answers.
    with platforms.warehouse.connect() as connection:
        prepared = _prepared(connection, platforms, site_id, now, asked_at)
    if prepared is None:
        return
    try:
        _ask(platforms, *prepared)
    except CgError as problem:
        with platforms.warehouse.connect() as connection:
            connection.execute(sql.query("websub.note_error"), {"site_id": site_id, "message": str(problem)})
        raise


def confirm(connection: Connection, site_id: UUID, query: Mapping[str, str], now: datetime) -> str | None:
    """The challenge to answer the hub's verification with, its lease noted; None to refuse what was not asked for."""
    lease = connection.execute(sql.query("websub.lease"), {"site_id": site_id}).fetchone()
    if lease is None or query.get("hub.topic") != lease["topic"]:
        return None
    mode, challenge = query.get("hub.mode"), query.get("hub.challenge")
    if mode == "denied":
        reason = "".join(filter(str.isprintable, query.get("hub.reason", "")))[:200]
        message = f"The hub denies the subscription: {reason or 'it gives no reason'}."
        connection.execute(sql.query("websub.note_error"), {"site_id": site_id, "message": message})
    seconds = query.get("hub.lease_seconds", "")
    is_expected = now - lease["requested_at"] <= ANSWERS_WITHIN or (lease["expires_at"] or now) > now
    if mode != "subscribe" or not challenge or not is_expected or not re.fullmatch("0*[1-9][0-9]{0,9}", seconds):
        return None
    length = min(timedelta(seconds=int(seconds)), LONGEST_LEASE)
    connection.execute(sql.query("websub.confirm"), {"site_id": site_id, "lease": length, "now": now})
    return challenge


_OFF = "CG_WEBHOOK_URL is empty: the hub has no address to deliver to; set it, and YouTube announces its videos."


def _renewed(platforms: Platforms, site: Mapping[str, Any], now: datetime) -> tuple[str, str | None]:
    """The outcome and the message. What fails one site does not stop the others."""
    if not platforms.settings.webhook_url:
        return "off", _OFF
    if site["state"] != "due":
        return site["state"], site["last_error"]
    try:
        subscribe(platforms, site["id"], now, asked_at=site["asked_at"])
    except CgError as problem:
        return "failed", str(problem)
    return "asked", None


def _row(site: Mapping[str, Any], outcome: str, message: str | None) -> dict[str, Any]:
    return {"site": site["name"], "outcome": outcome, "expires_at": site["expires_at"], "message": message}


def _prepared(
    connection: Connection, platforms: Platforms, site_id: UUID, now: datetime, asked_at: datetime | None
) -> tuple[str, str, str] | None:
    """Note the request; its topic, callback and secret. None when somebody else has asked."""
    connection.execute(sql.query("websub.lock"), {"site_id": site_id})
    found = connection.execute(sql.query("websub.secrets"), {"site_id": site_id, "asked_at": asked_at}).fetchone()
    if found is None:
        raise NotFound(f"There is no site {site_id}: see `cg site list`.")
    if found["is_taken"]:
        return None
    place, callbacks = f"{SECRET}:{site_id}", _callbacks(platforms)
    known = platforms.ring.decrypt(found["webhook_secret"], place).split(",") if found["webhook_secret"] else []
    kept = [*([secrets.token_urlsafe(32)] if found["needs_new"] else []), *known][:SECRETS_KEPT]
    topic, callback = f"{TOPIC}{found['platform_id']}", f"{callbacks}{site_id}"
    values = {"site_id": site_id, "callback": callback, "topic": topic, "now": now}
    encrypted = platforms.ring.encrypt(",".join(kept), place)
    connection.execute(sql.query("websub.put_secrets"), {**values, "secrets": encrypted})
    connection.execute(sql.query("websub.note_request"), values)
    return topic, callback, kept[0]


def _callbacks(platforms: Platforms) -> str:
    return f"{platforms.settings.webhook_url}/webhooks/youtube/"


def _ask(platforms: Platforms, topic: str, callback: str, secret: str) -> None:
    hub = platforms.settings.platforms["youtube"].get("HUB_URL", HUB)
    form = {"hub.mode": "subscribe", "hub.topic": topic, "hub.callback": callback, "hub.verify": "async",
            "hub.secret": secret, "hub.lease_seconds": str(int(LEASE.total_seconds()))}  # fmt: skip
    try:
        answer = requests.post(hub, form, timeout=TIMEOUT_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        raise Unavailable(f"The hub at {hub} does not answer ({type(error).__name__}); it is asked again.") from None
    if answer.status_code in {202, 204}:
        return
    said = "".join(filter(str.isprintable, answer.text)).replace(secret, "***")[:200]
    message = f"The hub at {hub} refuses to subscribe {topic} (HTTP {answer.status_code}): {said}"
    raise (Unavailable if answer.status_code >= 500 or answer.status_code == 429 else Refused)(message)
