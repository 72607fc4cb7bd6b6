"""Runs that nobody executes any more. Dagster's default launcher cannot tell whether the process of a run lives: a run
that was cut off would count as running, and hold its place in the queue, until its longest time is over."""

import dagster as dg
from dagster._core.storage.tags import GRPC_INFO_TAG


def fail_abandoned() -> int:
    """Mark the runs that a daemon or webserver had launched and that have not ended as failed, and return how many.

    Only while none of them runs. The daemon's retries take the runs up again.
    """
    in_progress = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
    with dg.DagsterInstance.get() as instance:
        dead = [run for run in instance.get_runs(in_progress) if GRPC_INFO_TAG in run.tags]
        for run in dead:
            instance.report_run_failed(run, "The pipeline was stopped while this ran.")
    return len(dead)
