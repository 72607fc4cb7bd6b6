-- Posts as the fold of their versions, the chains between them, and whose they are.
-- The statements work on the temporary table changed_posts (post_id), which the caller fills.

-- name: create_changed_posts
create temporary table if not exists changed_posts (
    post_id text primary key, publish_time timestamptz, is_new boolean not null
) on commit drop

-- name: collect_version_changes
insert into changed_posts
select c.post_id, p.publish_time, p.post_id is null
from version_changes c left join posts p using (post_id)

-- name: create_tag_groups
-- The chains of re-uploads that a change touches: one per site and asset tag. Filled before and after the posts change.
create temporary table if not exists tag_groups (
    site_id uuid not null, asset_tag text not null, primary key (site_id, asset_tag)
) on commit drop

-- name: forget_changed_posts
truncate changed_posts, tag_groups

-- name: collect_tag_groups
insert into tag_groups
select distinct site_id, asset_tag from posts join changed_posts using (post_id)
where asset_tag is not null and site_id is not null
on conflict do nothing

-- name: fold_versions
-- Of each attribute the last known value wins, and a source of higher rank over a lower one.
-- A parent that is not known yet is left out until it comes. New posts have been written as their one version says, which
-- is all but a parent. A post that was withdrawn from all days has no version and says nothing any more.
with folded as (
    select c.post_id, jsonb_merge(v.attributes order by v.data_source, v.observed_from) as attributes,
           max(v.data_source) as data_source
    from changed_posts c left join post_versions v using (post_id)
    where not c.is_new or v.attributes ? 'parent_post_id'
    group by c.post_id
), typed as (
    select f.post_id, coalesce(f.data_source, 'csv') as data_source, a.asset_tag, a.title, a.description, a.post_type, a.publish_time, a.duration, a.permalink,
           a.page_id, a.page_name, a.thumbnail_url, a.video_url, a.aspect_ratio, a.resolution,
           coalesce(a.hashtags, '[]') as hashtags, coalesce(a.mentions, '[]') as mentions, a.crossposting_status,
           a.original_platform, a.monetization_status, a.restricted_countries, a.content_category, a.audio_copyright,
           a.privacy_status,
           (select parent.post_id from posts parent
            where parent.post_id = a.parent_post_id and parent.post_id <> f.post_id
              and exists (select from post_versions v where v.post_id = parent.post_id)) as parent_post_id
    from folded f cross join lateral jsonb_populate_record(null::posts, f.attributes) as a
)
update posts p
set (asset_tag, title, description, post_type, publish_time, duration, permalink, page_id, page_name, thumbnail_url, video_url,
     aspect_ratio, resolution, hashtags, mentions, crossposting_status, original_platform, monetization_status,
     restricted_countries, content_category, audio_copyright, privacy_status, parent_post_id, data_source, updated_at)
  = (t.asset_tag, t.title, t.description, t.post_type, t.publish_time, t.duration, t.permalink, t.page_id, t.page_name,
     t.thumbnail_url, t.video_url, t.aspect_ratio, t.resolution, t.hashtags, t.mentions, t.crossposting_status,
     t.original_platform, t.monetization_status, t.restricted_countries, t.content_category, t.audio_copyright,
     t.privacy_status, t.parent_post_id, t.data_source, %(now)s)
from typed t
where p.post_id = t.post_id
  and (p.asset_tag, p.title, p.description, p.post_type, p.publish_time, p.duration, p.permalink, p.page_id, p.page_name,
       p.thumbnail_url, p.video_url, p.aspect_ratio, p.resolution, p.hashtags, p.mentions, p.crossposting_status,
       p.original_platform, p.monetization_status, p.restricted_countries, p.content_category, p.audio_copyright,
       p.privacy_status, p.parent_post_id, p.data_source)
      is distinct from
      (t.asset_tag, t.title, t.description, t.post_type, t.publish_time, t.duration, t.permalink, t.page_id, t.page_name,
       t.thumbnail_url, t.video_url, t.aspect_ratio, t.resolution, t.hashtags, t.mentions, t.crossposting_status,
       t.original_platform, t.monetization_status, t.restricted_countries, t.content_category, t.audio_copyright,
       t.privacy_status, t.parent_post_id, t.data_source)

