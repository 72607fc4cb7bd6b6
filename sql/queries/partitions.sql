-- Monthly partitions of snapshots, deltas and webhook_events.

-- name: ensure
-- Makes the missing partitions between two days; ensure_partitions is defined in migration 0001.
select ensure_partitions(%(parent)s::regclass, %(first_day)s, %(last_day)s) as made

-- name: strays
-- The days of rows that fell into a default partition because their month had none.
select least((select min(snapshot_date) from snapshots_default), (select min(period_start) from deltas_default)) as first_day,
       greatest((select max(snapshot_date) from snapshots_default), (select max(period_start) from deltas_default)) as last_day

-- name: list
-- Every partition with its size in bytes.
select i.inhparent::regclass::text as parent, c.relname as partition, pg_total_relation_size(c.oid) as bytes
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where c.relkind = 'r'
order by 1, 2

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
