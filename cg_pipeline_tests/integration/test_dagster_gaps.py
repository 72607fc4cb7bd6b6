"""The gap sentinel on a real instance: nights that nobody ran, what its ticks request, what the runs repair, what the
asset, its check and the command show."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from cg_pipeline.capture.platform_day import capture_platform
from cg_pipeline.cli import gaps as command
from cg_pipeline.clock import SystemClock
from cg_pipeline.defs import gaps, run
from cg_pipeline.defs.schedules import nightly
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.resources import PipelineResource
from cg_pipeline.sandbox.exports import exports_of
from cg_pipeline.sandbox.server import Sandbox
from cg_pipeline_tests.integration.installations import Installation, environment, over

ONE, TWO, THREE, FOUR, FIVE = (date(2026, 4, day) for day in range(5, 10))
NIGHT, MORNING = time(0, 30, tzinfo=UTC), time(7, tzinfo=UTC)
CAPTURED = ("facebook", "youtube")

SetClock = Callable[[date, time], datetime]
Tick = Callable[[], tuple[list[dg.RunRequest], str]]


@pytest.fixture(autouse=True)
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """What time it is, from noon of day one on."""
    times = [datetime.combine(ONE, time(12, tzinfo=UTC))]
    monkeypatch.setattr(SystemClock, "now", lambda _self: times[0])
    return times


@pytest.fixture
def set_clock(wall_clock: list[datetime], sandbox: Sandbox) -> SetClock:
    """Sets the clocks of the installation and of the platforms."""

    def set_both(day: date, clock_time: time) -> datetime:
        wall_clock[0] = sandbox.clock.instant = datetime.combine(day, clock_time)
        return wall_clock[0]

    return set_both


def night(installation: Installation, instance: dg.DagsterInstance, moment: datetime) -> dict[str, bool]:
    """What the nightly schedule requests for the day before, of some platforms; which of the runs succeed."""
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=moment, repository_def=installation.definitions.get_repository_def()
    )
    succeeded = {}
    for request in nightly.evaluate_tick(context).run_requests or []:
        selected = list(request.asset_selection or [])
        if selected[0].path[0] in CAPTURED and request.partition_key == str(moment.date() - timedelta(days=1)):
            done = installation.execute(
                "capture_all", instance, partition_key=request.partition_key, asset_selection=selected
            )
            succeeded[selected[0].path[0]] = done.success
    return succeeded


@pytest.fixture
def tick(installation: Installation, wall_clock: list[datetime]) -> Tick:
    """What one tick of the sentinel requests, or why it does not; each five minutes after the one before."""
    cursors: list[str | None] = [None]

    def evaluate() -> tuple[list[dg.RunRequest], str]:
        wall_clock[0] += timedelta(minutes=5)
        context = dg.build_sensor_context(
            cursor=cursors[-1], resources={"pipeline": PipelineResource()}, definitions=installation.definitions
        )
        data = gaps.gap_sentinel.evaluate_tick(context)
        cursors.append(data.cursor)
        wall_clock[0] += timedelta(seconds=1)
        return list(data.run_requests or []), data.skip_message or ""

    return evaluate


def execute(
    installation: Installation, instance: dg.DagsterInstance, requests: list[dg.RunRequest]
) -> dict[str, dg.ExecuteInProcessResult]:
    """Run what was requested, as Dagster would."""
    return {
        str(request.run_key): installation.execute(
            str(request.job_name), instance, partition_key=request.partition_key, run_config=request.run_config,
            tags=dict(request.tags),
        )
        for request in requests
    }  # fmt: skip


def asked(requests: list[dg.RunRequest]) -> list[tuple[str | None, str | None]]:
    return [(request.job_name, request.partition_key) for request in requests]


def broken_days(result: dg.ExecuteInProcessResult) -> list[str]:
    """The days on which the check finds something."""
    checked = [check for check in result.get_asset_check_evaluations() if check.check_name == "missing_days"]
    assert {check.severity for check in checked} == {dg.AssetCheckSeverity.WARN}
    return sorted(str(check.partition) for check in checked if not check.passed)


def shown(result: dg.ExecuteInProcessResult, what: str) -> list[dict[str, Any]]:
    """A table of the asset's metadata."""
    value = result.get_asset_materialization_events()[0].materialization.metadata[what]
    assert isinstance(value, dg.TableMetadataValue)
    return [dict(record.data) for record in value.records]


@pytest.fixture
def outage(installation: Installation, set_clock: SetClock) -> Iterator[Installation]:
    """Two nights were captured, then two were not, because no daemon ran; now it is the morning after."""
    with environment(CG_YOUTUBE_CLIENT_ID="sandbox-id", CG_YOUTUBE_CLIENT_SECRET="sandbox-secret"):
        for closed in (ONE, TWO):
            set_clock(closed + timedelta(days=1), NIGHT)
            for platform in CAPTURED:
                assert not capture_platform(Pipeline.open().platforms, platform, closed).incomplete
        set_clock(FIVE, MORNING)
        yield installation


