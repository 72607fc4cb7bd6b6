-- One day's capture: what a source said is staged in temporary tables, then merged into sites, posts and snapshots.
-- All of it runs in one transaction. %(day)s is the snapshot date, %(source)s the data source.

-- name: work_in_memory
-- For this transaction: a day's rows should be joined without a detour over the disk.
set local work_mem = '256MB'

-- name: create_staging
-- Rows as they were read. A row that does not land, or lands with a problem, goes to quarantine.
create temporary table staging (
    file_number integer not null,
    line integer not null,
    lands boolean not null,
    problem text,
    problem_column text,
    platform platform,
    page_id text,
    page_name text,
    username text,
    post_id text,
    attributes jsonb,
    lifetime_earnings numeric(20, 6),
    lifetime_qualified_views bigint,
    lifetime_seconds_viewed bigint,
    views bigint,
    three_second_views bigint,
    one_minute_views bigint,
    reactions bigint,
    comments bigint,
    shares bigint,
    impressions bigint,
    reach bigint,
    saves bigint,
    profile_visits bigint,
    avg_watch_percentage numeric(12, 4),
    subscribers_gained bigint,
    estimated_cpm numeric(20, 6),
    views_by_country jsonb,
    demographic_data jsonb,
    traffic_source jsonb,
    device_type jsonb,
    currency text,
    raw jsonb
) on commit drop

-- name: copy_staging
copy staging from stdin

-- name: count_repeats
-- How many posts have more than one staged row.
select count(*) as count from (select from staging where lands group by post_id having count(*) > 1) as repeated

-- name: reject_repeats
-- Of the rows with one post id in one file the first lands; equal ones are dropped, others go to quarantine.
with ranked as (
    select ctid as row_id, raw, row_number() over rows_of_post as rank,
           first_value(line) over rows_of_post as first_line, first_value(raw) over rows_of_post as first_raw
    from staging
    where lands
    window rows_of_post as (partition by file_number, post_id order by line)
)
update staging s
set lands = false,
    problem = case when r.raw <> r.first_raw then 'repeats the post of line ' || r.first_line || ' with other values' end
from ranked r
where s.ctid = r.row_id and r.rank > 1

-- name: usable_rows
-- How many rows of a file land, and the first that does not.
select count(*) filter (where lands) as rows, min(line) filter (where not lands) as line,
       (array_agg(problem order by line) filter (where not lands))[1] as problem
from staging
where file_number = %(file_number)s

-- name: count_by_file
select file_number, count(*) filter (where lands) as landing, count(problem) as quarantined
from staging
group by file_number

-- name: clear_quarantine
-- What earlier readings of the same files, or of the same posts, left there.
delete from quarantine q
where q.csv_file_id = any(%(file_ids)s)
   or q.csv_file_id is null and %(log_id)s::uuid is not null and q.snapshot_date = %(day)s
      and q.post_id in (select post_id from staging)

-- name: quarantine_rows
insert into quarantine (csv_file_id, snapshot_date, line_number, column_name, post_id, reason, raw_data, created_at)
select (%(file_ids)s::uuid[])[s.file_number], %(day)s, nullif(s.line, 0), s.problem_column, s.post_id, s.problem,
       s.raw -> %(source)s::text, %(now)s
from staging s
where s.problem is not null

-- name: drop_rejected
delete from staging where not lands

