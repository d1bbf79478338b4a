-- name: release_running
-- Takes a running job away from its worker, whatever that does: its writes are stale from here on.
-- The job keeps its place in the queue, and no attempt is counted; one with a cancel request ends.
-- $1 id, $2 by, $3 reason, $4 head start of one priority point
with done as (
    update headrace.jobs as job
    set state = case when job.cancel_requested_at is null then 'queued' else 'cancelled' end,
        worker = null, seq = job.seq + 1, wait_reason = 'released',
        -- One that was woken had been put back until a later time.
        due_at = least(job.due_at, headrace.now()),
        rank = least(job.due_at, headrace.now()) - job.priority * $4::interval,
        ran_ms = job.ran_ms + 1000 * extract(epoch from clock_timestamp() - job.claimed_at),
        finished_at = case when job.cancel_requested_at is not null then clock_timestamp() end
    where job.id = $1::uuid and job.state = 'running'
    returning job.id, job.lane, job.run, job.seq, job.token, job.state, job.suspicion, job.rank,
        job.due_at, job.deadline, job.tenant
),
entry as (
    insert into headrace.queued (job, lane, suspect, ready, share, rank, due_at, deadline)
    select
        id, lane, suspicion = 2, due_at <= headrace.now(), headrace.share_of(tenant), rank, due_at,
        deadline
    from done
    where state = 'queued'
),
event as (
    insert into headrace.job_events (
        job, seq, run, from_state, to_state, reason, actor, token, metadata
    )
    select
        id, seq, run, 'running', state, case state when 'queued' then 'released' else state end,
        $2, token, json_build_object('reason', $3::text, 'release', 'manual')
    from done
),
ring as materialized (
    select pg_notify('headrace_jobs', lane.queue)
    from done join headrace.lanes as lane on lane.id = done.lane
    where done.state = 'queued'
)
select done.state from done left join ring on true;

-- name: fail_job
-- Fails a running job, or a queued one whose queue row this transaction removed. A running one with a
-- cancel request is cancelled: that wins over any other end.
-- $1 id, $2 by, $3 reason, $4 the state that it is in
with done as (
    update headrace.jobs as job
    set state = case when job.cancel_requested_at is null then 'failed' else 'cancelled' end,
        worker = null, seq = job.seq + 1,
        cause = case when job.cancel_requested_at is null then 'operator' end,
        error = json_build_object(
            'code', 'OPERATOR', 'class', 'permanent', 'message', 'an operator ended the job'
        ),
        ran_ms = job.ran_ms + case
            when $4 = 'running'
            then 1000 * extract(epoch from clock_timestamp() - job.claimed_at)
            else 0
        end,
        finished_at = clock_timestamp()
    where job.id = $1::uuid and job.state = $4::text
    returning job.id, job.lane, job.run, job.seq, job.token, job.state, job.cause, job.error,
        job.tenant, job.correlation_id, job.created_at
),
event as (
    insert into headrace.job_events (
        job, seq, run, from_state, to_state, reason, actor, token, metadata
    )
    select
        id, seq, run, $4, state, coalesce(cause, state), $2, case when $4 = 'running' then token end,
        json_build_object('reason', $3::text)
    from done
),
dead as (
    insert into headrace.dead_letters (job, run, cause, code, message)
    select id, run, cause, error ->> 'code', error ->> 'message' from done where state = 'failed'
)
select
    done.state, done.run, done.tenant, done.correlation_id,
    (1000 * extract(epoch from clock_timestamp() - done.created_at))::float8 as job_latency_ms,
    lane.queue, lane.pipeline, lane.version
from done
join headrace.lanes as lane on lane.id = done.lane;

-- name: purge_queue
-- Cancels a page of the jobs that wait in a queue; not those that were made after this began.
-- $1 queue, $2 by, $3 reason, $4 made before, $5 most jobs
with picked as materialized (
    select entry.ctid as place
    from headrace.queued as entry
    join headrace.lanes as lane on lane.id = entry.lane
    where lane.queue = $1 and entry.job < headrace.first_id($4::timestamptz)
    and not exists (  -- which are not cancelled
        select from headrace.jobs as undo where undo.id = entry.job and undo.undo_of is not null
    )
    limit $5
    for update of entry skip locked
),
gone as (
    delete from headrace.queued as entry
    using picked
    where entry.ctid = picked.place
    returning entry.job
),
done as (
    update headrace.jobs as job
    set state = 'cancelled', seq = job.seq + 1, cancel_requested_at = clock_timestamp(),
        cancel_requested_by = $2, cancel_reason = $3, finished_at = clock_timestamp()
    from gone
    where job.id = gone.job and job.state = 'queued'
    returning job.id, job.run, job.seq
),
event as (
    insert into headrace.job_events (job, seq, run, from_state, to_state, reason, actor, metadata)
    select
        id, seq, run, 'queued', 'cancelled', 'cancelled', $2,
        json_build_object('reason', $3::text)
    from done
)
select count(*) from done;

-- name: count_in_queue
-- What waits and what runs in one queue, and the time.
-- $1 queue
select
    (
        select count(*)
        from headrace.queued as entry
        join headrace.lanes as lane on lane.id = entry.lane
        where lane.queue = $1
    )::integer as waiting,
    (
        select count(*)
        from headrace.claims as claim
        cross join unnest(claim.jobs) as given (id)
        join headrace.jobs as job
            on job.id = given.id and job.token = claim.token and job.state = 'running'
        join headrace.lanes as lane on lane.id = job.lane
        where lane.queue = $1
    )::integer as running,
    headrace.now() as now;
