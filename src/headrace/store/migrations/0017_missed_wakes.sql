-- Parents whose row of `queued` somebody else held when a child ended (docs/adr/0022-waits.md).
--
-- The end of a child waits for nobody, and whoever holds that row wakes the parent, claims it or ends
-- it, unless that is rolled back: then the parent would sleep though nothing is left to wait for. So
-- the end leaves a row here, and the janitor wakes the parent if it still sleeps.
create table headrace.missed_wakes (
    job uuid not null,
    waits_until timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

alter table headrace.missed_wakes enable row level security;
create policy missed_wakes_wall on headrace.missed_wakes using (
    current_user <> 'headrace_api' or exists (
        select from headrace.jobs as owned where owned.id = job
    )
);

create or replace function headrace.wake_waiting_job(
    waiting uuid, waits_until timestamptz
) returns void
language plpgsql as $$
declare
    found_at tid;
    woken integer;
begin
    select entry.ctid into found_at
    from headrace.queued as entry
    where not entry.ready and entry.due_at = waits_until and entry.job = waiting
    for update skip locked;
    if found_at is null then
        -- Nothing is found here, either, once whoever held it has made it ready, claimed or ended it.
        insert into headrace.missed_wakes (job, waits_until)
        select entry.job, entry.due_at
        from headrace.queued as entry
        where not entry.ready and entry.due_at = waits_until
        and entry.job = waiting;
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
