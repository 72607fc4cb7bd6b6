"""What one CSV cell means."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cg_pipeline.capture import cells
from cg_pipeline_tests.unit.exports import steady

PACIFIC = ZoneInfo("America/Los_Angeles")
pacific_time = cells.timestamp(PACIFIC)
video_id = cells.identifier(r"[\w-]{11}")

NUMBERS = [cells.decimal, cells.integer, cells.count, cells.seconds, cells.hours, cells.duration]
WITH_BLANKS = [*NUMBERS, cells.label, cells.flag, pacific_time]


# text


@steady
@given(st.text())
def test_text_is_kept_but_for_the_blanks_around_it_and_only_nul_is_an_error(cell: str) -> None:
    if "\0" in cell:
        with pytest.raises(ValueError, match="NUL"):
            cells.text(cell)
    else:
        assert cells.text(cell) == (cell.strip() or None)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("", None),
        ("  \n", None),
        (" Waves\nat dusk ", "Waves\nat dusk"),
        ("N/A", "N/A"),  # may be somebody's title
        ("-", "-"),
        ("𝓦𝓪𝓿𝓮𝓼 🌊", "𝓦𝓪𝓿𝓮𝓼 🌊"),  # stylised letters are kept as written
    ],
)
def test_a_text_means_what_it_says(cell: str, value: str | None) -> None:
    assert cells.text(cell) == value


@pytest.mark.parametrize("parse", WITH_BLANKS)
@pytest.mark.parametrize("cell", ["", " ", "N/A", "n/a", "undefined", "NULL", "None", "NaN", "-", "--", "—", " – "])
def test_what_says_that_there_is_no_value_is_unknown_and_never_zero(parse: cells.Parser, cell: str) -> None:
    assert cells.is_blank(cell)
    assert parse(cell) is None


def test_a_label_is_a_text() -> None:
    assert cells.label(" ocean-pack ") == "ocean-pack"
    with pytest.raises(ValueError, match="NUL"):
        cells.label("a\0b")


# numbers


@steady
@given(st.integers(-cells.LARGEST_COUNT, cells.LARGEST_COUNT))
def test_a_whole_number_reads_back_with_and_without_thousands_separators(number: int) -> None:
    for cell in (f"{number}", f"{number:,}", f"{number}.0", f" {number} "):
        assert cells.integer(cell) == number


@steady
@given(st.decimals(-(10**9), 10**9, places=4))
def test_an_amount_reads_back_exactly(amount: Decimal) -> None:
    for cell in (f"{amount:f}", f"{amount:,f}", f"${amount:f}", f"{amount:f} €"):
        assert cells.decimal(cell) == amount


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("0", "0"),  # zero is known
        ("0.00", "0"),
        ("+5", "5"),
        ("$1,234.50", "1234.5"),
        ("1,234.50\u00a0€", "1234.5"),  # a space that does not break
        ("-0.5", "-0.5"),
        ("11806.817", "11806.817"),  # YouTube writes three decimals
        ("1,234,567", "1234567"),
    ],
)
def test_a_number_is_read_as_printed(cell: str, value: str) -> None:
    assert cells.decimal(cell) == Decimal(value)


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param("0,024", id="decimal comma: read as thousands it would be 24"),
        pytest.param("00,123", id="no thousands start with zero"),
        pytest.param("1.234,56", id="German"),
        pytest.param("1,5", id="decimal comma"),
        pytest.param("1,2345", id="groups of four"),
        pytest.param("12,34,567", id="Indian groups are not guessed at"),
        pytest.param("1.8E+5", id="exponent"),
        pytest.param("$", id="currency alone"),
        pytest.param("5 USD", id="currency in letters"),
        pytest.param("45%", id="percent sign"),
        pytest.param("1 234", id="space inside"),
        pytest.param("1_000", id="Python would take it"),
        pytest.param("Infinity", id="Decimal would take it"),
        pytest.param("12a", id="letter"),
        pytest.param("１２", id="digits of another script"),
        pytest.param("1\0", id="NUL"),
    ],
)
@pytest.mark.parametrize("parse", NUMBERS)
def test_what_is_no_number_is_an_error_that_quotes_it(parse: cells.Parser, cell: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        parse(cell)


@pytest.mark.parametrize(
    ("parse", "cell"),
    [
        (cells.integer, "1.5"),
        (cells.integer, str(2**63)),
        (cells.integer, f"-{2**63}"),
        (cells.count, "-1"),
        (cells.seconds, "9" * 19),
        (cells.hours, "9" * 17),
        (cells.duration, "9" * 12),  # posts.duration is an integer of 32 bits
        (cells.duration, "P99999DT0H"),
        (cells.duration, "-93"),
        (cells.decimal, "122164187384762707"),  # an id that was mapped to a money column
        (cells.average, "1000000"),  # snapshots.avg_watch_percentage has eight digits before the point
    ],
)
def test_a_number_that_its_column_cannot_hold_is_an_error(parse: cells.Parser, cell: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(cell)


@pytest.mark.parametrize("cell", ["25,563", "-1,234", "$1,500 "])
@pytest.mark.parametrize("parse", [cells.decimal, cells.average, cells.seconds, cells.hours, cells.duration])
def test_an_amount_with_one_comma_and_no_point_is_not_guessed_at(parse: cells.Parser, cell: str) -> None:
    with pytest.raises(ValueError, match="the comma may stand for decimals or for thousands"):
        parse(cell)


@pytest.mark.parametrize(
    ("parse", "cell", "value"),
    [
        (cells.average, "41.5", Decimal("41.5")),
        (cells.integer, "-3", -3),  # net subscribers fall
        (cells.integer, "12.00", 12),
        (cells.count, "1,234", 1234),
        (cells.count, "0", 0),
        (cells.seconds, "61200", 61200),
        (cells.seconds, "2.6", 3),
        (cells.hours, "313.7697", 1_129_571),
        (cells.hours, "0", 0),
        (cells.flag, "0", False),
        (cells.flag, "1", True),
        (cells.flag, " True ", True),
        (cells.flag, "FALSE", False),
    ],
)
def test_a_cell_has_its_value(parse: cells.Parser, cell: str, value: object) -> None:
    assert (parse(cell), type(parse(cell))) == (value, type(value))


@pytest.mark.parametrize("cell", ["2", "yes", "01", "\0"])
def test_a_flag_is_nothing_but_yes_or_no(cell: str) -> None:
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        cells.flag(cell)


# lengths


@steady
@given(st.integers(0, 9), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_length_reads_the_same_in_all_its_spellings(days: int, hours: int, minutes: int, seconds: int) -> None:
    length = int(timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds())
    spellings = (
        f"{length}",
        f"{days * 24 + hours}:{minutes:02}:{seconds:02}",
        f"P{days}DT{hours}H{minutes}M{seconds}S",
    )
    assert {cells.duration(spelling) for spelling in spellings} == {length}


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("PT1H", 3600),  # the API leaves parts out
        ("P1DT2H", 93_600),
        ("P1D", 86_400),
        ("P0D", None),  # a live stream that runs or is yet to come
        ("PT0S", 0),
        ("0", 0),  # Meta writes 0 for photos
        ("12.5", 12),
        ("0:13:29", 809),
    ],
)
def test_a_length_is_in_whole_seconds(cell: str, value: int | None) -> None:
    assert cells.duration(cell) == value


@pytest.mark.parametrize("cell", ["P", "PT", "P1DT", "PT1.5S", "1:33", "1:3:3", "P1W", "long"])
def test_a_length_that_says_nothing_clear_is_an_error(cell: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        cells.duration(cell)


# times

MOMENTS = st.integers(946_684_800, 2_208_988_800).map(lambda second: datetime.fromtimestamp(second, UTC))


@steady
@given(MOMENTS)
def test_a_wall_clock_time_is_the_first_moment_at_which_the_clock_showed_it(moment: datetime) -> None:
    shown = moment.astimezone(PACIFIC)
    meant = moment - timedelta(hours=shown.fold)
    for form in ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y, %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"):
        assert pacific_time(shown.strftime(form)) == meant.isoformat()


@steady
@given(MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_a_time_with_an_offset_needs_no_zone(moment: datetime, minutes: int) -> None:
    there = moment.astimezone(timezone(timedelta(minutes=minutes)))
    assert pacific_time(there.isoformat()) == moment.isoformat()


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("11/20/2026 08:04", "2026-11-20T16:04:00"),  # Business Suite in winter
        ("07/04/2025 21:30", "2025-07-05T04:30:00"),  # in summer, another day in UTC
        ("2021-12-16 09:00:00", "2021-12-16T17:00:00"),  # Creator Studio
        ("03/08/2026 02:30", "2026-03-08T10:30:00"),  # the clock skipped it: the offset before the change counts
        ("11/01/2026 01:30", "2026-11-01T08:30:00"),  # the clock showed it twice: the first counts
        ("11/01/2026 02:00", "2026-11-01T10:00:00"),
        ("Mar 5, 2026", "2026-03-05T08:00:00"),  # YouTube Studio gives the day only
        ("1/5/2026", "2026-01-05T08:00:00"),  # Creator Studio
        ("1/5/2026, 9:05", "2026-01-05T17:05:00"),
        ("2026-01-15T10:00:00Z", "2026-01-15T10:00:00"),
        ("2026-01-15T10:00:00+09:00", "2026-01-15T01:00:00"),
    ],
)
def test_a_time_is_told_in_utc(cell: str, value: str) -> None:
    assert pacific_time(cell) == f"{value}+00:00"


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param("13/01/2026 10:00", id="day before month is not guessed at"),
        pytest.param("13-06-2025", id="nor here"),
        pytest.param("02/30/2026", id="no such day"),
        pytest.param("01/15/2026 24:00", id="no such hour"),
        pytest.param("01/15/2026 2:05 PM", id="twelve hours"),
        pytest.param("February 28", id="TikTok has no year"),
        pytest.param("8 de marzo", id="Spanish"),
        pytest.param("1767225600", id="seconds since 1970"),
        pytest.param("12/31/9999 23:00", id="for ever, which is the year 10000 in UTC"),
        pytest.param("9999-12-31 23:59:59", id="for ever in ISO 8601"),
        pytest.param("0001-01-01T00:00:00+09:00", id="before the first year"),
    ],
)
def test_a_time_that_cannot_be_read_is_an_error(cell: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        pacific_time(cell)


@steady
@given(st.text() | st.text("0123456789:/-.,PTDHMS+eE \0#", max_size=24))
def test_no_cell_raises_anything_but_a_reason(cell: str) -> None:
    for parse in (*WITH_BLANKS, video_id):
        with suppress(ValueError):
            parse(cell)


# ids


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("-GhQQTIyl_Y", "-GhQQTIyl_Y"),
        (" -GhQQTIyl_Y", "-GhQQTIyl_Y"),  # YouTube Studio puts a blank before a minus
        ("00000000000", "00000000000"),  # stays text
    ],
)
def test_an_id_is_kept_as_text(cell: str, value: str) -> None:
    assert video_id(cell) == value


@pytest.mark.parametrize(
    ("cell", "saying"),
    [
        ("", "the id is missing"),
        ("  ", "the id is missing"),
        ("#NAME?", "spreadsheet"),  # was `-GhQQTIyl_Y`
        ("#REF!", "spreadsheet"),
        ("#N/A", "spreadsheet"),
        ("#DIV/0!", "spreadsheet"),
        ("GhQQTIyl_Y", "no id"),  # one character lost
        ("sGhQQTIyl_YY", "no id"),  # one too many
        ("Gh QTIyl_Y-", "no id"),
        ("１２３４５６７８９０１", "no id"),  # digits of another script
    ],
)
def test_a_damaged_id_is_an_error(cell: str, saying: str) -> None:
    with pytest.raises(ValueError, match=saying):
        video_id(cell)


@pytest.mark.parametrize(
    ("cell", "cut"),
    [
        ("1.82772E+15", True),
        (" 1,82772E+15 ", True),  # with a decimal comma
        ("2E+17", True),
        ("1.8e+15", True),
        ("122164187384762707", False),
        ("aE+1234567-", False),
        ("", False),
    ],
)
def test_an_id_in_scientific_notation_is_known_as_such(cell: str, cut: bool) -> None:
    assert cells.is_scientific(cell) is cut


# captions


@pytest.mark.parametrize(
    ("caption", "tags"),
    [
        ("#Sea and #sea, #SEA!", ["sea"]),
        ("#b #a", ["b", "a"]),  # in order
        ("We are #1, not #2nd_best", ["2nd_best"]),
        ("a#b ##c #", ["c"]),  # inside a word there is none
        ("#𝓦𝓪𝓿𝓮𝓼 ＃海 #été", ["waves", "海", "été"]),  # stylised, wide and composed letters
        ("#e\u0301te\u0301", ["été"]),  # composed and decomposed are one tag
        ("हिन्दी#b", []),
        ("#sea❤️ #️⃣b", ["sea"]),  # what makes an emoji colourful is no letter
        ("#हिन्दी", ["हिन्दी"]),  # vowel signs are no letters to Python
        ("", []),
        (None, []),
    ],
)
def test_hashtags_come_in_order_each_once_in_lower_case(caption: str | None, tags: list[str]) -> None:
    assert cells.hashtags(caption) == tags


@pytest.mark.parametrize(
    ("caption", "names"),
    [
        ("with @Friend.One.", ["friend.one"]),
        ("(@b) @a, @b", ["b", "a"]),
        ("write to me@example.com", []),
        ("https://example.com/@demo", ["demo"]),
        ("@", []),
    ],
)
def test_mentions_come_in_order_each_once_without_addresses_of_mail(caption: str, names: list[str]) -> None:
    assert cells.mentions(caption) == names


def test_tags_of_several_texts_are_taken_together() -> None:
    assert cells.hashtags("#b", None, "#a #b") == ["b", "a"]
