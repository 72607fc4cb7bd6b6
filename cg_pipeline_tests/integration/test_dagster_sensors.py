"""What runs by itself: files that arrive, windows that became stale, the night. What is asked of Dagster, and what is
said when nothing is."""

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from cg_pipeline.capture.csv_files import register
from cg_pipeline.clock import SystemClock
from cg_pipeline.config import PROJECT
from cg_pipeline.defs import run, sensors
from cg_pipeline.errors import Unavailable
from cg_pipeline.history import stale
from cg_pipeline.history.windows import Kind
from cg_pipeline.sandbox import exports
from cg_pipeline_tests.integration.installations import Installation, over

NOW = datetime(2026, 4, 6, 12, tzinfo=UTC)
DAY = date(2026, 3, 28)
FILE = {"one.csv": b"Post ID\n1\n"}


@pytest.fixture(autouse=True)
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """What time it is: change the only element to let it pass."""
    times = [NOW]
    monkeypatch.setattr(SystemClock, "now", lambda _self: times[0])
    return times


def tick(sensor: dg.SensorDefinition, installation: Installation) -> tuple[list[dg.RunRequest], str]:
    """What one tick of a sensor requests, or why it does not."""
    data = sensor.evaluate_tick(installation.sensor_context())
    return list(data.run_requests or []), data.skip_message or ""


def mark(installation: Installation, kind: Kind, *days: date, at: datetime) -> None:
    with installation.pipeline.warehouse.connect() as connection:
        stale.mark(connection, kind, days, at)


def asked(requests: list[dg.RunRequest]) -> list[tuple[str, str, str]]:
    """Job and range of each request."""
    first, last = over(date.min, date.min)
    return [(str(request.job_name), request.tags[first], request.tags[last]) for request in requests]


# --- stale windows


def test_stale_windows_are_requested_in_the_fewest_ranges_and_days_before_what_lies_above(
    installation: Installation,
) -> None:
    long_ago = NOW - timedelta(hours=1)
    mark(installation, Kind.DAILY, date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3), date(2026, 3, 5), at=long_ago)
    mark(installation, Kind.WEEKLY, date(2026, 2, 23), date(2026, 1, 5), date(2026, 1, 12), at=long_ago)
    mark(installation, Kind.ROYALTY, date(2025, 12, 1), date(2026, 3, 1), at=long_ago)
    requests, _ = tick(sensors.stale_windows, installation)
    assert asked(requests) == [
        ("deltas_daily", "2026-03-01", "2026-03-03"),
        ("deltas_daily", "2026-03-05", "2026-03-05"),
        ("deltas_weekly", "2026-01-05", "2026-01-12"),
        ("royalties_accruals", "2025-12-01", "2025-12-01"),
    ]


def test_a_window_that_was_just_marked_rests_and_the_tick_says_so(installation: Installation) -> None:
    mark(installation, Kind.DAILY, DAY, at=NOW - timedelta(seconds=12))
    requests, reason = tick(sensors.stale_windows, installation)
    assert requests == []
    assert reason.startswith("1 windows wait to settle")
    assert reason.endswith("the oldest for 0:00:12.")


def test_a_tick_says_that_nothing_is_stale(installation: Installation) -> None:
    assert tick(sensors.stale_windows, installation) == ([], "No window is stale.")


def test_a_request_is_noted_and_not_repeated_until_its_time_is_over(
    installation: Installation, wall_clock: list[datetime]
) -> None:
    mark(installation, Kind.DAILY, DAY, at=NOW - timedelta(hours=1))
    (first,), _ = tick(sensors.stale_windows, installation)
    assert installation.rows("select requested_at, attempts from stale_windows") == [
        {"requested_at": NOW, "attempts": 1}
    ]
    wall_clock[0] = NOW + timedelta(seconds=30)
    requests, reason = tick(sensors.stale_windows, installation)
    assert requests == []
    assert "for a run that was requested" in reason

    wall_clock[0] = NOW + timedelta(minutes=10)
    (second,), _ = tick(sensors.stale_windows, installation)
    assert asked([second]) == asked([first])
    assert second.run_key != first.run_key


def test_a_window_that_is_marked_anew_is_requested_under_a_new_key(
    installation: Installation, wall_clock: list[datetime]
) -> None:
    mark(installation, Kind.DAILY, DAY, at=NOW - timedelta(hours=1))
    (first,), _ = tick(sensors.stale_windows, installation)
    mark(installation, Kind.DAILY, DAY, at=NOW)
    wall_clock[0] = NOW + timedelta(minutes=1)
    (second,), _ = tick(sensors.stale_windows, installation)
    assert second.run_key != first.run_key


def test_a_tick_requests_a_bounded_number_of_runs_and_the_next_ticks_the_rest(installation: Installation) -> None:
    apart = [date(2025, 1, 1) + timedelta(days=2 * n) for n in range(40)]
    mark(installation, Kind.DAILY, *apart, at=NOW - timedelta(hours=1))
    numbers = [len(tick(sensors.stale_windows, installation)[0]) for _ in range(3)]
    assert numbers == [25, 15, 0]


