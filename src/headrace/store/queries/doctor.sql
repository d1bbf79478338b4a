-- name: server
-- What the server says of itself, with its clock.
select
    current_setting('server_version') as version,
    current_setting('server_version_num')::integer as version_number,
    current_setting('max_connections')::integer
        - current_setting('superuser_reserved_connections')::integer as connections,
    (
        select count(*) from pg_stat_activity where backend_type = 'client backend'
    )::integer as connected,
    pg_backend_pid() as process,
    clock_timestamp() as at;

-- name: stuck_jobs
-- Jobs that have been running under one claim for longer than $1, the longest first.
-- $1 age, $2 most rows
select job.id, lane.pipeline, claim.worker, claim.claimed_at
from headrace.claims as claim
cross join unnest(claim.jobs) as given (id)
join headrace.jobs as job
    on job.id = given.id and job.token = claim.token and job.state = 'running'
join headrace.lanes as lane on lane.id = job.lane
where claim.claimed_at < headrace.now() - $1::interval
order by claim.claimed_at, job.id
limit $2;

-- name: failed_tries
-- How many tries failed within $1, of jobs that were submitted within $2: ids are in order of time.
-- $1 time, $2 age of the jobs
select count(*)
from headrace.tries
where job >= headrace.first_id(headrace.now() - $2::interval)
and failed_at >= headrace.now() - $1::interval;

-- name: webhooks
-- How many webhooks are told, and how many of those that are not of a single job are disabled.
select
    count(*) filter (where disabled_at is null)::integer as enabled,
    count(*) filter (where disabled_at is not null and job is null)::integer as disabled
from headrace.webhooks;
