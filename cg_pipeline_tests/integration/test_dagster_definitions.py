"""What the code location offers, as a list to review; that it loads anywhere; that every asset explains itself."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from cg_pipeline import partitions
from cg_pipeline.config import PLATFORMS, PROJECT
from cg_pipeline.definitions import defs
from cg_pipeline.history.windows import Kind, end_of, start_of

BLOCKING, WARNING = True, False
SNAPSHOTS = sorted(f"{source}/snapshots" for source in ("csv", *PLATFORMS))

# asset -> group, kinds, most partitions in a run of a backfill, what it needs, its checks
ASSETS = {
    "csv/posts": ("csv", "csv postgres", 100, [], {"refused_files": WARNING}),
    "csv/snapshots": (
        "csv",
        "csv postgres",
        100,
        ["csv/posts"],
        {"repeated_keys": BLOCKING, "quarantined_rows": WARNING, "thin_captures": WARNING},
    ),
    **{f"{name}/posts": (name, "api postgres", 1, [], {"ending_tokens": WARNING}) for name in PLATFORMS},
    **{
        f"{name}/snapshots": (
            name,
            "api postgres",
            1,
            [f"{name}/posts"],
            {"repeated_keys": BLOCKING, "incomplete_sites": WARNING, "thin_captures": WARNING},
        )
        for name in PLATFORMS
    },
    "deltas/daily": ("history", "postgres", 100, SNAPSHOTS, {"telescoping": BLOCKING}),
    "deltas/weekly": ("history", "postgres", 100, ["deltas/daily"], {"sums": BLOCKING}),
    "deltas/monthly": ("history", "postgres", 100, ["deltas/daily"], {"sums": BLOCKING}),
    "deltas/quarterly": ("history", "postgres", 100, ["deltas/daily"], {"sums": BLOCKING}),
    "history/gaps": ("history", "postgres", 100, SNAPSHOTS, {"missing_days": WARNING}),
    "webhooks/coverage": (
        "webhooks",
        "postgres",
        100,
        sorted(f"{name}/posts" for name in PLATFORMS),
        {"missed_webhooks": WARNING},
    ),
    "royalties/accruals": (
        "royalties",
        "postgres",
        100,
        ["deltas/daily"],
        {"tie_out": BLOCKING, "telescoping": BLOCKING, "unassigned": WARNING},
    ),
}
JOBS = {
    "capture_csv": ["csv/posts", "csv/snapshots"],
    **{f"capture_{name}": [f"{name}/posts", f"{name}/snapshots"] for name in PLATFORMS},
    **{f"refresh_{name}": ["deltas/daily", f"{name}/posts", f"{name}/snapshots"] for name in PLATFORMS},
    "capture_all": sorted([*SNAPSHOTS, *(name.replace("snapshots", "posts") for name in SNAPSHOTS)]),
    "deltas_daily": ["deltas/daily"],
    "deltas_weekly": ["deltas/weekly"],
    "deltas_monthly": ["deltas/monthly"],
    "deltas_quarterly": ["deltas/quarterly"],
    "royalties_accruals": ["royalties/accruals"],
    "show_gaps": ["history/gaps"],
    "compare_coverage": ["webhooks/coverage"],
    "webhook_upkeep": [],
}
SENSORS = {
    "csv_inbox": ({"capture_csv"}, 30),
    "stale_windows": ({name for name in JOBS if name.startswith(("deltas_", "royalties_"))}, 30),
    "gap_sentinel": ({"show_gaps", *(f"capture_{name}" for name in PLATFORMS)}, 300),
    "webhook_rerun_sensor": ({f"refresh_{name}" for name in PLATFORMS}, 10),
    "webhook_retry_sensor": ({"refresh_facebook"}, 30),
}
SCHEDULES = {
    "nightly": ("capture_all", "30 0 * * *", "UTC"),
    "nightly_coverage": ("compare_coverage", "0 5 * * *", "UTC"),
    "renew_webhooks": ("webhook_upkeep", "15 */6 * * *", "UTC"),
}
RESOURCES = {"pipeline", "io_manager"}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return defs()


def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def schema(spec: dg.AssetSpec) -> dg.TableSchema:
    found = spec.metadata["dagster/column_schema"]
    assert isinstance(found, dg.TableSchema)
    return found


def test_the_definitions_are_loadable_and_warn_of_nothing(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_the_assets_are_these_with_these_checks(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    found = {}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.backfill_policy is not None
        checks = {check.name: graph.get(check).blocking for check in graph.asset_check_keys if check.asset_key == key}
        found[key.to_user_string()] = (
            node.group_name,
            " ".join(sorted(node.kinds)),
            node.backfill_policy.max_partitions_per_run,
            sorted(parent.to_user_string() for parent in node.parent_keys),
            checks,
        )
    assert found == ASSETS


def test_the_jobs_are_these(definitions: dg.Definitions) -> None:
    assert {job.name for job in definitions.resolve_all_job_defs()} - {"__ASSET_JOB"} == JOBS.keys()
    for name, assets in JOBS.items():
        layer = definitions.resolve_job_def(name).asset_layer
        assert sorted(key.to_user_string() for key in layer.executable_asset_keys) == assets, name


def test_every_job_runs_its_steps_in_the_process_of_its_run(definitions: dg.Definitions) -> None:
    assert {definitions.resolve_job_def(name).executor_def for name in JOBS} == {dg.in_process_executor}


def test_the_sensors_and_schedules_are_these_and_run_from_the_start(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    sensors = {
        sensor.name: ({target.job_name for target in sensor.targets}, sensor.minimum_interval_seconds)
        for sensor in repository.sensor_defs
    }
    schedules = {
        schedule.name: (schedule.job_name, schedule.cron_schedule, schedule.execution_timezone)
        for schedule in repository.schedule_defs
    }
    assert (sensors, schedules) == (SENSORS, SCHEDULES)
    assert {sensor.default_status for sensor in repository.sensor_defs} == {dg.DefaultSensorStatus.RUNNING}
    assert {schedule.default_status for schedule in repository.schedule_defs} == {dg.DefaultScheduleStatus.RUNNING}
    assert repository.get_top_level_resources().keys() | {"io_manager"} == RESOURCES


def test_everything_that_has_a_page_in_the_ui_has_a_description(definitions: dg.Definitions) -> None:
    repository, graph = definitions.get_repository_def(), definitions.resolve_asset_graph()
    described = {
        **{name: spec.description for name, spec in specs(definitions).items()},
        **{str(key): graph.get(key).description for key in graph.asset_check_keys},
        **{name: definitions.resolve_job_def(name).description for name in JOBS},
        **{sensor.name: sensor.description for sensor in repository.sensor_defs},
        **{schedule.name: schedule.description for schedule in repository.schedule_defs},
    }
    assert [name for name, text in described.items() if not text or not text.strip().endswith(".")] == []


@pytest.mark.parametrize("asset", ASSETS)
def test_an_asset_says_whose_it_is_where_it_lies_and_what_its_columns_mean(
    definitions: dg.Definitions, asset: str
) -> None:
    spec = specs(definitions)[asset]
    assert list(spec.owners) == ["team:data-engineering"]
    assert str(spec.metadata["dagster/table_name"]).split(".")[-2] == "public"
    columns = schema(spec).columns
    assert len(columns) > 5
    assert [column.name for column in columns if not column.description or not column.type] == []
    assert any(not column.constraints.nullable for column in columns)


@pytest.mark.parametrize("asset", [asset for asset in ASSETS if ASSETS[asset][0] in {"history", "royalties"}])
def test_the_lineage_of_columns_names_columns_that_exist(definitions: dg.Definitions, asset: str) -> None:
    spec = specs(definitions)[asset]
    lineage = spec.metadata["dagster/column_lineage"]
    assert isinstance(lineage, dg.TableColumnLineage)
    ours = {column.name for column in schema(spec).columns}
    assert not lineage.deps_by_column.keys() - ours
    for dependencies in lineage.deps_by_column.values():
        for dependency in dependencies:
            upstream = specs(definitions)[dependency.asset_key.to_user_string()]
            assert dependency.asset_key in {dep.asset_key for dep in spec.deps}
            assert dependency.column_name in {column.name for column in schema(upstream).columns}


def test_every_partition_begins_a_window_of_its_kind_and_the_open_one_exists() -> None:
    now = datetime(2026, 2, 11, 12, tzinfo=UTC)
    for kind, definition in partitions.OF.items():
        keys = definition.get_partition_keys(current_time=now)
        starts = [datetime.strptime(key, "%Y-%m-%d").replace(tzinfo=UTC).date() for key in keys]
        assert starts[0].isoformat() == "2024-01-01"
        assert starts[-1] == start_of(kind, now.date())
        assert [end_of(kind, start) for start in starts[:-1]] == starts[1:]


def test_each_kind_of_window_has_a_job_of_its_partitions(definitions: dg.Definitions) -> None:
    for name, kind in {"deltas_weekly": Kind.WEEKLY, "royalties_accruals": Kind.ROYALTY}.items():
        assert definitions.resolve_job_def(name).partitions_def == partitions.OF[kind]


@pytest.mark.parametrize("variables", [[], ["CG_HOME"]], ids=["no variable at all", "a home that does not exist"])
def test_the_definitions_load_without_settings_and_touch_nothing(tmp_path: Path, variables: list[str]) -> None:
    """Loading must be free: no server, no folder, no variable."""
    script = """
import dagster as dg, psycopg
from cg_pipeline.warehouse import embedded
def refuse(*_, **__): raise SystemExit("reached for a server")
embedded.start = psycopg.connect = refuse
from cg_pipeline.definitions import defs
dg.Definitions.validate_loadable(defs())
print(len(list(defs().resolve_all_asset_specs())))
"""
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | dict.fromkeys(variables, str(tmp_path / "home"))
    done = subprocess.run(
        [sys.executable, "-c", script], env=bare, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(len(ASSETS)), "")
    assert list(tmp_path.iterdir()) == []
