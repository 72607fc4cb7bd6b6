"""Backfills through Dagster's jobs, as the UI and `cg backfill` run them: ranges against days, bad days, interruptions,
corrections."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from cg_pipeline.capture import backfill
from cg_pipeline.capture.backfill import DUE, Plan, State, Wanted
from cg_pipeline.capture.csv_partition import load_day
from cg_pipeline.cli import backfill as command
from cg_pipeline.cli import context
from cg_pipeline.defs import csv, platforms, run
from cg_pipeline.errors import NotFound, Permanent
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.sandbox import exports
from cg_pipeline.sandbox.server import Sandbox
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline_tests.integration.installations import Installation, environment, over
from cg_pipeline_tests.integration.lab import EMPTY, examples
from cg_pipeline_tests.integration.tables import recompute_stale, row_versions, stored_tables
from cg_pipeline_tests.integration.test_dagster import checks, metadata

pytestmark = pytest.mark.slow

DAYS = exports.days()
SPAN = [exports.FIRST_DAY + timedelta(days=number) for number in range(11)]
FACEBOOK = [post for post in exports.POSTS if post.page.platform == "facebook"]
Files = dict[str, bytes]

one_file = st.builds(
    exports.facebook,
    st.lists(st.sampled_from(FACEBOOK), min_size=1, max_size=4, unique_by=lambda post: post.post_id),
    st.sampled_from(DAYS),
    lost_share=st.sampled_from([0, 0, 6]),
)
histories = st.dictionaries(
    st.sampled_from(SPAN), st.lists(one_file, min_size=1, max_size=2), min_size=2, max_size=len(SPAN)
)


def planned(installation: Installation, states: frozenset[State] = DUE) -> Plan:
    pipeline = installation.pipeline
    wanted = Wanted("csv", SPAN[0], SPAN[-1], states=states)
    return backfill.plan(pipeline.platforms, pipeline.inbox, wanted)


def lay_out(installation: Installation, history: dict[date, Files]) -> None:
    """The inbox holds this history and nothing else."""
    for old in (installation.home / "inbox").glob("*/*"):
        old.unlink()
    for day, files in history.items():
        installation.lay(day, files)


def apply(installation: Installation) -> list[str]:
    """Bring what is due, and return the runs, those of what it makes stale included."""
    runs = planned(installation).runs
    for each in runs:
        run.backfill(each)
    return [*map(str, runs), *map(str, run.refresh_stale(installation.pipeline))]


def test_ranges_build_the_tables_that_single_days_build(
    installation: Installation, make_warehouse: Callable[[], Warehouse]
) -> None:
    by_day, pipeline = make_warehouse(), installation.pipeline

    @examples(3)
    @given(histories)
    def check(drawn: dict[date, list[bytes]]) -> None:
        for warehouse in (pipeline.warehouse, by_day):
            with warehouse.connect() as connection:
                connection.execute(EMPTY)
        history = {day: {f"{number}.csv": text for number, text in enumerate(texts)} for day, texts in drawn.items()}
        lay_out(installation, history)
        runs = apply(installation)
        for day in sorted(history):
            load_day(by_day, pipeline.inbox, day, pipeline.settings, pipeline.clock)
            recompute_stale(by_day, pipeline.settings.timezone, pipeline.clock)
        built = stored_tables(pipeline.warehouse)
        assert built == stored_tables(by_day)
        assert built["deltas"]
        assert len([name for name in runs if name.startswith("daily")]) <= len(history)
        assert {day.state for day in planned(installation).days} <= {State.CAPTURED, State.IMPOSSIBLE}

    check()


def test_a_correction_of_one_old_day_reruns_its_windows_only(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    corrected = exports.CORRECTED_DAY
    installation.add_channel()
    for day in DAYS:
        installation.lay(day, exports.exports(day, wrong=day == corrected))
    apply(installation)
    before, ran = row_versions(installation.pipeline.warehouse), len(instance.get_runs())
    assert apply(installation) == []
    installation.lay(corrected, modified=1_780_000_000)
    assert apply(installation) == [
        "csv 2026-03-30",
        "daily 2026-03-30 to 2026-03-31",
        "weekly 2026-03-30",
        "monthly 2026-03-01",
        "quarterly 2026-01-01",
        "royalty 2026-03-01",
    ]
    assert len(instance.get_runs()) == ran + 6
    after = row_versions(installation.pipeline.warehouse)
    assert {key[-10:] for key in rewritten(before, after, "snapshots")} == {"2026-03-30"}
    windows = {key.partition("_")[2].lstrip("0123456789") for key in rewritten(before, after, "deltas")}
    assert {window for window in windows if "daily" in window} == {"daily2026-03-30", "daily2026-03-31"}
    assert windows - {"daily2026-03-30", "daily2026-03-31"} <= {
        "weekly2026-03-30", "monthly2026-03-01", "quarterly2026-01-01"
    }  # fmt: skip
    assert rewritten(before, after, "posts") == set()


def rewritten(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]], table: str) -> set[str]:
    """The keys of the rows that were written since."""
    return {key for key, version in after[table].items() if before[table].get(key) != version}


def test_a_range_is_one_run_with_an_event_and_a_line_for_each_day(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    installation.add_channel()
    for day in DAYS[:3]:
        installation.lay(day)
    result = installation.execute("capture_csv", instance, tags=over(SPAN[0], SPAN[3]))
    assert result.success
    assert set(instance.get_materialized_partitions(csv.SNAPSHOTS)) == set(map(str, SPAN[:4]))
    told = metadata(result)["csv/snapshots"]
    assert [(line["day"], line["status"], line["rows"]) for line in told["days"]] == [
        (str(day), "completed" if day in DAYS else "no files", len(exported(day))) for day in SPAN[:4]
    ]
    assert told["snapshots_changed"] == sum(line["changed"] for line in told["days"]) > 0
    assert "dagster/partition_row_count" not in told, "Dagster would show the sum as the rows of each day"
    assert all(passed for passed, _ in checks(result).values())


def exported(day: date) -> list[exports.Post]:
    return [post for post in exports.POSTS if post.published.date() <= day and day in DAYS]


def test_a_day_that_fails_in_a_range_does_not_stop_the_others_and_is_named(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    installation.add_channel()
    for day in DAYS[:3]:
        installation.lay(day)
    assert installation.execute("capture_csv", instance, partition_key=str(DAYS[1])).success
    (installation.home / "inbox" / str(DAYS[1]) / "Content.csv").unlink()
    again = {"ops": {"csv_capture": {"config": {"reload": True}}}}
    result = installation.execute("capture_csv", instance, tags=over(DAYS[0], DAYS[2]), run_config=again)
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    cause = failure.step_failure_data.error
    assert cause is not None
    assert "1 of 3 days failed; the others landed." in cause.to_string()
    assert f"{DAYS[1]}: The day must be rebuilt" in cause.to_string()
    events = [e.materialization for e in result.get_asset_materialization_events()]
    assert {(e.asset_key, e.partition) for e in events} == {
        (key, str(day)) for key in (csv.POSTS, csv.SNAPSHOTS) for day in (DAYS[0], DAYS[2])
    }
    landed = {row["day"] for row in installation.rows("select distinct snapshot_date as day from snapshots")}
    assert landed == {*DAYS[:3]}
    (found,) = [each for each in planned(installation, DUE | {State.CAPTURED}).runs if DAYS[0] in each.days]
    with pytest.raises(Permanent, match=f"{DAYS[1]}: The day must be rebuilt"):
        run.backfill(found)
    with pytest.raises(NotFound, match="The day must be rebuilt"):
        run.capture_csv(DAYS[1], reload=True)


def test_backfills_of_the_ui_are_bounded(installation: Installation) -> None:
    """A run writes one event per partition and asset; a day of a platform is a run of its own."""

    def most(asset: dg.AssetKey) -> int | None:
        policy = installation.definitions.get_assets_def(asset).backfill_policy
        assert policy is not None
        return policy.max_partitions_per_run

    assert {most(csv.SNAPSHOTS), most(csv.POSTS)} == {100}
    assert {most(key) for key in platforms.keys("youtube")} == {1}
    above = [["deltas", "daily"], ["deltas", "weekly"], ["deltas", "monthly"], ["royalties", "accruals"]]
    assert {most(dg.AssetKey(key)) for key in above} == {100}


def test_a_closed_day_of_a_platform_is_restored_by_its_asset_and_shown_in_its_calendar(
    installation: Installation, instance: dg.DagsterInstance, sandbox: Sandbox
) -> None:
    day = str(sandbox.now.date())
    assert installation.execute("capture_threads", instance, partition_key=day).success
    kept = stored_tables(installation.pipeline.warehouse)["snapshots"]
    installation.do("delete from snapshots")
    asked = dict(sandbox.requests)
    with environment(CG_CLOCK_SHIFT_SECONDS=str(3 * 86_400)):
        restored = installation.execute("capture_threads", instance, partition_key=day)
        before = installation.execute(
            "capture_threads", instance, partition_key=str(sandbox.now.date() - timedelta(days=1))
        )
    assert restored.success
    assert not before.success
    assert stored_tables(installation.pipeline.warehouse)["snapshots"] == kept
    assert sandbox.requests == asked
    calendar = metadata(restored)["threads/snapshots"]["calendar"]
    assert [line["site"] for line in calendar] == sorted(a.name for a in sandbox.world.accounts["threads"])
    assert {line["days"] for line in calendar} == {"·" * 15 + "■" + "·" * 15}


# The command


@pytest.fixture
def cg(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Calls `cg backfill` for the exports' days."""
    monkeypatch.setattr(context, "ready", Pipeline.open)

    def call(verb: str, *more: str, source: str = "csv") -> Result:
        span = ["--from", str(SPAN[0]), "--to", str(SPAN[-1])]
        return CliRunner().invoke(command.app, [verb, "--platform", source, *span, *more])

    return call


