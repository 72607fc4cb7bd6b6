"""`cg backfill`: past days, planned with what they cost and change, and brought by Dagster's jobs."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any

import typer

from cg_pipeline.capture import backfill
from cg_pipeline.capture.backfill import DUE, Day, Means, Plan, Rehearsed, Run, State, Wanted
from cg_pipeline.cli import context
from cg_pipeline.cli.output import AsJson, console, errors, print_json, show, steps
from cg_pipeline.errors import CgError
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.warehouse.models.enums import DataSource

SHOWN = 40
UNKNOWN = "unknown until the platform is asked"

app = typer.Typer(help="Backfills: plan what past days cost and change, and bring them.", no_args_is_help=True)

Source = Annotated[DataSource, typer.Option("--platform", help="The source: csv, or a platform.")]
From = Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], metavar="DATE", help="First day.")]
To = Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], metavar="DATE", help="Last day.")]
Sites = Annotated[list[str] | None, typer.Option("--site", help="Only this site; may be given several times.")]
MissingOnly = Annotated[bool, typer.Option("--missing-only", help="Only days that nothing has tried to bring.")]
FailedOnly = Annotated[bool, typer.Option("--failed-only", help="Only days whose last attempt did not end well.")]
Again = Annotated[
    bool, typer.Option("--again", help="Also days that are done: after a mapping or a setting has changed.")
]
NewestFirst = Annotated[bool, typer.Option("--newest-first", help="Begin with the newest days.")]


@app.command("plan")
def plan_(
    source: Source,
    from_day: From,
    to_day: To,
    site: Sites = None,
    missing_only: MissingOnly = False,
    failed_only: FailedOnly = False,
    again: Again = False,
    newest_first: NewestFirst = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not try what would change, which takes as long as doing it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the runs that would bring the days that are missing or failed: requests, quota, time, and what would change.

    What would change is found by doing it and rolling it back. Nothing is written, and no platform is asked.
    """
    pipeline = context.ready()
    states = _states(missing_only=missing_only, failed_only=failed_only, again=again)
    wanted = _wanted(pipeline, source, from_day, to_day, site, states, newest_first=newest_first)
    made = backfill.plan(pipeline.platforms, pipeline.inbox, wanted)
    _show(pipeline, made, None if quick else _rehearse(pipeline, made.runs), as_json=as_json)


@app.command()
def apply(
    source: Source,
    from_day: From,
    to_day: To,
    site: Sites = None,
    missing_only: MissingOnly = False,
    failed_only: FailedOnly = False,
    again: Again = False,
    newest_first: NewestFirst = False,
    most_runs: Annotated[
        int | None, typer.Option("--most-runs", help="Stop after so many runs; the next call goes on.", min=1)
    ] = None,
    capture_only: Annotated[
        bool, typer.Option("--capture-only", help="Leave deltas and royalties to the sensor that `cg up` runs.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only try it, roll it back, and prove that.")] = False,
) -> None:
    """Bring the days that are missing or failed by Dagster's jobs, then recompute deltas and royalties.

    Each day lands by itself: after an interruption the same command goes on with what is left.
    """
    pipeline = context.ready()
    states = _states(missing_only=missing_only, failed_only=failed_only, again=again)
    wanted = _wanted(pipeline, source, from_day, to_day, site, states, newest_first=newest_first)
    made = backfill.plan(pipeline.platforms, pipeline.inbox, wanted)
    runs = made.runs[:most_runs]
    if dry_run:
        _prove(pipeline, Plan(made.days, runs))
        return
    problems = _execute(pipeline, runs, capture_only=capture_only)
    left = backfill.plan(pipeline.platforms, pipeline.inbox, wanted)
    _show_states(left.days)
    for problem in problems:
        errors.print(problem)
    todo = [day for day in left.days if day.state in wanted.states & DUE]
    if todo:
        errors.print(f"{len(todo)} days are still to be brought; the first: {_name(todo[0])}: {todo[0].reason}")
    if problems or todo:
        raise typer.Exit(1)


def _states(*, missing_only: bool, failed_only: bool, again: bool) -> frozenset[State]:
    if missing_only + failed_only + again > 1:
        message = "--missing-only, --failed-only and --again exclude one another."
        raise typer.BadParameter(message)
    if missing_only or failed_only:
        return frozenset({State.MISSING if missing_only else State.FAILED})
    return DUE | {State.CAPTURED} if again else DUE


def _wanted(
    pipeline: Pipeline, source: str, from_day: datetime, to_day: datetime, sites: Sequence[str] | None,
    states: frozenset[State], *, newest_first: bool,
) -> Wanted:  # fmt: skip
    first, last = context.day_in_history(pipeline, from_day), context.day_in_history(pipeline, to_day)
    if first > last:
        message = f"--from {first} lies after --to {last}."
        raise typer.BadParameter(message)
    return Wanted(str(source), first, last, sites or [], states, newest_first)


