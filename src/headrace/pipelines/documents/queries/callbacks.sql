-- name: find_call
-- The document that a job ingests, with the run of that job for which the parser was asked, which is
-- an earlier one where the present run took that step over; and the database's time.
-- $1 job
select document.id, document.tenant, document.owner, document.deleting,
    coalesce(
        (
            select (step.output ->> 'run')::integer from headrace.steps as step
            where step.job = job.id and step.run = job.run
            and step.step = 'hand_over' and step.item = ''
        ),
        job.run
    ) as run,
    extract(epoch from headrace.now())::double precision as now
from headrace_documents.documents as document
join headrace.jobs as job on job.id = document.job
where document.job = $1;

-- name: keep
-- Keeps the nonce of a callback for 24 hours; the hash of the body that it stands for comes back.
-- $1 job, $2 nonce, $3 sha256 of the body
with forgotten as (
    delete from headrace_documents.callbacks
    where received_at < headrace.now() - interval '24 hours'
)
insert into headrace_documents.callbacks as known (job, nonce, body, received_at)
values ($1, $2, $3, headrace.now())
on conflict (job, nonce) do update set nonce = excluded.nonce
returning known.body;
