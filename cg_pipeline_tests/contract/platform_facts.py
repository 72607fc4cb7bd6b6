"""What the contract suite must know of each platform to ask all of them the same: where things stand in its answers,
and how it words what all of them have. Every table but the last ones has all platforms.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from cg_pipeline.config import PLATFORMS
from cg_pipeline.errors import AccessDenied, CgError, ConfigError, Gone, Refused, Throttled, Unavailable
from cg_pipeline.platforms.http import Answer

each_platform = pytest.mark.parametrize("platform", PLATFORMS)


@dataclass(frozen=True)
class Case:
    """What there is on each platform but some: `absent` tells why not on those."""

    absent: Mapping[str, str]

    @property
    def having(self) -> pytest.MarkDecorator:
        """A test of each platform that has it."""
        return pytest.mark.parametrize("platform", [each for each in PLATFORMS if each not in self.absent])

    @property
    def lacking(self) -> pytest.MarkDecorator:
        """A test of each platform that has it not: what there is instead."""
        return pytest.mark.parametrize("platform", list(self.absent))


class Listing(NamedTuple):
    """How the address ends that lists posts, where the posts stand in its answer, and what each of them always has.

    `described` is the address that tells more of them, where that is another.
    """

    address: str
    items: str
    always: tuple[str, ...] = ("id",)
    described: str = ""

    @property
    def telling(self) -> str:
        """The address that describes posts."""
        return self.described or self.address


LISTINGS = {
    "facebook": Listing("/published_posts", "data"),
    "instagram": Listing("/media", "data"),
    "youtube": Listing("/playlistItems", "items", described="/videos"),
    "tiktok": Listing("/video/list/", "data.videos", ("item_id",)),
    "twitter": Listing("/tweets", "data", ("id", "edit_history_tweet_ids")),
    "threads": Listing("/threads", "data"),
}
SHOWS_PRIVATE = frozenset({"facebook", "youtube"})  # to their owner

NO_SUCH_ACCOUNT: dict[str, type[CgError]] = {
    "facebook": Gone, "instagram": Gone, "youtube": Unavailable, "tiktok": AccessDenied, "twitter": Refused,
    "threads": Gone,
}  # fmt: skip
FOLLOWERS = {
    "facebook": "followers_count", "instagram": "followers_count", "youtube": "items.*.statistics.subscriberCount",
    "tiktok": "data.followers_count", "twitter": "data.public_metrics.followers_count",
    "threads": "data.*.total_value",
}  # fmt: skip
RETIRED = {  # a metric, and the column that is lost with it
    "facebook": ("post_media_view", "views"), "instagram": ("saved", "saves"),
    "youtube": ("subscribersGained", "subscribers_gained"), "tiktok": ("reach", "reach"),
    "twitter": ("non_public_metrics", "profile_visits"), "threads": ("likes", "reactions"),
}  # fmt: skip
MISSING = (  # platform, address, what it leaves out, and the columns that may be lost; the first of them is
    ("facebook", "/published_posts", "data.*.full_picture", ("thumbnail_url",)),
    ("facebook", "/published_posts", "data.*.insights", ("views", "reach", "three_second_views", "one_minute_views")),
    ("instagram", "/media", "data.*.caption", ("description",)),
    ("instagram", "/insights", "data.*.values", ("views", "reach", "shares", "saves", "lifetime_seconds_viewed",
                                                 "subscribers_gained", "profile_visits")),
    ("youtube", "/videos", "items.*.snippet.description", ("description",)),
    ("youtube", "/videos", "items.*.snippet.categoryId", ("content_category",)),
    ("tiktok", "/video/list/", "data.videos.*.caption", ("description",)),
    ("tiktok", "/video/list/", "data.videos.*.video_views", ("views",)),
    ("twitter", "/tweets", "includes.media.*.duration_ms", ("duration",)),
    ("twitter", "/tweets", "data.*.public_metrics.like_count", ("reactions",)),
    ("threads", "/threads", "data.*.text", ("description",)),
    ("threads", "/insights", "data.*.values", ("views", "reactions", "comments", "shares")),
)  # fmt: skip
LISTS = (  # platform, address, and what it always has, however little is in it: without that its answer is not whole
    ("facebook", "/published_posts", "data"),
    ("instagram", "/media", "data"),
    ("instagram", "/stories", "data"),
    ("instagram", "/insights", "data"),
    ("youtube", "/channels", "items"),
    ("youtube", "/playlistItems", "items"),
    ("youtube", "/videos", "items"),
    ("youtube", "/reports", "columnHeaders"),
    ("tiktok", "/video/list/", "data"),
    ("tiktok", "/video/list/", "data.videos"),
    ("twitter", "/users/me", "data"),
    ("twitter", "/tweets", "data"),
    ("threads", "/threads", "data"),
    ("threads", "/insights", "data"),
    ("threads", "/threads_insights", "data"),
)
ENUMS = {  # what tells the type of a post (of YouTube's: who may see it), and the attribute that is unknown then
    "facebook": (("data.*.status_type", "data.*.permalink_url", "data.*.attachments.data.*.media_type"), "post_type"),
    "instagram": (("data.*.media_type", "data.*.media_product_type"), "post_type"),
    "youtube": (("items.*.status.privacyStatus",), "privacy_status"),
    "tiktok": (("data.videos.*.media_type",), "post_type"),
    "twitter": (("includes.media.*.type",), "post_type"),
    "threads": (("data.*.media_type",), "post_type"),
}

HALF_AN_HOUR, QUARTER = timedelta(minutes=30), timedelta(minutes=15)
LONG_DELAYS = {  # seconds of a limit, and how the platform tells them
    "facebook": (1800, HALF_AN_HOUR), "instagram": (1800, HALF_AN_HOUR), "youtube": (900, QUARTER),
    "tiktok": (300, timedelta(minutes=5)), "twitter": (900, QUARTER), "threads": (1800, HALF_AN_HOUR),
}  # fmt: skip
SHORT_DELAYS = {"youtube": 20, "tiktok": 2, "twitter": 20}
GROWING = [0.75, 1.5, 3.0, 6.0]
SILENT: dict[str, tuple[list[float], timedelta | None]] = {  # what is slept and assumed where no delay is told
    "facebook": ([], QUARTER), "instagram": ([], QUARTER), "youtube": (GROWING, None),
    "tiktok": ([2.5] * 4, timedelta(seconds=2)), "twitter": (GROWING, None), "threads": ([], QUARTER),
}  # fmt: skip


def _answer(body: Any) -> Answer:
    return Answer(403, {}, json.dumps(body))


def _meta(code: int, **more: Any) -> Answer:
    return _answer({"error": {"message": f"(#{code}) Refused", "type": "OAuthException", "code": code, **more}})


def _google(reason: str) -> Answer:
    return _answer({"error": {"code": 403, "message": "M", "errors": [{"message": "M", "reason": reason}]}})


def _x(kind: str, **more: Any) -> Answer:
    return _answer({"title": "T", "detail": "D", "type": f"https://api.x.com/2/problems/{kind}", **more})


META = {
    "permission": (_meta(10), AccessDenied), "role": (_meta(200), AccessDenied),
    "role on the page": (_meta(283), AccessDenied),
    "limit of the app": (_meta(4), Throttled), "limit of the person": (_meta(17), Throttled),
    "fault": (_meta(2), Unavailable),
}  # fmt: skip
FORBIDDEN: dict[str, dict[str, tuple[Answer, type[CgError]]]] = {  # what HTTP 403 stands for
    "facebook": META,
    "instagram": META,
    "threads": META,
    "youtube": {
        "scope": (_google("insufficientPermissions"), AccessDenied), "not ours": (_google("forbidden"), AccessDenied),
        "quota": (_google("quotaExceeded"), Throttled), "pace": (_google("userRateLimitExceeded"), Throttled),
        "project": (_google("accessNotConfigured"), ConfigError),
    },
    "twitter": {
        "plan": (_x("client-forbidden", reason="client-not-enrolled"), AccessDenied),
        "kind of token": (_x("unsupported-authentication"), AccessDenied),
    },
}  # fmt: skip
