-- The webhook receiver: events into the inbox, the sites that addresses name, what waits.

-- name: store
-- Stores the events of several requests, each event once, and tells for each request how many were new.
with given as materialized (
    select gen_random_uuid() as id, event.*
    from jsonb_to_recordset(%(events)s) as event (
        request bigint, fingerprint text, platform platform, event_type text, event_data jsonb, account text,
        post_id text, action webhook_action, event_time timestamptz, reason text, addressed uuid)
),
owners as materialized (
    -- The platform's id goes before the username, which is looked for only where no site has the id.
    select account.platform, account.account, coalesce(by_id.id, by_name.id) as site_id
    from (select distinct platform, account from given where account is not null) account
    left join sites by_id on by_id.platform = account.platform and by_id.platform_id = account.account
    left join lateral (
        select id from sites
        where by_id.id is null and platform = account.platform and lower(platform_username) = lower(account.account)
        order by id
        limit 1
    ) by_name on true
),
judged as materialized (
    select given.*, case
            when account is null and addressed is null then 'it names no account and came to no site''s address'
            when account is null then null
            when addressed is not null and site_id is distinct from addressed
                then 'came to the address of another site; of account ' || account
            when site_id is null then 'no site of ours: ' || account
        end as stray,
        case
            when account is null then addressed
            when addressed is null or site_id = addressed then site_id
        end as site_id
    from given left join owners using (platform, account)
),
fresh as (
    -- In order, so that two receivers never wait for each other. A stray one must not pass for the event itself: whoever
    -- holds the secret of one site could otherwise make an event of another one look repeated.
    insert into webhook_fingerprints (fingerprint, event_id, created_at)
    select concat_ws(' ', fingerprint, case when stray is not null then addressed end), id, %(now)s
    from judged
    order by 1
    on conflict do nothing
    returning event_id, fingerprint
),
new as materialized (
    select judged.*, fresh.fingerprint as stored_fingerprint,
           coalesce(stray, case when action is null then coalesce(reason, 'nothing to do') end) as problem
    from fresh join judged on judged.id = fresh.event_id
),
stored as (
    insert into webhook_events (id, site_id, platform, event_type, event_data, status, error_message, fingerprint,
                                event_time, account, post_id, action, created_at, updated_at)
    select id, site_id, platform, event_type, event_data,
           case when problem is null then 'pending'::webhook_status else 'ignored' end, problem,
           stored_fingerprint, event_time, account, post_id, action, %(now)s, %(now)s
    from new
)
select request, count(*) filter (where problem is null) as pending, count(problem) as ignored
from new
group by request

-- name: addressed_site
-- The site that an address names, by id or by the platform's id.
select id, webhook_secret
from sites
where platform = %(platform)s and %(site)s in (id::text, platform_id)

-- name: ready
-- Fails where the schema is missing.
select 1 as ready from webhook_fingerprints, webhook_events, websub_leases, sites limit 0

-- name: backlog
-- What waits or has failed, and for how long. What is done is not counted: it is most of the table.
select status::text, count(*) as events, extract(epoch from %(now)s - min(created_at))::float as oldest_seconds
from webhook_events
where status in ('pending', 'claimed', 'failed', 'dead')
group by status
