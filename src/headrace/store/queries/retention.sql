-- name: take_duty
-- One worker at a time does a duty: nothing comes back for all others until its time is over.
-- $1 duty, $2 worker, $3 time
insert into headrace.duties as duty (name, worker, expires_at)
values ($1, $2, headrace.now() + $3::interval)
on conflict (name) do update
set worker = excluded.worker, expires_at = excluded.expires_at
where duty.worker = excluded.worker or duty.expires_at <= headrace.now()
returning true;

-- name: ring_ready
-- Rings for every open queue that has something to claim; one probe of the ready index a lane.
with waiting as materialized (
    select distinct lane.queue
    from headrace.lanes as lane
    where exists (select from headrace.queued as entry where entry.ready and entry.lane = lane.id)
    and not exists (
        select from headrace.queues as queue
        where queue.name = lane.queue and queue.paused_at is not null
    )
)
select pg_notify('headrace_jobs', queue) from waiting;

-- name: promote_queues
-- As claims.promote_due; returns how many jobs of which queues.
-- $1 most rows
with picked as materialized (
    select ctid as place from headrace.queued
    where not ready and due_at <= headrace.now()
    order by due_at
    limit $1
    for update skip locked
),
promoted as (
    update headrace.queued as entry
    set ready = true
    from picked
    where entry.ctid = picked.place
    returning entry.lane
)
select lane.queue, count(*)::integer as jobs
from promoted
join headrace.lanes as lane on lane.id = promoted.lane
group by lane.queue;

-- name: take_rings
-- The open queues in which work waits that nobody took for some time after the last ring, and marks
-- them as rung for. The first ring is due $2 after the oldest job was, which was rung for then; each
-- further one after twice that time, up to $3. One probe of the ready index for each lane.
-- $1 worker, $2 first wait, $3 longest wait
with waiting as materialized (
    select lane.queue, min(due.since) as since, sum(due.jobs)::integer as jobs
    from headrace.lanes as lane
    cross join lateral (
        select min(entry.due_at) as since, count(*) as jobs
        from (
            select due_at from headrace.queued
            where ready and queued.lane = lane.id
            order by suspect, share, rank, job
            limit 1000
        ) as entry
    ) as due
    where due.jobs > 0
    and not exists (
        select from headrace.queues as queue
        where queue.name = lane.queue and queue.paused_at is not null
    )
    group by lane.queue
),
rung as (
    insert into headrace.duties as duty (name, worker, expires_at)
    select 'ring ' || waiting.queue, $1, headrace.now()  -- over at once: it tells when that was
    from waiting
    left join headrace.duties as last on last.name = 'ring ' || waiting.queue
    where headrace.now() >= case
        when last.expires_at >= waiting.since
        then last.expires_at + least(last.expires_at - waiting.since + $2::interval, $3::interval)
        else waiting.since + $2::interval
    end
    on conflict (name) do update
    set worker = excluded.worker, expires_at = excluded.expires_at
    returning name
)
select waiting.queue, waiting.jobs
from waiting
where 'ring ' || waiting.queue in (select name from rung);

-- name: clear_progress
-- Removes progress that means nothing any more: of jobs that ended or began another run, and, but for
-- recorded starts, of claims that are over.
-- $1 most rows
with stale as materialized (
    select known.job, known.step, known.item
    from headrace.progress as known
    left join headrace.jobs as job on job.id = known.job and job.run = known.run
    where job.id is null
    or job.state not in ('queued', 'running')
    or (not known.recorded and (job.state <> 'running' or job.token <> known.token))
    limit $1
)
delete from headrace.progress as known
using stale
where known.job = stale.job and known.step = stale.step and known.item = stale.item
returning known.job;

-- name: unreferenced_artifacts
-- Artifacts of some age whose reference was never committed, or has been removed since.
-- $1 after this path, $2 age, $3 most rows
select artifact.path
from headrace.artifacts as artifact
where artifact.path > $1 and artifact.created_at < headrace.now() - $2::interval
and not exists (
    select from headrace.steps as stored
    where stored.job = artifact.job and stored.artifact ->> 'path' = artifact.path
)
and not exists (
    select from headrace.records as record
    where record.job = artifact.job and record.artifact ->> 'path' = artifact.path
)
and not exists (
    select from headrace.operations as operation
    where operation.job = artifact.job and operation.artifact ->> 'path' = artifact.path
)
-- The token of a running job: its checkpoint may still come.
and not exists (
    select from headrace.jobs as job
    where job.id = artifact.job and job.token = artifact.token and job.state = 'running'
)
order by artifact.path
limit $3;

