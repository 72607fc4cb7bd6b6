-- Sites as they are captured from their platforms: tokens, readings and their answers, posts that are missed.

-- name: connected_sites
-- The sites of a platform that have been connected, or those of them that are named.
select s.id, s.name, s.platform, s.platform_id, s.platform_username, s.scope, s.sync_status, s.api_quota, s.api_quota_reset,
       (select setting_value from site_settings where site_id = s.id and setting_key = 'currency') as currency,
       exists (select from site_settings
               where site_id = s.id and setting_key = 'demographics' and setting_value = 'true') as demographics
from sites s
where s.platform = %(platform)s and s.access_token is not null
  and (%(sites)s::text[] = '{}' or s.id::text = any(%(sites)s) or s.name = any(%(sites)s)
       or s.platform_id = any(%(sites)s) or s.platform_username = any(%(sites)s))
order by s.name, s.id

-- name: read_tokens
select access_token, refresh_token, token_expiry, scope from sites where id = %(site_id)s

-- name: lock_tokens
-- One writer per site: whoever waits here finds the tokens that the other has got. The key is not locked: webhook events
-- of the site are stored meanwhile.
select access_token, refresh_token, token_expiry, scope from sites where id = %(site_id)s for no key update

-- name: put_tokens
update sites
set access_token = %(access)s, refresh_token = %(refresh)s, token_expiry = %(expiry)s, scope = coalesce(%(scope)s, scope),
    sync_status = case when sync_status = 'disconnected' then 'active' else sync_status end, updated_at = %(now)s
where id = %(site_id)s

-- name: owners
-- Whose posts these are; the site is unknown of a post that is.
select wanted.post_id, p.site_id
from unnest(%(posts)s::text[]) as wanted (post_id) left join posts p using (post_id)

-- name: lock_capture
-- One capture or replay of a site at a time; the lock lasts as long as the connection.
select pg_try_advisory_lock(hashtextextended('capture ' || %(site_id)s::text, 0)) as locked

-- name: do_not_wait_for_disk
-- For a connection that notes answers and progress: what a failing machine forgets of them is asked for again.
set synchronous_commit = off

-- name: last_log
-- The newest log of a day and scope; of the same instant the one that ended well.
select status, reading_id, read_at
from sync_logs
where site_id = %(site_id)s and snapshot_date = %(day)s and scope is not distinct from %(scope)s and reading_id is not null
order by started_at desc, status = 'completed' desc
limit 1

-- name: abandon_logs
-- Logs of captures that were killed: nobody will end them.
update sync_logs
set status = 'failed', completed_at = %(now)s, error_message = 'The capture was cut off; another one continues its reading.'
where site_id = %(site_id)s and status = 'started' and reading_id is not null

-- name: start_log
insert into sync_logs (site_id, sync_type, snapshot_date, started_at, reading_id, read_at, scope)
values (%(site_id)s, %(sync_type)s, %(day)s, %(now)s, %(reading_id)s, %(read_at)s, %(scope)s)
returning id

-- name: note_progress
update sync_logs
set records_processed = %(processed)s, requests = %(requests)s, next_cursor = %(cursor)s
where id = %(log_id)s

-- name: end_log
update sync_logs
set status = %(status)s, completed_at = %(now)s, records_processed = %(processed)s, records_failed = %(failed)s,
    requests = %(requests)s, error_message = %(message)s, error_details = %(details)s, next_cursor = null
where id = %(log_id)s

-- name: update_site
-- What the account says of itself; a site that was in error is well again.
update sites
set name = coalesce(%(name)s, name), platform_username = coalesce(%(username)s, platform_username),
    follower_count = coalesce(%(follower_count)s, follower_count),
    profile_image_url = coalesce(%(profile_image_url)s, profile_image_url),
    cover_image_url = coalesce(%(cover_image_url)s, cover_image_url), bio = coalesce(%(bio)s, bio),
    sync_status = case when sync_status = 'error' then 'active' else sync_status end,
    last_sync_at = %(now)s, updated_at = %(now)s
