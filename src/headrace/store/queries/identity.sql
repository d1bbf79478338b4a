-- name: add_api_key
-- $1 prefix, $2 hash, $3 tenant, $4 owner, $5 scopes text[], $6 note, $7 created by, $8 life
insert into headrace.api_keys (prefix, hash, tenant, owner, scopes, note, created_by, expires_at)
values ($1, $2, $3, $4, $5::text[], $6, $7, headrace.now() + $8::interval)
returning prefix, tenant, owner, scopes, note, created_at, created_by, expires_at, revoked_at,
    revoked_by;

-- name: find_api_key
-- A key that can be used now, with the seconds that it still lives.
-- $1 prefix
select hash, tenant, owner, scopes,
    extract(epoch from expires_at - headrace.now())::float8 as left_s
from headrace.api_keys
where prefix = $1 and revoked_at is null and expires_at > headrace.now();

-- name: list_api_keys
-- Keys, the newest first, without what opens anything. Filters may be null.
-- $1 tenant, $2 most rows
select prefix, tenant, owner, scopes, note, created_at, created_by, expires_at, revoked_at,
    revoked_by
from headrace.api_keys
where $1::text is null or tenant = $1
order by created_at desc, prefix
limit $2;

-- name: revoke_api_key
-- Nothing comes back where there is no such key, or it was revoked before.
-- $1 prefix, $2 revoked by
update headrace.api_keys
set revoked_at = clock_timestamp(), revoked_by = $2
where prefix = $1 and revoked_at is null
returning prefix, tenant, owner, scopes, note, created_at, created_by, expires_at, revoked_at,
    revoked_by;

-- name: has_api_keys
-- Whether any key can be used now.
select exists (
    select from headrace.api_keys where revoked_at is null and expires_at > headrace.now()
);

-- name: add_audit
-- Keeps what an administrator did.
-- $1 actor, $2 action, $3 target, $4 reason, $5 request id, $6 before, $7 after
insert into headrace.admin_audit (actor, action, target, reason, request_id, before, after)
values ($1, $2, $3, $4, $5, $6::json, $7::json);

-- name: list_audit
-- What administrators did, the latest first.
-- $1 only before this id or null, $2 most rows
select id, at, actor, action, target, reason, request_id, before, after
from headrace.admin_audit
where $1::bigint is null or id < $1
order by id desc
limit $2;

-- name: prune_audit
-- Deletes what administrators did long ago; needs retention.allow_deletion. Ids are in order of time.
-- $1 age, $2 most rows
delete from headrace.admin_audit
where id in (
    select id
    from (select id, at from headrace.admin_audit order by id limit $2) as oldest
    where at < headrace.now() - $1::interval
);

-- name: wall_state
-- Whether this session can go behind the wall: the role is there, may be taken, and may read.
select
    role is not null
    and case
        when current_setting('server_version_num')::integer >= 160000
            then pg_has_role(role, 'SET')
        else pg_has_role(role, 'MEMBER')
    end
    and has_schema_privilege(role, 'headrace', 'usage')
    and has_table_privilege(role, 'headrace.request_keys', 'update')
    and (documents is null or has_table_privilege(role, documents, 'select')) as stands
from (
    select to_regrole('headrace_api')::oid as role,
        to_regclass('headrace_documents.documents')::oid as documents
) as wanted;

-- name: enter_wall
-- From here to the end of the transaction nothing of other tenants and owners can be seen.
-- $1 tenant, $2 owner, $3 'on' for every owner of the tenant
select set_config('role', 'headrace_api', true), set_config('headrace.tenant', $1, true),
    set_config('headrace.owner', $2, true), set_config('headrace.every_owner', $3, true);
