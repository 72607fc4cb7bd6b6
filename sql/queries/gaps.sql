-- Missing days: the calendar of what should have been captured, compared with what was. What follows from a missing day is
-- decided in `history.gaps`.

-- name: lock
-- One notice at a time, so that none is decided by what another has just changed.
select pg_advisory_xact_lock(hashtextextended('capture gaps', 0))

-- name: facts
-- The days about which something is to be decided: those that were expected and are missing, unless they are given up; and gaps
-- that have been filled. A day is filled by a full capture, or by rows of a CSV export. That a capture's rows are gone is looked
-- for only on days whose answers may still be there, and on days that were gaps before.
with captures as (
    select site_id, snapshot_date as day,
           (array_agg(records_processed order by started_at desc) filter (where status = 'completed'))[1] as posts,
           (array_agg(reading_id order by started_at desc) filter (where status = 'completed')) as readings,
           (array_agg(status order by started_at desc, status = 'completed' desc))[1] as last_status,
           (array_agg(error_message order by started_at desc, status = 'completed' desc))[1] as last_message,
           bool_or(status = 'started' and started_at > %(under_way_since)s) as is_under_way
    from sync_logs
    where reading_id is not null and scope is null and snapshot_date between %(first)s and %(last)s
    group by site_id, snapshot_date
), calendar as (
    select c.site_id, day::date
    from (select site_id, min(day) as first_day from captures where posts is not null group by site_id) as c
    join sites s on s.id = c.site_id and s.access_token is not null
    cross join lateral generate_series(c.first_day::timestamp, %(last)s::timestamp, interval '1 day') as day
    union
    select site_id, day from capture_gaps where state <> 'repaired'
), compared as (
    select k.site_id, k.day, c.readings, c.last_status, c.last_message, coalesce(c.is_under_way, false) as is_under_way,
           g.state, g.reason,
           case when g.state <> 'repaired' then g.attempts else 0 end as attempts,
           case when g.state <> 'repaired' then g.requested_at end as requested_at,
           case when c.posts = 0 or c.posts > 0 and (
                         g.state is null and k.day < %(answers_since)s
                         or exists (select from snapshots n where n.site_id = k.site_id and n.snapshot_date = k.day))
                    then 'capture'
                when exists (select from snapshots n where n.site_id = k.site_id and n.snapshot_date = k.day
                             and (n.data_source = 'csv' or n.layers ? 'csv'))
                    then 'csv'
           end as filled_by
    from calendar k
    left join captures c using (site_id, day)
    left join capture_gaps g using (site_id, day)
)
select c.site_id, s.name as site, s.platform, c.day, c.filled_by, c.last_status, c.last_message, c.is_under_way, c.state,
       c.reason, c.attempts, c.requested_at,
       case when s.access_token is null then 'not connected' else s.sync_status::text end as site_status,
       case when s.api_quota = 0 then s.api_quota_reset end as quota_until,
       exists (select from captured_answers a where a.reading_id = any(c.readings)) as has_answers
from compared c join sites s on s.id = c.site_id
where c.filled_by is not null and c.state <> 'repaired' or c.filled_by is null and c.state is distinct from 'lost'
order by c.day, s.platform, s.name, s.id

-- name: write
-- A day that was repaired and is missing again is a new gap. Only a gap that has its time of request already is written as
-- requested; the constraint asks for one in the row that is proposed, too.
insert into capture_gaps (site_id, day, state, reason, noticed_at, requested_at, ended_at)
select site_id, day, state, reason, %(now)s, case when state = 'requested' then %(now)s::timestamptz end,
       case when state in ('repaired', 'lost') then %(now)s::timestamptz end
from unnest(%(sites)s::uuid[], %(days)s::date[], %(states)s::gap_state[], %(reasons)s::text[])
    as decided (site_id, day, state, reason)
on conflict (site_id, day) do update
set state = excluded.state, reason = excluded.reason, ended_at = excluded.ended_at,
    attempts = case when capture_gaps.state = 'repaired' then 0 else capture_gaps.attempts end,
    requested_at = case when capture_gaps.state <> 'repaired' then capture_gaps.requested_at end,
    noticed_at = case when capture_gaps.state = 'repaired' then excluded.noticed_at else capture_gaps.noticed_at end

-- name: note_request
update capture_gaps
set state = 'requested', attempts = attempts + 1, requested_at = %(now)s
where day = %(day)s and site_id = any(%(sites)s) and state = 'repairable'

-- name: changed_days
-- The days of which a gap was noticed, requested or ended since a moment, or ever.
select distinct day
from capture_gaps
where %(since)s::timestamptz is null or greatest(noticed_at, requested_at, ended_at) > %(since)s
order by day

-- name: counts
-- How many gaps are in each state, and the oldest of them.
select state, count(*) as gaps, min(day) as oldest from capture_gaps group by state order by state

-- name: stored
-- The gaps of some days, newest first; the parameters that are null choose nothing.
select s.platform, s.name as site, g.day, g.state, g.attempts, g.reason, g.noticed_at, g.requested_at, g.ended_at
from capture_gaps g join sites s on s.id = g.site_id
where (%(site_id)s::uuid is null or s.id = %(site_id)s)
  and (%(state)s::text is null or g.state::text = %(state)s)
  and (%(first)s::date is null or g.day >= %(first)s) and (%(last)s::date is null or g.day <= %(last)s)
order by g.day desc, s.platform, s.name

-- name: calendar
-- A line for each site that is or was captured from its platform, a symbol for each day: captured, or told by a CSV export; lost;
-- missing, but to be repaired; nothing, because nothing was expected or the day can still be captured as usual.
select s.platform, s.name as site,
       string_agg(case when g.state = 'lost' then '✗'
                       when g.state in ('repairable', 'requested') then '○'
                       when g.state = 'repaired' or l.is_captured then '■'
                       else '·' end, '' order by c.day) as days,
       count(*) filter (where g.state in ('repairable', 'requested')) as repairable,
       count(*) filter (where g.state = 'lost') as lost
from sites s
cross join (
    select day::date from generate_series(%(first)s::timestamp, %(last)s::timestamp, interval '1 day') as day
) as c
left join capture_gaps g on g.site_id = s.id and g.day = c.day
cross join lateral (
    select exists (select from sync_logs where site_id = s.id and snapshot_date = c.day and status = 'completed'
                   and reading_id is not null and scope is null)
        or exists (select from snapshots where site_id = s.id and snapshot_date = c.day
                   and (data_source = 'csv' or layers ? 'csv')) as is_captured
) as l
where (%(platform)s::text is null or s.platform::text = %(platform)s)
  and (s.access_token is not null or exists (select from capture_gaps where site_id = s.id))
group by s.id
order by s.platform, s.name, s.id

-- name: repairs
-- How many gaps are known, and how many of them were requested and have not been captured yet.
select count(*) as known,
       count(*) filter (where g.state = 'requested' and not exists (
           select from sync_logs l
           where l.site_id = g.site_id and l.snapshot_date = g.day and l.status = 'completed' and l.scope is null
       )) as under_way
from capture_gaps g
