-- Circuit breakers.

-- One row for each breaker, or for each of its tenants. A call that goes well while it is closed
-- writes nothing; failures are the times of the last few, so that a row never grows.
create table headrace.breakers (
    name text collate "C" not null,
    -- Empty where all tenants share it.
    tenant text collate "C" not null default '',
    state text collate "C" not null default 'closed',
    -- A number that no other state of any breaker had: what a call reports that began in another
    -- state means nothing any more.
    epoch bigint not null default nextval('headrace.tokens'),
    changed_at timestamptz not null default headrace.now(),
    why text not null default 'made',
    failed_at timestamptz[] not null default '{}',
    -- When a call may be tried; null while it is open until somebody resets it.
    probe_at timestamptz,
    successes smallint not null default 0,
    -- Calls that were tried since it was half open.
    probes integer not null default 0,
    -- The one that is being tried. It is over with its worker, and at its time.
    probe bigint,
    probe_worker integer,
    probe_began_at timestamptz,
    probe_expires_at timestamptz,
    primary key (name, tenant),
    constraint breakers_state check (state in ('closed', 'open', 'half_open')),
    constraint breakers_probe check ((probe is null) = (probe_expires_at is null)),
    constraint breakers_probe_while_half_open check (probe is null or state = 'half_open')
) with (fillfactor = 50);

-- Seconds until it is worth asking again. Calls that are turned away while another is being tried come
-- back after as long as that one has taken so far: soon while it may be quick, and ever more rarely
-- while it hangs. Null where nobody knows.
create function headrace.breaker_retry_s(breaker headrace.breakers) returns float8
language sql stable
return case breaker.state
    when 'closed' then 0
    when 'open' then extract(epoch from breaker.probe_at - headrace.now())
    else coalesce(
        extract(epoch from least(
            headrace.now() - breaker.probe_began_at, breaker.probe_expires_at - headrace.now()
        )),
        0
    )
end;

-- What became of them: evidence.
create table headrace.breaker_changes (
    id bigint generated always as identity primary key,
    name text collate "C" not null,
    tenant text collate "C" not null,
    at timestamptz not null,
    from_state text collate "C" not null,
    to_state text collate "C" not null,
    why text not null,
    actor text,
    worker integer,
    -- Calls that were tried in a half open state that ends here.
    probes integer not null
);

create index breaker_changes_of on headrace.breaker_changes (name, tenant, id);

create trigger breaker_changes_evidence before update or delete on headrace.breaker_changes
for each statement execute function headrace.refuse_change();
