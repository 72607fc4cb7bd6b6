"""The sandbox's world: accounts on six platforms, their posts, and counters that are pure functions of the time.

The same seed and the same time give the same world, so that any answer can be repeated. How a platform words it is in
the module of that platform; names and numbers are invented.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

PLATFORMS = ("facebook", "instagram", "youtube", "tiktok", "twitter", "threads")
BEGINNING = datetime(2026, 3, 1, tzinfo=UTC)

_WORDS = (
    "Waves", "Harbor", "City", "Rain", "Aurora", "Lights", "Backstage", "Lighthouse", "Session", "Dusk", "Echo", "Tide",
    "Static", "Bloom", "Northbound",
)  # fmt: skip
_MEDIA = {
    "facebook": ("reel", "video", "photo", "text"),
    "instagram": ("reel", "image", "carousel", "story"),
    "youtube": ("video", "short"),
    "tiktok": ("video", "photo"),
    "twitter": ("video", "photo", "text"),
    "threads": ("text", "image", "video"),
}
_COUNTRIES = ("US", "DE", "BR", "JP", "IN")


def _number(*parts: object) -> int:
    """A large number that depends on the parts alone."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True)
class Account:
    """A page, channel or account. `is_monetized`: the platform pays for its posts, in `currency`."""

    platform: str
    platform_id: str
    username: str
    name: str
    number: int
    currency: str = "USD"
    is_monetized: bool = True

    def followers(self, now: datetime) -> int:
        """Followers or subscribers at a time."""
        return 10_000 + self.number * 731 + (now - BEGINNING).days * 17


@dataclass(frozen=True)
class Post:
    """A post. It is seen from `published_at` until `deleted_at`, and only by its owner while it `is_private`."""

    account: Account
    native_id: str
    number: int
    media: str
    text: str
    published_at: datetime
    duration: int
    tag: str
    views_a_day: int
    falls_at: datetime | None = None
    deleted_at: datetime | None = None
    is_private: bool = False

    def is_there(self, now: datetime) -> bool:
        """Whether it is published and not deleted."""
        return self.published_at <= now and (self.deleted_at is None or now < self.deleted_at)


@dataclass(frozen=True)
class Counters:
    """Lifetime counters at a time; `earnings` in the account's currency, None where the platform pays nothing."""

    views: int
    reach: int
    reactions: int
    comments: int
    shares: int
    saves: int
    clicks: int
    profile_visits: int
    followers_gained: int
    three_second_views: int
    one_minute_views: int
    qualified_views: int
    seconds_viewed: int
    earnings: Decimal | None

    @property
    def by_country(self) -> dict[str, int]:
        """Views by country; they add up to the views."""
        parts = {
            country: self.views * share // 100 for country, share in zip(_COUNTRIES, (40, 25, 15, 12), strict=False)
        }
        return parts | {_COUNTRIES[-1]: self.views - sum(parts.values())}


