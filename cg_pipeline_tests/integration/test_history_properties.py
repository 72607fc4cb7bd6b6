"""Any history, in any order, ends in what the reference says: captured through staging, recomputed only where stale."""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from cg_pipeline.history import checks, deltas
from cg_pipeline.history.breaks import Break
from cg_pipeline.history.windows import Kind, start_of
from cg_pipeline.royalties import accruals
from cg_pipeline_tests.integration.histories import (
    DAYS,
    Redefine,
    Step,
    definition_breaks,
    histories,
    orders,
    scripts,
)
from cg_pipeline_tests.integration.lab import UTC_ZONE, Lab, Tables, differences, examples, expected
from cg_pipeline_tests.integration.reference import COUNTERS, PERIODS, File, Reference
from cg_pipeline_tests.integration.tables import row_versions, stored_tables

LOS_ANGELES = ZoneInfo("America/Los_Angeles")
zones = st.sampled_from([UTC_ZONE, LOS_ANGELES])
DELTAS = (Kind.DAILY, Kind.WEEKLY, Kind.MONTHLY, Kind.QUARTERLY)


@given(told=histories(), breaks=definition_breaks, zone=zones)
@examples(15)
def test_any_history_ends_in_what_the_reference_says(
    lab: Lab, told: dict[date, list[File]], breaks: Sequence[Break], zone: ZoneInfo
) -> None:
    lab.empty(zone)
    Redefine(breaks)(lab)
    for day, files in told.items():
        lab.capture(day, *files)
    lab.recompute()

    assert not differences(lab.stored(), expected(lab.told))
    assert _named(lab) == Reference(lab.told).breaks


@given(data=st.data(), told=histories(), breaks=definition_breaks, zone=zones)
@examples(20)
def test_the_order_in_which_days_and_breaks_become_known_does_not_matter(
    lab: Lab, data: st.DataObject, told: dict[date, list[File]], breaks: Sequence[Break], zone: ZoneInfo
) -> None:
    def run(steps: Iterable[Step]) -> dict[str, list[str]]:
        lab.empty(zone)
        Redefine([])(lab)
        for step in steps:
            step(lab)
        lab.recompute()
        return stored_tables(lab.warehouse)

    in_order = run([Redefine(breaks), *data.draw(orders(told, shuffle=False))])
    steps = data.draw(orders(told))
    steps.insert(data.draw(st.integers(0, len(steps))), Redefine(breaks))
    shuffled = run(steps)

    assert shuffled == in_order
    assert not differences(lab.stored(), expected(lab.told))


@given(script=scripts(), zone=zones)
@examples(40)
def test_what_is_not_marked_stale_is_right_at_any_time(lab: Lab, script: Sequence[Step], zone: ZoneInfo) -> None:
    """Late files, corrections, withdrawals, assignments, rates, settings and definition breaks, with recomputation in
    between."""
    lab.empty(zone)
    for number, step in enumerate(script):
        step(lab)
        assert not lab.unsound(), f"after step {number}: {step}"
    lab.recompute()

    assert not lab.unsound()
    assert not lab.stale()
    assert _named(lab) == Reference(lab.told).breaks


@given(told=histories(), breaks=definition_breaks, zone=zones)
@examples(20)
def test_deltas_telescope_between_breaks_and_without_them_are_as_if_there_had_been_none(
    lab: Lab, told: dict[date, list[File]], breaks: Sequence[Break], zone: ZoneInfo
) -> None:
    lab.empty(zone)
    Redefine([])(lab)
    for day, files in told.items():
        lab.capture(day, *files)
    lab.recompute()
    before = stored_tables(lab.warehouse)

    Redefine(breaks)(lab)
    assert not lab.unsound()
    lab.recompute()
    assert not differences(lab.stored(), expected(lab.told))
    assert not _broken_invariants(lab)

    Redefine([])(lab)
    lab.recompute()
    assert stored_tables(lab.warehouse) == before


@given(told=histories(), again=st.sampled_from(["rebuilt", "loaded twice"]))
@examples(20)
def test_capturing_and_recomputing_again_writes_nothing(lab: Lab, told: dict[date, list[File]], again: str) -> None:
    lab.empty()
    for day, files in told.items():
        lab.capture(day, *files)
    lab.recompute()
    before = row_versions(lab.warehouse)

    for day, files in told.items():
        merged = lab.capture(day, *files, replace=again == "rebuilt")
        assert (merged.changed, merged.changed_posts) == (0, 0)
    assert not lab.stale()
    for kind in DELTAS:
        done = deltas.recompute(lab.warehouse, kind, _windows(kind), UTC_ZONE, lab.clock)
        assert (done.written, done.removed) == (0, 0)
    done = accruals.accrue(lab.warehouse, _windows(Kind.ROYALTY), UTC_ZONE, lab.clock)
    assert (done.written, done.removed) == (0, 0)
    assert not lab.stale()
    assert row_versions(lab.warehouse) == before


