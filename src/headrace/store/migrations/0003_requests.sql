-- Answers to requests with a key, and limits of tenants.

-- The W3C trace context of the request that made a job, and the hash of its body where it had an
-- idempotency key. A job that was erased stays as what its history needs.
alter table headrace.jobs
    add column traceparent text,
    add column request_hash bytea,
    add column erased_at timestamptz;

-- What was answered to a request with an `Idempotency-Key`; without a status while it is served.
create table headrace.request_keys (
    tenant text collate "C" not null,
    owner text collate "C" not null,
    key text collate "C" not null,
    fingerprint bytea not null,
    pending_until timestamptz not null,
    expires_at timestamptz not null,
    status smallint,
    headers json,
    body bytea,
    primary key (tenant, owner, key)
);

create index request_keys_expiry on headrace.request_keys (expires_at);

-- Requests of a tenant in its present minute, which begins with the first of them. Processes take
-- permits in portions; `granted` is the last one. `per_minute` is a limit of this tenant's own,
-- where it has one; 0: any number.
create table headrace.tenant_rates (
    tenant text collate "C" not null,
    kind text collate "C" not null,
    per_minute integer,
    window_at timestamptz not null,
    taken integer not null,
    granted integer not null,
    primary key (tenant, kind),
    constraint tenant_rates_kind check (kind in ('writes', 'reads')),
    constraint tenant_rates_per_minute check (per_minute >= 0)
);
