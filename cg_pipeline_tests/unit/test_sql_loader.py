"""The loader of named queries: names, duplicates, missing ones, and comment lines."""

from pathlib import Path

import pytest

from cg_pipeline.warehouse import sql
from cg_pipeline.warehouse.sql import QUERIES, area_queries, query

AREA = """\
-- What this area is about; no query.

-- name: first_one
-- Why it exists: 100 % of %(nothing)s is a comment.
select %(value)s  -- stays, being no line of its own
  -- an indented comment
from things

-- name: second_one
select '100 %%'
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sql, "QUERIES", tmp_path)
    area_queries.cache_clear()
    (tmp_path / "area.sql").write_text(AREA, encoding="utf-8")
    return tmp_path


@pytest.fixture(autouse=True)
def _forget() -> None:
    area_queries.cache_clear()


@pytest.mark.usefixtures("folder")
def test_an_area_has_its_queries_by_name_in_their_order() -> None:
    assert list(area_queries("area")) == ["first_one", "second_one"]


@pytest.mark.usefixtures("folder")
def test_a_query_is_its_statement_without_comment_lines() -> None:
    lines = [line for line in query("area.first_one").splitlines() if line]
    assert lines == ["select %(value)s  -- stays, being no line of its own", "from things"]
    assert query("area.second_one").strip() == "select '100 %%'"


@pytest.mark.usefixtures("folder")
def test_a_missing_query_is_an_error_that_lists_those_that_exist() -> None:
    with pytest.raises(KeyError) as caught:
        query("area.third_one")
    assert caught.value.args == ("sql/queries/area.sql has no query third_one; it has first_one, second_one",)


@pytest.mark.usefixtures("folder")
def test_a_missing_area_is_an_error_that_names_its_file() -> None:
    with pytest.raises((KeyError, FileNotFoundError), match=r"nowhere\.sql"):
        query("nowhere.first_one")


def test_a_name_that_occurs_twice_is_an_error(folder: Path) -> None:
    (folder / "twice.sql").write_text("-- name: same\nselect 1\n-- name: same\nselect 2\n", encoding="utf-8")
    with pytest.raises(ValueError, match="names a query twice"):
        area_queries("twice")


def test_an_area_is_read_once(folder: Path) -> None:
    first = query("area.first_one")
    (folder / "area.sql").unlink()
    assert query("area.first_one") == first


@pytest.mark.parametrize("path", sorted(QUERIES.glob("*.sql")), ids=lambda path: path.stem)
def test_every_stored_area_loads_and_every_query_says_something(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("-- "), "the file says first what its queries are for"
    for name, statement in area_queries(path.stem).items():
        assert statement.strip(), name
        assert "--" not in [line.strip()[:2] for line in statement.splitlines()], name
