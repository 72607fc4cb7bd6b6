"""One suite over all connectors: what answers that are late, broken, poorer or richer than expected do to a reading,
over real HTTP on loopback. What only one platform does is in the test module of that platform.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from cg_pipeline.config import PLATFORMS
from cg_pipeline.errors import Throttled, Unavailable
from cg_pipeline.platforms.http import TRIES, Answer
from cg_pipeline.platforms.records import PostRecord
from cg_pipeline.platforms.registry import Retired
from cg_pipeline.sandbox.server import Sandbox
from cg_pipeline_tests.contract import platform_facts as facts
from cg_pipeline_tests.contract.answers import drop, edited, fields, first, grow, in_json, places, put
from cg_pipeline_tests.contract.platform_facts import LISTINGS, Case, each_platform
from cg_pipeline_tests.contract.readings import NOW, Site

Make = Callable[..., Site]
MINUTES = "It tells delays in whole minutes: the shortest is longer than any pause that is slept through."
SHORT = Case(dict.fromkeys(("facebook", "instagram", "threads"), MINUTES))


def facts_of(site: Site) -> dict[str, dict[str, Any]]:
    """All attributes and values that one reading gives, by post."""
    posts = site.posts()
    told: dict[str, dict[str, Any]] = {post.native_id: {**post.attributes, **post.values} for post in posts}
    for native_id, record in site.metrics(posts).items():
        told[native_id] |= record.values
    return told


def everything(site: Site, posts: list[PostRecord]) -> None:
    """All that is asked in a reading; of these posts, whatever the listing gives."""
    site.connector.account(site.reading())
    site.posts()
    site.metrics(posts)


def test_every_table_has_every_platform_or_the_reason_why_not() -> None:
    tables = (facts.FOLLOWERS, facts.RETIRED, facts.ENUMS, facts.LONG_DELAYS, facts.SILENT)
    for table in (*tables, {platform for platform, *_ in facts.MISSING}):
        assert set(table) == set(PLATFORMS)
    assert set(facts.SHORT_DELAYS) == set(PLATFORMS) - set(SHORT.absent)


@each_platform
def test_a_long_delay_is_told_and_not_slept_through(site: Make, sandbox: Sandbox, platform: str) -> None:
    slow, (seconds, delay) = site(platform), facts.LONG_DELAYS[platform]
    sandbox.set_fault(slow.account, "throttled", seconds=seconds)
    with pytest.raises(Throttled) as raised:
        slow.posts()
    assert (raised.value.retry_at, slow.slept) == (NOW + delay, [])
    assert sandbox.requests.total() == 1


@SHORT.having
def test_a_short_delay_is_slept_through(site: Make, sandbox: Sandbox, platform: str) -> None:
    slow, seconds = site(platform), facts.SHORT_DELAYS[platform]
    posts, reading = slow.posts(), slow.reading()
    sandbox.set_fault(slow.account, "throttled", times=1, seconds=seconds)
    assert slow.posts(reading) == posts
    assert slow.slept == [seconds + 0.5]  # with a little chance added, so that not all come back at once
    assert (reading.caller.usage.retries, reading.caller.usage.paused_seconds) == (1, seconds + 0.5)


@SHORT.lacking
def test_the_shortest_delay_is_a_minute_where_minutes_are_told(site: Make, sandbox: Sandbox, platform: str) -> None:
    slow = site(platform)
    sandbox.set_fault(slow.account, "throttled", times=1, seconds=2)
    with pytest.raises(Throttled) as raised:
        slow.posts()
    assert (raised.value.retry_at, slow.slept) == (NOW + timedelta(minutes=1), [])


@each_platform
def test_http_429_with_retry_after_is_heeded_whatever_else_it_says(site: Make, platform: str) -> None:
    slow, texts = site(platform), ("{}", "", "slow down", "<html>slow down</html>", '{"error": {"co')
    posts = slow.posts()
    for text in texts:
        assert first(slow, Answer(429, {"retry-after": "20"}, text)).posts() == posts
        with pytest.raises(Throttled) as raised:
            first(slow, Answer(429, {"retry-after": "Sun, 05 Apr 2026 12:15:00 GMT"}, text)).posts()
        assert raised.value.retry_at == NOW + timedelta(minutes=15)
    assert slow.slept == [20.5] * len(texts)


@each_platform
def test_a_wall_before_the_platform_is_tried_again_and_no_refusal(site: Make, platform: str) -> None:
    walled, wall = site(platform), Answer(403, {}, "<html>a wall</html>")
    posts = walled.posts()
    assert first(walled, wall, wall).posts() == posts
    assert walled.slept == facts.GROWING[:2]
    with pytest.raises(Unavailable, match="HTTP 403"):
        edited(walled, lambda _, __: wall).posts()


@pytest.mark.parametrize("change", [drop, partial(put, None)], ids=["missing", "null"])
@pytest.mark.parametrize(("platform", "address", "path"), facts.LISTS)
def test_an_answer_without_its_list_is_a_failed_read_and_no_empty_one(
    site: Make, platform: str, address: str, path: str, change: Callable[..., Callable[[Any], None]]
) -> None:
    broken = site(platform)
    posts = broken.posts()
    edited(broken, in_json(address, change(path)))
    with pytest.raises(Unavailable, match="not whole"):
        everything(broken, posts)


@each_platform
def test_a_list_that_is_empty_is_that_of_an_account_without_posts(site: Make, platform: str) -> None:
    empty, listing = site(platform), LISTINGS[platform]
    edited(empty, in_json(listing.address, put([], listing.items)))
    assert [post for post in empty.posts() if post.media != "story"] == []


@each_platform
def test_a_lookup_that_lacks_its_list_finds_nothing_gone(site: Make, platform: str) -> None:
    broken, listing = site(platform), LISTINGS[platform]
    edited(broken, in_json(listing.telling, drop(listing.items, "errors", "pageInfo")))
    with pytest.raises(Unavailable, match="not whole"):
        broken.connector.lookup(broken.reading(), ["7" * 19])


@each_platform
def test_a_limit_without_a_delay_is_paused_for_ever_longer_or_as_assumed(
    site: Make, sandbox: Sandbox, platform: str
) -> None:
    slow, (slept, delay) = site(platform), facts.SILENT[platform]
    sandbox.set_fault(slow.account, "throttled_silently")
    with pytest.raises(Throttled) as raised:
        slow.posts()
    assert slow.slept == slept
    assert raised.value.retry_at == (NOW + delay if delay else None)
    assert sandbox.requests.total() == len(slept) + 1


@pytest.mark.parametrize("fault", ["server_error", "truncated"])
@each_platform
def test_a_fault_that_passes_is_tried_again_and_changes_nothing(
    site: Make, sandbox: Sandbox, platform: str, fault: str
) -> None:
    faulty = site(platform)
    wanted, reading = faulty.known(), faulty.reading()
    sandbox.set_fault(faulty.account, fault, times=2)
    assert faulty.known(reading) == wanted
    assert (reading.caller.usage.retries, faulty.slept) == (2, facts.GROWING[:2])


@pytest.mark.parametrize(("fault", "said"), [("server_error", "HTTP 500"), ("truncated", "cut off")])
@each_platform
def test_a_fault_that_stays_ends_the_reading_after_the_last_try(
    site: Make, sandbox: Sandbox, platform: str, fault: str, said: str
) -> None:
    faulty = site(platform)
    sandbox.set_fault(faulty.account, fault)
    with pytest.raises(Unavailable, match=said):
        faulty.posts()
    assert (sandbox.requests.total(), faulty.slept) == (TRIES, facts.GROWING)


@pytest.mark.parametrize(("platform", "address", "path", "columns"), facts.MISSING)
def test_a_missing_field_is_unknown_and_costs_nothing_else(
    site: Make, platform: str, address: str, path: str, columns: tuple[str, ...]
) -> None:
    poor = site(platform)
    before = facts_of(poor)
    after = facts_of(edited(poor, in_json(address, drop(path))))
    assert set(after) == set(before)
    assert any(columns[0] in told for told in before.values())
    for native_id, told in before.items():
        left = after[native_id]
        assert columns[0] not in left
        assert told.keys() - left.keys() <= set(columns)
        assert {name: told[name] for name in left} == left


@each_platform
def test_null_in_a_post_is_as_unknown_as_what_is_missing_and_stays_in_raw(site: Make, platform: str) -> None:
    poor, listing = site(platform), LISTINGS[platform]
    raws = [{name: post.raw[name] for name in post.raw.keys() - {"video", "unavailable"}} for post in poor.posts()]
    known = fields(raws) - {f"*.{name}" for name in listing.always}
    assert len(known) > 10
    for path in (each.removeprefix("*.") for each in sorted(known)):
        paths = (f"{listing.items}.*.{path}", path)  # X tells of media beside the posts, under `includes`
        missing, null = (
            edited(poor, in_json(listing.telling, change(*paths))).posts(poor.reading(retired=Retired()))
            for change in (drop, partial(put, None))
        )
        assert [replace(post, raw={}) for post in null] == [replace(post, raw={}) for post in missing], path
        kept = [holder[name] for post in null if post.media != "story" for holder, name in places(post.raw, path)]
        assert path.startswith("includes") or (kept and not any(kept))
        assert set(poor.metrics(null)) <= {post.native_id for post in null}


@each_platform
def test_null_in_an_account_is_as_unknown_as_what_is_missing(site: Make, platform: str) -> None:
    poor = site(platform)
    known = fields(poor.connector.account(poor.reading()).raw) - {"id", "user_id"}
    assert len(known) > 4
    for path in known:
        paths = (path, f"data.{path}", f"items.*.{path}")
        found = []
        for change in (drop(*paths), put(None, *paths)):
            edited(poor, in_json("", change))
            found.append(replace(poor.connector.account(poor.reading()), raw={}))
        assert found[0] == found[1]


@each_platform
def test_posts_of_which_only_the_id_is_told_land_with_nothing_known(site: Make, platform: str) -> None:
    poor, listing = site(platform), LISTINGS[platform]

    def bare(body: Any) -> None:
        for holder, name in places(body, listing.items):
            holder[name] = [{each: item[each] for each in listing.always} for item in holder[name]]

    before = poor.posts()
    after = edited(poor, in_json(listing.telling, bare)).posts()
    assert [post.native_id for post in after] == [post.native_id for post in before]
    for old, post in zip(before, after, strict=True):
        assert post.values == {}
        assert post.published_at in {None, old.published_at}  # of an edited post the id tells
        assert not {"description", "duration"} & post.attributes.keys()
    assert set(poor.metrics(after)) <= {post.native_id for post in after}


@each_platform
def test_an_account_whose_followers_are_not_told_is_read_without_them(
    site: Make, sandbox: Sandbox, platform: str
) -> None:
    poor = site(platform)
    assert poor.connector.account(poor.reading()).follower_count == poor.account.followers(sandbox.now)
    edited(poor, in_json("", drop(facts.FOLLOWERS[platform])))
    account = poor.connector.account(poor.reading())
    assert (account.platform_id, account.follower_count) == (poor.account.platform_id, None)
    assert account.username == poor.account.username


@each_platform
def test_fields_that_nobody_knows_are_kept_and_change_nothing(site: Make, platform: str) -> None:
    rich = site(platform)
    posts, before = rich.posts(), facts_of(rich)
    account = rich.connector.account(rich.reading())
    edited(rich, in_json("", grow))
    assert facts_of(rich) == before
    more = rich.posts()
    assert [(post.native_id, post.media) for post in more] == [(post.native_id, post.media) for post in posts]
    assert all(post.raw["new_field"] == {"a": 1} for post in more)
    assert replace(rich.connector.account(rich.reading()), raw={}) == replace(account, raw={})


@each_platform
def test_a_type_that_nobody_knows_is_unknown_and_the_post_lands(site: Make, platform: str) -> None:
    new, (paths, lost) = site(platform), facts.ENUMS[platform]
    before = new.posts()
    after = edited(new, in_json(LISTINGS[platform].telling, put("HOLOGRAM", *paths))).posts()
    assert [post.native_id for post in after] == [post.native_id for post in before]
    changed = 0
    for old, post in zip(before, after, strict=True):
        # A post without anything attached is known as a text by that.
        assert post.attributes.get(lost) in {None, "Text"}
        changed += old.attributes.get(lost) != post.attributes.get(lost)
        same = ("description", "publish_time", "page_name")
        assert [post.attributes.get(name) for name in same] == [old.attributes.get(name) for name in same]
        assert post.values.get("reactions") == old.values.get("reactions")
        assert "HOLOGRAM" in str(post.raw) or post.attributes.get(lost) == "Text"
    assert changed > 0
    assert set(new.metrics(after)) == set(new.metrics(before))


@each_platform
def test_a_retired_metric_costs_its_own_column_and_is_met_once(site: Make, sandbox: Sandbox, platform: str) -> None:
    old, (name, column) = site(platform), facts.RETIRED[platform]
    before = old.known()
    calls = sandbox.requests.total()
    sandbox.set_fault(old.account, "retired_metric", name=name)
    wanted = {post: {each: told[each] for each in told if each != column} for post, told in before.items()}
    assert any(column in told for told in before.values())
    assert old.known() == wanted
    assert {metric for metric, _ in old.retired.new} == {name}
    assert all(old.retired.new.values())  # what the platform said
    sandbox.requests.clear()
    assert old.known() == wanted
    assert sandbox.requests.total() == calls


@each_platform
def test_hidden_counters_are_unknown_and_not_zero(site: Make, sandbox: Sandbox, platform: str) -> None:
    shy = site(platform)
    before = shy.known()
    sandbox.set_fault(shy.account, "hidden_counters")
    hidden = {"reactions", "comments"}
    assert any(hidden <= told.keys() for told in before.values())
    assert shy.known() == {
        post: {name: value for name, value in told.items() if name not in hidden} for post, told in before.items()
    }
