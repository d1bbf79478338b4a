-- name: read_signals
-- What waits and runs in each queue, what nobody can run, who works, what failed for good: one row.
-- It reads the narrow table of what waits, the claims, the workers and the dead letters' index.
with alive as materialized (
    select id, lanes, heartbeat_at
    from headrace.workers
    where stopped_at is null and lost_at is null and expires_at > headrace.now()
),
waiting as materialized (
    select entry.lane, entry.ready or entry.due_at <= headrace.now() as is_due,
        entry.due_at = 'infinity' as is_blocked, count(*) as depth,
        min(nullif(entry.due_at, 'infinity')) as oldest
    from headrace.queued as entry
    group by 1, 2, 3
),
unserved as materialized (
    select lane from waiting
    where is_due and not exists (select from alive where waiting.lane = any(alive.lanes))
),
running as materialized (
    select job.lane, count(*) as depth, min(job.claimed_at) as oldest
    from headrace.claims as claim
    cross join unnest(claim.jobs) as given (id)
    cross join lateral (
        select held.lane, held.claimed_at
        from headrace.jobs as held
        where held.id = given.id and held.token = claim.token and held.state = 'running'
        offset 0  -- else the planner begins with all jobs
    ) as job
    group by job.lane
),
counted as (
    select
        lane, case when is_due then 'due' when is_blocked then 'blocked' else 'waiting' end as state,
        depth, oldest
    from waiting
    union all
    select lane, 'running', depth, oldest from running
    union all
    select unserved.lane, 'unclaimable', waiting.depth, waiting.oldest
    from unserved join waiting on waiting.lane = unserved.lane and waiting.is_due
)
select
    (
        select json_agg(part) from (
            select lane.queue, counted.state, sum(counted.depth) as depth,
                greatest(extract(epoch from headrace.now() - min(counted.oldest)), 0) as oldest_age_s
            from counted join headrace.lanes as lane on lane.id = counted.lane
            group by lane.queue, counted.state
        ) as part
    ) as parts,
    (
        select json_object_agg(kept.kind, kept.jobs) from (
            select split_part(waiting.gate, E'\x1f', 1) as kind, count(*) as jobs
            from headrace.blocked as waiting
            group by 1
        ) as kept
    ) as blocked,
    (select json_agg(name) from headrace.queues) as queues,
    (select json_agg(name) from headrace.queues where paused_at is not null) as paused,
    (select count(*) from alive) as workers,
    (
        select extract(epoch from headrace.now() - min(heartbeat_at))::float8 from alive
    ) as heartbeat_age_s,
    (select count(*) from headrace.dead_letters where redriven_at is null) as dead_letters,
    (
        select extract(epoch from headrace.now() - min(failed_at))::float8
        from headrace.dead_letters where redriven_at is null
    ) as dead_letter_age_s;

-- name: ping
-- Whether the database answers.
select;
