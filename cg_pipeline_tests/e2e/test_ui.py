"""Dagster's UI over the demo, used as a data engineer does, in headless Chromium.

CG_SCREENSHOTS names a folder for pictures of what was seen.
"""

import os
import re
import shutil
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from cg_pipeline_tests.conftest import SCREENSHOTS
from cg_pipeline_tests.e2e.conftest import Up, running

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
]

PATIENCE = 60_000  # milliseconds: continuous integration may be slow
expect.set_options(timeout=PATIENCE)

ASSETS = """{
  assetNodes {
    assetKey { path } groupName dependencyKeys { path } assetMaterializations(limit: 1) { runId }
    partitionDefinition { description }
    partitionKeyConnection(limit: 1, ascending: false) { results }
    assetPartitionStatuses { ... on TimePartitionStatuses { ranges { endKey status } } }
  }
}"""
LAUNCH = """mutation ($assets: [AssetKeyInput!]!, $partition: String!) {
  launchRun(executionParams: {
    selector: {
      repositoryLocationName: "cg_pipeline", repositoryName: "__repository__", jobName: "__ASSET_JOB",
      assetSelection: $assets
    }
    executionMetadata: {tags: [{key: "dagster/partition", value: $partition}]}
  }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}"""
RUNS = "{ runsOrError { ... on Runs { results { runId status assetSelection { path } } } } }"
BACKFILLS = """{
  partitionBackfillsOrError { ... on PartitionBackfills { results { status numPartitions assetSelection { path } } } }
}"""
CHECKS = """query ($asset: AssetKeyInput!) {
  assetNodeOrError(assetKey: $asset) { ... on AssetNode { assetChecksOrError { ... on AssetChecks { checks {
    name blocking executionForLatestMaterialization { status evaluation { success } }
  } } } } }
}"""
BOXES = """() => [...document.querySelectorAll("foreignObject")]
  .map(box => [box.textContent, box.getBoundingClientRect().x])"""


@pytest.fixture(scope="module")
def up(demo_home: Path) -> Iterator[Up]:
    """The demo once more, with the platforms that it simulates; it lives on its last day."""
    with running(demo_home.parent, "demo", "--ui", BROWSER="true") as up:
        yield up


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def page(up: Up, browser: Browser) -> Iterator[Page]:
    """An empty page; whatever it loads must load without an error."""
    errors: list[str] = []
    page = browser.new_page(base_url=up.address, viewport={"width": 1600, "height": 1000})
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("response", lambda response: errors.append(response.url) if response.status >= 400 else None)
    yield page
    page.close()
    assert errors == []


def shoot(page: Page, name: str) -> None:
    if folder := os.environ.get(SCREENSHOTS):
        page.screenshot(path=f"{folder}/{name}.png")


def assets(up: Up) -> dict[str, dict[str, Any]]:
    return {"/".join(node["assetKey"]["path"]): node for node in up.ask(ASSETS)["assetNodes"]}


def a_partition(node: dict[str, Any]) -> str:
    """The newest that is materialised, or else the newest."""
    filled = [each["endKey"] for each in node["assetPartitionStatuses"]["ranges"] if each["status"] == "MATERIALIZED"]
    return str(max(filled, default=None) or node["partitionKeyConnection"]["results"][0])


def a_window(node: dict[str, Any]) -> tuple[str, str]:
    """Which windows an asset has, and one of them: assets that have both in common go into one run."""
    return str(node["partitionDefinition"]["description"]), a_partition(node)


def launch_by_hand(page: Page, asset: str, partitions: str) -> None:
    """Materialize … on the asset's page, and what Dagster asks then."""
    page.goto(f"/assets/{asset}?view=partitions")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    text, confirm = dialog.locator("input[type=text]").first, dialog.get_by_role("button", name="Confirm")
    expect(text.or_(confirm)).to_be_visible()
    if confirm.is_visible():  # something upstream, such as a platform that is not connected, was never materialised
        confirm.click()
    expect(text).to_be_visible()
    if (everything := dialog.get_by_role("button", name="Show all partitions")).is_visible():
        everything.click()
    text.fill(partitions)
    text.press("Enter")
    shoot(page, f"launch_{asset.replace('/', '_')}")
    dialog.get_by_role("button", name="Launch").click()
    expect(dialog).to_be_hidden()