@dataclass(frozen=True)
class World:
    """So many accounts on each platform, each with so many posts, one every `hours_between` hours."""

    accounts_each: int = 2
    posts_each: int = 12
    hours_between: int = 60
    seed: int = 1

    @cached_property
    def accounts(self) -> dict[str, list[Account]]:
        """The accounts of each platform."""
        return {
            platform: [self._account(platform, number) for number in range(self.accounts_each)]
            for platform in PLATFORMS
        }

    @cached_property
    def _posts(self) -> dict[str, list[Post]]:
        return {
            account.platform_id: [self._post(account, number) for number in range(self.posts_each)]
            for accounts in self.accounts.values()
            for account in accounts
        }

    def find(self, platform: str, name: str) -> Account | None:
        """The account of that id or username."""
        return next((a for a in self.accounts[platform] if name in {a.platform_id, a.username}), None)

    def posts(self, account: Account, now: datetime, *, private: bool = True) -> Sequence[Post]:
        """What the account has at a time, newest first."""
        there = [p for p in self._posts[account.platform_id] if p.is_there(now) and (private or not p.is_private)]
        return sorted(there, key=lambda post: (post.published_at, post.native_id), reverse=True)

    def post(self, account: Account, native_id: str, now: datetime) -> Post | None:
        """One post of the account, if it is there."""
        return self._by_id.get((account.platform_id, native_id)) if self._is_there(account, native_id, now) else None

    def change(self, post: Post, **changes: Any) -> Post:
        """Let a post be another one from now on: deleted, say, or private."""
        changed, mine = replace(post, **changes), self._posts[post.account.platform_id]
        mine[[each.native_id for each in mine].index(post.native_id)] = changed
        for derived in ("_by_id", "deletions"):
            vars(self).pop(derived, None)
        return changed

    def counters(self, post: Post, now: datetime) -> Counters:
        """The lifetime counters of a post at a time. They grow ever slower, and fall by a twentieth at `falls_at`."""
        days = max((now - post.published_at).total_seconds(), 0) / 86_400
        grown = int(post.views_a_day * 12 * (1 - 0.92**days))
        views = grown - (grown // 20 if post.falls_at and now >= post.falls_at else 0)
        watched = views * max(post.duration, 4) // 3
        cents = views * (90 + post.number % 7 * 20) // 1000
        return Counters(
            views=views, reach=views * 4 // 5, reactions=views // 30, comments=views // 400, shares=views // 500,
            saves=views // 250, clicks=views // 60, profile_visits=views // 300, followers_gained=views // 900,
            three_second_views=views * 7 // 10, one_minute_views=views // 8, qualified_views=views // 2,
            seconds_viewed=watched, earnings=Decimal(cents) / 100 if post.account.is_monetized else None,
        )  # fmt: skip

    @cached_property
    def deletions(self) -> Sequence[Post]:
        """The posts that are deleted at some time."""
        return [post for posts in self._posts.values() for post in posts if post.deleted_at]

    @cached_property
    def _by_id(self) -> dict[tuple[str, str], Post]:
        return {(owner, post.native_id): post for owner, posts in self._posts.items() for post in posts}

    def _is_there(self, account: Account, native_id: str, now: datetime) -> bool:
        post = self._by_id.get((account.platform_id, native_id))
        return post is not None and post.is_there(now)

    def _account(self, platform: str, number: int) -> Account:
        digits = 1_000_000 + _number(self.seed, platform, number) % 9_000_000
        ids = {
            "facebook": f"10{digits}{number:04}",
            "instagram": f"1784140{digits}{number:03}",
            "youtube": f"UC{_letters(22, self.seed, 'channel', number)}",
            "tiktok": f"tt{digits}{number:04}",
            "twitter": f"{2_000_000_000 + digits * 100 + number}",
            "threads": f"1784150{digits}{number:03}",
        }
        name = f"{_WORDS[number % len(_WORDS)]} {'Records' if number % 2 else 'Sounds'}" + (
            f" {number}" if number > 14 else ""
        )
        username = f"{name.lower().replace(' ', '')}{'' if number < 15 else number}"
        # The last account of a platform earns nothing where there are several.
        return Account(
            platform, ids[platform], username, name, number,
            currency="EUR" if platform == "youtube" and number % 2 else "USD",
            is_monetized=not (self.accounts_each > 1 and number == self.accounts_each - 1),
        )  # fmt: skip

    def _post(self, account: Account, number: int) -> Post:
        chance = _number(self.seed, account.platform_id, number)
        published = BEGINNING + timedelta(hours=number * self.hours_between, minutes=chance % 600, seconds=chance % 53)
        media = _MEDIA[account.platform][number % len(_MEDIA[account.platform])]
        word, other = _WORDS[chance % len(_WORDS)], _WORDS[chance // 16 % len(_WORDS)]
        post = Post(
            account, _post_id(account, number, chance, published), number, media,
            f"{word} {other} no. {number} #{word.lower()} @{account.username}", published,
            duration=12 + chance % 150 if media in {"reel", "video", "short", "story"} else 0,
            # A re-upload bears the tag of the post before it.
            tag=f"{account.username}-{number // 2 if number % 4 == 1 else number}",
            views_a_day=300 + chance % 4000,
        )  # fmt: skip
        return _with_fate(post)


def _with_fate(post: Post) -> Post:
    """Some posts lose counters, some are deleted after a while, some are private."""
    if post.number % 9 == 4:
        return replace(post, falls_at=post.published_at + timedelta(days=6))
    if post.number % 13 == 8:
        return replace(post, deleted_at=post.published_at + timedelta(days=5))
    return replace(post, is_private=post.number % 17 == 9)


def _post_id(account: Account, number: int, chance: int, published: datetime) -> str:
    second = int(published.timestamp())
    match account.platform:
        case "facebook":
            return f"5500{account.number:03}{number:06}{chance % 100:02}"
        case "youtube":
            return _letters(11, account.platform_id, number)
        case "tiktok":  # the upper bits are the second of creation
            return str((second << 32) | chance % (1 << 32))
        case "twitter":  # milliseconds since the epoch of X in the upper bits
            return str(((second * 1000 - 1_288_834_974_657) << 22) | chance % (1 << 22))
        case platform:
            return f"1{'8' if platform == 'instagram' else '7'}{account.number:03}{number:06}{chance % 1_000_000:06}"


def _letters(length: int, *parts: object) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return "".join(alphabet[_number(*parts, place) % 64] for place in range(length))
