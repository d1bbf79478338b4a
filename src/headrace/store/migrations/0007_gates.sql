-- Jobs in order, and no more at a time than a limit allows (docs/adr/0017-gates.md).
--
-- A job with an ordering key or a concurrency key waits in the keyed twin of its lane; the lanes of
-- queues and pipelines with a limit are marked as limited. A plain claim looks at neither, so that
-- it pays nothing for them: `claim_gated` takes their jobs, one claim at a time.
--
-- A gate is what a job has to pass: a text of its kind and names. Nothing has to be given back when a
-- job ends: a row of `slots` counts while its job runs under its token, a row of `ordered` while its
-- job is queued or running. What a gate keeps out leaves the ready index, or it would hide what is
-- behind it: its queue row has the due time `infinity`, and it stands in `blocked` until it is woken.

alter table headrace.lanes
    add column keyed boolean not null default false,
    add column limited boolean not null default false,
    drop constraint lanes_once,
    add constraint lanes_once unique (queue, pipeline, version, keyed);

alter table headrace.queues
    add column concurrency integer,
    add constraint queues_concurrency check (concurrency >= 1);

alter table headrace.pipelines
    add column concurrency integer,
    add column key_concurrency integer not null default 1,
    add constraint pipelines_concurrency check (concurrency >= 1),
    add constraint pipelines_key_concurrency check (key_concurrency >= 1);

create table headrace.tenant_limits (
    tenant text collate "C" primary key,
    share smallint not null generated always as (headrace.share_of(tenant)) stored,
    concurrency integer not null,
    set_at timestamptz not null default clock_timestamp(),
    set_by text not null,
    reason text,
    constraint tenant_limits_concurrency check (concurrency >= 1)
);

-- The position is that of the job's acceptance among those of its ordering key: of its first one, or
-- of the last time that it was opened again.
alter table headrace.jobs
    add column ordering_key text collate "C",
    add column concurrency_key text collate "C",
    add column position bigint;

create sequence headrace.positions as bigint;

