-- Operations that are done once for a whole tenant.

-- One row for each key of a tenant, from the beginning of its operation until its outcome is out of
-- date. Whoever inserts the row, or takes it over from a holder that is gone, carries it out.
create table headrace.operations (
    tenant text collate "C" not null,
    key text collate "C" not null,
    -- The function, and a hash of what it was called with: the key is theirs alone.
    operation text collate "C" not null,
    input_hash bytea not null,
    state text not null default 'pending',
    -- Of each holder another number: `holder` is known before the row is written, so that a lost
    -- answer can be read back, and `token` grows, so that an earlier holder's outcome is refused.
    holder uuid not null,
    token bigint not null,
    takeovers smallint not null default 0,
    -- Who carries it out; null for what is not done by a job, or not in a worker.
    job uuid,
    job_token bigint,
    run integer,
    step text,
    item text,
    worker integer,
    -- Somebody waits for the outcome: ring for it.
    awaited boolean not null default false,
    output text,
    artifact json,
    error json,
    created_at timestamptz not null,
    renewed_at timestamptz not null,
    completed_at timestamptz,
    expires_at timestamptz,
    primary key (tenant, key),
    constraint operations_state check (state in ('pending', 'completed', 'failed')),
    constraint operations_ended check (
        (state = 'pending') = (completed_at is null)
        and (completed_at is null) = (expires_at is null)
    ),
    constraint operations_outcome check (
        (state = 'failed') = (error is not null)
        and (state = 'completed') = (num_nonnulls(output, artifact) = 1)
    )
);

create sequence headrace.operation_tokens;

-- What is out of date; what nobody has ended.
create index operations_expiry on headrace.operations (expires_at) where expires_at is not null;
create index operations_pending on headrace.operations (renewed_at) where state = 'pending';
create index operations_job on headrace.operations (job) where job is not null;
