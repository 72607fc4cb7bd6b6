"""What one CSV cell means: pure functions from text to a value.

Each returns None for a blank (unknown, never 0) and raises ValueError with a reason that can stand in a report.
Nothing here knows of a platform.
"""

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any

Parser = Callable[[str], Any]

BLANKS = frozenset({"", "n/a", "na", "undefined", "null", "none", "nan", "-", "--", "—", "–"})
LARGEST_COUNT = 2**63 - 1
LARGEST_LENGTH = 2**31 - 1
MONEY_DIGITS = 13  # before the point: the sum of several kinds of earnings still fits numeric(20, 6)
AVERAGE_DIGITS = 6  # before the point: a hundredfold still fits numeric(12, 4)

# ISO 4217: what is in use, and the kuna of older exports.
CURRENCIES = frozenset(
    """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP
    CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF
    IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK
    MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR
    SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES
    VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
    """.split()  # noqa: SIM905  as a list of quoted words nobody could read it
)

_NUMBER = re.compile(r"[-+]?(\d+|[1-9]\d{0,2}(,\d{3})+)(\.\d+)?", re.ASCII)
_CURRENCY_SIGNS = "$€£¥ \u00a0"
_SPREADSHEET_ERROR = re.compile(r"#(NAME|REF|VALUE|N/A|NUM|DIV/0|NULL)[?!]?")
_SCIENTIFIC = re.compile(r"\d+([.,]\d+)?[eE]\+\d+")
_US_TIME = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?:[ ,]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?")
_CLOCK = re.compile(r"(\d+):(\d{2}):(\d{2})")
_ISO_DURATION = re.compile(r"P(?=.)(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
# The accents and vowel signs of many scripts, which `\w` leaves out.
_MARKS = "".join(mark for mark in map(chr, range(0x300, 0xFE00)) if unicodedata.category(mark) in {"Mn", "Mc"})
_HASHTAG = re.compile(rf"(?<![\w{_MARKS}])#(\w*[^\W\d][\w{_MARKS}]*)")
_MENTION = re.compile(r"(?<![\w.@])@(\w(?:[\w.]*\w)?)")


def text(cell: str) -> str | None:
    """The text without surrounding blanks; PostgreSQL cannot hold a NUL character, so one is an error."""
    if "\0" in cell:
        message = "holds a NUL character"
        raise ValueError(message)
    return cell.strip() or None


def label(cell: str) -> str | None:
    """A short text in which `N/A` and the like mean nothing."""
    return None if is_blank(cell) else text(cell)


def is_blank(cell: str) -> bool:
    """Whether a cell that should hold a value says that there is none."""
    return not cell or cell.strip().casefold() in BLANKS


def decimal(cell: str) -> Decimal | None:
    """An amount as printed: currency sign and thousands separators may be there, an exponent may not.

    One that may have a decimal comma, such as `25,563`, is an error: it could be 25 dollars or 25 thousand.
    """
    number = _number(cell)
    if number is None:
        return None
    if "," in cell and "." not in cell and cell.count(",") == 1:
        message = f'"{cell}" is no clear amount: the comma may stand for decimals or for thousands'
        raise ValueError(message)
    return _of_at_most(MONEY_DIGITS, number, cell)


def average(cell: str) -> Decimal | None:
    """An average or a percentage."""
    number = decimal(cell)
    return None if number is None else _of_at_most(AVERAGE_DIGITS, number, cell)


def integer(cell: str) -> int | None:
    """A whole number that fits 64 bits. A fall below zero is allowed: net counts such as subscribers know it."""
    if cell.isascii() and cell.isdigit() and len(cell) < 19:
        return int(cell)
    number = _number(cell)
    if number is None:
        return None
    if number != number.to_integral_value() or abs(number) > LARGEST_COUNT:
        message = f'"{cell}" is no whole number of at most 64 bits'
        raise ValueError(message)
    return int(number)


def _number(cell: str) -> Decimal | None:
    if is_blank(cell):
        return None
    plain = cell.strip(_CURRENCY_SIGNS)
    if _NUMBER.fullmatch(plain) is None:
        message = f'"{cell}" is no number'
        raise ValueError(message)
    return Decimal(plain.replace(",", ""))


def _of_at_most(digits: int, number: Decimal, cell: str) -> Decimal:
    """The number. One that a column of the database could not hold would stop the whole load, not the row alone."""
    if number.adjusted() >= digits:
        message = f'"{cell}" is too large to be right'
        raise ValueError(message)
    return number


def count(cell: str) -> int | None:
    """A whole number of things, so not below zero."""
    number = integer(cell)
    if number is not None and number < 0:
        message = f'"{cell}" is below zero'
        raise ValueError(message)
    return number


def seconds(cell: str) -> int | None:
    """Seconds, rounded to whole ones."""
    number = decimal(cell)
    return None if number is None else round(number)


def hours(cell: str) -> int | None:
    """Hours with decimals, as whole seconds."""
    number = decimal(cell)
    return None if number is None else round(number * 3600)


def duration(cell: str) -> int | None:
    """A length in whole seconds: `93`, `0:01:33`, or ISO 8601 `PT1M33S`. `P0D`, a running stream, is unknown."""
    plain = cell.strip()
    if plain == "P0D":
        return None
    if match := _CLOCK.fullmatch(plain):
        length: int | None = _in_seconds(0, *match.groups())
    elif plain.startswith("P") and (match := _ISO_DURATION.fullmatch(plain)):
        length = _in_seconds(*match.groups())
    else:
        length = seconds(cell)
    if length is not None and not 0 <= length <= LARGEST_LENGTH:
        message = f'"{cell}" is no length of a video'
        raise ValueError(message)
    return length


def _in_seconds(days: str | int | None, hour: str | None, minute: str | None, second: str | None) -> int:
    return ((int(days or 0) * 24 + int(hour or 0)) * 60 + int(minute or 0)) * 60 + int(second or 0)


def timestamp(zone: tzinfo) -> Parser:
    """A parser for `MM/DD/YYYY HH:MM[:SS]`, `Mar 5, 2026` and ISO 8601, giving ISO 8601 text in UTC.

    A time without an offset is wall-clock time in `zone`; of an hour that the clock shows twice, the first is meant.
    """

    def parse(cell: str) -> str | None:
        if is_blank(cell):
            return None
        moment = _moment(cell.strip())
        try:
            return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC).isoformat()
        except OverflowError as error:
            message = f'"{cell}" lies outside the years 1 to 9999'
            raise ValueError(message) from error

    return parse


