-- Turns between tenants (docs/adr/0016-tenant-fairness.md).
--
-- A row of `queued` bears the share of its tenant: a number from 0 to 32,767. The ready index is
-- ordered by it, so that a claim can take from each share what is first there, however much waits in
-- another. The table is made anew: between `ready` and `rank` there were two unused bytes, and there
-- the column costs nothing, where at the end each row would be 8 bytes longer.

-- Tenants may have the same share: they wait for each other as the jobs of one tenant do.
create function headrace.share_of(tenant text) returns smallint
language sql immutable parallel safe
return (hashtext(tenant) & 32767)::smallint;

-- Until the end no job is queued or claimed; whoever is about to waits.
lock table headrace.queued in access exclusive mode;

alter table headrace.queued rename to queued_before;
alter index headrace.queued_ready rename to queued_before_ready;
alter index headrace.queued_due rename to queued_before_due;
alter index headrace.queued_deadline rename to queued_before_deadline;

create table headrace.queued (
    job uuid not null,
    lane integer not null,
    suspect boolean not null default false,
    ready boolean not null,
    share smallint not null default 0,  -- a worker of an earlier version writes none
    rank timestamptz not null,
    due_at timestamptz not null,
    deadline timestamptz
) with (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.05
);

insert into headrace.queued (job, lane, suspect, ready, share, rank, due_at, deadline)
select entry.job, entry.lane, entry.suspect, entry.ready,
    coalesce(headrace.share_of(job.tenant), 0), entry.rank, entry.due_at, entry.deadline
from headrace.queued_before as entry
left join headrace.jobs as job on job.id = entry.job;

create index queued_ready on headrace.queued (lane, suspect, share, rank, job) where ready;
create index queued_due on headrace.queued (due_at) where not ready;
create index queued_deadline on headrace.queued (deadline) where deadline is not null;

alter table headrace.queued enable row level security;
create policy queued_wall on headrace.queued using (
    current_user <> 'headrace_api' or exists (
        select from headrace.jobs as owned where owned.id = job
    )
);

-- Who might read the table before may do so now: the API's role, and those of administrators.
do $$
declare
    given record;
begin
    for given in
        select coalesce(quote_ident(role.rolname), 'public') as grantee, acl.privilege_type,
            case when acl.is_grantable then ' with grant option' else '' end as grantable
        from pg_class as class
        cross join aclexplode(class.relacl) as acl
        left join pg_roles as role on role.oid = acl.grantee
        where class.oid = 'headrace.queued_before'::regclass and acl.grantee <> class.relowner
    loop
        execute format(
            'grant %s on headrace.queued to %s%s',
            given.privilege_type, given.grantee, given.grantable
        );
    end loop;
end $$;

drop table headrace.queued_before;
