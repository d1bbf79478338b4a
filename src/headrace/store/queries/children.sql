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

-- name: priority_of
-- $1 job
select priority from headrace.jobs where id = $1::uuid;

-- name: is_in_line
-- Whether a job, or one that waits for it, has an ordering key: a child with the same one would come
-- behind it, and never start.
-- $1 job, $2 ordering key
with recursive above (id) as (
    select $1::uuid
    union
    select bound.parent from above join headrace.children as bound on bound.child = above.id
)
select exists (
    select from above
    join headrace.jobs as job on job.id = above.id
    where job.ordering_key = $2
);

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

-- name: orphans_of
-- The children that these jobs left behind: whose parent's run has failed or was cancelled.
-- $1 parents uuid[]
select bound.child, bound.parent
from unnest($1::uuid[]) as given (id)
join headrace.jobs as parent on parent.id = given.id
join headrace.children as bound on bound.parent = parent.id
where (parent.run = bound.run and parent.state in ('failed', 'cancelled'))
or (parent.run > bound.run and not exists (
    select from headrace.job_events as event
    where event.job = parent.id and event.run = bound.run and event.to_state = 'completed'
));

-- name: find_orphans
-- As orphans_of, among one page of all children. Returns, after them, a row without a parent: where
-- the next page begins, or nothing at the end.
-- $1 after this child, $2 children in a page
with page as materialized (
    select child, parent, run from headrace.children
    where child > $1::uuid
    order by child
    limit $2
)
select bound.child, bound.parent
from page as bound
join headrace.jobs as parent on parent.id = bound.parent
where (parent.run = bound.run and parent.state in ('failed', 'cancelled'))
or (parent.run > bound.run and not exists (
    select from headrace.job_events as event
    where event.job = parent.id and event.run = bound.run and event.to_state = 'completed'
))
union all
select case when (select count(*) from page) = $2::integer then
    (select child from page order by child desc limit 1)
end, null;

-- name: wake_missed
-- Wakes parents whose rows of `queued` were held when children ended; those that still are, are left
-- to the next time.
-- $1 most rows
with picked as materialized (
    select ctid as place, job, waits_until from headrace.missed_wakes
    limit $1
    for update skip locked
),
gone as (
    delete from headrace.missed_wakes as missed using picked where missed.ctid = picked.place
)
select headrace.wake_waiting_job(job, waits_until)
from (select distinct job, waits_until from picked) as known;

-- name: due_queues
-- The queues of those of these jobs that can be claimed now, and of the parents that wait for those
-- of them that have ended: where nobody listens to notifications, they are to be rung for.
-- $1 jobs uuid[]
select lane.queue
from unnest($1::uuid[]) as given (id)
join headrace.jobs as job on job.id = given.id
join headrace.lanes as lane on lane.id = job.lane
where job.state = 'queued' and job.due_at <= headrace.now()
union
select lane.queue
from unnest($1::uuid[]) as given (id)
join headrace.jobs as child on child.id = given.id
join headrace.jobs as parent on parent.id = child.parent_job
join headrace.lanes as lane on lane.id = parent.lane
where child.finished_at is not null and child.undo_of is null
and parent.state = 'queued' and parent.wait_reason in ('child', 'external');
