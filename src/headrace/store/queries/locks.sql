-- name: acquire_lock
-- Takes a lock that is free, expired, of a dead worker, or the caller's own by an earlier, lost
-- reply. Who finds it held waits for nobody and locks nothing. One whose row is locked is about to
-- be taken, or guards a transaction that has not ended. A worker that is not alive gets none: it
-- would be void.
-- $1 tenant, $2 key, $3 lease, $4 holder, $5 worker or null, $6 job or null, $7 step or null,
-- $8 reason or null
with free as materialized (
    select lock.token, lock.released_at, lock.expires_at
    from headrace.locks as lock
    where lock.tenant = $1 and lock.key = $2
    and (
        lock.released_at is not null
        or lock.expires_at <= headrace.now()
        or lock.holder = $4
        or (
            lock.worker is not null
            and not exists (
                select from headrace.workers as worker
                where worker.id = lock.worker
                and worker.lost_at is null and worker.stopped_at is null
            )
        )
    )
    for update of lock skip locked
),
taken as (
    insert into headrace.locks as lock (
        tenant, key, token, holder, worker, job, step, reason, acquired_at, expires_at
    )
    select
        $1, $2, nextval('headrace.tokens'), $4, $5::integer, $6::uuid, $7, $8, headrace.moment(),
        headrace.now() + $3::interval
    where (
        exists (select from free)
        or not exists (
            select from headrace.locks as known where known.tenant = $1 and known.key = $2
        )
    )
    and (
        $5::integer is null
        or exists (
            select from headrace.workers as worker
            where worker.id = $5 and worker.lost_at is null and worker.stopped_at is null
        )
    )
    on conflict (tenant, key) do update
    -- Not the token drawn above: that was before the row was locked.
    set token = nextval('headrace.tokens'), holder = excluded.holder, worker = excluded.worker,
        job = excluded.job, step = excluded.step, reason = excluded.reason,
        acquired_at = headrace.moment(), expires_at = excluded.expires_at, released_at = null
    where exists (select from free)
    returning lock.token, lock.holder, lock.worker, lock.job, lock.step, lock.acquired_at,
        lock.expires_at
),
ended as (
    insert into headrace.lock_grants (token, change, tenant, key, at)
    select
        free.token,
        case when free.expires_at <= taken.acquired_at then 'expired' else 'superseded' end,
        $1, $2, least(free.expires_at, taken.acquired_at)
    from free cross join taken
    where free.released_at is null
),
granted as (
    insert into headrace.lock_grants (token, change, tenant, key, at, holder, worker, job, reason)
    select token, 'granted', $1, $2, acquired_at, holder, worker, job, $8 from taken
)
select
    true as is_granted, token, holder, worker, job, step, expires_at,
    extract(epoch from expires_at - headrace.now())::float8 as left_s, false as is_free
from taken
union all
select
    false, token, holder, worker, job, step, expires_at,
    extract(epoch from expires_at - headrace.now())::float8,
    released_at is not null or expires_at <= headrace.now()
from headrace.locks
where tenant = $1 and key = $2 and not exists (select from taken);

-- name: renew_locks
-- Extends leases that are not over, and whose worker lives, from now on; the tokens of these.
-- $1 tokens bigint[], $2 leases interval[]
update headrace.locks as lock
set expires_at = greatest(lock.expires_at, headrace.now() + given.lease)
from unnest($1::bigint[], $2::interval[]) as given (token, lease)
where lock.token = given.token and lock.released_at is null and lock.expires_at > headrace.now()
and (
    lock.worker is null
    or exists (
        select from headrace.workers as worker
        where worker.id = lock.worker and worker.lost_at is null and worker.stopped_at is null
    )
)
returning lock.token;

-- name: extend_lock
-- Adds to a lease that is not over, up to an hour from now.
-- $1 token, $2 time
update headrace.locks
set expires_at = least(expires_at + $2::interval, headrace.now() + interval '1 hour')
where token = $1 and released_at is null and expires_at > headrace.now()
returning expires_at, extract(epoch from expires_at - headrace.now())::float8 as left_s;

-- name: release_lock
-- Frees a lock under its token, or under its holder's name where no token came back, and rings for
-- who waits. Whether it was still held comes back; nothing where it is another's.
-- $1 tenant, $2 key, $3 token or null, $4 holder
with freed as (
    update headrace.locks
    set released_at = headrace.moment()
    where tenant = $1 and key = $2 and holder = $4 and token = coalesce($3, token)
    and released_at is null
    returning token, released_at, expires_at, released_at < expires_at as is_in_time
),
ended as (
    insert into headrace.lock_grants (token, change, tenant, key, at)
    select
        token, case when is_in_time then 'released' else 'expired' end, $1, $2,
        least(released_at, expires_at)
    from freed
),
ring as materialized (
    select pg_notify('headrace_changes', 'lock:' || $1 || ':' || $2) from freed
)
select freed.is_in_time from freed left join ring on true;

