-- name: read_job
-- One job with its lane's words.
-- $1 id
select
    job.id, lane.queue, lane.pipeline, lane.version, job.tenant, job.owner, job.state, job.priority,
    job.run, job.seq, job.wait_reason, job.due_at, job.deadline, job.worker, job.token,
    job.lease_losses, job.suspicion, job.cancel_requested_at, job.cancel_requested_by,
    job.cancel_reason, job.cause, job.error, job.preset, job.parameters, job.metadata,
    job.correlation_id, job.idempotency_key, job.parent_job, job.result_step, job.ran_ms,
    job.waited_ms, job.created_at, job.started_at, job.claimed_at, job.finished_at,
    job.ordering_key, job.concurrency_key,
    case when job.state = 'queued' then headrace.blocked_by(job.id) end as blocked_by,
    job.undo_of, job.undo_steps
from headrace.jobs as job
join headrace.lanes as lane on lane.id = job.lane
where job.id = $1::uuid;

-- name: read_steps
-- What is stored of one run, by position and time; the plan of a fan-out with its items, and the
-- errors of those that failed for good.
-- $1 job, $2 run
select
    step, item, state, position, attempts, latency_us, finished_at, reused_from, reason, worker,
    metadata, case when state = 'planned' then output end as plan,
    case when state = 'failed' then output end as error
from headrace.steps
where job = $1::uuid and run = $2
order by position, finished_at, item;

-- name: read_tries
-- The failed tries of one run, oldest first.
-- $1 job, $2 run
select
    step, item, attempt, latency_us, failed_at, class, code, message, due_at, worker
from headrace.tries
where job = $1::uuid and run = $2
order by failed_at, step, item, attempt;

-- name: read_progress
-- What runs for more than a second under the job's present token.
-- $1 job, $2 run, $3 token
select step, item, started_at, updated_at, done, total, note
from headrace.progress
where job = $1::uuid and run = $2 and token = $3;

-- name: read_events
-- The history of a job after an event, oldest first.
-- $1 job, $2 seq, $3 most rows
select seq, run, from_state, to_state, reason, actor, worker, token, at, metadata
from headrace.job_events
where job = $1::uuid and seq > $2
order by seq
limit $3;

-- name: read_outcome
-- The little that a waiting caller asks for again and again.
-- $1 id
select job.state, job.run, job.cause, job.error, job.result_step, lane.pipeline, lane.version
from headrace.jobs as job
join headrace.lanes as lane on lane.id = job.lane
where job.id = $1::uuid;

-- name: read_outputs
-- The stored outputs of one step and its items, under all names that it has had: a fan-out that was
-- renamed half-way has items under two of them.
-- $1 job, $2 run, $3 names text[]
select step, item, state, output, artifact
from headrace.steps
where job = $1::uuid and run = $2 and step = any($3::text[]);

-- name: list_jobs
-- Jobs, newest first. Every filter may be null.
-- $1 tenant, $2 owner, $3 states text[], $4 pipeline, $5 queue, $6 priority, $7 wait reason,
-- $8 cause, $9 correlation id, $10 parent job, $11 created since, $12 created before,
-- $13 only jobs with smaller ids, $14 most rows, $15 preset, $16 rows to pass over
select
    job.id, lane.queue, lane.pipeline, lane.version, job.tenant, job.owner, job.state, job.priority,
    job.run, job.wait_reason, job.due_at, job.cause, job.lease_losses, job.correlation_id,
    job.parent_job, left(job.input::text, 100) as input_preview, job.created_at, job.started_at,
    job.finished_at, job.ordering_key, job.concurrency_key,
    case when job.state = 'queued' then headrace.blocked_by(job.id) end as blocked_by,
    job.undo_of
