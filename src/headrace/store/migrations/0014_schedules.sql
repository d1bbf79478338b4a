-- Schedules: jobs that are submitted by the clock.

-- A row for each, as the newest version of its pipeline says it is. `next_slot` is its memory and its
-- lock: who submits the job of a slot moves it on in the same transaction, and only from the value
-- that was read, so that two who try make one job. Versions of code are compared by their numbers:
-- what an older one says is not taken.
create table headrace.schedules (
    pipeline text collate "C" not null,
    name text collate "C" not null,
    version text collate "C" not null,
    cron text not null,
    timezone text not null,
    missed text not null,
    tenant text collate "C" not null,
    owner text collate "C" not null,
    next_slot timestamptz not null,
    last_slot timestamptz,
    last_job uuid,
    missed_slots bigint not null default 0,
    failures integer not null default 0,
    error text,
    failed_at timestamptz,
    retry_at timestamptz,
    paused_at timestamptz,
    paused_by text,
    pause_reason text,
    dropped_at timestamptz,
    created_at timestamptz not null default headrace.now(),
    changed_at timestamptz not null default headrace.now(),
    primary key (pipeline, name),
    constraint schedules_missed check (missed in ('skip', 'once', 'all')),
    constraint schedules_pause check ((paused_at is null) = (paused_by is null))
) with (fillfactor = 50);

-- The job of each slot, and what operators triggered. As old as jobs may be, no older.
create table headrace.schedule_slots (
    pipeline text collate "C" not null,
    schedule text collate "C" not null,
    slot timestamptz not null,
    job uuid not null,
    fired_at timestamptz not null default headrace.now(),
    triggered_by text,
    reason text,
    primary key (pipeline, schedule, slot)
);

create index schedule_slots_age on headrace.schedule_slots (fired_at);

create trigger schedule_slots_evidence before update or delete on headrace.schedule_slots
for each statement execute function headrace.refuse_change();
