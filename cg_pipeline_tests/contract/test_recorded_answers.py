"""One suite over all connectors from answers that were recorded: what an older API said, and what becomes of it when
it is cut, poorer or richer. Which kinds of answers nobody recorded is in `UNRECORDED`: of those the sandbox tells.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from cg_pipeline.errors import AccessDenied, CgError, Refused, Unavailable
from cg_pipeline.platforms.connectors import connector
from cg_pipeline.platforms.http import Answer, Request
from cg_pipeline.platforms.records import PostRecord
from cg_pipeline.sandbox.server import Sandbox
from cg_pipeline_tests.contract.answers import drop, grow, places, put, told
from cg_pipeline_tests.contract.platform_facts import ENUMS, LISTINGS, Case
from cg_pipeline_tests.contract.readings import NOW, Site

RECORDED = Path(__file__).parents[3] / "shared" / "real_data" / "api_payloads"
pytestmark = pytest.mark.skipif(not RECORDED.exists(), reason="the recorded answers are not beside this checkout")

NOBODY = "Nobody has published recorded answers of its API: only the sandbox tells."
FOUND = Case({"tiktok": NOBODY, "threads": NOBODY})
UNRECORDED = {  # the kind of answer, and the codes by which it would be known
    "401 and refresh": {102, 190, 401}, "404": {33, 404}, "429": {4, 17, 32, 429, 80001, 80002},
    "500": {1, 2, 500, 503},
}  # fmt: skip
META = RECORDED / "facebook_instagram"
FOLDERS = {
    "facebook": META / "facebook" / "apidata", "instagram": META / "instagram" / "apidata",
    "youtube": RECORDED / "youtube" / "apidata", "twitter": RECORDED / "x" / "apis",
}  # fmt: skip
PAGES = {
    "facebook": ("posts/feeds_default_fields_p1", "posts/feed_fields_p2"),
    "instagram": ("users/medias_p1", "users/medias_p2"),
    "youtube": ("playlist_items/playlist_items_paged_1", "playlist_items/playlist_items_paged_2"),
    "twitter": ("timeline/timeline_tweets", "timeline/timeline_mentions"),
}
CURSORS = {  # what the first page says of the second
    "facebook": ("after", "after"), "instagram": ("after", "after"), "youtube": ("pageToken", "CAoQAA"),
    "twitter": ("pagination_token", "7140dibdnow9c7btw3w3itbygz8uu5pbs45oy6erjc2ls"),
}  # fmt: skip
COUNTERS: dict[str, dict[str, tuple[str, ...]]] = {  # where a post has them; YouTube's stay out of the series
    "facebook": {"reactions": ("reactions.summary.total_count",), "comments": ("comments.summary.total_count",),
                 "shares": ("shares.count",)},
    "instagram": {"reactions": ("like_count",), "comments": ("comments_count",)},
    "youtube": {},
    "twitter": {"reactions": ("public_metrics.like_count",), "comments": ("public_metrics.reply_count",),
                "shares": ("public_metrics.retweet_count", "public_metrics.quote_count")},
}  # fmt: skip
ACCOUNTS: dict[str, tuple[str, str, str, int | None]] = {
    "facebook": ("pages/single_default_page", "20531316728", "facebookapp", None),
    "instagram": ("users/user_fields", "17841407673135339", "facebookfordevelopers", 64363),
    "youtube": ("channels/info", "UC_x5XG1OV2P6uZZ5FSM9Ttw", "googledevelopers", None),
    "twitter": ("user/user_resp", "2244994945", "TwitterDev", 514020),
}
REFUSALS: list[tuple[str, Path, int, type[CgError]]] = [
    ("facebook", META / "error.json", 400, Refused),
    ("facebook", META / "base" / "error_data.json", 400, AccessDenied),
    ("instagram", META / "error.json", 400, Refused),
    ("youtube", RECORDED / "youtube" / "error_response.json", 400, Refused),
    ("youtube", RECORDED / "youtube" / "apidata" / "error_permission_resp.json", 403, AccessDenied),
    ("twitter", RECORDED / "x" / "streams" / "delete_error.json", 400, Refused),
]

Change = Callable[[Any], None]


def load(platform: str, name: str) -> Any:
    """A recorded answer."""
    return json.loads((FOLDERS[platform] / f"{name}.json").read_text(encoding="utf-8"))


def page(platform: str, number: int) -> Any:
    """A page of the listing; the second is the last. YouTube's were recorded as another part, which has the id too."""
    body = load(platform, PAGES[platform][number])
    if platform == "twitter" and number == 1:
        del body["meta"]["next_token"]
    for item in body["items"] if platform == "youtube" else ():
        item["contentDetails"] = {"videoId": item["snippet"]["resourceId"]["videoId"]}
    return body


