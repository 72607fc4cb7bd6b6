"""`cg webhook` on the demo's installation, whose events were processed by the demo's own daemon."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cg_pipeline.config import PLATFORMS
from cg_pipeline_tests.e2e.conftest import cg


@pytest.fixture(scope="module")
def events(demo_home: Path) -> list[dict[str, Any]]:
    done = cg(demo_home, "webhook", "list", "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_the_demo_has_processed_one_event_of_each_platform(events: list[dict[str, Any]]) -> None:
    assert sorted(event["platform"] for event in events) == sorted(PLATFORMS)
    assert {event["status"] for event in events} == {"processed"}


def test_events_are_listed_by_filters(demo_home: Path, events: list[dict[str, Any]]) -> None:
    done = cg(demo_home, "webhook", "list", "--platform", "threads", "--status", "processed", "--json")
    assert [event["platform"] for event in json.loads(done.stdout)] == ["threads"]
    assert "No such webhook event" in cg(demo_home, "webhook", "list", "--type", "nothing%").stdout
    assert "No such webhook event" in cg(demo_home, "webhook", "list", "--until", "2026-01-01").stdout
    unknown = cg(demo_home, "webhook", "list", "--site", "Nobody")
    assert (unknown.returncode, 'There is no site "Nobody"' in unknown.stderr) == (1, True)


def test_an_event_is_shown_with_its_payload_and_its_run(demo_home: Path, events: list[dict[str, Any]]) -> None:
    (facebook,) = (event for event in events if event["platform"] == "facebook")
    shown = json.loads(cg(demo_home, "webhook", "show", facebook["id"]).stdout)
    assert shown["payload"]["field"] == "feed"
    assert shown["run"].startswith("webhooks:facebook:")
    missing = cg(demo_home, "webhook", "show", str(uuid4()))
    assert (missing.returncode, "There is no webhook event" in missing.stderr) == (1, True)


def test_what_is_processed_is_neither_buried_nor_retried(demo_home: Path, events: list[dict[str, Any]]) -> None:
    buried = cg(demo_home, "webhook", "bury", events[0]["id"], "--reason", "a test")
    assert "It does not wait: nothing was changed." in buried.stdout
    assert "0 events are tried again." in cg(demo_home, "webhook", "retry", events[0]["id"]).stdout


def test_a_replay_says_which_events_it_means(demo_home: Path) -> None:
    refused = cg(demo_home, "webhook", "replay")
    assert (refused.returncode, "Say which events" in refused.stderr) == (2, True)
    assert "0 of 0 events" in cg(demo_home, "webhook", "replay", "--type", "nothing%").stdout


def test_a_secret_is_never_an_argument(demo_home: Path) -> None:
    refused = cg(demo_home, "webhook", "secret", "Waves Sounds")
    assert (refused.returncode, "The secret is missing" in refused.stderr) == (1, True)
