-- name: find_undo_jobs
-- Which of these jobs undo a run of another one, and whether nobody has begun with it before.
-- $1 ids uuid[]
select job.id, job.undo_of, job.undo_run, job.undo_steps, job.wait_reason = 'undo' as is_new
from headrace.jobs as job
where job.id = any($1::uuid[]) and job.undo_of is not null;

-- name: load_undone
-- What is stored of the runs that are undone, and whether the run made it itself, in no order.
-- $1 ids uuid[], $2 runs integer[]
select
    stored.job, stored.run, stored.step, stored.item, stored.state, stored.output, stored.artifact,
    stored.reused_from is null as is_own
from (select distinct * from unnest($1::uuid[], $2::integer[]) as given (job, run)) as wanted
join headrace.steps as stored on stored.job = wanted.job and stored.run = wanted.run;

-- name: lock_undo_job
-- The job that undoes a run of a job; held until the transaction ends.
-- $1 job, $2 run
select undo.id, undo.state, undo.run, undo.undo_steps
from headrace.jobs as undo
where undo.parent_job = $1::uuid and undo.undo_of = $1::uuid and undo.undo_run = $2
for no key update;

-- name: lock_undo_jobs
-- The jobs that undo, or have undone, runs of a job; held until the transaction ends.
-- $1 job
select undo.id, undo.state
from headrace.jobs as undo
where undo.parent_job = $1::uuid and undo.undo_of = $1::uuid
order by undo.id
for no key update;

-- name: read_undo_job
-- The job that undoes a run of a job.
-- $1 job, $2 run
select undo.id, undo.state, undo.run, undo.error, undo.token, undo.undo_steps
from headrace.jobs as undo
where undo.parent_job = $1::uuid and undo.undo_of = $1::uuid and undo.undo_run = $2;

-- name: list_undone
-- The steps that an undo job has undone, in that order.
-- $1 undo job, $2 its run
select stored.step
from headrace.steps as stored
where stored.job = $1::uuid and stored.run = $2 and stored.item = ''
and (
    stored.state <> 'planned'
    or json_array_length(stored.output) = (
        select count(*)
        from headrace.steps as item
        where item.job = stored.job and item.run = stored.run and item.step = stored.step
        and item.item <> ''
    )
)
order by stored.position;
