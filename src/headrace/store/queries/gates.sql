-- name: claim_gated
-- As claims.claim_jobs for keyed and limited lanes, and for tenants with a limit; before that, the
-- gates are left that jobs held which this worker has ended. Its text is a function
-- (0007_gates.sql): it is one claim at a time, in steps that see each other.
-- $1 worker, $2 lanes integer[], $3 most jobs, $4 suspects (or all others),
-- $5 lanes of an older version of what the worker carries integer[], $6 jobs that it ended uuid[]
select * from headrace.claim_gated(
    $1::integer, $2::integer[], $3::integer, $4::boolean, $5::integer[], $6::uuid[]
);

-- name: has_gated_lanes
-- Whether a claim of these lanes has to pass gates.
-- $1 lanes integer[]
select exists (
    select from headrace.lanes as lane
    where lane.id = any($1::integer[]) and (lane.keyed or lane.limited)
)
or exists (select from headrace.tenant_limits);

-- name: settle_gates
-- Lets others in where these jobs have left, and rings for them; does nothing where no gate is used.
-- $1 jobs uuid[], or null for all
select headrace.settle_gates($1::uuid[]);

-- name: insert_gated_jobs
-- Stores jobs with ordering keys or concurrency keys, as requests.insert_keyed_jobs does: returns
-- those that were stored. Positions are given in the order of the jobs.
-- $1 ids uuid[], $2 inputs text[], $3 lanes integer[], $4 tenants text[], $5 owners text[],
-- $6 priorities smallint[], $7 due_at timestamptz[], $8 deadlines timestamptz[], $9 presets text[],
-- $10 parameters text[], $11 metadata text[], $12 correlation ids text[], $13 parent jobs uuid[],
-- $14 actors text[], $15 trace parents text[], $16 head start of one priority point,
-- $17 queue to ring or null, $18 idempotency keys text[], $19 hashes of the requests bytea[],
-- $20 ordering keys text[], $21 concurrency keys text[]
with moment as materialized (select clock_timestamp() as at, headrace.now() as now),
given as materialized (
    select
        given.*, coalesce(given.due_at, moment.now) as starts_at,
        coalesce(given.due_at <= moment.now, true) as ready, moment.at,
        headrace.next_position(given.tenant, given.ordering_key) as position
    from (
        select * from unnest(
            $1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::smallint[],
            $7::timestamptz[], $8::timestamptz[], $9::text[], $10::text[], $11::text[],
            $12::text[], $13::uuid[], $14::text[], $15::text[], $18::text[], $19::bytea[],
            $20::text[], $21::text[]
        ) with ordinality as given (
            id, input, lane, tenant, owner, priority, due_at, deadline, preset, parameters,
            metadata, correlation_id, parent_job, actor, traceparent, key, hash, ordering_key,
            concurrency_key, nth
        )
        order by tenant, ordering_key, nth  -- locks are taken in one order by all
    ) as given
    cross join moment
),
job as (
    insert into headrace.jobs (
        id, lane, tenant, owner, priority, due_at, rank, wait_reason, deadline, preset, parameters,
        metadata, correlation_id, parent_job, input, traceparent, created_at, idempotency_key,
        request_hash, ordering_key, concurrency_key, position
    )
    select
        id, lane, tenant, owner, priority, starts_at, starts_at - priority * $16::interval,
        case when ready then 'new' else 'scheduled' end, deadline, preset, parameters::json,
        metadata::json, correlation_id, parent_job, input::json, traceparent, at, key, hash,
        ordering_key, concurrency_key, position
    from given
    on conflict (tenant, owner, idempotency_key) where idempotency_key is not null do nothing
    returning id, lane, tenant, rank, due_at, deadline, wait_reason, ordering_key, position,
        created_at
),
entry as (
    insert into headrace.queued (job, lane, ready, share, rank, due_at, deadline)
    select id, lane, wait_reason = 'new', headrace.share_of(tenant), rank, due_at, deadline from job
),
place as (
    insert into headrace.ordered (gate, position, job)
    select headrace.gate('order', tenant, ordering_key), position, id
    from job
    where ordering_key is not null
),
event as (
    insert into headrace.job_events (job, seq, run, to_state, reason, actor)
    select job.id, 1, 1, 'queued', 'submitted', given.actor
    from job
    join given on given.id = job.id
),
ring as materialized (
    select pg_notify('headrace_jobs', $17::text)
    where $17::text is not null and exists (select from job)
)
select id, created_at from job left join ring on true;

-- name: limit_queue
-- Sets how many jobs of a queue may run at once, null for any number; returns the limit before.
-- $1 queue, $2 most
select headrace.limit_queue($1::text, $2::integer);

-- name: limit_tenant
-- Sets how many jobs of a tenant may run at once, null for any number; returns the limit before.
-- $1 tenant, $2 most, $3 by, $4 reason
select headrace.limit_tenant($1::text, $2::integer, $3::text, $4::text);

-- name: limit_pipeline
-- Makes the limits count that a version's definition names.
-- $1 pipeline, $2 version, $3 most jobs, $4 most jobs of one concurrency key
select headrace.limit_pipeline($1::text, $2::text, $3::integer, $4::integer);

-- name: list_tenants
-- Tenants with a limit, with what of them runs and waits.
select
    limits.tenant, limits.concurrency, limits.set_at, limits.set_by, limits.reason,
    headrace.slots_used(headrace.gate('tenant', limits.tenant)) as running,
    (
        select count(*)::integer from headrace.blocked as waiting
        where waiting.gate = headrace.gate('tenant', limits.tenant)
    ) as blocked
from headrace.tenant_limits as limits
order by limits.tenant;

-- name: prune_ordered
-- Forgets the places of jobs that have ended, where nobody came to do it before.
-- $1 most rows
delete from headrace.ordered
where (gate, position) in (
    select place.gate, place.position
    from headrace.ordered as place
    left join headrace.jobs as job
        on job.id = place.job and job.position = place.position
        and job.state in ('queued', 'running')
    where job.id is null
    limit $1
);

-- name: add_keyed_lane
-- As submit.add_lane, for the jobs with keys of a queue, pipeline and version. A new one is told to
-- all workers.
-- $1 queue, $2 pipeline, $3 version
with queue as (
    insert into headrace.queues (name) values ($1) on conflict do nothing
),
added as (
    insert into headrace.lanes (queue, pipeline, version, keyed) values ($1, $2, $3, true)
    on conflict do nothing
    returning id
),
told as materialized (
    select pg_notify('headrace_jobs', '*') from added
)
select id from added left join told on true
union all
select id from headrace.lanes where queue = $1 and pipeline = $2 and version = $3 and keyed;
