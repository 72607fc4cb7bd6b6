-- Monthly partitions of snapshots, deltas and webhook_events.

-- name: ensure
-- Makes the missing partitions between two days; ensure_partitions is defined in migration 0001.
select ensure_partitions(%(parent)s::regclass, %(first_day)s, %(last_day)s) as made

-- name: analyze_snapshots
select analyze_partition('snapshots', %(day)s, array['post_id', 'snapshot_date', 'site_id'])

-- name: analyze_deltas
select analyze_partition('deltas', %(start)s, array['post_id', 'period', 'period_start'])

-- name: tables
-- The tables with their rows, as PostgreSQL estimates them, and their size, partitions included.
select t.relname as table, sum(greatest(p.reltuples, 0))::bigint as about_rows, count(i.inhrelid) as partitions,
       pg_size_pretty(sum(pg_total_relation_size(p.oid))) as size
from pg_class t
left join pg_inherits i on i.inhparent = t.oid
join pg_class p on p.oid = coalesce(i.inhrelid, t.oid)
where t.relkind in ('r', 'p') and not t.relispartition and t.relnamespace = 'public'::regnamespace
group by t.relname
order by t.relname
