-- What capturing the platforms needs: readings that can be resumed and repeated, metrics that were retired, posts missed.

-- A reading is one pass over a site for a day. A capture that was cut off, or that could not end, is continued by another
-- log of the same reading; read_at is the moment for which all of them ask.
alter table sync_logs
    add column reading_id uuid,
    add column read_at timestamptz,
    add column scope text,
    add column requests integer not null default 0;
create index on sync_logs (reading_id);

-- The answers that a reading has got so far, as they came. From these it is resumed without asking twice, and its day can
-- be read again after a mapping was corrected.
create table captured_answers (
    reading_id uuid not null,
    request_digest text not null,
    request text not null,
    status integer not null,
    body text not null,
    received_at timestamptz not null,
    primary key (reading_id, request_digest)
);
create index on captured_answers (received_at);

-- Metrics that a platform refuses for a kind of post: not asked for again until the row is deleted.
create table retired_metrics (
    platform platform not null,
    metric text not null,
    media text not null,
    message text not null,
    noticed_at timestamptz not null,
    primary key (platform, metric, media)
);

-- Posts that full listings have lacked: evidence on the way from absent to removed.
create table post_absences (
    post_id text primary key references posts on delete cascade,
    missed integer not null default 1,
    first_missed date not null,
    last_missed date not null
);
