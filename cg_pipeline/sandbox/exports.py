"""A small made-up world and the CSV exports that its platforms would give of it, day by day. Deterministic: the same
day gives the same bytes.

The formats are those of the real exports; the numbers and names are invented. How exports are read is not known here.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from cg_pipeline.sandbox.world import Account, Counters, World
from cg_pipeline.sandbox.world import Post as WorldPost

FIRST_DAY = date(2026, 3, 26)
LAST_DAY = date(2026, 4, 5)
MISSING_DAY = date(2026, 3, 29)
"""Nobody exported anything on this day."""
CORRECTED_DAY = date(2026, 3, 30)
"""The Facebook export of this day was wrong; the right one comes after all others."""
FALL_DAY = date(2026, 4, 2)
"""On this day the platform takes back views and earnings of one post."""

YOUTUBE_FILE = "Table data.csv"
PACIFIC = ZoneInfo("America/Los_Angeles")


@dataclass(frozen=True)
class Page:
    """A page, channel or account."""

    platform: str
    platform_id: str
    name: str
    username: str = ""


@dataclass(frozen=True)
class Post:
    """A post whose counters grow from its publication on; `views_a_day` shrinks by a tenth every day."""

    page: Page
    post_id: str
    title: str
    published: datetime
    tag: str = ""
    kind: str = "Videos"
    views_a_day: int = 1000
    cents_per_thousand: int = 0
    falls: bool = False
    duration: int = 95  # seconds; 0: it cannot be watched, and earns nothing

    def views(self, day: date) -> int:
        """Lifetime views at the end of a day."""
        age = (day - self.published.date()).days
        grown: int = sum(self.views_a_day * 9**n // 10**n for n in range(min(age + 1, 60)))
        return grown - (grown // 20 if self.falls and day >= FALL_DAY else 0)

    def earnings(self, day: date) -> Decimal:
        """Lifetime earnings at the end of a day, in the page's currency."""
        return Decimal(self.views(day) * self.cents_per_thousand // 1000) / 100

    def counters(self, day: date) -> Counters:
        """All lifetime counters at the end of a day."""
        views = self.views(day)
        return Counters(
            views=views, reach=views * 4 // 5, reactions=views // 30, comments=views // 350, shares=views // 600,
            saves=views // 250, clicks=views // 60, profile_visits=views // 300, followers_gained=views // 700,
            three_second_views=views * 7 // 10, one_minute_views=views // 8, qualified_views=views // 2,
            seconds_viewed=views * 21, earnings=self.earnings(day),
        )  # fmt: skip


HARBOR = Page("facebook", "100012300000001", "Harbor Sounds")
NORTH = Page("facebook", "100012300000002", "Northern Lights")
HARBOR_IG = Page("instagram", "17841400000000001", "Harbor Sounds", "harbor.sounds")
HARBOR_TV = Page("youtube", "UCharborSoundsDemo000001", "Harbor Sounds TV")
HARBOR_TIKTOK = Page("tiktok", "harborsounds", "harborsounds", "harborsounds")


def _at(month: int, day: int, hour: int = 10) -> datetime:
    return datetime(2026, month, day, hour, 15, tzinfo=PACIFIC)


POSTS = (
    Post(HARBOR, "550000100000001", "Waves at dusk #sea @mira.okafor", _at(2, 20), "mira-waves", "Videos", 5200, 190),
    Post(HARBOR, "550000100000002", "Waves at dusk, again #sea", _at(3, 28), "mira-waves", "Reels", 7400, 210),
    Post(HARBOR, "550000100000003", "City rain #rain", _at(3, 27), "dean-rain", "Videos", 3100, 170, falls=True),
    Post(HARBOR, "550000100000004", "Backstage", _at(3, 31), "", "Photos", 640, duration=0),
    Post(HARBOR, "550000100000005", "Lighthouse session", _at(4, 1), "", "Videos", 2900, 150),
    Post(NORTH, "550000200000001", "Aurora, take one #live", _at(1, 12), "juno-aurora", "Videos", 1900, 160),
    Post(NORTH, "550000200000002", "Aurora, take two #live", _at(3, 30), "juno-aurora", "Reels", 4100, 180),
    Post(HARBOR_IG, "18000000000000001", "Waves, short #sea", _at(3, 26), "", "IG reel", 2600),
    Post(HARBOR_IG, "18000000000000002", "Harbor in six pictures", _at(3, 30), "", "IG carousel", 900, duration=0),
    Post(HARBOR_TV, "hArB0rWav3s", "Waves at dusk (full)", _at(3, 26), "", "", 8800, 260),
    Post(HARBOR_TV, "-c1tyRa1n_4", "City rain (full)", _at(3, 31), "", "", 6100, 240),
    Post(HARBOR_TIKTOK, "7617532091852390401", "Waves in 15 seconds #sea", _at(3, 15), "", "", 12000),
)

FACEBOOK_HEADINGS = (
    "Post ID", "Page ID", "Page name", "Title", "Description", "Duration (sec)", "Publish time", "Permalink",
    "Is crosspost", "Is share", "Post type", "Custom labels", "Date", "Views", "Reach", "Reactions", "Comments",
    "Shares", "Seconds viewed", "Approximate content monetization earnings", "Estimated earnings (USD)",
)  # fmt: skip
INSTAGRAM_HEADINGS = (
    "Post ID", "Account ID", "Account username", "Account name", "Description", "Duration (sec)", "Publish time",
    "Permalink", "Post type", "Data comment", "Date", "Views", "Reach", "Likes", "Shares", "Follows", "Comments",
    "Saves",
)  # fmt: skip
YOUTUBE_HEADINGS = (
    "Content", "Video title", "Video publish time", "Duration", "Views", "Watch time (hours)", "Subscribers gained",
    "Estimated revenue ({currency})", "Estimated monetized playbacks", "Impressions", "Unique viewers", "Likes",
    "Comments added", "Shares", "Average percentage viewed (%)",
)  # fmt: skip
TIKTOK_HEADINGS = (
    "Time", "Video title", "Video link", "Post time", "Total likes", "Total comments", "Total shares",
    "Total views",
)  # fmt: skip


def days() -> list[date]:
    """The days of which there are exports."""
    span = (LAST_DAY - FIRST_DAY).days + 1
    return [day for n in range(span) if (day := FIRST_DAY + timedelta(days=n)) != MISSING_DAY]


def exports(day: date, *, wrong: bool = False) -> dict[str, bytes]:
    """The files of a day by name. `wrong`: the Facebook export as it was before it was corrected."""
    seen = [post for post in POSTS if post.published.date() <= day]
    writers: dict[str, tuple[str, Callable[[list[Post], date], bytes]]] = {
        f"{FIRST_DAY:%b-%d-%Y}_{day:%b-%d-%Y}_{day:%Y%m%d}01.csv": ("facebook", facebook_wrong if wrong else facebook),
        f"{FIRST_DAY:%b-%d-%Y}_{day:%b-%d-%Y}_{day:%Y%m%d}02.csv": ("instagram", instagram),
        YOUTUBE_FILE: ("youtube", youtube_studio),
        "Content.csv": ("tiktok", tiktok_studio),
    }
    return {
        name: write([post for post in seen if post.page.platform == platform], day)
        for name, (platform, write) in writers.items()
    }


def facebook(posts: Sequence[Post], day: date, *, lost_share: int = 0) -> bytes:
    """A lifetime export of Meta Business Suite for two pages; `lost_share` percent of everything are missing."""

    def rows() -> Iterator[Sequence[object]]:
        yield FACEBOOK_HEADINGS
        for post in posts:
            seen = _without(post.counters(day), lost_share)
            money = ["", ""] if seen.earnings is None else [seen.earnings, 0]
            yield [
                post.post_id, post.page.platform_id, post.page.name, post.title, "", post.duration,
                f"{post.published:%m/%d/%Y %H:%M}", f"https://www.facebook.com/demo/posts/{post.post_id}", 0, 0,
                post.kind, post.tag, "Lifetime", seen.views, seen.reach, seen.reactions, seen.comments, seen.shares,
                *([seen.seconds_viewed, *money] if post.duration else ["", "", ""]),
            ]  # fmt: skip

    return _csv(rows(), bom=True)


def facebook_wrong(posts: Sequence[Post], day: date) -> bytes:
    """The same export, taken too early: it lacks a part of everything."""
    return facebook(posts, day, lost_share=6)


def _without(seen: Counters, lost_share: int) -> Counters:
    left = {each.name: getattr(seen, each.name) * (100 - lost_share) // 100 for each in fields(seen)
            if each.name != "earnings"}  # fmt: skip
    money = None if seen.earnings is None else (seen.earnings * (100 - lost_share) / 100).quantize(Decimal("0.01"))
    return replace(seen, **left, earnings=money)


def instagram(posts: Sequence[Post], day: date) -> bytes:
    """A lifetime export of Meta Business Suite for Instagram."""

    def rows() -> Iterator[Sequence[object]]:
        yield INSTAGRAM_HEADINGS
        for post in posts:
            seen, page = post.counters(day), post.page
            yield [
                post.post_id, page.platform_id, page.username, page.name, post.title, post.duration,
                f"{post.published:%m/%d/%Y %H:%M}", f"https://www.instagram.com/p/{post.post_id}/", post.kind, "",
                "Lifetime", seen.views, seen.reach, seen.reactions, seen.shares, seen.followers_gained, seen.comments,
                seen.saves,
            ]  # fmt: skip

    return _csv(rows(), bom=True)


def youtube_studio(posts: Sequence[Post], day: date, currency: str = "EUR") -> bytes:
    """Table data of YouTube Studio by content, with the period Lifetime; it does not name its channel."""

    def numbers(seen: Counters) -> list[object]:
        money = ["", ""] if seen.earnings is None else [seen.earnings, seen.qualified_views]
        return [
            seen.views, round(seen.seconds_viewed / 3600, 4), seen.followers_gained, *money, seen.views * 6, seen.reach,
            seen.reactions, seen.comments, seen.shares,
        ]  # fmt: skip

    def rows() -> Iterator[Sequence[object]]:
        yield [heading.format(currency=currency) for heading in YOUTUBE_HEADINGS]
        counters = [post.counters(day) for post in posts]
        yield ["Total", "", "", "", *numbers(_sum(counters)), ""]
        for post, seen in zip(posts, counters, strict=True):
            percent = round(100 * seen.seconds_viewed / (seen.views * post.duration), 2) if seen.views else ""
            yield [
                f" {post.post_id}" if post.post_id.startswith("-") else post.post_id, post.title,
                f"{post.published:%b} {post.published.day}, {post.published.year}", post.duration, *numbers(seen),
                percent,
            ]  # fmt: skip

    return _csv(rows())


def _sum(counters: Sequence[Counters]) -> Counters:
    """The sums, for the line above the videos. Money is unknown where it is of all."""
    known = [each.earnings for each in counters if each.earnings is not None]
    names = [each.name for each in fields(Counters) if each.name != "earnings"]
    sums = {name: sum(getattr(each, name) for each in counters) for name in names}
    return Counters(**sums, earnings=sum(known, Decimal()) if known else None)


def tiktok_studio(posts: Sequence[Post], day: date) -> bytes:
    """The content table of TikTok Studio, whose days have no year."""

    def rows() -> Iterator[Sequence[object]]:
        yield TIKTOK_HEADINGS
        for post in posts:
            seen, kind = post.counters(day), "video" if post.duration else "photo"
            yield [
                f"{day:%B} {day.day}", post.title,
                f"https://www.tiktok.com/@{post.page.username}/{kind}/{post.post_id}",
                f"{post.published:%B} {post.published.day}", seen.reactions, seen.comments, seen.shares, seen.views,
            ]  # fmt: skip

    return _csv(rows(), bom=True, quoted=True)


def _csv(rows: Iterable[Sequence[object]], *, bom: bool = False, quoted: bool = False) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8-sig" if bom else "utf-8")


@dataclass(frozen=True)
class Seen(Post):
    """A post of a world, whose counters are those of one moment."""

    seen: Counters = field(kw_only=True)

    def counters(self, day: date) -> Counters:  # noqa: ARG002  the moment is fixed
        """Lifetime counters at the moment."""
        return self.seen


KINDS = {
    "facebook": {"photo": "Photos", "reel": "Reels", "text": "Text", "video": "Videos"},
    "instagram": {"carousel": "IG carousel", "image": "IG image", "reel": "IG reel", "story": "IG story"},
}


def exports_of(world: World, now: datetime) -> dict[str, bytes]:
    """The lifetime exports that a world's accounts would give: one of all Facebook pages and one of all Instagram
    accounts from Meta Business Suite, one of each channel and of each TikTok account from their Studios."""
    accounts = world.accounts
    found = {
        f"facebook_{now:%Y%m%d}.csv": facebook(_seen(world, accounts["facebook"], now), now.date()),
        f"instagram_{now:%Y%m%d}.csv": instagram(_seen(world, accounts["instagram"], now), now.date()),
    }
    for account in accounts["youtube"]:
        table = youtube_studio(_seen(world, [account], now), now.date(), account.currency)
        found[f"youtube_{account.username}_{now:%Y%m%d}.csv"] = table
    for account in accounts["tiktok"]:
        found[f"tiktok_{account.username}_{now:%Y%m%d}.csv"] = tiktok_studio(_seen(world, [account], now), now.date())
    return found


def _seen(world: World, accounts: Sequence[Account], now: datetime) -> list[Seen]:
    return [_seen_post(world, post, now) for account in accounts for post in world.posts(account, now)]


def _seen_post(world: World, post: WorldPost, now: datetime) -> Seen:
    account = post.account
    return Seen(
        Page(account.platform, account.platform_id, account.name, account.username), post.native_id, post.text,
        post.published_at.astimezone(PACIFIC), post.tag, KINDS.get(account.platform, {}).get(post.media, ""),
        duration=post.duration, seen=world.counters(post, now),
    )  # fmt: skip
