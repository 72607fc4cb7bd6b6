-- Who publishes what: users, sites, artists, posts, and how their attributes changed.
-- Also the two helpers that everything later stands on: monthly partitions and the folding of jsonb.

create type platform as enum ('facebook', 'instagram', 'youtube', 'tiktok', 'twitter', 'threads');
-- In order of precedence: a later one overwrites an earlier one, an earlier one only fills what is unknown.
create type data_source as enum ('csv', 'facebook', 'instagram', 'youtube', 'tiktok', 'twitter', 'threads');
create type site_sync_status as enum ('active', 'paused', 'error', 'disconnected');
create type post_type as enum ('Video', 'Reel', 'Photo', 'Text', 'Link', 'Status');
create type post_status as enum ('live', 'removed');
create type privacy_status as enum ('public', 'private', 'unlisted');
create type artist_status as enum ('active', 'inactive');
create type user_role as enum ('super_admin', 'admin', 'editor', 'analyst', 'api_user', 'artist');
create type setting_type as enum ('boolean', 'string', 'number', 'json');

-- Folds objects in the given order: for each key the last known value wins.
create aggregate jsonb_merge(jsonb) (sfunc = jsonb_concat, stype = jsonb, initcond = '{}');

-- Of a row as an object, the counters and money that are known.
create function known_metrics(record jsonb) returns jsonb language sql immutable as $$
    select coalesce(jsonb_object_agg(key, value), '{}')
    from jsonb_each(record)
    where value <> 'null' and key in (
        'lifetime_earnings', 'lifetime_qualified_views', 'lifetime_seconds_viewed', 'views', 'three_second_views',
        'one_minute_views', 'reactions', 'comments', 'shares', 'impressions', 'reach', 'saves', 'profile_visits',
        'avg_watch_percentage', 'subscribers_gained', 'estimated_cpm', 'views_by_country', 'demographic_data',
        'traffic_source', 'device_type', 'currency')
$$;

-- What is told over what was known. The currency is that of the earnings: a price in another one never renames them.
create function overlay_metrics(known jsonb, told jsonb) returns jsonb language sql immutable as $$
    select known || case when known ? 'lifetime_earnings' and not told ? 'lifetime_earnings' then told - 'currency' else told end
$$;
create aggregate overlay_metrics(jsonb) (sfunc = overlay_metrics, stype = jsonb, initcond = '{}');

-- Makes the monthly partitions of a table from the month of first_day to that of last_day, without a hole between
-- them and the partitions that exist, and returns how many were made. Rows that had fallen into the default
-- partition move to where they belong. Call it in a short transaction of its own: it locks the default partition.
create function ensure_partitions(parent regclass, first_day date, last_day date) returns integer
language plpgsql set timezone to 'UTC' as $$
declare
    column_name text := substring(pg_get_partkeydef(parent) from '\((.*)\)');
    columns text;
    child text;
    referenced regclass;
    day date;
    made integer := 0;
begin
    select least(first_day, min(to_date(right(c.relname, 7), 'YYYY_MM'))),
           greatest(last_day, max(to_date(right(c.relname, 7), 'YYYY_MM')))
    into first_day, last_day
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = parent and c.relname ~ '_\d{4}_\d{2}$';
    for day in select generate_series(date_trunc('month', first_day), last_day, interval '1 month')::date loop
        child := format('%s_%s', parent, to_char(day, 'YYYY_MM'));
        continue when to_regclass(child) is not null;
        -- First the tables that the parent refers to, which attaching locks too, in the order in which they are written.
        for referenced in
            select distinct confrelid::regclass from pg_constraint where conrelid = parent and contype = 'f' order by 1
        loop
            execute format('lock table %s in share row exclusive mode', referenced);
        end loop;
        -- After a wait for a table lock, unlike an advisory lock, to_regclass sees what another session has made.
        execute format('lock table %s_default in access exclusive mode', parent);
        continue when to_regclass(child) is not null;
        select string_agg(quote_ident(attname), ', ' order by attnum) into columns
        from pg_attribute where attrelid = parent and attnum > 0 and not attisdropped and attgenerated = '';
        execute format('create table %I (like %s including defaults including constraints including generated)', child, parent);
        execute format(
            'with moved as (delete from %1$s_default where %2$I >= %3$L and %2$I < %4$L returning %5$s) insert into %6$I (%5$s) select %5$s from moved',
            parent, column_name, day, day + interval '1 month', columns, child);
        execute format('alter table %s attach partition %I for values from (%L) to (%L)', parent, child, day, day + interval '1 month');
        made := made + 1;
    end loop;
    return made;
end $$;

