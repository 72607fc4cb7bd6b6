"""Looks at a CSV file without importing it: what it is, what of it would be used, and which mapping might fit."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from cg_pipeline.capture import tables
from cg_pipeline.capture.layouts.base import BoundLayout, Context
from cg_pipeline.capture.layouts.mapped import propose
from cg_pipeline.capture.layouts.registry import recognise
from cg_pipeline.capture.observation import Page
from cg_pipeline.errors import FileRefused

MOST_PROBLEMS = 5


@dataclass
class Inspection:
    """What a file is. `used` says which heading becomes which field; `proposal` is a column mapping to start from."""

    what: str
    encoding: str | None
    delimiter: str
    headings: list[str]
    rows: int = 0
    layout: str | None = None
    used: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    proposal: dict[str, Any] | None = None


def inspect(path: Path, timezone: ZoneInfo) -> Inspection:
    """Read the whole file as an import would. Raises FileRefused when it is no table at all."""
    with path.open("rb") as stream:
        bytes_ = tables.fingerprint(stream)
    if bytes_.refusal or bytes_.encoding is None:
        raise bytes_.refusal or FileRefused("The file cannot be decoded.", "Save it again as CSV UTF-8.")
    with path.open("rb") as stream:
        table = tables.read(stream, bytes_.encoding)
        found = Inspection("", bytes_.encoding, table.delimiter, table.headings)
        try:
            _describe(found, table, _modified(path, timezone), timezone)
        except FileRefused as refusal:
            found.problems.append(f"It would be refused: {refusal}")
    return found


def _modified(path: Path, timezone: ZoneInfo) -> date:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).astimezone(timezone).date()


def _describe(found: Inspection, table: tables.Table, modified: date, timezone: ZoneInfo) -> None:
    """Fill in what the headings and the rows say. Raises FileRefused where an import would."""
    try:
        layout = recognise(table.headings)
    except FileRefused as refusal:
        found.what = str(refusal)
        mapping = propose(table.headings)
        found.proposal = mapping.as_data() if mapping else None
        for _ in table.rows:
            found.rows += 1
    else:
        found.what, found.layout = layout.title, layout.name
        context = Context(modified, timezone, site=Page(layout.platform, "inspected"))
        _try(found, layout.bind(table.headings, context), table)


def _try(found: Inspection, bound: BoundLayout, table: tables.Table) -> None:
    """Read every row as an import would, and collect the first problems."""
    found.used = {bound.headings[index]: column.field.lstrip("_") for index, column in bound.used}
    found.unused = bound.unused
    for line, row in table.rows:
        found.rows += 1
        record = bound.read(line, row)
        if record and record.problem and len(found.problems) < MOST_PROBLEMS:
            column = f', column "{record.problem_column}"' if record.problem_column else ""
            found.problems.append(f"line {line}{column}: {record.problem}")
