-- What `cg explain` shows: from a number back to the payloads that it came from. Reads only; computes nothing that is stored.

-- name: post
-- What decides how the first values of a post count. published_on is a day of the reporting zone.
select p.post_id, p.platform, p.title, s.name as site, a.name as artist, (p.publish_time at time zone %(timezone)s)::date as published_on,
       (select min(snapshot_date) from snapshots where site_id = p.site_id) as first_captured,
       exists (select from site_settings where site_id = p.site_id and setting_key = 'pay_opening_balance'
               and setting_value = 'true') as pays_opening
from posts p
left join sites s on s.id = p.site_id
left join artists a on a.id = p.artist_id
where p.post_id = %(post_id)s

-- name: history
-- The counters of a post that are compared, up to the last day of a window.
select snapshot_date, currency, lifetime_earnings, lifetime_qualified_views, lifetime_seconds_viewed, views, reactions, comments,
       shares, impressions, reach
from snapshots
where post_id = %(post_id)s and snapshot_date < %(end)s
order by snapshot_date

-- name: deltas
-- The rows of a post in a window: its own, and those of its days.
select d.period, d.period_start, d.from_date, d.to_date, d.earnings_from_date, d.currency, d.earnings_delta, d.opening_earnings,
       d.qualified_views_delta, d.seconds_viewed_delta, d.views_delta, d.reactions_delta, d.comments_delta, d.shares_delta,
       d.impressions_delta, d.reach_delta, d.base_views, d.growth_rate, d.breaks, a.name as artist, d.computed_at
from deltas d
left join artists a on a.id = d.artist_id
where d.post_id = %(post_id)s
  and (d.period = %(kind)s and d.period_start = %(start)s
       or d.period = 'daily' and d.period_start >= %(start)s and d.period_start < %(end)s)
order by d.period_start

-- name: breaks
select metric, first_day, reason from definition_breaks where platform = %(platform)s order by first_day

-- name: stale
-- What waits to be recomputed of a window: itself, and its days.
select kind, window_start, marked_at, attempts
from stale_windows
where kind = %(kind)s and window_start = %(start)s
   or kind = 'daily' and window_start >= %(start)s and window_start < %(end)s
order by kind, window_start

-- name: captured_between
-- The first and last day on which anything is known of a post.
select min(snapshot_date) as first, max(snapshot_date) as last from snapshots where post_id = %(post_id)s

-- name: snapshots
-- The snapshots of some days, with what each source said, and what they said before they were corrected.
select s.snapshot_date, s.currency, s.lifetime_earnings, s.lifetime_qualified_views, s.lifetime_seconds_viewed, s.views, s.reactions,
       s.comments, s.shares, s.impressions, s.reach, s.observed_at, s.layers, s.raw_data, s.sync_log_id,
       coalesce((select jsonb_agg(jsonb_build_object('restated_at', r.restated_at, 'by', r.data_source, 'former', r.former_values)
                                  order by r.restated_at)
                 from snapshot_restatements r
                 where r.post_id = s.post_id and r.snapshot_date = s.snapshot_date), '[]') as restatements
from snapshots s
where s.post_id = %(post_id)s and s.snapshot_date = any(%(days)s)
order by s.snapshot_date

-- name: captures
-- The captures of these days that may have told of a post: the one that wrote the row as it is, then the others of its site.
select s.snapshot_date, l.id = s.sync_log_id as wrote_the_row, l.id as sync_log_id, l.sync_type, l.status, l.started_at,
       l.completed_at, l.requests, l.reading_id, l.read_at, f.name as file, f.as_of, f.sha256, f.status as file_status
from snapshots s
join sync_logs l on l.id = s.sync_log_id
    or l.site_id = s.site_id and l.snapshot_date = s.snapshot_date and l.status = 'completed'
       and (l.scope is null or %(native_id)s = any(string_to_array(l.scope, ',')))
left join csv_files f on f.id = l.csv_file_id
where s.post_id = %(post_id)s and s.snapshot_date = any(%(days)s)
order by s.snapshot_date, wrote_the_row desc, l.started_at