def items(platform: str, number: int) -> list[Any]:
    """The posts of a page, as they were recorded."""
    found: list[Any] = told(page(platform, number), LISTINGS[platform].items)
    return found


def native_ids(platform: str, *numbers: int) -> list[str]:
    """The ids of the posts of some pages, and of Instagram's stories, which come last."""
    posts = [item for number in numbers for item in items(platform, number)]
    posts += load("instagram", "stories/stories_default")["data"] if platform == "instagram" else []
    if platform == "youtube":
        return [item["contentDetails"]["videoId"] for item in posts]
    return [item["id"].rpartition("_")[2] for item in posts]


def answered(platform: str, request: Request) -> Any:
    """What was recorded for a request. Nobody recorded the batches of these posts, and videos are others."""
    if request.form is not None:
        refusal = {"code": 400, "body": (META / "error.json").read_text(encoding="utf-8")}
        return [refusal] * len(json.loads(request.form["batch"]))
    if request.url.endswith("/stories"):
        return load("instagram", "stories/stories_default")
    if request.url.endswith("/videos"):
        known = cycle(load("youtube", "videos/videos_info_multi")["items"])
        return {"items": [next(known) | {"id": native_id} for native_id in request.params["id"].split(",")]}
    return page(platform, 0 if request.params.get(CURSORS[platform][0]) is None else 1)


def replay(
    sandbox: Sandbox, platform: str, change: Change | None = None, address: str = ""
) -> tuple[Site, list[Request]]:
    """A site that is answered as it was recorded, changed where the address ends so; and what it asks."""
    asked: list[Request] = []

    def carry(request: Request, headers: Mapping[str, str]) -> Answer:
        asked.append(request)
        body = answered(platform, request)
        if change is not None and request.url.endswith(address) and request.form is None:
            change(body)
        return Answer(200, {}, json.dumps(body))

    return Site(sandbox, sandbox.world.accounts[platform][0], "http://recorded", carry), asked


def ids(posts: list[PostRecord]) -> list[str]:
    return [post.native_id for post in posts]


def test_what_was_never_recorded_is_known() -> None:
    found: set[int] = set()
    for file in RECORDED.rglob("*.json"):
        assert not any(platform in file.parts for platform in FOUND.absent)
        error = told(json.loads(file.read_text(encoding="utf-8")), "error")
        found |= {error.get("code"), error.get("error_subcode")} if error else set()
    assert {100, 400, 403} <= found
    assert not [kind for kind, codes in UNRECORDED.items() if codes & found]


@FOUND.having
def test_recorded_pages_are_joined_by_their_cursors(sandbox: Sandbox, platform: str) -> None:
    site, asked = replay(sandbox, platform)
    assert ids(site.posts()) == native_ids(platform, 0, 1)
    cursor, value = CURSORS[platform]
    listings = [request for request in asked if request.url.endswith(LISTINGS[platform].address)]
    assert [request.params.get(cursor) for request in listings] == [None, value]
    assert not any("access_token" in request.params for request in asked)  # which recorded addresses bear


@FOUND.having
def test_a_recorded_page_without_posts_is_not_the_last_one(sandbox: Sandbox, platform: str) -> None:
    listing, pages = LISTINGS[platform], list[str]()

    def without_posts(body: Any) -> None:
        pages.append("")
        if len(pages) == 1:
            put([], listing.items)(body)

    site, _ = replay(sandbox, platform, without_posts, listing.address)
    assert ids(site.posts()) == native_ids(platform, 1)
    assert len(pages) == 2


@FOUND.having
def test_a_recorded_page_that_comes_again_ends_the_listing(sandbox: Sandbox, platform: str) -> None:
    pages = list[Any]()

    def again(body: Any) -> None:
        body.update(page(platform, 0))
        pages.append(body)
        assert len(pages) <= 2  # else it would never end

    site, _ = replay(sandbox, platform, again, LISTINGS[platform].address)
    with pytest.raises(Unavailable, match="never end"):
        site.posts()
    assert len(pages) == 2