from headrace.jobs as job
join headrace.lanes as lane on lane.id = job.lane
where ($1::text is null or job.tenant = $1)
and ($2::text is null or job.owner = $2)
and ($3::text[] is null or job.state = any($3))
and ($4::text is null or lane.pipeline = $4)
and ($5::text is null or lane.queue = $5)
and ($6::smallint is null or job.priority = $6)
and ($7::text is null or (job.state = 'queued' and job.wait_reason = $7))
and ($8::text is null or job.cause = $8)
and ($9::text is null or job.correlation_id = $9)
and ($10::uuid is null or job.parent_job = $10)
and ($11::timestamptz is null or job.created_at >= $11)
and ($12::timestamptz is null or job.created_at < $12)
and ($13::uuid is null or job.id < $13)
and ($15::text is null or job.preset = $15)
order by job.id desc
limit $14 offset $16;

-- name: count_jobs
-- How many jobs a listing has in all, counted up to a limit. Every filter may be null.
-- $1 to $12 as list_jobs, $13 most to count, $14 preset
select count(*) from (
    select from headrace.jobs as job
    join headrace.lanes as lane on lane.id = job.lane
    where ($1::text is null or job.tenant = $1)
    and ($2::text is null or job.owner = $2)
    and ($3::text[] is null or job.state = any($3))
    and ($4::text is null or lane.pipeline = $4)
    and ($5::text is null or lane.queue = $5)
    and ($6::smallint is null or job.priority = $6)
    and ($7::text is null or (job.state = 'queued' and job.wait_reason = $7))
    and ($8::text is null or job.cause = $8)
    and ($9::text is null or job.correlation_id = $9)
    and ($10::uuid is null or job.parent_job = $10)
    and ($11::timestamptz is null or job.created_at >= $11)
    and ($12::timestamptz is null or job.created_at < $12)
    and ($14::text is null or job.preset = $14)
    limit $13
) as counted;

-- name: read_input
-- The input of a job as it was accepted, and what else only its own page shows.
-- $1 id
select input::text, erased_at, headrace.now() as now from headrace.jobs where id = $1::uuid;

-- name: list_artifacts
-- Where the outputs of a run lie that are too large for their rows.
-- $1 job, $2 run
select step, item, artifact from headrace.steps
where job = $1::uuid and run = $2 and artifact is not null
order by position, item;

-- name: list_dead_letters
-- Failed runs that were neither redriven nor purged, newest first. Every filter may be null.
-- $1 tenant, $2 pipeline, $3 cause, $4 code, $5 failed since, $6 failed before, $7 text,
-- $8 jobs uuid[], $9 and $10 only those before this time and job, $11 most rows, $12 owner,
-- $13 queue, $14 correlation id
select
    dead.job, dead.run, job.tenant, job.owner, lane.queue, lane.pipeline, lane.version, dead.cause,
    dead.code, dead.message, dead.step, dead.item, dead.attempts, job.lease_losses,
    job.error ->> 'class' as class, job.correlation_id, dead.failed_at
from headrace.dead_letters as dead
join headrace.jobs as job on job.id = dead.job
join headrace.lanes as lane on lane.id = job.lane
where dead.redriven_at is null
and ($1::text is null or job.tenant = $1)
and ($2::text is null or lane.pipeline = $2)
and ($3::text is null or dead.cause = $3)
and ($4::text is null or dead.code = $4)
and ($5::timestamptz is null or dead.failed_at >= $5)
and ($6::timestamptz is null or dead.failed_at < $6)
and ($7::text is null or strpos(lower(dead.message), lower($7)) > 0)
and ($8::uuid[] is null or dead.job = any($8))
and ($9::timestamptz is null or (dead.failed_at, dead.job) < ($9, $10::uuid))
and ($12::text is null or job.owner = $12)
and ($13::text is null or lane.queue = $13)
and ($14::text is null or job.correlation_id = $14)
order by dead.failed_at desc, dead.job desc
limit $11;

