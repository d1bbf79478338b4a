-- name: read_around
-- What surrounds one run of a job: what its steps wait for that have no outcome yet; what was sent to
-- it; the jobs that its steps submitted in all runs, without undo jobs. Of the waits and of the jobs
-- the first ones are told, and how many there are, counted up to 10,000.
-- $1 job, $2 run, $3 most waits and most jobs
(
    select
        'wait' as part, open.step, open.item, open.kind, open.name, lane.pipeline, child.state,
        open.began_at as at, open.due_at as until, null as sent_by, open.total
    from (
        select found.*, count(*) over () as total
        from (
            select wait.step, wait.item, wait.kind, wait.name, wait.began_at, wait.due_at
            from headrace.waits as wait
            where wait.job = $1::uuid and wait.run = $2
            and not exists (
                select from headrace.steps as stored
                where stored.job = wait.job and stored.run = wait.run
                and stored.step = wait.step and stored.item = wait.item
            )
            and case wait.kind
                when 'delay' then wait.due_at > headrace.now()
                when 'signal' then not exists (
                    select from headrace.signals as sent
                    where sent.job = wait.job and sent.run = wait.run and sent.name = wait.name
                )
                else true
            end
            limit 10000
        ) as found
        order by found.kind = 'child', found.began_at, found.step, found.item, found.name
        limit $3::integer
    ) as open
    left join headrace.jobs as child
        on child.id = case when open.kind = 'child' then open.name::uuid end
    left join headrace.lanes as lane on lane.id = child.lane
    order by open.kind = 'child', open.began_at, open.step, open.item, open.name
)
union all
(
    select
        'signal', null, null, case when expired then 'expired' else 'received' end, name, null, null,
        received_at, null, sent_by, null
    from headrace.signals
    where job = $1 and run = $2
    order by received_at, name
)
union all
(
    select
        'child', null, null, null, made.id::text, lane.pipeline, made.state, null, null, null,
        made.total
    from (
        select found.*, count(*) over () as total
        from (
            select job.id, job.lane, job.state
            from headrace.jobs as job
            where job.parent_job = $1 and job.undo_of is null
            limit 10000
        ) as found
        order by found.id
        limit $3
    ) as made
    join headrace.lanes as lane on lane.id = made.lane
    order by made.id
);
