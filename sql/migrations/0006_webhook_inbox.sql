-- The inbox of webhook events: who has claimed an event, what it asks for and of which post.

-- pending -> claimed -> processed | failed; failed -> pending (tried again), or dead after the last attempt. A claim whose
-- lease ends has failed. ignored: nothing of ours, or nothing to do; kept to be seen.
drop index webhook_events_attempt_at_idx;
alter table webhook_events drop constraint processed_events_have_processed_at;
alter table webhook_events alter column status drop default;
alter type webhook_status rename to former_webhook_status;
create type webhook_status as enum ('pending', 'claimed', 'processed', 'failed', 'dead', 'ignored');
alter table webhook_events alter column status type webhook_status using status::text::webhook_status;
alter table webhook_events alter column status set default 'pending';
drop type former_webhook_status;

create type webhook_action as enum ('refresh', 'delete', 'pause');

alter table webhook_events
    add column account text,
    add column post_id text,
    add column action webhook_action,
    add constraint processed_events_have_processed_at check ((status = 'processed') = (processed_at is not null)),
    add constraint claimed_events_have_a_lease check ((status = 'claimed') = (claimed_until is not null)),
    add constraint failed_events_have_a_next_attempt check (status <> 'failed' or attempt_at is not null),
    add constraint dead_and_ignored_events_have_a_reason check (status not in ('dead', 'ignored') or error_message is not null),
    add constraint open_events_have_a_site_and_an_action
        check (status not in ('pending', 'claimed', 'failed') or site_id is not null and action is not null);
create index on webhook_events (created_at) where status = 'pending';
create index on webhook_events (claimed_until) where status = 'claimed';
create index on webhook_events (attempt_at) where status = 'failed';
create index on webhook_events (site_id, post_id) where status in ('claimed', 'failed');
create index on webhook_events (rerun_key) where status = 'claimed';
create index on webhook_events (post_id) where post_id is not null;

-- How long to wait after so many failures: 1, 2, 4 ... at most 60 minutes.
create function webhook_backoff(failures integer) returns interval language sql immutable
    return least(interval '1 minute' * power(2, least(failures, 7) - 1), interval '1 hour');

-- WebSub subscriptions: a hub forgets them silently at their end.
create table websub_leases (
    site_id uuid primary key references sites on delete cascade,
    topic text not null,
    callback_url text not null,
    requested_at timestamptz not null,
    confirmed_at timestamptz,
    expires_at timestamptz,
    last_error text,
    constraint confirmed_leases_expire check ((confirmed_at is null) = (expires_at is null))
);

-- What polling saw of a day against what webhooks told of it.
create table webhook_coverage (
    site_id uuid not null references sites on delete cascade,
    day date not null,
    events integer not null,
    posts_published integer not null,
    posts_announced integer not null,
    computed_at timestamptz not null,
    primary key (site_id, day)
);
