-- What closed days said before they were corrected, and the state of any earlier moment that follows from it.
-- former_values holds the columns that changed as they were before; "_absent": true: the row was not there before, it came
-- late; "_absent": false: it was there, and was withdrawn. Undone one by one, the newest first, they lead back.

-- name: add
-- Of a closed day's rows that a capture has just changed, those of which a counter, money or the site is another one. A new
-- row restates only where its site's day was complete before: what comes with the first complete capture corrects nothing.
-- The restatements of a row are in order, even where two captures took their time before one waited for the other.
insert into snapshot_restatements (post_id, snapshot_date, restated_at, data_source, sync_log_id, former_values)
select c.post_id, %(day)s,
       greatest(%(now)s, (select max(r.restated_at) + interval '1 microsecond' from snapshot_restatements r
                          where r.post_id = c.post_id and r.snapshot_date = %(day)s)),
       %(source)s::data_source, coalesce(c.log_id, %(log_id)s), f.former_values
from touched c
left join snapshots t on c.former is not null and t.post_id = c.post_id and t.snapshot_date = %(day)s
cross join lateral (
    select case
        when c.former is null then '{"_absent": true}'
        when c.removed then c.former || '{"_absent": false}'
        else (select jsonb_object_agg(key, was.value)
              from jsonb_each(c.former) as was
              join jsonb_each(to_jsonb(t) - '{raw_data,layers}'::text[]) as stands using (key)
              where was.value <> stands.value)
    end as former_values
    offset 0  -- so that it is worked out once a row
) as f
where (c.former is not null
       or c.site_id in (select l.site_id from sync_logs l
                        where l.snapshot_date = %(day)s and l.status = 'completed' and l.scope is null))
  and f.former_values - '{data_source,observed_at,sync_log_id}'::text[] <> '{}'

-- name: as_known_on
-- Snapshots of days that were over at the moment, with what was known then. A row without a note that it came late came at
-- the latest with the first complete capture of its site's day, or with its own log; where logs are pruned, observed_at
-- tells it.
with undone as (
    select post_id, snapshot_date, jsonb_merge(former_values order by restated_at desc) as former
    from snapshot_restatements
    where restated_at > %(moment)s and (%(day)s::date is null or snapshot_date = %(day)s)
      and (%(post)s::text is null or post_id = %(post)s)
    group by post_id, snapshot_date
), candidates as (
    select post_id, snapshot_date
    from snapshots
    where (%(day)s::date is null or snapshot_date = %(day)s) and (%(post)s::text is null or post_id = %(post)s)
      and (%(site)s::uuid is null or site_id = %(site)s)
    union
    select post_id, snapshot_date from undone
), states as (
    select post_id, snapshot_date,
           coalesce(to_jsonb(t) - '{raw_data,layers}'::text[], '{"_absent": true}') || coalesce(u.former, '{}') as state
    from candidates
    left join snapshots t using (post_id, snapshot_date)
    left join undone u using (post_id, snapshot_date)
    where snapshot_date < (%(moment)s at time zone %(timezone)s)::date
), completed as (
    select site_id, snapshot_date, min(completed_at) as completed_at
    from sync_logs
    where status = 'completed' and scope is null and (%(day)s::date is null or snapshot_date = %(day)s)
      and (%(site)s::uuid is null or site_id = %(site)s)
    group by site_id, snapshot_date
)
select d.snapshot_date, d.post_id, s.name as site, k.currency, k.lifetime_earnings, k.views, k.lifetime_qualified_views,
       k.lifetime_seconds_viewed, k.three_second_views, k.one_minute_views, k.reactions, k.comments, k.shares, k.impressions,
       k.reach, k.saves, k.profile_visits, k.avg_watch_percentage, k.subscribers_gained, k.estimated_cpm, k.views_by_country,
       k.demographic_data, k.traffic_source, k.device_type
from states d
cross join lateral jsonb_populate_record(null::snapshots, d.state) as k
left join sites s on s.id = k.site_id
left join completed c on c.site_id = k.site_id and c.snapshot_date = d.snapshot_date
left join sync_logs l on l.id = k.sync_log_id
where not coalesce((d.state ->> '_absent')::boolean, false)
  and least(c.completed_at, coalesce(l.completed_at, k.observed_at)) <= %(moment)s
  and (%(site)s::uuid is null or k.site_id = %(site)s)
order by d.snapshot_date desc, s.name, d.post_id
limit %(limit)s

-- name: list
-- Each restatement with what it changed: [before, after] by column, as text so that no amount is rounded. The row after it is
-- today's with all later ones undone.
with restated as (
    select r.*, a.after, a.after || r.former_values as before,
           case r.former_values ->> '_absent' when 'true' then 'added' when 'false' then 'withdrawn' else 'corrected' end as kind
    from snapshot_restatements r
    left join snapshots t using (post_id, snapshot_date)
    cross join lateral (
        select coalesce(to_jsonb(t) - '{raw_data,layers}'::text[], '{}')
               || coalesce(jsonb_merge(n.former_values order by n.restated_at desc), '{}') as after
        from snapshot_restatements n
        where n.post_id = r.post_id and n.snapshot_date = r.snapshot_date and n.restated_at > r.restated_at
    ) as a
    where (%(post)s::text is null or r.post_id = %(post)s) and (%(first)s::date is null or r.snapshot_date >= %(first)s)
      and (%(last)s::date is null or r.snapshot_date <= %(last)s)
), told as (
    select r.*, coalesce(was.name, stands.name) as site,
           case kind when 'added' then '{}' when 'withdrawn' then known_metrics(before)
               else known_metrics(before) || jsonb_build_object('site', was.name) end as told_before,
           case kind when 'added' then known_metrics(after) when 'withdrawn' then '{}'
               else known_metrics(after) || jsonb_build_object('site', stands.name) end as told_after
    from restated r
    left join sites was on was.id = (r.before ->> 'site_id')::uuid
    left join sites stands on stands.id = (r.after ->> 'site_id')::uuid
    where %(site)s::uuid is null or %(site)s in (was.id, stands.id)
)
select restated_at, snapshot_date as day, post_id, site, data_source as source, sync_log_id, kind,
       (select jsonb_object_agg(key, jsonb_build_array(b.value, a.value))
        from jsonb_each(told_before) as b full join jsonb_each(told_after) as a using (key)
        where a.value is distinct from b.value)::text as changes
from told
order by restated_at desc, snapshot_date desc, post_id
limit %(limit)s
