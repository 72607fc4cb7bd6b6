"""Which runs a batch of webhook events asks for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from cg_pipeline.config import PLATFORMS
from cg_pipeline.webhooks.planning import MOST_RUNS, Rerun, WaitingEvent, plan_reruns, why_idle

NOW = datetime(2026, 4, 5, 12, tzinfo=UTC)
SITE = UUID(int=7)

events = st.builds(
    WaitingEvent,
    id=st.uuids(),
    platform=st.sampled_from(PLATFORMS),
    site_id=st.uuids(),
    post_id=st.none() | st.sampled_from(["a", "b", "c"]),
    attempts=st.integers(0, 7),
    received_at=st.datetimes(datetime(2026, 4, 1), datetime(2026, 4, 9), timezones=st.just(UTC)),  # noqa: DTZ001
)
batches = st.lists(events, max_size=60, unique_by=lambda event: event.id)


def waiting(number: int, platform: str = "threads", attempts: int = 0, minutes: int = 5) -> WaitingEvent:
    return WaitingEvent(UUID(int=number), platform, SITE, f"p{number}", attempts, NOW - timedelta(minutes=minutes))


@given(batches)
def test_every_event_that_is_due_is_in_exactly_one_run(batch: list[WaitingEvent]) -> None:
    planned = [each for rerun in plan_reruns(batch, NOW) for each in rerun.events]
    assert sorted(planned) == sorted(event.id for event in batch if event.received_at <= NOW)


@given(batches)
def test_there_are_never_more_runs_than_two_for_each_platform(batch: list[WaitingEvent]) -> None:
    reruns = plan_reruns(batch, NOW)
    assert len(reruns) <= 2 * len({event.platform for event in batch}) <= MOST_RUNS
    assert len({rerun.key for rerun in reruns}) == len(reruns)


@given(batches)
def test_a_run_is_about_one_platform_and_events_that_failed_run_apart_from_new_ones(batch: list[WaitingEvent]) -> None:
    known = {event.id: event for event in batch}
    for rerun in plan_reruns(batch, NOW):
        of_run = [known[each] for each in rerun.events]
        assert {event.platform for event in of_run} == {rerun.platform}
        assert len({event.attempts > 0 for event in of_run}) == 1
        assert rerun.attempt == 1 + max(event.attempts for event in of_run)


@given(batches, st.randoms(use_true_random=False))
def test_the_order_in_which_events_are_given_changes_nothing(batch: list[WaitingEvent], chance: Random) -> None:
    shuffled = chance.sample(batch, len(batch))
    assert plan_reruns(shuffled, NOW) == plan_reruns(batch, NOW)


def test_the_platform_with_the_oldest_event_comes_first_and_the_rest_waits_beyond_the_limit() -> None:
    batch = [waiting(1, "youtube", minutes=1), waiting(2, "threads", minutes=9), waiting(3, "tiktok", minutes=5)]
    assert [rerun.platform for rerun in plan_reruns(batch, NOW)] == ["threads", "tiktok", "youtube"]
    assert [rerun.platform for rerun in plan_reruns(batch, NOW, at_most=2)] == ["threads", "tiktok"]


def test_the_same_events_have_the_same_key_at_the_same_attempt_only() -> None:
    (first,) = plan_reruns([waiting(1, attempts=1), waiting(2, attempts=1)], NOW)
    (again,) = plan_reruns([waiting(2, attempts=1), waiting(1, attempts=1)], NOW)
    (later,) = plan_reruns([waiting(1, attempts=2), waiting(2, attempts=1)], NOW)
    (other,) = plan_reruns([waiting(1, attempts=1), waiting(3, attempts=1)], NOW)
    assert first == again
    assert len({first.key, later.key, other.key}) == 3
    assert first.key.endswith(":2")


def test_a_key_fits_into_an_index_however_many_events_it_stands_for() -> None:
    (rerun,) = plan_reruns([waiting(number) for number in range(5000)], NOW)
    assert len(rerun.key) < 60
    assert rerun == Rerun(rerun.key, "threads", 1, tuple(UUID(int=number) for number in range(5000)))


def test_an_event_of_the_future_waits_for_its_time() -> None:
    coming = replace(waiting(1), received_at=NOW + timedelta(seconds=1))
    assert plan_reruns([coming], NOW) == []
    assert len(plan_reruns([coming], NOW + timedelta(seconds=1))) == 1


def test_a_tick_without_runs_tells_the_backlog_and_the_age_of_the_oldest() -> None:
    assert why_idle(0, 0, None) == "No webhook event waits."
    assert why_idle(3, 2, 61.4) == (
        "3 webhook events wait for their turn, their next attempt or a paused site, 2 are with a run; "
        "the oldest has waited for 61 s."
    )
    assert why_idle(0, 2, None).endswith("2 are with a run.")
