"""The migrated schema: equal to the models, complete against document 1.1.28, and strict about what may be stored."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from difflib import unified_diff
from threading import Barrier
from typing import LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, inspect

from cg_pipeline.warehouse import models
from cg_pipeline.warehouse.database import Connection, Warehouse, ensure_database
from cg_pipeline.warehouse.migrate import PARTITIONED, ensure_partitions, migrate, newest_revision

# Each statement lists one kind of thing as lines of text. Partitions and Alembic's table are no part of the schema.
CATALOG: dict[str, LiteralString] = {
    "tables": """
        select c.relname || coalesce(' partition by ' || pg_get_partkeydef(c.oid), '') as line
        from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition
          and c.relname <> 'alembic_version'""",
    "columns": """
        select format('%s.%s %s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                      case when a.attnotnull then ' not null' else '' end)
               || case when a.attidentity <> '' then ' identity ' || a.attidentity::text else '' end
               || case when a.attgenerated <> '' then ' generated ' || a.attgenerated::text else '' end
               || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') as line
        from pg_attribute a
        join pg_class c on c.oid = a.attrelid
        left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
          and c.relname <> 'alembic_version' and a.attnum > 0 and not a.attisdropped""",
    "constraints": """
        select format('%s: %s %s', c.relname, k.conname, pg_get_constraintdef(k.oid)) as line
        from pg_constraint k
        join pg_class c on c.oid = k.conrelid
        where c.relnamespace = 'public'::regnamespace and not c.relispartition and c.relname <> 'alembic_version'
          and k.contype <> 'n'""",  # PostgreSQL 18 lists not null here too; the columns have it
    "indexes": """
        select pg_get_indexdef(i.indexrelid) as line
        from pg_index i
        join pg_class c on c.oid = i.indrelid
        where c.relnamespace = 'public'::regnamespace and not c.relispartition and c.relname <> 'alembic_version'""",
    "enums": """
        select t.typname || ': ' || string_agg(e.enumlabel, ', ' order by e.enumsortorder) as line
        from pg_enum e
        join pg_type t on t.oid = e.enumtypid
        group by t.typname""",
}

# The fields of schema 1.1.28 as the document writes them.
DOCUMENT = {
    models.Site: """
        id name platform platformId platformUserId platformUsername accessToken refreshToken tokenExpiry scope
        webhookUrl webhookSecret businessAccountId followerCount profileImageUrl coverImageUrl bio apiQuota
        apiQuotaReset syncStatus lastSyncAt stats addedBy""",
    models.Post: """
        postId assetTag title description postType publishTime duration permalink pageId pageName status platform
        dataSource siteId thumbnailUrl videoUrl aspectRatio resolution hashtags mentions crosspostingStatus
        originalPlatform monetizationStatus restrictedCountries contentCategory audioCopyright privacyStatus
        parentPostId previousIterationId artistId""",
    models.Snapshot: """
        id postId snapshotDate dataSource siteId lifetimeEarnings lifetimeQualifiedViews lifetimeSecondsViewed views
        threeSecondViews oneMinuteViews reactions comments shares impressions reach saves profileVisits
        avgWatchPercentage subscribersGained estimatedCpm viewsByCountry demographicData trafficSource deviceType
        rawData""",
    models.Delta: """
        id postId fromDate toDate period artistId earningsDelta qualifiedViewsDelta secondsViewedDelta viewsDelta
        reactionsDelta commentsDelta sharesDelta impressionsDelta reachDelta growthRate""",
    models.Artist: """
        id name email royaltyRate status notes socialMediaHandles primaryPlatform verifiedPlatforms""",
    models.SyncLog: """
        id siteId syncType status startedAt completedAt recordsProcessed recordsFailed errorMessage errorDetails
        nextCursor""",
    models.WebhookEvent: """
        id siteId platform eventType eventData status processedAt retryCount errorMessage createdAt""",
    models.User: "id username email password role artistId isActive lastLogin",
    models.SiteSetting: "id siteId settingKey settingValue settingType",
}
ASSOCIATIONS = {
    models.Site: "syncedPosts syncedSnapshots settings syncLogs webhookEvents addedByUser",
    models.Post: "artist syncedFromSite snapshots deltas children parent previousIteration",
    models.Snapshot: "post syncedFromSite",
    models.Delta: "post artist",
    models.Artist: "posts deltas users",
    models.SyncLog: "site",
    models.WebhookEvent: "site",
    models.User: "apiKeys sites auditLogs artist",
    models.SiteSetting: "site",
}
METHODS = {
    models.SyncLog: "markCompleted markFailed updateProgress",
    models.WebhookEvent: "markProcessed markFailed shouldRetry getPendingEvents getFailedRetryableEvents",
    models.SiteSetting: "getValue setValue",
}

ADA = UUID(int=10)
CHANNEL = UUID(int=1)
# One artist, site and post for other rows to refer to.
GROUND = """
    insert into artists (id, name) values ('00000000-0000-0000-0000-00000000000a', 'Ada');
    insert into sites (id, name, platform, platform_id)
    values ('00000000-0000-0000-0000-000000000001', 'Channel', 'youtube', 'UC1');
    insert into posts (post_id, platform, data_source) values ('youtube_1', 'youtube', 'youtube');
"""

# A row of each partitioned table in September 2026, for which a fresh warehouse has no partition.
SEPTEMBER: dict[str, LiteralString] = {
    "snapshots": """
        insert into snapshots (post_id, snapshot_date, data_source, observed_at)
        values ('youtube_1', '2026-09-30', 'youtube', '2026-09-30 23:59:59Z')""",
    "deltas": """
        insert into deltas (post_id, period, period_start, to_date, views_delta, base_views)
        values ('youtube_1', 'daily', '2026-09-30', '2026-09-30', 1, 3)""",
    "webhook_events": """
        insert into webhook_events (platform, event_type, event_data, fingerprint, created_at, status, error_message)
        values ('youtube', 'post.update', '{}', 'f', '2026-09-30 23:59:59Z', 'ignored', 'no site of ours')""",
}

SNAPSHOT: LiteralString = """
    insert into snapshots (post_id, snapshot_date, data_source, observed_at, lifetime_earnings, currency)
    values ('youtube_1', '2026-01-02', 'youtube', now(), %s, %s)"""
DELTA: LiteralString = """
    insert into deltas (post_id, period, period_start, from_date, to_date, opening_earnings, currency)
    values ('youtube_1', 'daily', '2026-01-02', %s, %s, %s, %s)"""
POST: LiteralString = """
    insert into posts (post_id, platform, data_source, parent_post_id) values (%s, 'youtube', 'youtube', %s)"""
FILE: LiteralString = """
    insert into csv_files (as_of, name, sha256, size_bytes, modified_at, arrived_at, status)
    values ('2026-01-02', 'a.csv', repeat('0', 64), 1, now(), now(), %s)"""
LOG: LiteralString = """
    insert into sync_logs (site_id, sync_type, started_at, status, completed_at) values (%s, 'full', now(), %s, %s)"""
EVENT: LiteralString = """
    insert into webhook_events (platform, event_type, event_data, fingerprint, action, site_id, status)
    values ('youtube', 'post.update', '{}', 'f', 'refresh', %s, %s)"""
LINE: LiteralString = """
    insert into royalty_lines
        (month, post_id, currency, artist_id, rate_pct, earnings, artist_share, house_share, suspense)
    values ('2026-01-01', 'youtube_1', 'USD', %s, %s, %s, %s, %s, %s)"""
RATE: LiteralString = "insert into royalty_rates (artist_id, rate_pct, effective_from) values (%s, %s, '2026-01-01')"
STATEMENT: LiteralString = """
    insert into royalty_statements (artist_id, month, currency, earnings, artist_share, payable, closed_at)
    values (%s, %s, 'USD', 0, 0, 0, now())"""
ASSIGNMENT: LiteralString = "insert into artist_assignments (artist_id, asset_tag, post_id) values (%s, %s, %s)"
USER: LiteralString = "insert into users (username, email, password, role) values ('a', 'a@example.org', 'hash', %s)"

DAY = date(2026, 1, 2)
Rows = list[tuple[object, ...]]
# What must be true: a statement, rows of which the last one breaks it, and the constraint that says so.
INVARIANTS: dict[str, tuple[LiteralString, Rows, str]] = {
    "earnings have a currency": (SNAPSHOT, [(1.5, None)], "earnings_have_currency"),
    "a currency is three capital letters": (SNAPSHOT, [(1.5, "usd")], "currency_is_iso_4217"),
    "a post has one snapshot a day": (SNAPSHOT, [(None, None), (1.5, "USD")], "snapshots_2026_01_pkey"),
    "opening earnings have a currency": (DELTA, [(None, DAY, 1.5, None)], "money_has_currency"),
    "a delta compares with an earlier day": (DELTA, [(DAY, DAY, None, None)], "dates_are_in_order"),
    "a window does not end before it starts": (DELTA, [(None, date(2026, 1, 1), None, None)], "dates_are_in_order"),
    "a post id names its platform": (POST, [("tiktok_1", None)], "post_id_names_platform"),
    "a post is not its own parent": (POST, [("youtube_2", "youtube_2")], "parent_is_another_post"),
    "a refused file says why": (FILE, [("refused",)], "refused_files_say_why"),
    "a name with the same bytes is one file": (FILE, [("loaded",), ("arrived",)], "csv_files_as_of_name_sha256_key"),
    "an ended sync log has completed_at": (LOG, [(CHANNEL, "failed", None)], "ended_logs_have_completed_at"),
    "a started sync log has no completed_at": (LOG, [(CHANNEL, "started", DAY)], "ended_logs_have_completed_at"),
    "a processed event has processed_at": (EVENT, [(CHANNEL, "processed")], "processed_events_have_processed_at"),
    "a claimed event has a lease": (EVENT, [(CHANNEL, "claimed")], "claimed_events_have_a_lease"),
    "a failed event has a next attempt": (EVENT, [(CHANNEL, "failed")], "failed_events_have_a_next_attempt"),
    "a dead event has a reason": (EVENT, [(CHANNEL, "dead")], "dead_and_ignored_events_have_a_reason"),
    "a pending event has a site": (EVENT, [(None, "pending")], "open_events_have_a_site_and_an_action"),
    "shares add up": (LINE, [(ADA, 50, 10, 5, Decimal("4.999999999999"), 0)], "shares_add_up"),
    "without artist all is in suspense": (LINE, [(None, 50, 10, 0, 5, 5)], "suspense_is_all_or_nothing"),
    "without rate all is in suspense": (LINE, [(ADA, None, 10, 5, 5, 0)], "suspense_is_all_or_nothing"),
    "with artist and rate nothing is in suspense": (LINE, [(ADA, 50, 10, 5, 4, 1)], "suspense_is_all_or_nothing"),
    "an accrual line without artist is one of its key": (
        LINE,
        [(None, None, 10, 0, 0, 10), (None, None, 20, 0, 0, 20)],
        "royalty_lines_accrual_key",
    ),
    "a rate is at most 100 percent": (RATE, [(ADA, Decimal("100.0001"))], "rate_is_percentage"),
    "an artist has one rate a day": (RATE, [(ADA, 50), (ADA, 60)], "royalty_rates_artist_id_effective_from_key"),
    "a statement is of a month": (STATEMENT, [(ADA, DAY)], "month_is_first_day"),
    "an assignment is by tag or by post": (ASSIGNMENT, [(ADA, "tag", "youtube_1")], "assignment_is_by_tag_or_by_post"),
    "a user of role artist has an artist": (USER, [("artist",)], "artist_users_have_artist"),
}


def test_models_and_migrations_make_the_same_schema(warehouse: Warehouse, new_url: URL) -> None:
    ensure_database(new_url)
    modelled = Warehouse(new_url)
    engine = modelled.engine()
    models.Base.metadata.create_all(engine)
    engine.dispose()
    difference = unified_diff(catalog(modelled), catalog(warehouse), "models", "migrations", n=0, lineterm="")
    assert not (lines := list(difference)), "\n".join(lines)


@pytest.mark.parametrize("model", DOCUMENT, ids=lambda model: model.__name__)
def test_every_field_of_the_document_exists(model: type[models.Base]) -> None:
    missing = set(snake(DOCUMENT[model])) - set(inspect(model).columns.keys())
    assert not missing


@pytest.mark.parametrize("model", ASSOCIATIONS, ids=lambda model: model.__name__)
def test_every_association_of_the_document_exists(model: type[models.Base]) -> None:
    missing = set(snake(ASSOCIATIONS[model])) - set(inspect(model).relationships.keys())
    assert not missing


@pytest.mark.parametrize("model", METHODS, ids=lambda model: model.__name__)
def test_every_method_of_the_document_exists(model: type[models.Base]) -> None:
    assert all(callable(getattr(model, method)) for method in snake(METHODS[model]))


@pytest.mark.parametrize("table", PARTITIONED)
def test_a_row_without_a_month_lands_and_moves_when_its_month_is_made(warehouse: Warehouse, table: str) -> None:
    with warehouse.connect() as connection:
        connection.execute(GROUND)
        connection.execute(SEPTEMBER[table])
        assert place_of_row(connection, table) == f"{table}_default"

    ensure_partitions(warehouse, date(2026, 9, 1), date(2026, 9, 30))

    with warehouse.connect() as connection:
        assert place_of_row(connection, table) == f"{table}_2026_09"
        bounds = month_bounds(connection, table)
    assert [bounds[0][0], bounds[-1][1]] == ["2026-01-01", "2027-01-01"]  # three months ahead of the last day
    assert [end for _, end in bounds[:-1]] == [start for start, _ in bounds[1:]]


def test_a_moved_delta_keeps_its_growth_rate(warehouse: Warehouse) -> None:
    with warehouse.connect() as connection:
        connection.execute(GROUND)
        connection.execute(SEPTEMBER["deltas"])
    ensure_partitions(warehouse, date(2026, 9, 1), date(2026, 9, 30))
    with warehouse.connect() as connection:
        assert connection.execute("select growth_rate from deltas").fetchall() == [{"growth_rate": Decimal("33.3333")}]


def test_migrating_twice_changes_nothing(warehouse: Warehouse) -> None:
    before = relations(warehouse)
    assert migrate(warehouse, date(2026, 1, 1)) == (newest_revision(), newest_revision())
    assert relations(warehouse) == before


@pytest.mark.parametrize("exists", [True, False], ids=["empty database", "missing database"])
def test_two_processes_may_migrate_the_same_new_database_at_once(
    new_url: URL, warehouse: Warehouse, exists: bool
) -> None:
    if exists:
        ensure_database(new_url)
    start = Barrier(2)

    def run() -> str:
        start.wait()
        return migrate(Warehouse(new_url), date(2026, 1, 1))[1]

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run) for _ in range(2)]
        assert [run.result() for run in runs] == [newest_revision()] * 2
    assert catalog(Warehouse(new_url)) == catalog(warehouse)


@pytest.mark.parametrize("sentence", INVARIANTS)
def test_the_database_enforces_that(connection: Connection, sentence: str) -> None:
    statement, rows, constraint = INVARIANTS[sentence]
    connection.execute(GROUND)
    for row in rows[:-1]:
        connection.execute(statement, row)
    with pytest.raises(psycopg.IntegrityError) as refusal:
        connection.execute(statement, rows[-1])
    assert refusal.value.diag.constraint_name == constraint


def catalog(warehouse: Warehouse) -> list[str]:
    """The whole schema as sorted lines."""
    with warehouse.connect() as connection:
        return sorted(
            f"{kind}: {row['line']}" for kind, statement in CATALOG.items() for row in connection.execute(statement)
        )


def relations(warehouse: Warehouse) -> list[tuple[object, ...]]:
    """Every relation, partitions included, with the transaction that last changed its definition."""
    statement = "select oid, relname, relfilenode, xmin::text from pg_class where relnamespace = 'public'::regnamespace"
    with warehouse.connect() as connection:
        return sorted(tuple(row.values()) for row in connection.execute(statement))


def place_of_row(connection: Connection, table: str) -> str:
    """The partition in which the only row of a table is."""
    statement = sql.SQL("select tableoid::regclass::text as place from {}").format(sql.Identifier(table))
    (row,) = connection.execute(statement).fetchall()
    return str(row["place"])


def month_bounds(connection: Connection, table: str) -> list[tuple[str, str]]:
    """First day and day after the last of each monthly partition, in order."""
    statement = """
        select pg_get_expr(relpartbound, oid) as bounds
        from pg_class join pg_inherits on inhrelid = oid
        where inhparent = %s::regclass"""
    rows = connection.execute(statement, [table])
    days = [re.findall(r"\d{4}-\d\d-\d\d", row["bounds"]) for row in rows]
    return sorted((first, last) for first, last in filter(None, days))


def snake(names: str) -> list[str]:
    """The document's camelCase names as the project writes them."""
    return [re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name) for name in names.split()]