def said(result: Result) -> str:
    """What a command printed, as one line."""
    return " ".join(result.output.split())


@pytest.fixture
def history(installation: Installation) -> Installation:
    """An installation with all exports in the inbox, none of them loaded."""
    installation.add_channel()
    for day in DAYS:
        installation.lay(day)
    return installation


def everything(installation: Installation) -> dict[str, Any]:
    warehouse = installation.pipeline.warehouse
    ledger = installation.rows("select * from sync_logs") + installation.rows("select * from csv_files")
    stale = installation.rows("select * from stale_windows")
    return {"tables": stored_tables(warehouse), "versions": row_versions(warehouse), "ledger": [*ledger, *stale]}


def test_the_plan_tells_what_would_change_and_apply_does_it(history: Installation, cg: Callable[..., Result]) -> None:
    before = everything(history)
    plan = cg("plan")
    assert plan.exit_code == 0, plan.output
    assert "csv 2026-03-30 to 2026-04-05" in said(plan)
    rows = sum(len(exported(day)) for day in DAYS if day > exports.MISSING_DAY)
    assert f"inserted {rows}, changed 0, unchanged 0, removed 0" in said(plan)
    assert "2 runs, 10 days, at least 0 requests, about" in said(plan)
    assert "1 days cannot be brought, such as 2026-03-29: The inbox has no file of the day." in said(plan)
    assert everything(history) == before

    applied = cg("apply")
    assert applied.exit_code == 0, applied.output
    found = stored_tables(history.pipeline.warehouse)
    assert len(found["snapshots"]) == sum(len(exported(day)) for day in DAYS)
    assert found["deltas"]
    assert found["royalty_lines"]
    assert history.rows("select from stale_windows") == []
    assert "Nothing is to be done." in said(cg("plan"))
    assert f"inserted 0, changed 0, unchanged {rows}" in said(cg("plan", "--again"))


