-- The inbox of webhook events: claimed by runs, settled in their transactions, set back when a lease ends.

-- name: lock_claims
-- One claimer at a time, so that two of them cannot take events of one post into two runs.
select pg_advisory_xact_lock(hashtextextended('webhook claims', 0))

-- name: waiting
-- Events that may be claimed, oldest first. Those of a post of which another event is with a run, or waits for its next
-- attempt, come after that one. Those of a paused site wait until it is resumed.
select e.id, e.platform, e.site_id, e.retry_count as attempts, e.created_at as received_at,
       -- Comments on an album's picture name the picture, which is no post: an unknown one is looked for in the list.
       case when e.platform <> 'instagram' or exists (select from posts p where p.post_id = e.post_id) then e.post_id end as post_id
from webhook_events e
join sites s on s.id = e.site_id
where e.status = 'pending' and e.action in ('refresh', 'delete') and coalesce(e.attempt_at, e.created_at) <= %(now)s
  and s.access_token is not null and s.sync_status not in ('paused', 'disconnected')
  and not exists (
      select from webhook_events o
      where o.site_id = e.site_id and o.post_id is not distinct from e.post_id and o.status in ('claimed', 'failed')
  )
order by e.created_at, e.id
limit %(most)s
for update of e skip locked

-- name: claim
update webhook_events
set status = 'claimed', rerun_key = %(key)s, claimed_until = %(until)s, attempt_at = null, updated_at = %(now)s
where id = any(%(ids)s) and status = 'pending'

-- name: renew_leases
-- A run begins: what it still has of its events, per site. One that began too late finds none.
update webhook_events
set claimed_until = %(until)s, updated_at = %(now)s
where rerun_key = %(key)s and status = 'claimed'
returning id, site_id, retry_count as attempts,
          case when platform <> 'instagram' or exists (select from posts p where p.post_id = webhook_events.post_id) then post_id end as post_id

-- name: settle
-- What these events asked for lands in this transaction. A run whose lease has ended settles nothing.
update webhook_events
set status = 'processed', processed_at = %(now)s, claimed_until = null, error_message = null, updated_at = %(now)s
where id = any(%(ids)s) and status = 'claimed' and rerun_key = %(key)s

-- name: fail
-- An attempt failed. A site that waits for its quota is no failure of its events: they wait with it.
update webhook_events e
set status = case when w.waits or e.retry_count + 1 < %(most_attempts)s then 'failed' else 'dead' end::webhook_status,
    retry_count = e.retry_count + case when w.waits then 0 else 1 end,
    attempt_at = case when w.waits then w.until
                      when e.retry_count + 1 < %(most_attempts)s
                      then %(now)s + webhook_backoff(e.retry_count + 1) * (1 + random() / 4) end,
    claimed_until = null, error_message = %(message)s, updated_at = %(now)s
from (
    select s.id, s.api_quota_reset as until, coalesce(s.api_quota = 0 and s.api_quota_reset > %(now)s, false) as waits
    from sites s
) as w
where e.id = any(%(ids)s) and e.status = 'claimed' and e.rerun_key = %(key)s and w.id = e.site_id

-- name: return_expired
-- A run that had them ended without a word: killed, or never started.
with expired as (
    select id
    from webhook_events
    where status = 'claimed' and claimed_until < %(now)s
    order by claimed_until
    limit %(most)s
    for update skip locked
)
update webhook_events e
set status = case when e.retry_count + 1 < %(most_attempts)s then 'failed' else 'dead' end::webhook_status,
    retry_count = e.retry_count + 1, claimed_until = null,
    attempt_at = case when e.retry_count + 1 < %(most_attempts)s
                      then %(now)s + webhook_backoff(e.retry_count + 1) * (1 + random() / 4) end,
    error_message = format('The run that had it (%%s) ended without a word.', e.rerun_key), updated_at = %(now)s
from expired
where e.id = expired.id and e.status = 'claimed'
returning e.status

-- name: return_due
-- Failed events whose next attempt is due.
with due as (
    select id
    from webhook_events
    where status = 'failed' and attempt_at <= %(now)s
    order by attempt_at
    limit %(most)s
    for update skip locked
)
update webhook_events e
set status = 'pending', updated_at = %(now)s
from due
where e.id = due.id and e.status = 'failed'

-- name: pause_sites
-- The grant of these sites is gone: they are captured no more until a person resumes them.
with told as (
    update webhook_events
    set status = 'processed', processed_at = %(now)s, error_message = null, updated_at = %(now)s
    where status = 'pending' and action = 'pause'
    returning site_id
)
update sites
set sync_status = 'paused', updated_at = %(now)s
where id in (select site_id from told)
returning name, platform

-- name: backlog
-- How many wait, how many are with a run, and for how long the oldest has waited; up to a number that is certainly too many.
select (select count(*) from (select from webhook_events where status in ('pending', 'failed') limit 100000) as w) as waiting,
       (select count(*) from (select from webhook_events where status = 'claimed' limit 100000) as h) as held,
       extract(epoch from %(now)s - least(
           (select min(created_at) from webhook_events where status = 'pending'),
           (select min(created_at) from webhook_events where status = 'failed')))::float8 as age_seconds

