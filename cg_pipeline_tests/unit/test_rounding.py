"""Rounding to what can be paid: the parts add up to the whole, and nobody is off by a whole unit."""

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cg_pipeline.royalties.rounding import THOUSANDTHS, WHOLE, round_to_whole, smallest_unit

currencies = st.sampled_from(["USD", "EUR", "JPY", "KWD"])
amounts = st.decimals(min_value=-(10**9), max_value=10**9, places=12)
small = st.integers(-400, 400).map(lambda number: Decimal(number) / 400)
several = st.lists(amounts | small, max_size=12)


@given(parts=several, currency=currencies)
def test_the_parts_add_up_to_the_rounded_sum(parts: list[Decimal], currency: str) -> None:
    rounded = round_to_whole(parts, currency)

    assert len(rounded) == len(parts)
    assert sum(rounded, Decimal()) == sum(parts, Decimal()).quantize(smallest_unit(currency), ROUND_HALF_EVEN)


@given(parts=several, currency=currencies)
def test_each_part_is_payable_and_less_than_one_unit_off(parts: list[Decimal], currency: str) -> None:
    unit = smallest_unit(currency)

    for part, rounded in zip(parts, round_to_whole(parts, currency), strict=True):
        assert rounded % unit == 0
        assert abs(rounded - part) < unit


@given(parts=several, currency=currencies)
def test_a_part_that_can_be_paid_as_it_is_stays(parts: list[Decimal], currency: str) -> None:
    unit = smallest_unit(currency)
    payable = [round(part / unit) * unit for part in parts]

    assert round_to_whole(payable, currency) == payable
    for part, rounded in zip(parts, round_to_whole(parts, currency), strict=True):
        assert part % unit != 0 or rounded == part


@given(parts=several, currency=currencies)
def test_a_missing_unit_goes_to_the_part_that_lost_most_and_among_equals_to_the_earlier_one(
    parts: list[Decimal], currency: str
) -> None:
    unit = smallest_unit(currency)
    losses = [part % unit if part >= 0 else part % unit + (unit if part % unit else 0) for part in parts]
    raised = [rounded > part for part, rounded in zip(parts, round_to_whole(parts, currency), strict=True)]

    for earlier, loss in enumerate(losses):
        for later in range(earlier + 1, len(parts)):
            assert not (raised[later] and not raised[earlier] and losses[later] <= loss)
            assert not (raised[earlier] and not raised[later] and losses[later] > loss)


@given(parts=several, currency=currencies, data=st.data())
def test_the_order_of_the_parts_decides_only_among_equal_losses(
    parts: list[Decimal], currency: str, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(parts))

    assert _gains(shuffled, currency) == _gains(parts, currency)


def _gains(parts: list[Decimal], currency: str) -> list[Decimal]:
    rounded = round_to_whole(parts, currency)
    return sorted(after - before for before, after in zip(parts, rounded, strict=True))


@pytest.mark.parametrize(
    ("parts", "currency", "rounded"),
    [
        (["0.333333", "0.333333", "0.333334"], "USD", ["0.33", "0.33", "0.34"]),
        (["0.005", "0.005"], "USD", ["0.01", "0.00"]),
        (["0.005"], "USD", ["0.00"]),
        (["0.015"], "USD", ["0.02"]),
        (["-0.005", "-0.005"], "USD", ["0.00", "-0.01"]),
        (["-0.333333", "-0.333333", "-0.333334"], "USD", ["-0.33", "-0.33", "-0.34"]),
        (["10.5", "-10.5"], "JPY", ["11", "-11"]),
        (["33.4", "33.3", "33.3"], "JPY", ["34", "33", "33"]),
        (["0.0004", "0.0004", "0.0004"], "KWD", ["0.001", "0.000", "0.000"]),
        (["1.005"], "KWD", ["1.005"]),
        ([], "USD", []),
    ],
)
def test_amounts_are_rounded_like_this(parts: list[str], currency: str, rounded: list[str]) -> None:
    assert [str(amount) for amount in round_to_whole([Decimal(part) for part in parts], currency)] == rounded


def test_the_largest_shares_are_rounded_without_losing_a_digit() -> None:
    """Earnings have up to 14 digits before the point, shares of them 12 after it."""
    parts = [Decimal("99999999999999.005000000001"), Decimal("-99999999999999.000000000000")]

    assert round_to_whole(parts, "USD") == [Decimal("99999999999999.01"), Decimal("-99999999999999.00")]


@pytest.mark.parametrize(("currency", "unit"), [("USD", "0.01"), ("EUR", "0.01"), ("JPY", "1"), ("KWD", "0.001")])
def test_a_currency_has_a_smallest_unit(currency: str, unit: str) -> None:
    assert smallest_unit(currency) == Decimal(unit)


def test_no_currency_has_two_smallest_units() -> None:
    assert not WHOLE & THOUSANDTHS
