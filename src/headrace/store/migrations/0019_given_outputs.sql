-- What an operator gave in place of a step's output is not undone: no step of that run made it
-- (docs/adr/0023-undo-jobs.md).
create or replace function headrace.steps_to_undo(job uuid, run integer, lane integer)
returns text[]
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
        and stored.reason is distinct from 'overridden'
        limit 1
    ) as done
);