-- name: fold_files
-- Makes one row of the rows that several files have for a post: of each column the last known value, by file number.
with several as (
    select post_id from staging group by post_id having count(*) > 1
), parts as (
    delete from staging where post_id in (select post_id from several) returning *
)
insert into staging
select max(file_number), (array_agg(line order by file_number desc))[1], true, null, null,
       min(platform), (array_agg(page_id order by file_number))[1], (array_agg(page_name order by file_number desc) filter (where page_name is not null))[1],
       (array_agg(username order by file_number desc) filter (where username is not null))[1],
       post_id, jsonb_merge(attributes order by file_number),
       (array_agg(lifetime_earnings order by file_number desc) filter (where lifetime_earnings is not null))[1],
       (array_agg(lifetime_qualified_views order by file_number desc) filter (where lifetime_qualified_views is not null))[1],
       (array_agg(lifetime_seconds_viewed order by file_number desc) filter (where lifetime_seconds_viewed is not null))[1],
       (array_agg(views order by file_number desc) filter (where views is not null))[1],
       (array_agg(three_second_views order by file_number desc) filter (where three_second_views is not null))[1],
       (array_agg(one_minute_views order by file_number desc) filter (where one_minute_views is not null))[1],
       (array_agg(reactions order by file_number desc) filter (where reactions is not null))[1],
       (array_agg(comments order by file_number desc) filter (where comments is not null))[1],
       (array_agg(shares order by file_number desc) filter (where shares is not null))[1],
       (array_agg(impressions order by file_number desc) filter (where impressions is not null))[1],
       (array_agg(reach order by file_number desc) filter (where reach is not null))[1],
       (array_agg(saves order by file_number desc) filter (where saves is not null))[1],
       (array_agg(profile_visits order by file_number desc) filter (where profile_visits is not null))[1],
       (array_agg(avg_watch_percentage order by file_number desc) filter (where avg_watch_percentage is not null))[1],
       (array_agg(subscribers_gained order by file_number desc) filter (where subscribers_gained is not null))[1],
       (array_agg(estimated_cpm order by file_number desc) filter (where estimated_cpm is not null))[1],
       (array_agg(views_by_country order by file_number desc) filter (where views_by_country is not null))[1],
       (array_agg(demographic_data order by file_number desc) filter (where demographic_data is not null))[1],
       (array_agg(traffic_source order by file_number desc) filter (where traffic_source is not null))[1],
       (array_agg(device_type order by file_number desc) filter (where device_type is not null))[1],
       coalesce(
           (array_agg(currency order by file_number desc) filter (where lifetime_earnings is not null))[1],
           (array_agg(currency order by file_number desc) filter (where currency is not null))[1]),
       jsonb_build_object(%(source)s::text, jsonb_merge(raw -> %(source)s::text order by file_number))
from parts
group by post_id

-- name: recognize_usernames
-- Exports that only name an account by its username (TikTok Studio): it is the connected site's, unless it has been a site
-- of its own before.
update staging t
set page_id = s.platform_id
from sites s
where s.platform = t.platform and s.access_token is not null and lower(s.platform_username) = lower(t.page_id)
  and s.platform_id <> t.page_id
  and not exists (select from sites o where o.platform = t.platform and o.platform_id = t.page_id)

-- name: create_staged_pages
-- The pages of the staged rows, per file.
create temporary table staged_pages on commit drop as
select platform, page_id, file_number, count(*) as rows, max(page_name) as page_name, max(username) as username,
       sum(views) as views, sum(lifetime_earnings) as earnings, max(currency) as currency
from staging
group by platform, page_id, file_number

-- name: add_sites
-- A page that is not known yet becomes a site.
insert into sites (platform, platform_id, name, platform_username, created_at, updated_at)
select distinct on (platform, page_id) platform, page_id, coalesce(page_name, username, page_id), username, %(now)s, %(now)s
from staged_pages
order by platform, page_id, file_number desc
on conflict (platform, platform_id) do nothing

-- name: lock_sites
-- One writer per site: the capture of another day would not see which later days look back at this one.
select pg_advisory_xact_lock(hashtextextended(id::text, 0))
from (
    select id from sites
    where (platform, platform_id) in (select platform, page_id from staged_pages)
       or id in (select site_id from snapshots where snapshot_date = %(day)s and %(replace)s
                    and (%(only_site)s::uuid is null or site_id = %(only_site)s))
    order by id
) as ordered

-- name: create_staged_sites
-- The sites of the staged rows, with the days between which they were captured before this capture.
create temporary table staged_sites on commit drop as
select s.id as site_id, s.platform, s.platform_id as page_id,
       (select min(snapshot_date) from snapshots where site_id = s.id) as first_day,
       (select max(snapshot_date) from snapshots where site_id = s.id) as last_day
