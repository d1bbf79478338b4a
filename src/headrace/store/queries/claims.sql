-- name: claim_jobs
-- Takes due jobs for a worker: deletes their queue rows, marks them running under one new token,
-- and writes the claim's row and the events. A worker that is marked lost gets nothing.
-- The shares that are asked for take turns: from each in the order in which they are given, what is
-- first there by rank in all its lanes, and no more than $7. When there are enough jobs the further
-- shares are not looked at. One probe of the ready index for each pair of lane and share.
-- $1 worker, $2 lanes integer[], $3 most jobs, $4 suspects (or all others),
-- $5 lanes of an older version of what the worker carries integer[],
-- $6 shares smallint[], one for each of the lanes, $7 most jobs of one share
with granted as materialized (
    select nextval('headrace.tokens') as token
    from headrace.workers as worker
    where worker.id = $1 and worker.lost_at is null and worker.stopped_at is null
),
turn as materialized (
    select pair.share, array_agg(pair.lane) as lanes
    from unnest($2::integer[], $6::smallint[]) with ordinality as pair (lane, share, place)
    where pair.share <> all (array(select limits.share from headrace.tenant_limits as limits))
    group by pair.share
    order by min(pair.place)
),
picked as materialized (
    select due.place
    from granted
    cross join turn
    cross join lateral (
        select first.place
        from unnest(turn.lanes) as carried (id)
        join headrace.lanes as lane on lane.id = carried.id
        cross join lateral (
            select entry.ctid as place, entry.rank, entry.job
            from headrace.queued as entry
            where entry.ready and entry.lane = lane.id and entry.suspect = $4::boolean
            and entry.share = turn.share
            and (entry.deadline is null or entry.deadline > headrace.now())  -- else the sweep fails it
            order by entry.rank, entry.job
            limit $7::integer
            for update skip locked
        ) as first
        where not lane.keyed and not lane.limited  -- those are for gates.claim_gated
        and not exists (
            select from headrace.queues as queue
            where queue.name = lane.queue and queue.paused_at is not null
        )
        order by first.rank, first.job
        limit $7::integer
    ) as due
    limit $3::integer  -- not sorted: sorting would take from every share what it then leaves
),
taken as (
    delete from headrace.queued as entry
    using picked
    where entry.ctid = picked.place
    returning entry.job, entry.share
),
claimed as (
    update headrace.jobs as job
    set state = 'running', worker = $1, token = granted.token, seq = job.seq + 1,
        claimed_at = clock_timestamp(),
        started_at = coalesce(job.started_at, clock_timestamp())
    from taken
    cross join granted
    where job.id = taken.job and job.state = 'queued'
    returning
        job.id, job.token, job.lane, job.run, job.seq, job.tenant, job.owner, job.input,
        job.suspicion, job.cancel_requested_at is not null as cancel_requested,
        date_part('epoch', job.deadline - headrace.now()) as deadline_s, job.ran_ms,
        job.waited_ms, job.preset, job.parameters, job.correlation_id,
        date_part('epoch', headrace.now() - job.due_at) as late_s,
        date_part('epoch', job.claimed_at - job.created_at) as age_s,
        job.wait_reason in ('new', 'scheduled') as first_of_run, job.traceparent, taken.share
),
claim as (
    insert into headrace.claims (token, worker, jobs)
    select granted.token, $1, taken.jobs
    from granted
    cross join (select array_agg(id) as jobs from claimed) as taken
    where taken.jobs is not null
),
event as (
    insert into headrace.job_events (job, seq, run, from_state, to_state, reason, worker, token)
    select id, seq, run, 'queued', 'running',
        case when lane = any($5::integer[]) then 'adopted' else 'claimed' end, $1, token
    from claimed
)
select * from claimed;