-- name: list_queues
-- Every queue with what waits and runs in it.
with waiting as (
    select lane.queue, count(*) as depth,
        count(*) filter (where entry.ready or entry.due_at <= headrace.now()) as due,
        count(*) filter (where entry.due_at = 'infinity') as blocked,
        min(entry.due_at) filter (where entry.due_at <= headrace.now()) as oldest_due_at
    from headrace.queued as entry
    join headrace.lanes as lane on lane.id = entry.lane
    group by lane.queue
),
running as (
    select lane.queue, count(*) as running
    from headrace.claims as claim
    cross join unnest(claim.jobs) as given (id)
    join headrace.jobs as job
        on job.id = given.id and job.token = claim.token and job.state = 'running'
    join headrace.lanes as lane on lane.id = job.lane
    group by lane.queue
)
select
    queue.name, queue.paused_at, queue.paused_by, queue.pause_reason, queue.concurrency,
    coalesce(waiting.depth, 0) as depth, coalesce(waiting.due, 0) as due,
    coalesce(waiting.blocked, 0) as blocked,
    coalesce(running.running, 0) as running,
    -- Null where nothing is due; greatest() alone would make it 0.
    case when waiting.oldest_due_at is not null
        then greatest(extract(epoch from headrace.now() - waiting.oldest_due_at), 0)
    end::float8 as oldest_age_s,
    coalesce(waiting.depth - waiting.due - waiting.blocked, 0) as waiting
from headrace.queues as queue
left join waiting on waiting.queue = queue.name
left join running on running.queue = queue.name
order by queue.name;

-- name: list_queues_of
-- As list_queues, but only the jobs of one tenant, or of one owner of it, are counted.
-- $1 tenant, $2 owner or null for all
with waiting as (
    select lane.queue, count(*) as depth,
        count(*) filter (where entry.ready or entry.due_at <= headrace.now()) as due,
        count(*) filter (where entry.due_at = 'infinity') as blocked,
        min(entry.due_at) filter (where entry.due_at <= headrace.now()) as oldest_due_at
    from headrace.queued as entry
    join headrace.jobs as job on job.id = entry.job
    join headrace.lanes as lane on lane.id = entry.lane
    where job.tenant = $1::text and ($2::text is null or job.owner = $2)
    group by lane.queue
),
running as (
    select lane.queue, count(*) as running
    from headrace.claims as claim
    cross join unnest(claim.jobs) as given (id)
    join headrace.jobs as job
        on job.id = given.id and job.token = claim.token and job.state = 'running'
        and job.tenant = $1 and ($2 is null or job.owner = $2)
    join headrace.lanes as lane on lane.id = job.lane
    group by lane.queue
)
select
    queue.name, queue.paused_at, null::text as paused_by, null::text as pause_reason,
    queue.concurrency, coalesce(waiting.depth, 0) as depth, coalesce(waiting.due, 0) as due,
    coalesce(waiting.blocked, 0) as blocked,
    coalesce(running.running, 0) as running,
    -- Null where nothing is due; greatest() alone would make it 0.
    case when waiting.oldest_due_at is not null
        then greatest(extract(epoch from headrace.now() - waiting.oldest_due_at), 0)
    end::float8 as oldest_age_s,
    coalesce(waiting.depth - waiting.due - waiting.blocked, 0) as waiting
from headrace.queues as queue
left join waiting on waiting.queue = queue.name
left join running on running.queue = queue.name
order by queue.name;

-- name: list_queue_names
-- Every queue that ever had a lane or was paused.
select name from headrace.queues order by name;

-- name: list_unclaimable
-- Queued jobs that no living worker carries, counted by lane.
select lane.queue, lane.pipeline, lane.version, count(*) as jobs, min(entry.due_at) as oldest_due_at
from headrace.queued as entry
join headrace.lanes as lane on lane.id = entry.lane
where not exists (
    select from headrace.workers as worker
    where worker.lost_at is null and worker.stopped_at is null
    and worker.expires_at > headrace.now() and lane.id = any(worker.lanes)
)
group by lane.queue, lane.pipeline, lane.version
order by lane.queue, lane.pipeline, lane.version;

-- name: list_pipelines
-- Every definition that was registered, with the queues that its jobs were submitted to.
select
    known.name, known.version, known.hash, known.definition, known.registered_at,
    array(
        select distinct lane.queue from headrace.lanes as lane
        where lane.pipeline = known.name and lane.version = known.version
        order by lane.queue
    ) as queues
from headrace.pipelines as known
order by known.name, string_to_array(known.version, '.')::integer[] desc;

-- name: read_definition
-- $1 pipeline, $2 version
select definition from headrace.pipelines where name = $1 and version = $2;
