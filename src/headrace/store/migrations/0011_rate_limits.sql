-- Rate limits and budgets.

-- A bucket for each limit, or for each limit and tenant (tenant '' is shared by all). What is left
-- was left at `at`, and is refilled since, up to the bucket's size; below zero it is what callers
-- were promised who wait in place. Where `at` is ahead, the bucket is held back until then.
-- `line_*_at` is when the last of those who were sent away has its turn. `saved_tokens` are kept for
-- a call that is too large to wait in place: smaller ones leave them alone until `saved_until`.
-- The numbers are those that code used last.
create table headrace.rate_limits (
    name text collate "C" not null,
    tenant text collate "C" not null,
    requests_left float8 not null,
    tokens_left float8 not null,
    at timestamptz not null,
    line_requests_at timestamptz not null,
    line_tokens_at timestamptz not null,
    saved_tokens float8 not null default 0,
    saved_until timestamptz not null default 'epoch',
    requests float8 not null,
    tokens float8,
    per_s float8 not null,
    burst_s float8 not null,
    concurrent integer,
    primary key (name, tenant)
) with (fillfactor = 50);

-- What operators set in place of the code's numbers; null leaves that number to the code. Tenant ''
-- holds for all tenants without a row of their own.
create table headrace.rate_limit_settings (
    name text collate "C" not null,
    tenant text collate "C" not null,
    requests float8,
    tokens float8,
    per_s float8,
    burst_s float8,
    concurrent integer,
    set_by text not null,
    reason text,
    set_at timestamptz not null default headrace.now(),
    primary key (name, tenant),
    constraint rate_limit_settings_numbers check (
        requests > 0 and tokens > 0 and per_s > 0 and burst_s > 0 and concurrent > 0
    )
);

-- Slots of limits on calls at a time, numbered from 1. A row counts while its worker is alive;
-- without a worker until `expires_at`. `holder` tells two takings of a slot apart.
create sequence headrace.slot_holders;
create table headrace.rate_slots (
    name text collate "C" not null,
    tenant text collate "C" not null,
    slot integer not null,
    holder bigint not null default nextval('headrace.slot_holders'),
    worker integer,
    job uuid,
    taken_at timestamptz not null default headrace.now(),
    expires_at timestamptz,
    primary key (name, tenant, slot),
    constraint rate_slots_life check ((worker is null) = (expires_at is not null))
);

-- What was spent in each window of a budget: a tenant's day in UTC, or a job. The limits are those
-- that held when it was last asked for.
create table headrace.budgets (
    name text collate "C" not null,
    tenant text collate "C" not null,
    per text collate "C" not null,
    key text collate "C" not null,
    starts_at timestamptz not null,
    ends_at timestamptz,
    tokens numeric not null default 0,
    money numeric not null default 0,
    tokens_limit numeric,
    money_limit numeric,
    warned_at timestamptz,
    exhausted_at timestamptz,
    primary key (name, tenant, key),
    constraint budgets_per check (per in ('day', 'job')),
    constraint budgets_spent check (tokens >= 0 and money >= 0)
) with (fillfactor = 70);

create index budgets_start on headrace.budgets (starts_at);

-- As rate_limit_settings.
create table headrace.budget_settings (
    name text collate "C" not null,
    tenant text collate "C" not null,
    tokens numeric,
    money numeric,
    set_by text not null,
    reason text,
    set_at timestamptz not null default headrace.now(),
    primary key (name, tenant),
    constraint budget_settings_numbers check (tokens >= 0 and money >= 0)
);