from sites s
where (s.platform, s.platform_id) in (select platform, page_id from staged_pages)
   or s.id in (select site_id from snapshots where snapshot_date = %(day)s and %(replace)s
                    and (%(only_site)s::uuid is null or site_id = %(only_site)s))

-- name: last_captured_day
select max(last_day) as last_day from staged_sites

-- name: name_sites
-- A site bears the name that its newest capture gives it.
update sites s
set name = coalesce(n.page_name, s.name), platform_username = coalesce(n.username, s.platform_username),
    sync_status = case when s.sync_status = 'error' then 'active' else s.sync_status end,
    last_sync_at = greatest(s.last_sync_at, %(now)s), updated_at = %(now)s
from (
    select distinct on (site_id) site_id, page_name, username
    from staged_logs join staged_sites using (site_id)
    where last_day is null or last_day <= %(day)s
    order by site_id, file_number desc
) as n
where s.id = n.site_id

-- name: create_staged_logs
-- One sync log per site and file, or the one that the capture has begun already.
create temporary table staged_logs on commit drop as
select coalesce(%(log_id)s::uuid, gen_random_uuid()) as id, site_id, platform, page_id, file_number, rows, page_name, username, views, earnings, currency
from staged_pages join staged_sites using (platform, page_id)

-- name: day_has_snapshots
select exists (select from snapshots where snapshot_date = %(day)s) as found

-- name: count_matched
-- How many rows are staged, for how many the day has a snapshot already, whether another source tells of one too, and whether
-- one has earnings in another currency until now.
select count(*) as staged, count(t.post_id) as matched,
       coalesce(bool_or(t.data_source <> %(source)s::data_source or t.layers is not null), false)
           or %(replace)s and exists (select from snapshots where snapshot_date = %(day)s and layers is not null) as layered,
       coalesce(bool_or(t.lifetime_earnings is not null and s.lifetime_earnings is not null and t.currency <> s.currency), false)
           as currency_moved
from staging s left join snapshots t on %(found)s and t.post_id = s.post_id and t.snapshot_date = %(day)s

-- name: create_touched
-- The posts whose snapshot of the day is written or removed, and by which sync log. former: where the day is closed, the
-- columns as they were; a statement that changes rows still reads them so.
create temporary table touched (
    post_id text not null, site_id uuid, log_id uuid, former jsonb, removed boolean not null default false
) on commit drop

-- name: count_touched
select count(*) as count from touched

-- name: count_version_changes
select count(*) as count from version_changes

-- name: create_version_changes
-- The posts whose attributes differ from what this source said last up to this day; former is what it said then.
-- A second file of a day adds to what the first said, unless the day is rebuilt.
create temporary table version_changes on commit drop as
with differing as (
    select s.post_id, s.attributes, v.attributes as former
    from staging s
    left join lateral (
        select attributes
        from post_versions v
        where v.post_id = s.post_id and v.data_source = %(source)s::data_source and v.observed_from <= %(day)s
        order by v.observed_from desc
        limit 1
    ) as v on true
    where v.attributes is distinct from s.attributes
), combined as (
    select d.post_id, d.former,
           case when t.post_id is null then d.attributes else d.former || d.attributes end as attributes
    from differing d
    left join snapshots t on %(matched)s and not %(replace)s
        and t.post_id = d.post_id and t.snapshot_date = %(day)s and t.raw_data ? %(source)s::text
)
select post_id, attributes, former from combined where attributes is distinct from former

-- name: add_posts
insert into posts (post_id, platform, data_source, site_id, created_at, updated_at,
                   asset_tag, title, description, post_type, publish_time, duration, permalink, page_id, page_name,
                   thumbnail_url, video_url, aspect_ratio, resolution, hashtags, mentions, crossposting_status,
                   original_platform, monetization_status, restricted_countries, content_category, audio_copyright,
                   privacy_status)
