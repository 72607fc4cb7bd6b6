"""Models against the database: which events are waiting, what associations lead to, what a value comes back as."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, configure_mappers

from cg_pipeline.clock import FixedClock
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline.warehouse.models import (
    ApiKey,
    Artist,
    AuditLog,
    Base,
    CsvFile,
    Delta,
    Post,
    PostVersion,
    Quarantine,
    Site,
    SiteSetting,
    Snapshot,
    SyncLog,
    User,
    WebhookEvent,
)
from cg_pipeline.warehouse.models.enums import (
    DataSource,
    DeltaPeriod,
    Platform,
    SyncLogStatus,
    SyncType,
    UserRole,
    WebhookAction,
    WebhookStatus,
)

DAY = date(2026, 1, 2)
NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def session(warehouse: Warehouse) -> Iterator[Session]:
    engine = warehouse.engine()
    with Session(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def site(session: Session) -> Site:
    site = Site(name="Channel", platform=Platform.YOUTUBE, platform_id="UC1")
    session.add(site)
    session.flush()
    return site


@pytest.fixture
def post(session: Session, site: Site) -> Post:
    post = new_post("youtube_1", synced_from_site=site)
    session.add(post)
    session.flush()
    return post


def new_post(post_id: str, **values: Any) -> Post:
    return Post(post_id=post_id, platform=Platform.YOUTUBE, data_source=DataSource.YOUTUBE, **values)


def new_event(site: Site, name: str, created_at: datetime = NOON, **values: Any) -> WebhookEvent:
    return WebhookEvent(
        site=site,
        action=WebhookAction.REFRESH,
        platform=Platform.YOUTUBE,
        event_type="post.update",
        event_data={},
        fingerprint=name,
        created_at=created_at,
        **values,
    )


def names(events: Any) -> list[str]:
    return [event.fingerprint for event in events]


# webhook events


def test_pending_events_come_oldest_first_and_limited(session: Session, site: Site) -> None:
    for minutes in (3, 1, 2):
        session.add(new_event(site, f"{minutes}", NOON + timedelta(minutes=minutes)))
    session.add(new_event(site, "processed", status=WebhookStatus.PROCESSED, processed_at=NOON))
    session.add(new_event(site, "failed", status=WebhookStatus.FAILED, attempt_at=NOON))
    session.flush()
    assert names(WebhookEvent.get_pending_events(session)) == ["1", "2", "3"]
    assert names(WebhookEvent.get_pending_events(session, limit=2)) == ["1", "2"]


def test_the_events_to_retry_are_those_that_should_be(session: Session, site: Site, clock: FixedClock) -> None:
    now = clock.now()
    events = [
        new_event(
            site, f"{status} {retries} {minutes}", status=status, retry_count=retries, attempt_at=due, error_message="?"
        )
        for status in (WebhookStatus.PENDING, WebhookStatus.FAILED, WebhookStatus.DEAD)
        for retries in (1, WebhookEvent.MAX_ATTEMPTS - 1, WebhookEvent.MAX_ATTEMPTS)
        for minutes in (-2, -1, 0, 1, None)
        for due in [None if minutes is None else now + timedelta(minutes=minutes)]
        if due or status != WebhookStatus.FAILED
    ]
    session.add_all(events)
    session.flush()
    found = WebhookEvent.get_failed_retryable_events(session, now)
    assert set(names(found)) == set(names(event for event in events if event.should_retry(now)))
    assert len(found) == 6
    assert [event.attempt_at for event in found] == sorted(event.attempt_at for event in found if event.attempt_at)
    assert names(WebhookEvent.get_failed_retryable_events(session, now, limit=2)) == names(found[:2])


def test_an_event_lives_from_pending_over_failed_to_dead(session: Session, site: Site, clock: FixedClock) -> None:
    session.add(new_event(site, "f", clock.now()))
    session.flush()
    (event,) = WebhookEvent.get_pending_events(session)
    for _ in range(WebhookEvent.MAX_ATTEMPTS):
        event.mark_failed(clock.now(), "timeout")
        session.flush()
        assert not WebhookEvent.get_failed_retryable_events(session, clock.now())
        clock.instant += timedelta(hours=2)  # the longest wait with its jitter
        retryable = WebhookEvent.get_failed_retryable_events(session, clock.now())
        assert list(retryable) == ([event] if event.status == WebhookStatus.FAILED else [])
    assert event.status == WebhookStatus.DEAD
    assert not WebhookEvent.get_pending_events(session)


def test_a_failed_event_that_was_processed_after_all_satisfies_the_database(session: Session, site: Site) -> None:
    event = new_event(site, "f")
    session.add(event)
    event.mark_failed(NOON, "timeout")
    session.flush()
    event.mark_processed(NOON + timedelta(minutes=1))
    session.flush()
    assert event.status == WebhookStatus.PROCESSED


# sync logs and settings


@pytest.mark.parametrize("end", [SyncLogStatus.COMPLETED, SyncLogStatus.PARTIAL, SyncLogStatus.FAILED])
def test_a_log_starts_by_default_and_ends_once(session: Session, site: Site, end: SyncLogStatus) -> None:
    log = SyncLog(site_id=site.id, sync_type=SyncType.FULL, started_at=NOON)
    session.add(log)
    session.flush()
    assert (log.status, log.records_processed) == (SyncLogStatus.STARTED, 0)
    later = NOON + timedelta(minutes=1)
    {
        SyncLogStatus.COMPLETED: lambda: log.mark_completed(later, processed=3),
        SyncLogStatus.PARTIAL: lambda: log.mark_partial(later, "page 2 did not come"),
        SyncLogStatus.FAILED: lambda: log.mark_failed(later, "token revoked", {"code": 190}),
    }[end]()
    session.flush()
    session.expire(log)
    assert (log.status, log.completed_at) == (end, later)


def test_a_setting_survives_the_database(session: Session, site: Site) -> None:
    setting = SiteSetting(site=site, setting_key="closing_grace")
    session.add(setting)
    for value in (True, 12, Decimal("0.1"), "0.1", {"a": [Decimal("0.10"), None, "ü"]}, None):
        setting.set_value(value)
        session.flush()
        session.expire(setting)
        assert setting.get_value() == value


# associations and values


def test_every_association_can_be_followed(session: Session, site: Site, post: Post) -> None:
    configure_mappers()
    artist = Artist(name="Ada")
    user = User(username="ada", email="ada@example.org", password="hash", role=UserRole.ARTIST, artist=artist)
    session.add_all([user, ApiKey(user=user, name="export", key_hash="k"), SiteSetting(site=site, setting_key="k")])
    log = AuditLog(user=user, action="connect", entity_type="site", ip_address=ip_address("2001:db8::1"))
    snapshot = Snapshot(
        post=post,
        snapshot_date=DAY,
        data_source=DataSource.YOUTUBE,
        synced_from_site=site,
        observed_at=NOON,
        lifetime_earnings=Decimal("1.000001"),
        currency="USD",
        views=2**40,
    )
    delta = Delta(post=post, period=DeltaPeriod.DAILY, period_start=DAY, to_date=DAY, artist=artist, views_delta=1)
    sync = SyncLog(site=site, sync_type=SyncType.FULL, started_at=NOON)
    event = new_event(site, "f")
    site.added_by_user, post.artist = user, artist
    session.add_all([log, snapshot, delta, sync, event])
    session.flush()
    session.expire_all()

    assert session.scalars(site.synced_posts.select()).all() == [post]
    assert session.scalars(site.synced_snapshots.select()).all() == [snapshot]
    assert session.scalars(site.sync_logs.select()).all() == [sync]
    assert session.scalars(site.webhook_events.select()).all() == [event]
    assert [setting.setting_key for setting in site.settings] == ["k"]
    assert (site.added_by_user, user.sites) == (user, [site])
    assert session.scalars(user.audit_logs.select()).all() == [log]
    assert ([key.name for key in user.api_keys], user.artist, artist.users) == (["export"], artist, [user])
    assert session.scalars(artist.posts.select()).all() == [post]
    assert session.scalars(artist.deltas.select()).all() == [delta]
    assert (post.artist, post.synced_from_site, post.snapshots, post.deltas) == (artist, site, [snapshot], [delta])
    assert (snapshot.lifetime_earnings, snapshot.views, snapshot.raw_data) == (Decimal("1.000001"), 2**40, {})
    assert log.ip_address == ip_address("2001:db8::1")


def test_a_reel_may_be_stored_before_the_video_that_it_was_cut_from(session: Session, post: Post) -> None:
    reel = new_post("youtube_3", parent_post_id="youtube_2", previous_iteration=post, iteration=2)
    session.add(reel)
    session.flush()
    video = new_post("youtube_2")
    session.add(video)
    session.flush()
    session.expire_all()
    assert (reel.parent, video.children) == (video, [reel])
    assert (reel.previous_iteration, post.next_iterations) == (post, [reel])


def test_what_is_unknown_is_null_and_not_json_null(session: Session, warehouse: Warehouse, post: Post) -> None:
    post.crossposting_status = None
    post.hashtags = ["cats"]
    session.commit()
    with warehouse.connect() as connection:
        row = connection.execute("select crossposting_status is null as unknown, hashtags from posts").fetchone()
    assert row == {"unknown": True, "hashtags": ["cats"]}


def test_growth_is_computed_by_the_database(session: Session, post: Post) -> None:
    delta = Delta(post=post, period=DeltaPeriod.DAILY, period_start=DAY, to_date=DAY, views_delta=1, base_views=3)
    session.add(delta)
    session.flush()
    assert delta.growth_rate == Decimal("33.3333")


def test_an_update_through_a_model_moves_updated_at(session: Session, site: Site) -> None:
    session.commit()
    before = site.updated_at
    site.bio = "new"
    session.commit()
    assert site.updated_at > before


def test_deleting_an_artist_who_has_posts_is_refused(session: Session, post: Post) -> None:
    artist = post.artist = Artist(name="Ada")
    session.flush()
    session.delete(artist)
    with pytest.raises(IntegrityError, match="posts_artist_id_fkey"), session.begin_nested():
        session.flush()


@pytest.mark.parametrize("owner", ["site", "file", "post", "user"])
def test_deleting_an_owner_deletes_what_belongs_to_it_alone(session: Session, owner: str) -> None:
    file = CsvFile(as_of=DAY, name="a.csv", sha256="0" * 64, size_bytes=1, modified_at=NOON, arrived_at=NOON)
    site = Site(name="Channel", platform=Platform.YOUTUBE, platform_id="UC1")
    post = new_post("youtube_1")
    user = User(username="ada", email="ada@example.org", password="hash")
    owned: dict[str, tuple[Base, Base]] = {
        "site": (site, SiteSetting(site=site, setting_key="k")),
        "file": (file, Quarantine(csv_file=file, snapshot_date=DAY, reason="no id", raw_data={})),
        "post": (post, PostVersion(post=post, data_source=DataSource.CSV, observed_from=DAY, attributes={})),
        "user": (user, ApiKey(user=user, name="export", key_hash="k")),
    }
    session.add_all(owned[owner])
    session.flush()
    session.delete(owned[owner][0])
    session.flush()
    assert session.query(type(owned[owner][1])).count() == 0
