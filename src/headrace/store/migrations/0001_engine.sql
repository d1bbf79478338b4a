-- The engine's tables. PostgreSQL is the only truth: what is not a row here did not happen.
--
-- A job is one row of `jobs`. While its state is `queued` it also has one narrow row in `queued`,
-- which is all that a claim reads and deletes; while it is `running` its id stands in one row of
-- `claims`, a row for each batch. No index of `jobs` covers a column that a claim or a finish
-- changes, so both are heap-only updates that touch no index (docs/adr/0001-queued-rows.md).
-- There are no foreign keys between these tables: every write locks the job's row first.

create sequence headrace.tokens as bigint;
create sequence headrace.worker_ids as integer;

-- The only clock that due and expiry comparisons read. Tests replace it to move time.
create function headrace.now() returns timestamptz
language sql stable parallel safe
return statement_timestamp();

-- Changes whenever the server may have lost its advisory locks: at a clean start, and at the crash
-- restart that leaves the postmaster's start time alone but discards the statistics.
create function headrace.incarnation() returns timestamptz
language sql stable
return greatest(
    pg_postmaster_start_time(),
    (select stats_reset from pg_stat_bgwriter)
);

-- The smallest id that a job of this time can have: version 7 ids begin with milliseconds.
create function headrace.first_id(at timestamptz) returns uuid
language sql stable strict parallel safe
return rpad(lpad(to_hex((1000 * extract(epoch from at))::bigint), 12, '0'), 32, '0')::uuid;

create function headrace.refuse_transition() returns trigger
language plpgsql as $$
begin
    raise exception 'job % cannot go from % (run %) to % (run %)',
        old.id, old.state, old.run, new.state, new.run
        using errcode = 'check_violation';
end $$;

create function headrace.refuse_change() returns trigger
language plpgsql as $$
begin
    if tg_op = 'DELETE' and current_setting('headrace.retention', true) = 'on' then
        return null;
    end if;
    raise exception '% refuses %: its rows are evidence', tg_table_name, lower(tg_op)
        using errcode = 'check_violation';
end $$;

create table headrace.pipelines (
    name text collate "C" not null,
    version text collate "C" not null,
    hash text not null,
    definition json not null,
    registered_at timestamptz not null default clock_timestamp(),
    primary key (name, version)
);

-- What a claim asks for: one small number stands for a queue, a pipeline and a version.
create table headrace.lanes (
    id integer generated always as identity primary key,
    queue text collate "C" not null,
    pipeline text collate "C" not null,
    version text collate "C" not null,
    constraint lanes_once unique (queue, pipeline, version)
);

create table headrace.queues (
    name text collate "C" primary key,
    paused_at timestamptz,
    paused_by text,
    pause_reason text,
    created_at timestamptz not null default clock_timestamp()
);

create table headrace.workers (
    id integer primary key default nextval('headrace.worker_ids'),
    host text not null,
    pid integer not null,
    version text not null,
    queues text[] not null,
    carries json not null,
    lanes integer[] not null default '{}',
    concurrency integer not null,
    running integer not null default 0,
    presence boolean not null default false,
    incarnation timestamptz,
    started_at timestamptz not null default clock_timestamp(),
    heartbeat_at timestamptz not null,
    expires_at timestamptz not null,
    draining_at timestamptz,
    lost_at timestamptz,
    stopped_at timestamptz
) with (fillfactor = 50);

create table headrace.jobs (
    id uuid primary key,
    lane integer not null,
    tenant text collate "C" not null,
    owner text collate "C" not null,
    state text collate "C" not null default 'queued',
    priority smallint not null,
    due_at timestamptz not null,
    rank timestamptz not null,
    wait_reason text collate "C" not null,
    run integer not null default 1,
    seq integer not null default 1,
    token bigint,
    worker integer,
    lease_losses smallint not null default 0,
    suspicion smallint not null default 0,
    cancel_requested_at timestamptz,
    cancel_requested_by text,
    cancel_reason text,
    deadline timestamptz,
    preset text,
    parameters json,
    metadata json,
    correlation_id text,
    idempotency_key text collate "C",
    parent_job uuid,
    input json not null,
    result_step text collate "C",
    cause text,
    error json,
    ran_ms bigint not null default 0,
    waited_ms bigint not null default 0,
    created_at timestamptz not null default clock_timestamp(),
    started_at timestamptz,
    claimed_at timestamptz,
    finished_at timestamptz,
    constraint jobs_state check (state in ('queued', 'running', 'completed', 'failed', 'cancelled')),
    constraint jobs_worker_iff_running check ((state = 'running') = (worker is not null)),
    constraint jobs_finished_iff_terminal check (
        (state in ('completed', 'failed', 'cancelled')) = (finished_at is not null)
    ),
    constraint jobs_cause_iff_failed check ((state = 'failed') = (cause is not null)),
    constraint jobs_priority check (priority between 0 and 9),
    constraint jobs_run check (run >= 1)
) with (
    -- Room for the two later versions of a row in its own page: claims and finishes stay heap-only.
    -- At 45 the last version of each twelfth row had no room: it went to another page, through all
    -- indexes.
    fillfactor = 40,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.05
);

create index jobs_listing on headrace.jobs (tenant, owner, id);
create unique index jobs_idempotency on headrace.jobs (tenant, owner, idempotency_key)
where idempotency_key is not null;
create index jobs_parent on headrace.jobs (parent_job) where parent_job is not null;
create index jobs_correlation on headrace.jobs (correlation_id) where correlation_id is not null;

