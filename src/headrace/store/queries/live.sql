-- name: count_live
-- About how many jobs are queued or running.
select (select count(*) from headrace.queued)
    + (select coalesce(sum(cardinality(jobs)), 0) from headrace.claims);

-- name: live_jobs
-- Every job that is queued or running, with what it was submitted with, by id.
with live as (
    select job as id from headrace.queued
    union
    select given.id from headrace.claims as claim cross join unnest(claim.jobs) as given (id)
)
select job.id, lane.queue, lane.pipeline, lane.version, job.run, job.input
from live
join headrace.jobs as job on job.id = live.id and job.state in ('queued', 'running')
join headrace.lanes as lane on lane.id = job.lane
order by job.id;

-- name: load_awaited
-- The signals for which steps of these jobs' present runs wait, and nothing came yet.
-- $1 ids uuid[], $2 runs integer[]
select distinct wait.job, wait.name
from unnest($1::uuid[], $2::integer[]) as wanted (job, run)
join headrace.waits as wait on wait.job = wanted.job and wait.run = wanted.run
where wait.kind = 'signal' and not exists (
    select from headrace.signals as sent
    where sent.job = wait.job and sent.run = wait.run and sent.name = wait.name
);