@FOUND.having
def test_every_recorded_answer_that_is_cut_off_is_told_as_such(platform: str) -> None:
    files = list(FOLDERS[platform].rglob("*.json"))
    assert len(files) > 5
    for file in files:
        text = file.read_text(encoding="utf-8")
        with pytest.raises(Unavailable, match="cut off"):
            connector(platform).check(Answer(200, {}, text[: len(text) // 2]), NOW)


@FOUND.having
def test_a_recorded_listing_that_was_cut_off_is_asked_for_again(sandbox: Sandbox, platform: str) -> None:
    site, asked = replay(sandbox, platform)
    whole = site.transport

    def cut(request: Request, headers: Mapping[str, str]) -> Answer:
        answer = whole(request, headers)
        return replace(answer, text=answer.text[: len(answer.text) // 2]) if len(asked) == 1 else answer

    site.transport = cut
    reading = site.reading()
    assert ids(site.posts(reading)) == native_ids(platform, 0, 1)
    assert (reading.caller.usage.retries, asked[0].key) == (1, asked[1].key)


@FOUND.having
def test_recorded_counters_land_and_those_that_are_hidden_are_unknown(sandbox: Sandbox, platform: str) -> None:
    counters = COUNTERS[platform]
    recorded = [item for number in (0, 1) for item in items(platform, number)]
    posts = replay(sandbox, platform)[0].posts()
    for post, item in zip(posts, recorded, strict=False):  # stories, which come last, have none
        known = {column: [told(item, path) for path in paths] for column, paths in counters.items()}
        assert post.values == {column: sum(parts) for column, parts in known.items() if None not in parts}
    paths = [f"{LISTINGS[platform].items}.*.{path}" for some in counters.values() for path in some]
    hidden = replay(sandbox, platform, drop(*paths))[0].posts()
    assert [(post.native_id, post.values) for post in hidden] == [(post.native_id, {}) for post in posts]


@FOUND.having
def test_no_field_of_a_recorded_post_is_needed_but_its_id(sandbox: Sandbox, platform: str) -> None:
    listing, whole = LISTINGS[platform], replay(sandbox, platform)[0].posts()
    fields = {name for post in whole for name in post.raw} - set(listing.always)
    assert {"facebook": "message", "instagram": "caption", "youtube": "snippet", "twitter": "text"}[platform] in fields
    for name in fields:
        poorer = replay(sandbox, platform, drop(f"{listing.items}.*.{name}"), listing.telling)[0].posts()
        assert ids(poorer) == ids(whole)
        for post, before in zip(poorer, whole, strict=True):
            assert {column: before.values.get(column) for column in post.values} == post.values


@FOUND.having
def test_fields_that_nobody_knows_change_nothing_in_recorded_posts(sandbox: Sandbox, platform: str) -> None:
    whole, richer = replay(sandbox, platform)[0].posts(), replay(sandbox, platform, grow)[0].posts()
    assert [replace(post, raw={}) for post in richer] == [replace(post, raw={}) for post in whole]
    assert all(post.raw["new_field"] == {"a": 1} for post in richer)


@FOUND.having
def test_a_type_that_nobody_knows_is_unknown_in_recorded_posts(sandbox: Sandbox, platform: str) -> None:
    paths, lost = ENUMS[platform]
    whole = replay(sandbox, platform)[0].posts()

    def unknown(body: Any) -> None:
        put("HOLOGRAM", *paths)(body)
        for holder, name in places(body, LISTINGS[platform].items):
            for item in holder[name]:  # where a post was recorded without what tells its type
                item.setdefault("status", {})["privacyStatus"] = "HOLOGRAM"

    posts = replay(sandbox, platform, unknown)[0].posts()
    assert [(post.native_id, post.published_at, post.values) for post in posts] == [
        (post.native_id, post.published_at, post.values) for post in whole
    ]
    # Nothing attached is a text, and the address of a story tells that it is one.
    assert {post.attributes.get(lost) for post in posts} <= {None, "Text", "Status"}


@FOUND.having
def test_a_recorded_account_is_read(sandbox: Sandbox, platform: str) -> None:
    name, platform_id, username, followers = ACCOUNTS[platform]
    site, _ = replay(sandbox, platform)
    site.transport = lambda _, __: Answer(200, {}, json.dumps(load(platform, name)))
    account = site.connector.account(site.reading(platform_id=platform_id))
    assert (account.platform_id, account.username, account.follower_count) == (platform_id, username, followers)


@pytest.mark.parametrize(("platform", "file", "status", "error"), REFUSALS)
def test_a_recorded_refusal_is_its_own_error(platform: str, file: Path, status: int, error: type[CgError]) -> None:
    with pytest.raises(error) as raised:
        connector(platform).check(Answer(status, {}, file.read_text(encoding="utf-8")), NOW)
    assert raised.type is error
