"""A webhook receiver served over real HTTP, in a thread or in a process that can be killed, and what the platforms send
to it."""

import base64
import hashlib
import hmac
import json
import multiprocessing
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from typing import Any

import requests
import uvicorn

from cg_pipeline import config
from cg_pipeline.clock import Clock, FixedClock
from cg_pipeline.config import PLATFORMS
from cg_pipeline.warehouse.database import Warehouse, libpq
from cg_pipeline.webhooks.receiver import UVICORN, make_app

SECRET = "app-secret"
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
CREATED = int(NOW.timestamp()) - 60
ACCOUNT = {platform: f"10{number}" for number, platform in enumerate(PLATFORMS)} | {"youtube": "UCharbor"}


def meta(*changes: dict[str, Any], page: str = ACCOUNT["facebook"], kind: str = "page") -> bytes:
    """A delivery of Facebook or Instagram with changes of one account."""
    entry = {"id": page, "time": CREATED, "changes": list(changes)}
    return json.dumps({"object": kind, "entry": [entry]}).encode()


def feed(post: str = "1", page: str = ACCOUNT["facebook"], verb: str = "edited", **more: Any) -> dict[str, Any]:
    """A change of a page's feed."""
    value = {"item": "post", "verb": verb, "post_id": f"{page}_{post}", "created_time": CREATED, **more}
    return {"field": "feed", "value": value}


def atom(video: str = "aB3_dE-9xYz", channel: str = ACCOUNT["youtube"], second: int = 58) -> bytes:
    """A delivery of the hub."""
    return f"""<feed xmlns:yt="http://www.youtube.com/xml/schemas/2015" xmlns="http://www.w3.org/2005/Atom">
    <link rel="self" href="https://www.youtube.com/xml/feeds/videos.xml?channel_id={channel}"/>
    <entry><id>yt:video:{video}</id><yt:videoId>{video}</yt:videoId><yt:channelId>{channel}</yt:channelId>
    <title>T</title><published>2026-01-15T11:00:04+00:00</published><updated>2026-01-15T11:04:{second}+00:00</updated>
    </entry></feed>""".encode()


def sample(platform: str) -> bytes:
    """A delivery that tells of one post of the platform's account."""
    account = ACCOUNT[platform]
    comment = {"id": "c1", "from": {"id": "9", "username": "ana"}, "text": "wow", "media": {"id": "1"}}
    bodies: dict[str, Any] = {
        "tiktok": {"client_key": "ck", "event": "post.publish.publicly_available", "create_time": CREATED,
                   "user_openid": account, "content": json.dumps({"publish_id": "p", "post_id": "1"})},
        "twitter": {"data": {"event_uuid": "7", "filter": {"user_id": account}, "event_type": "post.create",
                             "payload": {"id": "1", "author_id": account, "created_at": "2026-01-15T11:59:00.000Z"}}},
        "threads": {"app_id": "9", "topic": "interaction", "target_id": account, "time": CREATED, "values": {
            "field": "publish", "value": {"id": "1", "username": "harbor", "timestamp": "2026-01-15T11:59:00+0000"}}},
    }  # fmt: skip
    if platform == "facebook":
        return meta(feed())
    if platform == "instagram":
        return meta({"field": "comments", "value": comment}, page=account, kind="instagram")
    return atom() if platform == "youtube" else json.dumps(bodies[platform]).encode()


