"""The house rules of the design that no linter sees whole: the Dagster wall, imports that point one way, SQL in files,
one clock, short files."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cg_pipeline.cli.deltas import By
from cg_pipeline.config import PROJECT
from cg_pipeline.defs.checks import RULES
from cg_pipeline.warehouse.sql import QUERIES, area_queries

PACKAGE = PROJECT / "cg_pipeline"
MODULES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}

DAGSTER_MAY_BE_IMPORTED_BY = {"definitions", "partitions", "resources", "defs"}

BASE = {"clock", "config", "errors", "progress"}

# Which areas of the package an area may import, besides itself and the base.
MAY_IMPORT: dict[str, set[str]] = {
    **{area: set() for area in BASE},
    "warehouse": set(),
    "platforms": set(),
    "security": set(),
    "sandbox": set(),
    "capture": {"warehouse", "platforms", "security"},
    "history": {"warehouse"},
    "royalties": {"warehouse", "history"},
    "webhooks": {"warehouse", "security", "capture"},
    "pipeline": {"warehouse", "capture", "history", "platforms"},
    "resources": {"pipeline"},
    "partitions": {"history"},
    "defs": {
        "warehouse",
        "capture",
        "history",
        "royalties",
        "webhooks",
        "pipeline",
        "resources",
        "partitions",
        "definitions",
        "platforms",
    },
    "definitions": {"resources", "defs"},
    "cli": {
        "warehouse",
        "capture",
        "history",
        "royalties",
        "webhooks",
        "sandbox",
        "pipeline",
        "defs",
        "platforms",
        "security",
    },
}

# Functions whose arguments name queries, and the names that are put together: the parts that vary.
NAMING = {"query", "_do", "_rows", "_days", "_count", "_read"}
PUT_TOGETHER: dict[str, list[str]] = {
    "checks.{}": sorted({rule.question for rule in RULES}),
    "reports.deltas_by_{}": sorted(By),
}

SQL_TEXT = re.compile(
    r"\bselect\s.+\sfrom\s|\binsert\s+into\s|\bupdate\s+\w+\s+set\s|\bdelete\s+from\s|\bmerge\s+into\s"
    r"|\b(create|drop|alter|truncate)\s+(table|database|index|view|schema)\b",
    re.IGNORECASE | re.DOTALL,
)
NOW = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time"}


def area_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    """Full names of what is imported anywhere in a module, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(tree: ast.AST, names: set[str]) -> Iterator[ast.Call]:
    """Calls of functions or methods with one of the names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in names:
            yield node


def pattern(text: ast.JoinedStr) -> str:
    """An f-string with `{}` in the places of its values."""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in text.values)


def named_queries() -> tuple[set[str], set[str]]:
    """The names of queries that Python code writes out, and the patterns of those that it puts together."""
    arguments = [argument for tree in TREES.values() for call in calls(tree, NAMING) for argument in call.args]
    nodes = [node for argument in arguments for node in ast.walk(argument)]
    put_together = [node for node in nodes if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for text in put_together for part in text.values}
    literals = [str(node.value) for node in nodes if isinstance(node, ast.Constant) and id(node) not in parts]
    written = {text for text in literals if re.fullmatch(r"[a-z_]+\.[a-z_]+", text)}
    return written, {pattern(text) for text in put_together}


def stored_queries() -> set[str]:
    return {f"{path.stem}.{name}" for path in QUERIES.glob("*.sql") for name in area_queries(path.stem)}


def test_dagster_stays_behind_its_wall() -> None:
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path, tree in TREES.items()
        for name in imports(tree)
        if name.split(".")[0].startswith("dagster") and area_of(path) not in DAGSTER_MAY_BE_IMPORTED_BY
    }
    assert sorted(importers) == []


def test_imports_point_one_way() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path, tree in TREES.items()
        for name in imports(tree)
        if name.startswith("cg_pipeline.")
        and (target := name.split(".")[1]) != area_of(path)
        and target not in MAY_IMPORT.get(area_of(path), set()) | BASE
        and area_of(path) != "__init__"
    ]
    assert wrong == []


def test_every_area_has_a_rule_for_its_imports() -> None:
    assert {area_of(path) for path in MODULES} - {"__init__"} == MAY_IMPORT.keys()


def test_the_base_imports_nothing_of_the_package_but_itself() -> None:
    above = {
        name
        for path, tree in TREES.items()
        if area_of(path) in BASE
        for name in imports(tree)
        if name.startswith("cg_pipeline.") and name.split(".")[1] not in BASE
    }
    assert sorted(above) == []


def test_no_statement_is_written_in_an_f_string() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {text}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr) and SQL_TEXT.search(text := pattern(node))
    ]
    assert found == []


def test_no_statement_is_put_together_where_it_is_executed() -> None:
    """What is executed is a named query; only `sql.SQL("...").format` and `text("...")` may hold a literal."""
    found = []
    for path, tree in TREES.items():
        for call in calls(tree, {"execute", "executemany", "copy", "SQL"}):
            for argument in call.args[:1]:
                literal = isinstance(argument, ast.Constant) and ast.unparse(call.func) != "sql.SQL"
                glued = isinstance(argument, ast.JoinedStr | ast.BinOp) or any(
                    isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Constant | ast.JoinedStr)
                    for node in calls(argument, {"format", "join", "replace"})
                )
                if literal or glued:
                    found.append(f"{path.relative_to(PACKAGE)}:{call.lineno}")
    assert found == []


def test_the_time_is_read_in_one_place() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path, tree in TREES.items()
        if area_of(path) != "clock"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ".".join(ast.unparse(node).split(".")[-2:]) in NOW
    ]
    assert found == []


def test_every_query_that_the_code_names_exists() -> None:
    written, _ = named_queries()
    assert len(written) > 50
    assert sorted(written - stored_queries()) == []


def test_names_of_queries_are_put_together_only_where_a_rule_says_of_what() -> None:
    _, patterns = named_queries()
    assert patterns == PUT_TOGETHER.keys()


@pytest.mark.parametrize("name", [text.format(value) for text, values in PUT_TOGETHER.items() for value in values])
def test_every_query_whose_name_is_put_together_exists(name: str) -> None:
    assert name in stored_queries()


def test_every_stored_query_is_used() -> None:
    written, _ = named_queries()
    put_together = {text.format(value) for text, values in PUT_TOGETHER.items() for value in values}
    unused = sorted(stored_queries() - written - put_together)
    assert unused == []


def test_every_heading_of_a_query_is_understood_by_the_loader() -> None:
    """A heading with a blank at its end would silently become a comment of the query before."""
    for path in QUERIES.glob("*.sql"):
        headings = re.findall(r"^[ \t]*--[ \t]*name[ \t]*:.*$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert headings == [f"-- name: {name}" for name in area_queries(path.stem)], path.name


@pytest.mark.parametrize("folder", ["cg_pipeline", "cg_pipeline_tests", "sql"])
def test_every_python_file_has_fewer_than_400_lines(folder: str) -> None:
    long = {
        path.relative_to(PROJECT).as_posix(): lines
        for path in (PROJECT / folder).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) >= 400
    }
    assert long == {}


def test_the_root_of_the_definitions_is_short() -> None:
    assert len((PACKAGE / "definitions.py").read_text(encoding="utf-8").splitlines()) < 60
