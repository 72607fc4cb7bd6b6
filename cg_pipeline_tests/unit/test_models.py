"""The behaviour of models that needs no database: sync logs, webhook events, site settings, descriptions of columns."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import inspect

from cg_pipeline.clock import FixedClock
from cg_pipeline.errors import ConfigError, Permanent
from cg_pipeline.warehouse import models
from cg_pipeline.warehouse.models.enums import (
    DATABASE_TYPES,
    Platform,
    SettingType,
    SyncLogStatus,
    SyncType,
    WebhookStatus,
)
from cg_pipeline.warehouse.models.sites import SettingValue
from cg_pipeline.warehouse.models.webhooks import backoff

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def log() -> models.SyncLog:
    return models.SyncLog(
        id=UUID(int=1), sync_type=SyncType.FULL, status=SyncLogStatus.STARTED, started_at=NOW, records_processed=0
    )


@pytest.fixture
def event() -> models.WebhookEvent:
    return models.WebhookEvent(platform=Platform.YOUTUBE, status=WebhookStatus.PENDING, retry_count=0)


def setting(value: str | None, kind: SettingType | None) -> models.SiteSetting:
    return models.SiteSetting(setting_key="limit", setting_value=value, setting_type=kind)


# sync logs


def test_a_completed_log_has_its_end_and_the_counts_given(log: models.SyncLog, clock: FixedClock) -> None:
    log.mark_completed(clock.now(), processed=12, failed=3)
    assert (log.status, log.completed_at) == (SyncLogStatus.COMPLETED, NOW)
    assert (log.records_processed, log.records_failed) == (12, 3)


def test_completing_without_counts_keeps_the_progress(log: models.SyncLog) -> None:
    log.update_progress(40, failed=2, next_cursor="p3")
    log.mark_completed(LATER)
    assert (log.records_processed, log.records_failed) == (40, 2)


def test_completing_with_a_count_of_zero_sets_it(log: models.SyncLog) -> None:
    log.update_progress(40, failed=2)
    log.mark_completed(LATER, failed=0)
    assert (log.records_processed, log.records_failed) == (40, 0)


def test_a_partial_log_says_what_is_missing_and_keeps_its_progress(log: models.SyncLog) -> None:
    log.update_progress(40, failed=2, next_cursor="p3")
    log.mark_partial(LATER, "page 3 did not come", {"page": 3})
    assert (log.status, log.completed_at) == (SyncLogStatus.PARTIAL, LATER)
    assert (log.error_message, log.error_details) == ("page 3 did not come", {"page": 3})
    assert (log.records_processed, log.next_cursor) == (40, "p3")


def test_a_failed_log_says_why(log: models.SyncLog) -> None:
    log.mark_failed(LATER, "token revoked")
    assert (log.status, log.completed_at) == (SyncLogStatus.FAILED, LATER)
    assert (log.error_message, log.error_details) == ("token revoked", None)


def test_progress_sets_counts_and_cursor_anew(log: models.SyncLog) -> None:
    log.update_progress(40, failed=2, next_cursor="p3")
    log.update_progress(60)
    assert (log.records_processed, log.records_failed, log.next_cursor) == (60, 0, None)


@pytest.mark.parametrize("end", [SyncLogStatus.COMPLETED, SyncLogStatus.PARTIAL, SyncLogStatus.FAILED])
def test_a_log_that_ended_refuses_every_change(log: models.SyncLog, end: SyncLogStatus) -> None:
    log.status, log.completed_at, log.records_processed = end, NOW, 5
    changes: list[Callable[[], None]] = [
        lambda: log.mark_completed(LATER, processed=6),
        lambda: log.mark_partial(LATER, "late"),
        lambda: log.mark_failed(LATER, "late"),
        lambda: log.update_progress(6),
    ]
    for change in changes:
        with pytest.raises(Permanent, match=f"00000001 ended as {end} at 2026-01-15 12:00:00"):
            change()
    assert (log.status, log.completed_at, log.records_processed) == (end, NOW, 5)
    assert log.error_message is None


# webhook events


def test_a_processed_event_says_when_and_forgets_its_failures(event: models.WebhookEvent) -> None:
    event.mark_failed(NOW, "timeout")
    event.mark_processed(LATER)
    assert (event.status, event.processed_at) == (WebhookStatus.PROCESSED, LATER)
    assert (event.error_message, event.attempt_at, event.retry_count) == (None, None, 1)
    assert not event.should_retry(LATER + timedelta(days=1))


def test_a_failed_event_is_retried_only_after_its_backoff(event: models.WebhookEvent) -> None:
    event.mark_failed(NOW, "timeout", chance=0)
    assert (event.status, event.retry_count, event.error_message) == (WebhookStatus.FAILED, 1, "timeout")
    assert event.attempt_at == NOW + timedelta(minutes=1)
    assert not event.should_retry(NOW + timedelta(seconds=59))
    assert event.should_retry(NOW + timedelta(minutes=1))


def test_the_waits_double_up_to_an_hour_and_the_eighth_failure_is_the_last(event: models.WebhookEvent) -> None:
    waits = []
    for _ in range(models.WebhookEvent.MAX_ATTEMPTS - 1):
        event.mark_failed(NOW, "timeout", chance=0)
        assert event.status == WebhookStatus.FAILED
        assert event.attempt_at
        waits.append((event.attempt_at - NOW) // timedelta(minutes=1))
    assert waits == [1, 2, 4, 8, 16, 32, 60]

    event.mark_failed(LATER, "still a timeout")
    assert (event.status, event.retry_count) == (WebhookStatus.DEAD, 8)
    assert (event.error_message, event.attempt_at) == ("still a timeout", None)
    assert not event.should_retry(LATER + timedelta(days=1))


def test_what_failed_together_comes_back_within_a_quarter_of_the_wait(event: models.WebhookEvent) -> None:
    event.mark_failed(NOW, "timeout", chance=1)
    assert event.attempt_at == NOW + timedelta(seconds=75)
    event.mark_failed(NOW, "timeout")
    assert event.attempt_at
    assert timedelta(minutes=2) <= event.attempt_at - NOW <= timedelta(minutes=2.5)


def test_an_event_that_was_never_stored_can_fail() -> None:
    event = models.WebhookEvent()
    event.mark_failed(NOW, "timeout")
    assert (event.status, event.retry_count) == (WebhookStatus.FAILED, 1)


@pytest.mark.parametrize("status", [WebhookStatus.PENDING, WebhookStatus.PROCESSED, WebhookStatus.DEAD])
def test_only_a_failed_event_is_retried(status: WebhookStatus) -> None:
    assert not models.WebhookEvent(status=status, retry_count=1, attempt_at=NOW).should_retry(LATER)


def test_a_failed_event_without_attempts_left_is_not_retried() -> None:
    assert not models.WebhookEvent(status=WebhookStatus.FAILED, retry_count=8, attempt_at=NOW).should_retry(LATER)


@settings(deadline=None)  # machines that run tests may stall
@given(st.integers(1, 10_000))
def test_no_wait_is_shorter_than_the_one_before_or_longer_than_an_hour(failures: int) -> None:
    assert backoff(failures) <= backoff(failures + 1) <= timedelta(hours=1)


# site settings

NUMBERS = st.integers() | st.decimals(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(deadline=None)  # machines that run tests may stall
@given(
    st.none() | st.booleans() | NUMBERS | st.text() | st.lists(JSON) | st.dictionaries(st.text(), JSON),
    st.sampled_from(SettingType),
)
def test_a_setting_gives_back_what_was_set(value: Any, former: SettingType) -> None:
    one = setting("former", former)
    one.set_value(value)
    assert one.get_value() == value
    assert isinstance(one.get_value(), bool) == isinstance(value, bool)
    assert not holds_float(one.get_value())


def holds_float(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, float) or any(map(holds_float, parts))


@pytest.mark.parametrize(
    ("value", "text", "kind"),
    [
        (True, "true", SettingType.BOOLEAN),
        (False, "false", SettingType.BOOLEAN),
        (1, "1", SettingType.NUMBER),
        (Decimal("0.10"), "0.10", SettingType.NUMBER),
        ("1", "1", SettingType.STRING),
        ("", "", SettingType.STRING),
        (Platform.TIKTOK, "tiktok", SettingType.STRING),
        ({"rate": Decimal("0.1")}, '{"rate": 0.1}', SettingType.JSON),
        ([1, None, True], "[1, null, true]", SettingType.JSON),
    ],
)
def test_a_setting_is_stored_as_text_with_its_type(value: SettingValue, text: str, kind: SettingType) -> None:
    one = setting(None, None)
    one.set_value(value)
    assert (one.setting_value, one.setting_type) == (text, kind)


def test_setting_none_keeps_the_type() -> None:
    one = setting("12", SettingType.NUMBER)
    one.set_value(None)
    assert (one.setting_value, one.setting_type, one.get_value()) == (None, SettingType.NUMBER, None)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("12", SettingType.NUMBER, 12),
        ("-0.50", SettingType.NUMBER, Decimal("-0.5")),
        ("1e3", SettingType.NUMBER, Decimal(1000)),
        ('{"rate": 0.1}', SettingType.JSON, {"rate": Decimal("0.1")}),
        (" text ", SettingType.STRING, " text "),
        ("text", None, "text"),
    ],
)
def test_text_that_a_person_wrote_is_read_by_its_type(text: str, kind: SettingType | None, value: object) -> None:
    assert setting(text, kind).get_value() == value


@pytest.mark.parametrize(
    ("text", "kind", "form"),
    [
        ("yes", SettingType.BOOLEAN, "true or false"),
        ("", SettingType.BOOLEAN, "true or false"),
        ("1,5", SettingType.NUMBER, "a number"),
        ("", SettingType.NUMBER, "a number"),
        ("NaN", SettingType.NUMBER, "a number"),
        ("Infinity", SettingType.NUMBER, "a number"),
        ("9" * 5000, SettingType.NUMBER, "a number"),
        ("{", SettingType.JSON, "a JSON object or array"),
        ("12", SettingType.JSON, "a JSON object or array"),
        ('{"a": NaN}', SettingType.JSON, "a JSON object or array"),
        ("[" * 100_000, SettingType.JSON, "a JSON object or array"),
    ],
    ids=lambda part: str(part)[:20],
)
def test_text_that_does_not_parse_is_named_with_what_it_should_be(text: str, kind: SettingType, form: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        setting(text, kind).get_value()
    assert f"site setting limit: {text!r} must be {form}" in str(refusal.value)


@pytest.mark.parametrize("value", [0.5, [0.5], {"a": {"b": 0.5}}, {1: "a"}, (1, 2), [(1, 2)], b"a", NOW, {"a"}])
def test_what_would_not_come_back_equal_is_refused_and_changes_nothing(value: Any) -> None:
    one = setting("12", SettingType.NUMBER)
    with pytest.raises(TypeError, match="can not be a setting"):
        one.set_value(value)
    assert (one.setting_value, one.setting_type) == ("12", SettingType.NUMBER)


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"), [Decimal("NaN")]])
def test_numbers_that_are_not_finite_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        setting(None, SettingType.NUMBER).set_value(value)


# all models


MAPPERS = sorted(models.Base.registry.mappers, key=lambda mapper: mapper.class_.__name__)


@pytest.mark.parametrize("mapper", MAPPERS, ids=lambda mapper: mapper.class_.__name__)
def test_every_model_says_what_one_row_is(mapper: Any) -> None:
    assert mapper.class_.__doc__


@pytest.mark.parametrize("model", [models.Post, models.Snapshot, models.Delta, models.RoyaltyLine])
def test_every_column_that_a_person_sees_in_dagster_is_described(model: type[models.Base]) -> None:
    assert not [column.name for column in inspect(model).columns if not column.doc]


def test_a_counter_holds_more_than_32_bits() -> None:
    columns = [*inspect(models.Snapshot).columns, *inspect(models.Delta).columns]
    assert not [column.name for column in columns if str(column.type) == "INTEGER"]


def test_the_package_offers_every_model() -> None:
    names = {mapper.class_.__name__ for mapper in models.Base.registry.mappers}
    assert set(models.__all__) == names | {"Base"}


def test_the_types_of_the_database_are_named_like_the_enumerations() -> None:
    names = {cast("str", kind.name) for kind in DATABASE_TYPES.values()}
    assert {"platform", "site_sync_status", "royalty_line_kind"} <= names
    assert all(kind.enums == [member.value for member in enum] for enum, kind in DATABASE_TYPES.items())