create trigger jobs_transition before update on headrace.jobs
for each row when (
    old.state is distinct from new.state
    and not (
        (old.state, new.state) in (
            ('queued', 'running'), ('queued', 'failed'), ('queued', 'cancelled'),
            ('running', 'completed'), ('running', 'failed'), ('running', 'cancelled'),
            ('running', 'queued')
        )
        or (
            (old.state, new.state) in (
                ('completed', 'queued'), ('failed', 'queued'), ('cancelled', 'queued')
            )
            and new.run = old.run + 1
        )
    )
)
execute function headrace.refuse_transition();

-- One narrow row for each queued job. A claim deletes it; only `ready` rows are in the claim's index.
create table headrace.queued (
    job uuid not null,
    lane integer not null,
    suspect boolean not null default false,
    ready boolean not null,
    rank timestamptz not null,
    due_at timestamptz not null,
    deadline timestamptz
) with (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.05
);

create index queued_ready on headrace.queued (lane, suspect, rank, job) where ready;
create index queued_due on headrace.queued (due_at) where not ready;
create index queued_deadline on headrace.queued (deadline) where deadline is not null;

-- The jobs that each claim took. The worker deletes a row when all of them have left its hands;
-- a dead worker's rows tell which jobs to recover.
create table headrace.claims (
    token bigint primary key,
    worker integer not null,
    jobs uuid[] not null,
    claimed_at timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
-- A hundred random ids do not compress: trying costs more than writing them.
alter table headrace.claims alter column jobs set storage external;

create table headrace.steps (
    job uuid not null,
    run integer not null,
    step text collate "C" not null,
    item text collate "C" not null,
    state text collate "C" not null,
    position integer not null,
    attempts smallint not null,
    worker integer not null,
    token bigint not null,
    latency_us bigint not null,
    finished_at timestamptz not null default clock_timestamp(),
    reused_from integer,
    output json,
    artifact json,
    reason text,
    primary key (job, run, step, item),
    -- `planned`: the keys and values of a fan-out, stored before its first item starts.
    constraint steps_state check (state in ('completed', 'skipped', 'planned'))
);

-- Checkpoints inside a step: what `once` stored.
create table headrace.records (
    job uuid not null,
    run integer not null,
    step text collate "C" not null,
    item text collate "C" not null,
    name text collate "C" not null,
    worker integer not null,
    token bigint not null,
    latency_us bigint not null,
    finished_at timestamptz not null default clock_timestamp(),
    output json,
    artifact json,
    primary key (job, run, step, item, name)
);

create table headrace.tries (
    job uuid not null,
    run integer not null,
    step text collate "C" not null,
    item text collate "C" not null,
    attempt integer not null,
    worker integer not null,
    token bigint not null,
    latency_us bigint not null,
    failed_at timestamptz not null default clock_timestamp(),
    class text not null,
    code text not null,
    message text not null,
    detail text,
    due_at timestamptz,
    primary key (job, run, step, item, attempt)
);

create table headrace.progress (
    job uuid not null,
    step text collate "C" not null,
    item text collate "C" not null,
    run integer not null,
    worker integer not null,
    token bigint not null,
    started_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    -- A start that was committed before the step ran: the evidence that finds a step that kills.
    recorded boolean not null default false,
    charges smallint not null default 0,
    done bigint,
    total bigint,
    note text,
    primary key (job, step, item)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

create table headrace.job_events (
    job uuid not null,
    seq integer not null,
    run integer not null,
    from_state text collate "C",
    to_state text collate "C" not null,
    reason text collate "C" not null,
    actor text,
    worker integer,
    token bigint,
    at timestamptz not null default clock_timestamp(),
    metadata json,
    primary key (job, seq)
);

create table headrace.dead_letters (
    job uuid not null,
    run integer not null,
    cause text not null,
    code text not null,
    message text not null,
    step text,
    item text,
    attempts integer not null default 0,
    failed_at timestamptz not null default clock_timestamp(),
    redriven_at timestamptz,
    redriven_by text,
    primary key (job, run)
);

create index dead_letters_newest on headrace.dead_letters (failed_at) where redriven_at is null;

-- A row is written before the bytes, so that bytes whose reference was never committed are found.
create table headrace.artifacts (
    path text collate "C" primary key,
    job uuid not null,
    run integer not null,
    step text not null,
    item text not null,
    token bigint not null,
    bytes bigint not null,
    sha256 text not null,
    created_at timestamptz not null default clock_timestamp()
);

create index artifacts_job on headrace.artifacts (job);

-- Who does what one worker is to do at a time.
create table headrace.duties (
    name text collate "C" primary key,
    worker integer not null,
    expires_at timestamptz not null
);

create trigger job_events_evidence before update or delete on headrace.job_events
for each statement execute function headrace.refuse_change();
create trigger steps_evidence before update or delete on headrace.steps
for each statement execute function headrace.refuse_change();
create trigger records_evidence before update or delete on headrace.records
for each statement execute function headrace.refuse_change();
create trigger tries_evidence before update or delete on headrace.tries
for each statement execute function headrace.refuse_change();

-- A job as people read it: the lane's words instead of its number.
create view headrace.job_list as
select
    job.id, lane.queue, lane.pipeline, lane.version, job.tenant, job.owner, job.state, job.priority,
    job.run, job.wait_reason, job.due_at, job.deadline, job.worker, job.token,
    job.lease_losses, job.suspicion, job.cancel_requested_at, job.cause, job.error, job.preset,
    job.parameters, job.metadata, job.correlation_id, job.idempotency_key, job.parent_job,
    job.input, job.result_step, job.created_at, job.started_at, job.claimed_at, job.finished_at
from headrace.jobs as job
join headrace.lanes as lane on lane.id = job.lane;
