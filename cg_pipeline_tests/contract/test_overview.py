"""The README tells what each platform gives, and it is true."""

from cg_pipeline_tests.contract.overview import BLOCK, README, table


def test_the_table_of_the_platforms_in_the_readme_is_what_reading_them_gives() -> None:
    found = BLOCK.search(README.read_text(encoding="utf-8"))
    assert found is not None
    assert found[0].strip() == table().strip(), "run python -m cg_pipeline_tests.contract.overview"
