"""How results become Dagster metadata: tables, schemas, lineage. Asset bodies use these; no definitions here."""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from typing import Any

import dagster as dg
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from cg_pipeline import progress
from cg_pipeline.warehouse.models.base import Base

OWNERS = ["team:data-engineering"]

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


@contextmanager
def new_features() -> Iterator[None]:
    """Backfill policies and partitioned checks are marked beta and preview in the pinned version; both are tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        yield


@contextmanager
def logged_progress(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Write what a long step reports into its log, at most every other second, unless a terminal listens already."""
    last = time.monotonic()

    def listen(what: str, count: int) -> None:
        nonlocal last
        if time.monotonic() - last > 2:
            last = time.monotonic()
            context.log.info("%s: %s done", what, f"{count:,}")

    with progress.listening(listen, over=False):
        yield


def table(rows: Sequence[Mapping[str, Any]], most: int = 50) -> dg.TableMetadataValue | dg.TextMetadataValue:
    """Rows as a table in the UI; a line where there are none."""
    if not rows:
        return dg.MetadataValue.text("none")
    records = [dg.TableRecord({key: _plain(value) for key, value in row.items()}) for row in rows[:most]]
    return dg.MetadataValue.table(records, dg.TableSchema([dg.TableColumn(key) for key in rows[0]]))


def table_schema(name: str) -> dict[str, Any]:
    """The columns of a warehouse table, with their types and meanings, as definition metadata."""
    model: Table = Base.metadata.tables[name]
    columns = [
        dg.TableColumn(
            column.name,
            type=str(column.type.compile(dialect=_DIALECT)).lower(),
            description=column.doc,
            constraints=dg.TableColumnConstraints(nullable=bool(column.nullable)),
        )
        for column in model.columns
    ]
    return {"dagster/column_schema": dg.TableSchema(columns), "dagster/table_name": f"cg_warehouse.public.{name}"}


def lineage(source: list[str], columns: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Which columns of the upstream asset make up which of ours, as definition metadata."""
    deps = {
        ours: [dg.TableColumnDep(dg.AssetKey(source), theirs) for theirs in upstream]
        for ours, upstream in columns.items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps)}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return (
        str(value) if isinstance(value, date) or not isinstance(value, str | int | float | bool | type(None)) else value
    )