select s.post_id, s.platform, %(source)s::data_source, staged_sites.site_id, %(now)s, %(now)s,
       a.asset_tag, a.title, a.description, a.post_type, a.publish_time, a.duration, a.permalink, a.page_id, a.page_name,
       a.thumbnail_url, a.video_url, a.aspect_ratio, a.resolution, coalesce(a.hashtags, '[]'), coalesce(a.mentions, '[]'),
       a.crossposting_status, a.original_platform, a.monetization_status, a.restricted_countries, a.content_category,
       a.audio_copyright, a.privacy_status
from staging s
join staged_sites using (platform, page_id)
cross join lateral jsonb_populate_record(null::posts, s.attributes) as a
where not exists (select from posts p where p.post_id = s.post_id)
order by s.post_id

-- name: continue_former_versions
-- Before a version is put in between: the next day on which this source saw the post still says what it said.
insert into post_versions (post_id, data_source, observed_from, attributes)
select c.post_id, %(source)s::data_source, n.next_day, c.former
from version_changes c
cross join lateral (
    select min(snapshot_date) as next_day
    from snapshots t
    where t.post_id = c.post_id and t.snapshot_date > %(day)s and t.raw_data ? %(source)s::text
) as n
where c.former is not null and n.next_day is not null
on conflict (post_id, data_source, observed_from) do nothing

-- name: put_versions
insert into post_versions (post_id, data_source, observed_from, attributes)
select post_id, %(source)s::data_source, %(day)s, attributes
from version_changes
where attributes is not null
on conflict (post_id, data_source, observed_from) do update set attributes = excluded.attributes

-- name: remove_versions
-- Of posts that were not seen on this day after all.
delete from post_versions v
using version_changes c
where c.attributes is null and v.post_id = c.post_id and v.data_source = %(source)s::data_source and v.observed_from = %(day)s

-- name: join_equal_versions
-- A version that says the same as the one before it is none.
delete from post_versions v
using version_changes c
where v.post_id = c.post_id and v.data_source = %(source)s::data_source and v.observed_from >= %(day)s
  and v.attributes = (
      select b.attributes
      from post_versions b
      where b.post_id = v.post_id and b.data_source = v.data_source and b.observed_from < v.observed_from
      order by b.observed_from desc
      limit 1
  )

-- name: insert_snapshots
with merged as (
    insert into snapshots (
        post_id, snapshot_date, data_source, site_id, lifetime_earnings, lifetime_qualified_views, lifetime_seconds_viewed,
        views, three_second_views, one_minute_views, reactions, comments, shares, impressions, reach, saves,
        profile_visits, avg_watch_percentage, subscribers_gained, estimated_cpm, views_by_country, demographic_data,
        traffic_source, device_type, currency, raw_data, observed_at, sync_log_id)
    select s.post_id, %(day)s, %(source)s::data_source, l.site_id, s.lifetime_earnings, s.lifetime_qualified_views, s.lifetime_seconds_viewed,
           s.views, s.three_second_views, s.one_minute_views, s.reactions, s.comments, s.shares, s.impressions, s.reach, s.saves,
           s.profile_visits, s.avg_watch_percentage, s.subscribers_gained, s.estimated_cpm, s.views_by_country, s.demographic_data,
           s.traffic_source, s.device_type, s.currency, s.raw, %(observed_at)s, l.id
    from staging s
    join staged_logs l using (platform, page_id, file_number)
    where not %(matched)s or not exists (select from snapshots t where t.post_id = s.post_id and t.snapshot_date = %(day)s)
    returning post_id, site_id, sync_log_id
)
insert into touched select post_id, site_id, sync_log_id from merged

