"""Absence is not deletion: posts that are missed, looked up, removed, and that come back."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cg_pipeline.platforms.contract import Reading
from cg_pipeline.platforms.http import Answer, Request
from cg_pipeline.platforms.records import PostRecord
from cg_pipeline.platforms.threads import Threads
from cg_pipeline.sandbox.world import Post
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline_tests.integration.studio import AVAILABLE, Studio, small_world, studio

TELLS_WHAT_IS_GONE = [platform for platform in AVAILABLE if platform != "tiktok"]


@pytest.fixture
def house(warehouse: Warehouse, tmp_path: Path) -> Iterator[Studio]:
    with studio(small_world(accounts=1), warehouse, tmp_path) as made:
        yield made


def first_day(house: Studio, platform: str, number: int = 1) -> Post:
    """Capture the first day, and return one of its posts that is no story: 0 is the newest."""
    house.connect(house.account(platform))
    house.capture(platform)
    return [post for post in house.listed(house.account(platform)) if post.media != "story"][number]


def next_day(house: Studio, platform: str, post: Post) -> str:
    """Capture another day, and return what is known of the post, as `status missed`."""
    house.later(days=1)
    report = house.capture(platform)
    assert not report.incomplete, report.sites
    known = house.row(
        "select p.status, a.missed from posts p left join post_absences a using (post_id) where post_id = %(id)s",
        id=f"{platform}_{post.native_id}",
    )
    return f"{known['status']} {known['missed'] or 0}"


def days_of(house: Studio, platform: str, post: Post) -> int:
    return len(house.rows("select from snapshots where post_id = %(id)s", id=f"{platform}_{post.native_id}"))


@pytest.mark.parametrize("platform", TELLS_WHAT_IS_GONE)
def test_a_deleted_post_is_removed_after_three_days_and_a_lookup_and_may_come_back(
    house: Studio, platform: str
) -> None:
    post = first_day(house, platform)
    gone = house.change(post, deleted_at=house.sandbox.now)
    assert [next_day(house, platform, post) for _ in range(3)] == ["live 1", "live 2", "removed 2"]
    assert days_of(house, platform, post) == 1
    asked = len(house.transport.asked)
    assert next_day(house, platform, post) == "removed 2"
    assert not [key for _, key in house.transport.asked[asked:] if f"/{post.native_id}?" in key]
    house.change(gone, deleted_at=None)
    assert next_day(house, platform, post) == "live 0"
    assert days_of(house, platform, post) == 2


@pytest.mark.parametrize("platform", [platform for platform in ("twitter", "tiktok") if platform in AVAILABLE])
def test_a_post_that_is_private_stays_live(house: Studio, platform: str) -> None:
    post = first_day(house, platform)
    house.change(post, is_private=True)
    assert [next_day(house, platform, post) for _ in range(4)] == ["live 1", "live 2", "live 3", "live 4"]


def test_of_a_platform_that_does_not_tell_what_is_gone_nothing_is_removed(house: Studio) -> None:
    post = first_day(house, "tiktok")
    house.change(post, deleted_at=house.sandbox.now)
    assert [next_day(house, "tiktok", post) for _ in range(4)][-1] == "live 4"


def test_a_post_that_a_lookup_finds_is_read_like_the_others(house: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    post, real = first_day(house, "threads"), Threads.posts

    def posts(self: Threads, reading: Reading) -> Iterator[list[PostRecord]]:
        for page in real(self, reading):
            yield [record for record in page if record.native_id != post.native_id]

    monkeypatch.setattr(Threads, "posts", posts)
    assert [next_day(house, "threads", post) for _ in range(3)] == ["live 1", "live 2", "live 0"]
    assert days_of(house, "threads", post) == 2


def test_a_post_is_missed_once_a_day_however_often_the_day_is_read(house: Studio) -> None:
    post = first_day(house, "threads")
    house.change(post, deleted_at=house.sandbox.now)
    assert next_day(house, "threads", post) == "live 1"
    for _ in range(3):
        house.capture("threads", again=True)
    assert next_day(house, "threads", post) == "live 2"


@pytest.mark.parametrize(("platform", "missed"), [("threads", "live 1"), ("twitter", "live 0")])
def test_only_within_the_reach_of_a_listing_a_post_is_missed(house: Studio, platform: str, missed: str) -> None:
    oldest = first_day(house, platform, number=-1)
    house.change(oldest, deleted_at=house.sandbox.now)
    assert next_day(house, platform, oldest) == missed


def test_a_story_that_has_expired_is_neither_missed_nor_removed(house: Studio) -> None:
    account = house.account("instagram")
    story = next(p for p in house.sandbox.world.posts(account, house.sandbox.now) if p.media == "story")
    story = house.change(story, published_at=house.sandbox.now - timedelta(hours=2))
    first_day(house, "instagram")
    assert days_of(house, "instagram", story) == 1
    assert [next_day(house, "instagram", story) for _ in range(4)] == ["live 0"] * 4
    house.capture("instagram", posts=[f"instagram_{story.native_id}"])
    assert next_day(house, "instagram", story) == "live 0"
    assert days_of(house, "instagram", story) == 1


def test_a_post_that_is_gone_when_it_is_asked_for_is_removed_at_once(house: Studio) -> None:
    post = first_day(house, "threads")
    house.change(post, deleted_at=house.sandbox.now)
    house.capture("threads", posts=[f"threads_{post.native_id}"])
    assert next_day(house, "threads", post) == "removed 0"


def test_a_post_that_only_an_export_knows_is_not_missed(house: Studio) -> None:
    post = first_day(house, "threads")
    house.change(post, deleted_at=house.sandbox.now)
    house.rows("update post_versions set data_source = 'csv' where post_id = %(id)s", id=f"threads_{post.native_id}")
    assert next_day(house, "threads", post) == "live 0"


def test_a_permission_that_is_lost_does_not_look_like_deletions(house: Studio) -> None:
    post = first_day(house, "threads")
    house.sandbox.set_fault(post.account, "missing_scope", scope="threads_basic")
    assert [next_day(house, "threads", post) for _ in range(4)] == ["live 1", "live 2", "live 3", "live 4"]
    assert len(house.rows("select from posts where status = 'live'")) == 5
    house.sandbox.clear_faults()
    assert next_day(house, "threads", post) == "live 0"


def test_where_no_post_can_be_read_by_its_id_none_is_gone(house: Studio) -> None:
    post, hidden = first_day(house, "threads"), True
    house.change(post, deleted_at=house.sandbox.now)
    error = '{"error": {"message": "Unsupported get request.", "code": 100, "error_subcode": 33}}'

    def instead(request: Request, _: str) -> Answer | None:
        is_single = request.url.rpartition("/")[2].isdigit()
        return Answer(400, {}, error) if hidden and is_single else None

    house.transport.instead = instead
    assert [next_day(house, "threads", post) for _ in range(4)] == ["live 1", "live 2", "live 3", "live 4"]
    hidden = False
    assert next_day(house, "threads", post).startswith("removed")


def test_of_a_profile_whose_only_post_is_gone_nothing_can_be_proved(house: Studio) -> None:
    post = first_day(house, "threads")
    for each in house.listed(post.account):
        house.change(each, deleted_at=house.sandbox.now)
    assert [next_day(house, "threads", post) for _ in range(4)] == ["live 1", "live 2", "live 3", "live 4"]
