"""How commands print: tables for people, JSON for scripts, bars for long jobs. What they print is decided by them."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.console import Console, JustifyMethod
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from cg_pipeline import progress

# What is printed quotes files and names: brackets and colons in them mean nothing.
console = Console(width=None if Console().is_terminal else 240, markup=False, emoji=False)
errors = Console(stderr=True, markup=False, emoji=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def show(rows: Sequence[Mapping[str, Any]], as_json: bool, *, title: str = "", empty: str = "Nothing to show.") -> None:
    """Print rows as a table with their keys as headings, or as a JSON list."""
    if as_json:
        print_json(list(rows))
    elif not rows:
        console.print(empty)
    else:
        console.print(_table(rows, title))


def print_json(value: Any) -> None:
    """Print a value as JSON; amounts and dates are text, so that nothing is rounded."""
    typer.echo(json.dumps(value, default=_as_text, indent=2, ensure_ascii=False))


@contextmanager
def steps(total: int) -> Iterator[Callable[[str], None]]:
    """A bar over `total` steps, or a line for each where there is no terminal: call what it yields as a step begins."""
    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("", total=total)
        begun, name = 0, ""

        def begin(step: str) -> None:
            nonlocal begun, name
            begun, name = begun + 1, step
            bar.update(task, completed=begun - 1, total=max(total, begun), description=name)
            if bar.disable:
                typer.echo(step, err=True)

        def hear(what: str, count: int) -> None:
            bar.update(task, description=f"{name}: {what}, {count:,}")

        with progress.listening(hear):
            yield begin
        bar.update(task, completed=begun)


def _table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    table = Table(title=title or None, title_justify="left", header_style="bold")
    for key, value in rows[0].items():
        numeric = any(isinstance(row[key], int | float | Decimal) and not isinstance(row[key], bool) for row in rows)
        justify: JustifyMethod = "right" if numeric else "left"
        table.add_column(key.replace("_", " "), justify=justify, no_wrap=isinstance(value, date), overflow="fold")
    for row in rows:
        table.add_row(*[_cell(value) for value in row.values()])
    return table


def _cell(value: Any) -> str:
    match value:
        case bool():
            text = "yes" if value else "no"
        case int():
            text = f"{value:,}"
        case Decimal() if _is_count(value):
            text = f"{value:,}"
        case Decimal():
            text = f"{value.normalize():,f}" if value % Decimal("0.01") else f"{value:,.2f}"
        case datetime():
            text = f"{value:%Y-%m-%d %H:%M} UTC"
        case list():
            text = "\n".join(map(_cell, value))
        case dict():
            text = ", ".join(f"{key.replace('_', ' ')} {_cell(part)}" for key, part in value.items())
        case _:
            text = "" if value is None else str(value)
    return text


def _is_count(value: Decimal) -> bool:
    """PostgreSQL adds 64-bit counts up in numbers without decimals; money has six."""
    return value.as_tuple().exponent == 0


def _as_text(value: Any) -> str | int:
    if isinstance(value, Decimal):
        return int(value) if _is_count(value) else f"{value:f}"
    return str(value)
