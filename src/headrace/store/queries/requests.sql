-- name: find_owned_job
-- Whether a job belongs to a tenant, and to an owner of it where one is given.
-- $1 id, $2 tenant, $3 owner or null for all
select state from headrace.jobs
where id = $1::uuid and tenant = $2::text and ($3::text is null or owner = $3);

-- name: insert_jobs
-- Stores the jobs of many requests that have nothing in common but their queue. A list that is
-- shorter than the ids is filled up with nulls: one that would hold nothing else is sent empty.
-- Returns the time at which they were created.
-- $1 ids uuid[], $2 inputs text[], $3 lanes integer[], $4 tenants text[], $5 owners text[],
-- $6 priorities smallint[], $7 due_at timestamptz[], $8 deadlines timestamptz[], $9 presets text[],
-- $10 parameters text[], $11 metadata text[], $12 correlation ids text[], $13 parent jobs uuid[],
-- $14 actors text[], $15 trace parents text[], $16 head start of one priority point,
-- $17 queue to ring or null
with moment as materialized (select clock_timestamp() as at, headrace.now() as now),
given as materialized (
    select given.*, coalesce(given.due_at, moment.now) as starts_at,
        coalesce(given.due_at, moment.now) - given.priority * $16::interval as rank,
        coalesce(given.due_at <= moment.now, true) as ready
    from unnest(
        $1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::smallint[],
        $7::timestamptz[], $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::text[],
        $13::uuid[], $14::text[], $15::text[]
    ) as given (
        id, input, lane, tenant, owner, priority, due_at, deadline, preset, parameters, metadata,
        correlation_id, parent_job, actor, traceparent
    )
    cross join moment
),
job as (
    insert into headrace.jobs (
        id, lane, tenant, owner, priority, due_at, rank, wait_reason, deadline, preset, parameters,
        metadata, correlation_id, parent_job, input, traceparent, created_at
    )
    select
        id, lane, tenant, owner, priority, starts_at, rank,
        case when ready then 'new' else 'scheduled' end, deadline, preset, parameters::json,
        metadata::json, correlation_id, parent_job, input::json, traceparent, moment.at
    from given cross join moment
),
entry as (
    insert into headrace.queued (job, lane, ready, share, rank, due_at, deadline)
    select id, lane, ready, headrace.share_of(tenant), rank, starts_at, deadline from given
),
event as (
    insert into headrace.job_events (job, seq, run, to_state, reason, actor)
    select id, 1, 1, 'queued', 'submitted', actor from given
),
ring as materialized (
    select pg_notify('headrace_jobs', $17::text) where $17::text is not null
)
select moment.at from moment left join ring on true;

-- name: insert_keyed_jobs
-- As insert_jobs, for requests with idempotency keys: returns the ids that were stored. The insert
-- decides the winner; for a key that is taken nothing is written.
-- $1 to $17 as insert_jobs, $18 keys text[], $19 hashes of the requests bytea[]
with moment as materialized (select clock_timestamp() as at, headrace.now() as now),
job as (
    insert into headrace.jobs (
        id, lane, tenant, owner, priority, due_at, rank, wait_reason, deadline, preset, parameters,
        metadata, correlation_id, parent_job, input, traceparent, created_at, idempotency_key,
        request_hash
    )
    select
        given.id, given.lane, given.tenant, given.owner, given.priority,
        coalesce(given.due_at, moment.now),
        coalesce(given.due_at, moment.now) - given.priority * $16::interval,
        case when coalesce(given.due_at <= moment.now, true) then 'new' else 'scheduled' end,
        given.deadline, given.preset, given.parameters::json, given.metadata::json,
        given.correlation_id, given.parent_job, given.input::json, given.traceparent, moment.at,
        given.key, given.hash
    from unnest(
        $1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::smallint[],
        $7::timestamptz[], $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::text[],
        $13::uuid[], $14::text[], $15::text[], $18::text[], $19::bytea[]
    ) as given (
        id, input, lane, tenant, owner, priority, due_at, deadline, preset, parameters, metadata,
        correlation_id, parent_job, actor, traceparent, key, hash
    )
    cross join moment
    on conflict (tenant, owner, idempotency_key) where idempotency_key is not null do nothing
    returning id, lane, tenant, rank, due_at, deadline, wait_reason
),
entry as (
    insert into headrace.queued (job, lane, ready, share, rank, due_at, deadline)
    select id, lane, wait_reason = 'new', headrace.share_of(tenant), rank, due_at, deadline
    from job
),
event as (
    insert into headrace.job_events (job, seq, run, to_state, reason, actor)
    select job.id, 1, 1, 'queued', 'submitted', given.actor
    from job
    join unnest($1::uuid[], $14::text[]) as given (id, actor) on given.id = job.id
),
ring as materialized (
    select pg_notify('headrace_jobs', $17::text)
    where $17::text is not null and exists (select from job)
)
select id from job left join ring on true;

