-- name: clock_offset
-- By how much the engine's clock is ahead of the server's.
select headrace.now() - statement_timestamp();

-- name: lock_leases
-- A renewal that began before the move has to end before it, and one that begins later, to read the
-- moved clock: one that waited for a row of it would write the old time over the shifted lease.
lock table headrace.workers, headrace.operations in share row exclusive mode;

-- name: shift_leases
-- Time that a test skips is no silence of a worker that lives.
-- $1 time
with operations as (
    update headrace.operations set renewed_at = renewed_at + $1::interval where state = 'pending'
)
update headrace.workers
set heartbeat_at = heartbeat_at + $1::interval, expires_at = expires_at + $1::interval
where lost_at is null and stopped_at is null;

-- name: unfinished_jobs
-- What a test that waits until nothing is left would have to wait for: all that runs, and all that
-- is queued, but for what was submitted for a later time, and for what somebody outside or a child has
-- to wake.
-- $1 most rows, $2 whether times of signals that run out count as something that happens
with later as materialized (
    select known.gate
    from (select distinct gate from headrace.blocked) as known
    cross join lateral (
        select head.*
        from headrace.ordered as place
        cross join lateral (
            select job.state, job.wait_reason, job.due_at
            from headrace.jobs as job
            where job.id = place.job and job.position = place.position
            and job.state in ('queued', 'running')
            offset 0  -- else the planner may begin with all jobs
        ) as head
        where place.gate = known.gate
        order by place.position
        limit 1
    ) as first
    where first.state = 'queued' and first.wait_reason = 'scheduled'
    and first.due_at > headrace.now()
)
select
    job.id, lane.queue, lane.pipeline, lane.version, job.state, job.wait_reason,
    case
        when asleep.found then extract(epoch from job.due_at - headrace.now())::float8
        else 0.0
    end as wait_s,
    (
        select string_agg(distinct wait.name, ', ') from headrace.waits as wait
        where wait.job = job.id and wait.run = job.run and wait.kind = 'signal'
        and not exists (
            select from headrace.signals as sent
            where sent.job = wait.job and sent.run = wait.run and sent.name = wait.name
        )
    ) as signals,
    coalesce(job.error ->> 'message', tried.message) as error,
    queue.paused_at is not null as paused,
    (
        select string_agg(known.step || coalesce('[' || nullif(known.item, '') || ']', ''), ', ')
        from headrace.progress as known
        where known.job = job.id and known.token = job.token
    ) as steps,
    count(*) over () as total,
    min(case when asleep.found then job.due_at - headrace.now() else interval '0' end)
        filter (where job.state = 'queued' and kept.job is null) over () as next,
    kept.job is not null as blocked,
    bool_and(job.state = 'queued' and job.wait_reason <> 'unclaimable') over () as only_queued
from headrace.jobs as job
join headrace.lanes as lane on lane.id = job.lane
left join headrace.queues as queue on queue.name = lane.queue
left join headrace.blocked as kept on kept.job = job.id
left join lateral (
    select failed.message from headrace.tries as failed
    where failed.job = job.id and failed.run = job.run
    order by failed.failed_at desc
    limit 1
) as tried on true
cross join lateral (
    select exists (  -- else somebody has woken it, or it is blocked
        select from headrace.queued as entry
        where not entry.ready and entry.due_at = job.due_at and entry.job = job.id
    ) and job.due_at > headrace.now() as found
) as asleep
where job.state in ('queued', 'running')
and not (job.state = 'queued' and job.wait_reason = 'child' and asleep.found)
and not (
    job.state = 'queued' and job.wait_reason = 'external' and asleep.found and not $2::boolean
    and not exists (
        select from headrace.waits as wait
        where wait.job = job.id and wait.run = job.run and wait.kind = 'delay'
        and wait.due_at > headrace.now()
    )
)
and not (job.wait_reason = 'scheduled' and job.state = 'queued' and job.due_at > headrace.now())
-- Nor for what waits behind such a job.
and (kept.gate is null or kept.gate not in (select gate from later))
order by job.id
limit $1;

-- name: ring_all
-- Wakes every worker.
select pg_notify('headrace_jobs', name) from headrace.queues;

-- name: jobs
-- $1 queue or null, $2 pipeline or null, $3 state or null, $4 job or null
select
    id, queue, pipeline, version, tenant, owner, state, wait_reason, priority, run, due_at, worker,
    token, lease_losses, suspicion, cause, error, result_step, input, created_at, started_at,
    finished_at
from headrace.job_list
where ($1::text is null or queue = $1)
and ($2::text is null or pipeline = $2)
and ($3::text is null or state = $3)
and ($4::uuid is null or id = $4)
order by id;

-- name: steps
-- $1 job
select
    run, step, item, state, attempts, worker, token, latency_us, finished_at, reused_from, output,
    artifact, reason, metadata
from headrace.steps
where job = $1
order by run, finished_at, position, item;

-- name: records
-- $1 job
select run, step, item, name, worker, token, latency_us, finished_at, output, artifact
from headrace.records
where job = $1
order by run, finished_at, step, item, name;

-- name: tries
-- $1 job
select
    run, step, item, attempt, worker, token, latency_us, failed_at, class, code, message, detail,
    due_at
from headrace.tries
where job = $1
order by run, failed_at, step, item, attempt;

-- name: events
-- $1 job
select seq, run, from_state, to_state, reason, actor, worker, token, at, metadata
from headrace.job_events
where job = $1
order by seq;

-- name: clear_queue
-- Deletes the queued jobs of a queue with all that belongs to them.
-- $1 queue
with gone as (
    delete from headrace.queued as entry
    using headrace.lanes as lane
    where lane.id = entry.lane and lane.queue = $1
    returning entry.job as id
),
step as (delete from headrace.steps as old using gone where old.job = gone.id),
record as (delete from headrace.records as old using gone where old.job = gone.id),
try as (delete from headrace.tries as old using gone where old.job = gone.id),
event as (delete from headrace.job_events as old using gone where old.job = gone.id),
start as (delete from headrace.progress as old using gone where old.job = gone.id),
dead as (delete from headrace.dead_letters as old using gone where old.job = gone.id),
signal as (delete from headrace.signals as old using gone where old.job = gone.id),
wait as (delete from headrace.waits as old using gone where old.job = gone.id),
bound as (
    delete from headrace.children as old
    using gone
    where gone.id in (old.child, old.parent)
)
delete from headrace.jobs as job
using gone
where job.id = gone.id;
