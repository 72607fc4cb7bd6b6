-- Sites and their settings.

-- name: with_settings
select s.id, s.platform, s.platform_id, s.name, s.platform_username, s.sync_status, s.last_sync_at,
       coalesce(jsonb_object_agg(t.setting_key, t.setting_value) filter (where t.setting_key is not null), '{}') as settings,
       (select count(*) from posts where site_id = s.id) as posts,
       (select min(snapshot_date) from snapshots where site_id = s.id) as first_day,
       (select max(snapshot_date) from snapshots where site_id = s.id) as last_day
from sites s left join site_settings t on t.site_id = s.id
group by s.id
order by s.platform, s.name

-- name: find
-- By id, name, or the platform's id or username.
select id, name, platform, platform_id
from sites
where %(site)s in (id::text, name, platform_id, platform_username)
order by name

-- name: add
insert into sites (name, platform, platform_id, platform_username)
values (%(name)s, %(platform)s, %(platform_id)s, %(username)s)
on conflict (platform, platform_id) do nothing
returning id

-- name: set_status
update sites set sync_status = %(status)s, updated_at = %(now)s where id = %(site_id)s

-- name: put_setting
insert into site_settings (site_id, setting_key, setting_value, setting_type, created_at, updated_at)
values (%(site_id)s, %(key)s, %(value)s, %(type)s, %(now)s, %(now)s)
on conflict (site_id, setting_key) do update
set setting_value = excluded.setting_value, setting_type = excluded.setting_type, updated_at = excluded.updated_at

-- name: opening_days
-- The days on which earnings of the site's posts were seen for the first time.
select distinct d.period_start as day
from posts p join deltas d using (post_id)
where p.site_id = %(site_id)s and d.period = 'daily' and d.currency is not null and d.earnings_from_date is null
