"""The contract of a platform: what `capture` asks of each, whatever the platform is. One module per platform keeps it.

A platform module holds its addresses, its metric table and its mapping; nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Protocol

from cg_pipeline.errors import AccessDenied
from cg_pipeline.platforms.http import Caller, Dialect, Request, Transport
from cg_pipeline.platforms.records import AccountRecord, App, Lookup, MetricsRecord, PostRecord, Tokens
from cg_pipeline.platforms.registry import Registry, Retired


class AsOf(StrEnum):
    """Of which days a source can tell."""

    NOW_ONLY = "now_only"  # its counters are those of the moment of asking
    DATED = "dated"  # it can be asked for the counters up to a day


@dataclass(frozen=True)
class Reading:
    """One reading of one site: whose posts, as of which day, and by which means.

    `started_at` stands for "now" in every decision about what to ask, so that a resumed reading asks the same.
    """

    caller: Caller
    base_url: str
    platform_id: str
    username: str | None
    day: date
    started_at: datetime
    is_open_day: bool
    retired: Retired
    scope: str | None = None
    currency: str | None = None
    """The payout currency that was set for the site, for amounts that the platform gives without one."""
    demographics: bool = False
    """Whether the site wants viewers by age and gender also where they cost calls of their own."""

    def require_own(self, *ids: str) -> None:
        """Raises AccessDenied unless the token's account, which has these ids, is the site's.

        The token of another account would put that one's numbers under this site.
        """
        if self.platform_id not in ids:
            message = (
                f"The token belongs to the account {ids[0]}, but the site is {self.platform_id}: store a token of the "
                "site's own account with `cg site token`, or add the other account with `cg site add`."
            )
            raise AccessDenied(message)


@dataclass(frozen=True)
class Renewal:
    """One renewal of one site's tokens, in the name of the app that is registered with the platform."""

    transport: Transport
    base_url: str
    app: App
    tokens: Tokens
    now: datetime

    def send(self, dialect: Dialect, request: Request, headers: Mapping[str, str] | None = None) -> Any:
        """The checked answer, without retries: a single-use token may have been used although no answer came."""
        return dialect.check(self.transport(request, headers or {}), self.now)


class Connector(Dialect, Protocol):
    """One platform: its dialect, and what can be asked of it. The connectors inherit from it, for its defaults."""

    platform: str
    as_of: AsOf
    settling_days: int
    """How many days after a day its counters still move: they are read again on each of them."""
    base_url: str
    """The address of the real API; the environment variable CG_<PLATFORM>_API_URL replaces it."""
    registry: Registry
    scopes: Mapping[str, str]
    """What needs which permission: permission -> what it gives."""
    posts_a_page: int
    lists_all: bool = True
    """Whether the listing has no end before the oldest post. Otherwise posts older than it reaches are not missed."""
    calls_for_demographics: int = 0
    """Calls that `Reading.demographics` costs for each post that has metrics, beside `minimum_calls`."""
    fleeting: frozenset[str] = frozenset()
    """The post types (as in `posts.post_type`) that stop being listed by themselves: they are never missed."""

    def account(self, reading: Reading) -> AccountRecord:
        """The account itself. Raises AccessDenied where the platform tells that the token is another account's."""
        ...

    def posts(self, reading: Reading) -> Iterator[list[PostRecord]]:
        """All posts that the platform lists, page by page."""
        ...

    def lookup(self, reading: Reading, native_ids: Sequence[str]) -> Lookup:
        """Posts by id."""
        ...

    def metrics(self, reading: Reading, posts: Sequence[PostRecord]) -> Iterator[MetricsRecord]:
        """What insights say of these posts. A post may come several times: its values add up to one record."""
        ...

    def renew(self, renewal: Renewal) -> Tokens:
        """Fresh tokens. Raises Disconnected when the platform no longer accepts those that are there."""
        ...

    def renew_before(self, tokens: Tokens, now: datetime) -> bool:
        """Whether it is time to renew the access token, before it expires."""
        ...

    def minimum_calls(self, posts: int) -> int:
        """The least requests by which so many posts and their metrics can be read."""
        ...
