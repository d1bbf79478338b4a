-- name: bind_child
-- Binds a job that has not ended to the step of another one, whose claim is still good; tells whether
-- it is. The child's row is locked: it does not end meanwhile.
-- $1 child, $2 parent, $3 run, $4 token
with held as materialized (
    select from headrace.jobs where id = $2::uuid and token = $4::bigint and state = 'running'
),
alive as materialized (
    select id from headrace.jobs
    where id = $1::uuid and state in ('queued', 'running') and exists (select from held)
    for share
),
bound as (
    insert into headrace.children (child, parent, run)
    select id, $2::uuid, $3 from alive
    on conflict do nothing
)
select exists (select from held);

-- name: bind_again
-- Binds children that steps of running jobs wait for, that had ended, and that somebody runs again.
-- $1 parents uuid[], $2 runs integer[]
with alive as materialized (
    select child.id, wait.job, wait.run
    from unnest($1::uuid[], $2::integer[]) as wanted (job, run)
    join headrace.waits as wait on wait.job = wanted.job and wait.run = wanted.run
    join headrace.jobs as child
        on child.id = case when wait.kind = 'child' then wait.name::uuid end
    where wait.kind = 'child' and child.state in ('queued', 'running')
    and not exists (
        select from headrace.steps as stored
        where stored.job = wait.job and stored.run = wait.run
        and stored.step = wait.step and stored.item = wait.item
    )
    for share of child skip locked  -- one that is about to change is looked at again
)
insert into headrace.children (child, parent, run)
select id, job, run from alive
on conflict do nothing;

-- name: children_of
-- The children of a job that have not ended.
-- $1 parent
select child from headrace.children where parent = $1::uuid;

-- name: find_orphans
-- Children whose parent has ended without them.
-- $1 most
select bound.child
from headrace.children as bound
join headrace.jobs as parent on parent.id = bound.parent
where parent.state in ('failed', 'cancelled')
limit $1;