-- name: overwrite_snapshots
-- What the source knows replaces what it said before, where no other source tells of the row. When a day is rebuilt, nothing
-- remains of what it said before, its page included.
with changed as (
    update snapshots t
    set (lifetime_earnings, lifetime_qualified_views, lifetime_seconds_viewed, views, three_second_views,
         one_minute_views, reactions, comments, shares, impressions, reach, saves, profile_visits,
         avg_watch_percentage, subscribers_gained, estimated_cpm, views_by_country, demographic_data, traffic_source,
         device_type, currency, raw_data, site_id, sync_log_id, observed_at)
      = (coalesce(s.lifetime_earnings, case when not %(replace)s then t.lifetime_earnings end),
          coalesce(s.lifetime_qualified_views, case when not %(replace)s then t.lifetime_qualified_views end),
          coalesce(s.lifetime_seconds_viewed, case when not %(replace)s then t.lifetime_seconds_viewed end),
          coalesce(s.views, case when not %(replace)s then t.views end),
          coalesce(s.three_second_views, case when not %(replace)s then t.three_second_views end),
          coalesce(s.one_minute_views, case when not %(replace)s then t.one_minute_views end),
          coalesce(s.reactions, case when not %(replace)s then t.reactions end),
          coalesce(s.comments, case when not %(replace)s then t.comments end),
          coalesce(s.shares, case when not %(replace)s then t.shares end),
          coalesce(s.impressions, case when not %(replace)s then t.impressions end),
          coalesce(s.reach, case when not %(replace)s then t.reach end),
          coalesce(s.saves, case when not %(replace)s then t.saves end),
          coalesce(s.profile_visits, case when not %(replace)s then t.profile_visits end),
          coalesce(s.avg_watch_percentage, case when not %(replace)s then t.avg_watch_percentage end),
          coalesce(s.subscribers_gained, case when not %(replace)s then t.subscribers_gained end),
          coalesce(s.estimated_cpm, case when not %(replace)s then t.estimated_cpm end),
          coalesce(s.views_by_country, case when not %(replace)s then t.views_by_country end),
          coalesce(s.demographic_data, case when not %(replace)s then t.demographic_data end),
          coalesce(s.traffic_source, case when not %(replace)s then t.traffic_source end),
          coalesce(s.device_type, case when not %(replace)s then t.device_type end),
          case when s.lifetime_earnings is null and t.lifetime_earnings is not null and not %(replace)s then t.currency
              else coalesce(s.currency, case when not %(replace)s then t.currency end) end,
          t.raw_data || case when %(replace)s or not t.raw_data ? %(source)s::text then s.raw
                             else jsonb_build_object(%(source)s::text, (t.raw_data -> %(source)s::text) || (s.raw -> %(source)s::text)) end,
          case when %(replace)s then l.site_id else t.site_id end, l.id, %(observed_at)s)
    from staging s
    join staged_logs l using (platform, page_id, file_number)
    where t.post_id = s.post_id and t.snapshot_date = %(day)s and t.data_source = %(source)s::data_source and t.layers is null
      and (%(replace)s and t.site_id <> l.site_id
           or (t.lifetime_earnings, t.lifetime_qualified_views, t.lifetime_seconds_viewed, t.views,
               t.three_second_views, t.one_minute_views, t.reactions, t.comments, t.shares, t.impressions, t.reach,
               t.saves, t.profile_visits, t.avg_watch_percentage, t.subscribers_gained, t.estimated_cpm,
               t.views_by_country, t.demographic_data, t.traffic_source, t.device_type, t.currency)
              is distinct from
              (coalesce(s.lifetime_earnings, case when not %(replace)s then t.lifetime_earnings end),
               coalesce(s.lifetime_qualified_views, case when not %(replace)s then t.lifetime_qualified_views end),
               coalesce(s.lifetime_seconds_viewed, case when not %(replace)s then t.lifetime_seconds_viewed end),
               coalesce(s.views, case when not %(replace)s then t.views end),
               coalesce(s.three_second_views, case when not %(replace)s then t.three_second_views end),
               coalesce(s.one_minute_views, case when not %(replace)s then t.one_minute_views end),
               coalesce(s.reactions, case when not %(replace)s then t.reactions end),
               coalesce(s.comments, case when not %(replace)s then t.comments end),
               coalesce(s.shares, case when not %(replace)s then t.shares end),
               coalesce(s.impressions, case when not %(replace)s then t.impressions end),
               coalesce(s.reach, case when not %(replace)s then t.reach end),
               coalesce(s.saves, case when not %(replace)s then t.saves end),
               coalesce(s.profile_visits, case when not %(replace)s then t.profile_visits end),
               coalesce(s.avg_watch_percentage, case when not %(replace)s then t.avg_watch_percentage end),
               coalesce(s.subscribers_gained, case when not %(replace)s then t.subscribers_gained end),
               coalesce(s.estimated_cpm, case when not %(replace)s then t.estimated_cpm end),
               coalesce(s.views_by_country, case when not %(replace)s then t.views_by_country end),
               coalesce(s.demographic_data, case when not %(replace)s then t.demographic_data end),
               coalesce(s.traffic_source, case when not %(replace)s then t.traffic_source end),
               coalesce(s.device_type, case when not %(replace)s then t.device_type end),
               case when s.lifetime_earnings is null and t.lifetime_earnings is not null and not %(replace)s then t.currency
              else coalesce(s.currency, case when not %(replace)s then t.currency end) end)
           -- The cheap comparison first: most rows that are read again are the same in all.
           or t.raw_data <> s.raw and t.raw_data -> %(source)s::text is distinct from s.raw -> %(source)s::text
              and (%(replace)s or not coalesce(t.raw_data -> %(source)s::text, '{}') @> (s.raw -> %(source)s::text)))
    returning t.post_id, t.site_id, l.id as log_id
)
insert into touched
select c.post_id, c.site_id, c.log_id, to_jsonb(f) - '{id,post_id,snapshot_date,raw_data,layers}'::text[]
from changed c left join snapshots f on %(is_closed)s and f.post_id = c.post_id and f.snapshot_date = %(day)s

