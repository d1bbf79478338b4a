-- name: look
-- How a breaker is.
-- $1 name, $2 tenant
select state, epoch, headrace.breaker_retry_s(breaker) as retry_s, false as changed
from headrace.breakers as breaker
where name = $1 and tenant = $2;

-- name: make
-- The row of a breaker that is used for the first time.
-- $1 name, $2 tenant
insert into headrace.breakers (name, tenant) values ($1, $2)
on conflict (name, tenant) do nothing;

-- name: ask
-- Whether a call may go through a breaker that is not closed. It is tried where it is time and where
-- no other call is being tried by a worker that lives; the update of the one row decides between all
-- who ask. A refusal only reads. Gives how it is, and the number of the try.
-- $1 name, $2 tenant, $3 worker or null, $4 longest try
with tried as (
    update headrace.breakers as breaker
    set state = 'half_open',
        epoch = case when state = 'open' then nextval('headrace.tokens') else epoch end,
        changed_at = case
            when state = 'open' then greatest(changed_at, headrace.now()) else changed_at
        end,
        why = case when state = 'open' then 'time to try a call' else why end,
        successes = case when state = 'open' then 0 else successes end,
        probes = case when state = 'open' then 1 else probes + 1 end,
        probe_at = null, probe = nextval('headrace.tokens'), probe_worker = $3,
        probe_began_at = headrace.now(), probe_expires_at = headrace.now() + $4::interval
    where name = $1 and tenant = $2
    and (
        (state = 'open' and probe_at <= headrace.now())
        or (
            state = 'half_open'
            and (
                probe is null
                or probe_expires_at <= headrace.now()
                or (
                    probe_worker is not null
                    and not exists (
                        select from headrace.workers as worker
                        where worker.id = breaker.probe_worker
                        and worker.lost_at is null and worker.stopped_at is null
                    )
                )
            )
        )
    )
    returning name, tenant, state, epoch, changed_at, why, probes, probe
),
change as (
    insert into headrace.breaker_changes (
        name, tenant, at, from_state, to_state, why, worker, probes
    )
    select name, tenant, changed_at, 'open', 'half_open', why, $3::integer, 0
    from tried
    where probes = 1
    returning pg_notify('headrace_changes', 'breaker:' || name || '/' || tenant)
)
select
    state, epoch, 0::float8 as retry_s, (select count(*) from change) > 0 as changed, probe
from tried
union all
select state, epoch, headrace.breaker_retry_s(breaker), false, null
from headrace.breakers as breaker
where name = $1 and tenant = $2 and not exists (select from tried);

-- name: fail
-- Counts a failure of a call that began in the present closed state, and opens the breaker where it is
-- the last that was missing. A failure of any other call finds no row to change.
-- $1 name, $2 tenant, $3 epoch, $4 failures that open it, $5 the time within which, $6 time to be open,
-- $7 why, $8 worker or null
with failed as (
    update headrace.breakers as breaker
    set (failed_at, state, epoch, changed_at, why, probe_at) = (
        select
            case when last.opens then '{}' else last.times end,
            case when last.opens then 'open' else 'closed' end,
            case when last.opens then nextval('headrace.tokens') else breaker.epoch end,
            case
                when last.opens then greatest(breaker.changed_at, headrace.now())
                else breaker.changed_at
            end,
            case when last.opens then $7 else breaker.why end,
            case when last.opens then headrace.now() + $6::interval end
        from (
            select times, cardinality(times) >= $4::integer as opens
            from (
                select array(
                    select at from unnest(breaker.failed_at || headrace.now()) as failure (at)
                    where at > headrace.now() - $5::interval
                    order by at desc
                    limit $4::integer
                ) as times
            ) as recent
        ) as last
    )
    where name = $1 and tenant = $2 and state = 'closed' and epoch = $3
    returning
        name, tenant, state, epoch, changed_at, why, headrace.breaker_retry_s(breaker) as retry_s
),
change as (
    insert into headrace.breaker_changes (
        name, tenant, at, from_state, to_state, why, worker, probes
    )
    select name, tenant, changed_at, 'closed', state, why, $8::integer, 0
    from failed
    where state = 'open'
    returning pg_notify('headrace_changes', 'breaker:' || name || '/' || tenant)
)
select state, epoch, retry_s, (select count(*) from change) > 0 as changed from failed
union all
select state, epoch, headrace.breaker_retry_s(breaker), false
from headrace.breakers as breaker
where name = $1 and tenant = $2 and not exists (select from failed);

