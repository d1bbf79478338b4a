-- name: job_place
-- Where a job stands, without a lock.
-- $1 id
select id, state, tenant, lane, suspicion, rank, due_at, run, worker, cancel_requested_at, undo_of
from headrace.jobs where id = $1;

-- name: take_queued
-- Removes a queued job's row from its queue. Waits for a claim that is taking it.
-- $1 id, $2 lane, $3 suspect, $4 rank, $5 due_at, $6 tenant
delete from headrace.queued
where job = $1 and (
    (
        ready and lane = $2 and suspect = $3 and rank = $4
        and share in (headrace.share_of($6), 0)  -- an earlier version wrote none
    )
    or (not ready and due_at in ($5, 'infinity'))  -- blocked: see gates.sql
)
returning job;

-- name: cancel_queued
-- Ends a queued job whose queue row this transaction removed.
-- $1 id, $2 by, $3 reason
with done as (
    update headrace.jobs
    set state = 'cancelled', seq = seq + 1, cancel_requested_at = clock_timestamp(),
        cancel_requested_by = $2, cancel_reason = $3, finished_at = clock_timestamp()
    where id = $1 and state = 'queued'
    returning id, run, seq
),
event as (
    insert into headrace.job_events (job, seq, run, from_state, to_state, reason, actor, metadata)
    select id, seq, run, 'queued', 'cancelled', 'cancelled', $2,
        case when $3::text is not null then json_build_object('reason', $3::text) end
    from done
)
select id from done;

-- name: request_cancel
-- Asks the holder of a running job to cancel it, and tells its worker.
-- $1 id, $2 by, $3 reason
with asked as (
    update headrace.jobs
    set cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()),
        cancel_requested_by = coalesce(cancel_requested_by, $2),
        cancel_reason = coalesce(cancel_reason, $3)
    where id = $1 and state = 'running'
    returning id, worker
)
select id, pg_notify('headrace_cancel', worker || ' ' || id) from asked;

-- name: lock_job
-- $1 id
select
    job.id, job.state, job.run, job.lane, job.priority, job.erased_at, lane.queue, lane.pipeline,
    lane.version, job.undo_of
from headrace.jobs as job
join headrace.lanes as lane on lane.id = job.lane
where job.id = $1
for no key update of job;

-- name: reuse_steps
-- Gives a new run the stored outputs of the run before it, but for the named steps. Items that
-- failed run again.
-- $1 job, $2 old run, $3 steps to run again text[] (null: reuse none)
insert into headrace.steps (
    job, run, step, item, state, position, attempts, worker, token, latency_us, finished_at,
    reused_from, output, artifact, reason, metadata
)
select
    job, $2::integer + 1, step, item, state, position, attempts, worker, token, latency_us,
    finished_at, coalesce(reused_from, run), output, artifact, reason, metadata
from headrace.steps
where job = $1 and run = $2 and $3::text[] is not null and not step = any($3::text[])
and state <> 'failed';

-- name: reuse_failed_items
-- As reuse_steps, for the failed items of steps that another one needs whose output the new run has
-- taken over by now: what it was made from stands.
-- $1 job, $2 old run, $3 steps text[], $4 a step that needs each of them text[]
insert into headrace.steps (
    job, run, step, item, state, position, attempts, worker, token, latency_us, finished_at,
    reused_from, output, artifact, reason, metadata
)
select
    job, $2::integer + 1, step, item, state, position, attempts, worker, token, latency_us,
    finished_at, coalesce(reused_from, run), output, artifact, reason, metadata
from headrace.steps as failed
where job = $1 and run = $2 and state = 'failed'
and exists (
    select from headrace.steps as plan
    where plan.job = $1 and plan.run = $2::integer + 1 and plan.step = failed.step
    and plan.item = ''
)
and exists (
    select
    from unnest($3::text[], $4::text[]) as needed (step, by_step)
    join headrace.steps as made
        on made.job = $1 and made.run = $2::integer + 1 and made.step = needed.by_step
        and made.item = '' and made.reused_from is not null
    where needed.step = failed.step
);

-- name: reuse_records
-- As reuse_steps, for the `once` records.
-- $1 job, $2 old run, $3 steps to run again text[] (null: reuse none)
insert into headrace.records (
    job, run, step, item, name, worker, token, latency_us, finished_at, output, artifact
)
select
    job, $2::integer + 1, step, item, name, worker, token, latency_us, finished_at, output, artifact
