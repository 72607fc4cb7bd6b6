"""Loads the named queries of `sql/queries/<area>.sql`. Statements are written there and never put together in Python.

A query starts with a line `-- name: some_name` and lasts until the next such line. Parameters are psycopg's
`%(name)s`; a literal percent sign is doubled.
"""

import re
from functools import cache
from typing import LiteralString

from cg_pipeline.config import PROJECT

QUERIES = PROJECT / "sql" / "queries"
MIGRATIONS = PROJECT / "sql" / "migrations"

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def query(path: str) -> LiteralString:
    """The statement `<area>.<name>`. Raises KeyError, listing what the area has, when there is none."""
    area, _, name = path.partition(".")
    queries = area_queries(area)
    if name not in queries:
        message = f"sql/queries/{area}.sql has no query {name}; it has {', '.join(queries)}"
        raise KeyError(message)
    return queries[name]  # part of the program, so as trusted as a literal


@cache
def area_queries(area: str) -> dict[str, str]:
    """All statements of an area by name. Raises ValueError for a name that occurs twice."""
    text = (QUERIES / f"{area}.sql").read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    names, statements = parts[::2], parts[1::2]
    if len(set(names)) < len(names):
        message = f"sql/queries/{area}.sql names a query twice: {sorted(names)}"
        raise ValueError(message)
    return dict(zip(names, map(_without_comments, statements), strict=True))


def _without_comments(statement: str) -> str:
    """Comment lines are for readers of the file; psycopg would look for parameters in them."""
    return "\n".join(line for line in statement.splitlines() if not line.lstrip().startswith("--"))
