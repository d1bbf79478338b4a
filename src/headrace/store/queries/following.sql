-- name: read_next
-- What happened to jobs after the places that their readers have reached, in order. A reader whose
-- job is not of its tenant and owner gets nothing.
--
-- A place is a transition, and how much is known of what followed it. What steps leave behind
-- follows the claim under whose token it was written or, where a new run took it over, that run's
-- first transition; a signal keeps the number of the transition after which it came. There they are
-- counted in the order of the database's clock, which is that of the commits: both happen under the
-- lock of the job's row. Progress is told as it is now.
-- $1 jobs uuid[], $2 tenants text[], $3 owners text[] (null: any owner), $4 seqs integer[],
-- $5 parts integer[], $6 times of progress in us bigint[], $7 most rows of one reader
select
    reader.number::integer, next.kind, next.seq, next.part, next.run, next.state, next.reason,
    next.worker, next.at, next.step, next.item, next.attempts, next.latency_us, next.reused_from,
    case when json_typeof(next.plan) = 'array' then json_array_length(next.plan) end as items, next.other_at, next.details
from unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::integer[], $6::bigint[])
    with ordinality as reader (job, tenant, owner, seq, part, progress_us, number)
join headrace.jobs as job
    on job.id = reader.job and job.tenant = reader.tenant
    and (reader.owner is null or job.owner = reader.owner)
cross join lateral (
    with epoch as materialized (
        select * from headrace.job_events as event
        where event.job = reader.job and event.seq >= reader.seq
        order by event.seq
        limit $7::integer + 1
    ),
    left_behind as (
        select
            'step' as kind, epoch.seq, stored.run, stored.state, stored.reason, stored.worker,
            stored.finished_at as at, stored.step, stored.item, stored.attempts::integer,
            stored.latency_us, stored.reused_from,
            case when stored.state = 'planned' then stored.output end as plan,
            null::timestamptz as other_at,
            case when stored.state = 'failed' then stored.output end as details
        from epoch
        join headrace.steps as stored on stored.job = reader.job and stored.run = epoch.run
        where case when stored.reused_from is null
            then epoch.to_state = 'running' and stored.token = epoch.token
            else epoch.from_state in ('completed', 'failed', 'cancelled')
        end
        -- That an item failed for good is told by its last try, in the run of that.
        and (stored.state <> 'failed' or stored.reused_from is not null)
        union all
        select
            'try', epoch.seq, tried.run, null, null, tried.worker, tried.failed_at, tried.step,
            tried.item, tried.attempt, tried.latency_us, null, null, tried.due_at,
            json_build_object('code', tried.code, 'kind', tried.class, 'message', tried.message)
        from epoch
        join headrace.tries as tried on tried.job = reader.job and tried.run = epoch.run
        where epoch.to_state = 'running' and tried.token = epoch.token
        union all
        select
            'wait', epoch.seq, wait.run, wait.kind, wait.name, null, wait.began_at, wait.step,
            wait.item, 0, 0, null, null, wait.due_at, null
        from epoch
        join headrace.waits as wait on wait.job = reader.job and wait.run = epoch.run
        where epoch.to_state = 'running' and wait.token = epoch.token
        union all
        select
            'signal', epoch.seq, sent.run, case when sent.expired then 'expired' else 'received' end,
            sent.name, null, sent.received_at, null, null, 0, 0, sent.reused_from, null, null,
            json_build_object('by', sent.sent_by)
        from epoch
        join headrace.signals as sent
            on sent.job = reader.job and sent.run = epoch.run and sent.seq = epoch.seq
    ),
    counted as (
        select *,
            row_number() over (partition by seq order by at, step, item, kind, reason)::integer
                as part
        from left_behind
    )
    select
        'state' as kind, seq, 0 as part, run, to_state as state, reason, worker, at,
        null as step, null as item, null::integer as attempts, null::bigint as latency_us,
        null::integer as reused_from, null::json as plan, null::timestamptz as other_at,
        json_build_object('from_state', from_state, 'actor', actor, 'metadata', metadata) as details
    from epoch
    where seq > reader.seq
    union all
    select
        kind, seq, part, run, state, reason, worker, at, step, item, attempts, latency_us,
        reused_from, plan, other_at, details
    from counted
    where seq > reader.seq or part > reader.part
    union all
    select
        'progress', job.seq, 2147483647, known.run, null, null, known.worker, known.updated_at,
        known.step, known.item, null, null, null, null, known.started_at,
        json_build_object('done', known.done, 'total', known.total, 'note', known.note)
    from headrace.progress as known
    where job.state = 'running' and known.job = reader.job and known.run = job.run
    and known.token = job.token
    and (extract(epoch from known.updated_at) * 1000000)::bigint > reader.progress_us
    -- A scalar, so that it is one probe of the key, however many steps the planner expects.
    and (
        select count(*) from headrace.steps as stored
        where stored.job = reader.job and stored.run = known.run
        and stored.step = known.step and stored.item = known.item
    ) = 0
    union all
    select
        'result', job.seq, 1, job.run, job.state, null, null, job.finished_at, null, null, null,
        null, null, null, null, null
    where job.finished_at is not null and (job.seq > reader.seq or reader.part = 0)
    order by seq, part, at
    limit $7::integer
) as next
order by reader.number, next.seq, next.part, next.at;

-- name: read_end
-- Where the history of a job ends now.
-- $1 job
select seq, finished_at is not null as has_ended from headrace.jobs where id = $1::uuid;

-- name: measure_result
-- How large a result is, in bytes of JSON; null where a part of it is an artifact.
-- $1 job, $2 run, $3 step names text[]
select case when bool_or(artifact is not null) then null
    else coalesce(sum(octet_length(output::text)) filter (where state <> 'planned'), 0)::bigint
end
from headrace.steps
where job = $1::uuid and run = $2 and step = any($3::text[]);