-- name: combine_snapshots
-- Rows of which several sources tell: the layer of this source is changed or taken back, and the row is what the layers say,
-- one over the other in the order of the sources.
with told as (
    select t.post_id, t.layers is null as is_new, s.post_id is not null as staged, known_metrics(to_jsonb(s)) as said, s.raw, l.id as log_id,
           coalesce(t.layers, jsonb_build_object(t.data_source, known_metrics(to_jsonb(t)))) as layers, t.raw_data
    from snapshots t
    left join staging s using (post_id)
    left join staged_logs l using (platform, page_id, file_number)
    where t.snapshot_date = %(day)s and (t.layers is not null or t.data_source <> %(source)s::data_source)
      and (s.post_id is not null or %(replace)s and t.layers ? %(source)s::text
           and (%(only_site)s::uuid is null or t.site_id = %(only_site)s))
), layered as (
    select post_id, log_id,
           case when not staged then layers - %(source)s::text
                when %(replace)s then layers || jsonb_build_object(%(source)s::text, said)
                else layers || jsonb_build_object(%(source)s::text, overlay_metrics(coalesce(layers -> %(source)s::text, '{}'), said))
           end as layers,
           case when not staged then raw_data - %(source)s::text
                when %(replace)s then raw_data || raw
                else raw_data || jsonb_build_object(
                    %(source)s::text, coalesce(raw_data -> %(source)s::text, '{}') || (raw -> %(source)s::text))
           end as raw_data
    from told
), folded as (
    select l.post_id, l.log_id, l.raw_data, f.data_source, case when f.sources > 1 then l.layers end as layers, m.*
    from layered l
    cross join lateral (
        select overlay_metrics(value order by key::data_source) as metrics, max(key::data_source) as data_source, count(*) as sources
        from jsonb_each(l.layers)
    ) as f
    cross join lateral (
        select lifetime_earnings, lifetime_qualified_views, lifetime_seconds_viewed, views, three_second_views, one_minute_views,
               reactions, comments, shares, impressions, reach, saves, profile_visits, avg_watch_percentage, subscribers_gained,
               estimated_cpm, views_by_country, demographic_data, traffic_source, device_type, currency
        from jsonb_populate_record(null::snapshots, f.metrics)
    ) as m
), changed as (
    update snapshots t
    set (lifetime_earnings, lifetime_qualified_views, lifetime_seconds_viewed, views, three_second_views, one_minute_views,
         reactions, comments, shares, impressions, reach, saves, profile_visits, avg_watch_percentage, subscribers_gained,
         estimated_cpm, views_by_country, demographic_data, traffic_source, device_type, currency, raw_data, layers, data_source,
         sync_log_id, observed_at)
      = (f.lifetime_earnings, f.lifetime_qualified_views, f.lifetime_seconds_viewed, f.views, f.three_second_views,
         f.one_minute_views, f.reactions, f.comments, f.shares, f.impressions, f.reach, f.saves, f.profile_visits,
         f.avg_watch_percentage, f.subscribers_gained, f.estimated_cpm, f.views_by_country, f.demographic_data, f.traffic_source,
         f.device_type, f.currency, f.raw_data, f.layers, f.data_source,
         case when f.data_source = %(source)s::data_source then f.log_id else t.sync_log_id end,
         case when f.data_source = %(source)s::data_source then %(observed_at)s else t.observed_at end)
    from folded f
    where t.post_id = f.post_id and t.snapshot_date = %(day)s
      and (t.layers, t.raw_data) is distinct from (f.layers, f.raw_data)
    returning t.post_id, t.site_id, f.log_id
)
insert into touched
select c.post_id, c.site_id, c.log_id, to_jsonb(f) - '{id,post_id,snapshot_date,raw_data,layers}'::text[]
from changed c left join snapshots f on %(is_closed)s and f.post_id = c.post_id and f.snapshot_date = %(day)s

