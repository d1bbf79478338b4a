-- name: begin_operation
-- Takes a key that is free or whose outcome is out of date; or reads who has it. The insert decides:
-- `won` tells whose row it is. Nothing comes back where another one's insert was committed between
-- the look and the insert: ask again.
-- $1 tenant, $2 key, $3 operation, $4 input hash, $5 holder, $6 job, $7 token of the job, $8 run,
-- $9 step, $10 item, $11 worker, $12 silence after which a holder is gone
with taken as (
    insert into headrace.operations as known (
        tenant, key, operation, input_hash, holder, token, job, job_token, run, step, item, worker,
        created_at, renewed_at
    )
    values (
        $1::text, $2::text, $3::text, $4::bytea, $5::uuid, nextval('headrace.operation_tokens'),
        $6::uuid, $7::bigint, $8::integer, $9::text, $10::text, $11::integer, headrace.now(),
        headrace.now()
    )
    on conflict (tenant, key) do update
    set operation = excluded.operation, input_hash = excluded.input_hash, state = 'pending',
        holder = excluded.holder, token = excluded.token, takeovers = 0, job = excluded.job,
        job_token = excluded.job_token, run = excluded.run, step = excluded.step,
        item = excluded.item, worker = excluded.worker, awaited = false, output = null,
        artifact = null, error = null, created_at = excluded.created_at,
        renewed_at = excluded.renewed_at, completed_at = null, expires_at = null
    where known.expires_at <= headrace.now()
    returning token
)
select
    true as won, 'pending' as state, $3::text as operation, $4::bytea as input_hash,
    $5::uuid as holder, token, 0::smallint as takeovers, $6::uuid as job, $7::bigint as job_token,
    $11::integer as worker, null as output, null as artifact, null as error,
    headrace.now() as renewed_at, 0::float8 as age_s, false as is_gone
from taken
union all
select
    false, known.state, known.operation, known.input_hash, known.holder, known.token,
    known.takeovers, known.job, known.job_token, known.worker, known.output,
    known.artifact::text, known.error::text, known.renewed_at,
    extract(epoch from headrace.now() - known.created_at)::float8,
    known.state = 'pending' and (
        known.renewed_at <= headrace.now() - $12::interval
        or (
            known.worker is not null
            and not exists (
                select from headrace.workers as worker
                where worker.id = known.worker
                and worker.lost_at is null and worker.stopped_at is null
            )
        )
    )
from headrace.operations as known
where known.tenant = $1 and known.key = $2 and not exists (select from taken);

-- name: take_over_operation
-- Takes a pending operation from a holder that is gone, as it was seen; its new token.
-- $1 tenant, $2 key, $3 token seen, $4 renewed_at seen, $5 holder, $6 job, $7 token of the job,
-- $8 run, $9 step, $10 item, $11 worker
update headrace.operations
set holder = $5::uuid, token = nextval('headrace.operation_tokens'), takeovers = takeovers + 1,
    job = $6::uuid, job_token = $7::bigint, run = $8::integer, step = $9::text, item = $10::text,
    worker = $11::integer, renewed_at = headrace.now()
where tenant = $1 and key = $2 and state = 'pending' and token = $3::bigint
and renewed_at = $4::timestamptz
returning token;

-- name: await_operation
-- Has whoever ends a pending operation ring for it.
-- $1 tenant, $2 key
update headrace.operations set awaited = true
where tenant = $1 and key = $2 and state = 'pending' and not awaited;

-- name: renew_operation
-- The holder is still at it.
-- $1 tenant, $2 key, $3 token
update headrace.operations set renewed_at = headrace.now()
where tenant = $1 and key = $2 and state = 'pending' and token = $3::bigint;

-- name: complete_operation
-- Stores the output of a pending operation, unless another one has taken it over; the new state.
-- $1 tenant, $2 key, $3 token, $4 time to keep it, $5 output or null, $6 artifact or null
with ended as (
    update headrace.operations
    set state = 'completed', completed_at = headrace.now(),
        expires_at = headrace.now() + $4::interval, output = $5::text, artifact = $6::text::json
    where tenant = $1 and key = $2 and state = 'pending' and token = $3::bigint
    returning state, awaited
),
ring as materialized (
    select pg_notify('headrace_changes', 'operation:' || $1::text || '/' || $2::text)
    from ended where awaited
)
select ended.state from ended left join ring on true;

