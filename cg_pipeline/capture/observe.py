"""Turns what a platform module produced into observations: listing and insights of a post put together. Pure but for
the requests that the platform module makes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

import orjson

from cg_pipeline.capture import cells
from cg_pipeline.capture.observation import ATTRIBUTES, METRICS, Observation, Page
from cg_pipeline.platforms.contract import Connector, Reading
from cg_pipeline.platforms.records import AccountRecord, Lookup, MetricsRecord, PostRecord


@dataclass(frozen=True)
class Sight:
    """What one reading saw of a site.

    `gone` are ids of posts that are certainly no longer there; `oldest` is the publish time of the oldest post that
    the listing gave, None where nothing was listed.
    """

    account: AccountRecord
    observations: list[Observation]
    gone: list[str]
    oldest: datetime | None


@dataclass
class _Known:
    """What the metrics records of one post say together."""

    values: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
    currency: str | None = None
    problem: str | None = None

    def add(self, record: MetricsRecord) -> None:
        self.values |= record.values
        self.raw |= record.raw
        self.currency = record.currency or self.currency
        self.problem = record.problem or self.problem


def see(
    connector: Connector,
    reading: Reading,
    wanted: Sequence[str],
    absent: Sequence[str],
    note: Callable[[int, int], None] = lambda _, __: None,
) -> Sight:
    """Read a site: the posts that are wanted by id, else all that are listed.

    `absent` were missed by earlier listings: those that a listing lacks again are looked up, and read like the others
    where they are found. `note` is told how many pages and posts have been listed.
    """
    account = connector.account(reading)
    reading = replace(reading, username=account.username or reading.username)
    listed: dict[str, PostRecord] = {}
    for number, page in enumerate(() if wanted else connector.posts(reading), start=1):
        listed |= {post.native_id: post for post in page}
        note(number, len(listed))
    missing = wanted or [native_id for native_id in absent if native_id not in listed]
    looked_up = connector.lookup(reading, missing) if missing else Lookup(())
    posts = [*listed.values(), *(post for post in looked_up.found if post.native_id not in listed)]
    published = [post.published_at for post in listed.values() if post.published_at]
    gone = looked_up.gone - {post.native_id for post in posts}
    return Sight(
        _storable(account), list(_observations(connector, reading, account, posts)), sorted(gone),
        min(published, default=None),
    )  # fmt: skip


def fold(former: Observation, later: Observation) -> Observation:
    """Two sights of a post on one day: of each field what was known last, as when one was merged after the other."""
    keeps_money = "lifetime_earnings" in former.metrics and "lifetime_earnings" not in later.metrics
    return replace(
        later,
        attributes=former.attributes | later.attributes,
        metrics=former.metrics | later.metrics,
        currency=former.currency if keeps_money else later.currency or former.currency,
        raw=former.raw | later.raw,
    )


def _observations(
    connector: Connector, reading: Reading, account: AccountRecord, posts: Sequence[PostRecord]
) -> Iterator[Observation]:
    """One observation a post, in the order of the listing."""
    known: dict[str, _Known] = {}
    for record in connector.metrics(reading, posts):
        known.setdefault(record.native_id, _Known()).add(record)
    page = Page(connector.platform, reading.platform_id, account.name, account.username)
    for post in posts:
        seen = _observation(page, post, known.get(post.native_id, _Known()))
        yield seen if _is_storable(seen) else _storable(seen)


def _observation(page: Page, post: PostRecord, known: _Known) -> Observation:
    values = {**post.values, **known.values}
    raw = {"post": post.raw} | ({"metrics": known.raw} if known.raw else {})
    metrics = {name: values[name] for name in METRICS if values.get(name) is not None}
    problem = known.problem
    if known.currency is None and metrics.pop("lifetime_earnings", None) is not None:
        problem = problem or "earnings without a currency: say it with `cg site set SITE currency`"
    return Observation(
        line=0,
        page=page,
        post_id=f"{page.platform}_{post.native_id}",
        attributes=_attributes(page, post.attributes),
        metrics=metrics,
        currency=known.currency,
        raw=raw,
        problem=problem,
    )


def _attributes(page: Page, told: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes as told, with the page, and the tags of the caption where the platform names none."""
    texts = (told.get("title"), told.get("description"))
    found = {"page_id": page.platform_id, "page_name": page.name, "hashtags": cells.hashtags(*texts),
             "mentions": cells.mentions(*texts)}  # fmt: skip
    found |= {name: value for name, value in told.items() if name in ATTRIBUTES and not _is_signed(name, value)}
    return {name: value for name, value in found.items() if value is not None}


def _is_signed(name: str, value: Any) -> bool:
    """An address of a picture or film that is another one at each reading and ends within hours: raw_data has it."""
    return name in {"thumbnail_url", "video_url"} and "?" in str(value)


def _is_storable(seen: Observation) -> bool:
    """Whether it surely has nothing that PostgreSQL cannot hold: told a hundred times faster than by looking at all."""
    try:
        return b"\\u0000" not in orjson.dumps(seen, default=str)
    except TypeError:  # half of a character
        return False


def _storable(value: Any) -> Any:
    """The same without what PostgreSQL cannot hold in texts: NUL, and half of a character, as of a caption cut off."""
    if isinstance(value, str):
        return value if value.isprintable() else value.replace("\0", "").encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_storable(name): _storable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if isinstance(value, Observation | AccountRecord | Page):
        return replace(value, **{each.name: _storable(getattr(value, each.name)) for each in fields(value)})
    return value
