"""Connectors at work on a sandbox: a reading of one account over real HTTP on loopback, without a database."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cg_pipeline.platforms.connectors import connector
from cg_pipeline.platforms.contract import Connector, Reading, Renewal
from cg_pipeline.platforms.http import Caller, Http, Transport
from cg_pipeline.platforms.records import App, MetricsRecord, PostRecord, Tokens
from cg_pipeline.platforms.registry import Retired
from cg_pipeline.sandbox.server import Sandbox, serving, vendors
from cg_pipeline.sandbox.world import Account, World

NOW = datetime(2026, 4, 5, 12, tzinfo=UTC)


@dataclass
class Keys:
    """The tokens of one account, renewed as the platform does it."""

    tokens: Tokens
    renewal: Callable[[Tokens], Tokens]
    renewed: int = 0

    def current(self) -> str:
        """The token to ask with."""
        return self.tokens.access

    def renew(self, refused: str) -> str:
        """Another token."""
        assert refused == self.tokens.access
        self.tokens, self.renewed = self.renewal(self.tokens), self.renewed + 1
        return self.tokens.access


@dataclass
class Site:
    """One account of a sandbox, read by its connector."""

    sandbox: Sandbox
    account: Account
    base_url: str
    transport: Transport = field(default_factory=Http)
    slept: list[float] = field(default_factory=list)
    retired: Retired = field(default_factory=Retired)

    def __post_init__(self) -> None:
        grant = vendors()[self.account.platform].connect(self.sandbox, self.account)
        self.connector: Connector = connector(self.account.platform)
        self.keys = Keys(Tokens(grant.access, grant.refresh, grant.expires_at), self._renew)

    def reading(self, **changes: Any) -> Reading:
        """A new reading as of the sandbox's day."""
        now = self.sandbox.now
        caller = Caller(
            self.transport, self.sandbox.clock, self.connector, self.keys, sleep=self.slept.append, chance=lambda: 0.5
        )
        values: dict[str, Any] = {
            "caller": caller, "base_url": self.base_url, "platform_id": self.account.platform_id,
            "username": self.account.username, "day": now.date(), "started_at": now, "is_open_day": True,
            "retired": self.retired,
        }  # fmt: skip
        return Reading(**(values | changes))

    def posts(self, reading: Reading | None = None) -> list[PostRecord]:
        """All posts that the listing gives."""
        return [post for page in self.connector.posts(reading or self.reading()) for post in page]

    def metrics(self, posts: Sequence[PostRecord], reading: Reading | None = None) -> dict[str, MetricsRecord]:
        """What insights say, by post; several records of a post are put together."""
        found: dict[str, MetricsRecord] = {}
        for record in self.connector.metrics(reading or self.reading(), posts):
            known = found.get(record.native_id)
            values = {**(known.values if known else {}), **record.values}
            found[record.native_id] = MetricsRecord(
                record.native_id, values, record.currency or (known.currency if known else None), record.raw
            )
        return found

    def known(self, reading: Reading | None = None) -> dict[str, dict[str, Any]]:
        """All values that one reading gives, by post."""
        posts = self.posts(reading)
        found: dict[str, dict[str, Any]] = {post.native_id: dict(post.values) for post in posts}
        for native_id, record in self.metrics(posts, reading).items():
            found[native_id] |= record.values
        return found

    def _renew(self, tokens: Tokens) -> Tokens:
        app = App("sandbox", "sandbox-secret")
        return self.connector.renew(Renewal(self.transport, self.base_url, app, tokens, self.sandbox.now))


@contextmanager
def served(platform: str, world: World, number: int = 0) -> Iterator[Site]:
    """An account of a world of its own."""
    sandbox = Sandbox(world, NOW)
    with serving(sandbox) as address:
        yield Site(sandbox, sandbox.world.accounts[platform][number], f"{address}/{platform}")
