-- Where signals stand in the history of their job, so that its events can tell of them
-- (docs/adr/0011-live-events.md).
--
-- A job may wait for days, in which the clock may be set back: the transition after which a signal
-- came is kept as its number, under the lock of the job's row, which every transition takes.
alter table headrace.signals
    add column seq integer,  -- null where an earlier release wrote it: events do not tell of those
    add column reused_from integer;  -- the run to which it was sent, where a later one took it over

create or replace function headrace.send_signal(
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
    select job.run, job.seq, job.state, job.due_at, job.wait_reason, job.token into place
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
    insert into headrace.signals (job, run, name, value, sent_by, seq)
    values (to_job, place.run, signal, given, sender, place.seq);
    if place.state = 'queued' and place.wait_reason <> 'unclaimable' and exists (
        select from headrace.waits as wait
        where wait.job = to_job and wait.run = place.run and wait.kind = 'signal'
        and wait.name = signal
    ) then
        perform headrace.wake_waiting_job(to_job, place.due_at);
    end if;
    return 'stored';
end $$;
