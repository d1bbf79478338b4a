-- name: finish_jobs
-- Ends running jobs whose last step has just been done, with that step's checkpoint. The lock of the
-- job's row is the fence; a locked row is skipped, and a row whose token moved on is left alone:
-- neither is returned. A cancel request wins, the output is kept.
-- $1 ids uuid[], $2 tokens bigint[], $3 steps text[], $4 positions integer[], $5 attempts smallint[],
-- $6 latencies bigint[], $7 outputs text[], $8 result steps text[], $9 worker
with given as materialized (
    select * from unnest(
        $1::uuid[], $2::bigint[], $3::text[], $4::integer[], $5::smallint[], $6::bigint[],
        $7::text[], $8::text[]
    ) as given (id, token, step, position, attempts, latency_us, output, result_step)
),
fenced as materialized (
    select given.*
    from given
    join headrace.jobs as job on job.id = given.id
    where job.token = given.token and job.state = 'running'
    for no key update of job skip locked
),
done as (
    update headrace.jobs as job
    set state = case when job.cancel_requested_at is null then 'completed' else 'cancelled' end,
        worker = null, seq = job.seq + 1, result_step = fenced.result_step, error = null,
        finished_at = clock_timestamp()
    from fenced
    where job.id = fenced.id
    returning
        job.id, job.run, job.seq, job.token, job.state, fenced.step, fenced.position,
        fenced.attempts, fenced.latency_us, fenced.output
),
checkpoint as (
    insert into headrace.steps (
        job, run, step, item, state, position, attempts, worker, token, latency_us, output
    )
    select id, run, step, '', 'completed', position, attempts, $9, token, latency_us, output::json
    from done
),
event as (
    insert into headrace.job_events (job, seq, run, from_state, to_state, reason, worker, token)
    select id, seq, run, 'running', state, state, $9, token from done
)
select id, state from done;

-- name: checkpoint_steps
-- Stores outputs of steps and items of running jobs, behind the same fence as finish_jobs.
-- $1 ids uuid[], $2 tokens bigint[], $3 steps text[], $4 items text[], $5 positions integer[],
-- $6 attempts smallint[], $7 latencies bigint[], $8 outputs text[], $9 worker
with given as materialized (
    select * from unnest(
        $1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::integer[], $6::smallint[],
        $7::bigint[], $8::text[]
    ) as given (id, token, step, item, position, attempts, latency_us, output)
),
fenced as materialized (
    select given.*, job.run
    from given
    join headrace.jobs as job on job.id = given.id
    where job.token = given.token and job.state = 'running'
    for no key update of job skip locked
),
checkpoint as (
    insert into headrace.steps (
        job, run, step, item, state, position, attempts, worker, token, latency_us, output
    )
    select
        id, run, step, item, 'completed', position, attempts, $9, token, latency_us, output::json
    from fenced
)
select id, step, item from fenced;

-- name: fence_jobs
-- Locks running jobs under their tokens and returns those it got. What follows in the transaction is
-- fenced.
-- $1 ids uuid[], $2 tokens bigint[]
select job.id, job.run, job.cancel_requested_at is not null as cancel_requested
from unnest($1::uuid[], $2::bigint[]) as given (id, token)
join headrace.jobs as job on job.id = given.id
where job.token = given.token and job.state = 'running'
for no key update of job skip locked;

-- name: fence_job
-- As fence_jobs for one job, waiting for its row.
-- $1 id, $2 token
select job.id
from headrace.jobs as job
where job.id = $1 and job.token = $2 and job.state = 'running'
for no key update;

