-- API keys, the audit of administrators, and a wall between tenants.
--
-- The wall is the second one: every statement of the API names the tenant and the owner itself.
-- Behind it (role `headrace_api`, the settings `headrace.tenant` and `headrace.owner`) one that
-- forgets to finds nothing of others. The role is made where that is allowed; where it is not, the
-- wall is off, `headrace doctor` says so, and an administrator can put it up later:
--
--     create role headrace_api nologin;
--     grant headrace_api to <the role of the API>;
--     select headrace.admit_api();  -- as the owner of the tables

create table headrace.api_keys (
    prefix text collate "C" primary key,
    hash bytea not null,
    tenant text collate "C" not null,
    owner text collate "C" not null,
    scopes text[] not null,
    note text,
    created_at timestamptz not null default clock_timestamp(),
    created_by text not null,
    expires_at timestamptz not null,
    revoked_at timestamptz,
    revoked_by text,
    constraint api_keys_hash check (octet_length(hash) = 32),
    constraint api_keys_revoked check ((revoked_at is null) = (revoked_by is null))
);

create table headrace.admin_audit (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    actor text not null,
    action text collate "C" not null,
    target text collate "C" not null,
    reason text,
    request_id text,
    before json,
    after json
);

create trigger admin_audit_evidence before update or delete on headrace.admin_audit
for each statement execute function headrace.refuse_change();

-- --- the wall --------------------------------------------------------------------------------

-- Whether the one who asks may see what belongs to this owner. For all but the API's role always:
-- whoever else may read a table is trusted with all of it. Nothing is seen where nothing is set.
create function headrace.may_see(tenant text, owner text) returns boolean
language sql stable parallel safe
return current_user <> 'headrace_api' or coalesce(
    tenant = current_setting('headrace.tenant', true)
    and (
        owner = current_setting('headrace.owner', true)
        or current_setting('headrace.every_owner', true) = 'on'
    ),
    false
);

alter table headrace.jobs enable row level security;
create policy jobs_wall on headrace.jobs using (headrace.may_see(tenant, owner));

-- What belongs to a job is seen by whoever sees the job.
do $$
declare
    part text;
begin
    foreach part in array array[
        'queued', 'steps', 'records', 'tries', 'progress', 'job_events', 'dead_letters', 'artifacts'
    ] loop
        execute format('alter table headrace.%I enable row level security', part);
        execute format(
            'create policy %I on headrace.%I using (current_user <> ''headrace_api'' or exists ('
            'select from headrace.jobs as owned where owned.id = job))',
            part || '_wall', part
        );
    end loop;
end $$;

-- Lets the API's role read what routes read behind the wall.
create function headrace.admit_api() returns void
language plpgsql as $$
begin
    grant usage on schema headrace to headrace_api;
    grant select on
        headrace.jobs, headrace.queued, headrace.steps, headrace.records, headrace.tries,
        headrace.progress, headrace.job_events, headrace.dead_letters, headrace.artifacts,
        headrace.lanes, headrace.pipelines
    to headrace_api;
end $$;
revoke execute on function headrace.admit_api() from public;

-- Roles belong to the whole server: another database may have made it, or be making it right now.
do $$
begin
    if to_regrole('headrace_api') is null then
        create role headrace_api nologin noinherit;
    end if;
exception
    when duplicate_object or unique_violation or insufficient_privilege then
        null;
end $$;

do $$
begin
    if to_regrole('headrace_api') is not null then
        perform headrace.admit_api();
    end if;
end $$;

-- Who made a role may grant it from PostgreSQL 16 on, but not take it before it is granted.
do $$
begin
    execute format('grant headrace_api to %I', current_user);
exception
    when undefined_object or unique_violation or insufficient_privilege or internal_error then
        null;
end $$;
