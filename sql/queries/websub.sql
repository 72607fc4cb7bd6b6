-- WebSub subscriptions of YouTube channels: one for each site, which the hub forgets at its end.

-- name: sites
-- The connected channels, and how their subscriptions stand: due where there is none, half of it is over, it was asked
-- for under another address, or it was not confirmed within an hour.
select s.id, s.name, l.expires_at, l.last_error, coalesce(l.requested_at, to_timestamp(0)) as asked_at,
       case when l.site_id is null or l.callback_url <> %(callbacks)s || s.id::text then 'due'
            when l.confirmed_at >= l.requested_at
            then case when %(now)s < l.confirmed_at + (l.expires_at - l.confirmed_at) / 2 then 'running' else 'due' end
            when %(now)s < l.requested_at + interval '1 hour' then 'asked'
            else 'due' end as state
from sites s
left join websub_leases l on l.site_id = s.id
where s.platform = 'youtube' and s.access_token is not null
order by s.name, s.id

-- name: lock
-- A statement of its own: one that has waited for a lock sees the other tables as they were before.
select from sites where id = %(site_id)s for no key update

-- name: secrets
-- The secrets of a site; a new one is needed when the newest is confirmed, and only then, so that the hub's is never lost.
-- It is up to another when somebody has asked the hub since this was looked at.
select s.platform_id, s.webhook_secret,
       coalesce(l.requested_at, to_timestamp(0)) is distinct from coalesce(%(asked_at)s, l.requested_at, to_timestamp(0)) as is_taken,
       s.webhook_secret is null or coalesce(l.confirmed_at >= l.requested_at, l.site_id is null) as needs_new
from sites s
left join websub_leases l on l.site_id = s.id
where s.id = %(site_id)s

-- name: put_secrets
update sites set webhook_secret = %(secrets)s, webhook_url = %(callback)s, updated_at = %(now)s where id = %(site_id)s

-- name: note_request
insert into websub_leases (site_id, topic, callback_url, requested_at)
values (%(site_id)s, %(topic)s, %(callback)s, %(now)s)
on conflict (site_id) do update
set topic = excluded.topic, callback_url = excluded.callback_url, requested_at = excluded.requested_at, last_error = null

-- name: note_error
update websub_leases set last_error = %(message)s where site_id = %(site_id)s

-- name: lease
select topic, requested_at, expires_at from websub_leases where site_id = %(site_id)s for no key update

-- name: confirm
-- The hub's verification may come from a machine whose clock is behind.
update websub_leases
set confirmed_at = greatest(%(now)s, requested_at), expires_at = greatest(%(now)s, requested_at) + %(lease)s, last_error = null
where site_id = %(site_id)s