def _moment(plain: str) -> datetime:
    if match := _US_TIME.fullmatch(plain):
        month, day, year, hour, minute, second = (int(part or 0) for part in match.groups())
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  the caller adds the zone
    for read in (datetime.fromisoformat, _month_by_name):
        try:
            return read(plain)
        except ValueError:
            continue
    message = f'"{plain}" is no date and time that can be read'
    raise ValueError(message)


def _month_by_name(plain: str) -> datetime:
    return datetime.strptime(plain, "%b %d, %Y")  # noqa: DTZ007  likewise


def flag(cell: str) -> bool | None:
    """Meta's `0` and `1`, and `True` and `False` of other exports."""
    if is_blank(cell):
        return None
    word = cell.strip().casefold()
    if word not in {"0", "1", "false", "true"}:
        message = f'"{cell}" is neither 0 nor 1'
        raise ValueError(message)
    return word in {"1", "true"}


def identifier(pattern: str) -> Parser:
    """A parser for ids, kept as text. Blank, cut or damaged ones are errors: a guess would move money between posts."""
    allowed = re.compile(pattern, re.ASCII)

    def parse(cell: str) -> str:
        plain = cell.strip()
        if _SPREADSHEET_ERROR.fullmatch(plain):
            message = f'"{plain}" is what a spreadsheet made of an id'
            raise ValueError(message)
        if allowed.fullmatch(plain) is None:
            message = f'"{plain}" is no id' if plain else "the id is missing"
            raise ValueError(message)
        return plain

    return parse


def is_scientific(cell: str) -> bool:
    """Whether a spreadsheet has cut an id down to something like `1.82772E+15`."""
    return _SCIENTIFIC.fullmatch(cell.strip()) is not None


def hashtags(*texts: str | None) -> list[str]:
    """The hashtags of a caption in order, each once, in lower case without `#`. `#1` is a number, not a tag."""
    return _tags(_HASHTAG, texts)


def mentions(*texts: str | None) -> list[str]:
    """The accounts that a caption mentions, in order, each once, in lower case without `@`. No e-mail addresses."""
    return _tags(_MENTION, texts)


def _tags(pattern: re.Pattern[str], texts: tuple[str | None, ...]) -> list[str]:
    # Stylised Unicode letters are made plain first, or a tag in "bold" would be another tag.
    plain = (unicodedata.normalize("NFKC", text) for text in texts if text)
    return list(dict.fromkeys(tag.casefold() for text in plain for tag in pattern.findall(text)))