-- name: forget_artifacts
-- Deletes the rows of artifacts whose bytes are gone.
-- $1 paths text[]
delete from headrace.artifacts where path = any($1::text[]);

-- name: allow_deletion
-- Lets this transaction delete from the tables that otherwise refuse it.
select set_config('headrace.retention', 'on', true);

-- name: prune_jobs
-- Deletes one page of jobs that ended long ago, with all that belongs to them. Ids are in order of
-- time, so that the primary key is the index. Returns where the next page begins: null at the end.
-- $1 after this id, $2 age, $3 jobs in a page
with page as materialized (
    select id from headrace.jobs
    where id > $1 and id < headrace.first_id(headrace.now() - $2::interval)
    order by id
    limit $3
),
expired as materialized (
    select job.id
    from page
    join headrace.jobs as job on job.id = page.id
    where job.finished_at < headrace.now() - $2::interval
    and not exists (  -- what is still to be undone is needed for that
        select from headrace.jobs as undo
        where undo.parent_job = job.id and undo.undo_of = job.id and undo.state <> 'completed'
    )
    for update of job skip locked
),
step as (delete from headrace.steps as gone using expired where gone.job = expired.id),
record as (delete from headrace.records as gone using expired where gone.job = expired.id),
try as (delete from headrace.tries as gone using expired where gone.job = expired.id),
event as (delete from headrace.job_events as gone using expired where gone.job = expired.id),
dead as (delete from headrace.dead_letters as gone using expired where gone.job = expired.id),
start as (delete from headrace.progress as gone using expired where gone.job = expired.id),
signal as (delete from headrace.signals as gone using expired where gone.job = expired.id),
wait as (delete from headrace.waits as gone using expired where gone.job = expired.id),
bound as (delete from headrace.children as gone using expired where gone.parent = expired.id),
hook as (delete from headrace.webhooks as gone using expired where gone.job = expired.id),
-- A topic still gets what it has not got yet.
told as (
    delete from headrace.outbox as gone
    using expired
    where gone.job = expired.id
    and (gone.webhook is not null or gone.sent_at is not null or gone.given_up_at is not null)
),
done as (
    delete from headrace.jobs as gone using expired where gone.id = expired.id
    returning gone.id
)
select
    (select count(*) from done)::integer as removed,
    case
        when (select count(*) from page) = $3::integer
        then (select id from page order by id desc limit 1)
    end as next;

-- name: prune_checkpoints
-- Deletes the checkpoints of one page of jobs that completed or were cancelled long ago, but for the
-- step whose output is the job's result. A failed job keeps all of them.
-- $1 after this id, $2 age, $3 jobs in a page
with page as materialized (
    select id from headrace.jobs
    where id > $1 and id < headrace.first_id(headrace.now() - $2::interval)
    order by id
    limit $3
),
expired as materialized (
    select job.id, job.run, job.result_step
    from page
    join headrace.jobs as job on job.id = page.id
    where job.state in ('completed', 'cancelled')
    and job.finished_at < headrace.now() - $2::interval
    and not exists (  -- what is still to be undone is needed for that
        select from headrace.jobs as undo
        where undo.parent_job = job.id and undo.undo_of = job.id and undo.state <> 'completed'
    )
    for no key update of job skip locked
),
step as (
    delete from headrace.steps as gone
    using expired
    where gone.job = expired.id
    and not (gone.run = expired.run and gone.step is not distinct from expired.result_step)
    returning gone.job
),
record as (
    delete from headrace.records as gone
    using expired
    where gone.job = expired.id
    returning gone.job
),
signal as (delete from headrace.signals as gone using expired where gone.job = expired.id),
wait as (delete from headrace.waits as gone using expired where gone.job = expired.id)
select
    (select count(*) from step)::integer + (select count(*) from record)::integer as removed,
    case
        when (select count(*) from page) = $3::integer
        then (select id from page order by id desc limit 1)
    end as next;

-- name: count_expired
-- What the two statements above would delete now.
-- $1 age of jobs, $2 age of checkpoints
with ended as materialized (
    select id, run, result_step, state, finished_at < headrace.now() - $1::interval as whole
    from headrace.jobs
    where id < headrace.first_id(headrace.now() - least($1::interval, $2::interval))
    and (
        finished_at < headrace.now() - $1::interval
        or (state in ('completed', 'cancelled') and finished_at < headrace.now() - $2::interval)
    )
)
select
    (select count(*) from ended where whole) as jobs,
    (
        select count(*)
        from ended
        join headrace.steps as stored on stored.job = ended.id
        where ended.whole
        or not (stored.run = ended.run and stored.step is not distinct from ended.result_step)
    ) + (
        select count(*) from ended join headrace.records as record on record.job = ended.id
    ) as checkpoints;