@given(wrong=histories(), right=histories(most_rows=12), between=st.booleans())
@examples(20)
def test_corrected_days_end_as_if_only_the_last_files_had_ever_existed(
    lab: Lab, wrong: dict[date, list[File]], right: dict[date, list[File]], between: bool
) -> None:
    def run(captures: Iterable[tuple[date, list[File], bool]]) -> Tables:
        for day, files, replace in captures:
            lab.capture(day, *files, replace=replace)
            if between:
                lab.recompute()
        lab.recompute()
        return lab.stored()

    lab.empty()
    corrected = run(
        [(day, files, False) for day, files in wrong.items()] + [(day, right.get(day, []), True) for day in DAYS]
    )
    lab.empty()
    clean = run([(day, files, False) for day, files in right.items()])

    assert not differences(corrected, clean)


@given(told=histories())
@examples(20)
def test_daily_deltas_and_the_opening_balance_add_up_to_the_last_known_value(
    lab: Lab, told: dict[date, list[File]]
) -> None:
    lab.empty()
    for day, files in told.items():
        lab.capture(day, *files)
    lab.recompute()
    stored = lab.stored()

    for post in stored["posts"]:
        days = sorted(day for known, day in stored["snapshots"] if known == post)
        snapshots = [stored["snapshots"][post, day] for day in days]
        rows = [stored["daily"][post, day] for day in days]
        for name, metric in COUNTERS.items():
            known = [
                (seen["metrics"][metric], row[name])
                for seen, row in zip(snapshots, rows, strict=True)
                if metric in seen["metrics"]
            ]
            if known:
                opening = known[0][0] if known[0][1] is None else 0
                assert opening + sum(delta or 0 for _, delta in known) == known[-1][0]
        for currency in {row["currency"] for row in rows} - {None}:
            earned = [
                (seen["metrics"]["lifetime_earnings"], row)
                for seen, row in zip(snapshots, rows, strict=True)
                if row["currency"] == currency
            ]
            added = sum(
                (_money(row["earnings_delta"]) + _money(row["opening_earnings"]) for _, row in earned), Decimal()
            )
            assert added == earned[-1][0]
    _assert_sums(stored)


def _assert_sums(stored: Tables) -> None:
    """Longer windows are their days added up, money only where it is of one currency."""
    for period in PERIODS:
        sums: dict[tuple[str, date], list[dict[str, Any]]] = {}
        for (post, day), row in stored["daily"].items():
            sums.setdefault((post, start_of(Kind(period), day)), []).append(row)
        assert sums.keys() == stored[period].keys()
        for key, rows in sums.items():
            names = [*COUNTERS]
            if len({row["currency"] for row in rows} - {None}) < 2:
                names += ["earnings_delta", "opening_earnings"]
            else:
                assert stored[period][key]["currency"] is None
            for name in names:
                known = [row[name] for row in rows if row[name] is not None]
                assert stored[period][key][name] == (sum(known) if known else None)


def _named(lab: Lab) -> dict[tuple[str, str, date], list[str]]:
    """What the rows say is not compared, where they say anything."""
    rows = lab.rows("select period::text, post_id, period_start, breaks from deltas where breaks is not null")
    return {(row["period"], row["post_id"], row["period_start"]): row["breaks"] for row in rows}


def _broken_invariants(lab: Lab) -> list[Any]:
    """What the checks find in windows of every kind, each by itself and all together."""
    subject = checks.Subject(lab.told.zone)
    questions = [("telescoping", kind) for kind in Kind] + [("sums", kind) for kind in DELTAS if kind != Kind.DAILY]
    with lab.warehouse.connect() as connection:
        return [
            (name, kind, first, row)
            for name, kind in questions
            for starts in [_windows(kind)]
            for first, last in [(starts[0], starts[-1]), *zip(starts, starts, strict=True)]
            for row in checks.ask(connection, name, kind, first, last, subject).rows
        ]


def _money(amount: Decimal | None) -> Decimal:
    return amount or Decimal()


def _windows(kind: Kind) -> list[date]:
    return sorted({start_of(kind, day) for day in DAYS})
