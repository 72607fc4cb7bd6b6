"""The jobs on a real instance: what a run stores, what its metadata and checks say, and what comes of wrong data."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg
import pytest
import yaml

from cg_pipeline.capture import sites
from cg_pipeline.config import PLATFORMS, PROJECT
from cg_pipeline.defs import run
from cg_pipeline.defs.checks import RULES
from cg_pipeline.errors import Unavailable
from cg_pipeline.sandbox import exports
from cg_pipeline_tests.integration.installations import Installation, over
from cg_pipeline_tests.integration.tables import row_versions, stored_tables

DAYS = exports.days()
DAY = date(2026, 3, 28)
POSTS = [post for post in exports.POSTS if post.published.date() <= DAY]
WINDOWS = {
    "deltas_daily": "2026-03-28",
    "deltas_weekly": "2026-03-23",
    "deltas_monthly": "2026-03-01",
    "deltas_quarterly": "2026-01-01",
    "royalties_accruals": "2026-03-01",
}

# What a person may have done to the tables behind our back, so that every check finds something.
DAMAGE = """
insert into csv_files (as_of, name, sha256, size_bytes, modified_at, arrived_at, status, message)
values ('2026-03-28', 'bad.csv', repeat('0', 64), 1, now(), now(), 'refused', 'It is bad.');
insert into quarantine (snapshot_date, line_number, reason, raw_data) values ('2026-03-28', 2, 'is bad', '{}');
update deltas set views_delta = views_delta + 1 where post_id = 'facebook_550000100000003';
update deltas set views_delta = views_delta + 100 where post_id = 'facebook_550000100000003' and period <> 'daily';
update royalty_lines set earnings = earnings + 1, suspense = suspense + 1 where post_id = 'facebook_550000100000003';
delete from snapshots
where snapshot_date = '2026-03-28' and post_id in ('facebook_550000100000001', 'facebook_550000100000002');
"""
HARMED = ("facebook", "thin_captures")  # of the platforms' own checks: the exports are of Facebook pages
# Not by damage to rows: the primary key stands; neither webhooks nor connected sites are in this history.
IMPOSSIBLE = {"repeated_keys", "missed_webhooks", "missing_days"}

# Adds one view to every delta that is written.
FALSIFY = """
create function falsify() returns trigger language plpgsql as
$$ begin new.views_delta := new.views_delta + 1; return new; end $$;
create trigger falsify before insert or update on deltas for each row execute function falsify();
"""


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Mapping[str, Any]]:
    """By asset, what its materialization says, as plain values; tables as lists of their records."""
    return {
        event.materialization.asset_key.to_user_string(): {
            name: [record.data for record in value.records] if isinstance(value, dg.TableMetadataValue) else value.value
            for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
    }


def checks(result: dg.ExecuteInProcessResult) -> dict[str, tuple[bool, dg.AssetCheckSeverity]]:
    return {check.check_name: (check.passed, check.severity) for check in result.get_asset_check_evaluations()}


def test_a_partition_of_every_asset_is_materialized_from_the_exports_of_a_day(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    installation.add_channel()
    installation.lay(DAY)
    captured = installation.execute("capture_csv", instance, partition_key=str(DAY))
    assert captured.success
    found = metadata(captured)
    counts = {"files_read": 4, "files_refused": 0, "files_of_day": 4}
    posts, snapshots = found["csv/posts"], found["csv/snapshots"]
    assert posts.items() >= {**counts, "posts_changed": len(POSTS)}.items()
    assert snapshots.items() >= {**counts, "snapshots_changed": len(POSTS)}.items()
    assert snapshots["dagster/partition_row_count"] == len(POSTS)
    assert snapshots["seconds"] > 0
    assert [file["status"] for file in snapshots["files"]] == ["loaded"] * 4
    assert {site["site"] for site in snapshots["sites"]} == {
        "Harbor Sounds", "Northern Lights", "Harbor Sounds TV", "harborsounds"
    }  # fmt: skip
    assert snapshots["preview"][0]["views"] == max(post.views(DAY) for post in POSTS)
    assert all(passed for passed, _ in checks(captured).values())

    for job, window in WINDOWS.items():
        result = installation.execute(job, instance, partition_key=window)
        assert result.success, job
        ((asset, told),) = metadata(result).items()
        if job == "royalties_accruals":
            assert told["months"] == 1
            assert {line["payee"] for line in told["payees"]} == {"(house)", "(suspense: no artist)"}
            assert checks(result) == {
                "tie_out": (True, dg.AssetCheckSeverity.ERROR),
                "telescoping": (True, dg.AssetCheckSeverity.ERROR),
                "unassigned": (False, dg.AssetCheckSeverity.WARN),
            }
        else:
            assert (asset, told["windows"], told["rows_written"]) == (job.replace("_", "/"), 1, len(POSTS))
            assert sum(line["posts"] for line in told["sites"]) == len(POSTS)
            assert told["changed_windows"] == [{"start": window, "written": len(POSTS), "removed": 0}]
            assert all(passed for passed, _ in checks(result).values())


def test_materializing_again_writes_no_row(installation: Installation, instance: dg.DagsterInstance) -> None:
    installation.fill(DAY)
    before = row_versions(installation.pipeline.warehouse)
    assert before["snapshots"]
    assert before["royalty_lines"]
    for job, key in {"capture_csv": str(DAY), **WINDOWS}.items():
        for told in metadata(installation.execute(job, instance, partition_key=key)).values():
            assert {told.get(name, 0) for name in ("posts_changed", "snapshots_changed", "rows_written")} == {0}
    again = {"ops": {"csv_capture": {"config": {"reload": True}}}}
    assert installation.execute("capture_csv", instance, partition_key=str(DAY), run_config=again).success
    assert row_versions(installation.pipeline.warehouse) == before


def test_a_month_is_materialized_in_one_run_with_one_event_a_day(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    installation.fill(*DAYS)
    before = stored_tables(installation.pipeline.warehouse)
    installation.do("delete from deltas where period = 'daily' and period_start < '2026-04-01'")
    result = installation.execute("deltas_daily", instance, tags=over(date(2026, 3, 1), date(2026, 3, 31)))
    assert result.success
    assert sorted(str(event.partition) for event in result.get_asset_materialization_events()) == [
        f"2026-03-{day:02}" for day in range(1, 32)
    ]
    told = metadata(result)["deltas/daily"]
    assert told["windows"] == 31
    march = [day for day in DAYS if day.month == 3]
    assert [window["start"] for window in told["changed_windows"]] == [str(day) for day in march]
    assert checks(result) == {"telescoping": (True, dg.AssetCheckSeverity.ERROR)}
    assert stored_tables(installation.pipeline.warehouse) == before


def test_the_checks_of_a_run_over_a_range_have_a_result_for_each_of_its_windows(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    """A check that stays planned shows as skipped, in the asset graph too, although it has passed."""
    installation.fill(*DAYS[:3])
    assert installation.execute("deltas_daily", instance, tags=over(DAYS[0], DAYS[2])).success
    check = dg.AssetCheckKey(dg.AssetKey(["deltas", "daily"]), "telescoping")
    windows = [str(DAYS[0] + timedelta(days=number)) for number in range((DAYS[2] - DAYS[0]).days + 1)]
    history = instance.event_log_storage.get_asset_check_execution_history(check, limit=10)
    assert {record.partition: record.status.value for record in history} == dict.fromkeys(windows, "SUCCEEDED")
    states = instance.event_log_storage.get_asset_check_partition_info([check])
    assert {state.partition_key: state.is_current for state in states} == dict.fromkeys(windows, True)


def test_a_check_over_a_range_fails_only_for_the_windows_that_are_wrong(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    """Two faults that cancel out over the range are still two faults."""
    installation.fill(*DAYS[:3])
    falsify = "update deltas set views_delta = views_delta + %s where period = 'daily' and period_start = %s"
    for day, more in {DAYS[1]: 5, DAYS[2]: -5}.items():
        installation.do(falsify, more, day)
    job = dg.define_asset_job("only_checks", selection=dg.AssetSelection.checks_for_assets(["deltas", "daily"]))
    definitions = dg.Definitions.merge(installation.definitions, dg.Definitions(jobs=[job]))
    result = definitions.resolve_job_def("only_checks").execute_in_process(
        instance=instance, raise_on_error=False, tags=over(DAYS[0], DAYS[2])
    )
    failed = [found.partition for found in result.get_asset_check_evaluations() if not found.passed]
    assert failed == [str(DAYS[1]), str(DAYS[2])]
    assert not result.success


def test_a_blocking_check_that_fails_makes_the_run_fail_and_shows_what_breaks_it(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    installation.fill(DAY)
    installation.do(FALSIFY)
    installation.do("delete from deltas where period = 'daily'")
    result = installation.execute("deltas_daily", instance, partition_key=str(DAY))
    assert not result.success
    assert checks(result) == {"telescoping": (False, dg.AssetCheckSeverity.ERROR)}
    (check,) = result.get_asset_check_evaluations()
    assert check.blocking
    rows = check.metadata["rows"]
    assert isinstance(rows, dg.TableMetadataValue)
    assert {record.data["metric"] for record in rows.records} == {"views"}
    record = instance.get_run_by_id(result.run_id)
    assert record is not None
    assert record.status is dg.DagsterRunStatus.FAILURE


def test_checks_on_their_own_ask_about_the_whole_history_and_find_what_was_damaged(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    """As the button "Execute all" of the UI runs them: without a partition."""
    installation.fill(*DAYS[:3])
    installation.do(DAMAGE)
    job = dg.define_asset_job("only_checks", selection=dg.AssetSelection.all_asset_checks())
    definitions = dg.Definitions.merge(installation.definitions, dg.Definitions(jobs=[job]))
    result = definitions.resolve_job_def("only_checks").execute_in_process(instance=instance, raise_on_error=False)
    severity = {True: dg.AssetCheckSeverity.ERROR, False: dg.AssetCheckSeverity.WARN}
    assert {
        (check.asset_key, check.check_name): (check.passed, check.severity)
        for check in result.get_asset_check_evaluations()
    } == {
        (rule.asset, rule.question): (
            rule.question in IMPOSSIBLE
            or (rule.asset.path[0] in PLATFORMS and (rule.asset.path[0], rule.question) != HARMED),
            severity[rule.blocking],
        )
        for rule in RULES
    }
    assert not result.success


def test_money_is_not_accrued_from_deltas_that_disagree_with_the_snapshots(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    installation.fill(*DAYS[:3])
    lines = row_versions(installation.pipeline.warehouse)["royalty_lines"]
    installation.do(
        "update deltas set earnings_delta = earnings_delta + 1 where period = 'daily' and earnings_delta > 0"
    )
    result = installation.execute("royalties_accruals", instance, partition_key="2026-03-01")
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    cause = failure.step_failure_data.error
    assert cause is not None
    assert "MoneyMismatch" in cause.to_string()
    assert row_versions(installation.pipeline.warehouse)["royalty_lines"] == lines


def test_a_file_that_is_refused_fails_its_check_as_a_warning_while_the_others_land(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    installation.lay(DAY)
    result = installation.execute("capture_csv", instance, partition_key=str(DAY))
    assert result.success
    assert checks(result)["refused_files"] == (False, dg.AssetCheckSeverity.WARN)
    found = metadata(result)["csv/snapshots"]
    assert (found["files_read"], found["files_refused"]) == (4, 1)
    assert {file["name"]: file["status"] for file in found["files"]}["Table data.csv"] == "refused"
    others = [post for post in POSTS if post.page.platform != "youtube"]
    assert len(installation.rows("select from snapshots")) == len(others)


def test_a_refused_file_is_read_again_only_when_the_run_is_told_to(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    installation.lay(DAY)
    installation.execute("capture_csv", instance, partition_key=str(DAY))
    installation.add_channel()
    count = "select count(*) from snapshots where starts_with(post_id, 'youtube')"
    assert installation.execute("capture_csv", instance, partition_key=str(DAY)).success
    assert installation.rows(count) == [{"count": 0}]
    config = {"ops": {"csv_capture": {"config": {"reload": True}}}}
    assert installation.execute("capture_csv", instance, partition_key=str(DAY), run_config=config).success
    assert installation.rows(count) == [{"count": 1}]


def test_a_late_file_has_exactly_the_windows_recomputed_that_it_touches(installation: Installation) -> None:
    """The next day compares with the corrected one. April and the weeks before stay as they are."""
    installation.lay(exports.CORRECTED_DAY, exports.exports(exports.CORRECTED_DAY, wrong=True))
    run.capture_csv(exports.CORRECTED_DAY)
    installation.fill(*(day for day in DAYS if day != exports.CORRECTED_DAY))
    assert run.refresh_stale(installation.pipeline) == []

    installation.lay(exports.CORRECTED_DAY, modified=1_780_000_000)
    run.capture_csv(exports.CORRECTED_DAY)
    assert [str(done) for done in run.refresh_stale(installation.pipeline)] == [
        "daily 2026-03-30 to 2026-03-31",
        "weekly 2026-03-30",
        "monthly 2026-03-01",
        "quarterly 2026-01-01",
        "royalty 2026-03-01",
    ]
    assert run.refresh_stale(installation.pipeline) == []


def test_a_setting_of_a_site_has_the_days_recomputed_that_depend_on_it(installation: Installation) -> None:
    installation.fill(*DAYS[:3])
    with installation.pipeline.warehouse.connect() as connection:
        site = sites.find(connection, exports.NORTH.platform_id)
        sites.put_setting(connection, site, "pay_opening_balance", "true", installation.pipeline.clock)
    runs = [str(done) for done in run.refresh_stale(installation.pipeline)]
    assert runs[0] == "daily 2026-03-26"
    assert runs[-1] == "royalty 2026-03-01"


def test_what_the_pipeline_raises_in_a_step_is_what_the_caller_gets(installation: Installation) -> None:
    (installation.home / "inbox").rmdir()
    with pytest.raises(Unavailable, match=r"The inbox .* cannot be read"):
        run.capture_csv(DAY)


def test_runs_of_the_command_belong_to_the_code_location_whose_jobs_they_ran(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    """By this tag the UI finds the runs of a job: without it the page of a job looks as if it never ran."""
    installation.capture(DAY)
    workspace = yaml.safe_load((PROJECT / "workspace.yaml").read_text(encoding="utf-8"))
    location = workspace["load_from"][0]["python_module"]["location_name"]
    (found,) = instance.get_runs()
    assert found.tags.get(".dagster/repository") == f"__repository__@{location}"