-- name: end_probe
-- What came of a call that was tried: it opens the breaker again, or brings it nearer to being closed,
-- or says nothing. Calls of another half open state change nothing; one whose time was over while
-- another is being tried leaves that one its place.
-- $1 name, $2 tenant, $3 epoch, $4 number of the try, $5 'failure', 'success' or 'neither',
-- $6 successes that close it, $7 time to be open, $8 why, $9 worker or null
with ended as (
    update headrace.breakers as breaker
    set (state, epoch, changed_at, why, probe_at, successes, probe, probe_worker, probe_began_at,
        probe_expires_at) = (
        select
            next.state,
            case when next.is_new then nextval('headrace.tokens') else breaker.epoch end,
            case
                when next.is_new then greatest(breaker.changed_at, headrace.now())
                else breaker.changed_at
            end,
            case when next.is_new then $8 else breaker.why end,
            case when next.state = 'open' then headrace.now() + $7::interval end,
            breaker.successes + ($5 = 'success')::integer,
            case when not next.is_free then breaker.probe end,
            case when not next.is_free then breaker.probe_worker end,
            case when not next.is_free then breaker.probe_began_at end,
            case when not next.is_free then breaker.probe_expires_at end
        from (
            select
                state, state <> 'half_open' as is_new,
                state <> 'half_open' or breaker.probe is not distinct from $4 as is_free
            from (
                select case
                    when $5 = 'failure' then 'open'
                    when $5 = 'success' and breaker.successes + 1 >= $6::integer then 'closed'
                    else 'half_open'
                end as state
            ) as verdict
        ) as next
    )
    where name = $1 and tenant = $2 and state = 'half_open' and epoch = $3
    and ($5 <> 'neither' or probe = $4)
    returning
        name, tenant, state, epoch, changed_at, why, probes,
        headrace.breaker_retry_s(breaker) as retry_s
),
change as (
    insert into headrace.breaker_changes (
        name, tenant, at, from_state, to_state, why, worker, probes
    )
    select name, tenant, changed_at, 'half_open', state, why, $9::integer, probes
    from ended
    where state <> 'half_open'
    returning pg_notify('headrace_changes', 'breaker:' || name || '/' || tenant)
)
select state, epoch, retry_s, (select count(*) from change) > 0 as changed from ended
union all
select state, epoch, headrace.breaker_retry_s(breaker), false
from headrace.breakers as breaker
where name = $1 and tenant = $2 and not exists (select from ended);

-- name: set_state
-- Opens or closes breakers by hand, also those that are so already; gives how they were.
-- $1 name, $2 tenant or null for all, $3 'open' or 'closed', $4 time to be open or null for as long as
-- nobody closes it, $5 why, $6 who
with before as (
    select name, tenant, state, probes from headrace.breakers
    where name = $1 and ($2::text is null or tenant = $2)
    order by tenant
    for update
),
done as (
    update headrace.breakers as breaker
    set state = $3, epoch = nextval('headrace.tokens'),
        changed_at = greatest(breaker.changed_at, headrace.now()), why = $5, failed_at = '{}',
        probe_at = case when $3 = 'open' then headrace.now() + $4::interval end,
        successes = 0, probe = null, probe_worker = null, probe_began_at = null,
        probe_expires_at = null
    from before
    where breaker.name = before.name and breaker.tenant = before.tenant
    returning
        breaker.name, breaker.tenant, before.state as from_state, breaker.state,
        breaker.changed_at, breaker.probe_at,
        case when before.state = 'half_open' then before.probes else 0 end as probes
),
change as (
    insert into headrace.breaker_changes (
        name, tenant, at, from_state, to_state, why, actor, probes
    )
    select name, tenant, changed_at, from_state, state, $5, $6, probes from done
    returning pg_notify('headrace_changes', 'breaker:' || name || '/' || tenant)
)
select tenant, from_state, state, probe_at
from done
where (select count(*) from change) > 0
order by tenant;

-- name: list
-- Breakers by name and tenant; those that are not closed first.
-- $1 name or null, $2 most rows
select
    name, tenant, state, changed_at, why, probe_at, probes,
    cardinality(failed_at) as failures, successes, probe is not null as probing
from headrace.breakers
where $1::text is null or name = $1
order by state = 'closed', name, tenant
limit $2;

-- name: names
-- The names of all breakers.
select distinct name from headrace.breakers order by name;

-- name: count_states
-- How many breakers are in each state, of the first names.
-- $1 most names
select name, state, count(*)::integer as breakers
from headrace.breakers
where name in (select distinct name from headrace.breakers order by name limit $1)
group by name, state
order by name, state;

-- name: prune_changes
-- Deletes what became of breakers long ago; needs retention.allow_deletion. Ids are in order of time.
-- $1 age, $2 most rows
delete from headrace.breaker_changes
where id in (
    select id
    from (select id, at from headrace.breaker_changes order by id limit $2) as oldest
    where at < headrace.now() - $1::interval
);

-- name: prune_closed
-- Forgets breakers that have been closed for long; one that is still used is made again at its next
-- call.
-- $1 age, $2 most rows
delete from headrace.breakers
where (name, tenant) in (
    select name, tenant from headrace.breakers
    where state = 'closed' and changed_at < headrace.now() - $1::interval
    limit $2
);
