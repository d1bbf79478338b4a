-- Waiting for people, other systems and other jobs (docs/adr/0022-waits.md).
--
-- A job that waits is an ordinary queued job whose row of `queued` is not ready, due when the first
-- of its waits is over. What it waits for makes that row ready in the transaction in which it comes.
--
-- Nothing that comes is missed: a signal is stored under the locks of the job's row and of its row of
-- `queued`, and a job that is put back looks for its signals under the same lock. A child's end
-- removes its row of `children`; a parent that is put back takes a lock on these rows, and what is
-- gone, or just being removed, is looked at again at once.
--
-- Nobody waits in a circle: the row of `queued` is locked before that of the job, as by whoever
-- cancels; a child's end waits for no row of `queued`; and who holds locks of `children` because of a
-- parent that is put back waits for nothing any more.

-- What was sent to a run of a job: the first value of a name stands. That none came in time is a
-- row, too, so that in time or too late is decided once.
create table headrace.signals (
    job uuid not null,
    run integer not null,
    name text collate "C" not null,
    value json,
    expired boolean not null default false,
    sent_by text,
    received_at timestamptz not null default clock_timestamp(),
    primary key (job, run, name),
    constraint signals_value check ((value is null) = expired)
);

-- What steps began to wait for, and until when.
create table headrace.waits (
    job uuid not null,
    run integer not null,
    step text collate "C" not null,
    item text collate "C" not null,
    kind text collate "C" not null,
    name text collate "C" not null,
    began_at timestamptz not null default clock_timestamp(),
    due_at timestamptz,
    token bigint not null,
    primary key (job, run, step, item, kind, name),
    constraint waits_kind check (kind in ('signal', 'child', 'delay'))
);

create trigger signals_evidence before update or delete on headrace.signals
for each statement execute function headrace.refuse_change();
create trigger waits_evidence before update or delete on headrace.waits
for each statement execute function headrace.refuse_change();

-- The jobs that have not ended and belong to a step of another one.
create table headrace.children (
    child uuid primary key,
    parent uuid not null,
    run integer not null
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

create index children_parent on headrace.children (parent);

-- Puts a job that waits back into the ready index, and rings; does nothing where it does not wait.
-- Its rank is that of the moment when it began to wait: it is not moved behind what came since.
create function headrace.wake_waiting_job(waiting uuid, waits_until timestamptz) returns void
language plpgsql as $$
declare
    found_at tid;
    woken integer;
begin
    select entry.ctid into found_at
    from headrace.queued as entry
    where not entry.ready and entry.due_at = waits_until and entry.job = waiting
    for update skip locked;  -- whoever holds it makes it ready, claims it or ends it
    if found_at is null then
        return;
    end if;
    update headrace.queued as entry
    set ready = true, due_at = headrace.now()
    where entry.ctid = found_at
    returning entry.lane into woken;
    perform pg_notify('headrace_jobs', lane.queue)
    from headrace.lanes as lane
    where lane.id = woken;
end $$;

-- Stores a signal; what became of it: `stored`; `same` or `other`, where this value or another one
-- stands; `late`, where none came in time; `ended`, `missing` and `stale`, where there is no such run;
-- `again`, where the job moved meanwhile, and is to be asked once more.
-- With a token it is the job's own step that sends it.
create function headrace.send_signal(
    to_job uuid, signal text, given json, sender text, of_token bigint
) returns text
language plpgsql as $$
declare
    seen record;
    place record;
    standing record;
begin
    select job.state, job.due_at, job.run into seen from headrace.jobs as job where job.id = to_job;
    if not found then
        return 'missing';
    end if;
    -- Only who will wake it holds its row of `queued`: a child that ends passes by a locked one.
    if seen.state = 'queued' and exists (
        select from headrace.waits as wait
        where wait.job = to_job and wait.run = seen.run and wait.kind = 'signal'
        and wait.name = signal
    ) and not exists (
        select from headrace.signals as stored
        where stored.job = to_job and stored.run = seen.run and stored.name = signal
    ) then
        perform from headrace.queued as entry
        where not entry.ready and entry.due_at = seen.due_at and entry.job = to_job
        for update;  -- whoever cancels it has done so, or has given up, when this returns
    end if;
    select job.run, job.state, job.due_at, job.wait_reason, job.token into place
    from headrace.jobs as job
    where job.id = to_job
    for no key update;
    if not found then
        return 'missing';
    end if;
    if place.state = 'queued' and (place.state, place.due_at) <> (seen.state, seen.due_at) then
        return 'again';
    end if;
    if of_token is not null and (place.state <> 'running' or place.token <> of_token) then
        return 'stale';
    end if;
    -- From here on statements see what was committed before the lock was given.
    select stored.value::text as value, stored.expired into standing
    from headrace.signals as stored
    where stored.job = to_job and stored.run = place.run and stored.name = signal;
    if found then
        return case
            when standing.expired then 'late'
            when standing.value = given::text then 'same'
            else 'other'
        end;
    end if;
    if place.state not in ('queued', 'running') then
        return 'ended';
    end if;
    insert into headrace.signals (job, run, name, value, sent_by)
    values (to_job, place.run, signal, given, sender);
    if place.state = 'queued' and place.wait_reason <> 'unclaimable' and exists (
        select from headrace.waits as wait
        where wait.job = to_job and wait.run = place.run and wait.kind = 'signal'
        and wait.name = signal
    ) then
        perform headrace.wake_waiting_job(to_job, place.due_at);
    end if;
    return 'stored';
end $$;

-- A child has ended: its parent looks at it.
create function headrace.leave_parent() returns trigger
language plpgsql as $$
declare
    bound record;
begin
    delete from headrace.children as gone
    where gone.child = new.id
    returning gone.parent, gone.run into bound;
    if found then
        perform headrace.wake_waiting_job(job.id, job.due_at)
        from headrace.jobs as job
        where job.id = bound.parent and job.run = bound.run
        and job.state = 'queued' and job.wait_reason <> 'unclaimable'
        and exists (
            select from headrace.waits as wait
            where wait.job = job.id and wait.run = job.run and wait.kind = 'child'
            and wait.name = new.id::text
        );
    end if;
    return null;
end $$;

create trigger jobs_leave_parent after update on headrace.jobs
for each row when (
    new.parent_job is not null and old.finished_at is null and new.finished_at is not null
)
execute function headrace.leave_parent();

alter table headrace.signals enable row level security;
alter table headrace.waits enable row level security;
alter table headrace.children enable row level security;
create policy signals_wall on headrace.signals using (
    current_user <> 'headrace_api' or exists (
        select from headrace.jobs as owned where owned.id = job
    )
);
create policy waits_wall on headrace.waits using (
    current_user <> 'headrace_api' or exists (
        select from headrace.jobs as owned where owned.id = job
    )
);
create policy children_wall on headrace.children using (
    current_user <> 'headrace_api' or exists (
        select from headrace.jobs as owned where owned.id = parent
    )
);

create or replace function headrace.admit_api() returns void
language plpgsql as $$
begin
    grant usage on schema headrace to headrace_api;
    grant select on
        headrace.jobs, headrace.queued, headrace.steps, headrace.records, headrace.tries,
        headrace.progress, headrace.job_events, headrace.dead_letters, headrace.artifacts,
        headrace.lanes, headrace.pipelines, headrace.webhooks, headrace.outbox,
        headrace.signals, headrace.waits, headrace.children
    to headrace_api;
    grant select, insert, update, delete on headrace.request_keys to headrace_api;
end $$;

do $$
begin
    if to_regrole('headrace_api') is not null then
        perform headrace.admit_api();
    end if;
end $$;
