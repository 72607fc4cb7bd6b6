-- History that is complete and means one thing: days that are missing, and metrics whose definition changed.

-- missing -> repairable (a platform or a file can tell it) -> requested -> repaired; or lost: nobody can tell it any more.
create type gap_state as enum ('repairable', 'requested', 'repaired', 'lost');

create table capture_gaps (
    site_id uuid not null references sites on delete cascade,
    day date not null,
    state gap_state not null,
    reason text not null,
    attempts integer not null default 0,
    noticed_at timestamptz not null,
    requested_at timestamptz,
    ended_at timestamptz,
    primary key (site_id, day),
    constraint ended_gaps_say_when check ((state in ('repaired', 'lost')) = (ended_at is not null)),
    constraint requested_gaps_say_when check (state <> 'requested' or requested_at is not null)
);
create index on capture_gaps (state, day);

-- From which day on a platform's metric means something else than before: deltas do not cross that day.
create table definition_breaks (
    platform platform not null,
    metric text not null,
    first_day date not null,
    reason text not null,
    primary key (platform, metric, first_day)
);

alter table deltas add column breaks text[];