-- name: listed
-- Events by filters, newest first; without one of them all.
select e.id, e.created_at as received_at, e.platform, s.name as site, e.event_type, e.post_id, e.action, e.status,
       e.retry_count as failures, e.attempt_at as next_attempt, e.error_message as message
from webhook_events e left join sites s on s.id = e.site_id
where (%(id)s::uuid is null or e.id = %(id)s)
  and (%(platform)s::platform is null or e.platform = %(platform)s)
  and (%(site)s::uuid is null or e.site_id = %(site)s)
  and (%(type)s::text is null or e.event_type like %(type)s)
  and (%(status)s::webhook_status is null or e.status = %(status)s)
  and (%(since)s::timestamptz is null or e.created_at >= %(since)s)
  and (%(until)s::timestamptz is null or e.created_at < %(until)s)
order by e.created_at desc, e.id
limit %(limit)s

-- name: shown
-- One event, whole.
select e.id, e.platform, s.name as site, e.account, e.event_type, e.post_id, e.action, e.status, e.retry_count as failures,
       e.error_message as message, e.event_time, e.created_at as received_at, e.attempt_at as next_attempt, e.claimed_until,
       e.rerun_key as run, e.processed_at, e.fingerprint, e.event_data as payload
from webhook_events e left join sites s on s.id = e.site_id
where e.id = %(id)s

-- name: reopen
-- Set events back to pending, so many a minute, the oldest at once. One that came for an account that was no site of ours
-- finds its site now; what asks for nothing stays as it is.
with chosen as (
    select e.id, coalesce(e.site_id, s.id) as site_id, row_number() over (order by e.created_at, e.id) - 1 as place
    from webhook_events e
    left join sites s on s.platform = e.platform and (s.platform_id = e.account or lower(s.platform_username) = lower(e.account))
    where e.id = any(%(ids)s) and e.status = any(%(from)s::webhook_status[])
      and e.action is not null and coalesce(e.site_id, s.id) is not null
)
update webhook_events e
set status = 'pending', site_id = c.site_id, retry_count = 0, processed_at = null, claimed_until = null, error_message = null,
    attempt_at = %(now)s + c.place::float8 / %(a_minute)s * interval '1 minute', updated_at = %(now)s
from chosen c
where e.id = c.id
returning e.id

-- name: bury
-- Give events up, by a person's decision.
update webhook_events
set status = 'dead', claimed_until = null, attempt_at = null, error_message = %(message)s, updated_at = %(now)s
where id = any(%(ids)s) and status in ('pending', 'claimed', 'failed')
returning id

-- name: audit
insert into audit_logs (action, entity_type, entity_id, changes, created_at)
select %(action)s, 'webhook_event', id, %(changes)s, %(now)s from unnest(%(ids)s::text[]) as id

-- name: site_secrets
select webhook_secret from sites where id = %(site_id)s for no key update

-- name: put_site_secrets
update sites set webhook_secret = %(secrets)s, updated_at = %(now)s where id = %(site_id)s

-- name: forget_fingerprints
delete from webhook_fingerprints where created_at < %(before)s

-- name: put_coverage
-- A day's events against what polling saw of it, for every site that webhooks have ever told of. Only platforms that tell
-- of new posts can miss one.
insert into webhook_coverage (site_id, day, events, posts_published, posts_announced, computed_at)
select s.id, %(day)s, coalesce(e.events, 0), coalesce(p.published, 0), coalesce(p.announced, 0), %(now)s
from sites s
left join lateral (
    select count(*) as events
    from webhook_events
    where site_id = s.id and created_at >= %(start)s and created_at < %(end)s
) as e on true
left join lateral (
    select count(*) as published,
           count(*) filter (where exists (select from webhook_events w where w.site_id = s.id and w.post_id = posts.post_id)) as announced
    from posts
    where site_id = s.id and publish_time >= %(start)s and publish_time < %(end)s
      and s.platform = any(%(announcing)s::platform[])
) as p on true
where exists (select from webhook_events w where w.site_id = s.id and w.created_at < %(end)s)
on conflict (site_id, day) do update
set events = excluded.events, posts_published = excluded.posts_published, posts_announced = excluded.posts_announced,
    computed_at = excluded.computed_at
where (webhook_coverage.events, webhook_coverage.posts_published, webhook_coverage.posts_announced)
      is distinct from (excluded.events, excluded.posts_published, excluded.posts_announced)

-- name: coverage
select s.platform, s.name as site, c.events, c.posts_published, c.posts_announced, c.posts_published - c.posts_announced as missed
from webhook_coverage c join sites s on s.id = c.site_id
where c.day = %(day)s
order by s.platform, s.name

-- name: landed
-- Processed events whose post has a snapshot and a delta of the day: what was, what is, and how long it took.
select e.platform, e.event_type as event, e.post_id as post, b.views as views_before, s.views,
       round(extract(epoch from e.processed_at - e.created_at), 1) as seconds
from webhook_events e
join snapshots s on s.post_id = e.post_id and s.snapshot_date = %(day)s
join deltas d on d.post_id = e.post_id and d.period = 'daily' and d.period_start = s.snapshot_date
left join snapshots b on b.post_id = d.post_id and b.snapshot_date = d.from_date
where e.status = 'processed'
order by e.platform