-- name: insert_steps
-- Stores checkpoints of any kind. A row that is there already (the reply of its commit was lost)
-- stands.
-- $1 jobs uuid[], $2 runs integer[], $3 steps text[], $4 items text[], $5 states text[],
-- $6 positions integer[], $7 attempts smallint[], $8 worker, $9 tokens bigint[],
-- $10 latencies bigint[], $11 outputs text[], $12 artifacts text[], $13 reasons text[],
-- $14 metadata text[]
insert into headrace.steps (
    job, run, step, item, state, position, attempts, worker, token, latency_us, output, artifact,
    reason, metadata
)
select
    given.job, given.run, given.step, given.item, given.state, given.position, given.attempts, $8,
    given.token, given.latency_us, given.output::json, given.artifact::json, given.reason,
    given.metadata::json
from unnest(
    $1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::smallint[],
    $9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::text[]
) as given (
    job, run, step, item, state, position, attempts, token, latency_us, output, artifact, reason,
    metadata
)
on conflict do nothing;

-- name: insert_records
-- Stores `once` records.
-- $1 jobs uuid[], $2 runs integer[], $3 steps text[], $4 items text[], $5 names text[], $6 worker,
-- $7 tokens bigint[], $8 latencies bigint[], $9 outputs text[], $10 artifacts text[]
insert into headrace.records (
    job, run, step, item, name, worker, token, latency_us, output, artifact
)
select
    given.job, given.run, given.step, given.item, given.name, $6, given.token, given.latency_us,
    given.output::json, given.artifact::json
from unnest(
    $1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $7::bigint[], $8::bigint[],
    $9::text[], $10::text[]
) as given (job, run, step, item, name, token, latency_us, output, artifact)
on conflict do nothing;

-- name: insert_tries
-- Stores failed tries with the time of the next one.
-- $1 jobs uuid[], $2 runs integer[], $3 steps text[], $4 items text[], $5 attempts integer[],
-- $6 worker, $7 tokens bigint[], $8 latencies bigint[], $9 classes text[], $10 codes text[],
-- $11 messages text[], $12 details text[], $13 seconds until the next try float8[] (null: none)
insert into headrace.tries (
    job, run, step, item, attempt, worker, token, latency_us, class, code, message, detail, due_at
)
select
    given.job, given.run, given.step, given.item, given.attempt, $6, given.token, given.latency_us,
    given.class, given.code, given.message, given.detail,
    headrace.now() + given.wait_s * interval '1 second'
from unnest(
    $1::uuid[], $2::integer[], $3::text[], $4::text[], $5::integer[], $7::bigint[], $8::bigint[],
    $9::text[], $10::text[], $11::text[], $12::text[], $13::float8[]
) as given (
    job, run, step, item, attempt, token, latency_us, class, code, message, detail, wait_s
)
on conflict do nothing;

-- name: record_starts
-- Commits the starts of steps of jobs that have lost a worker before, so that a step that kills its
-- process can be found.
-- $1 jobs uuid[], $2 runs integer[], $3 steps text[], $4 items text[], $5 worker, $6 tokens bigint[]
insert into headrace.progress as known (job, run, step, item, worker, token, recorded)
select given.job, given.run, given.step, given.item, $5, given.token, true
from unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $6::bigint[])
    as given (job, run, step, item, token)
on conflict (job, step, item) do update
set run = excluded.run, worker = excluded.worker, token = excluded.token, recorded = true,
    started_at = clock_timestamp(), updated_at = clock_timestamp(),
    charges = case when known.run = excluded.run then known.charges else 0 end;

-- name: clear_starts
-- Takes back starts whose step has ended.
-- $1 jobs uuid[], $2 steps text[], $3 items text[]
delete from headrace.progress as known
using unnest($1::uuid[], $2::text[], $3::text[]) as given (job, step, item)
where known.job = given.job and known.step = given.step and known.item = given.item;

-- name: calm_jobs
-- A suspect whose recorded starts have all ended is watched from here on, no longer run alone.
-- $1 ids uuid[]
update headrace.jobs set suspicion = 1 where id = any($1::uuid[]) and suspicion = 2;

