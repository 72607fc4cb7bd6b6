-- Invariants over stored tables, each returning what breaks it. %(first)s and %(last)s are window starts, %(end)s the day after.

-- name: repeated_keys
-- Posts with more than one snapshot of a day: impossible while the primary key stands.
select post_id, snapshot_date, count(*) as rows
from snapshots
where snapshot_date >= %(first)s and snapshot_date < %(end)s
group by post_id, snapshot_date
having count(*) > 1

-- name: refused_files
select as_of, name, message
from csv_files
where as_of >= %(first)s and as_of < %(end)s and status = 'refused'
order by as_of, name

-- name: quarantined_rows
select q.snapshot_date as as_of, f.name, q.line_number as line, q.column_name as column, q.reason
from quarantine q left join csv_files f on f.id = q.csv_file_id
where q.snapshot_date >= %(first)s and q.snapshot_date < %(end)s
order by q.snapshot_date, f.name, q.line_number
limit 50

-- name: thin_captures
-- Sites with fewer posts than 80 % of their capture before: an export that was cut, or a page half read.
with captures as (
    select site_id, snapshot_date, count(*) as posts
    from snapshots
    where snapshot_date >= %(first)s and snapshot_date < %(end)s and site_id is not null
    group by site_id, snapshot_date
)
select s.name as site, c.snapshot_date as day, c.posts, b.day as day_before, b.posts as posts_before
from captures c
join sites s on s.id = c.site_id
cross join lateral (
    select max(snapshot_date) as day from snapshots where site_id = c.site_id and snapshot_date < c.snapshot_date
) as d
cross join lateral (
    select d.day, count(*) as posts from snapshots where site_id = c.site_id and snapshot_date = d.day
) as b
where c.posts < 0.8 * b.posts and (%(platform)s::text is null or s.platform::text = %(platform)s)
order by c.snapshot_date, s.name

-- name: incomplete_sites
-- Connected sites whose newest capture of a day did not end well, on days on which their platform was captured at all.
with captured as (
    select distinct l.snapshot_date as day
    from sync_logs l join sites s on s.id = l.site_id
    where s.platform::text = %(platform)s and l.reading_id is not null
      and l.snapshot_date >= %(first)s and l.snapshot_date < %(end)s
)
select s.name as site, c.day, coalesce(l.status::text, 'nothing was asked') as status, s.sync_status as site_status,
       l.error_message as message
from captured c
join sites s on s.platform::text = %(platform)s and s.access_token is not null and s.sync_status <> 'paused'
     and s.created_at < c.day + interval '2 days'
left join lateral (
    select status, error_message from sync_logs
    where site_id = s.id and snapshot_date = c.day and reading_id is not null and scope is null
    order by started_at desc
    limit 1
) as l on true
where l.status is distinct from 'completed'
order by c.day, s.name

-- name: ending_tokens
-- Connected sites whose token is dead, or ends within two weeks and has nothing to be renewed with. The windows do not matter.
select name as site, sync_status as site_status, token_expiry
from sites
where platform::text = %(platform)s and access_token is not null and sync_status <> 'paused'
  and (sync_status = 'disconnected' or refresh_token is null and token_expiry < %(now)s + interval '14 days')
order by token_expiry

