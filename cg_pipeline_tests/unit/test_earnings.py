"""Money in exports: which columns add up, in which currency, and what happens when none is known."""

from decimal import Decimal

import pytest

from cg_pipeline.capture.layouts.base import Context, Layout
from cg_pipeline.capture.layouts.mapped import ColumnMapping, layout_of
from cg_pipeline.capture.layouts.meta import BUSINESS_SUITE_FACEBOOK
from cg_pipeline.capture.layouts.studio import YOUTUBE_STUDIO
from cg_pipeline_tests.unit.exports import CHANNEL, CONTEXT, DAY, FACEBOOK, YOUTUBE, Row, observe, refused, rejected

ESTIMATED, MONETIZATION, STARS, CPM = (
    "Estimated earnings (USD)",
    "Approximate content monetization earnings",
    "Estimated stars earnings (USD)",
    "Ad CPM (USD)",
)
UNNAMED: Row = {
    heading.removesuffix(" (USD)"): cell for heading, cell in FACEBOOK.items() if heading not in {ESTIMATED, STARS, CPM}
}
IN_EUROS = Context(DAY, CONTEXT.timezone, CHANNEL, {("facebook", "1002003004"): "EUR", ("youtube", "UCdemo"): "EUR"})


def mapped(currency: str | None = None) -> Layout:
    columns = {"post_id": "id", "views": "views", "lifetime_earnings": "revenue", "estimated_cpm": "cpm"}
    return layout_of(ColumnMapping(columns, currency), "youtube")


def table(revenue: str = "revenue", cpm: str = "cpm", earned: str = "1.5") -> Row:
    return {"id": "-aB3_cD4eF5", "views": "10", revenue: earned, cpm: "2"}


@pytest.mark.parametrize(
    ("estimated", "monetization", "stars", "total"),
    [
        ("0.10", "3.42", "1", "4.52"),
        ("0.00", "3.42", "", "3.42"),  # a page in Content Monetization
        ("", "", "", None),  # a photo: unknown, not zero
        ("0", "", "", "0"),
        ("", "1,234.56", "", "1234.56"),
        ("-0.30", "0.20", "", "-0.10"),  # a correction by Meta
        ("0.1", "0.2", "", "0.3"),  # not 0.30000000000000004
    ],
)
def test_the_kinds_of_earnings_add_up(estimated: str, monetization: str, stars: str, total: str | None) -> None:
    seen = observe(
        BUSINESS_SUITE_FACEBOOK, {**FACEBOOK, ESTIMATED: estimated, MONETIZATION: monetization, STARS: stars, CPM: ""}
    )
    assert seen.metrics.get("lifetime_earnings") == (None if total is None else Decimal(total))
    assert seen.currency == (None if total is None else "USD")
    assert seen.problem is None


@pytest.mark.parametrize(
    ("layout", "row", "context", "currency"),
    [
        pytest.param(BUSINESS_SUITE_FACEBOOK, FACEBOOK, CONTEXT, "USD", id="heading"),
        pytest.param(BUSINESS_SUITE_FACEBOOK, FACEBOOK, IN_EUROS, "USD", id="heading before site"),
        pytest.param(BUSINESS_SUITE_FACEBOOK, UNNAMED, IN_EUROS, "EUR", id="site"),
        pytest.param(YOUTUBE_STUDIO, YOUTUBE, IN_EUROS, "USD", id="YouTube heading"),
        pytest.param(mapped(), table("revenue (CHF)"), IN_EUROS, "CHF", id="mapped: heading before site"),
        pytest.param(mapped(), table("Revenue (chf)"), CONTEXT, "CHF", id="mapped: heading in small letters"),
        pytest.param(mapped("GBP"), table(), IN_EUROS, "GBP", id="mapped: mapping before site"),
        pytest.param(mapped("GBP"), table("revenue (CHF)"), CONTEXT, "CHF", id="mapped: heading before mapping"),
        pytest.param(mapped(), table(), IN_EUROS, "EUR", id="mapped: site"),
        pytest.param(
            mapped("GBP"), table("revenue", "cpm (GBP)"), CONTEXT, "GBP", id="mapped: mapping and heading agree"
        ),
    ],
)
def test_the_currency_is_that_of_the_heading_else_of_the_mapping_else_of_the_site(
    layout: Layout, row: Row, context: Context, currency: str
) -> None:
    seen = observe(layout, row, context)
    assert (seen.currency, seen.problem) == (currency, None)
    assert "lifetime_earnings" in seen.metrics


@pytest.mark.parametrize(
    ("layout", "row", "amount", "site"),
    [(BUSINESS_SUITE_FACEBOOK, UNNAMED, "3.42", "Demo Page"), (mapped(), table(), "1.5", "Demo Channel")],
)
def test_earnings_without_a_currency_are_not_paid_and_the_rest_lands(
    layout: Layout, row: Row, amount: str, site: str
) -> None:
    seen = observe(layout, row)
    assert seen.problem == (
        f"earnings of {amount} without a currency are not paid: set it with "
        f'`cg site set "{site}" currency USD`, then load the day again with `cg csv reload`'
    )
    assert "lifetime_earnings" not in seen.metrics
    assert seen.metrics["views"]
    assert seen.currency is None


def test_no_currency_is_missed_where_nothing_was_earned() -> None:
    seen = observe(mapped(), {"id": "-aB3_cD4eF5", "views": "10", "revenue": "", "cpm": ""})
    assert (seen.metrics, seen.currency, seen.problem) == ({"views": 10}, None, None)


@pytest.mark.parametrize(
    ("headings", "saying", "column"),
    [
        ([*FACEBOOK, "Estimated earnings (EUR)"], "The heading occurs twice", ESTIMATED),
        ([*FACEBOOK, "Estimated earnings"], "The heading occurs twice", ESTIMATED),
        ([*UNNAMED, ESTIMATED, "Ad CPM (EUR)"], "The headings name several currencies: EUR, USD.", None),
    ],
)
def test_headings_with_two_currencies_are_refused(headings: list[str], saying: str, column: str | None) -> None:
    with refused(saying, column=column):
        BUSINESS_SUITE_FACEBOOK.bind(headings, CONTEXT)


def test_a_price_does_not_rename_earnings_that_the_mapping_has_in_another_currency() -> None:
    with refused("The headings name several currencies: EUR, USD."):
        mapped("EUR").bind(list(table("revenue", "cpm (USD)")), CONTEXT)


def test_a_word_in_brackets_is_no_currency() -> None:
    layout = layout_of(ColumnMapping({"post_id": "id", "lifetime_earnings": "Revenue (net)"}, "EUR"), "youtube")
    assert observe(layout, {"id": "-aB3_cD4eF5", "Revenue (net)": "1.5"}).currency == "EUR"


@pytest.mark.parametrize("amount", ["0,024", "25,563", "3.42 EUR", "1.2E+4", "122164187384762707"])
def test_an_amount_that_cannot_be_read_quarantines_its_row(amount: str) -> None:
    assert rejected(BUSINESS_SUITE_FACEBOOK, {**FACEBOOK, ESTIMATED: amount}).problem_column == ESTIMATED
    assert rejected(mapped("EUR"), table(earned=amount)).problem_column == "revenue"
