-- name: recover_jobs
-- Takes the running jobs of one orphaned claim away from their dead worker, level-triggered and safe if
-- two do it. A first loss costs nothing. A job whose recorded step start was cut off becomes a suspect
-- and is run alone; only a suspect's death is charged, to the step or item on record, and at the limit
-- the job fails.
-- $1 token, $2 head start of one priority point, $3 charges that fail a job,
-- $4 first back-off interval, $5 later back-off interval, $6 reaping worker
with lost as materialized (
    select
        job.id, job.run, job.lane, job.seq, job.token, job.priority, job.deadline, job.suspicion,
        job.claimed_at, job.due_at as was_due_at, job.cancel_requested_at is not null as cancelled, job.cancel_requested_by
    from headrace.claims as claim
    cross join unnest(claim.jobs) as given (id)
    join headrace.jobs as job on job.id = given.id
    where claim.token = $1 and job.token = claim.token and job.state = 'running'
    for no key update of job skip locked
),
charged as (
    update headrace.progress as start
    set charges = start.charges + 1, updated_at = clock_timestamp()
    from lost
    where start.job = lost.id and start.recorded and start.token = lost.token
    and start.run = lost.run and lost.suspicion = 2
    returning start.job, start.step, start.item, start.charges
),
verdict as materialized (
    select
        lost.*, worst.step, worst.item, coalesce(worst.charges, 0) as charges,
        case
            when lost.cancelled then 'cancelled'
            when worst.charges >= $3::integer then 'failed'
            else 'queued'
        end as state,
        case
            when lost.suspicion = 2 then 2
            when lost.suspicion = 1 and started.found then 2
            else 1
        end as doubt,
        case
            when worst.charges is not null then headrace.now() + $5::interval
            when lost.suspicion = 1 and started.found then headrace.now() + $4::interval
            -- It keeps its place: it is claimed before what came later.
            else least(lost.was_due_at, headrace.now())
        end as due_at
    from lost
    left join lateral (
        select charged.step, charged.item, charged.charges
        from charged
        where charged.job = lost.id
        order by charged.charges desc
        limit 1
    ) as worst on true
    cross join lateral (
        select exists (
            select from headrace.progress as start
            where start.job = lost.id and start.recorded and start.token = lost.token
            and start.run = lost.run
        ) as found
    ) as started
),
moved as (
    update headrace.jobs as job
    set state = verdict.state, worker = null, seq = job.seq + 1, wait_reason = 'recovered',
        lease_losses = job.lease_losses + 1, suspicion = verdict.doubt,
        due_at = verdict.due_at, rank = verdict.due_at - job.priority * $2::interval,
        ran_ms = job.ran_ms + 1000 * extract(epoch from clock_timestamp() - job.claimed_at),
        cause = case when verdict.state = 'failed' then 'worker_lost' end,
        error = case
            when verdict.state = 'failed' then json_build_object(
                'code', 'WORKER_LOST', 'class', 'poison', 'step', verdict.step,
                'item', verdict.item, 'message', format(
                    'step %s%s ended its worker process %s times while it ran alone',
                    verdict.step,
                    case when verdict.item <> '' then ' item ' || verdict.item else '' end,
                    verdict.charges
                )
            )
            else job.error
        end,
        finished_at = case when verdict.state <> 'queued' then clock_timestamp() end
    from verdict
    where job.id = verdict.id
    returning
        job.id, job.lane, job.run, job.seq, job.token, job.state, job.suspicion, job.rank,
        job.due_at, job.deadline, job.cause, job.error, job.lease_losses, job.tenant,
        job.correlation_id, job.created_at, verdict.step, verdict.item, verdict.charges,
        verdict.cancel_requested_by
),
entry as (
    insert into headrace.queued (job, lane, suspect, ready, share, rank, due_at, deadline)
    select
        id, lane, suspicion = 2, due_at <= headrace.now(), headrace.share_of(tenant), rank, due_at,
        deadline
    from moved
    where state = 'queued'
),
event as (
    insert into headrace.job_events (
        job, seq, run, from_state, to_state, reason, actor, worker, token, metadata
    )
    select
        id, seq, run, 'running', state,
        case state when 'queued' then 'recovered' when 'failed' then 'worker_lost' else 'cancelled' end,
        case when state = 'cancelled' then cancel_requested_by else 'reaper ' || $6::integer end,
        null, token,
        case
            when charges > 0
            then json_build_object('step', step, 'item', item, 'charges', charges)
        end
    from moved
),
dead as (
    insert into headrace.dead_letters (job, run, cause, code, message, step, item, attempts)
    select id, run, cause, 'WORKER_LOST', error ->> 'message', step, item, charges
    from moved
    where state = 'failed'
)
select
    moved.id, moved.state, moved.run, moved.token, moved.suspicion,
    nullif(moved.charges, 0) as charges, moved.step, moved.item, moved.lease_losses, moved.due_at, moved.tenant, moved.correlation_id,
    moved.cancel_requested_by,
    (1000 * extract(epoch from clock_timestamp() - moved.created_at))::float8 as job_latency_ms,
    lane.queue, lane.pipeline, lane.version