def test_a_dry_run_proves_that_it_wrote_nothing(
    history: Installation, cg: Callable[..., Result], instance: dg.DagsterInstance
) -> None:
    history.fill(DAYS[0])
    before = everything(history)
    result = cg("apply", "--dry-run", "--again")
    assert result.exit_code == 0, result.output
    assert "PostgreSQL confirms that the 10 transactions in which it was tried were rolled back." in said(result)
    assert everything(history) == before
    assert instance.get_runs() == []


def test_what_was_interrupted_between_runs_goes_on_where_it_was(
    history: Installation, cg: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def die_at_second(planned: backfill.Run) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(str(planned))
        run.backfill(planned)

    monkeypatch.setattr(context, "backfill", die_at_second)
    assert cg("apply").exit_code != 0
    assert done == ["csv 2026-03-26 to 2026-03-28"]
    monkeypatch.undo()
    monkeypatch.setattr(context, "ready", Pipeline.open)
    assert [str(left) for left in planned(history).runs] == ["csv 2026-03-30 to 2026-04-05"]
    assert cg("apply", "--newest-first").exit_code == 0
    whole = stored_tables(history.pipeline.warehouse)
    history.do(EMPTY)
    history.add_channel()
    history.fill(*DAYS)
    assert stored_tables(history.pipeline.warehouse) == whole


def test_apply_stops_after_as_many_runs_as_it_may_do_and_says_what_is_left(
    history: Installation, cg: Callable[..., Result]
) -> None:
    result = cg("apply", "--most-runs", "1", "--capture-only")
    assert result.exit_code == 1
    assert "7 days are still to be brought; the first: 2026-03-30" in said(result)
    assert history.rows("select from deltas") == []
    assert cg("apply", "--missing-only").exit_code == 0


def test_a_refused_day_is_failed_and_is_read_again_when_it_is_asked_for(
    installation: Installation, cg: Callable[..., Result]
) -> None:
    for day in DAYS[:2]:
        installation.lay(day)
    first = cg("apply")
    assert first.exit_code == 1
    assert "2 days are still to be brought" in said(first)
    assert "was refused" in said(first)
    assert "Nothing is to be done." in said(cg("plan", "--missing-only"))
    assert "would be refused" in said(cg("plan", "--failed-only"))
    installation.add_channel()
    assert cg("apply", "--failed-only").exit_code == 0
    assert {day.state for day in planned(installation).days[:2]} == {State.CAPTURED}


def test_options_that_contradict_one_another_are_not_understood(cg: Callable[..., Result]) -> None:
    assert cg("plan", "--missing-only", "--failed-only").exit_code == 2
    assert cg("plan", "--to", "2026-03-01").exit_code == 2