-- name: add_children
-- Posts whose parent has come, has gone or has come back are changed too.
insert into changed_posts
select distinct v.post_id, p.publish_time, false
from changed_posts c
join post_versions v on v.attributes ->> 'parent_post_id' = c.post_id
join posts p on p.post_id = v.post_id
where v.attributes ? 'parent_post_id'
on conflict do nothing

-- name: link_iterations
-- A re-upload follows the post with the same tag on the same site that was published before it. A reel with a source video
-- is no re-upload, and a post without a publish time has no place in the order. Cycle-free because time is an order.
with members as (
    select post_id, site_id, asset_tag, publish_time, parent_post_id from posts where post_id in (select post_id from changed_posts)
    union
    select post_id, site_id, asset_tag, publish_time, parent_post_id from posts join tag_groups using (site_id, asset_tag)
), chains as (
    select post_id, lag(post_id) over chain as previous, row_number() over chain as iteration
    from members
    where asset_tag is not null and parent_post_id is null and publish_time is not null
    window chain as (partition by site_id, asset_tag order by publish_time, post_id)
)
update posts p
set previous_iteration_id = c.previous, iteration = coalesce(c.iteration, 1), updated_at = %(now)s
from members m left join chains c using (post_id)
where p.post_id = m.post_id
  and (p.previous_iteration_id, p.iteration) is distinct from (c.previous, coalesce(c.iteration, 1))

-- name: recurse_in_little_memory
-- The rows of a recursion are over-estimated by powers of ten, and PostgreSQL clears a hash table of that size, up to
-- work_mem, before it looks at the first row.
set local work_mem = '4MB'

-- name: resolve_artists
-- A post's artist: assigned to the post, else to its tag, else that of its parent, else that of the previous iteration.
-- Looks at the changed posts, the members of touched chains, and all that inherit from them. Posts on a cycle of parents
-- inherit nothing. Returns the posts whose artist changed.
with recursive affected (post_id) as (
    select p.post_id
    from changed_posts c join posts p using (post_id)
    where not c.is_new or p.asset_tag is not null or p.parent_post_id is not null
       or p.post_id in (select a.post_id from artist_assignments a where a.post_id is not null)
    union
    select post_id from posts join tag_groups using (site_id, asset_tag)
    union
    select heir.post_id
    from affected a
    cross join lateral (
        select post_id from posts where parent_post_id = a.post_id
        union all
        select post_id from posts where previous_iteration_id = a.post_id
    ) as heir
), own as (
    select p.post_id, coalesce(p.parent_post_id, p.previous_iteration_id) as heir_of,
           coalesce(by_post.artist_id, by_tag.artist_id) as artist_id
    from affected
    join posts p using (post_id)
    left join artist_assignments by_post on by_post.post_id = p.post_id
    left join artist_assignments by_tag on by_tag.asset_tag = p.asset_tag
), resolved (post_id, artist_id) as (
    select o.post_id, coalesce(o.artist_id, e.artist_id)
    from own o
    left join posts e on e.post_id = o.heir_of
    left join own also on also.post_id = o.heir_of
    where o.artist_id is not null or o.heir_of is null or also.post_id is null
    union all
    select o.post_id, r.artist_id
    from resolved r join own o on o.heir_of = r.post_id
    where o.artist_id is null
)
update posts p
set artist_id = r.artist_id, updated_at = %(now)s
from own o left join resolved r using (post_id)
where p.post_id = o.post_id and p.artist_id is distinct from r.artist_id
returning p.post_id

-- name: find_moved
-- A post belongs to the site of its first snapshot: those for which this is another one now. Only a snapshot that is new on
-- another site, or was removed, can have changed it.
select distinct p.post_id
from touched t
join posts p using (post_id)
cross join lateral (select site_id from snapshots s where s.post_id = t.post_id order by s.snapshot_date limit 1) as f
where (t.removed or t.site_id is distinct from p.site_id) and f.site_id is distinct from p.site_id

-- name: collect_moved
insert into changed_posts select post_id, publish_time, false from posts where post_id = any(%(posts)s)

-- name: move_to_first_site
update posts p
set site_id = (select site_id from snapshots s where s.post_id = p.post_id order by s.snapshot_date limit 1), updated_at = %(now)s
where p.post_id = any(%(posts)s)

-- name: republished
-- Known posts whose publish time is another one now: what counts as their first sight may have changed.
select c.post_id
from changed_posts c join posts p using (post_id)
where not c.is_new and p.publish_time is distinct from c.publish_time
