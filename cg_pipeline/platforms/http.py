"""The one way out to the platforms: requests with time limits, bounded retries and pauses, renewal of an expired token,
and a count of what was asked.

What an answer means is the platform module's business: it classifies answers into the errors of `cg_pipeline.errors`.
"""

import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import mktime_tz, parsedate_tz
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import requests

from cg_pipeline.clock import Clock
from cg_pipeline.errors import (
    CreditsDepleted,
    Disconnected,
    Gone,
    Refused,
    Throttled,
    TokenExpired,
    Transient,
    Unavailable,
)

TIMEOUT_SECONDS = (10, 60)
TRIES = 5
LONGEST_PAUSE = timedelta(seconds=30)
"""A longer pause that a platform asks for is not slept through: the site is taken up again after it."""

# Its log of addresses would hold the token of a renewal that takes it as a parameter.
logging.getLogger("urllib3").setLevel(logging.INFO)

SECRET_PARAMETERS = frozenset({"access_token", "client_secret", "input_token", "fb_exchange_token", "refresh_token"})


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `params` go into the address, `form` or `json` into the body."""

    method: str
    url: str
    params: Mapping[str, Any] = field(default_factory=dict)
    form: Mapping[str, Any] | None = None
    json: Any = None

    @property
    def key(self) -> str:
        """Names the request without host and secrets: the same question has the same key."""
        shown = sorted((name, str(value)) for name, value in self.params.items() if name not in SECRET_PARAMETERS)
        body = self.form if self.form is not None else self.json
        kept = {k: v for k, v in body.items() if k not in SECRET_PARAMETERS} if isinstance(body, Mapping) else body
        path = urlsplit(self.url).path
        return f"{self.method} {path}?{urlencode(shown)}" + (f" {kept}" if kept is not None else "")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: the status, the headers in lower case, and the body as text."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def is_json(self) -> bool:
        """Whether the body can be read as JSON."""
        try:
            json.loads(self.text)
        except ValueError:
            return False
        return True

    def json(self) -> Any:
        """The body read as JSON. Raises Unavailable when it is none, as when it was cut off."""
        try:
            return json.loads(self.text)
        except ValueError as error:
            start = self.text[:80].replace("\n", " ")
            message = f"The answer (HTTP {self.status}) is no JSON: {start!r}. It was cut off, or a proxy gave it."
            raise Unavailable(message) from error


class Transport(Protocol):
    """Carries a request out and brings the answer back."""

    def __call__(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Raises Unavailable when there is no whole answer."""
        ...


