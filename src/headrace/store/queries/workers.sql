-- name: next_worker
-- A number no worker had before: its identity and the second half of its advisory lock.
select nextval('headrace.worker_ids')::integer;

-- name: take_presence
-- Holds the worker's advisory lock for as long as this session lives.
-- $1 lock class, $2 worker
select pg_try_advisory_lock($1::integer, $2::integer);

-- name: session_process
-- The server process of this session; two different answers in a session tell of a pooler.
select pg_backend_pid();

-- name: start_worker
-- Registers a worker; sent again when the reply of its commit was lost.
-- $1 id, $2 host, $3 pid, $4 version, $5 queues, $6 carries json, $7 lanes, $8 concurrency,
-- $9 lease, $10 presence
insert into headrace.workers (
    id, host, pid, version, queues, carries, lanes, concurrency, heartbeat_at, expires_at, presence,
    incarnation
)
values (
    $1, $2, $3, $4, $5, $6::json, $7, $8, headrace.now(), headrace.now() + $9::interval, $10,
    headrace.incarnation()
)
on conflict (id) do nothing;

-- name: renew_worker
-- Extends the lease of a worker that is not marked lost, also past its expiry. Nothing comes back for
-- one that is lost.
-- $1 id, $2 lease, $3 presence, $4 running, $5 lanes
update headrace.workers
set heartbeat_at = headrace.now(), expires_at = headrace.now() + $2::interval,
    presence = $3, incarnation = headrace.incarnation(), running = $4, lanes = $5
where id = $1 and lost_at is null and stopped_at is null
returning draining_at is not null as draining;

-- name: cancel_requests
-- The running jobs of a worker whose cancellation was asked for.
-- $1 worker
select job.id, job.token
from headrace.claims as claim
cross join unnest(claim.jobs) as given (id)
cross join lateral (
    select running.id, running.token
    from headrace.jobs as running
    where running.id = given.id and running.token = claim.token and running.state = 'running'
    and running.cancel_requested_at is not null
    offset 0  -- else the planner begins with all jobs
) as job
where claim.worker = $1;

-- name: stop_worker
-- Signs a worker off.
-- $1 id
update headrace.workers
set stopped_at = headrace.now(), presence = false, running = 0
where id = $1 and stopped_at is null;

-- name: drain_workers
-- Asks workers to take nothing new, finish and end.
-- $1 ids or null for all
update headrace.workers
set draining_at = coalesce(draining_at, headrace.now())
where ($1::integer[] is null or id = any($1::integer[]))
and lost_at is null and stopped_at is null
returning id;

-- name: list_workers
-- The newest workers and how each of them is.
-- $1 most rows
select
    id, host, pid, version, queues, carries, lanes, concurrency, running, presence, started_at,
    heartbeat_at, expires_at, draining_at, lost_at, stopped_at,
    case
        when stopped_at is not null then 'stopped'
        when lost_at is not null then 'lost'
        when expires_at <= headrace.now() then 'stale'
        when draining_at is not null then 'draining'
        else 'alive'
    end as state
from headrace.workers
order by id desc
limit $1;

-- name: lose_workers
-- Marks workers lost whose lease is over, or whose process is gone: the last heartbeat said presence,
-- was written in the server's present incarnation, is older than the grace, and its advisory lock is
-- free. The lock of the worker's row orders this against a renewal.
-- $1 lock class, $2 presence grace
update headrace.workers
set lost_at = headrace.now()
where id in (
    select worker.id
    from headrace.workers as worker
    where worker.lost_at is null and worker.stopped_at is null
    and (
        worker.expires_at <= headrace.now()
        or (
            worker.presence
            and worker.incarnation = headrace.incarnation()
            and worker.heartbeat_at < headrace.now() - $2::interval
            and not exists (
                select from pg_locks as held
                where held.locktype = 'advisory' and held.granted
                and held.database = (
                    select oid from pg_database where datname = current_database()
                )
                and held.classid = $1::integer::oid and held.objid = worker.id::oid
                and held.objsubid = 2
            )
        )
    )
    order by worker.id
    for update skip locked
)
returning id, expires_at > headrace.now() as vanished;

-- name: orphaned_claims
-- Claims of workers that are not alive, however they ended, with the jobs that still run under each.
-- $1 most rows
select
    claim.token, claim.worker,
    (
        select count(*)
        from unnest(claim.jobs) as given (id)
        join headrace.jobs as job on job.id = given.id
        where job.token = claim.token and job.state = 'running'
    )::integer as jobs
from headrace.claims as claim
where not exists (
    select from headrace.workers as worker
    where worker.id = claim.worker and worker.lost_at is null and worker.stopped_at is null
)
order by claim.token
limit $1;

-- name: forget_worker
-- Forgets a worker that has signed off and holds nothing; one that lived for a request only.
-- $1 worker
delete from headrace.workers as worker
where worker.id = $1 and worker.stopped_at is not null
and not exists (select from headrace.claims as claim where claim.worker = worker.id);

-- name: prune_workers
-- Forgets workers that ended long ago and hold nothing.
-- $1 age
delete from headrace.workers as worker
where coalesce(worker.lost_at, worker.stopped_at) < headrace.now() - $1::interval
and not exists (select from headrace.claims as claim where claim.worker = worker.id);
