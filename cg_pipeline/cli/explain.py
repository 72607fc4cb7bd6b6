"""`cg explain`: from a number back to the payloads that it came from."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer

from cg_pipeline.cli.context import ready
from cg_pipeline.cli.output import AsJson, console, print_json, show
from cg_pipeline.history.explain import DayDelta, DeltaExplanation, SnapshotFacts, command, explain_delta
from cg_pipeline.history.windows import Kind
from cg_pipeline.royalties.explain import RoyaltyExplanation, explain_royalty
from cg_pipeline.warehouse.models.enums import DeltaPeriod

SHOWN = 100

app = typer.Typer(
    help="Where a number comes from: rates, deltas, snapshots, captures, files or requests, payloads.",
    no_args_is_help=True,
)


@app.command()
def delta(
    post: Annotated[str, typer.Argument(help="Id of the post, such as facebook_1234567890.")],
    period: Annotated[DeltaPeriod, typer.Argument(help="Length of the window.")],
    day: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], metavar="DAY", help="Any day of the window.")],
    as_json: AsJson = False,
) -> None:
    """Explain a delta, and work it out once more from the snapshots.

    checks: yes means that all that is stored is what the snapshots say.
    """
    pipeline = ready()
    with pipeline.warehouse.connect() as connection:
        found = explain_delta(connection, post, Kind(period), day.date(), pipeline.settings.timezone)
    if as_json:
        print_json(asdict(found) | {"checks": found.checks})
    else:
        _print_delta(found)


@app.command()
def royalty(
    artist: Annotated[str, typer.Argument(help='Name or id of the artist; or "(suspense)" or "(house)".')],
    month: Annotated[datetime, typer.Argument(formats=["%Y-%m"], metavar="YYYY-MM", help="The month.")],
    post: Annotated[str | None, typer.Option(help="Only this post, by id.")] = None,
    as_json: AsJson = False,
) -> None:
    """Explain what a payee has in a month, and work it out once more from deltas and rates.

    checks: yes means that all lines are, to the last decimal, the daily deltas at the rates in force.
    """
    with ready().warehouse.connect() as connection:
        found = explain_royalty(connection, artist, month.date(), post)
    if as_json:
        print_json(asdict(found) | {"checks": found.checks})
    else:
        _print_royalty(found)


def _print_delta(found: DeltaExplanation) -> None:
    post, is_daily = found.post, found.period is Kind.DAILY
    window = f"{found.start}" if is_daily else f"{found.start} to {found.last_day}"
    console.print(f'{post.post_id} "{post.title or ""}", {post.site or "(no site)"}: {found.period} delta of {window}')
    show([_of_row(found)], as_json=False, empty="")
    if not is_daily:
        show([vars(each) for each in found.sums], as_json=False, title="Sum of its days")
        show([_of_day(found, each) for each in found.days], as_json=False, title="Its days")
    elif found.days:
        show([vars(each) for each in found.days[0].metrics], as_json=False, title="Metrics")
    show([_of_snapshot(each) for each in found.snapshots], as_json=False, title="Snapshots", empty="No snapshot.")
    _print_captures(found)
    for payload in found.payloads:
        console.print(f"Payload of {payload.day} from {payload.source}: {payload.excerpt}")
        for metric, place in payload.fields.items():
            console.print(f"  {metric}: in {place}")
    _print_verdict(found)


def _print_captures(found: DeltaExplanation) -> None:
    title = "Captures behind them; of a day's several, the first wrote the row"
    empty = "No capture: their sync logs are pruned."
    show([_of_capture(row) for row in found.captures], as_json=False, title=title, empty=empty)
    if found.answers:
        answers = [{name: row[name] for name in ("received_at", "status", "request")} for row in found.answers]
        show(answers, as_json=False, title="Answers that mention the post, of the first and the last snapshot")
    elif any(row["reading_id"] for row in found.captures):
        console.print("The answers of the platform are not kept any more (CG_ANSWERS_KEPT_DAYS).")


def _of_row(found: DeltaExplanation) -> dict[str, Any]:
    row = found.row or {}
    names = ("from_date", "to_date", "currency", "earnings_delta", "opening_earnings", "views_delta", "growth_rate")
    told = {name: row.get(name) for name in (*names, "breaks", "artist", "computed_at")}
    return {"stored": found.row is not None, **told}


def _of_day(found: DeltaExplanation, day: DayDelta) -> dict[str, Any]:
    row = day.row or {}
    names = ("from_date", "currency", "earnings_delta", "opening_earnings", "views_delta")
    explained_by = command(found.post.post_id, Kind.DAILY, day.day)
    return {"day": day.day, **{name: row.get(name) for name in names}, "explained_by": explained_by}


def _of_snapshot(snapshot: SnapshotFacts) -> dict[str, Any]:
    values = {name.removeprefix("lifetime_"): value for name, value in snapshot.values.items()}
    return {
        "day": snapshot.day,
        "sources": ", ".join(snapshot.sources),
        "values": values,
        "currency": snapshot.currency,
        "observed_at": snapshot.observed_at,
        "capture": snapshot.capture,
        "layers": snapshot.layers,
        "corrected": [_of_restatement(each) for each in snapshot.restatements],
    }


def _of_restatement(restatement: Any) -> str:
    """What it said until then; which capture had told it is in `cg history`."""
    former = restatement["former"]
    if "_absent" in former:
        said = "was not there" if former["_absent"] else "was withdrawn"
    else:
        hidden = {"data_source", "observed_at", "sync_log_id", "site_id"}
        said = ", ".join(f"{name} {value}" for name, value in former.items() if name not in hidden)
    return f"until {restatement['restated_at'][:16].replace('T', ' ')} UTC: {said}"


def _of_capture(row: Any) -> dict[str, Any]:
    file = f"{row['file']} as of {row['as_of']} ({row['file_status']}), sha256 {row['sha256']}" if row["file"] else None
    names = ("wrote_the_row", "sync_log_id", "sync_type", "status", "started_at", "completed_at", "requests")
    told = {name: row[name] for name in names}
    return {"day": row["snapshot_date"], **told, "reading": row["reading_id"], "file": file}


def _print_royalty(found: RoyaltyExplanation) -> None:
    console.print(f"{found.payee}, {found.month:%B %Y}")
    show([vars(each) for each in found.totals], as_json=False, title="Money; amount: rounded together with all payees")
    show(
        [dict(row) for row in found.statements], as_json=False, title="Closed statements", empty="No closed statement."
    )
    _show_first([vars(each) for each in found.lines], "Lines, one per post and rate")
    show([dict(row) for row in found.rates], as_json=False, title="Rates", empty="No rate in force.")
    _show_first([vars(each) for each in found.owners], "Whose the posts are, and why")
    _show_first([vars(each) for each in found.earnings], "Daily deltas at the rate in force: delta x rate = share")
    _print_verdict(found)


def _show_first(rows: Sequence[dict[str, Any]], title: str) -> None:
    show(rows[:SHOWN], as_json=False, title=title, empty=f"{title}: none.")
    if len(rows) > SHOWN:
        console.print(f"The first {SHOWN} of {len(rows)}; all with --json, one post's with --post.")


def _print_verdict(found: DeltaExplanation | RoyaltyExplanation) -> None:
    """Whether the stored numbers agree, and whether something waits to change them."""
    console.print(f"checks: {'yes' if found.checks else 'no'}")
    for each in found.disagreements[:SHOWN]:
        console.print(f"  {each}")
    for row in found.stale:
        marked = f"{row['marked_at']:%Y-%m-%d %H:%M} UTC"
        console.print(f"stale: {row['kind']} {row['window_start']}, since {marked}: it will be recomputed.")
    if found.stale or not found.checks:
        console.print("`cg deltas refresh` recomputes what is stale.")
