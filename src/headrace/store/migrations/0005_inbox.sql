-- Jobs that other systems submit by message.

-- Who may submit, for whom, and what. Its keys are derived from its name and the generation, and are
-- stored nowhere.
create table headrace.inbox_sources (
    name text collate "C" primary key,
    tenant text collate "C" not null,
    -- Whose the jobs are, unless a message names an owner and this source may.
    owner text collate "C" not null,
    names_owners boolean not null default false,
    pipelines text[] not null,
    key_generation integer not null default 1,
    previous_until timestamptz,
    disabled_at timestamptz,
    disabled_reason text,
    created_at timestamptz not null default clock_timestamp(),
    created_by text not null,
    constraint inbox_sources_pipelines check (cardinality(pipelines) > 0),
    constraint inbox_sources_key_generation check (key_generation >= 1),
    constraint inbox_sources_disabled check ((disabled_at is null) = (disabled_reason is null))
);

-- What was submitted under which id: written with the job. A message may be delivered again for as
-- long as its subscription keeps it, so these rows outlive their jobs.
create table headrace.inbox (
    source text collate "C" not null,
    -- The id that the sender gave; of a message without one, its signature, which no other has.
    key text collate "C" not null,
    message_id text collate "C" not null,
    content bytea not null,
    job uuid,
    received_at timestamptz not null default headrace.now(),
    primary key (source, key)
);

create index inbox_received on headrace.inbox (received_at);

-- Messages that were not taken, for somebody to look at. Their content is for operators only.
create table headrace.quarantine (
    id bigint generated always as identity primary key,
    -- The same message is here once, however often and on whatever way it comes.
    fingerprint bytea not null unique,
    message_id text collate "C" not null,
    source text collate "C",
    tenant text collate "C",
    reason text collate "C" not null,
    detail text not null,
    data bytea not null,
    attributes json not null,
    published_at timestamptz not null,
    received_at timestamptz not null default headrace.now(),
    redriven_at timestamptz,
    redriven_by text,
    job uuid,
    constraint quarantine_reason check (reason in (
        'undecodable', 'invalid', 'unsigned', 'unknown_source', 'unknown_pipeline', 'not_allowed',
        'unsupported_version', 'too_large', 'conflict', 'undeliverable'
    ))
);

create index quarantine_received on headrace.quarantine (received_at);
