"""What only Threads does: reposts of others, three kinds of sharing, tokens that are extended and never refreshed."""

from collections.abc import Callable
from datetime import timedelta

from cg_pipeline.platforms.http import Answer, Request
from cg_pipeline.sandbox.server import Sandbox
from cg_pipeline_tests.contract.answers import edited
from cg_pipeline_tests.contract.readings import Site

NOT_THERE = Answer(400, {}, '{"error": {"message": "The media does not exist", "code": 24, "error_subcode": 2207006}}')
DENIED = Answer(403, {}, '{"error": {"message": "Application does not have permission", "code": 10}}')


def test_reposts_quotes_and_shares_add_up_to_shares(site: Callable[..., Site], sandbox: Sandbox) -> None:
    threads = site("threads")
    posts = threads.posts()
    metrics = threads.metrics(posts)
    for post in posts:
        there = sandbox.world.post(threads.account, post.native_id, sandbox.now)
        assert there is not None
        seen, values = sandbox.world.counters(there, sandbox.now), metrics[post.native_id].values
        assert values == {
            "views": seen.views, "reactions": seen.reactions, "comments": seen.comments, "shares": seen.shares
        }  # fmt: skip
        assert metrics[post.native_id].raw["reposts"] == seen.shares // 2


def test_a_token_is_extended_two_weeks_before_it_expires(site: Callable[..., Site], sandbox: Sandbox) -> None:
    threads = site("threads")
    tokens = threads.keys.tokens
    assert tokens.expires_at is not None
    assert not threads.connector.renew_before(tokens, tokens.expires_at - timedelta(days=15))
    assert threads.connector.renew_before(tokens, tokens.expires_at - timedelta(days=13))
    sandbox.clock.instant += timedelta(days=50)
    threads.keys.renew(tokens.access)
    assert threads.keys.tokens.expires_at == sandbox.now + timedelta(days=60)


def test_what_does_not_exist_is_gone_only_where_a_post_can_be_read(site: Callable[..., Site]) -> None:
    threads = site("threads")
    newest, *_, lost = [post.native_id for post in threads.posts()]
    hidden = {lost}

    def hide(request: Request, answer: Answer) -> Answer:
        return NOT_THERE if request.url.rpartition("/")[2] in hidden else answer

    edited(threads, hide)
    lookup = threads.connector.lookup(threads.reading(), [lost, newest])
    assert [post.native_id for post in lookup.found] == [newest]
    assert lookup.gone == {lost}
    assert threads.connector.lookup(threads.reading(), [lost]).gone == {lost}  # the newest can be read
    hidden.add(newest)
    assert threads.connector.lookup(threads.reading(), [lost]).gone == frozenset()


def test_the_account_and_its_posts_land_where_insights_are_denied(site: Callable[..., Site]) -> None:
    threads = site("threads")
    edited(threads, lambda request, answer: DENIED if "insights" in request.url else answer)
    account = threads.connector.account(threads.reading())
    assert (account.username, account.follower_count) == (threads.account.username, None)
    assert "permission" in account.raw["unavailable"]
    assert {post.native_id for post in threads.posts()} == set(threads.metrics(threads.posts()))
