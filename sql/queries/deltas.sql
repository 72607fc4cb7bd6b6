-- Deltas: what changed between lifetime snapshots, per post and window. Only rows that differ are written.

-- name: captured_days
-- The first day of the warehouse, before which no base can lie, and the last one before %(day)s, on which most are. Given as
-- constants, they spare PostgreSQL a look into every partition.
select (select min(f.first_day)
        from sites s cross join lateral (select min(snapshot_date) as first_day from snapshots where site_id = s.id) as f
       ) as first_day,
       (select max(snapshot_date) from snapshots where snapshot_date < %(day)s) as day_before

-- name: merge_daily
-- Per post and metric: its value on %(day)s minus the last known value before. Where there is none, the base is 0 for a
-- post that was published on or after the first captured day of its site; otherwise the value is an opening balance, which
-- is no delta. Money only compares with money of the same currency. A counter does not compare with what it meant before a
-- definition break: where the last known value, or else the snapshot before, is older than the break, `breaks` names it.
merge into deltas d
using (
    with site_rules as materialized (
        select s.id as site_id,
               (select min(snapshot_date) from snapshots where site_id = s.id) as first_day,
               exists (select from site_settings where site_id = s.id and setting_key = 'pay_opening_balance'
                       and setting_value = 'true') as pays_opening
        from sites s
    ), last_breaks as materialized (
        select platform,
               max(first_day) filter (where metric = 'lifetime_qualified_views') as lifetime_qualified_views,
               max(first_day) filter (where metric = 'lifetime_seconds_viewed') as lifetime_seconds_viewed,
               max(first_day) filter (where metric = 'views') as views,
               max(first_day) filter (where metric = 'reactions') as reactions,
               max(first_day) filter (where metric = 'comments') as comments,
               max(first_day) filter (where metric = 'shares') as shares,
               max(first_day) filter (where metric = 'impressions') as impressions,
               max(first_day) filter (where metric = 'reach') as reach
        from definition_breaks
        where first_day <= %(day)s
        group by platform
    ), compared as (
        select c.post_id, c.snapshot_date, c.currency, p.artist_id, prev.snapshot_date as from_date, c.lifetime_earnings,
               case when (p.publish_time at time zone %(timezone)s)::date >= r.first_day then 0 end as zero,
               coalesce(r.pays_opening, false) as pays_opening,
               case when prev.currency = c.currency and prev.lifetime_earnings is not null
                    then prev.lifetime_earnings else far.lifetime_earnings end as base_earnings,
               case when prev.currency = c.currency and prev.lifetime_earnings is not null
                    then prev.snapshot_date else far.earnings_date end as earnings_from_date,
               prev.lifetime_earnings is not null or coalesce(far.had_earnings, false) as had_earnings,
               c.lifetime_qualified_views,
               coalesce(prev.lifetime_qualified_views, far.lifetime_qualified_views) as base_qualified_views,
               coalesce(case when prev.lifetime_qualified_views is null then far.lifetime_qualified_views_day end,
                        prev.snapshot_date) < k.lifetime_qualified_views as qualified_views_broken,
               c.lifetime_seconds_viewed,
               coalesce(prev.lifetime_seconds_viewed, far.lifetime_seconds_viewed) as base_seconds_viewed,
               coalesce(case when prev.lifetime_seconds_viewed is null then far.lifetime_seconds_viewed_day end,
                        prev.snapshot_date) < k.lifetime_seconds_viewed as seconds_viewed_broken,
               c.views, coalesce(prev.views, far.views) as base_views,
               coalesce(case when prev.views is null then far.views_day end, prev.snapshot_date)
                   < k.views as views_broken,
               c.reactions, coalesce(prev.reactions, far.reactions) as base_reactions,
               coalesce(case when prev.reactions is null then far.reactions_day end, prev.snapshot_date)
                   < k.reactions as reactions_broken,
               c.comments, coalesce(prev.comments, far.comments) as base_comments,
               coalesce(case when prev.comments is null then far.comments_day end, prev.snapshot_date)
                   < k.comments as comments_broken,
               c.shares, coalesce(prev.shares, far.shares) as base_shares,
               coalesce(case when prev.shares is null then far.shares_day end, prev.snapshot_date)
                   < k.shares as shares_broken,
               c.impressions, coalesce(prev.impressions, far.impressions) as base_impressions,
               coalesce(case when prev.impressions is null then far.impressions_day end, prev.snapshot_date)
                   < k.impressions as impressions_broken,
               c.reach, coalesce(prev.reach, far.reach) as base_reach,
               coalesce(case when prev.reach is null then far.reach_day end, prev.snapshot_date)
                   < k.reach as reach_broken
        from snapshots c
        join posts p using (post_id)
        left join site_rules r on r.site_id = p.site_id
        left join last_breaks k on k.platform = p.platform
        left join snapshots y on y.post_id = c.post_id and y.snapshot_date = %(day_before)s
        left join lateral (
            -- The row of the day before, or where the post has none, the last one before that.
            select y.post_id, y.snapshot_date, y.currency, y.lifetime_earnings, y.lifetime_qualified_views,
                   y.lifetime_seconds_viewed, y.views, y.reactions, y.comments, y.shares, y.impressions, y.reach
            where y.post_id is not null
            union all
            (
                select b.post_id, b.snapshot_date, b.currency, b.lifetime_earnings, b.lifetime_qualified_views,
                       b.lifetime_seconds_viewed, b.views, b.reactions, b.comments, b.shares, b.impressions, b.reach
                from snapshots b
                where y.post_id is null and b.post_id = c.post_id
                  and b.snapshot_date < %(day_before)s and b.snapshot_date >= %(first_day)s
                order by b.snapshot_date desc
                limit 1
            )
        ) as prev on true
        left join lateral (
            -- Only where a metric is known today and was not in the previous snapshot.
            select (array_agg(h.lifetime_earnings order by h.snapshot_date desc)
                        filter (where h.lifetime_earnings is not null and h.currency = c.currency))[1] as lifetime_earnings,
                   max(h.snapshot_date) filter (where h.lifetime_earnings is not null and h.currency = c.currency) as earnings_date,
                   bool_or(h.lifetime_earnings is not null) as had_earnings,
                   (array_agg(h.lifetime_qualified_views order by h.snapshot_date desc)
                       filter (where h.lifetime_qualified_views is not null))[1] as lifetime_qualified_views,
                   max(h.snapshot_date) filter (where h.lifetime_qualified_views is not null) as lifetime_qualified_views_day,
                   (array_agg(h.lifetime_seconds_viewed order by h.snapshot_date desc)
                       filter (where h.lifetime_seconds_viewed is not null))[1] as lifetime_seconds_viewed,
                   max(h.snapshot_date) filter (where h.lifetime_seconds_viewed is not null) as lifetime_seconds_viewed_day,
                   (array_agg(h.views order by h.snapshot_date desc)
                       filter (where h.views is not null))[1] as views,
                   max(h.snapshot_date) filter (where h.views is not null) as views_day,
                   (array_agg(h.reactions order by h.snapshot_date desc)
                       filter (where h.reactions is not null))[1] as reactions,
                   max(h.snapshot_date) filter (where h.reactions is not null) as reactions_day,
                   (array_agg(h.comments order by h.snapshot_date desc)
                       filter (where h.comments is not null))[1] as comments,
                   max(h.snapshot_date) filter (where h.comments is not null) as comments_day,
                   (array_agg(h.shares order by h.snapshot_date desc)
                       filter (where h.shares is not null))[1] as shares,
                   max(h.snapshot_date) filter (where h.shares is not null) as shares_day,
                   (array_agg(h.impressions order by h.snapshot_date desc)
                       filter (where h.impressions is not null))[1] as impressions,
                   max(h.snapshot_date) filter (where h.impressions is not null) as impressions_day,
                   (array_agg(h.reach order by h.snapshot_date desc)
                       filter (where h.reach is not null))[1] as reach,
                   max(h.snapshot_date) filter (where h.reach is not null) as reach_day
            from snapshots h
            where h.post_id = c.post_id and h.snapshot_date < prev.snapshot_date and h.snapshot_date >= %(first_day)s
              and prev.post_id is not null and (
                  c.lifetime_earnings is not null and (prev.lifetime_earnings is null or prev.currency <> c.currency)
                  or c.lifetime_qualified_views is not null and prev.lifetime_qualified_views is null
                  or c.lifetime_seconds_viewed is not null and prev.lifetime_seconds_viewed is null
                  or c.views is not null and prev.views is null
                  or c.reactions is not null and prev.reactions is null
                  or c.comments is not null and prev.comments is null
                  or c.shares is not null and prev.shares is null
                  or c.impressions is not null and prev.impressions is null
                  or c.reach is not null and prev.reach is null)
            group by h.post_id  -- with nothing to look for, which is usual, nothing is aggregated
        ) as far on true
        where c.snapshot_date = %(day)s
    ), differences as (
        select *, case when base_earnings is not null then lifetime_earnings - base_earnings
                       when not had_earnings and (zero is not null or pays_opening) then lifetime_earnings end as earnings_delta
        from compared
    )
    select post_id, from_date, snapshot_date as to_date, artist_id,
           case when lifetime_earnings is not null then earnings_from_date end as earnings_from_date, earnings_delta,
           case when earnings_delta is null then lifetime_earnings end as opening_earnings,
           case when lifetime_earnings is not null then currency end as currency,
           case when qualified_views_broken is not true then lifetime_qualified_views - coalesce(base_qualified_views, zero)
                end as qualified_views_delta,
           case when seconds_viewed_broken is not true then lifetime_seconds_viewed - coalesce(base_seconds_viewed, zero)
                end as seconds_viewed_delta,
           case when views_broken is not true then views - coalesce(base_views, zero) end as views_delta,
           case when reactions_broken is not true then reactions - coalesce(base_reactions, zero) end as reactions_delta,
           case when comments_broken is not true then comments - coalesce(base_comments, zero) end as comments_delta,
           case when shares_broken is not true then shares - coalesce(base_shares, zero) end as shares_delta,
           case when impressions_broken is not true then impressions - coalesce(base_impressions, zero) end as impressions_delta,
           case when reach_broken is not true then reach - coalesce(base_reach, zero) end as reach_delta,
           case when views is not null and views_broken is not true then coalesce(base_views, zero) end as base_views,
           nullif(array_remove(array[
               case when comments_broken and comments is not null then 'comments' end,
               case when impressions_broken and impressions is not null then 'impressions' end,
               case when qualified_views_broken and lifetime_qualified_views is not null then 'lifetime_qualified_views' end,
               case when seconds_viewed_broken and lifetime_seconds_viewed is not null then 'lifetime_seconds_viewed' end,
               case when reach_broken and reach is not null then 'reach' end,
               case when reactions_broken and reactions is not null then 'reactions' end,
               case when shares_broken and shares is not null then 'shares' end,
               case when views_broken and views is not null then 'views' end
           ], null), '{}') as breaks
    from differences
) as n
on d.post_id = n.post_id and d.period = 'daily' and d.period_start = %(day)s
when matched and (
       d.from_date, d.to_date, d.artist_id, d.earnings_from_date, d.earnings_delta, d.opening_earnings, d.currency,
       d.qualified_views_delta, d.seconds_viewed_delta, d.views_delta, d.reactions_delta, d.comments_delta,
       d.shares_delta, d.impressions_delta, d.reach_delta, d.base_views, d.breaks)
    is distinct from (
       n.from_date, n.to_date, n.artist_id, n.earnings_from_date, n.earnings_delta, n.opening_earnings, n.currency,
       n.qualified_views_delta, n.seconds_viewed_delta, n.views_delta, n.reactions_delta, n.comments_delta,
       n.shares_delta, n.impressions_delta, n.reach_delta, n.base_views, n.breaks) then
    update set from_date = n.from_date, to_date = n.to_date, artist_id = n.artist_id, earnings_from_date =
               n.earnings_from_date, earnings_delta = n.earnings_delta, opening_earnings = n.opening_earnings,
               currency = n.currency, qualified_views_delta = n.qualified_views_delta, seconds_viewed_delta =
               n.seconds_viewed_delta, views_delta = n.views_delta, reactions_delta = n.reactions_delta,
               comments_delta = n.comments_delta, shares_delta = n.shares_delta, impressions_delta =
               n.impressions_delta, reach_delta = n.reach_delta, base_views = n.base_views,
               breaks = n.breaks, computed_at = %(now)s
