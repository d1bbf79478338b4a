-- Documents, their chunks and their vectors. Needs the extension pgvector.

do $$
declare
    server text := current_setting('server_version');
    major text := current_setting('server_version_num')::integer / 10000;
begin
    if not exists (select from pg_available_extensions where name = 'vector') then
        raise exception 'the pipeline documents needs the extension pgvector, which this PostgreSQL % does not have: install it (on Debian: apt-get install postgresql-%-pgvector), or use the embedded database',
            split_part(server, ' ', 1), major;
    end if;
    create extension if not exists vector;
exception when insufficient_privilege then
    raise exception 'the pipeline documents needs the extension pgvector, which the user % may not create: let a superuser run "create extension vector" in this database',
        current_user;
end
$$;

create schema headrace_documents;

-- A model in one version, with the length of its vectors: only vectors of one space can be compared.
create table headrace_documents.spaces (
    id smallint generated always as identity primary key,
    model text not null,
    version text not null,
    dimension integer not null check (dimension between 1 and 2000),
    unique (model, version)
);

create table headrace_documents.documents (
    id uuid primary key,
    tenant text not null,
    owner text not null,
    name text not null,
    kind text not null,
    mime text not null,
    bytes bigint not null,
    sha256 text not null,
    raw_path text not null,
    parsed_path text,
    parsed_sha256 text,
    pages integer,
    job uuid,
    last_generation integer not null default 0,
    current_generation integer,
    space smallint,
    chunks_total integer not null default 0,
    chunks_done integer not null default 0,
    embeds_total integer not null default 0,
    embeds_done integer not null default 0,
    deleting boolean not null default false,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    processing_started_at timestamptz,
    processing_ended_at timestamptz
);

create index documents_listing on headrace_documents.documents (tenant, owner, created_at, id);

create table headrace_documents.chunks (
    document uuid not null,
    generation integer not null,
    ordinal integer not null,
    id uuid not null,
    chunker text not null,
    sha256 text not null,
    text text not null,
    type text not null,
    start_at integer not null,
    end_at integer not null,
    start_line integer not null,
    end_line integer not null,
    page integer,
    primary key (document, generation, ordinal)
);

create index chunks_by_id on headrace_documents.chunks (id);

-- One partition a space, so that each has an index of its own.
create table headrace_documents.vectors (
    space smallint not null,
    chunk uuid not null,
    document uuid not null,
    tenant text not null,
    owner text not null,
    sha256 bytea not null,
    vector vector not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (space, chunk)
) partition by list (space);

create index vectors_by_document on headrace_documents.vectors (document);
create index vectors_by_owner on headrace_documents.vectors (tenant, owner);

-- The number of a space; makes it, with its partition and its index, where it is new.
create function headrace_documents.open_space(
    wanted_model text, wanted_version text, wanted_dimension integer
) returns smallint
language plpgsql
as $$
declare
    found headrace_documents.spaces;
    part text;
begin
    select * into found from headrace_documents.spaces
    where model = wanted_model and version = wanted_version;
    if found.id is null then
        -- One process at a time: the others find it made.
        perform pg_advisory_xact_lock(hashtext('headrace_documents.open_space'));
        select * into found from headrace_documents.spaces
        where model = wanted_model and version = wanted_version;
    end if;
    if found.id is null then
        insert into headrace_documents.spaces (model, version, dimension)
        values (wanted_model, wanted_version, wanted_dimension)
        returning * into found;
        part := format('vectors_%s', found.id);
        -- Made aside and attached: reads and writes of other spaces go on meanwhile.
        execute format(
            'create table headrace_documents.%I (like headrace_documents.vectors including defaults,'
            ' check (space = %s), check (vector_dims(vector) = %s))',
            part, found.id, wanted_dimension
        );
        execute format(
            'alter table headrace_documents.vectors attach partition headrace_documents.%I'
            ' for values in (%s)',
            part, found.id
        );
        execute format(
            'create index %I on headrace_documents.%I'
            ' using hnsw ((vector::vector(%s)) vector_cosine_ops)',
            part || '_nearest', part, wanted_dimension
        );
    end if;
    if found.dimension <> wanted_dimension then
        raise exception 'vectors of %@% have % dimensions in this database, not %: give the model that makes other ones another version',
            wanted_model, wanted_version, found.dimension, wanted_dimension;
    end if;
    return found.id;
end
$$;
