-- name: insert_job
-- Stores one job with its queue row and first event, in one round trip. Where the ring is given, one
-- notification goes with it in the same transaction.
-- $1 id, $2 input, $3 lane, $4 tenant, $5 owner, $6 priority, $7 due_at or null,
-- $8 head start of one priority point, $9 deadline, $10 preset, $11 parameters, $12 metadata,
-- $13 correlation id, $14 parent job, $15 actor, $16 queue to ring or null
with job as (
    insert into headrace.jobs (
        id, lane, tenant, owner, priority, due_at, rank, wait_reason, deadline, preset, parameters,
        metadata, correlation_id, parent_job, input
    )
    values (
        $1::uuid, $3::integer, $4::text, $5::text, $6::smallint,
        coalesce($7::timestamptz, headrace.now()),
        coalesce($7::timestamptz, headrace.now()) - $6::smallint * $8::interval,
        case when $7::timestamptz > headrace.now() then 'scheduled' else 'new' end,
        $9::timestamptz, $10::text, $11::json, $12::json, $13::text, $14::uuid, $2::json
    )
    returning id, lane, rank, due_at, deadline, wait_reason
),
entry as (
    insert into headrace.queued (job, lane, ready, share, rank, due_at, deadline)
    select id, lane, wait_reason = 'new', headrace.share_of($4::text), rank, due_at, deadline
    from job
),
event as (
    insert into headrace.job_events (job, seq, run, to_state, reason, actor)
    values ($1::uuid, 1, 1, 'queued', 'submitted', $15::text)
)
select pg_notify('headrace_jobs', $16::text) where $16::text is not null;

-- name: insert_jobs
-- As insert_job, for many jobs that differ in their inputs only. Each table is filled from the
-- parameters: feeding two of them from what the first returns costs 5 % more.
-- $1 ids uuid[], $2 inputs text[], $3 to $16 as insert_job
with due as materialized (
    select coalesce($7::timestamptz, headrace.now()) as at,
        coalesce($7::timestamptz, headrace.now()) - $6::smallint * $8::interval as rank,
        coalesce($7::timestamptz <= headrace.now(), true) as ready,
        headrace.share_of($4::text) as share
),
job as (
    insert into headrace.jobs (
        id, lane, tenant, owner, priority, due_at, rank, wait_reason, deadline, preset, parameters,
        metadata, correlation_id, parent_job, input
    )
    select
        given.id, $3::integer, $4::text, $5::text, $6::smallint, due.at, due.rank,
        case when due.ready then 'new' else 'scheduled' end,
        $9::timestamptz, $10::text, $11::json, $12::json, $13::text, $14::uuid, given.input::json
    from unnest($1::uuid[], $2::text[]) as given (id, input)
    cross join due
),
entry as (
    insert into headrace.queued (job, lane, ready, share, rank, due_at, deadline)
    select given.id, $3::integer, due.ready, due.share, due.rank, due.at, $9::timestamptz
    from unnest($1::uuid[]) as given (id)
    cross join due
),
event as (
    insert into headrace.job_events (job, seq, run, to_state, reason, actor)
    select given.id, 1, 1, 'queued', 'submitted', $15::text
    from unnest($1::uuid[]) as given (id)
)
select pg_notify('headrace_jobs', $16::text) where $16::text is not null;

-- name: insert_keyed_jobs
-- As insert_jobs, for jobs with idempotency keys: returns the ids that were stored. The insert
-- decides the winner; for a key that is taken nothing is written.
-- $1 ids uuid[], $2 inputs text[], $3 to $16 as insert_job, $17 keys text[]
with due as materialized (
    select coalesce($7::timestamptz, headrace.now()) as at,
        coalesce($7::timestamptz <= headrace.now(), true) as ready,
        headrace.share_of($4::text) as share
),
job as (
    insert into headrace.jobs (
        id, lane, tenant, owner, priority, due_at, rank, wait_reason, deadline, preset, parameters,
        metadata, correlation_id, parent_job, input, idempotency_key
    )
    select
        given.id, $3::integer, $4::text, $5::text, $6::smallint, due.at,
        due.at - $6::smallint * $8::interval,
        case when due.ready then 'new' else 'scheduled' end,
        $9::timestamptz, $10::text, $11::json, $12::json, $13::text, $14::uuid, given.input::json,
        given.key
    from unnest($1::uuid[], $2::text[], $17::text[]) as given (id, input, key)
    cross join due
    on conflict (tenant, owner, idempotency_key) where idempotency_key is not null do nothing
    returning id, lane, rank, due_at, deadline
),
entry as (
    insert into headrace.queued (job, lane, ready, share, rank, due_at, deadline)
    select job.id, job.lane, due.ready, due.share, job.rank, job.due_at, job.deadline
    from job cross join due
),
event as (
    insert into headrace.job_events (job, seq, run, to_state, reason, actor)
    select id, 1, 1, 'queued', 'submitted', $15::text from job
),
ring as materialized (
    select pg_notify('headrace_jobs', $16::text)
    where $16::text is not null and exists (select from job)
)
select id from job left join ring on true;

-- name: find_keyed_jobs
-- The jobs that own these idempotency keys.
-- $1 tenant, $2 owner, $3 keys text[]
select job.id, job.idempotency_key, lane.pipeline, job.input::text
from headrace.jobs as job
join headrace.lanes as lane on lane.id = job.lane
where job.tenant = $1 and job.owner = $2 and job.idempotency_key = any($3::text[]);

-- name: read_clock
-- The time of the engine, for options that are given as durations.
select headrace.now();

-- name: find_stored_jobs
-- Which of these jobs exist: asked after a commit whose reply was lost.
-- $1 ids uuid[]
select id from headrace.jobs where id = any($1::uuid[]);

-- name: ring
-- Wakes every listening worker.
-- $1 queue
select pg_notify('headrace_jobs', $1::text);

-- name: add_lane
-- The number of a queue, pipeline and version; made when it is new.
-- $1 queue, $2 pipeline, $3 version
with queue as (
    insert into headrace.queues (name) values ($1) on conflict do nothing
),
added as (
    insert into headrace.lanes (queue, pipeline, version, limited)
    values (
        $1, $2, $3,
        headrace.gate_limit(headrace.gate('queue', $1)) is not null
        or headrace.gate_limit(headrace.gate('pipeline', $2)) is not null
    )
    on conflict do nothing
    returning id
)
select id from added
union all
select id from headrace.lanes
where queue = $1 and pipeline = $2 and version = $3 and not keyed;

-- name: register_pipeline
-- Records a definition; a version that is registered again keeps its time, its hash follows. Its
-- limits follow by gates.limit_pipeline.
-- $1 name, $2 version, $3 hash, $4 definition, $5 whether its outputs may leave with events,
-- $6 most jobs at once, $7 most jobs of one concurrency key at once, $8 steps with an undo text[]
insert into headrace.pipelines as known (
    name, version, hash, definition, inline_output, concurrency, key_concurrency, undos
)
values ($1, $2, $3, $4::json, $5, $6, $7, $8::text[])
on conflict (name, version) do update
set hash = excluded.hash, definition = excluded.definition,
    inline_output = excluded.inline_output, undos = excluded.undos
where known.hash <> excluded.hash or known.inline_output <> excluded.inline_output
or known.concurrency is distinct from excluded.concurrency
or known.key_concurrency <> excluded.key_concurrency;