from moved
join headrace.lanes as lane on lane.id = moved.lane;

-- name: forget_claim
-- Removes an orphaned claim once none of its jobs runs under it.
-- $1 token
delete from headrace.claims as claim
where claim.token = $1
and not exists (
    select from unnest(claim.jobs) as given (id)
    join headrace.jobs as job on job.id = given.id
    where job.token = claim.token and job.state = 'running'
);

-- name: expire_queued
-- Fails queued jobs whose deadline passed before they could start.
-- $1 most jobs
with picked as materialized (
    select ctid as place from headrace.queued
    where deadline is not null and deadline <= headrace.now()
    order by deadline
    limit $1
    for update skip locked
),
gone as (
    delete from headrace.queued as entry
    using picked
    where entry.ctid = picked.place
    returning entry.job
),
failed as (
    update headrace.jobs as job
    set state = 'failed', seq = job.seq + 1, cause = 'deadline_exceeded',
        error = json_build_object(
            'code', 'DEADLINE_EXCEEDED', 'class', 'timeout',
            'message', format('the deadline %s passed before the job could run', job.deadline)
        ),
        finished_at = clock_timestamp()
    from gone
    where job.id = gone.job and job.state = 'queued'
    returning job.id, job.lane, job.run, job.seq, job.cause, job.error, job.tenant,
        job.correlation_id, job.created_at
),
event as (
    insert into headrace.job_events (job, seq, run, from_state, to_state, reason, actor)
    select id, seq, run, 'queued', 'failed', cause, 'sweep' from failed
),
dead as (
    insert into headrace.dead_letters (job, run, cause, code, message)
    select id, run, cause, error ->> 'code', error ->> 'message' from failed
)
select
    failed.id, failed.run, failed.cause, failed.tenant, failed.correlation_id,
    (1000 * extract(epoch from clock_timestamp() - failed.created_at))::float8 as job_latency_ms,
    lane.queue, lane.pipeline, lane.version
from failed
join headrace.lanes as lane on lane.id = failed.lane;

-- name: unpark_jobs
-- Makes jobs that waited for code that can read their outputs ready again, when a worker registers it.
-- $1 lanes integer[]
with freed as (
    update headrace.queued as entry
    set ready = true, due_at = headrace.now(),
        rank = entry.rank - (entry.due_at - headrace.now())
    from headrace.jobs as job
    where job.id = entry.job and job.wait_reason = 'unclaimable'
    and not entry.ready and entry.lane = any($1::integer[]) and entry.due_at < 'infinity'
    returning entry.job, entry.rank, entry.due_at
)
update headrace.jobs as job
set rank = freed.rank, due_at = freed.due_at
from freed
where job.id = freed.job;