where id = %(site_id)s

-- name: note_quota
update sites set api_quota = %(left)s, api_quota_reset = %(reset)s where id = %(site_id)s

-- name: note_status
update sites set sync_status = %(status)s, updated_at = %(now)s where id = %(site_id)s and sync_status <> 'paused'

-- name: recall_answer
select status, body from captured_answers where reading_id = %(reading_id)s and request_digest = %(digest)s

-- name: keep_answer
insert into captured_answers (reading_id, request_digest, request, status, body, received_at)
values (%(reading_id)s, %(digest)s, %(request)s, %(status)s, %(body)s, %(now)s)
on conflict (reading_id, request_digest) do nothing

-- name: drop_answer
delete from captured_answers where reading_id = %(reading_id)s and request_digest = %(digest)s

-- name: forget_answers
delete from captured_answers where received_at < %(before)s

-- name: landed_readings
-- The readings of a day that have landed and whose answers are still there, in the order in which they landed.
select l.reading_id, l.read_at, l.scope
from sync_logs l
where l.site_id = %(site_id)s and l.snapshot_date = %(day)s and l.status = 'completed'
  and exists (select from captured_answers a where a.reading_id = l.reading_id)
group by l.reading_id, l.read_at, l.scope
order by min(l.completed_at), l.read_at

-- name: retired_metrics
select metric, media, message from retired_metrics where platform = %(platform)s

-- name: retire_metric
insert into retired_metrics (platform, metric, media, message, noticed_at)
values (%(platform)s, %(metric)s, %(media)s, %(message)s, %(now)s)
on conflict (platform, metric, media) do nothing

-- name: absent_posts
-- Posts that the listings of at least two earlier days have lacked: to be looked up if the next one lacks them too.
select p.post_id
from posts p join post_absences a using (post_id)
where p.site_id = %(site_id)s and p.status = 'live' and a.missed >= 2 and a.last_missed < %(day)s
order by p.post_id

-- name: note_seen
delete from post_absences where post_id = any(%(seen)s)

-- name: note_missed
-- Live posts that earlier readings of the platform saw, and that lie within the reach of this listing, but were not in it.
-- Those that stop being listed by themselves are not missed.
insert into post_absences (post_id, first_missed, last_missed)
select p.post_id, %(day)s, %(day)s
from posts p
where p.site_id = %(site_id)s and p.status = 'live' and p.post_id <> all(%(seen)s)
  and p.publish_time < %(read_at)s and (%(lists_all)s or p.publish_time >= %(oldest)s)
  and (p.post_type is null or p.post_type::text <> all(%(fleeting)s))
  and exists (select from post_versions v where v.post_id = p.post_id and v.data_source = p.platform::text::data_source)
on conflict (post_id) do update
set missed = post_absences.missed + 1, last_missed = excluded.last_missed
where post_absences.last_missed < excluded.last_missed

-- name: revive
-- Posts that are there again.
update posts set status = 'live', updated_at = %(now)s
where site_id = %(site_id)s and post_id = any(%(seen)s) and status = 'removed'

-- name: remove
-- Confirmed by a lookup: the post is gone. Its snapshots stay as they are, so that nothing is taken back from anybody.
update posts set status = 'removed', updated_at = %(now)s
where site_id = %(site_id)s and post_id = any(%(gone)s) and status = 'live'
  and (post_type is null or post_type::text <> all(%(fleeting)s))

-- name: day_of_sites
-- How the day's captures of a platform ended, per connected site: the newest log of each.
select s.name as site, s.sync_status as site_status, l.status, l.error_message as message, l.records_processed as posts,
       l.records_failed as failed, l.requests, l.completed_at
from sites s
left join lateral (
    select * from sync_logs l
    where l.site_id = s.id and l.snapshot_date = %(day)s and l.reading_id is not null and l.scope is null
    order by l.started_at desc, l.status = 'completed' desc
    limit 1
) as l on true
where s.platform = %(platform)s and s.access_token is not null
order by s.name
