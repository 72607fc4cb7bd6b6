-- The register of CSV files.

-- name: lock_day
-- One reader of a day's folder at a time, so that its files arrive in one order.
select pg_advisory_xact_lock(hashtextextended('csv_files ' || %(as_of)s::date, 0))

-- name: of_day
select id, name, sha256, size_bytes, modified_at, arrival_number, status, encoding, site_id, loaded_at, message
from csv_files
where as_of = %(as_of)s
order by arrival_number

-- name: replace_others
-- What lay under this name until now.
update csv_files set status = 'replaced'
where as_of = %(as_of)s and name = %(name)s and sha256 <> %(sha256)s and status <> 'withdrawn'

-- name: add
-- A version that was taken back and comes again arrives anew; one that was only touched stays what it is.
insert into csv_files (as_of, name, sha256, size_bytes, modified_at, arrived_at, encoding, message, status)
values (%(as_of)s, %(name)s, %(sha256)s, %(size_bytes)s, %(modified_at)s, %(now)s, %(encoding)s, %(refusal)s,
        case when %(refusal)s::text is null then 'arrived'::csv_file_status else 'refused' end)
on conflict (as_of, name, sha256) do update
set modified_at = excluded.modified_at,
    status = case when csv_files.status in ('replaced', 'withdrawn') then excluded.status else csv_files.status end,
    arrived_at = case when csv_files.status in ('replaced', 'withdrawn') then excluded.arrived_at else csv_files.arrived_at end,
    arrival_number = case when csv_files.status in ('replaced', 'withdrawn') then nextval(pg_get_serial_sequence('csv_files', 'arrival_number'))
                          else csv_files.arrival_number end

-- name: tell_duplicates
-- Of files with the same bytes the first counts, among those that lie in the inbox or are loaded. A file that went before it
-- was loaded must not keep its copies from being loaded.
update csv_files f
set status = case when d.first then 'arrived'::csv_file_status else 'duplicate' end
from (select id, arrival_number = min(arrival_number) over (partition by sha256) as first
      from csv_files
      where as_of = %(as_of)s and status not in ('replaced', 'withdrawn')
        and (status = 'loaded' or name = any(%(present)s))) as d
where f.id = d.id and f.status = case when d.first then 'duplicate'::csv_file_status else 'arrived' end

-- name: tell_site
-- The operator says whose rows a file holds.
update csv_files set site_id = %(site_id)s where id = %(id)s

-- name: refuse
update csv_files
set status = 'refused', message = %(message)s, layout = %(layout)s, rows_read = 0, rows_loaded = 0, rows_quarantined = 0
where id = %(id)s

-- name: finish
update csv_files f
set status = 'loaded', message = %(message)s, loaded_at = %(now)s, layout = %(layout)s, rows_read = %(rows_read)s,
    rows_loaded = %(rows_loaded)s, rows_quarantined = %(rows_quarantined)s
where id = %(id)s

-- name: forget_taken_back
-- After a rebuild the snapshots no longer hold what these said.
update csv_files set loaded_at = null where as_of = %(as_of)s and status in ('replaced', 'withdrawn', 'duplicate')

-- name: withdraw
-- A duplicate too: it would count as soon as the file that it repeats is taken back.
update csv_files set status = 'withdrawn'
where as_of = %(as_of)s and name = %(name)s and status not in ('replaced', 'withdrawn')
returning sha256

-- name: newest
-- What the inbox sensor compares the folder with; which of the files a run has seen and not loaded.
select as_of, name, size_bytes, modified_at, status = 'arrived' as waits from csv_files where status <> 'replaced'

-- name: list
select f.as_of, f.name, f.status, f.layout, f.rows_read, f.rows_loaded, f.rows_quarantined, f.arrived_at, f.message
from csv_files f
where %(as_of)s::date is null or f.as_of = %(as_of)s
order by f.as_of, f.arrival_number