def test_what_the_sensor_requests_runs_and_leaves_nothing_stale(
    installation: Installation, instance: dg.DagsterInstance, wall_clock: list[datetime]
) -> None:
    installation.capture(exports.days()[0])
    jobs = []
    for minute in range(1, 10):
        wall_clock[0] = NOW + timedelta(minutes=minute)
        requests, reason = tick(sensors.stale_windows, installation)
        for request in requests:
            jobs.append(str(request.job_name))
            assert installation.execute(jobs[-1], instance, tags=dict(request.tags)).success
    assert reason == "No window is stale."
    assert jobs == ["deltas_daily", "deltas_weekly", "deltas_monthly", "deltas_quarterly", "royalties_accruals"]


def test_a_check_does_not_blame_deltas_of_days_that_wait_to_be_recomputed(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    """A capture that lands before a check is no fault: the accrual knows that, and the check after it must too."""
    installation.fill(DAY)
    installation.do("update snapshots set views = views + 1")
    mark(installation, Kind.DAILY, DAY, at=NOW)
    assert installation.execute("royalties_accruals", instance, partition_key="2026-03-01").success


# --- the inbox


def test_a_new_file_has_its_day_requested(installation: Installation) -> None:
    installation.lay(DAY, FILE)
    requests, _ = tick(sensors.csv_inbox, installation)
    assert [request.partition_key for request in requests] == [str(DAY)]


def test_a_file_is_requested_under_the_same_key_until_it_changes(installation: Installation) -> None:
    installation.lay(DAY, FILE)
    keys = [tick(sensors.csv_inbox, installation)[0][0].run_key for _ in range(2)]
    installation.lay(DAY, {"one.csv": b"Post ID\n1\n2\n"})
    keys.append(tick(sensors.csv_inbox, installation)[0][0].run_key)
    assert keys[0] == keys[1]
    assert keys[1] != keys[2]


def test_files_that_were_loaded_refused_or_are_duplicates_are_not_requested_again(installation: Installation) -> None:
    files = exports.exports(DAY)
    installation.lay(DAY, {**files, "copy.csv": files["Content.csv"], "nonsense.csv": b"a;b\n1;2\n"})
    run.capture_csv(DAY)
    statuses = {row["status"] for row in installation.rows("select status from csv_files")}
    assert statuses == {"loaded", "refused", "duplicate"}
    requests, reason = tick(sensors.csv_inbox, installation)
    assert requests == []
    assert reason == f"No new file in {installation.home}/inbox."


def test_a_loaded_file_that_changes_is_requested_again(installation: Installation) -> None:
    installation.capture(DAY)
    installation.lay(DAY, {"Content.csv": exports.exports(DAY)["Content.csv"] + b"\n"}, modified=1_775_000_000)
    (request,), _ = tick(sensors.csv_inbox, installation)
    assert request.partition_key == str(DAY)


def test_a_file_that_is_still_being_written_waits_for_the_next_tick(
    installation: Installation, wall_clock: list[datetime]
) -> None:
    installation.lay(DAY, FILE, modified=NOW.timestamp() - 1)
    assert tick(sensors.csv_inbox, installation)[0] == []
    wall_clock[0] = NOW + timedelta(seconds=30)
    assert len(tick(sensors.csv_inbox, installation)[0]) == 1


def test_a_day_waits_as_long_as_one_of_its_new_files_is_being_written(installation: Installation) -> None:
    """A run takes all files of the folder: half a file must not land because another one is complete."""
    installation.lay(DAY, FILE)
    installation.lay(DAY, {"two.csv": b"Post ID\n1"}, modified=NOW.timestamp() - 1)
    assert tick(sensors.csv_inbox, installation)[0] == []


def test_days_are_requested_oldest_first_and_a_bounded_number_at_a_time(installation: Installation) -> None:
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(30)]
    for day in days:
        installation.lay(day, FILE)
    requests, _ = tick(sensors.csv_inbox, installation)
    assert [request.partition_key for request in requests] == [str(day) for day in days[:25]]