-- name: withdraw_snapshots
-- When a day is rebuilt: the posts that no file of the day has any more. What other sources tell of them stays.
with gone as (
    select t.post_id, t.site_id, t.layers is null as alone,
           case when %(is_closed)s then to_jsonb(t) - '{id,post_id,snapshot_date,raw_data,layers}'::text[] end as former
    from snapshots t
    where t.snapshot_date = %(day)s
      and (t.data_source = %(source)s::data_source and t.layers is null or t.layers ? %(source)s::text)
      and (%(only_site)s::uuid is null or t.site_id = %(only_site)s)
      and not exists (select from staging s where s.post_id = t.post_id)
), deleted as (
    delete from snapshots t using gone g where g.alone and t.post_id = g.post_id and t.snapshot_date = %(day)s
), changed as (
    insert into version_changes (post_id, attributes, former)
    select g.post_id, null, v.attributes
    from gone g
    cross join lateral (
        select attributes
        from post_versions v
        where v.post_id = g.post_id and v.data_source = %(source)s::data_source and v.observed_from <= %(day)s
        order by v.observed_from desc
        limit 1
    ) as v
)
insert into touched select post_id, site_id, %(log_id)s, former, true from gone where alone

-- name: write_sync_logs
insert into sync_logs (id, site_id, sync_type, status, snapshot_date, csv_file_id, started_at, completed_at, records_processed)
select l.id, l.site_id, 'full', 'completed', %(day)s, (%(file_ids)s::uuid[])[l.file_number], %(started_at)s, %(now)s, l.rows
from staged_logs l
where %(log_id)s::uuid is null

-- name: report_sites
-- What the capture did, per site.
select s.name as site, s.platform, coalesce(l.rows, 0)::bigint as rows, coalesce(t.rows, 0) as changed,
       l.views, l.earnings, l.currency
from staged_sites d
join sites s on s.id = d.site_id
left join (
    select site_id, sum(rows) as rows, sum(views) as views, sum(earnings) as earnings, max(currency) as currency
    from staged_logs group by site_id
) as l on l.site_id = d.site_id
left join (select site_id, count(*) as rows from touched group by site_id) as t on t.site_id = d.site_id
order by s.platform, s.name

-- name: preview
-- A few rows of the day, those with most views.
select s.post_id, p.page_name as page, left(p.title, 60) as title, s.views, s.reactions, s.comments, s.shares,
       s.lifetime_earnings, s.currency
from snapshots s join posts p using (post_id)
where s.snapshot_date = %(day)s
order by s.views desc nulls last, s.post_id
limit 10

-- name: count_day
select count(*) as rows from snapshots where snapshot_date = %(day)s and raw_data ? %(source)s::text