-- name: telescoping
-- Posts whose daily deltas in the window, with the opening balances, are not the last known value in it minus the last known
-- value before it; views era by era, as their definition breaks them. Computed from the snapshots alone, by another way than
-- the deltas were. Posts of days that wait to be recomputed are passed over.
with waiting as materialized (
    select window_start as day from stale_windows
    where kind = 'daily' and window_start >= %(first)s and window_start < %(end)s
), passed_over as (
    select post_id from snapshots where snapshot_date in (select day from waiting)
    union
    select post_id from deltas where period = 'daily' and period_start in (select day from waiting)
), starts as (
    -- Posts whose first value counts from 0, for all counters and for money.
    select p.post_id, coalesce((p.publish_time at time zone %(timezone)s)::date >= r.first_day, false) as from_zero,
           coalesce((p.publish_time at time zone %(timezone)s)::date >= r.first_day, false) or r.pays_opening as money_from_zero
    from posts p
    join (
        select s.id as site_id, (select min(snapshot_date) from snapshots where site_id = s.id) as first_day,
               exists (select from site_settings where site_id = s.id and setting_key = 'pay_opening_balance'
                       and setting_value = 'true') as pays_opening
        from sites s
    ) as r using (site_id)
), known as (
    select post_id, currency, lifetime_earnings, views, snapshot_date
    from snapshots
    where snapshot_date >= %(first)s and snapshot_date < %(end)s
), money_in as (
    select distinct on (post_id, currency) post_id, currency, lifetime_earnings as last,
           first_value(lifetime_earnings) over (partition by post_id, currency order by snapshot_date) as first,
           min(snapshot_date) over (partition by post_id, currency) = min(snapshot_date) over (partition by post_id) as is_first_money
    from known
    where lifetime_earnings is not null
    order by post_id, currency, snapshot_date desc
), money_delta as (
    select post_id, currency, coalesce(sum(earnings_delta), 0) as booked, coalesce(sum(opening_earnings), 0) as opening
    from deltas
    where period = 'daily' and period_start >= %(first)s and period_start < %(end)s and currency is not null
    group by post_id, currency
), money as (
    select post_id, currency, d.booked, d.opening, o.opening as expected_opening,
           m.last - coalesce(b.lifetime_earnings, 0) - o.opening as expected
    from money_in m
    full join money_delta d using (post_id, currency)
    left join starts f using (post_id)
    left join lateral (
        select lifetime_earnings
        from snapshots s
        where s.post_id = m.post_id and s.currency = m.currency and s.lifetime_earnings is not null
          and s.snapshot_date < %(first)s and s.snapshot_date >= %(first_day)s
        order by s.snapshot_date desc
        limit 1
    ) as b on true
    cross join lateral (
        select case when m.post_id is null then null
                    when b.lifetime_earnings is not null then 0
                    when f.money_from_zero and m.is_first_money and not exists (
                        select from snapshots s
                        where s.post_id = m.post_id and s.lifetime_earnings is not null
                          and s.snapshot_date < %(first)s and s.snapshot_date >= %(first_day)s) then 0
                    else m.first end as opening
    ) as o
), eras as (
    -- Days between which a platform's views mean the same.
    select platform, first_day, lead(first_day, 1, 'infinity') over (partition by platform order by first_day) as next_era
    from (
        select platform, first_day from definition_breaks where metric = 'views'
        union all
        select unnest(enum_range(null::platform)), '-infinity'
    ) as starts_of_eras
), views_in as (
    select distinct on (post_id, e.first_day) post_id, e.first_day as era, k.views as last,
           first_value(k.views) over w as first, first_value(k.snapshot_date) over w as known_from,
           e.first_day = min(e.first_day) over (partition by post_id) as is_first
    from known k
    join posts p using (post_id)
    join eras e on e.platform = p.platform and k.snapshot_date >= e.first_day and k.snapshot_date < e.next_era
    where k.views is not null
    window w as (partition by post_id, e.first_day order by k.snapshot_date)
    order by post_id, e.first_day, k.snapshot_date desc
), views_delta as (
    select post_id, sum(views_delta) as booked
    from deltas
    where period = 'daily' and period_start >= %(first)s and period_start < %(end)s and views_delta is not null
    group by post_id
), views_expected as (
    select v.post_id, sum(v.last - o.opening) as expected
    from views_in v
    left join starts f using (post_id)
    left join lateral (
        select views, snapshot_date
        from snapshots s
        where v.is_first and s.post_id = v.post_id and s.views is not null
          and s.snapshot_date < %(first)s and s.snapshot_date >= %(first_day)s
        order by s.snapshot_date desc
        limit 1
    ) as b on true
    cross join lateral (
        -- Where nothing was known before, 0 stands at the snapshot before, which must lie in the era if there is one.
        select case when b.snapshot_date >= v.era then b.views
                    when v.is_first and b.views is null and f.from_zero and (v.era = '-infinity' or coalesce((
                        select max(s.snapshot_date) from snapshots s
                        where s.post_id = v.post_id and s.snapshot_date < v.known_from
                          and s.snapshot_date >= %(first_day)s) >= v.era, true)) then 0
                    else v.first end as opening
    ) as o
    group by v.post_id
), views as (
    select post_id, expected, coalesce(booked, 0) as booked from views_expected full join views_delta using (post_id)
), broken as (
    select post_id, 'earnings in ' || currency as metric, expected::text, booked::text from money where expected is distinct from booked
    union all
    select post_id, 'opening earnings in ' || currency, expected_opening::text, opening::text
    from money
    where expected_opening is distinct from opening
    union all
    select post_id, 'views', expected::text, booked::text from views where expected is distinct from booked
)
select post_id, metric, expected, booked
from broken
where post_id not in (select post_id from passed_over)
order by post_id, metric