def _execute(pipeline: Pipeline, runs: Sequence[Run], *, capture_only: bool) -> list[str]:
    """Do the runs, then what they make stale. A run that fails does not stop the others; returns what they said."""
    problems = []
    with steps(len(runs)) as begin:
        for run in runs:
            begin(str(run))
            try:
                context.backfill(run)
            except CgError as problem:
                problems.append(f"{run}: {problem}")
        if not capture_only:
            context.refresh_stale(pipeline, lambda planned: begin(str(planned)))
    return problems


def _rehearse(pipeline: Pipeline, runs: Sequence[Run]) -> dict[Run, list[Rehearsed]]:
    """What each run would change."""
    tried: dict[Run, list[Rehearsed]] = {}
    with steps(len(runs)) as begin:
        for run in runs:
            begin(f"trying {run}")
            tried[run] = list(backfill.rehearse(pipeline.platforms, pipeline.inbox, run))
    return tried


def _prove(pipeline: Pipeline, made: Plan) -> None:
    """Show what would change, and that nothing has."""
    tried = _rehearse(pipeline, made.runs)
    _show(pipeline, made, tried, as_json=False)
    rehearsed = [each for of_run in tried.values() for each in of_run]
    if kept := backfill.not_rolled_back(pipeline.warehouse, rehearsed):
        errors.print(f"PostgreSQL does not confirm that the transactions {', '.join(kept)} were rolled back.")
        raise typer.Exit(1)
    console.print(
        "Nothing was written: the plan was made in a read-only transaction, no run was started, and PostgreSQL "
        f"confirms that the {len(rehearsed)} transactions in which it was tried were rolled back."
    )


def _show(pipeline: Pipeline, made: Plan, tried: dict[Run, list[Rehearsed]] | None, *, as_json: bool) -> None:
    lines = [_line(pipeline, run, None if tried is None else tried[run]) for run in made.runs]
    if as_json:
        print_json({"runs": lines, "days": [_day(day) for day in made.days]})
        return
    show(lines[:SHOWN], as_json=False, title="Runs", empty="Nothing is to be done.")
    if lines:
        console.print(_total(lines))
    for each in [each for of_run in (tried or {}).values() for each in of_run if each.message][:SHOWN]:
        errors.print(f"{each.day}{f' {each.site}' if each.site else ''}: {each.message}")
    _show_states(made.days)
    impossible = [day for day in made.days if day.state is State.IMPOSSIBLE]
    for reason, number in Counter(day.reason for day in impossible).most_common():
        first = next(day for day in impossible if day.reason == reason)
        console.print(f"{number} days cannot be brought, such as {_name(first)}: {reason}")


def _line(pipeline: Pipeline, run: Run, tried: Sequence[Rehearsed] | None) -> dict[str, Any]:
    """A run as a line of the plan."""
    experience = run.seconds(pipeline.settings.sites_at_once)
    seconds = sum(each.seconds for each in tried) if tried else experience
    line: dict[str, Any] = {
        "run": str(run), "days": len(run.days), "means": run.means,
        "sites": [site.connected.name for site in run.sites] or "all in the files", "requests": run.requests,
        "seconds": "no experience yet" if seconds is None else round(seconds, 1),
    }  # fmt: skip
    if run.means is Means.CAPTURE:
        return line | {"would_change": UNKNOWN}
    if tried is None:
        return line | {"would_change": "not tried"}
    counted = {
        name: sum(getattr(each, name) for each in tried) for name in ("inserted", "changed", "unchanged", "removed")
    }
    return line | {"would_change": counted}


def _total(lines: Sequence[dict[str, Any]]) -> str:
    known = [line["seconds"] for line in lines if not isinstance(line["seconds"], str)]
    time = f"about {sum(known):,.0f} seconds without deltas" if len(known) == len(lines) else "time: no experience yet"
    shown = f" The first {SHOWN} are shown, all with --json." if len(lines) > SHOWN else ""
    days, requests = sum(line["days"] for line in lines), sum(line["requests"] for line in lines)
    return f"{len(lines)} runs, {days:,} days, at least {requests:,} requests, {time}.{shown}"


def _show_states(days: Sequence[Day]) -> None:
    """How many days are in which state, and what is left of the quota, a line per site."""
    sites = {day.site.connected.id if day.site else None: day.site for day in days}
    lines = []
    for key, site in sites.items():
        mine = [day for day in days if (day.site.connected.id if day.site else None) == key]
        counted = Counter(day.state for day in mine)
        line: dict[str, Any] = {"site": site.connected.name if site else "the CSV inbox"}
        line |= {state.value: counted[state] for state in State}
        if site:
            asked = sum(day.state in DUE and day.means is Means.CAPTURE for day in mine)
            line |= {"requests": asked * site.requests(), "quota_left": site.connected.api_quota}
            line |= {"quota_reset": site.connected.api_quota_reset}
        lines.append(line)
    show(lines, as_json=False, title="Days", empty="No site is connected: cg site add PLATFORM ID.")


def _name(day: Day) -> str:
    return f"{day.day} of {day.site.connected.name}" if day.site else str(day.day)


def _day(day: Day) -> dict[str, date | str | None]:
    site = day.site.connected.name if day.site else None
    return {"day": day.day, "site": site, "state": day.state, "means": day.means, "reason": day.reason}
