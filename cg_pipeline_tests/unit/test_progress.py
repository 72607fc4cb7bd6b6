"""Progress: who hears what is reported, and who does not."""

from contextvars import copy_context

import pytest

from cg_pipeline.progress import listening, report


@pytest.fixture
def heard() -> list[tuple[str, int]]:
    return []


def test_a_report_that_nobody_hears_is_no_error() -> None:
    report("rows", 1)


def test_a_listener_hears_what_is_reported_in_its_block_and_nothing_else(heard: list[tuple[str, int]]) -> None:
    report("before", 1)
    with listening(lambda what, count: heard.append((what, count))):
        report("rows", 2)
        report("rows", 4)
    report("after", 5)
    assert heard == [("rows", 2), ("rows", 4)]


def test_an_inner_listener_takes_over_and_gives_back(heard: list[tuple[str, int]]) -> None:
    with listening(lambda what, count: heard.append((f"outer {what}", count))):
        with listening(lambda what, count: heard.append((f"inner {what}", count))):
            report("rows", 1)
        report("rows", 2)
    assert heard == [("inner rows", 1), ("outer rows", 2)]


def test_a_listener_that_does_not_insist_leaves_the_one_that_listens(heard: list[tuple[str, int]]) -> None:
    with (
        listening(lambda what, count: heard.append((f"terminal {what}", count))),
        listening(lambda what, count: heard.append((f"log {what}", count)), over=False),
    ):
        report("rows", 1)
    assert heard == [("terminal rows", 1)]


def test_a_listener_that_does_not_insist_hears_when_nobody_else_does(heard: list[tuple[str, int]]) -> None:
    with listening(lambda what, count: heard.append((what, count)), over=False):
        report("rows", 1)
    assert heard == [("rows", 1)]


def test_a_block_that_fails_stops_listening(heard: list[tuple[str, int]]) -> None:
    def fail() -> None:
        with listening(lambda what, count: heard.append((what, count))):
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    report("rows", 1)
    assert heard == []


def test_listening_in_one_context_is_not_heard_in_another(heard: list[tuple[str, int]]) -> None:
    elsewhere = copy_context()
    with listening(lambda what, count: heard.append((what, count))):
        elsewhere.run(report, "rows", 1)
    assert heard == []
