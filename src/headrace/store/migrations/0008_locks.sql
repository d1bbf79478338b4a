-- Locks that steps hold, and the evidence of who held what when.
--
-- A row outlives its holder for a day: the next token is drawn under the row's own lock, so tokens
-- of a key grow whoever takes it, also after a release. A grant changes a column of a unique index,
-- which takes the strongest lock of the row: it waits for transactions that were verified under the
-- token before (`for key share`), while renewals and releases pass them.

-- The engine's clock at this very moment, not at the statement's start.
create function headrace.moment() returns timestamptz
language sql volatile parallel safe
return headrace.now() + (clock_timestamp() - statement_timestamp());

create table headrace.locks (
    tenant text collate "C" not null,
    key text collate "C" not null,
    token bigint not null,
    -- The process and a random part: whoever asks again after a lost reply is known by it.
    holder text not null,
    -- The lock is void when this worker is not alive; null where only time ends it.
    worker integer,
    job uuid,
    step text,
    reason text,
    acquired_at timestamptz not null,
    expires_at timestamptz not null,
    released_at timestamptz,
    primary key (tenant, key),
    constraint locks_token unique (token)
) with (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000
);

create index locks_held on headrace.locks (worker) where released_at is null;
create index locks_released on headrace.locks (released_at) where released_at is not null;

-- How each grant began and ended, by the engine's clock.
create table headrace.lock_grants (
    token bigint not null,
    change text collate "C" not null,
    tenant text collate "C" not null,
    key text collate "C" not null,
    at timestamptz not null,
    holder text,
    worker integer,
    job uuid,
    actor text,
    reason text,
    primary key (token, change),
    -- `expired`: not renewed in time. `superseded`: its worker is gone, or its holder took it anew.
    constraint lock_grants_change check (
        change in ('granted', 'released', 'expired', 'superseded', 'forced')
    )
);

create trigger lock_grants_evidence before update or delete on headrace.lock_grants
for each statement execute function headrace.refuse_change();
