-- What artists earn: rates by date, lines by month, statements closed for ever.

create type royalty_line_kind as enum ('accrual', 'adjustment');

create table royalty_rates (
    id uuid primary key default gen_random_uuid(),
    artist_id uuid not null references artists,
    rate_pct numeric(7, 4) not null constraint rate_is_percentage check (rate_pct between 0 and 100),
    effective_from date not null,
    created_at timestamptz not null default now(),
    unique (artist_id, effective_from)
);

-- A row is a closed statement: it never changes. A correction is a higher version or an adjustment line of a later month.
create table royalty_statements (
    id uuid primary key default gen_random_uuid(),
    artist_id uuid not null references artists,
    month date not null constraint month_is_first_day check (extract(day from month) = 1),
    currency text not null constraint currency_is_iso_4217 check (currency ~ '^[A-Z]{3}$'),
    version integer not null default 1,
    earnings numeric(20, 6) not null,
    artist_share numeric(30, 12) not null,
    payable numeric(20, 6) not null,
    closed_at timestamptz not null,
    closed_by uuid references users,
    unique (artist_id, month, currency, version)
);

-- One line per post, month, currency, artist and rate. A line without artist, or without a rate in force, is in suspense.
create table royalty_lines (
    id uuid primary key default gen_random_uuid(),
    month date not null constraint month_is_first_day check (extract(day from month) = 1),
    kind royalty_line_kind not null default 'accrual',
    statement_id uuid references royalty_statements,
    post_id text not null references posts,
    artist_id uuid references artists,
    currency text not null constraint currency_is_iso_4217 check (currency ~ '^[A-Z]{3}$'),
    rate_pct numeric(7, 4),
    earnings numeric(20, 6) not null,
    artist_share numeric(30, 12) not null,
    house_share numeric(30, 12) not null,
    suspense numeric(30, 12) not null,
    computed_at timestamptz not null default now(),
    constraint shares_add_up check (artist_share + house_share + suspense = earnings),
    constraint suspense_is_all_or_nothing check (
        case when artist_id is null or rate_pct is null then suspense = earnings and artist_share = 0 else suspense = 0 end
    )
);
create unique index royalty_lines_accrual_key on royalty_lines (month, post_id, artist_id, currency, rate_pct)
    nulls not distinct where kind = 'accrual';
create index on royalty_lines (artist_id, month);
create index on royalty_lines (statement_id);
create index on royalty_lines (post_id);
