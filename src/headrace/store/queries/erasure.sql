-- name: lock_ended
-- The state of a job that is to be erased; held until the transaction ends.
-- $1 id
select state, erased_at from headrace.jobs where id = $1::uuid for update;

-- name: erase_job
-- Leaves of an ended job what its history needs. Its deletions need retention.allow_deletion.
-- $1 id
with emptied as (
    update headrace.jobs
    set input = 'null', parameters = null, metadata = null, error = null, cancel_reason = null,
        erased_at = clock_timestamp()
    where id = $1::uuid
),
dead as (
    update headrace.dead_letters set message = 'erased' where job = $1::uuid
),
own as (delete from headrace.webhooks where job = $1::uuid returning id),
sent as (  -- what is over, and what only the job's own webhooks were to be told
    delete from headrace.outbox
    where job = $1::uuid
    and (sent_at is not null or given_up_at is not null or webhook in (select id from own))
),
told as (  -- what others are still to be told: that it happened, and nothing of what it was about
    update headrace.outbox set payload = headrace.without_content(payload)
    where job = $1::uuid and sent_at is null and given_up_at is null
    and (webhook is null or webhook not in (select id from own))
),
steps as (delete from headrace.steps where job = $1::uuid),
records as (delete from headrace.records where job = $1::uuid),
signals as (delete from headrace.signals where job = $1::uuid),
waits as (delete from headrace.waits where job = $1::uuid),
tries as (delete from headrace.tries where job = $1::uuid)
delete from headrace.progress where job = $1::uuid;

-- name: take_events
-- Removes those events of a job that say more than a transition; they are written again without.
-- $1 id
delete from headrace.job_events
where job = $1::uuid and metadata is not null
returning seq, run, from_state, to_state, reason, actor, worker, token, at;

-- name: put_events
-- $1 id, $2 seqs integer[], $3 runs integer[], $4 from text[], $5 to text[], $6 reasons text[],
-- $7 actors text[], $8 workers integer[], $9 tokens bigint[], $10 times timestamptz[]
insert into headrace.job_events (
    job, seq, run, from_state, to_state, reason, actor, worker, token, at
)
select $1::uuid, given.*
from unnest(
    $2::integer[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[],
    $9::bigint[], $10::timestamptz[]
) as given;

-- name: artifact_paths
-- Where bytes of a job lie, but for what answers for an operation: that is its tenant's.
-- $1 id
select path from headrace.artifacts as artifact
where job = $1::uuid
and not exists (
    select from headrace.operations as operation
    where operation.job = artifact.job and operation.artifact ->> 'path' = artifact.path
);
