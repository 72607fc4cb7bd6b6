"""Runs jobs in the calling process, for the `cg` command: those of the UI, recorded in the same instance."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from cg_pipeline import partitions
from cg_pipeline.capture.backfill import Means, Run
from cg_pipeline.defs import jobs
from cg_pipeline.errors import CgError
from cg_pipeline.history import stale
from cg_pipeline.history.stale import RangeRun
from cg_pipeline.pipeline import Pipeline

# By this tag the UI finds the runs of a job. `location_name` of workspace.yaml is its second half.
LOCATION = {".dagster/repository": "__repository__@cg_pipeline"}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def capture_csv(day: date, *, reload: bool = False) -> None:
    """Load a day of the inbox by the job `capture_csv`. Raises what the pipeline raises."""
    config = {"ops": {"csv_capture": {"config": {"reload": reload}}}}
    _execute("capture_csv", config, partition_key=day.isoformat())


def capture_all(day: date) -> None:
    """Capture a day from all sources by the job `capture_all`. Raises what the pipeline raises."""
    _execute("capture_all", partition_key=day.isoformat())


def capture_platform(platform: str, day: date, config: dict[str, Any]) -> None:
    """Capture a day of a platform by its job. Raises what the pipeline raises."""
    ops = {"ops": {f"{platform}_capture": {"config": config}}}
    _execute(f"capture_{platform}", ops, partition_key=day.isoformat())


def backfill(run: Run) -> None:
    """Do one run of a backfill by the job of its source. Raises what the pipeline raises."""
    if run.means is Means.LOAD:
        config = {"ops": {"csv_capture": {"config": {"reload": run.again}}}}
        _execute("capture_csv", config, tags=partitions.range_tags(run.first, run.last))
    else:
        sites = [str(site.connected.id) for site in run.sites]
        capture_platform(run.source, run.first, {"sites": sites, "again": run.again})


def refresh_stale(pipeline: Pipeline, before_run: Callable[[RangeRun], None] = lambda _run: None) -> list[RangeRun]:
    """Run what the sensor of stale windows would request, at once, until nothing waits. Returns the runs."""
    done = []
    while planned := list(_due(pipeline)):
        for run in planned:
            before_run(run)
            _execute(jobs.OF[run.kind], tags=partitions.range_tags(run.first, run.last))
            done.append(run)
    return done


def _due(pipeline: Pipeline) -> Iterator[RangeRun]:
    waiting = [replace(window, requested_at=None) for window in stale.pending(pipeline.warehouse)]
    at_once = timedelta(0)
    yield from stale.plan_runs(waiting, pipeline.clock.now(), at_once, at_once)


def _execute(
    job_name: str, config: dict[str, Any] | None = None, *, tags: Mapping[str, str] | None = None, **options: Any
) -> None:
    job = _definitions().resolve_job_def(job_name)
    try:
        with dg.DagsterInstance.get() as instance:
            job.execute_in_process(
                run_config={**QUIET, **(config or {})}, instance=instance, tags={**LOCATION, **(tags or {})}, **options
            )
    except DagsterExecutionInterruptedError as interrupt:
        raise KeyboardInterrupt from interrupt
    except dg.DagsterError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, CgError):
            cause = cause.__cause__
        raise cause or error from error


@cache
def _definitions() -> dg.Definitions:
    from cg_pipeline.definitions import defs  # noqa: PLC0415  which loads this folder

    return defs()