-- name: answers
-- The answers of readings that mention a post, or were asked about it. PREMISES is no request.
select reading_id, received_at, status, request, length(body) as characters
from captured_answers
where reading_id = any(%(readings)s) and request not like 'PREMISES%%'
  and (strpos(request, %(native_id)s) > 0 or strpos(body, %(native_id)s) > 0)
order by received_at, request

-- name: royalty_lines
-- The lines of a month, of one artist and post or of all.
select l.kind, l.post_id, a.name as artist, l.currency, l.rate_pct, l.earnings, l.artist_share, l.house_share, l.suspense,
       l.statement_id
from royalty_lines l
left join artists a on a.id = l.artist_id
where l.month = %(month)s and (%(artist_id)s::uuid is null or l.artist_id = %(artist_id)s)
  and (%(post_id)s::text is null or l.post_id = %(post_id)s)
order by l.post_id, l.currency, l.kind, l.rate_pct

-- name: royalty_earnings
-- The daily deltas of money in a month, of one artist and post or of all.
select d.to_date as day, d.post_id, d.earnings_from_date as compared_with, d.currency, d.earnings_delta, a.name as artist
from deltas d
left join artists a on a.id = d.artist_id
where d.period = 'daily' and d.period_start >= %(month)s and d.period_start < %(end)s and d.earnings_delta <> 0
  and (%(artist_id)s::uuid is null or d.artist_id = %(artist_id)s)
  and (%(post_id)s::text is null or d.post_id = %(post_id)s)
order by d.post_id, d.to_date

-- name: royalty_rates
-- The rates of an artist, or of all, each until the day before the next.
select a.name as artist, r.rate_pct, r.effective_from,
       lead(r.effective_from) over (partition by r.artist_id order by r.effective_from) - 1 as until
from royalty_rates r
join artists a on a.id = r.artist_id
where %(artist_id)s::uuid is null or r.artist_id = %(artist_id)s
order by a.name, r.effective_from

-- name: royalty_statements
select currency, version, earnings, artist_share, payable, closed_at
from royalty_statements
where artist_id = %(artist_id)s and month = %(month)s
order by currency, version

-- name: royalty_months
-- The months in which there are lines, for whoever asked for another.
select to_char(month, 'YYYY-MM') as month
from royalty_lines
where %(artist_id)s::uuid is null or artist_id = %(artist_id)s
group by royalty_lines.month
order by royalty_lines.month

-- name: ownership
-- From each post to the one that decides whose it is: itself if it or its tag is assigned, else its parent, else the iteration
-- before it, and so on. A post that comes round again ends the way.
with recursive way as (
    select p.post_id as of_post, 0 as step, p.post_id, array[p.post_id] as seen
    from posts p where p.post_id = any(%(posts)s)
    union all
    select w.of_post, w.step + 1, heir_of.post_id, w.seen || heir_of.post_id
    from way w
    join posts p using (post_id)
    cross join lateral (select coalesce(p.parent_post_id, p.previous_iteration_id) as post_id) as heir_of
    where heir_of.post_id is not null and heir_of.post_id <> all(w.seen)
      and not exists (select from artist_assignments a where a.post_id = p.post_id or a.asset_tag = p.asset_tag)
)
select w.of_post, p.post_id, p.asset_tag, p.parent_post_id, p.previous_iteration_id, by_post.name as by_post, by_tag.name as by_tag
from way w
join posts p using (post_id)
left join artist_assignments post_assignment on post_assignment.post_id = p.post_id
left join artists by_post on by_post.id = post_assignment.artist_id
left join artist_assignments tag_assignment on tag_assignment.asset_tag = p.asset_tag
left join artists by_tag on by_tag.id = tag_assignment.artist_id
order by w.of_post, w.step

-- name: sample_delta
-- The post of a window of which most is to be told: most money moved, then most views.
select post_id
from deltas
where period = %(kind)s and period_start = %(start)s
order by abs(earnings_delta) desc nulls last, abs(views_delta) desc nulls last, post_id
limit 1

-- name: sample_payee
-- The artist who has most of a month's money; none: all of it is in suspense.
select a.name as artist
from royalty_lines l
left join artists a on a.id = l.artist_id and l.rate_pct is not null
where l.month = %(month)s
group by a.name
order by a.name is null, sum(l.artist_share) desc, a.name
limit 1
