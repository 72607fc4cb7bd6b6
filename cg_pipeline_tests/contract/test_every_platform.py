"""One suite over all connectors, over real HTTP on loopback: what must hold of each platform, whatever it is.

What a platform cannot have is in a `Case`, with the reason; what it does instead is tested as well. What only one
platform does is in the test module of that platform.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cg_pipeline.config import PLATFORMS
from cg_pipeline.errors import AccessDenied, CgError, Disconnected, Unavailable
from cg_pipeline.platforms.http import Answer, Request
from cg_pipeline.platforms.records import PostRecord, Tokens
from cg_pipeline.sandbox.server import Sandbox
from cg_pipeline.sandbox.world import BEGINNING, Post, World
from cg_pipeline_tests.contract import platform_facts as facts
from cg_pipeline_tests.contract.answers import edited, in_json, overheard, places
from cg_pipeline_tests.contract.platform_facts import LISTINGS, Case, each_platform
from cg_pipeline_tests.contract.readings import NOW, Site, served

Make = Callable[..., Site]
CROWD = World(accounts_each=1, posts_each=280, hours_between=3)  # more than a page on each platform
EXTENDED = "Its tokens are extended while they are valid; with an expired one nothing can be had."
ONLY = "Insights are its only counters: without them there is nothing to land."
LISTED = "All its counters come with the listing: nothing can be asked of a post."
RENEWED = Case({"instagram": EXTENDED, "threads": EXTENDED})
FORBIDDEN = Case({"tiktok": "HTTP is 200 even for failures: code 40001 stands for a missing permission."})
POORER = Case({"youtube": ONLY, "tiktok": LISTED})
GONE = Case({"tiktok": "It leaves out what it reviews as it does what is deleted."})
APART = Case({"tiktok": LISTED})


def crowd(platform: str) -> AbstractContextManager[Site]:
    """An account with several pages of posts."""
    return served(platform, CROWD)


def listed(site: Site) -> list[str]:
    """The ids of the posts that the platform should list, in its order."""
    sandbox, platform = site.sandbox, site.account.platform
    there = sandbox.world.posts(site.account, sandbox.now, private=platform in facts.SHOWS_PRIVATE)

    def has_gone(post: Post) -> bool:
        return post.media == "story" and post.published_at + timedelta(days=1) <= sandbox.now

    return [post.native_id for post in sorted(there, key=lambda p: p.media == "story") if not has_gone(post)]


def ids(posts: list[PostRecord]) -> list[str]:
    return [post.native_id for post in posts]


def listings(site: Site) -> int:
    """How often the sandbox was asked for a page of posts."""
    address = LISTINGS[site.account.platform].address
    return sum(count for (_, _, path), count in site.sandbox.requests.items() if path.endswith(address))


def test_every_table_has_every_platform_or_the_reason_why_not() -> None:
    for table in (LISTINGS, facts.NO_SUCH_ACCOUNT):
        assert set(table) == set(PLATFORMS)
    for case in (RENEWED, FORBIDDEN, POORER, GONE, APART):
        assert set(case.absent) < set(PLATFORMS)
        assert all(case.absent.values())
    assert set(facts.FORBIDDEN) == set(PLATFORMS) - set(FORBIDDEN.absent)


@each_platform
def test_pages_are_joined_and_every_post_comes_once(platform: str) -> None:
    with crowd(platform) as site:
        posts = site.posts()
        there = listed(site)
    assert ids(posts) == there
    in_pages = [each for each in posts if each.media != "story"]
    assert listings(site) == -(-len(in_pages) // site.connector.posts_a_page) > 1


@each_platform
def test_two_readings_of_a_moment_ask_the_same_in_the_same_order_and_name_no_token(site: Make, platform: str) -> None:
    same = site(platform)
    asked = overheard(same)
    known = same.known()
    keys = [request.key for request in asked]
    assert same.known() == known
    assert [request.key for request in asked] == keys * 2
    assert same.keys.current() not in str(asked)


@each_platform
def test_an_empty_page_is_not_the_last_one(platform: str) -> None:
    listing, asked = LISTINGS[platform], list[str]()

    def without_posts(body: Any) -> None:
        asked.append("")
        for holder, name in places(body, listing.items) if len(asked) == 1 else ():
            holder[name] = []

    with crowd(platform) as site:
        assert (
            ids(edited(site, in_json(listing.address, without_posts)).posts())
            == (listed(site)[site.connector.posts_a_page :])
        )
    assert len(asked) == listings(site) > 1


@each_platform
def test_an_account_without_posts_is_empty_and_no_error(site: Make, sandbox: Sandbox, platform: str) -> None:
    empty = site(platform)
    sandbox.clock.instant = BEGINNING
    assert empty.posts() == []
    before = sandbox.requests.total()
    assert empty.metrics([]) == {}
    assert (sandbox.requests.total(), empty.slept) == (before, [])


@each_platform
def test_a_token_that_comes_back_ends_the_listing(site: Make, sandbox: Sandbox, platform: str) -> None:
    circle, asked = site(platform), list[str]()

    def limit(request: Request, answer: Answer) -> Answer:
        asked.extend([request.key] if request.url.endswith(LISTINGS[platform].address) else [])
        assert len(asked) <= 2  # else it would never end
        return answer

    sandbox.set_fault(circle.account, "repeated_page")
    with pytest.raises(Unavailable, match="never end"):
        edited(circle, limit).posts()
    assert asked
    assert circle.slept == []  # the page itself was good: there is nothing to try again


@RENEWED.having
def test_a_token_that_expires_between_two_pages_is_renewed_once(platform: str) -> None:
    def expire(request: Request, answer: Answer) -> Answer:
        if request.url.endswith(LISTINGS[platform].address) and site.keys.renewed == 0:
            site.sandbox.set_fault(site.account, "expired_token")
        return answer

    with crowd(platform) as site:
        before, reading = site.keys.current(), edited(site, expire).reading()
        assert ids(site.posts(reading)) == listed(site)
    assert site.keys.renewed == 1
    assert site.keys.current() != before
    assert (reading.caller.usage.retries, site.slept) == (1, [])


@RENEWED.having
def test_a_token_that_is_refused_as_soon_as_it_was_given_needs_the_person(site: Make, platform: str) -> None:
    broken = site(platform)
    renewal, sandbox = broken.keys.renewal, broken.sandbox

    def spoiled(tokens: Tokens) -> Tokens:
        fresh = renewal(tokens)
        sandbox.tokens.expire(broken.account)
        return fresh

    broken.keys.renewal = spoiled
    sandbox.set_fault(broken.account, "expired_token")
    with pytest.raises(Disconnected, match="connect the site again"):
        broken.posts()
    assert broken.keys.renewed == 1


@RENEWED.lacking
def test_an_expired_token_that_cannot_be_renewed_needs_the_person(site: Make, sandbox: Sandbox, platform: str) -> None:
    late = site(platform)
    sandbox.set_fault(late.account, "expired_token")
    with pytest.raises(Disconnected, match="connect the site again"):
        late.posts()
    assert (late.keys.renewed, late.slept) == (0, [])
    sandbox.clock.instant += timedelta(days=61)  # by its own date too: then nothing is asked
    with pytest.raises(Disconnected, match="has expired and cannot be extended"):
        late.keys.renew(late.keys.current())


@each_platform
def test_a_token_is_renewed_ahead_of_its_end(site: Make, sandbox: Sandbox, platform: str) -> None:
    early = site(platform)
    old, end = early.keys.tokens, early.keys.tokens.expires_at
    assert end is not None
    assert not early.connector.renew_before(old, NOW)
    sandbox.clock.instant = end - timedelta(minutes=1)
    assert early.connector.renew_before(old, sandbox.now)
    early.keys.renew(old.access)
    new = early.keys.tokens
    assert new.access != old.access
    assert new.expires_at is not None
    assert abs(new.expires_at - sandbox.now - (end - NOW)) <= timedelta(seconds=1)  # a whole life anew
    assert ids(early.posts()) == listed(early)


@each_platform
def test_a_grant_that_was_revoked_needs_the_person(site: Make, sandbox: Sandbox, platform: str) -> None:
    lost = site(platform)
    sandbox.set_fault(lost.account, "revoked_token")
    with pytest.raises(Disconnected, match=r"[Cc]onnect the site again|not authorized"):
        lost.posts()
    assert (lost.keys.renewed, lost.slept, sandbox.requests.total()) == (0, [], 0)


@each_platform
def test_a_missing_permission_is_told_with_the_remedy_and_not_tried_again(
    site: Make, sandbox: Sandbox, platform: str
) -> None:
    denied = site(platform)
    sandbox.set_fault(denied.account, "forbidden")
    reading = denied.reading()
    with pytest.raises(AccessDenied, match="connect the site again"):
        denied.posts(reading)
    assert (reading.caller.usage.retries, denied.slept, denied.keys.renewed) == (0, [], 0)


KINDS = [(platform, kind) for platform, kinds in facts.FORBIDDEN.items() for kind in kinds]


@pytest.mark.parametrize(("platform", "kind"), KINDS)
def test_each_kind_of_403_is_its_own_error(site: Make, platform: str, kind: str) -> None:
    answer, error = facts.FORBIDDEN[platform][kind]
    with pytest.raises(error) as raised:
        edited(site(platform), lambda _, __: answer).posts()
    assert raised.type is error


@FORBIDDEN.lacking
def test_a_missing_permission_comes_with_http_200_where_there_is_no_403(
    site: Make, sandbox: Sandbox, platform: str
) -> None:
    denied, statuses = site(platform), set[int]()

    def note(_: Request, answer: Answer) -> Answer:
        statuses.add(answer.status)
        return answer

    sandbox.set_fault(denied.account, "forbidden")
    with pytest.raises(AccessDenied):
        edited(denied, note).posts()
    assert statuses == {200}


@POORER.having
def test_denied_insights_cost_their_own_counters_and_the_reason_is_kept(site: Make, platform: str) -> None:
    denied, (refusal, _) = site(platform), next(iter(facts.FORBIDDEN[platform].values()))
    posts = denied.posts()

    def deny(request: Request, answer: Answer) -> Answer:
        if request.method == "GET":
            return refusal
        # Of a batch each part is denied.
        return replace(answer, text=json.dumps([{"code": 403, "body": refusal.text}] * len(answer.json())))

    records = edited(denied, deny).metrics(posts)
    assert records
    for record in records.values():
        assert not {"lifetime_earnings", "views", "profile_visits"} & set(record.values)
        assert record.raw["unavailable"]


@POORER.lacking
def test_denied_insights_end_the_reading_where_they_are_all(site: Make, sandbox: Sandbox, platform: str) -> None:
    denied = site(platform)
    posts = denied.posts()
    sandbox.set_fault(denied.account, "forbidden")
    if POORER.absent[platform] is LISTED:
        assert denied.metrics(posts) == {}
        assert all(post.values["views"] for post in posts)
    else:
        with pytest.raises(AccessDenied, match="connect the site again"):
            denied.metrics(posts)


@each_platform
def test_the_listing_of_an_account_that_is_not_there_is_no_empty_one(site: Make, platform: str) -> None:
    wrong = site(platform)
    with pytest.raises(CgError) as raised:
        wrong.posts(wrong.reading(platform_id="UC1"))
    assert raised.type is facts.NO_SUCH_ACCOUNT[platform]


def last_deleted(site: Site) -> Post:
    """The post of the account that was deleted; the time is just before that."""
    post = next(each for each in site.sandbox.world.deletions if each.account == site.account)
    assert post.deleted_at is not None
    site.sandbox.clock.instant = post.deleted_at - timedelta(seconds=1)
    return post


@GONE.having
def test_a_lookup_tells_a_deleted_post_from_one_that_is_there(site: Make, platform: str) -> None:
    asking = site(platform)
    post, there = last_deleted(asking), asking.posts()
    assert post.native_id in ids(there)
    asking.sandbox.clock.instant = NOW
    wanted = [each.native_id for each in there[-2:]]
    answer = asking.connector.lookup(asking.reading(), [post.native_id, *wanted])
    assert (sorted(ids(list(answer.found))), set(answer.gone)) == (sorted(wanted), {post.native_id})


@GONE.lacking
def test_a_lookup_leaves_a_deleted_post_unknown_where_nothing_proves_it(site: Make, platform: str) -> None:
    asking = site(platform)
    post, there = last_deleted(asking), asking.posts()
    asking.sandbox.clock.instant = NOW
    answer = asking.connector.lookup(asking.reading(), [post.native_id, there[-1].native_id])
    assert (ids(list(answer.found)), answer.gone) == ([there[-1].native_id], frozenset())


@APART.having
def test_a_post_that_went_between_listing_and_counters_is_skipped_and_the_others_land(
    site: Make, platform: str
) -> None:
    asking = site(platform)
    post, posts = last_deleted(asking), asking.posts()
    before = set(asking.metrics(posts))
    assert post.native_id in before
    asking.sandbox.clock.instant += timedelta(seconds=2)
    assert set(asking.metrics(posts)) == before - {post.native_id}


@APART.lacking
def test_nothing_more_is_asked_where_the_listing_has_all_counters(site: Make, sandbox: Sandbox, platform: str) -> None:
    asking = site(platform)
    posts = asking.posts()
    assert all(post.values["views"] for post in posts)
    before = sandbox.requests.total()
    assert asking.metrics(posts) == {}
    assert sandbox.requests.total() == before