when not matched then
    insert (post_id, period, period_start, computed_at,
            from_date, to_date, artist_id, earnings_from_date, earnings_delta, opening_earnings, currency,
            qualified_views_delta, seconds_viewed_delta, views_delta, reactions_delta, comments_delta, shares_delta,
            impressions_delta, reach_delta, base_views, breaks)
    values (n.post_id, 'daily', %(day)s, %(now)s,
            n.from_date, n.to_date, n.artist_id, n.earnings_from_date, n.earnings_delta, n.opening_earnings,
            n.currency, n.qualified_views_delta, n.seconds_viewed_delta, n.views_delta, n.reactions_delta,
            n.comments_delta, n.shares_delta, n.impressions_delta, n.reach_delta, n.base_views, n.breaks)

-- name: delete_vanished_daily
-- Deltas of posts whose snapshot of the day has been withdrawn.
delete from deltas d
where period = 'daily' and period_start = %(day)s
  and not exists (select from snapshots s where s.post_id = d.post_id and s.snapshot_date = %(day)s)

-- name: merge_sums
-- A longer window is the exact sum of its days. Amounts in several currencies cannot be added: such a sum is unknown here,
-- and stands per currency in the royalty lines. What a day could not compare is missing in its sum, which names it too.
merge into deltas d
using (
    with broken as (
        select s.post_id, array_agg(distinct b.metric order by b.metric) as breaks
        from deltas s cross join unnest(s.breaks) as b (metric)
        where s.period = 'daily' and s.period_start >= %(start)s and s.period_start < %(end)s and s.breaks is not null
        group by s.post_id
    )
    select s.post_id, k.breaks,
           (array_agg(s.from_date order by s.period_start))[1] as from_date,
           max(s.to_date) as to_date,
           p.artist_id,
           (array_agg(s.earnings_from_date order by s.period_start) filter (where s.currency is not null))[1] as earnings_from_date,
           case when count(distinct s.currency) < 2 then sum(s.earnings_delta) end as earnings_delta,
           case when count(distinct s.currency) < 2 then sum(s.opening_earnings) end as opening_earnings,
           case when count(distinct s.currency) < 2 then max(s.currency) end as currency,
           sum(s.qualified_views_delta)::bigint as qualified_views_delta,
           sum(s.seconds_viewed_delta)::bigint as seconds_viewed_delta,
           sum(s.views_delta)::bigint as views_delta,
           sum(s.reactions_delta)::bigint as reactions_delta,
           sum(s.comments_delta)::bigint as comments_delta,
           sum(s.shares_delta)::bigint as shares_delta,
           sum(s.impressions_delta)::bigint as impressions_delta,
           sum(s.reach_delta)::bigint as reach_delta,
           (array_agg(s.base_views order by s.period_start) filter (where s.views_delta is not null))[1] as base_views
    from deltas s
    join posts p using (post_id)
    left join broken k using (post_id)
    where s.period = 'daily' and s.period_start >= %(start)s and s.period_start < %(end)s
    group by s.post_id, p.artist_id, k.breaks
) as n
on d.post_id = n.post_id and d.period = %(period)s and d.period_start = %(start)s
when matched and (
       d.from_date, d.to_date, d.artist_id, d.earnings_from_date, d.earnings_delta, d.opening_earnings, d.currency,
       d.qualified_views_delta, d.seconds_viewed_delta, d.views_delta, d.reactions_delta, d.comments_delta,
       d.shares_delta, d.impressions_delta, d.reach_delta, d.base_views, d.breaks)
    is distinct from (
       n.from_date, n.to_date, n.artist_id, n.earnings_from_date, n.earnings_delta, n.opening_earnings, n.currency,
       n.qualified_views_delta, n.seconds_viewed_delta, n.views_delta, n.reactions_delta, n.comments_delta,
       n.shares_delta, n.impressions_delta, n.reach_delta, n.base_views, n.breaks) then
    update set from_date = n.from_date, to_date = n.to_date, artist_id = n.artist_id, earnings_from_date =
               n.earnings_from_date, earnings_delta = n.earnings_delta, opening_earnings = n.opening_earnings,
               currency = n.currency, qualified_views_delta = n.qualified_views_delta, seconds_viewed_delta =
               n.seconds_viewed_delta, views_delta = n.views_delta, reactions_delta = n.reactions_delta,
               comments_delta = n.comments_delta, shares_delta = n.shares_delta, impressions_delta =
               n.impressions_delta, reach_delta = n.reach_delta, base_views = n.base_views,
               breaks = n.breaks, computed_at = %(now)s