-- name: sums
-- Windows of a longer period that are not the sum of their days, those that wait to be recomputed aside. A window is compared with the days from its start to its
-- end, which date arithmetic gives by %(length)s.
with longer as (
    select *, (period_start + %(length)s::interval)::date as period_end
    from deltas
    where period = %(period)s and period_start between %(first)s and %(last)s
), windows as (
    select start::date, (start + %(length)s::interval)::date as period_end
    from generate_series(%(first)s::date, %(last)s::date, %(length)s::interval) as start
), days as (
    select w.start, d.post_id, count(distinct d.currency) as currencies, sum(d.earnings_delta) as earnings,
           sum(d.opening_earnings) as opening, sum(d.views_delta) as views, sum(d.reactions_delta) as reactions,
           sum(d.comments_delta) as comments, sum(d.shares_delta) as shares, sum(d.impressions_delta) as impressions,
           sum(d.reach_delta) as reach, sum(d.seconds_viewed_delta) as seconds, sum(d.qualified_views_delta) as qualified
    from windows w join deltas d on d.period = 'daily' and d.period_start >= w.start and d.period_start < w.period_end
    group by w.start, d.post_id
), named as (
    select w.start, d.post_id, array_agg(distinct metric order by metric) as breaks
    from windows w join deltas d on d.period = 'daily' and d.period_start >= w.start and d.period_start < w.period_end
    cross join unnest(d.breaks) as metric
    where d.breaks is not null
    group by w.start, d.post_id
)
select coalesce(l.post_id, d.post_id) as post_id, coalesce(l.period_start, d.start) as period_start
from longer l
full join days d on d.post_id = l.post_id and d.start = l.period_start
left join named n on n.post_id = l.post_id and n.start = l.period_start
where not exists (
        select from stale_windows w
        where w.kind in ('daily', %(kind)s)
          and w.window_start >= coalesce(l.period_start, d.start)
          and w.window_start < coalesce(l.period_start, d.start) + %(length)s::interval)
  and ((l.views_delta, l.reactions_delta, l.comments_delta, l.shares_delta, l.impressions_delta, l.reach_delta,
       l.seconds_viewed_delta, l.qualified_views_delta)
      is distinct from
      (d.views::bigint, d.reactions::bigint, d.comments::bigint, d.shares::bigint, d.impressions::bigint, d.reach::bigint,
       d.seconds::bigint, d.qualified::bigint)
   or d.currencies < 2 and (l.earnings_delta, l.opening_earnings) is distinct from (d.earnings, d.opening)
   or l.breaks is distinct from n.breaks or l.post_id is null or d.post_id is null)
order by 2, 1

-- name: tie_out
-- Months and currencies in which the royalty lines are not the money that the platforms added, those that wait to be recomputed
-- aside.
with platform as (
    select date_trunc('month', period_start)::date as month, currency, sum(earnings_delta) as platform
    from deltas
    where period = 'daily' and period_start >= %(first)s and period_start < %(end)s and earnings_delta is not null
    group by 1, 2
), lines as (
    select month, currency, sum(artist_share) as artists, sum(house_share) as house, sum(suspense) as suspense
    from royalty_lines
    where kind = 'accrual' and month between %(first)s and %(last)s
    group by month, currency
)
select month, currency, platform, artists, house, suspense
from platform full join lines using (month, currency)
where coalesce(platform, 0) <> coalesce(artists + house + suspense, 0)
  and not exists (
      select from stale_windows w
      where w.kind in ('daily', 'royalty') and w.window_start >= month and w.window_start < month + interval '1 month')
order by month, currency

-- name: unassigned
-- Money that is not credited to anybody yet: no artist, or an artist without a rate on the day.
select l.month, l.currency, p.page_name as page, l.post_id, a.name as artist, sum(l.suspense) as suspense
from royalty_lines l
join posts p using (post_id)
left join artists a on a.id = l.artist_id
where l.month between %(first)s and %(last)s and l.suspense <> 0
group by l.month, l.currency, p.page_name, l.post_id, a.name
order by abs(sum(l.suspense)) desc

-- name: missed_webhooks
-- Sites of which polling found posts that no webhook event told of.
select s.platform, s.name as site, c.day, c.posts_published, c.posts_announced
from webhook_coverage c join sites s on s.id = c.site_id
where c.day >= %(first)s and c.day < %(end)s and c.posts_announced < c.posts_published
order by c.day, s.platform, s.name

-- name: missing_days
-- Days of connected sites that were not captured: waiting to be repaired, or lost.
select g.day, s.platform, s.name as site, g.state, g.attempts, g.reason
from capture_gaps g join sites s on s.id = g.site_id
where g.day >= %(first)s and g.day < %(end)s and g.state <> 'repaired'
order by g.day, s.platform, s.name
