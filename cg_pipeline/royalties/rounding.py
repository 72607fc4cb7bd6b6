"""Rounding money to what can be paid, so that the parts still add up to the whole. Pure functions only."""

from collections.abc import Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

# ISO 4217: the currencies whose smallest unit is not a hundredth.
WHOLE = {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"}
THOUSANDTHS = {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}


def smallest_unit(currency: str) -> Decimal:
    """The smallest amount that can be paid in a currency (ISO 4217): 0.01 for most, 1 yen, 0.001 dinar."""
    if currency in WHOLE:
        return Decimal(1)
    return Decimal("0.001") if currency in THOUSANDTHS else Decimal("0.01")


def round_to_whole(amounts: Sequence[Decimal], currency: str) -> list[Decimal]:
    """Round each amount to the smallest unit so that the results add up to their sum, itself rounded half to even.

    Largest remainder: all are rounded down, and the units that are then missing go to the amounts that lost most; among
    equals to the earlier one.
    """
    unit = smallest_unit(currency)
    rounded = [amount.quantize(unit, ROUND_FLOOR) for amount in amounts]
    total = sum(amounts, Decimal()).quantize(unit, ROUND_HALF_EVEN)
    missing = int((total - sum(rounded, Decimal())) / unit)
    by_loss = sorted(range(len(amounts)), key=lambda index: rounded[index] - amounts[index])
    for index in by_loss[:missing]:
        rounded[index] += unit
    return rounded