def test_after_two_nights_without_a_daemon_both_days_are_named_repaired_or_lost_and_shown(
    outage: Installation, instance: dg.DagsterInstance, set_clock: SetClock, tick: Tick
) -> None:
    requests, _ = tick()
    assert asked(requests) == [("capture_youtube", str(FOUR)), ("capture_youtube", str(THREE)), ("show_gaps", None)]
    assert requests[-1].tags.items() >= over(THREE, FOUR).items()
    done = execute(outage, instance, requests)
    assert all(result.success for result in done.values())
    assert broken_days(done[str(requests[-1].run_key)]) == [str(THREE), str(FOUR)]

    requests, _ = tick()
    assert asked(requests) == [("show_gaps", None)], "YouTube told both days"
    (result,) = execute(outage, instance, requests).values()
    assert shown(result, "gaps") == [
        {"state": "repaired", "gaps": 4, "oldest": str(THREE)},
        {"state": "lost", "gaps": 4, "oldest": str(THREE)},
    ]
    lines = {(row["platform"], row["days"]) for row in shown(result, "calendar")}
    assert ("facebook", "·" * 27 + "■■✗✗") in lines
    assert ("youtube", "·" * 27 + "■■■■") in lines
    assert {(row["platform"], row["state"]) for row in shown(result, "days")} == {
        ("youtube", "repaired"),
        ("facebook", "lost"),
    }
    assert broken_days(result) == [str(THREE), str(FOUR)]
    assert tick() == ([], "Missing days of sites: 4 lost; the oldest 2026-04-07.")

    assert night(outage, instance, set_clock(FIVE + timedelta(days=1), NIGHT)) == dict.fromkeys(CAPTURED, True)
    run.refresh_stale(outage.pipeline)
    spans = outage.rows(
        """select distinct p.platform, d.from_date from deltas d join posts p using (post_id)
           where d.period = 'daily' and d.period_start = %s order by 1""",
        FIVE,
    )
    assert [(row["platform"], row["from_date"]) for row in spans] == [("facebook", TWO), ("youtube", FOUR)]


def test_the_latest_missed_tick_which_dagster_fires_late_saves_only_what_can_be_asked_later(
    outage: Installation, instance: dg.DagsterInstance, tick: Tick
) -> None:
    late = datetime.combine(FIVE, NIGHT)
    assert night(outage, instance, late) == {"facebook": False, "youtube": True}
    requests, _ = tick()
    assert asked(requests) == [("capture_youtube", str(THREE)), ("show_gaps", None)]
    rows = outage.rows("select day, count(*) as sites from capture_gaps where state = 'lost' group by day order by day")
    assert rows == [{"day": THREE, "sites": 2}, {"day": FOUR, "sites": 2}]


def test_an_export_of_a_lost_day_repairs_it_and_the_check_holds_again(
    outage: Installation, instance: dg.DagsterInstance, sandbox: Sandbox, tick: Tick
) -> None:
    execute(outage, instance, tick()[0])
    tick()
    files = exports_of(sandbox.world, datetime.combine(THREE, time(23, tzinfo=UTC)))
    outage.lay(THREE, {name: content for name, content in files.items() if name.startswith("facebook")})
    run.capture_csv(THREE)
    requests, _ = tick()
    assert asked(requests) == [("show_gaps", None)]
    (result,) = execute(outage, instance, requests).values()
    assert broken_days(result) == []
    assert tick() == ([], "Missing days of sites: 2 lost; the oldest 2026-04-08.")


def test_the_asset_shows_the_month_of_any_day_and_notices_by_itself(
    outage: Installation, instance: dg.DagsterInstance, tick: Tick
) -> None:
    result = outage.execute("show_gaps", instance, partition_key=str(FOUR))
    assert result.success
    assert broken_days(result) == [str(FOUR)]
    assert {row["state"] for row in shown(result, "days")} == {"repairable", "lost"}
    assert {row["days"][-4:] for row in shown(result, "calendar")} >= {"■■✗✗", "■■○○"}
    requests, _ = tick()
    assert len(requests) == 3, "it requests nothing by itself: that is left to the sensor"


def test_a_tick_says_that_nothing_is_missing(tick: Tick) -> None:
    assert tick() == ([], "No day is missing.")


def test_the_command_lists_gaps_and_draws_the_calendar(
    outage: Installation, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "ready", lambda: outage.pipeline)

    def cg_gaps(*arguments: str) -> str:
        done = CliRunner().invoke(command.app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    rows = json.loads(cg_gaps("list", "--json"))
    assert [(row["day"], row["platform"], row["state"]) for row in rows] == [
        (str(day), platform, state)
        for day in (FOUR, THREE)
        for platform, state in (("facebook", "lost"), ("youtube", "repairable"))
        for _ in range(2)
    ]
    account = sandbox.world.accounts["facebook"][0]
    of_site = json.loads(cg_gaps("list", "--site", account.platform_id, "--state", "lost", "--json"))
    assert of_site == [row for row in rows if (row["platform"], row["site"]) == ("facebook", account.name)]
    assert len(of_site) == 2
    assert cg_gaps("list", "--state", "requested").strip() == "No such day is missing."

    drawn = cg_gaps("calendar", "--platform", "facebook", "--from", str(ONE), "--to", str(FIVE))
    assert drawn.count("■■✗✗·") == 2
    assert "youtube" not in drawn
    assert "Missing days of sites: 4 repairable, 4 lost; the oldest 2026-04-07." in drawn
    assert [len(row["days"]) for row in json.loads(cg_gaps("calendar", "--json"))] == [31] * 12
    wrong = CliRunner().invoke(command.app, ["calendar", "--from", "2026-04-09", "--to", "2026-04-05"])
    assert wrong.exit_code == 2
