-- The windows that must be recomputed. Marking updates the row even where it exists: that makes a marker and a
-- recomputation of the same window wait for each other, so that no mark is lost.

-- name: mark
insert into stale_windows (kind, window_start, first_marked_at, marked_at)
select %(kind)s, day, %(now)s, %(now)s
from unnest(%(days)s::date[]) as day
group by day
order by day
on conflict (kind, window_start) do update set marked_at = excluded.marked_at, requested_at = null, attempts = 0

-- name: next_known_days
-- The later days whose deltas look back at a touched row of %(day)s: the post's next snapshot, and, for a metric that is
-- unknown there, the next snapshot that knows it.
select distinct later.day
from touched
cross join lateral (
    select *
    from snapshots n
    where n.post_id = touched.post_id and n.snapshot_date > %(day)s and n.snapshot_date <= %(last_day)s
    order by n.snapshot_date
    limit 1
) as n
left join snapshots t on t.post_id = touched.post_id and t.snapshot_date = %(day)s and not %(replace)s
left join lateral (
    select array[min(m.snapshot_date) filter (where n.lifetime_qualified_views is null and m.lifetime_qualified_views is not null),
                 min(m.snapshot_date) filter (where n.lifetime_seconds_viewed is null and m.lifetime_seconds_viewed is not null),
                 min(m.snapshot_date) filter (where n.views is null and m.views is not null),
                 min(m.snapshot_date) filter (where n.reactions is null and m.reactions is not null),
                 min(m.snapshot_date) filter (where n.comments is null and m.comments is not null),
                 min(m.snapshot_date) filter (where n.shares is null and m.shares is not null),
                 min(m.snapshot_date) filter (where n.impressions is null and m.impressions is not null),
                 min(m.snapshot_date) filter (where n.reach is null and m.reach is not null)]
           || array(select min(e.snapshot_date) from snapshots e
                    where e.post_id = n.post_id and e.snapshot_date > n.snapshot_date and e.lifetime_earnings is not null
                      and e.currency is distinct from case when n.lifetime_earnings is not null then n.currency end
                    group by e.currency) as days
    from snapshots m
    where m.post_id = n.post_id and m.snapshot_date > n.snapshot_date
) as beyond on
    n.lifetime_earnings is null and (t.post_id is null or t.lifetime_earnings is not null)
    or n.currency is distinct from t.currency or %(currency_moved)s
    or n.lifetime_qualified_views is null and (t.post_id is null or t.lifetime_qualified_views is not null)
    or n.lifetime_seconds_viewed is null and (t.post_id is null or t.lifetime_seconds_viewed is not null)
    or n.views is null and (t.post_id is null or t.views is not null)
    or n.reactions is null and (t.post_id is null or t.reactions is not null)
    or n.comments is null and (t.post_id is null or t.comments is not null)
    or n.shares is null and (t.post_id is null or t.shares is not null)
    or n.impressions is null and (t.post_id is null or t.impressions is not null)
    or n.reach is null and (t.post_id is null or t.reach is not null)
cross join lateral unnest(array[n.snapshot_date] || coalesce(beyond.days, '{}')) as later (day)
where later.day is not null

-- name: moved_first_days
-- The sites whose first captured day differs from what it was before the capture.
select site_id, first_day as former_day, (select min(snapshot_date) from snapshots s where s.site_id = d.site_id) as first_day
from staged_sites d
where first_day is distinct from (select min(snapshot_date) from snapshots s where s.site_id = d.site_id)

-- name: posts_published_between
-- Posts whose first value was, or is now, an opening balance because of when their site was first captured.
select post_id
from posts
where site_id = %(site_id)s
  and (publish_time at time zone %(timezone)s)::date >= coalesce(%(from_day)s::date, '-infinity')
  and (publish_time at time zone %(timezone)s)::date < coalesce(%(to_day)s::date, 'infinity')

-- name: first_known_days
-- For each of the posts, the days on which a metric is known for the first time: their deltas depend on the base of first
-- sight. Money starts again with each currency.
select distinct first.day
from unnest(%(posts)s::text[]) as post (post_id)
cross join lateral (
    select array[min(m.snapshot_date) filter (where m.lifetime_qualified_views is not null),
                 min(m.snapshot_date) filter (where m.lifetime_seconds_viewed is not null),
                 min(m.snapshot_date) filter (where m.views is not null),
                 min(m.snapshot_date) filter (where m.reactions is not null),
                 min(m.snapshot_date) filter (where m.comments is not null),
                 min(m.snapshot_date) filter (where m.shares is not null),
                 min(m.snapshot_date) filter (where m.impressions is not null),
                 min(m.snapshot_date) filter (where m.reach is not null)]
           || array(select min(e.snapshot_date) from snapshots e
                    where e.post_id = post.post_id and e.lifetime_earnings is not null group by e.currency) as days
    from snapshots m
    where m.post_id = post.post_id
) as known
cross join lateral unnest(known.days) as first (day)
where first.day is not null

-- name: delta_days
-- The days on which these posts have daily deltas.
select distinct period_start as day
from deltas
where period = 'daily' and post_id = any(%(posts)s)

-- name: pending
select kind, window_start as start, first_marked_at, marked_at, requested_at, attempts
from stale_windows
order by first_marked_at, kind, window_start

-- name: note_request
update stale_windows
set requested_at = %(now)s, attempts = attempts + 1
where kind = %(kind)s and window_start between %(first)s and %(last)s

-- name: days_at_break
-- The days on which a definition break decides about a delta: of each post that was seen before it, the first day with the
-- metric from it on.
select distinct known.day
from posts p
cross join lateral (
    select s.snapshot_date as day
    from snapshots s
    where s.post_id = p.post_id and s.snapshot_date >= %(first_day)s
      and case %(metric)s::text
              when 'lifetime_qualified_views' then s.lifetime_qualified_views
              when 'lifetime_seconds_viewed' then s.lifetime_seconds_viewed
              when 'views' then s.views
              when 'reactions' then s.reactions
              when 'comments' then s.comments
              when 'shares' then s.shares
              when 'impressions' then s.impressions
              when 'reach' then s.reach
          end is not null
    order by s.snapshot_date
    limit 1
) as known
where p.platform = %(platform)s::platform
  and exists (select from snapshots b where b.post_id = p.post_id and b.snapshot_date < %(first_day)s)
