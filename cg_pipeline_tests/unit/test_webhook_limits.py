"""The rate limit of the webhook receiver."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from cg_pipeline.webhooks.limits import TokenBucket


@dataclass
class Watch:
    """Seconds that pass when a test says so."""

    seconds: float = 0

    def __call__(self) -> float:
        return self.seconds


def test_the_requests_of_one_second_may_come_at_once_and_no_more() -> None:
    bucket = TokenBucket(3, Watch())
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 1]


def test_time_lets_further_requests_pass() -> None:
    watch = Watch()
    bucket = TokenBucket(2, watch)
    assert [bucket.take() for _ in range(3)] == [0, 0, 1]
    watch.seconds += 0.5
    assert [bucket.take() for _ in range(2)] == [0, 1]


def test_a_long_pause_saves_no_more_than_one_second() -> None:
    watch = Watch()
    bucket = TokenBucket(2, watch)
    watch.seconds += 3600
    assert [bucket.take() for _ in range(3)] == [0, 0, 1]


@given(st.integers(1, 50), st.lists(st.floats(0, 3), max_size=200))
def test_never_more_pass_than_the_rate_and_one_burst_and_who_waits_as_told_passes(
    rate: int, pauses: list[float]
) -> None:
    watch = Watch()
    bucket = TokenBucket(rate, watch)
    passed = 0
    for pause in pauses:
        watch.seconds += pause
        passed += not bucket.take()
        assert passed <= rate * (1 + watch.seconds) + 1e-6
    if wait := bucket.take():
        watch.seconds += wait + 1e-6
        assert not bucket.take()