class Http:
    """The transport over the network, with one pool of connections."""

    def __init__(self) -> None:
        self._session = requests.Session()
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=64)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

    def __call__(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Carry the request out."""
        try:
            response = self._session.request(
                request.method,
                request.url,
                params=dict(request.params),
                data=request.form,
                json=request.json,
                headers=dict(headers),
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            # The exception's own text may hold the address with its parameters.
            message = f"{request.method} {request.url} got no whole answer: {type(error).__name__}."
            raise Unavailable(message) from None
        names = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, names, response.text)


@dataclass
class Usage:
    """What was asked of a platform: requests, retries among them, seconds of pauses, and the quota it told of."""

    requests: int = 0
    retries: int = 0
    paused_seconds: float = 0.0
    quota_left: int | None = None
    quota_reset: datetime | None = None


class Dialect(Protocol):
    """How one platform's answers are read."""

    def authorize(self, token: str) -> Mapping[str, str]:
        """The headers that bear a token."""
        ...

    def check(self, answer: Answer, now: datetime) -> Any:
        """The body of a good answer; raises the error that a bad one means."""
        ...

    def quota(self, answer: Answer, now: datetime) -> tuple[int, datetime] | None:
        """How many requests are left until when, where the answer's headers tell."""
        ...


class TokenSource(Protocol):
    """The access token of one site."""

    def current(self) -> str:
        """The token to ask with."""
        ...

    def renew(self, refused: str) -> str:
        """Another token than the refused one. Raises Disconnected when there is none to be had."""
        ...


class Memory(Protocol):
    """Remembers the answers of a reading, so that it can be resumed or repeated without asking again."""

    def recall(self, request: Request) -> Answer | None:
        """The answer that is known already."""
        ...

    def keep(self, request: Request, answer: Answer) -> None:
        """Remember an answer that would be the same if it were asked for again."""
        ...


class Forgetful:
    """Remembers nothing."""

    def recall(self, _: Request) -> Answer | None:
        """Nothing is known."""
        return None

    def keep(self, request: Request, answer: Answer) -> None:
        """Forget it."""


class Caller:
    """Asks on behalf of one site: adds its token, retries what may pass, renews the token once, and counts.

    Sleep and chance can be replaced in tests.
    """

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        dialect: Dialect,
        tokens: TokenSource,
        memory: Memory | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._transport, self._clock, self._dialect, self._tokens = transport, clock, dialect, tokens
        self._memory, self._sleep, self._chance = memory or Forgetful(), sleep, chance
        self.usage = Usage()

    def get(self, url: str, holds: str | None = None, **params: Any) -> Any:
        """The checked answer to a GET; parameters that are None are left out."""
        asked = {name: value for name, value in params.items() if value is not None}
        return self.send(Request("GET", url, asked), holds)

    def send(self, request: Request, holds: str | None = None) -> Any:
        """The checked answer. Raises what the dialect raises, Throttled and Unavailable only after the last try.

        `holds` names the list that the answer must have: without it, it counts as one that was cut off.
        """
        if (known := self._memory.recall(request)) is not None:
            return self._checked(known, request, holds)
        token, renewed = self._tokens.current(), False
        for attempt in range(1, TRIES + 1):
            try:
                return self._ask(request, token, holds)
            except TokenExpired as refusal:
                if renewed:
                    message = f"The platform refuses the token it has just given ({refusal}): connect the site again."
                    raise Disconnected(message) from refusal
                token, renewed = self._tokens.renew(token), True
            except Transient as problem:
                if attempt == TRIES or not self._pause(attempt, problem):
                    raise
            self.usage.retries += 1
        raise AssertionError("the last try either returns or raises")

    def _ask(self, request: Request, token: str, holds: str | None) -> Any:
        self.usage.requests += 1
        answer = self._transport(request, self._dialect.authorize(token))
        if (quota := self._dialect.quota(answer, self._clock.now())) is not None:
            self.usage.quota_left, self.usage.quota_reset = quota
        try:
            body = self._checked(answer, request, holds)
        except (Disconnected, CreditsDepleted):
            raise
        except (Refused, Gone):  # the platform would say it again, and the reading may go on without
            self._memory.keep(request, answer)
            raise
        self._memory.keep(request, answer)
        return body

    def _checked(self, answer: Answer, request: Request, holds: str | None) -> Any:
        body = self._dialect.check(answer, self._clock.now())
        if holds is not None:
            listed(body, holds, request)
        return body

    def _pause(self, attempt: int, problem: Transient) -> bool:
        """Wait before the next try; False when the platform wants a pause that is too long to sleep through."""
        seconds = 0.5 * 2**attempt * (0.5 + self._chance() / 2)
        if isinstance(problem, Throttled) and problem.retry_at is not None:
            wanted = problem.retry_at - self._clock.now()
            if wanted > LONGEST_PAUSE:
                return False
            seconds = max(wanted.total_seconds(), 0) + self._chance()
        self.usage.paused_seconds += seconds
        self._sleep(seconds)
        return True


def pages(first: str | None, read: Callable[[str | None], tuple[list[Any], str | None]]) -> Iterator[list[Any]]:
    """Follow a listing from cursor to cursor until there is none. Raises Unavailable when one comes back."""
    cursor, seen = first, {first}
    while True:
        items, following = read(cursor)
        yield items
        if following is None:
            return
        if following in seen:
            message = f"The listing came back to the page {following[:40]!r}: it would never end."
            raise Unavailable(message)
        seen.add(following)
        cursor = following


def listed(body: Any, name: str, request: Request) -> list[Any]:
    """The list of that name. Raises Unavailable without it: an answer that lacks its list is no empty one."""
    items = body.get(name) if isinstance(body, dict) else None
    if not isinstance(items, list):
        message = f"The answer to {request.method} {request.url} has no list `{name}`: it is not whole."
        raise Unavailable(message)
    return items


def retry_at(answer: Answer, now: datetime) -> datetime | None:
    """When to ask again, by `Retry-After` (seconds or a date, RFC 9110) or `x-rate-limit-reset` (epoch seconds)."""
    after = answer.headers.get("retry-after", "")
    if after.isdecimal():
        return now + timedelta(seconds=int(after))
    if (moment := parsedate_tz(after)) is not None:
        return datetime.fromtimestamp(mktime_tz(moment), now.tzinfo)
    if (reset := answer.headers.get("x-rate-limit-reset", "")).isdigit():
        return datetime.fromtimestamp(int(reset), now.tzinfo)
    return None


def require_whole(answer: Answer, now: datetime) -> None:
    """Raises what the status tells where the body may be HTML from a proxy: Unavailable for server errors, Throttled
    for HTTP 429 that is no JSON.
    """
    if answer.status == 429 and not answer.is_json:
        raise Throttled("The platform wants a pause (HTTP 429).", retry_at(answer, now))
    if answer.status >= 500:
        message = f"The platform has a fault of its own (HTTP {answer.status})."
        raise Unavailable(message)
