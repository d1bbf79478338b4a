-- name: add_webhook
-- Nothing comes back where the tenant has as many as it may have.
-- $1 id, $2 tenant, $3 owner or null for the whole tenant, $4 url, $5 events text[], $6 created by,
-- $7 most of a tenant
insert into headrace.webhooks (id, tenant, owner, url, events, created_by)
select $1::uuid, $2::text, $3::text, $4::text, $5::text[], $6::text
where (
    select count(*) from headrace.webhooks where tenant = $2::text and job is null
) < $7::integer
returning id, tenant, owner, job, url, events, key_generation, previous_until, disabled_at,
    disabled_reason, created_at, created_by;

-- name: add_job_webhooks
-- Those of jobs that the same transaction stores: each has the id of its job.
-- $1 jobs uuid[], $2 tenants text[], $3 owners text[], $4 urls text[], $5 events text[], of each
-- job with commas, $6 created by text[]
insert into headrace.webhooks (id, job, tenant, owner, url, events, created_by)
select given.job, given.job, given.tenant, given.owner, given.url,
    string_to_array(given.events, ','), given.created_by
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
    as given (job, tenant, owner, url, events, created_by);

-- name: list_webhooks
-- Those of a tenant, the newest first, without those of single jobs.
-- $1 tenant
select id, tenant, owner, job, url, events, key_generation, previous_until, disabled_at,
    disabled_reason, created_at, created_by
from headrace.webhooks
where tenant = $1 and job is null
order by created_at desc, id;

-- name: find_webhook
-- $1 id, $2 tenant
select id, tenant, owner, job, url, events, key_generation, previous_until, disabled_at,
    disabled_reason, created_at, created_by
from headrace.webhooks
where id = $1 and tenant = $2;

-- name: rotate_webhook
-- The next key; with the one before is signed as well, for a while.
-- $1 id, $2 tenant, $3 how long
update headrace.webhooks
set key_generation = key_generation + 1, previous_until = headrace.now() + $3::interval
where id = $1 and tenant = $2
returning id, tenant, owner, job, url, events, key_generation, previous_until, disabled_at,
    disabled_reason, created_at, created_by;

-- name: enable_webhook
-- $1 id, $2 tenant
update headrace.webhooks
set disabled_at = null, disabled_reason = null
where id = $1 and tenant = $2
returning id, tenant, owner, job, url, events, key_generation, previous_until, disabled_at,
    disabled_reason, created_at, created_by;

-- name: delete_webhook
-- $1 id, $2 tenant
delete from headrace.webhooks
where id = $1 and tenant = $2
returning id, tenant, owner, job, url, events, key_generation, previous_until, disabled_at,
    disabled_reason, created_at, created_by;

-- name: add_test
-- An event that a tenant asks for, to see its receiver work; nothing comes back for one that is
-- disabled. It says what it is and nothing else.
-- $1 id, $2 tenant, $3 event id
insert into headrace.outbox (event_id, webhook, endpoint, kind, payload, tenant)
select $3::uuid, id, endpoint, 'webhook.test', json_build_object(
    'type', 'webhook.test', 'timestamp', headrace.as_text(headrace.now()), 'data',
    json_build_object('event_id', $3::uuid, 'tenant', tenant)
), tenant
from headrace.webhooks
where id = $1 and tenant = $2 and disabled_at is null
returning event_id;

-- name: list_deliveries
-- What was sent to a webhook and what waits for it, the newest first.
-- $1 webhook, $2 only before this row or null, $3 most rows
select id, event_id, kind, job, run, attempts, due_at, sent_at, given_up_at, last_error, created_at
from headrace.outbox
where webhook = $1 and ($2::bigint is null or id < $2)
order by id desc
limit $3;
