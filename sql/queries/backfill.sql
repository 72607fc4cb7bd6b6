-- Planning of backfills: what the ledger says of each day, and rehearsals that are rolled back. What follows from it is
-- decided in `capture.backfill`.

-- name: read_only
set transaction read only

-- name: restorable_days
-- The days of sites of which a full capture has landed whose answers are still stored.
select distinct l.site_id, l.snapshot_date as day
from sync_logs l
where l.site_id = any(%(sites)s) and l.snapshot_date between %(first)s and %(last)s
  and l.status = 'completed' and l.scope is null and l.reading_id is not null
  and exists (select from captured_answers a where a.reading_id = l.reading_id)

-- name: site_days
-- Of each site and day the newest full capture, and whether its rows are still there.
with newest as (
    select distinct on (site_id, snapshot_date) site_id, snapshot_date, status, error_message, records_processed
    from sync_logs
    where site_id = any(%(sites)s) and snapshot_date between %(first)s and %(last)s
      and reading_id is not null and scope is null
    order by site_id, snapshot_date, started_at desc, status = 'completed' desc
)
select s.site_id, day::date as day, n.status, n.error_message as message,
       n.records_processed > 0 and not exists (
           select from snapshots t where t.site_id = s.site_id and t.snapshot_date = day::date
       ) as is_empty
from unnest(%(sites)s::uuid[]) as s (site_id)
cross join generate_series(%(first)s::timestamp, %(last)s::timestamp, interval '1 day') as day
left join newest n on n.site_id = s.site_id and n.snapshot_date = day::date

-- name: site_facts
-- How many posts each site has, and how long its captures of a day took on average.
select s.id as site_id, (select count(*) from posts p where p.site_id = s.id) as posts,
       (select avg(extract(epoch from l.completed_at - l.started_at))::float
        from sync_logs l
        where l.site_id = s.id and l.status = 'completed' and l.reading_id is not null and l.scope is null) as seconds
from sites s
where s.id = any(%(sites)s)

-- name: files
-- The files of some days as the register knows them.
select as_of, name, size_bytes, modified_at, status, message
from csv_files
where as_of between %(first)s and %(last)s and status <> 'replaced'

-- name: do_not_wait_long
-- A rehearsal must not hold up real work by queueing for its locks.
set local lock_timeout = '10s'

-- name: remember_day
-- Before a rehearsal: the rows of the day, and by which transaction each was written.
create temporary table rehearsed on commit drop as
select post_id, xmin::text as version from snapshots where snapshot_date = %(day)s

-- name: compare_day
-- After a rehearsal: what it did to the day. Unchanged are rows of the source, of one site if it is named.
select count(*) filter (where b.post_id is null) as inserted,
       count(*) filter (where b.version <> a.version) as changed,
       count(*) filter (where b.version = a.version and a.of_source) as unchanged,
       count(*) filter (where a.post_id is null) as removed
from rehearsed b
full join (
    select post_id, xmin::text as version,
           raw_data ? %(source)s::text and (%(site_id)s::uuid is null or site_id = %(site_id)s) as of_source
    from snapshots
    where snapshot_date = %(day)s
) as a using (post_id)

-- name: transaction
select pg_current_xact_id()::text as id

-- name: not_rolled_back
-- Of these transactions, those that PostgreSQL does not know as rolled back.
select id from unnest(%(ids)s::text[]) as id where pg_xact_status(id::xid8) is distinct from 'aborted'
