"""What only Threads does: reposts of others, three kinds of sharing, tokens that are extended and never refreshed."""

from collections.abc import Callable
from datetime import timedelta

from cg_pipeline.sandbox.server import Sandbox
from cg_pipeline_tests.contract.readings import Site


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