-- name: find_keyed_jobs
-- The jobs that own these idempotency keys, in the order of time.
-- $1 tenants text[], $2 owners text[], $3 keys text[]
select
    job.tenant, job.owner, job.idempotency_key, job.id, job.created_at, job.request_hash,
    lane.pipeline, job.input::text
from unnest($1::text[], $2::text[], $3::text[]) as given (tenant, owner, key)
join headrace.jobs as job
    on job.tenant = given.tenant and job.owner = given.owner and job.idempotency_key = given.key
join headrace.lanes as lane on lane.id = job.lane;

-- name: find_created
-- When jobs were created: asked after a commit whose reply was lost.
-- $1 ids uuid[]
select created_at from headrace.jobs where id = any($1::uuid[]) limit 1;

-- name: begin_request
-- Takes a key for a request that begins: a row comes back where it was free, its answer is out of
-- date, or whoever took it never ended.
-- $1 tenant, $2 owner, $3 key, $4 fingerprint, $5 longest time to serve it, $6 time to keep it
insert into headrace.request_keys as known (
    tenant, owner, key, fingerprint, pending_until, expires_at
)
values (
    $1::text, $2::text, $3::text, $4::bytea, headrace.now() + $5::interval,
    headrace.now() + $6::interval
)
on conflict (tenant, owner, key) do update
set fingerprint = excluded.fingerprint, pending_until = excluded.pending_until,
    expires_at = excluded.expires_at, status = null, headers = null, body = null
where known.expires_at < headrace.now()
or (known.status is null and known.pending_until < headrace.now()
    and known.fingerprint = excluded.fingerprint)
returning pending_until;

-- name: find_request
-- What is known of a key.
-- $1 tenant, $2 owner, $3 key
select fingerprint, status, headers, body
from headrace.request_keys
where tenant = $1 and owner = $2 and key = $3;

-- name: end_request
-- Keeps the answer to a request, unless somebody took its key over meanwhile.
-- $1 tenant, $2 owner, $3 key, $4 pending_until that it was taken with, $5 status, $6 headers,
-- $7 body
update headrace.request_keys
set status = $5::smallint, headers = $6::json, body = $7::bytea
where tenant = $1 and owner = $2 and key = $3 and pending_until = $4::timestamptz;

-- name: forget_request
-- Frees the key of a request that failed on our side.
-- $1 tenant, $2 owner, $3 key, $4 pending_until that it was taken with
delete from headrace.request_keys
where tenant = $1 and owner = $2 and key = $3 and pending_until = $4::timestamptz
and status is null;

-- name: prune_requests
-- Deletes answers that are out of date.
-- $1 most rows
delete from headrace.request_keys
where (tenant, owner, key) in (
    select tenant, owner, key from headrace.request_keys
    where expires_at < headrace.now()
    order by expires_at
    limit $1
);
