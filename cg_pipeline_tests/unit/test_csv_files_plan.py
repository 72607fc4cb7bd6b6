"""Which files of a day are loaded, given what the register knows and what lies in the inbox."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cg_pipeline.capture.csv_files import KnownFile, Plan, holds_data, plan
from cg_pipeline.errors import NotFound
from cg_pipeline.warehouse.models.enums import CsvFileStatus
from cg_pipeline_tests.unit.exports import steady

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
CURRENT = {"arrived", "loaded", "refused"}


def known(number: int, name: str, status: str, *, held: bool | None = None) -> KnownFile:
    """A version that arrived as the `number`-th; `held`: the snapshots hold what it says."""
    loaded_at = NOW if (status == "loaded" if held is None else held) else None
    return KnownFile(UUID(int=number), name, "0" * 64, 1, NOW, number, status, "utf-8", None, loaded_at, None)


LOADED, SECOND = known(1, "a", "loaded"), known(2, "b", "loaded")


@pytest.mark.parametrize(
    ("files", "missing", "reload", "numbers", "rebuild"),
    [
        pytest.param([], "", False, [], False, id="nothing has come"),
        pytest.param([known(1, "a", "arrived")], "", False, [1], False, id="new"),
        pytest.param([LOADED, known(2, "b", "arrived")], "", False, [2], False, id="new on top of others"),
        pytest.param([LOADED, SECOND], "", False, [], False, id="nothing to do"),
        pytest.param([LOADED, known(2, "b", "duplicate")], "", False, [], False, id="the same bytes again"),
        pytest.param([LOADED, known(2, "b", "refused")], "", False, [], False, id="refused is not tried again"),
        pytest.param([LOADED, known(2, "b", "arrived")], "b", False, [], False, id="came and went"),
        pytest.param([LOADED, known(2, "b", "arrived")], "a", False, [2], False, id="a loaded one went, new on top"),
        pytest.param([known(1, "a", "arrived"), SECOND], "", False, [1, 2], True, id="late arrival"),
        pytest.param([known(1, "a", "arrived"), SECOND], "a", False, [], False, id="late arrival that went again"),
        pytest.param(
            [known(1, "a", "replaced", held=True), SECOND, known(3, "a", "arrived")],
            "", False, [2, 3], True, id="replaced",
        ),
        pytest.param(
            [known(1, "a", "replaced"), SECOND, known(3, "a", "arrived")],
            "", False, [3], False, id="replaced before it was loaded",
        ),
        pytest.param(
            [known(1, "a", "replaced", held=True), known(2, "a", "refused")],
            "", False, [2], True, id="replaced by what is refused",
        ),
        pytest.param([known(1, "a", "withdrawn", held=True), SECOND], "a", False, [2], True, id="withdrawn"),
        pytest.param([known(1, "a", "withdrawn", held=True)], "a", False, [], True, id="the only one withdrawn"),
        pytest.param([known(1, "a", "withdrawn"), SECOND], "a", False, [], False, id="withdrawn before it was loaded"),
        pytest.param([LOADED, known(2, "b", "refused")], "", True, [1, 2], True, id="reload tries a refused one again"),
        pytest.param([LOADED, known(2, "b", "duplicate")], "", True, [1], True, id="reload leaves duplicates out"),
        pytest.param([LOADED, known(2, "b", "refused")], "b", True, [1], True, id="a refused one went"),
        pytest.param([], "", True, [], True, id="reload of nothing"),
    ],
)  # fmt: skip
def test_the_plan_for_a_day(
    files: list[KnownFile], missing: str, reload: bool, numbers: list[int], rebuild: bool
) -> None:
    made = plan(files, {file.name for file in files} - {*missing}, reload=reload)
    assert ([file.arrival_number for file in made.files], made.rebuild) == (numbers, rebuild)


@pytest.mark.parametrize(
    ("files", "missing", "reload"),
    [
        pytest.param([LOADED, SECOND], "a", True, id="reload"),
        pytest.param([known(1, "b", "arrived"), known(2, "a", "loaded")], "a", False, id="late arrival"),
        pytest.param([LOADED, known(2, "b", "withdrawn", held=True)], "ab", False, id="withdrawn"),
        pytest.param([known(1, "a", "refused", held=True), SECOND], "a", True, id="refused since it was loaded"),
        pytest.param([known(1, "a", "arrived", held=True), SECOND], "a", True, id="came back and went again"),
    ],
)
def test_a_rebuild_never_drops_what_it_can_no_longer_read(files: list[KnownFile], missing: str, reload: bool) -> None:
    with pytest.raises(NotFound) as refusal:
        plan(files, {file.name for file in files} - {*missing}, reload=reload)
    assert str(refusal.value) == (
        "The day must be rebuilt from all its files, but the inbox no longer has a: "
        "put them back, or take them out for good with `cg csv withdraw`."
    )


@st.composite
def registers(draw: st.DrawFn) -> list[KnownFile]:
    """The versions of up to five names; all but one of each name were replaced."""
    versions = []
    for name in draw(st.sets(st.sampled_from("abcde"))):
        statuses = ["replaced"] * draw(st.integers(0, 2)) + [draw(st.sampled_from(CsvFileStatus)).value]
        versions += [(name, status) for status in statuses]
    numbers = draw(st.permutations(range(1, len(versions) + 1)))
    return sorted(
        (
            known(number, name, status, held=status == "loaded" or (status != "duplicate" and draw(st.booleans())))
            for number, (name, status) in zip(numbers, versions, strict=True)
        ),
        key=lambda file: file.arrival_number,
    )


def carried_out(files: list[KnownFile], made: Plan) -> list[KnownFile]:
    """The register after the plan's files were loaded."""

    def after(file: KnownFile) -> KnownFile:
        if file in made.files:
            return replace(file, status="loaded", loaded_at=NOW)
        return replace(file, loaded_at=None) if made.rebuild and file.status not in CURRENT else file

    return [after(file) for file in files]


@steady
@given(registers(), st.sets(st.sampled_from("abcde")), st.booleans())
def test_any_plan_loads_what_is_there_loses_nothing_and_leaves_nothing_to_do(
    files: list[KnownFile], present: set[str], reload: bool
) -> None:
    held = [file for file in files if file.status in CURRENT and file.loaded_at]
    try:
        made = plan(files, present, reload=reload)
    except NotFound:
        assert any(file.name not in present for file in held)
        return
    assert all(file.name in present and file.status in CURRENT for file in made.files)
    numbers = [file.arrival_number for file in made.files]
    assert numbers == sorted(numbers)
    new = [file for file in files if file.status == "arrived" and file.name in present]
    assert all(file in made.files for file in new)
    if made.rebuild:
        assert all(file in made.files for file in held)
    else:
        assert made.files == new
        assert not reload
    assert plan(carried_out(files, made), present, reload=False) == Plan([], rebuild=False)


def test_a_file_holds_data_while_the_snapshots_have_what_any_version_of_it_says() -> None:
    files = [known(1, "a", "replaced", held=True), known(2, "a", "arrived"), known(3, "b", "arrived")]
    assert [holds_data(file, files) for file in files] == [True, True, False]
