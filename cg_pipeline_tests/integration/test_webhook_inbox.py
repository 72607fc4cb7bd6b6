"""The inbox of webhook events: claims, leases, attempts, and the order of what is about one post."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline.warehouse.models import WebhookEvent
from cg_pipeline.warehouse.models.webhooks import backoff
from cg_pipeline.webhooks import desk, inbox
from cg_pipeline.webhooks.desk import Filter
from cg_pipeline_tests.integration.events import states, statuses, store
from cg_pipeline_tests.integration.studio import NOON

LEASE = timedelta(minutes=15)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def warehouse(warehouse: Warehouse) -> Warehouse:
    """A warehouse with two connected sites of one platform and one of another, and one that is not connected."""
    with warehouse.connect() as connection:
        connection.execute("""
            insert into sites (name, platform, platform_id, platform_username, access_token)
            values ('One', 'threads', 't1', 'one', 'x'), ('Two', 'threads', 't2', 'two', 'x'),
                   ('Three', 'twitter', 'x1', 'three', 'x'), ('Four', 'threads', 't4', 'four', null)""")
    return warehouse


def claim(warehouse: Warehouse, now: datetime = NOON) -> inbox.Tick:
    return inbox.claim(warehouse, now, LEASE)


def keys(tick: inbox.Tick) -> dict[UUID, str]:
    return {event: rerun.key for rerun in tick.reruns for event in rerun.events}


def test_a_tick_claims_what_waits_for_a_run_of_each_platform(warehouse: Warehouse) -> None:
    events = [store(warehouse, site, "p", NOON - MINUTE) for site in ("t1", "t2", "x1")]
    tick = claim(warehouse)
    assert [rerun.platform for rerun in tick.reruns] == ["threads", "twitter"]
    assert keys(tick).keys() == set(events)
    for event, row in states(warehouse).items():
        assert (row["status"], row["rerun_key"]) == ("claimed", keys(tick)[event])
        assert row["claimed_until"] == NOON + LEASE
    assert claim(warehouse).reruns == []


def test_two_ticks_at_once_share_the_events_between_them(warehouse: Warehouse) -> None:
    events = {store(warehouse, "t1", f"p{number}", NOON - MINUTE) for number in range(40)}
    with ThreadPoolExecutor(4) as pool:
        ticks = list(pool.map(lambda _: inbox.claim(warehouse, NOON, LEASE, most=10), range(4)))
    claimed = [event for tick in ticks for event in keys(tick)]
    assert len(claimed) == 40
    assert set(claimed) == events


def test_a_batch_is_bounded_and_takes_the_oldest(warehouse: Warehouse) -> None:
    old, older, new = (store(warehouse, "t1", f"p{age}", NOON - age * MINUTE) for age in (2, 3, 1))
    assert keys(inbox.claim(warehouse, NOON, LEASE, most=2)).keys() == {old, older}
    assert states(warehouse)[new]["status"] == "pending"


def test_events_of_paused_disconnected_and_unconnected_sites_wait(warehouse: Warehouse) -> None:
    for account in ("t1", "t2", "t4"):
        store(warehouse, account, "p", NOON - MINUTE)
    with warehouse.connect() as connection:
        connection.execute("update sites set sync_status = 'paused' where platform_id = 't1'")
        connection.execute("update sites set sync_status = 'disconnected' where platform_id = 't2'")
    assert claim(warehouse).reruns == []
    assert claim(warehouse).backlog == {"waiting": 3, "held": 0, "age_seconds": 60.0}
    with warehouse.connect() as connection:
        connection.execute("update sites set sync_status = 'active'")
    assert len(keys(claim(warehouse))) == 2


def test_a_later_event_of_a_post_waits_for_the_earlier_one_but_holds_up_no_other(warehouse: Warehouse) -> None:
    first = store(warehouse, "t1", "p", NOON - MINUTE)
    key = keys(claim(warehouse))[first]
    later, other = store(warehouse, "t1", "p", NOON), store(warehouse, "t1", "q", NOON)
    assert keys(claim(warehouse)).keys() == {other}

    inbox.fail(warehouse, key, [first], "the platform was away", NOON)
    assert keys(claim(warehouse)) == {}
    assert inbox.return_lost(warehouse, NOON + 2 * MINUTE)["due"] == 1
    assert keys(claim(warehouse, NOON + 2 * MINUTE)).keys() == {first, later}


def test_the_post_of_a_poison_event_is_free_once_it_is_dead(warehouse: Warehouse) -> None:
    poison = store(warehouse, "t1", "p", NOON - MINUTE)
    now = NOON
    for attempt in range(WebhookEvent.MAX_ATTEMPTS):
        key = keys(claim(warehouse, now))[poison]
        assert key.endswith(f":{attempt + 1}")
        inbox.fail(warehouse, key, [poison], "no good", now)
        now += timedelta(hours=2)
        inbox.return_lost(warehouse, now)
    row = states(warehouse)[poison]
    assert (row["status"], row["retry_count"], row["error_message"]) == ("dead", 8, "no good")
    after = store(warehouse, "t1", "p", NOON)
    assert keys(claim(warehouse, now)).keys() == {after}


def test_a_lease_that_ends_is_a_failed_attempt_and_the_last_of_them_leaves_the_event_dead(warehouse: Warehouse) -> None:
    event = store(warehouse, "t1", "p", NOON - MINUTE)
    now = NOON
    for _ in range(WebhookEvent.MAX_ATTEMPTS):
        assert keys(claim(warehouse, now)).keys() == {event}
        assert inbox.return_lost(warehouse, now + LEASE)["expired"] == 0
        now += LEASE + timedelta(seconds=1)
        returned = inbox.return_lost(warehouse, now)
        assert returned["expired"] == 1
        now += timedelta(hours=2)
        inbox.return_lost(warehouse, now)
    row = states(warehouse)[event]
    assert (row["status"], returned["died"]) == ("dead", 1)
    assert "ended without a word" in row["error_message"]


def test_a_run_that_lost_its_lease_settles_nothing(warehouse: Warehouse) -> None:
    event = store(warehouse, "t1", "p", NOON - MINUTE)
    zombie = keys(claim(warehouse))[event]
    late = NOON + LEASE + MINUTE
    inbox.return_lost(warehouse, late)
    inbox.return_lost(warehouse, late + 2 * MINUTE)
    heir = keys(claim(warehouse, late + 2 * MINUTE))[event]
    assert inbox.renew_leases(warehouse, zombie, late, LEASE) == []
    with warehouse.connect() as connection:
        assert inbox.settle(connection, zombie, [event], late) == 0
        assert inbox.settle(connection, heir, [event], late) == 1
        assert inbox.settle(connection, heir, [event], late) == 0
    inbox.fail(warehouse, zombie, [event], "too late", late)
    assert statuses(warehouse) == ["processed"]


def test_a_site_that_waits_for_its_quota_uses_up_no_attempts(warehouse: Warehouse) -> None:
    event = store(warehouse, "t1", "p", NOON - MINUTE)
    reset = NOON + timedelta(hours=9)
    with warehouse.connect() as connection:
        connection.execute("update sites set api_quota = 0, api_quota_reset = %s", (reset,))
    inbox.fail(warehouse, keys(claim(warehouse))[event], [event], "quota", NOON)
    row = states(warehouse)[event]
    assert (row["status"], row["retry_count"], row["attempt_at"]) == ("failed", 0, reset)


@pytest.mark.parametrize("failures", range(1, WebhookEvent.MAX_ATTEMPTS))
def test_the_database_and_the_model_wait_equally_long(warehouse: Warehouse, failures: int) -> None:
    event = store(warehouse, "t1", "p", NOON - MINUTE)
    with warehouse.connect() as connection:
        connection.execute("update webhook_events set retry_count = %s", (failures - 1,))
    inbox.fail(warehouse, keys(claim(warehouse))[event], [event], "no", NOON)
    wait = states(warehouse)[event]["attempt_at"] - NOON
    assert backoff(failures) <= wait <= backoff(failures) * 1.25


def test_a_grant_that_is_gone_pauses_its_site_and_is_done_with_it(warehouse: Warehouse) -> None:
    store(warehouse, "t1", None, NOON - MINUTE, action="pause")
    assert claim(warehouse).paused == [{"name": "One", "platform": "threads"}]
    assert statuses(warehouse) == ["processed"]
    with warehouse.connect() as connection:
        paused = connection.execute("select name from sites where sync_status = 'paused'").fetchall()
    assert paused == [{"name": "One"}]
    assert claim(warehouse).paused == []


def test_a_replay_sets_processed_and_ignored_events_back_so_many_a_minute_and_is_audited(warehouse: Warehouse) -> None:
    events = [store(warehouse, "t1", f"p{number}", NOON - MINUTE) for number in range(5)]
    key = keys(claim(warehouse))[events[0]]
    with warehouse.connect() as connection:
        inbox.settle(connection, key, events, NOON)
        found = [row["id"] for row in desk.find(connection, Filter(status="processed"), 100)]
        assert desk.replay(connection, found, 2, NOON) == 5
    rows = sorted(states(warehouse).values(), key=lambda row: row["attempt_at"])
    assert [row["attempt_at"] - NOON for row in rows] == [timedelta(seconds=30 * number) for number in range(5)]
    assert len(keys(claim(warehouse))) == 1
    assert len(keys(claim(warehouse, NOON + MINUTE))) == 2
    with warehouse.connect() as connection:
        audited = connection.execute("select action, entity_id from audit_logs").fetchall()
    assert {row["action"] for row in audited} == {"webhook.replay"}
    assert {row["entity_id"] for row in audited} == {str(event) for event in events}


def test_an_event_that_came_before_its_site_was_added_finds_it_when_it_is_replayed(warehouse: Warehouse) -> None:
    with warehouse.connect() as connection:
        connection.execute("""
            insert into webhook_events
                (platform, event_type, event_data, fingerprint, account, post_id, action, status, error_message)
            values ('threads', 'publish', '{}', 'f', 'FOUR', 'threads_1', 'refresh', 'ignored', 'no site of ours'),
                   ('threads', 'publish', '{}', 'g', 'nobody', 'threads_2', 'refresh', 'ignored', 'no site of ours'),
                   ('threads', 'mentions', '{}', 'h', 'four', null, null, 'ignored', 'unknown field')""")
        ignored = [row["id"] for row in desk.find(connection, Filter(status="ignored"), 10)]
        assert desk.replay(connection, ignored, 60, NOON) == 1
        (row,) = desk.find(connection, Filter(status="pending"), 10)
    assert (row["site"], row["post_id"]) == ("Four", "threads_1")


def test_what_is_buried_is_dead_with_its_reason_and_a_retry_brings_it_back(warehouse: Warehouse) -> None:
    event = store(warehouse, "t1", "p", NOON - MINUTE)
    with warehouse.connect() as connection:
        assert desk.retry(connection, [event], NOON) == 0
        assert desk.bury(connection, [event], "test data", NOON) == 1
        assert desk.bury(connection, [event], "test data", NOON) == 0
        assert desk.show(connection, event)["message"] == "Buried: test data"
    assert claim(warehouse).reruns == []
    with warehouse.connect() as connection:
        assert desk.retry(connection, [event], NOON) == 1
    assert keys(claim(warehouse)).keys() == {event}


def test_events_are_found_by_platform_site_type_and_time(warehouse: Warehouse) -> None:
    first, second = store(warehouse, "t1", "p", NOON), store(warehouse, "x1", "q", NOON + MINUTE)
    with warehouse.connect() as connection:

        def find(**values: object) -> list[UUID]:
            return [row["id"] for row in desk.find(connection, Filter(**values), 10)]  # type: ignore[arg-type]

        assert find() == [second, first]
        assert find(platform="threads") == [first]
        assert find(site=states(warehouse)[second]["site_id"]) == [second]
        assert find(type="te%") == [second, first]
        assert find(type="other") == []
        assert find(since=NOON + MINUTE) == [second]
        assert find(until=NOON + MINUTE) == [first]
        assert find(id=first) == [first]


def test_fingerprints_are_forgotten_after_their_time(warehouse: Warehouse) -> None:
    with warehouse.connect() as connection:
        connection.execute(
            "insert into webhook_fingerprints values ('old', gen_random_uuid(), %s), ('new', gen_random_uuid(), %s)",
            (NOON - timedelta(days=91), NOON),
        )
    assert inbox.forget_fingerprints(warehouse, NOON - timedelta(days=90)) == 1
