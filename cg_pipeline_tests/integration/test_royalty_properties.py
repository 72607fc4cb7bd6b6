"""No cent is lost or made: whatever rates and assignments do, artists, house and suspense have the platforms' money."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from hypothesis import given

from cg_pipeline.history import checks
from cg_pipeline.history.windows import Kind, start_of
from cg_pipeline.royalties.accruals import payee_totals, tie_out
from cg_pipeline.royalties.rounding import smallest_unit
from cg_pipeline_tests.integration.histories import DAYS, Step, scripts
from cg_pipeline_tests.integration.lab import UTC_ZONE, Lab, examples
from cg_pipeline_tests.integration.reference import Reference

MONTHS = sorted({day.replace(day=1) for day in DAYS})
LONGER = (Kind.WEEKLY, Kind.MONTHLY, Kind.QUARTERLY)


@given(script=scripts(paid=True))
@examples(25)
def test_artists_house_and_suspense_have_exactly_the_money_of_the_platforms(lab: Lab, script: Sequence[Step]) -> None:
    lab.empty()
    for step in script:
        step(lab)
    lab.recompute()
    platform = Reference(lab.told).platform_money()

    with lab.warehouse.connect() as connection:
        shares = {(month, line.currency): line for month in MONTHS for line in tie_out(connection, month)}
        totals = payee_totals(connection)
    assert {key: line.platform for key, line in shares.items()} == platform
    for line in shares.values():
        assert line.artist_share + line.house_share + line.suspense == line.platform
        assert line.difference == 0

    paid: dict[tuple[date, str], Decimal] = {}
    for total in totals:
        key = (total.month, total.currency)
        paid[key] = paid.get(key, Decimal()) + total.amount
        assert total.amount % smallest_unit(total.currency) == 0
        assert total.platform == round(platform[total.month, total.currency], 2)
    assert paid == {key: round(platform[key], 2) for key in paid}
    assert {key for key, money in platform.items() if money} <= paid.keys()


@given(script=scripts(paid=True))
@examples(20)
def test_every_invariant_holds_on_whatever_was_captured_and_recomputed(lab: Lab, script: Sequence[Step]) -> None:
    """The checks that run in Dagster raise no false alarm."""
    lab.empty()
    for step in script:
        step(lab)
    lab.recompute()
    months, subject = (MONTHS[0], MONTHS[-1]), checks.Subject(UTC_ZONE)

    with lab.warehouse.connect() as connection:
        for day in DAYS:
            assert checks.ask(connection, "telescoping", Kind.DAILY, day, day, subject).holds
        assert checks.ask(connection, "telescoping", Kind.DAILY, DAYS[0], DAYS[-1], subject).holds
        for kind in (Kind.MONTHLY, Kind.ROYALTY):
            assert checks.ask(connection, "telescoping", kind, *months, subject).holds
        for kind in LONGER:
            first, last = start_of(kind, DAYS[0]), start_of(kind, DAYS[-1])
            assert checks.ask(connection, "sums", kind, first, last, subject).holds
        assert checks.ask(connection, "tie_out", Kind.ROYALTY, *months, subject).holds
        assert checks.ask(connection, "repeated_keys", Kind.DAILY, DAYS[0], DAYS[-1], subject).holds
