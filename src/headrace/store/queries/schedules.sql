-- name: carried
-- The schedules of some pipelines with the time of the engine.
-- $1 pipelines text[]
select
    pipeline, name, version, cron, timezone, missed, tenant, owner, next_slot, last_slot, retry_at,
    paused_at is not null as paused, dropped_at is not null as dropped, headrace.now() as now
from headrace.schedules
where pipeline = any($1::text[])
order by pipeline, name;

-- name: define
-- What a version of a pipeline says of a schedule, unless a newer version has said something. Where
-- it says when anew, slots count from the time that is given.
-- $1 pipeline, $2 name, $3 version, $4 cron, $5 timezone, $6 policy, $7 tenant, $8 owner,
-- $9 next slot from now on, after its last one
insert into headrace.schedules as known (
    pipeline, name, version, cron, timezone, missed, tenant, owner, next_slot
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (pipeline, name) do update
set version = excluded.version, cron = excluded.cron, timezone = excluded.timezone,
    missed = excluded.missed, tenant = excluded.tenant, owner = excluded.owner,
    next_slot = case
        when known.cron = excluded.cron and known.timezone = excluded.timezone
        and known.dropped_at is null
        then known.next_slot
        else excluded.next_slot
    end,
    retry_at = null, calling_since = null, dropped_at = null, changed_at = headrace.now()
where string_to_array(known.version, '.')::integer[]
    <= string_to_array(excluded.version, '.')::integer[];

-- name: drop_others
-- Marks the schedules of a pipeline that this version of it has not, unless a newer one has them.
-- $1 pipeline, $2 version, $3 names text[] that it has
update headrace.schedules
set dropped_at = headrace.now(), version = $2, changed_at = headrace.now()
where pipeline = $1 and name <> all($3::text[]) and dropped_at is null
and string_to_array(version, '.')::integer[] <= string_to_array($2, '.')::integer[];

-- name: advance
-- Goes on to another slot, if the one that is next is still what the caller has read, of a schedule
-- that is still as the caller's code defines it. Null for everybody else, and while somebody is at it.
-- The row stays locked until the transaction ends.
-- $1 pipeline, $2 name, $3 slot that was next, $4 slot that is next then, $5 slots that get no job,
-- $6 version, $7 cron, $8 timezone
with held as materialized (
    select pipeline, name from headrace.schedules
    where pipeline = $1 and name = $2 and next_slot = $3
    and version = $6 and cron = $7 and timezone = $8
    and paused_at is null and dropped_at is null
    for no key update skip locked
)
update headrace.schedules as known
set next_slot = $4, missed_slots = missed_slots + $5
from held
where known.pipeline = held.pipeline and known.name = held.name
returning headrace.now() as now;

-- name: record_slot
-- The job of a slot, in the transaction that stores it.
-- $1 pipeline, $2 name, $3 slot, $4 job
with slot as (
    insert into headrace.schedule_slots (pipeline, schedule, slot, job) values ($1, $2, $3, $4)
)
update headrace.schedules
set last_slot = $3, last_job = $4, failures = 0, error = null, failed_at = null, retry_at = null,
    calling_since = null
where pipeline = $1 and name = $2;

-- name: record_trigger
-- The job that an operator asked for; the present moment is its slot.
-- $1 pipeline, $2 name, $3 slot, $4 job, $5 actor, $6 reason
insert into headrace.schedule_slots (pipeline, schedule, slot, job, triggered_by, reason)
values ($1, $2, $3, $4, $5, $6);

-- name: begin_call
-- Puts on record that the function is called for a slot, and tells whether a call before has not
-- come back; null where somebody else has gone on, or holds it.
-- $1 pipeline, $2 name, $3 slot that is next
with held as materialized (
    select pipeline, name, calling_since is not null as is_lost
    from headrace.schedules
    where pipeline = $1 and name = $2 and next_slot = $3
    for no key update skip locked
)
update headrace.schedules as known
set calling_since = headrace.now()
from held
where known.pipeline = held.pipeline and known.name = held.name
returning held.is_lost;

-- name: end_call
-- Takes the record of a call back that was cut off in good order.
-- $1 pipeline, $2 name, $3 slot that is next
update headrace.schedules
set calling_since = null
where pipeline = $1 and name = $2 and next_slot = $3;

-- name: record_failure
-- Why a slot has no job yet, and when that is tried again: after twice the time of the last wait.
-- $1 pipeline, $2 name, $3 slot that is next, $4 error, $5 first wait, $6 longest wait
update headrace.schedules
set failures = failures + 1, error = $4, failed_at = headrace.now(), calling_since = null,
    retry_at = headrace.now() + least($5::interval * power(2, least(failures, 20)), $6::interval)
where pipeline = $1 and name = $2 and next_slot = $3
returning failures, extract(epoch from retry_at - headrace.now())::float8 as retry_in_s;

-- name: list_schedules
-- Schedules by pipeline and name, with a word for how they are. Overdue: for five minutes nobody has
-- done anything about its slot. Filters may be null.
-- $1 pipeline, $2 name, $3 most rows
select
    pipeline || '.' || name as address, pipeline, name,
    case
        when dropped_at is not null then 'not carried'
        when paused_at is not null then 'paused'
        when failures > 0 then 'failing'
        when next_slot < headrace.now() - interval '5 minutes' then 'overdue'
        else 'active'
    end as state,
    cron, timezone, missed, version, tenant, owner, next_slot, last_slot, last_job, missed_slots,
    failures, error, retry_at, paused_at, paused_by, pause_reason, dropped_at, created_at, changed_at
from headrace.schedules
where ($1::text is null or pipeline = $1) and ($2::text is null or name = $2)
order by pipeline, name
limit $3;

-- name: list_slots
-- The jobs of a schedule's last slots, the latest first.
-- $1 pipeline, $2 name, $3 most rows
select slot.slot, slot.job, job.state, slot.fired_at, slot.triggered_by, slot.reason
from headrace.schedule_slots as slot
left join headrace.jobs as job on job.id = slot.job
where slot.pipeline = $1 and slot.schedule = $2
order by slot.slot desc
limit $3;

-- name: hold
-- A schedule's row, which nobody else changes until the transaction ends.
-- $1 pipeline, $2 name
select cron, timezone, next_slot, paused_at, headrace.now() as now
from headrace.schedules
where pipeline = $1 and name = $2
for no key update;

-- name: pause
-- $1 pipeline, $2 name, $3 actor, $4 reason
update headrace.schedules
set paused_at = coalesce(paused_at, headrace.now()), paused_by = $3, pause_reason = $4
where pipeline = $1 and name = $2;

-- name: resume
-- $1 pipeline, $2 name, $3 next slot
update headrace.schedules
set paused_at = null, paused_by = null, pause_reason = null, next_slot = $3,
    failures = 0, error = null, failed_at = null, retry_at = null, calling_since = null
where pipeline = $1 and name = $2;

-- name: prune_slots
-- Deletes some of what is older than the age.
-- $1 age, $2 most rows
delete from headrace.schedule_slots as gone
using (
    select ctid as place from headrace.schedule_slots
    where fired_at < headrace.now() - $1::interval
    order by fired_at
    limit $2
) as old
where gone.ctid = old.place;
