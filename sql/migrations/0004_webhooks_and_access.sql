-- Webhook events as they were received, and who may do what. Tables only: their behaviour lives elsewhere.

-- pending -> processed | failed; failed -> pending (tried again) | dead (after the last attempt)
create type webhook_status as enum ('pending', 'processed', 'failed', 'dead');

create table webhook_events (
    id uuid not null default gen_random_uuid(),
    site_id uuid references sites,
    platform platform not null,
    event_type text not null,
    event_data jsonb not null,
    status webhook_status not null default 'pending',
    processed_at timestamptz,
    retry_count integer not null default 0,
    error_message text,
    fingerprint text not null,
    event_time timestamptz,
    attempt_at timestamptz,
    claimed_until timestamptz,
    rerun_key text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (id, created_at),
    constraint processed_events_have_processed_at check ((status = 'processed') = (processed_at is not null))
) partition by range (created_at);
create table webhook_events_default partition of webhook_events default;
create index on webhook_events (platform, event_type);
create index on webhook_events (status, created_at);
create index on webhook_events (site_id);
create index on webhook_events (attempt_at) where status in ('pending', 'failed');

-- Unpartitioned, because a unique key on a table partitioned by time would have to contain the time.
create table webhook_fingerprints (
    fingerprint text primary key,
    event_id uuid not null,
    created_at timestamptz not null default now()
);
create index on webhook_fingerprints (created_at);

create table api_keys (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references users on delete cascade,
    name text not null,
    key_hash text not null unique,
    restrictions jsonb not null default '{}',
    is_active boolean not null default true,
    last_used_at timestamptz,
    expires_at timestamptz,
    created_at timestamptz not null default now()
);
create index on api_keys (user_id);

create table audit_logs (
    id uuid primary key default gen_random_uuid(),
    user_id uuid references users,
    action text not null,
    entity_type text not null,
    entity_id text,
    changes jsonb not null default '{}',
    ip_address inet,
    created_at timestamptz not null default now()
);
create index on audit_logs (user_id);
create index on audit_logs (entity_type, entity_id);
create index on audit_logs (created_at);
