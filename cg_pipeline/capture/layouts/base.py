"""The contract of a CSV layout: which headings it is known by, what its columns mean, and how a row becomes an
Observation.

A layout is data: `meta.py`, `studio.py` and `mapped.py` hold one `Layout` per kind of export. Where a file differs from
the layout, `Layout.bind` decides; what to do with a refused file or row is decided in `csv_partition`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from cg_pipeline.capture import cells
from cg_pipeline.capture.observation import ATTRIBUTES, METRICS, Observation, Page, Rejected
from cg_pipeline.errors import FileRefused

Values = dict[str, Any]

POST_IDS = {
    "facebook": r"\d{5,25}",
    "instagram": r"\d{5,25}",
    "youtube": r"[\w-]{11}",
    "tiktok": r"\d{15,19}",
    "twitter": r"\d{1,25}",
    "threads": r"\d{5,25}",
}

_MONEY_NAME = re.compile(r"(.*) \(([a-z]{3})\)")


@dataclass(frozen=True)
class Context:
    """What a row cannot say of itself.

    `as_of` is the day that the counters belong to; `site` the page that the operator names, for tables that do not
    name theirs; `currencies` the payout currency configured per (platform, platform id).
    """

    as_of: date
    timezone: ZoneInfo
    site: Page | None = None
    currencies: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """One of our fields and the headings that may hold it, in lower case, the preferred one first.

    A field that starts with `_` is no column of ours: `Layout.finish` uses it. A `money` heading may be followed by a
    currency in brackets.
    """

    field: str
    headings: tuple[str, ...]
    parse: cells.Parser
    money: bool = False
    required: bool = False


@dataclass(frozen=True)
class Block:
    """One of our fields that a row of columns makes up, such as a count per country.

    `heading` matches each of them in lower case; `key` makes the key of its first group.
    """

    field: str
    heading: re.Pattern[str]
    key: Callable[[str], str] = str

    def columns(self, names: Iterable[str]) -> dict[str, Column]:
        """The columns among these names, by key."""
        matches = [match for name in names if (match := self.heading.fullmatch(name))]
        keys = {self.key(match[1]): match[0] for match in matches}
        return {key: Column(f"{self.field}.{key}", (name,), cells.count) for key, name in keys.items()}


@dataclass(frozen=True)
class Layout:
    """One kind of CSV export.

    `known_by`: the file is of this kind when it has, of each group, at least one heading. `page` finds the account in a
    row's values; `finish` derives what takes more than one column; `is_post` says by the cell of the first column, the
    id, whether a row is a post at all (`Total` is none). `period_unknown`: the table may cover any period, and the site
    must say that it is the lifetime. `currency` is that of earnings whose heading names none.
    """

    name: str
    title: str
    platform: str
    known_by: tuple[frozenset[str], ...]
    columns: tuple[Column, ...]
    finish: Callable[[Values, Context], None]
    page: Callable[[Values, Context], Page]
    is_post: Callable[[str], bool] = lambda _: True
    blocks: tuple[Block, ...] = ()
    period_unknown: bool = False
    currency: str | None = None

    def matches(self, headings: Iterable[str]) -> bool:
        """Whether a file with these headings is of this kind."""
        present = {name for heading in headings for name in names_of(heading)}
        return all(group & present for group in self.known_by)

    def bind(self, headings: Sequence[str], context: Context) -> "BoundLayout":
        """Fit the layout to the headings of one file.

        Raises FileRefused when a required column is missing, a used heading occurs twice, or the headings name two
        currencies.
        """
        names = [names_of(heading) for heading in headings]
        blocks = {block.field: block.columns(name[0] for name in names) for block in self.blocks}
        columns = (*self.columns, *(column for members in blocks.values() for column in members.values()))
        found = [(_position(column, names, headings), column) for column in columns]
        used = tuple((index, column) for index, column in found if index is not None)
        return BoundLayout(self, tuple(headings), used, blocks, self._currency(headings, used), context)

    def _currency(self, headings: Sequence[str], used: Iterable[tuple[int, Column]]) -> str | None:
        money = [(currency_of(headings[index]), column.field) for index, column in used if column.money]
        # A price that names its currency does not rename earnings that have another.
        named = {named or (self.currency if field == "lifetime_earnings" else None) for named, field in money} - {None}
        if len(named) > 1:
            problem = f"The headings name several currencies: {', '.join(sorted(filter(None, named)))}."
            raise FileRefused(problem, "Export each currency into a file of its own.", line=1)
        return next(iter(named), self.currency)


@dataclass(frozen=True)
class BoundLayout:
    """A layout that knows at which position this file holds which column."""

    layout: Layout
    headings: tuple[str, ...]
    used: tuple[tuple[int, Column], ...]
    blocks: Mapping[str, Mapping[str, Column]]
    currency: str | None
    context: Context

    @property
    def unused(self) -> list[str]:
        """The headings that have no column of ours; their cells are kept in the raw data."""
        positions = {index for index, _ in self.used}
        return [heading for index, heading in enumerate(self.headings) if index not in positions]

    def read(self, line: int, row: Sequence[str]) -> Observation | Rejected | None:
        """What a row says: an observation, a row for quarantine, or None when it is no post.

        Cells that are missing at the end are unknown. Raises FileRefused when the cell shows that the whole file
        cannot be used.
        """
        if missing := max(len(self.headings) - len(row), 0):
            row = [*row, *[""] * missing]
        if not self.layout.is_post(row[self.used[0][0]]):
            return None
        raw = {heading: cell for heading, cell in zip(self.headings, row, strict=False) if cell.strip()}
        if "\0" in "".join(row):
            return _with_nul(line, raw)
        if len(row) > len(self.headings) and any(cell.strip() for cell in row[len(self.headings) :]):
            return Rejected(line, f"has {len(row)} cells under {len(self.headings)} headings", None, raw)
        values: Values = {}
        heading = None
        try:
            for index, column in self.used:
                heading = self.headings[index]
                values[column.field] = column.parse(row[index])
            heading = None
            return self._observation(line, values, raw)
        except ValueError as error:
            return Rejected(line, str(error), heading, raw)
        except FileRefused as refusal:
            raise refusal.at(refusal.line or line, refusal.column or heading) from refusal

    def _observation(self, line: int, values: Values, raw: dict[str, Any]) -> Observation:
        for name, members in self.blocks.items():
            counts = {key: values[column.field] for key, column in members.items()}
            values[name] = {key: count for key, count in counts.items() if count is not None} or None
        self.layout.finish(values, self.context)
        page = self.layout.page(values, self.context)
        metrics = {name: value for name in METRICS if (value := values.get(name)) is not None}
        currency = self.currency or self.context.currencies.get((page.platform, page.platform_id))
        problem = None
        if currency is None and "lifetime_earnings" in metrics:
            problem = _unpaid(metrics.pop("lifetime_earnings"), page)
        return Observation(
            line=line,
            page=page,
            post_id=f"{page.platform}_{values['_post_id']}",
            attributes={name: value for name in ATTRIBUTES if (value := values.get(name)) is not None},
            metrics=metrics,
            currency=currency if "lifetime_earnings" in metrics or "estimated_cpm" in metrics else None,
            raw=raw,
            problem=problem,
        )


def names_of(heading: str) -> tuple[str, ...]:
    """The names under which a heading is looked up: in lower case, and for `Earnings (USD)` also without USD."""
    plain = " ".join(heading.strip().strip('"').split()).casefold()
    match = _MONEY_NAME.fullmatch(plain)
    return (plain, match[1]) if match else (plain,)


def currency_of(heading: str) -> str | None:
    """The currency that a money heading names; None for none, also where the brackets hold a word such as `net`."""
    match = _MONEY_NAME.fullmatch(names_of(heading)[0])
    return match[2].upper() if match and match[2].upper() in cells.CURRENCIES else None


def whole_id(pattern: str) -> cells.Parser:
    """A parser for ids. Raises FileRefused for one in scientific notation: its digits are lost, and with them those of
    other rows that still look whole."""
    parse = cells.identifier(pattern)

    def refusing(cell: str) -> Any:
        if cells.is_scientific(cell):
            problem = f'"{cell}" was an id before a spreadsheet saved the file; its last digits are lost.'
            raise FileRefused(problem, "Import the file as it was downloaded, without opening it in a spreadsheet.")
        return parse(cell)

    return refusing


def post_id(platform: str) -> cells.Parser:
    """A parser for a platform's post ids."""
    return whole_id(POST_IDS[platform])


