-- name: signal_place
-- The pipeline of a job to which something is sent.
-- $1 job
select lane.pipeline, lane.version, lane.queue, job.state
from headrace.jobs as job
join headrace.lanes as lane on lane.id = job.lane
where job.id = $1;

-- name: send_signal
-- Stores a signal, wakes whoever waits for it, and tells what became of it: see 0013_waits.sql.
-- $1 job, $2 name, $3 value, $4 sender, $5 token of the job's own step or null
select headrace.send_signal($1::uuid, $2::text, $3::text::json, $4::text, $5::bigint);

-- name: read_signals
-- What was sent to one run of a job, oldest first.
-- $1 job, $2 run
select name, value::text as value, expired, sent_by, received_at
from headrace.signals
where job = $1::uuid and run = $2
order by received_at, name;

-- name: read_waits
-- What the steps of one run wait for that have no outcome yet; nothing once the run has ended.
-- $1 job, $2 run
select wait.step, wait.item, wait.kind, wait.name, wait.began_at, wait.due_at
from headrace.waits as wait
where wait.job = $1::uuid and wait.run = $2
and exists (
    select from headrace.jobs as job
    where job.id = wait.job and job.run = wait.run and job.finished_at is null
)
and not exists (
    select from headrace.steps as stored
    where stored.job = wait.job and stored.run = wait.run
    and stored.step = wait.step and stored.item = wait.item
)
and not (
    wait.kind = 'signal' and exists (
        select from headrace.signals as sent
        where sent.job = wait.job and sent.run = wait.run and sent.name = wait.name
    )
)
order by wait.began_at, wait.step, wait.item, wait.name;
