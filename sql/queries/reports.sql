-- What `cg deltas show` prints. All take the same filters, each of which may be NULL.

-- name: deltas_by_site
select d.period_start, s.name as site, s.platform, d.currency, count(*) as posts, sum(d.earnings_delta) as earnings_delta,
       sum(d.opening_earnings) as opening_earnings, sum(d.views_delta) as views_delta,
       sum(d.reactions_delta) as reactions_delta, sum(d.comments_delta) as comments_delta,
       sum(d.shares_delta) as shares_delta
from deltas d
join posts p using (post_id)
left join sites s on s.id = p.site_id
left join artists a on a.id = d.artist_id
where d.period = %(period)s
  and (%(first)s::date is null or d.period_start >= %(first)s) and (%(last)s::date is null or d.period_start <= %(last)s)
  and (%(site)s::text is null or s.name = %(site)s) and (%(artist)s::text is null or a.name = %(artist)s)
  and (%(post)s::text is null or d.post_id = %(post)s)
group by d.period_start, s.name, s.platform, d.currency
order by d.period_start desc, s.platform, s.name, d.currency
limit %(limit)s

-- name: deltas_by_artist
select d.period_start, a.name as artist, d.currency, count(*) as posts, sum(d.earnings_delta) as earnings_delta,
       sum(d.opening_earnings) as opening_earnings, sum(d.views_delta) as views_delta
from deltas d
join posts p using (post_id)
left join sites s on s.id = p.site_id
left join artists a on a.id = d.artist_id
where d.period = %(period)s
  and (%(first)s::date is null or d.period_start >= %(first)s) and (%(last)s::date is null or d.period_start <= %(last)s)
  and (%(site)s::text is null or s.name = %(site)s) and (%(artist)s::text is null or a.name = %(artist)s)
  and (%(post)s::text is null or d.post_id = %(post)s)
group by d.period_start, a.name, d.currency
order by d.period_start desc, a.name nulls last, d.currency
limit %(limit)s

-- name: deltas_by_post
select d.period_start, d.post_id, left(p.title, 40) as title, s.name as site, a.name as artist, d.from_date, d.to_date,
       d.currency, d.earnings_delta, d.opening_earnings, d.views_delta, d.growth_rate as growth_pct
from deltas d
join posts p using (post_id)
left join sites s on s.id = p.site_id
left join artists a on a.id = d.artist_id
where d.period = %(period)s
  and (%(first)s::date is null or d.period_start >= %(first)s) and (%(last)s::date is null or d.period_start <= %(last)s)
  and (%(site)s::text is null or s.name = %(site)s) and (%(artist)s::text is null or a.name = %(artist)s)
  and (%(post)s::text is null or d.post_id = %(post)s)
order by d.period_start desc, d.post_id
limit %(limit)s
