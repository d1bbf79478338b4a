-- Undoing what a run did that failed or was cancelled (docs/adr/0023-undo-jobs.md).
--
-- A run can end so in many ways: a step, a deadline, workers that died, an operator, somebody who
-- cancels. All of them write the job's row, so a trigger there cannot be forgotten by any. It stores
-- an *undo job* in the same transaction: an ordinary job, whose steps are the undo functions of the
-- steps that were completed. It fires for no other change of a job.

alter table headrace.jobs
    add column undo_of uuid,
    add column undo_run integer,
    add column undo_steps text[],
    add constraint jobs_undo check (num_nonnulls(undo_of, undo_run, undo_steps) in (0, 3));

-- The steps that have an undo function in a version, with their earlier names.
alter table headrace.pipelines add column undos text[] not null default '{}';

-- A version 7 id of this moment, as those that submitters make.
create function headrace.new_id() returns uuid
language sql volatile
return (
    left(headrace.first_id(clock_timestamp())::text, 13) || '-7'
    || substr(gen_random_uuid()::text, 16)
)::uuid;

-- The lane of jobs without keys beside this one; made when all jobs so far had keys.
create function headrace.plain_lane(of_lane integer) returns integer
language plpgsql as $$
declare
    place headrace.lanes;
    plain integer;
begin
    select lane.* into place from headrace.lanes as lane where lane.id = of_lane;
    if not place.keyed then
        return of_lane;
    end if;
    loop
        select lane.id into plain
        from headrace.lanes as lane
        where lane.queue = place.queue and lane.pipeline = place.pipeline
        and lane.version = place.version and not lane.keyed;
        if found then
            return plain;
        end if;
        insert into headrace.lanes (queue, pipeline, version, limited)
        values (
            place.queue, place.pipeline, place.version,
            headrace.gate_limit(headrace.gate('queue', place.queue)) is not null
            or headrace.gate_limit(headrace.gate('pipeline', place.pipeline)) is not null
        )
        on conflict do nothing;  -- another one makes it: the next look sees it
        perform pg_notify('headrace_jobs', '*');
    end loop;
end $$;

-- The steps that this run completed and that have an undo; null where there is none. What the run
-- took over from an earlier one is not its own: that one ended in its own way. Whether there is
-- anything to undo is what the job's version says; a newer one may have run it, under other names of
-- the steps.
create function headrace.steps_to_undo(job uuid, run integer, lane integer) returns text[]
language sql stable
return (
    select array_agg(undo.step order by undo.step)
    from (
        select distinct named.step
        from headrace.lanes as place
        join headrace.pipelines as own
            on own.name = place.pipeline and own.version = place.version and own.undos <> '{}'
        join headrace.pipelines as known on known.name = place.pipeline
        cross join unnest(known.undos) as named (step)
        where place.id = steps_to_undo.lane
    ) as undo
    cross join lateral (  -- one look-up for each name, however many items there are
        select from headrace.steps as stored
        where stored.job = steps_to_undo.job and stored.run = steps_to_undo.run
        and stored.step = undo.step
        and stored.state = 'completed' and stored.reused_from is null
        limit 1
    ) as done
);

-- Whoever may end jobs need not be let into the tables here.
create function headrace.begin_undo() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    done text[] := headrace.steps_to_undo(new.id, new.run, new.lane);
    undo_id uuid;
    undo_lane integer;
    starts_at timestamptz;
    undo_rank timestamptz;
begin
    if done is null then
        return null;
    end if;
    undo_id := headrace.new_id();
    undo_lane := headrace.plain_lane(new.lane);
    starts_at := headrace.now();
    -- The head start of its priority is that of the job, whatever the setting is. The rank of one
    -- that waited for others is by the time when it was put back, not by that until which it waits.
    undo_rank := starts_at - greatest(
        interval '0',
        case
            when new.wait_reason in ('external', 'child') then (
                select least(new.due_at, max(event.at)) from headrace.job_events as event
                where event.job = new.id and event.reason = new.wait_reason
            )
            else new.due_at
        end - new.rank
    );
    insert into headrace.jobs (
        id, lane, tenant, owner, priority, due_at, rank, wait_reason, preset, parameters, metadata,
        correlation_id, traceparent, parent_job, input, undo_of, undo_run, undo_steps
    )
    values (
        undo_id, undo_lane, new.tenant, new.owner, new.priority, starts_at, undo_rank, 'undo',
        new.preset, new.parameters, new.metadata, new.correlation_id, new.traceparent, new.id,
        new.input, new.id, new.run, done
    );
    insert into headrace.queued (job, lane, ready, share, rank, due_at)
    values (
        undo_id, undo_lane, true, headrace.share_of(new.tenant), undo_rank, starts_at
    );
    insert into headrace.job_events (job, seq, run, to_state, reason, actor, metadata)
    values (
        undo_id, 1, 1, 'queued', 'submitted', 'undo',
        json_build_object('undo_of', new.id, 'undo_run', new.run)
    );
    perform pg_notify('headrace_jobs', lane.queue)
    from headrace.lanes as lane
    where lane.id = undo_lane;
    return null;
end $$;

create trigger jobs_undo after update of state on headrace.jobs
for each row when (
    new.state in ('failed', 'cancelled') and old.state in ('queued', 'running')
    and new.undo_of is null
)
execute function headrace.begin_undo();

-- What leaves of an undo job's end says whose run it undid.
alter function headrace.describe_result(uuid, headrace.jobs, headrace.lanes, boolean)
rename to describe_run;

create function headrace.describe_result(
    event_id uuid, subject headrace.jobs, place headrace.lanes, inline_output boolean
) returns json
language sql stable
return headrace.with_field(
    headrace.describe_run(event_id, subject, place, inline_output),
    'undo_of', to_json((subject).undo_of)
);
