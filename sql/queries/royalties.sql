-- Rates, assignments, and the accrual of a month's earnings to artists.

-- name: merge_accruals
-- One line per post, artist, currency and rate: the month's daily earnings deltas at the rate in force on each day.
-- The multiplications are exact: 6 decimals of money, 4 of the rate, 2 of the percent.
merge into royalty_lines l
using (
    with earned as (
        select d.post_id, d.artist_id, d.currency, r.rate_pct, sum(d.earnings_delta) as earnings
        from deltas d
        left join lateral (
            select rate_pct from royalty_rates
            where artist_id = d.artist_id and effective_from <= d.to_date
            order by effective_from desc
            limit 1
        ) as r on true
        where d.period = 'daily' and d.period_start >= %(month)s and d.period_start < %(next_month)s and d.earnings_delta <> 0
        group by d.post_id, d.artist_id, d.currency, r.rate_pct
    )
    select *, coalesce(earnings * (rate_pct * 0.01), 0) as artist_share,
           case when rate_pct is null then 0 else earnings - earnings * (rate_pct * 0.01) end as house_share,
           case when rate_pct is null then earnings else 0 end as suspense
    from earned
) as n
on l.kind = 'accrual' and l.month = %(month)s and l.post_id = n.post_id and l.currency = n.currency
   and l.artist_id is not distinct from n.artist_id and l.rate_pct is not distinct from n.rate_pct
when matched and (l.earnings, l.artist_share, l.house_share, l.suspense)
                 is distinct from (n.earnings, n.artist_share, n.house_share, n.suspense) then
    update set earnings = n.earnings, artist_share = n.artist_share, house_share = n.house_share, suspense = n.suspense,
               computed_at = %(now)s
when not matched then
    insert (month, kind, post_id, artist_id, currency, rate_pct, earnings, artist_share, house_share, suspense, computed_at)
    values (%(month)s, 'accrual', n.post_id, n.artist_id, n.currency, n.rate_pct, n.earnings, n.artist_share, n.house_share,
            n.suspense, %(now)s)

-- name: delete_vanished_accruals
delete from royalty_lines l
where kind = 'accrual' and month = %(month)s
  and not exists (
      select from deltas d
      left join lateral (
          select rate_pct from royalty_rates
          where artist_id = d.artist_id and effective_from <= d.to_date
          order by effective_from desc
          limit 1
      ) as r on true
      where d.post_id = l.post_id and d.period = 'daily' and d.period_start >= %(month)s and d.period_start < %(next_month)s
        and d.earnings_delta <> 0 and d.currency = l.currency
        and d.artist_id is not distinct from l.artist_id and r.rate_pct is not distinct from l.rate_pct)

-- name: totals
-- A month's money per payee and currency, unrounded. The artist is empty for what is in suspense.
select l.month, l.currency, a.name as artist, l.artist_id is not null and l.rate_pct is null as lacks_rate,
       sum(l.earnings) as earnings, sum(l.artist_share) as artist_share, sum(l.house_share) as house_share,
       sum(l.suspense) as suspense, count(distinct l.post_id) as posts
from royalty_lines l left join artists a on a.id = l.artist_id
where (%(month)s::date is null or l.month = %(month)s) and (%(artist)s::text is null or a.name = %(artist)s)
group by l.month, l.currency, a.name, lacks_rate
order by l.month, l.currency, a.name nulls last, lacks_rate

-- name: tie_out
-- Per currency: what the platforms added in the month, and what became of it.
select currency, sum(platform) as platform, sum(artist_share) as artist_share, sum(house_share) as house_share,
       sum(suspense) as suspense
from (
    select currency, sum(earnings_delta) as platform, 0 as artist_share, 0 as house_share, 0 as suspense
    from deltas
    where period = 'daily' and period_start >= %(month)s and period_start < %(next_month)s and earnings_delta is not null
    group by currency
    union all
    select currency, 0, sum(artist_share), sum(house_share), sum(suspense)
    from royalty_lines
    where kind = 'accrual' and month = %(month)s
    group by currency
) as parts
group by currency
order by currency

-- name: add_artist
insert into artists (name, email) values (%(name)s, %(email)s)
on conflict (name) do nothing
returning id

-- name: find_artist
select id, name, royalty_rate, status from artists where name = %(artist)s or id::text = %(artist)s

-- name: list_artists
select a.name, a.status, a.royalty_rate as rate_pct, a.email,
       (select jsonb_agg(jsonb_build_object('from', effective_from, 'rate_pct', rate_pct) order by effective_from)
        from royalty_rates where artist_id = a.id) as rates,
       (select jsonb_agg(asset_tag order by asset_tag) from artist_assignments where artist_id = a.id and asset_tag is not null) as tags,
       (select count(*) from posts where artist_id = a.id) as posts
from artists a
order by a.name

-- name: put_rate
insert into royalty_rates (artist_id, rate_pct, effective_from) values (%(artist_id)s, %(rate)s, %(from_day)s)
on conflict (artist_id, effective_from) do update set rate_pct = excluded.rate_pct

-- name: refresh_current_rates
-- artists.royalty_rate is the rate in force on %(today)s. Rates told ahead of time come into force by themselves.
update artists a
set royalty_rate = r.rate_pct, updated_at = %(now)s
from artists b
left join lateral (
    select rate_pct from royalty_rates where artist_id = b.id and effective_from <= %(today)s order by effective_from desc limit 1
) as r on true
where a.id = b.id and a.royalty_rate is distinct from r.rate_pct

-- name: months_with_deltas
-- The months from a day on in which an artist has daily deltas.
select distinct date_trunc('month', period_start)::date as month
from deltas
where artist_id = %(artist_id)s and period = 'daily' and period_start >= date_trunc('month', %(from_day)s::date)

-- name: assign_tag
insert into artist_assignments (artist_id, asset_tag) values (%(artist_id)s, %(tag)s)
on conflict (asset_tag) do update set artist_id = excluded.artist_id

-- name: assign_post
insert into artist_assignments (artist_id, post_id) values (%(artist_id)s, %(post_id)s)
on conflict (post_id) do update set artist_id = excluded.artist_id

-- name: unassign
delete from artist_assignments where asset_tag = %(tag)s or post_id = %(post_id)s

-- name: collect_assigned_posts
insert into changed_posts
select post_id, publish_time, false from posts where asset_tag = %(tag)s or post_id = %(post_id)s

-- name: find_post
select post_id from posts where post_id = %(post_id)s