def add_tags(values: Values) -> None:
    """Take hashtags and mentions from the title and the description, if either is known."""
    texts = values.get("title"), values.get("description")
    if any(texts):
        values["hashtags"], values["mentions"] = cells.hashtags(*texts), cells.mentions(*texts)


def _position(column: Column, names: Sequence[tuple[str, ...]], headings: Sequence[str]) -> int | None:
    for name in column.headings:
        found = [index for index, known in enumerate(names) if name in (known if column.money else known[:1])]
        if len(found) > 1:
            problem = "The heading occurs twice, so it is not clear which column is meant."
            raise FileRefused(problem, "Remove one of them.", line=1, column=headings[found[0]])
        if found:
            return found[0]
    if column.required:
        problem = f'The file has no column "{column.headings[0]}".'
        raise FileRefused(problem, "Export it again with all columns.", line=1)
    return None


def _unpaid(earnings: object, page: Page) -> str:
    site = page.name or page.platform_id
    return (
        f"earnings of {earnings} without a currency are not paid: set it with "
        f'`cg site set "{site}" currency USD`, then load the day again with `cg csv reload`'
    )


def _with_nul(line: int, raw: Mapping[str, str]) -> Rejected:
    """A row that PostgreSQL cannot store as it is."""
    heading = next((heading for heading, cell in raw.items() if "\0" in cell), None)
    shown = {heading: cell.replace("\0", "\\0") for heading, cell in raw.items()}
    return Rejected(line, "holds a NUL character", heading, shown)