def test_a_folder_that_is_no_partition_is_named_and_not_requested(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    for day in (date(2023, 12, 31), DAY, NOW.date() + timedelta(days=1)):
        installation.lay(day, FILE)
    context = installation.sensor_context()
    data = sensors.csv_inbox.evaluate_tick(context)
    assert [request.partition_key for request in data.run_requests or []] == [str(DAY)]


def test_folders_that_are_no_partition_do_not_crowd_out_those_that_are(installation: Installation) -> None:
    for number in range(30):
        installation.lay(date(2023, 1, 1) + timedelta(days=number), FILE)
    installation.lay(DAY, FILE)
    requests, _ = tick(sensors.csv_inbox, installation)
    assert [request.partition_key for request in requests] == [str(DAY)]


def test_a_folder_whose_name_is_no_day_of_the_calendar_stops_nothing(installation: Installation) -> None:
    installation.lay(DAY, FILE)
    (installation.home / "inbox" / "2026-02-30").mkdir()
    (installation.home / "inbox" / "2026-02-30" / "one.csv").write_bytes(b"Post ID\n1\n")
    requests, _ = tick(sensors.csv_inbox, installation)
    assert [request.partition_key for request in requests] == [str(DAY)]


def test_an_inbox_that_cannot_be_reached_fails_the_tick_and_never_looks_empty(installation: Installation) -> None:
    (installation.home / "inbox").rmdir()
    with pytest.raises(Unavailable, match="cannot be read"):
        sensors.csv_inbox(installation.sensor_context())


def test_a_file_whose_run_failed_is_requested_again_under_another_key(
    installation: Installation, wall_clock: list[datetime]
) -> None:
    """The run registered the file and then failed, the server being away: nobody else would ever load it."""
    installation.lay(DAY)
    (before,), _ = tick(sensors.csv_inbox, installation)
    with installation.pipeline.warehouse.connect() as connection:
        register(connection, installation.pipeline.inbox, DAY, NOW)
    wall_clock[0] = NOW + timedelta(hours=1)
    requests, _ = tick(sensors.csv_inbox, installation)
    assert [request.partition_key for request in requests] == [str(DAY)]
    assert requests[0].run_key != before.run_key


def test_days_whose_runs_keep_failing_do_not_crowd_out_new_ones(installation: Installation) -> None:
    for number in range(30):
        day = date(2026, 1, 1) + timedelta(days=number)
        installation.lay(day, FILE)
        with installation.pipeline.warehouse.connect() as connection:
            register(connection, installation.pipeline.inbox, day, NOW)
    installation.lay(DAY, FILE)
    requests, _ = tick(sensors.csv_inbox, installation)
    assert [request.partition_key for request in requests[:2]] == [str(DAY), "2026-01-01"]
    assert len(requests) == 25


def test_a_file_whose_time_lies_in_the_future_is_not_taken_for_one_that_is_being_written(
    installation: Installation,
) -> None:
    """The clock of the machine that wrote it may be wrong, for ever."""
    installation.lay(DAY, FILE, modified=NOW.timestamp() + 86_400)
    requests, _ = tick(sensors.csv_inbox, installation)
    assert [request.partition_key for request in requests] == [str(DAY)]


# --- the night


@pytest.mark.parametrize(
    ("zone", "ticks"),
    [
        ("UTC", {"2026-03-08T00:30:00": "2026-03-07", "2026-01-01T00:30:00": "2025-12-31"}),
        (
            "America/Los_Angeles",  # the clocks change on 8 March and 1 November
            {
                "2026-03-08T00:30:00": "2026-03-07",
                "2026-03-09T00:30:00": "2026-03-08",
                "2026-11-01T00:30:00": "2026-10-31",
                "2026-11-02T00:30:00": "2026-11-01",
            },
        ),
        ("Pacific/Auckland", {"2026-04-05T00:30:00": "2026-04-04", "2026-04-06T00:30:00": "2026-04-05"}),
        ("America/Havana", {"2026-03-08T01:00:00": "2026-03-07"}),  # there is no 0:30 in this night
    ],
)
def test_the_night_requests_the_day_that_has_just_closed_in_the_reporting_zone(
    tmp_path: Path, zone: str, ticks: dict[str, str]
) -> None:
    script = """
import json, sys
from datetime import datetime
from zoneinfo import ZoneInfo
import dagster as dg
from cg_pipeline.definitions import defs
from cg_pipeline.defs.schedules import nightly
from cg_pipeline.partitions import DAILY
zone = ZoneInfo(nightly.execution_timezone)
repository = defs().get_repository_def()
found = {}
for text in json.loads(sys.argv[1]):
    moment = datetime.fromisoformat(text).replace(tzinfo=zone)
    context = dg.build_schedule_context(scheduled_execution_time=moment, repository_def=repository)
    requests = nightly.evaluate_tick(context).run_requests
    assert {request.partition_key for request in requests} <= set(DAILY.get_partition_keys(current_time=moment))
    asked = {request.asset_selection[0].path[0]: request for request in reversed(requests)}
    assert len(asked) == 7 and len(requests) == 7 + 4, "YouTube's last four days still settle"
    (day,) = {request.partition_key for request in asked.values()}
    assert moment.date().isoformat() == DAILY.get_partition_keys(current_time=moment)[-1]
    found[text] = day
print(json.dumps({"zone": zone.key, "found": found}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(list(ticks))],
        env={**os.environ, "CG_TIMEZONE": zone, "CG_HOME": str(tmp_path)},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"zone": zone, "found": ticks}