-- name: find_shares
-- The shares of each of these lanes in which there are jobs to claim, in rising order for each lane:
-- one probe of the ready index for each that is found, and one more for each lane.
-- $1 lanes integer[], $2 suspects (or all others), $3 the share after which to begin, $4 most of a
-- lane
with recursive found (lane, share, place) as (
    select lane.id, first.share, 1
    from headrace.lanes as lane
    cross join lateral (
        select entry.share
        from headrace.queued as entry
        where entry.ready and entry.lane = lane.id and entry.suspect = $2::boolean
        and entry.share > $3::smallint
        and (entry.deadline is null or entry.deadline > headrace.now())
        order by entry.share
        limit 1
    ) as first
    where lane.id = any($1::integer[]) and not lane.keyed and not lane.limited
    and not exists (
        select from headrace.queues as queue
        where queue.name = lane.queue and queue.paused_at is not null
    )
    union all
    select found.lane, next.share, found.place + 1
    from found
    cross join lateral (
        select entry.share
        from headrace.queued as entry
        where entry.ready and entry.lane = found.lane and entry.suspect = $2::boolean
        and entry.share > found.share
        and (entry.deadline is null or entry.deadline > headrace.now())
        order by entry.share
        limit 1
    ) as next
    where found.place < $4::integer
)
select lane, share from found;

-- name: promote_due
-- Makes queue rows ready whose time has come.
-- $1 most rows
with picked as materialized (
    select ctid as place from headrace.queued
    where not ready and due_at <= headrace.now()
    order by due_at
    limit $1
    for update skip locked
)
update headrace.queued as entry
set ready = true
from picked
where entry.ctid = picked.place;

-- name: next_due
-- Seconds until the next queued job is due; null when none waits.
select extract(epoch from min(due_at) - headrace.now())::float8 as wait_s
from headrace.queued
where not ready and due_at < 'infinity';  -- which is that of blocked ones

-- name: is_work_due
-- Whether a job of these lanes could be claimed now; one probe of the ready index for each lane.
-- $1 lanes integer[]
select exists (
    select
    from headrace.lanes as lane
    where lane.id = any($1::integer[])
    and exists (
        select from headrace.queued as entry
        where entry.ready and entry.lane = lane.id and not entry.suspect
        offset 0
    )
    and not exists (
        select from headrace.queues as queue
        where queue.name = lane.queue and queue.paused_at is not null
    )
);

-- name: carried_lanes
-- Every lane of these pipelines.
-- $1 pipelines text[], $2 queues text[]
select id, queue, pipeline, version
from headrace.lanes
where pipeline = any($1::text[]) and queue = any($2::text[]);

-- name: load_steps
-- What is stored of these jobs' present runs, in no order.
-- $1 ids uuid[], $2 runs integer[]
select stored.job, stored.step, stored.item, stored.state, stored.output, stored.artifact
from unnest($1::uuid[], $2::integer[]) as wanted (job, run)
join headrace.steps as stored on stored.job = wanted.job and stored.run = wanted.run;

-- name: load_tries
-- The failures of each step and item since its last partial checkpoint, and its next due time.
-- $1 ids uuid[], $2 runs integer[]
select tried.job, tried.step, tried.item, max(tried.attempt) as attempts,
    count(*) filter (
        where tried.failed_at > coalesce(partial.finished_at, '-infinity')
        and tried.class not in ('rate_limited', 'unavailable', 'budget', 'lock_busy')
    )::integer as failures,
    count(*) filter (
        where tried.class = 'timeout' and tried.failed_at > coalesce(partial.finished_at, '-infinity')
    )::integer as timeouts,
    count(*) filter (
        where tried.class = 'lock_busy' and tried.failed_at > coalesce(partial.finished_at, '-infinity')
    )::integer as busy,
    extract(epoch from max(tried.due_at) - headrace.now())::float8 as wait_s
from unnest($1::uuid[], $2::integer[]) as wanted (job, run)
join headrace.tries as tried on tried.job = wanted.job and tried.run = wanted.run
left join lateral (
    select max(record.finished_at) as finished_at
    from headrace.records as record
    where record.job = tried.job and record.run = tried.run
    and record.step = tried.step and record.item = tried.item
) as partial on true
group by tried.job, tried.step, tried.item;

-- name: load_records
-- The `once` records of these jobs' present runs.
-- $1 ids uuid[], $2 runs integer[]
select record.job, record.step, record.item, record.name, record.output, record.artifact
from unnest($1::uuid[], $2::integer[]) as wanted (job, run)
join headrace.records as record on record.job = wanted.job and record.run = wanted.run;