def statuses(up: Up) -> dict[str, str]:
    return {run["runId"]: run["status"] for run in up.ask(RUNS)["runsOrError"]["results"]}


def boxes(page: Page) -> dict[str, tuple[int, float]]:
    """The groups that the graph shows, each with its number of assets and where it begins from the left."""
    found = [(re.match(r"([a-z_]+)(\d+)", text), x) for text, x in page.evaluate(BOXES)]
    return {match[1]: (int(match[2]), x) for match, x in found if match}


def test_the_graph_shows_every_asset_after_what_it_depends_on(page: Page, up: Up) -> None:
    known = assets(up)
    page.goto("/asset-groups")
    expect(page.get_by_text("royalties").last).to_be_visible()
    up.wait_for(lambda: sum(count for count, _ in boxes(page).values()) == len(known), 60)
    shown = boxes(page)
    shoot(page, "graph_groups")
    for asset, node in known.items():
        for key in node["dependencyKeys"]:
            before, group = known["/".join(key["path"])]["groupName"], node["groupName"]
            assert before == group or shown[before][1] < shown[group][1], (before, asset)
    page.set_viewport_size({"width": 2600, "height": 3000})
    page.mouse.click(1500, 200)
    page.keyboard.press("Alt+KeyE")  # all groups opened
    expect(page.get_by_text(re.compile(r"[\d,]+ partitions")).first).to_be_visible()
    shoot(page, "graph")


def test_a_month_is_backfilled_and_every_asset_materialised(page: Page, up: Up) -> None:
    before = statuses(up)
    launch_by_hand(page, "deltas/daily", "[2026-03-01...2026-03-31]")
    launch_by_hand(page, "deltas/monthly", "2026-04-01")
    # A check is shown as that of the newest materialization only if none of an older one ends after it.
    up.wait_for(lambda: backfills(up) == [(31, "COMPLETED_SUCCESS")], 240)
    for (_, partition), group in groupby(sorted(assets(up).values(), key=a_window), key=a_window):
        keys = [{"path": node["assetKey"]["path"]} for node in group]
        launched = up.ask(LAUNCH, assets=keys, partition=partition)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched

    def new_runs() -> set[str]:
        return {status for run, status in statuses(up).items() if run not in before}

    up.wait_for(lambda: new_runs() <= {"SUCCESS", "FAILURE", "CANCELED"}, 240)
    assert new_runs() == {"SUCCESS"}
    filled_by = {asset: node["assetMaterializations"][0]["runId"] for asset, node in assets(up).items()}
    assert [asset for asset, run in filled_by.items() if run in before] == []
    page.goto("/runs")
    expect(page.get_by_text("31 partitions")).to_be_visible()
    shoot(page, "runs")


def backfills(up: Up) -> list[tuple[int, str]]:
    rows = up.ask(BACKFILLS)["partitionBackfillsOrError"]["results"]
    return [(row["numPartitions"], row["status"]) for row in rows]


def test_checks_are_shown_and_those_that_guard_money_have_passed(page: Page, up: Up) -> None:
    for asset in ("csv/snapshots", "deltas/daily", "deltas/monthly", "royalties/accruals"):
        found = up.ask(CHECKS, asset={"path": asset.split("/")})["assetNodeOrError"]["assetChecksOrError"]["checks"]
        passed = {check["name"]: check["executionForLatestMaterialization"]["evaluation"]["success"] for check in found}
        assert all(passed[check["name"]] for check in found if check["blocking"]), (asset, passed)
        assert any(check["blocking"] for check in found), asset
    page.goto("/assets/deltas/daily?view=checks")
    expect(page.get_by_text("This is a blocking asset check")).to_be_visible()
    expect(page.get_by_text("Passed").first).to_be_visible()
    shoot(page, "checks")


def test_a_partition_shows_what_was_computed(page: Page) -> None:
    page.goto("/assets/royalties/accruals?view=partitions&partition=2026-03-01")
    row = page.get_by_role("row").filter(has_text="Mira Okafor").filter(has_text="75.04")
    expect(row.last).to_be_visible()
    shoot(page, "accruals")
    page.goto("/assets/csv/snapshots?view=partitions&partition=2026-04-01")
    expect(page.get_by_text("Harbor Records").first).to_be_visible()
    shoot(page, "snapshots")
    page.goto("/assets/deltas/daily?view=overview")
    expect(page.get_by_text("opening balance").first).to_be_visible()
    shoot(page, "deltas")