-- name: force_release
-- Takes a lock from its holder, who hears of it when he renews it, and rings.
-- $1 tenant, $2 key, $3 actor, $4 reason
with held as materialized (
    select token, holder, worker, job, step, reason, acquired_at, expires_at
    from headrace.locks
    where tenant = $1 and key = $2 and released_at is null
    for no key update
),
freed as (
    update headrace.locks as lock
    set released_at = headrace.moment()
    from held
    where lock.token = held.token and lock.released_at is null
    returning lock.token, lock.released_at
),
ended as (
    insert into headrace.lock_grants (token, change, tenant, key, at, actor, reason)
    select
        freed.token, case when held.expires_at <= freed.released_at then 'expired' else 'forced' end,
        $1, $2, least(freed.released_at, held.expires_at), $3, $4
    from freed cross join held
),
ring as materialized (
    select pg_notify('headrace_changes', 'lock:' || $1 || ':' || $2) from freed
)
select
    $1 as tenant, $2 as key, held.token, held.holder, held.worker, held.job, held.step,
    held.reason, held.acquired_at, held.expires_at,
    extract(epoch from held.expires_at - headrace.now())::float8 as left_s
from held join freed on true left join ring on true;

-- name: free_void_locks
-- Ends leases that are over, and those of workers that are not alive, and rings for who waits.
-- $1 most rows
with void as materialized (
    select lock.tenant, lock.key, lock.token, lock.expires_at
    from headrace.locks as lock
    where lock.released_at is null
    and (
        lock.expires_at <= headrace.now()
        or (
            lock.worker is not null
            and not exists (
                select from headrace.workers as worker
                where worker.id = lock.worker
                and worker.lost_at is null and worker.stopped_at is null
            )
        )
    )
    limit $1
    for update of lock skip locked
),
freed as (
    update headrace.locks as lock
    set released_at = headrace.moment()
    from void
    where lock.token = void.token
    returning lock.tenant, lock.key, lock.token, lock.released_at, lock.expires_at
),
ended as (
    insert into headrace.lock_grants (token, change, tenant, key, at)
    select
        token, case when expires_at <= released_at then 'expired' else 'superseded' end,
        tenant, key, least(released_at, expires_at)
    from freed
),
ring as materialized (
    select tenant, key, token, pg_notify('headrace_changes', 'lock:' || tenant || ':' || key)
    from freed
)
select tenant, key, token from ring;

-- name: verify_lock
-- Keeps everybody from taking a lock until this transaction ends; nothing where it is not held.
-- $1 token
select token from headrace.locks
where token = $1 and released_at is null and expires_at > headrace.now()
for key share;

-- name: get_lock
-- Who holds a lock.
-- $1 tenant, $2 key
select
    tenant, key, token, holder, worker, job, step, reason, acquired_at, expires_at,
    extract(epoch from expires_at - headrace.now())::float8 as left_s
from headrace.locks
where tenant = $1 and key = $2 and released_at is null and expires_at > headrace.now();

-- name: list_locks
-- Locks that are held, by tenant and key.
-- $1 tenant or null, $2 prefix of keys or null, $3 after this tenant, $4 and this key, $5 most rows
select
    tenant, key, token, holder, worker, job, step, reason, acquired_at, expires_at,
    extract(epoch from expires_at - headrace.now())::float8 as left_s
from headrace.locks
where released_at is null and expires_at > headrace.now()
and ($1::text is null or tenant = $1)
and ($2::text is null or starts_with(key, $2))
and (tenant, key) > ($3, $4)
order by tenant, key
limit $5;

-- name: prune_locks
-- Deletes locks that were released over a day ago, unless somebody takes one now.
-- $1 most rows
delete from headrace.locks
where token in (
    select token from headrace.locks
    where released_at < headrace.now() - interval '1 day'
    order by released_at
    limit $1
    for update skip locked
);

-- name: prune_grants
-- Deletes, of the oldest grants, what is older than the age.
-- $1 age, $2 most rows
delete from headrace.lock_grants as gone
using (
    select token, change, at from headrace.lock_grants order by token, change limit $2
) as oldest
where gone.token = oldest.token and gone.change = oldest.change
and oldest.at < headrace.now() - $1::interval;