-- name: end_jobs
-- Ends fenced jobs. A cancel request wins over any other end.
-- $1 ids uuid[], $2 states text[], $3 reasons text[], $4 causes text[], $5 errors text[],
-- $6 result steps text[], $7 failed steps text[], $8 failed items text[], $9 worker
with done as (
    update headrace.jobs as job
    set state = case when job.cancel_requested_at is null then given.state else 'cancelled' end,
        worker = null, seq = job.seq + 1,
        cause = case
            when job.cancel_requested_at is null and given.state = 'failed' then given.cause
        end,
        error = given.error::json, result_step = given.result_step,
        ran_ms = job.ran_ms + 1000 * extract(epoch from clock_timestamp() - job.claimed_at),
        finished_at = clock_timestamp()
    from unnest(
        $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[]
    ) as given (id, state, reason, cause, error, result_step, step, item)
    where job.id = given.id
    returning job.id, job.run, job.seq, job.token, job.state, job.cause, job.error,
        job.cancel_requested_by, given.reason, given.step, given.item
),
event as (
    insert into headrace.job_events (
        job, seq, run, from_state, to_state, reason, actor, worker, token
    )
    select
        id, seq, run, 'running', state, case when state = 'cancelled' then 'cancelled' else reason end,
        case when state = 'cancelled' then coalesce(cancel_requested_by, 'step') end, $9, token
    from done
),
dead as (
    insert into headrace.dead_letters (job, run, cause, code, message, step, item, attempts)
    select
        done.id, done.run, done.cause, coalesce(done.error ->> 'code', 'INTERNAL_ERROR'),
        coalesce(done.error ->> 'message', ''), done.step, done.item,
        (
            select count(*) from headrace.tries as tried
            where tried.job = done.id and tried.run = done.run
            and tried.step = done.step and tried.item = coalesce(done.item, '')
        )
    from done
    where done.state = 'failed'
)
select id, state from done;

-- name: insert_waits
-- Stores what steps begin to wait for; seconds from now, null for a wait that ends by itself.
-- $1 jobs uuid[], $2 runs integer[], $3 steps text[], $4 items text[], $5 kinds text[],
-- $6 names text[], $7 seconds float8[], $8 tokens bigint[]
insert into headrace.waits (job, run, step, item, kind, name, due_at, token)
select
    given.job, given.run, given.step, given.item, given.kind, given.name,
    headrace.now() + given.wait_s * interval '1 second', given.token
from unnest(
    $1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::float8[],
    $8::bigint[]
) as given (job, run, step, item, kind, name, wait_s, token)
on conflict do nothing;