when not matched then
    insert (post_id, period, period_start, computed_at,
            from_date, to_date, artist_id, earnings_from_date, earnings_delta, opening_earnings, currency,
            qualified_views_delta, seconds_viewed_delta, views_delta, reactions_delta, comments_delta, shares_delta,
            impressions_delta, reach_delta, base_views, breaks)
    values (n.post_id, %(period)s, %(start)s, %(now)s,
            n.from_date, n.to_date, n.artist_id, n.earnings_from_date, n.earnings_delta, n.opening_earnings,
            n.currency, n.qualified_views_delta, n.seconds_viewed_delta, n.views_delta, n.reactions_delta,
            n.comments_delta, n.shares_delta, n.impressions_delta, n.reach_delta, n.base_views, n.breaks)

-- name: delete_vanished_sums
delete from deltas d
where period = %(period)s and period_start = %(start)s
  and not exists (select from deltas s where s.post_id = d.post_id and s.period = 'daily'
                  and s.period_start >= %(start)s and s.period_start < %(end)s)

-- name: clear_stale
-- The window is being recomputed. A capture that marks it again meanwhile waits here, or this waits for the capture.
delete from stale_windows where kind = %(kind)s and window_start = %(start)s

-- name: lock_window
select pg_advisory_xact_lock(hashtextextended(%(kind)s || %(start)s::date, 0))

-- name: summary
-- What a window holds, per site.
select coalesce(s.name, '(no site)') as site, d.currency, count(*) as posts, sum(d.earnings_delta) as earnings_delta,
       sum(d.opening_earnings) as opening_earnings, sum(d.views_delta) as views_delta
from deltas d
join posts p using (post_id)
left join sites s on s.id = p.site_id
where d.period = %(period)s and d.period_start between %(first)s and %(last)s
group by s.name, d.currency
order by s.name, d.currency

-- name: definition_breaks
select platform::text, metric, first_day, reason from definition_breaks

-- name: lock_definition_breaks
lock table definition_breaks in share row exclusive mode

-- name: put_definition_break
insert into definition_breaks (platform, metric, first_day, reason)
values (%(platform)s, %(metric)s, %(first_day)s, %(reason)s)
on conflict (platform, metric, first_day) do update set reason = excluded.reason

-- name: delete_definition_break
delete from definition_breaks where platform = %(platform)s and metric = %(metric)s and first_day = %(first_day)s
