-- name: add_source
-- $1 name, $2 tenant, $3 owner, $4 names owners, $5 pipelines, $6 created by
insert into headrace.inbox_sources (name, tenant, owner, names_owners, pipelines, created_by)
values ($1::text, $2::text, $3::text, $4::boolean, $5::text[], $6::text)
on conflict (name) do nothing
returning *, clock_timestamp() as read_at;

-- name: find_source
-- One source, with the time by which its older key is judged. $1 name
select *, clock_timestamp() as read_at from headrace.inbox_sources where name = $1::text;

-- name: list_sources
-- All sources.
select *, clock_timestamp() as read_at from headrace.inbox_sources order by name;

-- name: rotate_source
-- $1 name, $2 for how long the key before stays good
update headrace.inbox_sources
set key_generation = key_generation + 1, previous_until = clock_timestamp() + $2::interval
where name = $1::text
returning *, clock_timestamp() as read_at;

-- name: disable_source
-- $1 name, $2 reason, or null to let it in again
update headrace.inbox_sources
set disabled_at = case when $2::text is not null then coalesce(disabled_at, clock_timestamp()) end,
    disabled_reason = $2::text
where name = $1::text
returning *, clock_timestamp() as read_at;

-- name: claim_key
-- Takes the key of a message, or waits for whoever is taking it. $1 source, $2 key, $3 message id,
-- $4 hash of the content
insert into headrace.inbox (source, key, message_id, content)
values ($1::text, $2::text, $3::text, $4::bytea)
on conflict (source, key) do nothing
returning true;

-- name: note_job
-- $1 source, $2 key, $3 job
update headrace.inbox set job = $3::uuid where source = $1::text and key = $2::text;

-- name: find_key
-- What was submitted under a key, and how its job is; no state where that was removed.
select received.content, received.job, job.state
from headrace.inbox as received
left join headrace.jobs as job on job.id = received.job
where received.source = $1::text and received.key = $2::text;

-- name: is_registered
-- Whether any process ever registered a pipeline of this name. $1 name
select exists (select from headrace.pipelines where name = $1::text);

-- name: put_aside
-- $1 fingerprint, $2 message id, $3 source, $4 tenant, $5 reason, $6 detail, $7 data, $8 attributes,
-- $9 published at
insert into headrace.quarantine (
    fingerprint, message_id, source, tenant, reason, detail, data, attributes, published_at
)
values (
    $1::bytea, $2::text, $3::text, $4::text, $5::text, $6::text, $7::bytea, $8::json,
    $9::timestamptz
)
on conflict (fingerprint) do nothing
returning id;

-- name: announce_aside
-- The message for the topic of dead letters, where there is one. $1 event id, $2 message id,
-- $3 tenant, $4 payload, $5 attributes
insert into headrace.outbox (
    event_id, topic, endpoint, ordering_key, kind, payload, attributes, tenant
)
select
    $1::uuid, topic.name, topic.name, $2::text, 'dead_letter', $4::json, $5::json, $3::text
from headrace.topics as topic
where topic.kind = 'dead-letters';

-- name: list_quarantine
-- The newest first, without their content. $1 reason or null, $2 source or null, $3 ids below,
-- $4 limit
select
    id, message_id, source, tenant, reason, detail, octet_length(data) as bytes, attributes,
    published_at, received_at, redriven_at, redriven_by, job
from headrace.quarantine
where ($1::text is null or reason = $1::text) and ($2::text is null or source = $2::text)
and id < $3::bigint
order by id desc
limit $4::integer;

-- name: find_quarantined
-- One message with its content. $1 id
select
    id, message_id, source, tenant, reason, detail, octet_length(data) as bytes, attributes,
    published_at, received_at, redriven_at, redriven_by, job, data
from headrace.quarantine
where id = $1::bigint;

-- name: lock_quarantined
-- The same, for whoever is about to change it. $1 id
select
    id, message_id, source, tenant, reason, detail, octet_length(data) as bytes, attributes,
    published_at, received_at, redriven_at, redriven_by, job, data
from headrace.quarantine
where id = $1::bigint
for update;

-- name: mark_redriven
-- $1 id, $2 by whom, $3 the job
update headrace.quarantine
set redriven_at = headrace.now(), redriven_by = $2::text, job = $3::uuid
where id = $1::bigint;

-- name: delete_quarantined
-- Forgets a message; no row where it was gone. $1 id
delete from headrace.quarantine where id = $1::bigint returning id;

-- name: prune_inbox
-- $1 how long keys are kept, $2 most rows
delete from headrace.inbox
where ctid = any(array(
    select ctid from headrace.inbox
    where received_at < headrace.now() - $1::interval
    order by received_at
    limit $2::integer
));

-- name: prune_quarantine
-- $1 how long messages are kept, $2 most rows
delete from headrace.quarantine
where ctid = any(array(
    select ctid from headrace.quarantine
    where received_at < headrace.now() - $1::interval
    order by received_at
    limit $2::integer
));