-- name: fail_operation
-- Stores the permanent failure of a pending operation; as complete_operation.
-- $1 tenant, $2 key, $3 token, $4 time to keep it, $5 error
with ended as (
    update headrace.operations
    set state = 'failed', completed_at = headrace.now(),
        expires_at = headrace.now() + $4::interval, error = $5::text::json
    where tenant = $1 and key = $2 and state = 'pending' and token = $3::bigint
    returning state, awaited
),
ring as materialized (
    select pg_notify('headrace_changes', 'operation:' || $1::text || '/' || $2::text)
    from ended where awaited
)
select ended.state from ended left join ring on true;

-- name: release_operation
-- Leaves the key of a pending operation free for the next try.
-- $1 tenant, $2 key, $3 holder
with freed as (
    delete from headrace.operations
    where tenant = $1 and key = $2 and state = 'pending' and holder = $3::uuid
    returning awaited
)
select pg_notify('headrace_changes', 'operation:' || $1::text || '/' || $2::text)
from freed where awaited;

-- name: read_operation
-- What is known of a key.
-- $1 tenant, $2 key
select
    tenant, key, operation, input_hash, state, token, takeovers, job, run, step, item, worker,
    output, artifact::text, error::text, created_at, renewed_at, completed_at, expires_at
from headrace.operations
where tenant = $1 and key = $2;

-- name: find_operation
-- As read_operation, held until the transaction ends: it waits for a server process that is still
-- at work on the row.
-- $1 tenant, $2 key
select state, token from headrace.operations where tenant = $1 and key = $2 for update;

-- name: list_operations
-- Operations, those that began last first.
-- $1 tenant or null, $2 state or null, $3 most rows
select
    tenant, key, operation, input_hash, state, token, takeovers, job, run, step, item, worker,
    null as output, null as artifact, error::text, created_at, renewed_at, completed_at, expires_at
from headrace.operations
where ($1::text is null or tenant = $1) and ($2::text is null or state = $2)
order by created_at desc, tenant, key
limit $3;

-- name: list_job_operations
-- As list_operations, of one job.
-- $1 tenant or null, $2 state or null, $3 most rows, $4 job
select
    tenant, key, operation, input_hash, state, token, takeovers, job, run, step, item, worker,
    null as output, null as artifact, error::text, created_at, renewed_at, completed_at, expires_at
from headrace.operations
where job = $4::uuid and ($1::text is null or tenant = $1) and ($2::text is null or state = $2)
order by created_at desc, tenant, key
limit $3;

-- name: forget_operation
-- Removes what is known of a key; the outcome of a holder is refused then.
-- $1 tenant, $2 key, $3 whether also while it is pending
with freed as (
    delete from headrace.operations
    where tenant = $1 and key = $2 and ($3::boolean or state <> 'pending')
    returning state, awaited
),
ring as materialized (
    select pg_notify('headrace_changes', 'operation:' || $1::text || '/' || $2::text)
    from freed where awaited
)
select freed.state from freed left join ring on true;

-- name: prune_operations
-- Deletes outcomes that are out of date, and what a holder has left pending that is gone for long.
-- $1 age of what is pending, $2 most rows
with old as materialized (
    (
        select tenant, key, token from headrace.operations
        where expires_at <= headrace.now()
        order by expires_at
        limit $2
    )
    union all
    (
        select tenant, key, token from headrace.operations
        where state = 'pending' and renewed_at <= headrace.now() - $1::interval
        order by renewed_at
        limit $2
    )
    limit $2
)
delete from headrace.operations as known
using old
where known.tenant = old.tenant and known.key = old.key and known.token = old.token
and (known.expires_at <= headrace.now() or known.renewed_at <= headrace.now() - $1::interval);