def signed(platform: str, body: bytes, secret: str = SECRET, now: datetime = NOW) -> dict[str, str]:
    """The headers with which the platform signs a body."""
    key = secret.encode()
    sha256 = hmac.new(key, body, hashlib.sha256)
    if platform == "youtube":
        return {"X-Hub-Signature": f"sha1={hmac.new(key, body, hashlib.sha1).hexdigest()}"}
    if platform == "twitter":
        return {"x-twitter-webhooks-signature": f"sha256={base64.b64encode(sha256.digest()).decode()}"}
    if platform == "tiktok":
        moment = int(now.timestamp())
        text = hmac.new(key, f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
        return {"TikTok-Signature": f"t={moment},s={text}"}
    return {"X-Hub-Signature-256": f"sha256={sha256.hexdigest()}"}


def settings_of(home: str, **more: str) -> config.Settings:
    """Settings with one secret for all platforms."""
    names = {f"CG_{platform.upper()}_CLIENT_SECRET": SECRET for platform in PLATFORMS}
    rate = {"CG_WEBHOOK_RATE_PER_SECOND": "1000000"}
    return config.load({"CG_HOME": home, **names, **rate, **more})


def add_sites(warehouse: Warehouse) -> dict[str, str]:
    """One site of each platform; their ids."""
    statement = """insert into sites (name, platform, platform_id, platform_username)
                   values (%(account)s, %(platform)s, %(account)s, 'Harbor') returning id::text as id"""
    ids = {}
    with warehouse.connect() as connection:
        for platform, account in ACCOUNT.items():
            row = connection.execute(statement, {"platform": platform, "account": account}).fetchone()
            ids[platform] = row["id"] if row else ""
    return ids


@dataclass
class Hook:
    """A receiver that is served somewhere, and the warehouse behind it."""

    address: str
    warehouse: Warehouse
    sites: Mapping[str, str]

    def post(self, platform: str, body: bytes, *, site: str = "", secret: str = SECRET, **headers: str) -> int:
        """Deliver a body; the status of the answer."""
        given = {**signed(platform, body, secret), **headers}
        return requests.post(self.url(platform, site), body, headers=given, timeout=30).status_code

    def url(self, platform: str, site: str = "") -> str:
        """Where the platform delivers."""
        return f"{self.address}/webhooks/{platform}" + (f"/{site}" if site else "")

    def events(self) -> list[dict[str, Any]]:
        """What is in the inbox."""
        statement = """select e.*, e.site_id::text as site, f.event_id = e.id as is_known from webhook_events e
                       left join webhook_fingerprints f using (fingerprint) order by e.post_id, e.fingerprint"""
        with self.warehouse.connect() as connection:
            return connection.execute(statement).fetchall()

    def metric(self, line: str) -> float:
        """One sample of /metrics, 0 where there is none."""
        lines = requests.get(f"{self.address}/metrics", timeout=30).text.splitlines()
        samples = dict(each.rsplit(" ", 1) for each in lines if not each.startswith("#"))
        return float(samples.get(line, 0))

    def states(self) -> tuple[int, int]:
        """The answers of /healthz and /readyz."""
        live, ready = (requests.get(f"{self.address}/{path}", timeout=30).status_code for path in ("healthz", "readyz"))
        return live, ready

    def requests(self, platform: str, outcome: str) -> float:
        """How many requests had the outcome."""
        return self.metric(f'cg_webhook_requests_total{{outcome="{outcome}",platform="{platform}"}}')


@contextmanager
def hooked(warehouse: Warehouse, clock: Clock, settings: config.Settings) -> Iterator[Hook]:
    """A receiver in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(warehouse, settings, clock), **UVICORN))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield Hook(f"http://127.0.0.1:{listener.getsockname()[1]}", warehouse, add_sites(warehouse))
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listener.close()


def _serve(url: str, home: str, listener: socket.socket, started: Event) -> None:
    app = make_app(Warehouse(url), settings_of(home), FixedClock(NOW))
    started.set()
    uvicorn.Server(uvicorn.Config(app, **UVICORN)).run(sockets=[listener])


def start_process(warehouse: Warehouse, home: str, listener: socket.socket) -> SpawnProcess:
    """A receiver in a process of its own, which answers when this returns."""
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=_serve, args=(libpq(warehouse.url), home, listener, started), daemon=True)
    process.start()
    assert started.wait(30)
    _wait_until_ready(listener)
    return process


def _wait_until_ready(listener: socket.socket) -> None:
    deadline = time.monotonic() + 30
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/readyz"
    while time.monotonic() < deadline:
        try:
            if requests.get(address, timeout=5).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.05)
    raise TimeoutError(address)