from headrace.records
where job = $1 and run = $2 and $3::text[] is not null and not step = any($3::text[]);

-- name: reuse_signals
-- Gives a new run what was sent to the run before it, but for the named signals. That none came in
-- time is not taken over: the waits begin anew. They stand after the first transition of the new run,
-- which the same transaction writes.
-- $1 job, $2 old run, $3 names text[]
insert into headrace.signals (job, run, name, value, sent_by, received_at, seq, reused_from)
select
    sent.job, $2::integer + 1, sent.name, sent.value, sent.sent_by, sent.received_at, job.seq + 1,
    coalesce(sent.reused_from, sent.run)
from headrace.signals as sent
join headrace.jobs as job on job.id = sent.job
where sent.job = $1 and sent.run = $2 and not sent.expired and not sent.name = any($3::text[]);

-- name: give_outputs
-- Stores outputs that an operator gave in place of what steps made. No worker and no try made them.
-- $1 job, $2 new run, $3 steps text[], $4 positions integer[], $5 outputs text[]
insert into headrace.steps (
    job, run, step, item, state, position, attempts, worker, token, latency_us, output, reason
)
select $1::uuid, $2, step, '', 'completed', position, 0, 0, 0, 0, output::json, 'overridden'
from unnest($3::text[], $4::integer[], $5::text[]) as given (step, position, output);

-- name: reopen_job
-- Opens run n+1 of an ended job, behind all that were accepted with its ordering key.
-- $1 id, $2 actor, $3 reason word, $4 metadata, $5 head start of one priority point
with opened as (
    update headrace.jobs as job
    set state = 'queued', run = job.run + 1, seq = job.seq + 1, wait_reason = 'new',
        due_at = headrace.now(), rank = headrace.now() - job.priority * $5::interval,
        lease_losses = 0, suspicion = 0, ran_ms = 0, waited_ms = 0, cancel_requested_at = null,
        cancel_requested_by = null, cancel_reason = null, cause = null, error = null,
        result_step = null, started_at = null, claimed_at = null, finished_at = null,
        position = headrace.next_position(job.tenant, job.ordering_key),
        deadline = case when job.deadline > headrace.now() then job.deadline end
    where job.id = $1 and job.state in ('completed', 'failed', 'cancelled')
    returning job.id, job.lane, job.run, job.seq, job.tenant, job.rank, job.due_at, job.deadline,
        job.ordering_key, job.position
),
place as (
    insert into headrace.ordered (gate, position, job)
    select headrace.gate('order', tenant, ordering_key), position, id
    from opened
    where ordering_key is not null
),
kept as (delete from headrace.blocked as gone using opened where gone.job = opened.id),
entry as (
    insert into headrace.queued (job, lane, ready, share, rank, due_at, deadline)
    select id, lane, true, headrace.share_of(tenant), rank, due_at, deadline from opened
),
event as (
    insert into headrace.job_events (
        job, seq, run, from_state, to_state, reason, actor, metadata
    )
    select
        opened.id, opened.seq, opened.run, before.to_state, 'queued', $3, $2, $4::json
    from opened
    cross join lateral (
        select to_state from headrace.job_events
        where job = opened.id and seq = opened.seq - 1
    ) as before
),
redriven as (
    update headrace.dead_letters as dead
    set redriven_at = clock_timestamp(), redriven_by = $2
    from opened
    where dead.job = opened.id and dead.run = opened.run - 1 and dead.redriven_at is null
),
ring as materialized (
    select pg_notify('headrace_jobs', lane.queue)
    from opened join headrace.lanes as lane on lane.id = opened.lane
)
select opened.id, opened.run from opened left join ring on true;

-- name: pause_queue
-- Closes a queue: running jobs finish, nothing new is claimed.
-- $1 name, $2 by, $3 reason
insert into headrace.queues as queue (name, paused_at, paused_by, pause_reason)
values ($1, clock_timestamp(), $2, $3)
on conflict (name) do update
set paused_at = coalesce(queue.paused_at, excluded.paused_at),
    paused_by = excluded.paused_by, pause_reason = excluded.pause_reason
returning paused_at;

-- name: resume_queue
-- $1 name
with opened as (
    update headrace.queues
    set paused_at = null, paused_by = null, pause_reason = null
    where name = $1 and paused_at is not null
    returning name
)
select name, pg_notify('headrace_jobs', name) from opened;
