"""Servers on loopback that stand for a receiver of webhooks, or for a hub."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

Delivered = tuple[dict[str, str], bytes]


@contextmanager
def listening(take: Callable[[BaseHTTPRequestHandler], tuple[int, str]]) -> Iterator[str]:
    """A server that answers every request with a status and a text; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = take(self)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def delivery_of(request: BaseHTTPRequestHandler) -> Delivered:
    """The headers, names in lower case, and the body."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return headers, request.rfile.read(int(headers["content-length"]))


@dataclass
class Callback:
    """Stands for the receiver: answers the verifications of a site as told to, keeps what is delivered."""

    answer: Callable[[UUID, dict[str, str]], str | None] = lambda *_: None
    address: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    delivered: list[Delivered] = field(default_factory=list)
    is_deaf: bool = False
    status: int = 200


@contextmanager
def receiving(callback: Callback) -> Iterator[Callback]:
    """Let it be there, and know its own address."""

    def take(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        if request.command == "POST":
            callback.delivered.append(delivery_of(request))
            return callback.status, ""
        address = urlsplit(request.path)
        asked = dict(parse_qsl(address.query))
        challenge = None if callback.is_deaf else callback.answer(UUID(address.path.rpartition("/")[2]), asked)
        callback.asked.append(asked)  # last, so that whoever waits for it sees what came of it
        return (404, "") if challenge is None else (200, challenge)

    with listening(take) as callback.address:
        yield callback