-- Tells the planner of the many rows that a day has just got in its month's partition: until then it believes that there
-- are none, and joins them row by row. Only the columns by which rows are found.
create function analyze_partition(parent regclass, day date, columns text[]) returns void
language plpgsql as $$
declare
    child text := format('%s_%s', parent, to_char(day, 'YYYY_MM'));
begin
    if to_regclass(child) is not null then
        execute format('analyze %I (%s)', child, array_to_string(columns, ', '));
    end if;
end $$;

create table artists (
    id uuid primary key default gen_random_uuid(),
    name text not null unique,
    email text,
    royalty_rate numeric(7, 4) constraint royalty_rate_is_percentage check (royalty_rate between 0 and 100),
    status artist_status not null default 'active',
    notes text,
    social_media_handles jsonb not null default '{}',
    primary_platform platform,
    verified_platforms jsonb not null default '[]',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table users (
    id uuid primary key default gen_random_uuid(),
    username text not null unique,
    email text not null unique,
    password text not null,
    role user_role not null default 'analyst',
    artist_id uuid references artists,
    is_active boolean not null default true,
    last_login timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint artist_users_have_artist check (role <> 'artist' or artist_id is not null)
);
create index on users (artist_id);

create table sites (
    id uuid primary key default gen_random_uuid(),
    name text not null,
    platform platform not null,
    platform_id text not null,
    platform_user_id text,
    platform_username text,
    access_token text,
    refresh_token text,
    token_expiry timestamptz,
    scope text,
    webhook_url text,
    webhook_secret text,
    business_account_id text,
    follower_count bigint,
    profile_image_url text,
    cover_image_url text,
    bio text,
    api_quota integer,
    api_quota_reset timestamptz,
    sync_status site_sync_status not null default 'active',
    last_sync_at timestamptz,
    stats jsonb not null default '{}',
    added_by uuid references users,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (platform, platform_id)
);
create index on sites (sync_status);
create index on sites (added_by);

create table site_settings (
    id uuid primary key default gen_random_uuid(),
    site_id uuid not null references sites on delete cascade,
    setting_key text not null,
    setting_value text,
    setting_type setting_type not null default 'string',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (site_id, setting_key)
);

create table posts (
    post_id text primary key,
    asset_tag text,
    title text,
    description text,
    post_type post_type,
    publish_time timestamptz,
    duration integer,
    permalink text,
    page_id text,
    page_name text,
    status post_status not null default 'live',
    platform platform not null,
    data_source data_source not null,
    site_id uuid references sites,
    thumbnail_url text,
    video_url text,
    aspect_ratio text,
    resolution text,
    hashtags jsonb not null default '[]',
    mentions jsonb not null default '[]',
    crossposting_status jsonb,
    original_platform platform,
    monetization_status text,
    restricted_countries jsonb,
    content_category text,
    audio_copyright jsonb,
    privacy_status privacy_status,
    parent_post_id text references posts deferrable initially deferred,
    previous_iteration_id text references posts deferrable initially deferred,
    iteration integer not null default 1,
    artist_id uuid references artists,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint post_id_names_platform check (starts_with(post_id, platform::text || '_')),
    constraint duration_is_not_negative check (duration >= 0),
    constraint parent_is_another_post check (parent_post_id <> post_id),
    constraint previous_iteration_is_another_post check (previous_iteration_id <> post_id)
);
create index on posts (asset_tag) where asset_tag is not null;
create index on posts (status);
create index on posts (publish_time);
create index on posts (artist_id);
create index on posts (platform);
create index on posts (site_id);
create index on posts (monetization_status) where monetization_status is not null;
create index on posts (privacy_status) where privacy_status is not null;
create index on posts (original_platform) where original_platform is not null;
create index on posts (parent_post_id) where parent_post_id is not null;
create index on posts (previous_iteration_id) where previous_iteration_id is not null;
create index on posts using gin (hashtags);
create index on posts using gin (mentions);

-- A post's attributes as each source told them, one row where they changed: valid from this capture day until the next
-- row. posts is the fold of these rows, so that files may arrive in any order and end in the same posts.
create table post_versions (
    post_id text not null references posts on delete cascade,
    data_source data_source not null,
    observed_from date not null,
    attributes jsonb not null,
    primary key (post_id, data_source, observed_from)
);
create index post_versions_parent_idx on post_versions ((attributes ->> 'parent_post_id')) where attributes ? 'parent_post_id';

-- Which artist a post belongs to, by the asset tag it bears or by name. Resolved into posts.artist_id.
create table artist_assignments (
    id uuid primary key default gen_random_uuid(),
    artist_id uuid not null references artists,
    asset_tag text unique,
    post_id text unique,
    created_at timestamptz not null default now(),
    constraint assignment_is_by_tag_or_by_post check (num_nonnulls(asset_tag, post_id) = 1)
);
create index on artist_assignments (artist_id);