create table headrace.slots (
    gate text collate "C" not null,
    job uuid not null,
    token bigint not null,
    primary key (gate, job)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create index slots_job on headrace.slots (job);

create table headrace.ordered (
    gate text collate "C" not null,
    position bigint not null,
    job uuid not null,
    primary key (gate, position)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

create table headrace.blocked (
    job uuid primary key,
    gate text collate "C" not null,
    rank timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

create index blocked_gate on headrace.blocked (gate, rank, job);

-- Blocked rows have one due time: they are found by their job.
drop index headrace.queued_due;
create index queued_due on headrace.queued (due_at, job) where not ready;

-- --- what a gate is ------------------------------------------------------------------------------

-- Keys and names hold no character that cannot be printed.
create function headrace.gate(kind text, name text, second text default '', third text default '')
returns text
language sql immutable parallel safe
return kind || E'\x1f' || name || E'\x1f' || second || E'\x1f' || third;

create function headrace.slots_used(gate text) returns integer
language sql stable
return (
    select count(*)::integer
    from headrace.slots as slot
    cross join lateral (
        select from headrace.jobs as job
        where job.id = slot.job and job.token = slot.token and job.state = 'running'
        offset 0  -- else the planner may begin with all jobs
    ) as holder
    where slot.gate = slots_used.gate
);

-- What the newest version of a pipeline says counts for the jobs of all.
create function headrace.pipeline_limits(
    pipeline text, out concurrency integer, out key_concurrency integer
)
language sql stable
begin atomic
    select known.concurrency, known.key_concurrency
    from headrace.pipelines as known
    where known.name = pipeline_limits.pipeline
    order by string_to_array(known.version, '.')::integer[] desc
    limit 1;
end;

-- How many jobs may run under a gate's slots at once; null: any number.
create function headrace.gate_limit(gate text) returns integer
language sql stable
return case split_part(gate, E'\x1f', 1)
    when 'key' then coalesce(
        (headrace.pipeline_limits(split_part(gate, E'\x1f', 3))).key_concurrency, 1
    )
    when 'tenant' then (
        select limits.concurrency from headrace.tenant_limits as limits
        where limits.tenant = split_part(gate_limit.gate, E'\x1f', 2)
    )
    when 'queue' then (
        select queue.concurrency from headrace.queues as queue
        where queue.name = split_part(gate_limit.gate, E'\x1f', 2)
    )
    when 'pipeline' then (headrace.pipeline_limits(split_part(gate, E'\x1f', 2))).concurrency
end;

-- The next place behind all jobs of an ordering key that were accepted. Whoever else submits with
-- this key waits until this transaction ends: so positions are in the order of commits.
create function headrace.next_position(tenant text, ordering_key text) returns bigint
language plpgsql as $$
begin
    if ordering_key is null then
        return null;
    end if;
    perform pg_advisory_xact_lock(
        hashtextextended(headrace.gate('order', tenant, ordering_key), 0)
    );
    return nextval('headrace.positions');
end $$;

-- --- keeping out and letting in ------------------------------------------------------------------
-- All of these are called by whoever holds the lock of the gates.

-- One at a time decides who passes. The lock ends with its transaction, which is one statement.
create function headrace.lock_gates() returns void
language sql
begin atomic
    select pg_advisory_xact_lock(hashtextextended('headrace.gates', 0));
end;

-- Puts a blocked job back into the ready index; its lane, or null where there was nothing to wake.
create function headrace.wake_job(waiting uuid) returns integer
language plpgsql as $$
declare
    found_at tid;
    woken integer;
begin
    select entry.ctid into found_at
    from headrace.queued as entry
    where not entry.ready and entry.due_at = 'infinity' and entry.job = waiting
    for update skip locked;  -- whoever ends the job just now lets others in afterwards
    if found_at is null then
        return null;
    end if;
    delete from headrace.blocked as gone where gone.job = waiting;
    update headrace.queued as entry
    set ready = true, due_at = job.due_at
    from headrace.jobs as job
    where entry.ctid = found_at and job.id = entry.job
    returning entry.lane into woken;
    return woken;
end $$;

-- Wakes the head of an ordering key, and forgets those before it that have ended.
create function headrace.wake_head(of_gate text) returns integer
language plpgsql as $$
declare
    head record;
begin
    loop
        select first.position, first.job, job.id is not null as holds into head
        from (
            select place.position, place.job
            from headrace.ordered as place
            where place.gate = of_gate
            order by place.position
            limit 1
        ) as first
        left join headrace.jobs as job
            on job.id = first.job and job.position = first.position
            and job.state in ('queued', 'running');
        if not found then
            return null;
        end if;
        exit when head.holds;
        delete from headrace.ordered as gone
        where gone.gate = of_gate and gone.position = head.position;
    end loop;
    if not exists (
        select from headrace.blocked as waiting
        where waiting.job = head.job and waiting.gate = of_gate
    ) then
        return null;
    end if;
    return headrace.wake_job(head.job);
end $$;

-- Wakes as many jobs as there are free slots, those that are first in their queue before others.
create function headrace.wake_waiting(of_gate text) returns integer[]
language plpgsql as $$
declare
    allowed integer := headrace.gate_limit(of_gate);
    free integer := allowed - headrace.slots_used(of_gate);
    waiting record;
    woken integer;
    lanes integer[] := '{}';
begin
    if allowed is null then  -- a limit that is gone, with any number of jobs behind it
        with gone as (
            delete from headrace.blocked as one where one.gate = of_gate returning one.job
        ),
        freed as (
            update headrace.queued as entry
            set ready = true, due_at = job.due_at
            from gone
            join headrace.jobs as job on job.id = gone.job
            where not entry.ready and entry.due_at = 'infinity' and entry.job = gone.job
            returning entry.lane
        )
        select array_agg(distinct freed.lane) into lanes from freed;
        return coalesce(lanes, '{}');
    end if;
    for waiting in
        select one.job from headrace.blocked as one
        where one.gate = of_gate
        order by one.rank, one.job
    loop
        exit when free <= 0;
        woken := headrace.wake_job(waiting.job);
        if woken is not null then
            free := free - 1;
            lanes := lanes || woken;
        end if;
    end loop;
    return lanes;
end $$;

-- Lets in whom these gates have room for; the lanes in which there may be something to claim now.
create function headrace.wake_gates(gates text[]) returns integer[]
language plpgsql as $$
declare
    gate text;
    lanes integer[] := '{}';
begin
    foreach gate in array gates loop
        case split_part(gate, E'\x1f', 1)
            when 'order' then
                lanes := lanes || headrace.wake_head(gate);
            when 'queue' then
                lanes := lanes || array(
                    select lane.id from headrace.lanes as lane
                    where lane.queue = split_part(gate, E'\x1f', 2)
                );
            when 'pipeline' then
                lanes := lanes || array(
                    select lane.id from headrace.lanes as lane
                    where lane.pipeline = split_part(gate, E'\x1f', 2)
                );
            else
                lanes := lanes || headrace.wake_waiting(gate);
        end case;
    end loop;
    return array_remove(lanes, null);
end $$;

-- Forgets the slots of jobs that have left their workers, and lets others in.
create function headrace.leave_gates(jobs uuid[]) returns integer[]
language plpgsql as $$
declare
    freed text[];
begin
    if cardinality(jobs) = 0 then
        return '{}';
    end if;
    delete from headrace.blocked as gone
    where gone.job = any(jobs)
    and not exists (
        select from headrace.jobs as job where job.id = gone.job and job.state = 'queued'
    );
    with gone as (
        delete from headrace.slots as slot
        where slot.job = any(jobs)
        and not exists (
            select from headrace.jobs as job
            where job.id = slot.job and job.token = slot.token and job.state = 'running'
        )
        returning slot.gate
    )
    select array_agg(distinct passed.gate) into freed
    from (
        select gone.gate from gone
        union all
        select given.gate
        from headrace.jobs as job
        join headrace.lanes as lane on lane.id = job.lane
        cross join lateral (
            values
                (headrace.gate('order', job.tenant, job.ordering_key)),
                (headrace.gate('key', job.tenant, lane.pipeline, job.concurrency_key)),
                (
                    (
                        select headrace.gate('tenant', limits.tenant)
                        from headrace.tenant_limits as limits where limits.tenant = job.tenant
                    )
                )
        ) as given (gate)
        where job.id = any(jobs)
    ) as passed
    where passed.gate is not null;
    return headrace.wake_gates(coalesce(freed, '{}'));
end $$;

-- The same for all jobs, whatever has become of those who were to do it.
create function headrace.sweep_gates() returns integer[]
language plpgsql as $$
declare
    freed text[];
    kept text[];
begin
    delete from headrace.blocked as gone
    where not exists (
        select from headrace.jobs as job where job.id = gone.job and job.state = 'queued'
    );
    with gone as (
        delete from headrace.slots as slot
        where not exists (
            select from headrace.jobs as job
            where job.id = slot.job and job.token = slot.token and job.state = 'running'
        )
        returning slot.gate
    )
    select array_agg(distinct gone.gate) into freed from gone;
    with recursive known (gate) as (
        (select min(one.gate) from headrace.blocked as one)
        union all
        select (select min(one.gate) from headrace.blocked as one where one.gate > known.gate)
        from known
        where known.gate is not null
    )
    select array_agg(known.gate) into kept from known where known.gate is not null;
    return headrace.wake_gates(
        array(select distinct gate from unnest(freed || kept) as given (gate) where gate is not null)
    );
end $$;

-- Rings for the queues of those of these lanes that have something to claim.
create function headrace.ring_lanes(lanes integer[]) returns void
language sql
begin atomic
    select pg_notify('headrace_jobs', opened.queue)
    from (
        select distinct lane.queue
        from headrace.lanes as lane
        where lane.id = any(lanes)
        and exists (
            select from headrace.queued as entry where entry.ready and entry.lane = lane.id
        )
    ) as opened;
end;

-- For whoever ended jobs and claims none: nothing is done, and nobody waits, where no gate is used.
-- Null stands for all jobs.
create function headrace.settle_gates(jobs uuid[]) returns void
language plpgsql as $$
declare
    is_used boolean;
begin
    if jobs is null then
        select exists (select from headrace.slots) or exists (select from headrace.blocked)
        into is_used;
    else
        select
            exists (select from headrace.slots as slot where slot.job = any(jobs))
            or exists (
                select from headrace.jobs as job
                where job.id = any(jobs)
                and (job.ordering_key is not null or job.concurrency_key is not null)
            )
            or exists (select from headrace.tenant_limits)
        into is_used;
    end if;
    if not is_used then
        return;
    end if;
    perform headrace.lock_gates();
    perform headrace.ring_lanes(
        case when jobs is null then headrace.sweep_gates() else headrace.leave_gates(jobs) end
    );
end $$;

-- --- the claim -----------------------------------------------------------------------------------

-- As the statement claim_jobs, for keyed and limited lanes and for tenants with a limit. Each round
-- looks at the first entries of each tenant's share, by turns: it takes those that pass all their
-- gates, and puts those aside that a gate keeps out, until there is nothing more to look at. Where
-- very many are put aside it leaves the others to a next claim, for which it rings: all wait for it,
-- and its time is limited.
create function headrace.claim_gated(
    claimer integer, carried integer[], most integer, suspects boolean, older integer[],
    left_jobs uuid[]
) returns table (
    id uuid, token bigint, lane integer, run integer, seq integer, tenant text, owner text,
    input json, suspicion smallint, cancel_requested boolean, deadline_s float8, ran_ms bigint,
    waited_ms bigint, preset text, parameters json, correlation_id text, late_s float8, age_s float8,
    first_of_run boolean, traceparent text, share smallint
)
language plpgsql
set enable_bitmapscan = off  -- the first that is before a job is enough: a bitmap has all of them
as $$
#variable_conflict use_column
declare
    opened integer[];
    granted bigint;
    took uuid[] := '{}';
    free integer := most;
    aside integer := 0;
    round integer := 0;
    first_share integer := floor(random() * 32768);
    shares integer := 32;
    depth integer := greatest(8, most / 4);
    places tid[];
    jobs_taken uuid[];
    kept_places tid[];
    kept_jobs uuid[];
    kept_ranks timestamptz[];
    kept_gates text[];
begin
    perform headrace.lock_gates();
    opened := headrace.leave_gates(left_jobs);
    if not exists (
        select from headrace.workers as worker
        where worker.id = claimer and worker.lost_at is null and worker.stopped_at is null
    ) then
        perform headrace.ring_lanes(opened);
        return;
    end if;
    while free > 0 and aside < 2000 loop
        round := round + 1;
        with recursive place as materialized (
            select
                lane.id, lane.queue, lane.pipeline, lane.keyed or lane.limited as is_whole,
                limits.key_concurrency,
                queue.concurrency - headrace.slots_used(headrace.gate('queue', lane.queue))
                    as queue_room,
                limits.concurrency - headrace.slots_used(headrace.gate('pipeline', lane.pipeline))
                    as pipeline_room
            from headrace.lanes as lane
            left join headrace.queues as queue on queue.name = lane.queue
            cross join lateral headrace.pipeline_limits(lane.pipeline) as limits
            where lane.id = any(carried) and queue.paused_at is null
        ),
        walk (lane, share, nth) as (
            select place.id, first.share, 1
            from place
            cross join lateral (
                select entry.share from headrace.queued as entry
                where entry.ready and entry.lane = place.id and entry.suspect = suspects
                and entry.share >= first_share
                order by entry.share
                limit 1
            ) as first
            where place.is_whole
            and coalesce(place.queue_room, 1) > 0 and coalesce(place.pipeline_room, 1) > 0
            union all
            select walk.lane, next.share, walk.nth + 1
            from walk
            cross join lateral (
                select entry.share from headrace.queued as entry
                where entry.ready and entry.lane = walk.lane and entry.suspect = suspects
                and entry.share > walk.share
                order by entry.share
                limit 1
            ) as next
            where walk.nth < shares
        ),
        part as materialized (
            select walk.lane, walk.share from walk
            union all
            select place.id, limited.share
            from place
            cross join (
                select distinct limits.share from headrace.tenant_limits as limits
            ) as limited
            where not place.is_whole
        ),
        candidate as materialized (
            select
                due.place, due.job, due.rank, place.queue, place.pipeline, place.queue_room,
                place.pipeline_room, job.tenant, job.position,
                headrace.gate('order', job.tenant, job.ordering_key) as order_gate,
                headrace.gate('key', job.tenant, place.pipeline, job.concurrency_key) as key_gate,
                coalesce(place.key_concurrency, 1) as key_concurrency,
                row_number() over (order by due.turn, due.rank, due.job) as nth
            from part
            join place on place.id = part.lane
            cross join lateral (
                select entry.*, row_number() over (order by entry.rank, entry.job) as turn
                from (
                    select entry.ctid as place, entry.job, entry.rank
                    from headrace.queued as entry
                    where entry.ready and entry.lane = part.lane and entry.suspect = suspects
                    and entry.share = part.share
                    -- Else the sweep fails it.
                    and (entry.deadline is null or entry.deadline > headrace.now())
                    order by entry.rank, entry.job
                    limit depth
                    for update skip locked
                ) as entry
            ) as due
            join headrace.jobs as job on job.id = due.job and job.state = 'queued'
        ),
        tenant_room as materialized (
            select limits.tenant,
                limits.concurrency - headrace.slots_used(headrace.gate('tenant', limits.tenant))
                    as room
            from (select distinct candidate.tenant from candidate) as seen
            join headrace.tenant_limits as limits on limits.tenant = seen.tenant
        ),
        verdict as materialized (
            select
                candidate.*, tenant_room.room as tenant_room, key_room.room as key_room,
                case
                    when candidate.order_gate is not null and exists (
                        select
                        from headrace.ordered as earlier
                        cross join lateral (
                            select from headrace.jobs as job
                            where job.id = earlier.job and job.position = earlier.position
                            and job.state in ('queued', 'running')
                            offset 0  -- else the planner may begin with all jobs
                        ) as live
                        where earlier.gate = candidate.order_gate
                        and earlier.position < candidate.position
                    ) then candidate.order_gate
                    when key_room.room <= 0 then candidate.key_gate
                    when tenant_room.room <= 0 then headrace.gate('tenant', candidate.tenant)
                end as kept_by
            from candidate
            left join tenant_room on tenant_room.tenant = candidate.tenant
            cross join lateral (
                select case
                    when candidate.key_gate is not null
                    then candidate.key_concurrency - headrace.slots_used(candidate.key_gate)
                end as room
            ) as key_room
        ),
        -- The first of all has the first turn at each of its gates: some progress is made.
        turn as materialized (
            select
                verdict.*,
                row_number() over (partition by verdict.key_gate order by verdict.nth) as at_key,
                row_number() over (partition by verdict.tenant order by verdict.nth) as at_tenant,
                row_number() over (partition by verdict.queue order by verdict.nth) as at_queue,
                row_number() over (partition by verdict.pipeline order by verdict.nth) as at_pipeline
            from verdict
            where verdict.kept_by is null
        ),
        passed as (
            select turn.place, turn.job, turn.nth
            from turn
            where (turn.key_room is null or turn.at_key <= turn.key_room)
            and (turn.tenant_room is null or turn.at_tenant <= turn.tenant_room)
            and (turn.queue_room is null or turn.at_queue <= turn.queue_room)
            and (turn.pipeline_room is null or turn.at_pipeline <= turn.pipeline_room)
            order by turn.nth
            limit free
        ),
        kept as (
            select
                array_agg(verdict.place order by verdict.nth) as places,
                array_agg(verdict.job order by verdict.nth) as jobs,
                array_agg(verdict.rank order by verdict.nth) as ranks,
                array_agg(verdict.kept_by order by verdict.nth) as gates
            from verdict
            where verdict.kept_by is not null
        )
        select
            (select array_agg(passed.place order by passed.nth) from passed),
            (select array_agg(passed.job order by passed.nth) from passed),
            kept.places, kept.jobs, kept.ranks, kept.gates
        into places, jobs_taken, kept_places, kept_jobs, kept_ranks, kept_gates
        from kept;

        -- From here on from the first share on, and further at each time.
        exit when places is null and kept_places is null and first_share = 0;
        if first_share = 0 then
            shares := least(4 * shares, 32768);
        end if;
        depth := least(2 * depth, 512);
        first_share := 0;

        if kept_places is not null then
            update headrace.queued as entry
            set ready = false, due_at = 'infinity'
            from unnest(kept_places) as kept (place)
            where entry.ctid = kept.place;
            insert into headrace.blocked as known (job, gate, rank)
            select kept.job, kept.gate, kept.rank
            from unnest(kept_jobs, kept_gates, kept_ranks) as kept (job, gate, rank)
            on conflict (job) do update set gate = excluded.gate, rank = excluded.rank;
            aside := aside + cardinality(kept_jobs);
        end if;
        continue when places is null;
        granted := coalesce(granted, nextval('headrace.tokens'));
        took := took || jobs_taken;
        free := free - cardinality(jobs_taken);
        return query
        with taken as (
            delete from headrace.queued as entry
            using unnest(places) as picked (place)
            where entry.ctid = picked.place
            returning entry.job, entry.share
        ),
        claimed as (
            update headrace.jobs as job
            set state = 'running', worker = claimer, token = granted, seq = job.seq + 1,
                claimed_at = clock_timestamp(),
                started_at = coalesce(job.started_at, clock_timestamp())
            from taken
            where job.id = taken.job and job.state = 'queued'
            returning job.*, taken.share
        ),
        event as (
            insert into headrace.job_events (
                job, seq, run, from_state, to_state, reason, worker, token
            )
            select
                claimed.id, claimed.seq, claimed.run, 'queued', 'running',
                case when claimed.lane = any(older) then 'adopted' else 'claimed' end, claimer,
                claimed.token
            from claimed
        ),
        slot as (
            insert into headrace.slots as known (gate, job, token)
            select passed.gate, claimed.id, claimed.token
            from claimed
            cross join lateral headrace.slot_gates(
                claimed.lane, claimed.tenant, claimed.concurrency_key
            ) as passed (gate)
            on conflict (gate, job) do update set token = excluded.token
        )
        select
            claimed.id, claimed.token, claimed.lane, claimed.run, claimed.seq, claimed.tenant,
            claimed.owner, claimed.input, claimed.suspicion,
            claimed.cancel_requested_at is not null,
            date_part('epoch', claimed.deadline - headrace.now()), claimed.ran_ms,
            claimed.waited_ms, claimed.preset, claimed.parameters, claimed.correlation_id,
            date_part('epoch', headrace.now() - claimed.due_at),
            date_part('epoch', claimed.claimed_at - claimed.created_at),
            claimed.wait_reason in ('new', 'scheduled'), claimed.traceparent,
            claimed.share
        from claimed;
    end loop;
    if granted is not null then
        insert into headrace.claims (token, worker, jobs) values (granted, claimer, took);
    end if;
    if free > 0 and aside >= 2000 then
        perform headrace.ring_lanes(carried);
    end if;
    -- What was let in and is not for this worker, or too much for it, is for others.
    if cardinality(opened) > 0 then
        perform headrace.ring_lanes(array(
            select lane from unnest(opened) as given (lane)
            where free <= 0 or lane <> all(carried)
        ));
    end if;
end $$;

-- The gates of which a job that begins to run takes a slot: where there is a limit just now, and
-- always that of its key.
create function headrace.slot_gates(lane integer, tenant text, concurrency_key text)
returns setof text
language sql stable
begin atomic
    select given.gate
    from headrace.lanes as place
    cross join lateral (
        values
            (headrace.gate('key', slot_gates.tenant, place.pipeline, slot_gates.concurrency_key)),
            (headrace.gate('tenant', slot_gates.tenant)),
            (headrace.gate('queue', place.queue)),
            (headrace.gate('pipeline', place.pipeline))
    ) as given (gate)
    where place.id = slot_gates.lane and headrace.gate_limit(given.gate) is not null;
end;

-- --- limits --------------------------------------------------------------------------------------

-- Whoever changes a limit waits for the claims under way, and new ones wait for it: no job is taken
-- by a claim that does not know the limit yet. That is given up soon, for whoever sets it to try again.
create function headrace.lock_limits() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
begin
    perform headrace.lock_gates();
    lock table headrace.queues in access exclusive mode;
end $$;

-- Makes limits count that were changed, for what runs already. Whom a higher one lets in is woken by
-- the statement that follows: no plain claim waits for that.
create function headrace.apply_limits() returns void
language plpgsql as $$
begin
    update headrace.lanes as lane
    set limited = found.limited
    from (
        select known.id,
            headrace.gate_limit(headrace.gate('queue', known.queue)) is not null
            or headrace.gate_limit(headrace.gate('pipeline', known.pipeline)) is not null as limited
        from headrace.lanes as known
    ) as found
    where found.id = lane.id and found.limited <> lane.limited;
    insert into headrace.slots as known (gate, job, token)
    select passed.gate, job.id, job.token
    from headrace.claims as claim
    cross join unnest(claim.jobs) as given (id)
    join headrace.jobs as job
        on job.id = given.id and job.token = claim.token and job.state = 'running'
    cross join lateral headrace.slot_gates(job.lane, job.tenant, job.concurrency_key)
        as passed (gate)
    on conflict (gate, job) do update set token = excluded.token;
    perform pg_notify('headrace_jobs', '*');  -- lanes have changed
    perform pg_notify('headrace_jobs', queue.name) from headrace.queues as queue;
end $$;

-- Null takes a limit away. All three return the one before.
create function headrace.limit_queue(queue text, most integer) returns integer
language plpgsql as $$
declare
    before integer;
begin
    perform headrace.lock_limits();
    select known.concurrency into before from headrace.queues as known where known.name = queue;
    insert into headrace.queues as known (name, concurrency) values (queue, most)
    on conflict (name) do update set concurrency = excluded.concurrency;
    if before is distinct from most then
        perform headrace.apply_limits();
    end if;
    return before;
end $$;

create function headrace.limit_tenant(of_tenant text, most integer, by text, why text)
returns integer
language plpgsql as $$
declare
    before integer;
begin
    perform headrace.lock_limits();
    select known.concurrency into before
    from headrace.tenant_limits as known where known.tenant = of_tenant;
    if most is null then
        delete from headrace.tenant_limits as known where known.tenant = of_tenant;
    else
        insert into headrace.tenant_limits as known (tenant, concurrency, set_by, reason)
        values (of_tenant, most, by, why)
        on conflict (tenant) do update
        set concurrency = excluded.concurrency, set_by = excluded.set_by,
            reason = excluded.reason, set_at = clock_timestamp();
    end if;
    if before is distinct from most then
        perform headrace.apply_limits();
    end if;
    return before;
end $$;

-- Does nothing, and waits for nobody, where the definition says what is known.
create function headrace.limit_pipeline(
    pipeline text, of_version text, most integer, most_of_key integer
) returns void
language plpgsql as $$
begin
    if exists (
        select from headrace.pipelines as known
        where known.name = pipeline and known.version = of_version
        and known.concurrency is not distinct from most and known.key_concurrency = most_of_key
    ) and not exists (
        select from headrace.lanes as lane
        where lane.pipeline = limit_pipeline.pipeline
        and lane.limited <> (
            headrace.gate_limit(headrace.gate('queue', lane.queue)) is not null
            or headrace.gate_limit(headrace.gate('pipeline', lane.pipeline)) is not null
        )
    ) then
        return;
    end if;
    perform headrace.lock_limits();
    update headrace.pipelines as known
    set concurrency = most, key_concurrency = most_of_key
    where known.name = pipeline and known.version = of_version;
    perform headrace.apply_limits();
end $$;

-- --- why a job waits -----------------------------------------------------------------------------

-- Which gate keeps a queued job that is due from running; null where none does. It reads what others
-- run, and says no more of it than that a limit is reached.
create function headrace.blocked_by(subject uuid) returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select case
        when waiting.gate like 'order%' then 'ordering_key'
        when waiting.gate like 'key%' then 'concurrency_key'
        when waiting.gate like 'tenant%' then 'tenant_limit'
        when job.due_at > headrace.now() then null
        when headrace.slots_used(headrace.gate('queue', lane.queue))
            >= headrace.gate_limit(headrace.gate('queue', lane.queue)) then 'queue_limit'
        when headrace.slots_used(headrace.gate('pipeline', lane.pipeline))
            >= headrace.gate_limit(headrace.gate('pipeline', lane.pipeline)) then 'pipeline_limit'
    end
    from headrace.jobs as job
    join headrace.lanes as lane on lane.id = job.lane
    left join headrace.blocked as waiting on waiting.job = job.id
    where job.id = subject and job.state = 'queued';
end;