-- name: load_starts
-- The step starts that were on record when these jobs' workers died.
-- $1 ids uuid[]
select job, step, item, charges from headrace.progress
where job = any($1::uuid[]) and recorded;

-- name: expire_signals
-- Stores that signals did not come in time to these jobs, behind the fence, and tells which. A job
-- whose row is locked is left to the next look: all others of the worker would wait for it.
-- $1 ids uuid[], $2 tokens bigint[]
with fenced as materialized (
    select job.id, job.run, job.seq
    from unnest($1::uuid[], $2::bigint[]) as given (id, token)
    join headrace.jobs as job on job.id = given.id
    where job.token = given.token and job.state = 'running'
    for no key update of job skip locked
)
insert into headrace.signals (job, run, name, expired, seq)
select distinct fenced.id, fenced.run, wait.name, true, fenced.seq
from fenced
join headrace.waits as wait on wait.job = fenced.id and wait.run = fenced.run
where wait.kind = 'signal' and wait.due_at <= headrace.now()
on conflict do nothing
returning job, name;

-- name: load_signals
-- What was sent to these jobs' present runs; a null value did not come in time.
-- $1 ids uuid[], $2 runs integer[]
select sent.job, sent.name, sent.value
from unnest($1::uuid[], $2::integer[]) as wanted (job, run)
join headrace.signals as sent on sent.job = wanted.job and sent.run = wanted.run;

-- name: load_waits
-- What the steps of these jobs' present runs began to wait for; of a child, whether it has ended, and
-- whether it goes on and its end would wake nobody.
-- $1 ids uuid[], $2 runs integer[]
select wait.job, wait.step, wait.item, wait.kind, wait.name,
    extract(epoch from wait.due_at - headrace.now())::float8 as wait_s,
    wait.kind = 'child' and child.id is null as has_ended,
    child.id is not null and not exists (
        select from headrace.children as bound where bound.child = child.id
    ) as is_unbound
from unnest($1::uuid[], $2::integer[]) as wanted (job, run)
join headrace.waits as wait on wait.job = wanted.job and wait.run = wanted.run
left join headrace.jobs as child
    on child.id = case when wait.kind = 'child' then wait.name::uuid end
    and child.state in ('queued', 'running')
order by wait.began_at desc;  -- of two children of a step, the one that it returned last counts

-- name: held_jobs
-- What the database says this worker holds.
-- $1 worker
select job.id, job.token
from headrace.claims as claim
cross join unnest(claim.jobs) as given (id)
cross join lateral (
    select running.id, running.token
    from headrace.jobs as running
    where running.id = given.id and running.token = claim.token and running.state = 'running'
    offset 0  -- else the planner begins with all jobs
) as job
where claim.worker = $1;

-- name: drop_claims
-- Removes claims whose jobs have all left the worker's hands.
-- $1 worker, $2 tokens bigint[]
delete from headrace.claims where worker = $1 and token = any($2::bigint[]);

-- name: drop_idle_claims
-- Removes claims that nothing of what the worker holds came from, and under which nothing runs:
-- their reply was lost.
-- $1 worker, $2 tokens in its hands bigint[]
delete from headrace.claims as claim
where claim.worker = $1 and claim.token <> all($2::bigint[])
and not exists (
    select
    from unnest(claim.jobs) as given (id)
    join headrace.jobs as job on job.id = given.id
    where job.token = claim.token and job.state = 'running'
);

-- name: work_left
-- Whether a queued job of these lanes waits for more than its time, other jobs, other code or
-- somebody outside.
-- $1 lanes integer[]
select exists (
    select
    from headrace.queued as entry
    join headrace.jobs as job on job.id = entry.job
    join headrace.lanes as lane on lane.id = entry.lane
    where entry.lane = any($1::integer[]) and entry.due_at < 'infinity'  -- else it is blocked
    and job.wait_reason not in ('scheduled', 'unclaimable')
    and (entry.ready or job.wait_reason not in ('external', 'child', 'delay'))
    and not exists (
        select from headrace.queues as queue
        where queue.name = lane.queue and queue.paused_at is not null
    )
);