-- name: release_jobs
-- Puts fenced jobs back into their queue, due after a wait; one with a cancel request ends instead.
-- One whose signal has come, or whose child has ended, is due now: see 0013_waits.sql.
-- $1 ids uuid[], $2 waits in seconds float8[], $3 wait reasons text[], $4 errors text[],
-- $5 worker, $6 head start of one priority point, $7 awaited signals text[], $8 awaited children
-- text[]: each a list with commas, or null
with target as materialized (
    select
        job.id, given.wait_reason, given.error,
        job.cancel_requested_at is not null as cancelled,
        -- A job that is handed back, and does not wait, keeps its place in the queue.
        case
            when given.wait_s > 0 and not awaited.has_come
            then headrace.now() + given.wait_s * interval '1 second'
            else least(job.due_at, headrace.now())
        end as due_at,
        case
            when given.wait_reason in ('rate_limited', 'breaker_open', 'budget', 'lock_busy')
            then 1000 * given.wait_s
            else 0
        end as waits_ms
    from unnest($1::uuid[], $2::float8[], $3::text[], $4::text[], $7::text[], $8::text[])
        as given (id, wait_s, wait_reason, error, signals, children)
    join headrace.jobs as job on job.id = given.id
    cross join lateral (
        select
            given.signals is not null and exists (
                select from headrace.signals as sent
                where sent.job = job.id and sent.run = job.run
                and sent.name = any(string_to_array(given.signals, ','))
            )
            or given.children is not null
            and cardinality(string_to_array(given.children, ',')) > (
                select count(*) from (
                    select from headrace.children as bound
                    where bound.child = any(string_to_array(given.children, ',')::uuid[])
                    for share skip locked
                ) as alive
            ) as has_come
    ) as awaited
),
done as (
    update headrace.jobs as job
    set state = case when target.cancelled then 'cancelled' else 'queued' end,
        worker = null, seq = job.seq + 1, wait_reason = target.wait_reason,
        due_at = target.due_at,
        -- What waits for others is not behind what came since: it may be woken before its time.
        rank = case
            when target.wait_reason in ('external', 'child')
            then least(target.due_at, headrace.now())
            else target.due_at
        end - job.priority * $6::interval,
        error = coalesce(target.error::json, job.error),
        ran_ms = job.ran_ms + 1000 * extract(epoch from clock_timestamp() - job.claimed_at),
        waited_ms = job.waited_ms + target.waits_ms,
        finished_at = case when target.cancelled then clock_timestamp() end
    from target
    where job.id = target.id
    returning job.id, job.lane, job.run, job.seq, job.token, job.state, job.wait_reason,
        job.suspicion, job.tenant, job.rank, job.due_at, job.deadline, job.cancel_requested_by
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
        job, seq, run, from_state, to_state, reason, actor, worker, token
    )
    select
        id, seq, run, 'running', state,
        case when state = 'cancelled' then 'cancelled' else wait_reason end,
        case when state = 'cancelled' then cancel_requested_by end, $5, token
    from done
)
select id, state from done;

-- name: read_back
-- What became of jobs under these tokens: asked when a commit's reply was lost. `moved` is the state
-- that the token's holder gave the job, null while it still runs under it.
-- $1 ids uuid[], $2 tokens bigint[]
select
    given.id, given.token,
    coalesce(job.token = given.token and job.state = 'running', false) as held,
    (
        select event.to_state
        from headrace.job_events as event
        where event.job = given.id and event.token = given.token and event.from_state = 'running'
        and event.worker = $3::integer
        order by event.seq desc
        limit 1
    ) as moved
from unnest($1::uuid[], $2::bigint[]) as given (id, token)
left join headrace.jobs as job on job.id = given.id;

-- name: note_progress
-- Shows what runs and how far it is. May be lost without harm; a stale holder's word is ignored.
-- $1 jobs uuid[], $2 tokens bigint[], $3 steps text[], $4 items text[], $5 worker,
-- $6 seconds since the start float8[], $7 done bigint[], $8 total bigint[], $9 notes text[]
insert into headrace.progress as known (
    job, run, step, item, worker, token, started_at, done, total, note
)
select
    job.id, job.run, given.step, given.item, $5, given.token,
    clock_timestamp() - given.age_s * interval '1 second', given.done, given.total, given.note
from unnest(
    $1::uuid[], $2::bigint[], $3::text[], $4::text[], $6::float8[], $7::bigint[], $8::bigint[],
    $9::text[]
) as given (job, token, step, item, age_s, done, total, note)
join headrace.jobs as job
    on job.id = given.job and job.token = given.token and job.state = 'running'
on conflict (job, step, item) do update
set done = excluded.done, total = excluded.total, note = excluded.note, token = excluded.token,
    worker = excluded.worker, run = excluded.run, updated_at = clock_timestamp(),
    charges = case when known.run = excluded.run then known.charges else 0 end,
    recorded = known.recorded and known.run = excluded.run
where known.token <= excluded.token;

-- name: has_step
-- $1 job, $2 run, $3 step, $4 item
select exists (
    select from headrace.steps where job = $1 and run = $2 and step = $3 and item = $4
);

-- name: has_record
-- $1 job, $2 run, $3 step, $4 item, $5 name
select exists (
    select from headrace.records
    where job = $1 and run = $2 and step = $3 and item = $4 and name = $5
);
