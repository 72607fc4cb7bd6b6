"""Which export a file is, by its headings; and what to do instead of importing one that holds no posts."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cg_pipeline.capture.layouts.base import Layout
from cg_pipeline.capture.layouts.mapped import ColumnMapping, layout_of
from cg_pipeline.capture.layouts.meta import BUSINESS_SUITE_FACEBOOK, BUSINESS_SUITE_INSTAGRAM, CREATOR_STUDIO
from cg_pipeline.capture.layouts.registry import NOT_POSTS, recognise
from cg_pipeline_tests.unit.exports import FACEBOOK, INSTAGRAM, OLD_VIDEO, YOUTUBE, Row, refused, steady

# headings of a table that holds no posts -> what it is
OTHER_TABLES: dict[tuple[str, ...], str] = {
    ("Ad ID", "Ad name", "Amount spent (USD)", "Reporting starts"): "an export of Ads Manager",
    ("Date", "Primary"): "a chart of Meta Business Suite",
    ("Date", *YOUTUBE): "a chart of YouTube Studio: views per day",
    ("Date", "Subscription status", "Views"): "a chart of YouTube Studio by subscription status",
    ("Date", "Video views", "Profile views", "Likes"): "the overview of TikTok Studio",
    ("Date", "Total viewers", "New viewers"): "the viewers table of TikTok Studio",
    ("Geography", "Views", "Watch time (hours)"): 'a table of YouTube Studio by "geography"',
    ("Subscription status", "Views"): 'a table of YouTube Studio by "subscription status"',
    ("Traffic source", "Views"): 'a table of YouTube Studio by "traffic source"',
    ("Device type", "Views"): 'a table of YouTube Studio by "device type"',
    ("name", "period", "title", "id", "value"): "one row per post and metric",
    ("channel_id", "views", "subscribers", "videos"): "counts whole channels",
    ("Viewer age", "Views (%)"): "by viewer age",
}

# columns of Meta's exports that no field of ours is made of
OFTEN = dict.fromkeys(
    ("Caption type", "Data comment", "Total clicks", "Reach from Boosted posts", "Reels_plays:count", "Replies")
)


def mapped(*headings: str) -> Layout:
    return layout_of(ColumnMapping(dict(zip(("post_id", "views"), headings, strict=True))), "youtube")


def test_every_table_that_holds_no_posts_is_tested() -> None:
    assert len(OTHER_TABLES) == len(NOT_POSTS)
    assert len({problem for _, problem, _ in NOT_POSTS}) == len(NOT_POSTS)


@pytest.mark.parametrize(("headings", "saying"), OTHER_TABLES.items(), ids=map("+".join, OTHER_TABLES))
def test_a_table_that_holds_no_posts_is_refused_by_name(headings: Sequence[str], saying: str) -> None:
    for written in (headings, [heading.upper() for heading in headings], headings[::-1]):
        with refused(saying):
            recognise(written)


@pytest.mark.parametrize("headings", OTHER_TABLES, ids="+".join)
def test_a_mapping_makes_a_table_usable_that_is_refused_otherwise(headings: Sequence[str]) -> None:
    layout = mapped(*headings[:2])
    assert recognise(headings, [layout]) is layout


@pytest.mark.parametrize(
    "headings",
    [
        pytest.param(["Publicerings-id", "Sid-id", "Sidnamn", "Titel", "Visningar"], id="Swedish"),
        pytest.param(["Post ID", "Views"], id="neither page nor account"),
        pytest.param(["Content", "Video title"], id="half of YouTube Studio"),
    ],
)
def test_headings_that_are_not_known_are_listed_with_both_ways_out(headings: Sequence[str]) -> None:
    with refused(f"The headings are of no known export: {', '.join(headings)}. If it is an export in another language"):
        recognise(headings)
    with refused("give it a column mapping: see `cg csv inspect FILE`."):
        recognise(headings)


def test_the_list_of_unknown_headings_stays_readable() -> None:
    with refused("no known export") as messages:
        recognise([f"heading {number}" for number in range(100_000)])
    assert len(messages[0]) < 5_000


def test_a_known_export_is_preferred_to_a_mapping() -> None:
    assert recognise(list(FACEBOOK), [mapped("post id", "views")]) is BUSINESS_SUITE_FACEBOOK


def test_a_table_that_fits_several_mappings_is_refused() -> None:
    one, same, other = mapped("id", "views"), mapped("ID", "Views"), mapped("id", "clicks")
    with refused("fit the column mappings of several sites. Say which it is: cg csv import FILE"):
        recognise(["id", "views"], [one, same])
    assert recognise(["id", "views"], [one, other]) is one
    assert recognise(["id", "clicks"], [one, same, other]) is other


@pytest.mark.parametrize(
    ("layout", "row"),
    [(BUSINESS_SUITE_FACEBOOK, FACEBOOK), (BUSINESS_SUITE_INSTAGRAM, INSTAGRAM), (CREATOR_STUDIO, OLD_VIDEO)],
)
@steady
@given(data=st.data())
def test_an_export_of_meta_is_known_whatever_of_its_columns_come_and_go(
    layout: Layout, row: Row, data: st.DataObject
) -> None:
    marks = {name for group in layout.known_by for name in group}
    marks |= {name for column in layout.columns if column.required for name in column.headings}
    lasting = [heading for heading in row if heading.casefold() in marks]
    optional = data.draw(st.sets(st.sampled_from([heading for heading in {**row, **OFTEN} if heading not in lasting])))
    headings = data.draw(st.permutations([*lasting, *optional]))
    assert recognise(headings) is layout
