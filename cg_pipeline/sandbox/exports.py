"""A small made-up world and the CSV exports that its platforms would give of it, day by day. Deterministic: the same
day gives the same bytes.

The formats are those of the real exports; the numbers and names are invented. How exports are read is not known here.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from cg_pipeline.sandbox.world import Post as WorldPost
from cg_pipeline.sandbox.world import World

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

    def views(self, day: date) -> int:
        """Lifetime views at the end of a day."""
        age = (day - self.published.date()).days
        grown: int = sum(self.views_a_day * 9**n // 10**n for n in range(min(age + 1, 60)))
        return grown - (grown // 20 if self.falls and day >= FALL_DAY else 0)

    def earnings(self, day: date) -> Decimal:
        """Lifetime earnings at the end of a day, in the page's currency."""
        return Decimal(self.views(day) * self.cents_per_thousand // 1000) / 100


HARBOR = Page("facebook", "100012300000001", "Harbor Sounds")
NORTH = Page("facebook", "100012300000002", "Northern Lights")
HARBOR_IG = Page("instagram", "17841400000000001", "harbor.sounds")
HARBOR_TV = Page("youtube", "UCharborSoundsDemo000001", "Harbor Sounds TV")
HARBOR_TIKTOK = Page("tiktok", "harborsounds", "harborsounds")


def _at(month: int, day: int, hour: int = 10) -> datetime:
    return datetime(2026, month, day, hour, 15, tzinfo=PACIFIC)


POSTS = (
    Post(HARBOR, "550000100000001", "Waves at dusk #sea @mira.okafor", _at(2, 20), "mira-waves", "Videos", 5200, 190),
    Post(HARBOR, "550000100000002", "Waves at dusk, again #sea", _at(3, 28), "mira-waves", "Reels", 7400, 210),
    Post(HARBOR, "550000100000003", "City rain #rain", _at(3, 27), "dean-rain", "Videos", 3100, 170, falls=True),
    Post(HARBOR, "550000100000004", "Backstage", _at(3, 31), "", "Photos", 640),
    Post(HARBOR, "550000100000005", "Lighthouse session", _at(4, 1), "", "Videos", 2900, 150),
    Post(NORTH, "550000200000001", "Aurora, take one #live", _at(1, 12), "juno-aurora", "Videos", 1900, 160),
    Post(NORTH, "550000200000002", "Aurora, take two #live", _at(3, 30), "juno-aurora", "Reels", 4100, 180),
    Post(HARBOR_IG, "18000000000000001", "Waves, short #sea", _at(3, 26), "", "IG reel", 2600),
    Post(HARBOR_IG, "18000000000000002", "Harbor in six pictures", _at(3, 30), "", "IG carousel", 900),
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
    "Content", "Video title", "Video publish time", "Duration", "Views", "Watch time (hours)", "Subscribers",
    "Estimated revenue (EUR)", "Impressions", "Likes",
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


def facebook(posts: list[Post], day: date, *, lost_share: int = 0) -> bytes:
    """A lifetime export of Meta Business Suite for two pages; `lost_share` percent of views and money are missing."""

    def rows() -> Iterator[list[object]]:
        yield list(FACEBOOK_HEADINGS)
        for post in posts:
            views = post.views(day) * (100 - lost_share) // 100
            money = (post.earnings(day) * (100 - lost_share) / 100).quantize(Decimal("0.01"))
            video = post.kind != "Photos"
            yield [
                post.post_id, post.page.platform_id, post.page.name, post.title, "", 95 if video else 0,
                f"{post.published:%m/%d/%Y %H:%M}", f"https://www.facebook.com/demo/posts/{post.post_id}", 0, 0,
                post.kind, post.tag, "Lifetime", views, views * 4 // 5, views // 40, views // 300, views // 500,
                views * 21 if video else "", money if video else "", 0 if video else "",
            ]  # fmt: skip

    return _csv(rows(), bom=True)


def facebook_wrong(posts: list[Post], day: date) -> bytes:
    """The same export, taken too early: it lacks a part of everything."""
    return facebook(posts, day, lost_share=6)


def instagram(posts: list[Post], day: date) -> bytes:
    """A lifetime export of Meta Business Suite for Instagram."""

    def rows() -> Iterator[list[object]]:
        yield list(INSTAGRAM_HEADINGS)
        for post in posts:
            views, page = post.views(day), post.page
            yield [
                post.post_id, page.platform_id, page.name, "Harbor Sounds", post.title, 15,
                f"{post.published:%m/%d/%Y %H:%M}", f"https://www.instagram.com/p/{post.post_id}/", post.kind, "",
                "Lifetime", views, views * 3 // 4, views // 25, views // 600, views // 900, views // 350, views // 200,
            ]  # fmt: skip

    return _csv(rows(), bom=True)


def youtube_studio(posts: list[Post], day: date) -> bytes:
    """Table data of YouTube Studio by content, with the period Lifetime; it does not name its channel."""

    def rows() -> Iterator[list[object]]:
        yield list(YOUTUBE_HEADINGS)
        total = sum(post.views(day) for post in posts)
        yield ["Total", "", "", "", total, round(total / 50, 4), total // 700, "", total * 6, total // 30]
        for post in posts:
            views = post.views(day)
            yield [
                f" {post.post_id}" if post.post_id.startswith("-") else post.post_id, post.title,
                f"{post.published:%b} {post.published.day}, {post.published.year}", 214, views, round(views / 50, 4),
                views // 700, post.earnings(day), views * 6, views // 30,
            ]  # fmt: skip

    return _csv(rows())


def tiktok_studio(posts: list[Post], day: date) -> bytes:
    """The content table of TikTok Studio, whose days have no year."""

    def rows() -> Iterator[list[object]]:
        yield list(TIKTOK_HEADINGS)
        for post in posts:
            views, link = post.views(day), f"https://www.tiktok.com/@{post.page.platform_id}/video/{post.post_id}"
            published = f"{post.published:%B} {post.published.day}"
            yield [f"{day:%B} {day.day}", post.title, link, published, views // 12, views // 400, views // 700, views]

    return _csv(rows(), bom=True)


def _csv(rows: Iterable[list[object]], *, bom: bool = False) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8-sig" if bom else "utf-8")


@dataclass(frozen=True)
class Seen(Post):
    """A post whose counters are those of one moment."""

    seen_views: int = 0
    seen_earnings: Decimal = Decimal()

    def views(self, day: date) -> int:  # noqa: ARG002  the moment is fixed
        """Lifetime views at the moment."""
        return self.seen_views

    def earnings(self, day: date) -> Decimal:  # noqa: ARG002
        """Lifetime earnings at the moment."""
        return self.seen_earnings


KINDS = {
    "facebook": {"photo": "Photos", "reel": "Reels", "text": "Text", "video": "Videos"},
    "instagram": {"carousel": "IG carousel", "image": "IG image", "reel": "IG reel", "story": "IG story"},
}


def exports_of(world: World, now: datetime) -> dict[str, bytes]:
    """The lifetime exports of Meta Business Suite that a world's Facebook pages and Instagram accounts would give."""
    writers: dict[str, Callable[[list[Post], date], bytes]] = {"facebook": facebook, "instagram": instagram}
    return {
        f"{platform}_{now:%Y%m%d}.csv": write(
            [_seen(world, post, now) for account in world.accounts[platform] for post in world.posts(account, now)],
            now.date(),
        )
        for platform, write in writers.items()
    }


def _seen(world: World, post: WorldPost, now: datetime) -> Seen:
    account, seen = post.account, world.counters(post, now)
    return Seen(
        Page(account.platform, account.platform_id, account.name), post.native_id, post.text,
        post.published_at.astimezone(PACIFIC), post.tag, KINDS[account.platform][post.media], seen_views=seen.views,
        seen_earnings=seen.earnings or Decimal(),
    )  # fmt: skip
