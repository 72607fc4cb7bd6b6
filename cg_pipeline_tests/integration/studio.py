"""A warehouse beside a sandbox: sites connected, days captured over real HTTP, clocks of both set together."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

from cg_pipeline import config
from cg_pipeline.capture import sites, tokens
from cg_pipeline.capture.access import Platforms
from cg_pipeline.capture.platform_day import PlatformReport, Scope, capture_platform, replay_platform
from cg_pipeline.capture.site_day import SiteReport
from cg_pipeline.config import PLATFORMS
from cg_pipeline.platforms.http import Answer, Http, Request
from cg_pipeline.platforms.records import Tokens
from cg_pipeline.sandbox.server import Sandbox, serving, vendors
from cg_pipeline.sandbox.world import Account, Post, World
from cg_pipeline.security.vault import new_key
from cg_pipeline.warehouse.database import Warehouse

AVAILABLE = [
    platform
    for platform in PLATFORMS
    if find_spec(f"cg_pipeline.platforms.{platform}") and find_spec(f"cg_pipeline.sandbox.{platform}")
]
NOON = datetime(2026, 4, 5, 12, tzinfo=UTC)


class Killed(BaseException):
    """Stands for the process being killed: nobody catches it."""


class Watched:
    """A transport that can be told to die before a request, and that remembers what was asked, and by whom.

    `instead` may give another answer than the platform's, `owner` tells whose a token is.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.die_at: int | None = None
        self.instead: Callable[[Request, str], Answer | None] = lambda *_: None
        self.owner: Callable[[str], str] = str
        self._real, self._lock = Http(), Lock()

    def die(self) -> None:
        """What happens at the request to die at."""
        raise Killed

    def __call__(self, request: Request, headers: Any) -> Answer:
        """Carry it out, unless this is the request to die at."""
        token = headers.get("Authorization", "").removeprefix("Bearer ") or headers.get("Access-Token", "")
        with self._lock:
            if self.die_at is not None and len(self.asked) >= self.die_at:
                self.die()
            self.asked.append((self.owner(token), request.key))
        return self.instead(request, token) or self._real(request, headers)


def connect(sandbox: Sandbox, platforms: Platforms, account: Account) -> None:
    """What `cg site add` does against a sandbox, the first time and again."""
    grant = vendors()[account.platform].connect(sandbox, account)
    pair = Tokens(grant.access, grant.refresh, grant.expires_at)
    with platforms.warehouse.connect() as connection:
        found = connection.execute("select id from sites where platform_id = %s", (account.platform_id,)).fetchone()
        if found is None:
            site = sites.add(connection, account.platform, account.platform_id, account.name, account.username)
            sites.put_setting(connection, site, "currency", account.currency, sandbox.clock)
        tokens.store(connection, platforms.ring, found["id"] if found else site.id, pair, sandbox.now)


@dataclass
class Studio:
    """A sandbox, a warehouse, and what captures the one into the other."""

    sandbox: Sandbox
    platforms: Platforms
    transport: Watched
    slept: list[float] = field(default_factory=list)

    @property
    def today(self) -> date:
        """The open day."""
        return self.sandbox.now.date()

    def account(self, platform: str, number: int = 0) -> Account:
        """One of the accounts of a platform."""
        return self.sandbox.world.accounts[platform][number]

    def connect(self, account: Account) -> None:
        """What `cg site add` does against a sandbox, the first time and again."""
        connect(self.sandbox, self.platforms, account)

    def connect_all(self, *names: str) -> None:
        """All accounts of the platforms."""
        for platform in names or AVAILABLE:
            for account in self.sandbox.world.accounts[platform]:
                self.connect(account)

    def repair(self, account: Account) -> None:
        """End all faults of an account and connect it again."""
        self.sandbox.clear_faults(account)
        self.connect(account)

    def capture(self, platform: str, day: date | None = None, **scope: Any) -> PlatformReport:
        """Capture the open day, or another one."""
        return capture_platform(self.platforms, platform, day or self.today, Scope(**scope))

    def replay(self, platform: str, day: date | None = None, **scope: Any) -> PlatformReport:
        """Read the open day, or another one, again."""
        return replay_platform(self.platforms, platform, day or self.today, Scope(**scope))

    def later(self, **units: float) -> None:
        """Let time pass."""
        self.sandbox.clock.instant += timedelta(**units)

    def change(self, post: Post, **changes: Any) -> Post:
        """Let a post of the world be another one from now on."""
        return self.sandbox.world.change(post, **changes)

    def listed(self, account: Account) -> Sequence[Post]:
        """The public posts of an account, newest first."""
        return self.sandbox.world.posts(account, self.sandbox.now, private=False)

    def site(self, report: PlatformReport, account: Account) -> SiteReport:
        """The line of an account."""
        return next(site for site in report.sites if site.site == account.name)

    def rows(self, statement: Any, **values: Any) -> list[dict[str, Any]]:
        """What a statement returns, if it does."""
        with self.platforms.warehouse.connect() as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description is not None else []

    def row(self, statement: Any, **values: Any) -> dict[str, Any]:
        """The one row that a statement returns."""
        (found,) = self.rows(statement, **values)
        return found

    def asked(self, account: Account) -> int:
        """How many requests the account has got so far."""
        return sum(count for (_, owner, _), count in self.sandbox.requests.items() if owner == account.platform_id)


@contextmanager
def studio(sandbox: Sandbox, warehouse: Warehouse, home: Path, **settings: str) -> Iterator[Studio]:
    """Serve the sandbox; the installation's clock is the sandbox's, and nobody sleeps."""
    with serving(sandbox) as address:
        yield furnish(sandbox, warehouse, home, address, **{"CG_ENCRYPTION_KEYS": new_key(), **settings})


def furnish(sandbox: Sandbox, warehouse: Warehouse, home: Path, address: str, **settings: str) -> Studio:
    """An installation whose platforms are all at one address."""
    urls = {f"CG_{platform.upper()}_API_URL": f"{address}/{platform}" for platform in PLATFORMS}
    apps = {f"CG_{platform.upper()}_CLIENT_{name}": f"sandbox-{name.lower()}"
            for platform in PLATFORMS for name in ("ID", "SECRET")}  # fmt: skip
    loaded, transport, slept = config.load({"CG_HOME": str(home), **urls, **apps, **settings}), Watched(), list[float]()
    transport.owner = lambda token: grant.account.platform_id if (grant := sandbox.tokens.grant_of(token)) else ""
    return Studio(sandbox, Platforms(warehouse, loaded, sandbox.clock, transport, slept.append), transport, slept)


def small_world(accounts: int = 2, posts: int = 5, **more: Any) -> Sandbox:
    """A sandbox at noon of a day after the last post."""
    return Sandbox(World(accounts_each=accounts, posts_each=posts, **more), NOON)


def at(moment: str) -> datetime:
    """A moment with its zone."""
    return datetime.fromisoformat(moment)


def ids(rows: Sequence[dict[str, Any]]) -> set[str]:
    """The post ids of rows."""
    return {row["post_id"] for row in rows}
