-- Documents, their chunks and their vectors stand behind the wall between tenants, as jobs do.

alter table headrace_documents.documents enable row level security;
create policy documents_wall on headrace_documents.documents using (
    headrace.may_see(tenant, owner)
);

-- What belongs to a document is seen by whoever sees the document.
alter table headrace_documents.chunks enable row level security;
create policy chunks_wall on headrace_documents.chunks using (
    current_user <> 'headrace_api' or exists (
        select from headrace_documents.documents as owned where owned.id = document
    )
);

-- The partitions are asked by their own names, so the wall stands before each of them.
create function headrace_documents.wall_off(part text) returns void
language plpgsql as $$
begin
    execute format('alter table headrace_documents.%I enable row level security', part);
    execute format(
        'create policy %I on headrace_documents.%I using (headrace.may_see(tenant, owner))',
        part || '_wall', part
    );
    if to_regrole('headrace_api') is not null then
        execute format('grant select on headrace_documents.%I to headrace_api', part);
    end if;
end $$;

create function headrace_documents.wall_off_space() returns trigger
language plpgsql as $$
begin
    perform headrace_documents.wall_off('vectors_' || new.id);
    return null;
end $$;

-- When the transaction that opens a space commits, its partition is there.
create constraint trigger spaces_wall after insert on headrace_documents.spaces
deferrable initially deferred
for each row execute function headrace_documents.wall_off_space();

do $$
declare
    part text;
begin
    perform headrace_documents.wall_off('vectors');
    for part in select 'vectors_' || id from headrace_documents.spaces loop
        perform headrace_documents.wall_off(part);
    end loop;
end $$;

-- Deleting a job asks which document it made.
create index documents_by_job on headrace_documents.documents (job);

-- Lets the role of the API read what its routes read behind the wall.
create function headrace_documents.admit_api() returns void
language plpgsql as $$
declare
    part text;
begin
    grant usage on schema headrace_documents to headrace_api;
    for part in
        select tablename from pg_tables where schemaname = 'headrace_documents'
    loop
        execute format('grant select on headrace_documents.%I to headrace_api', part);
    end loop;
end $$;
revoke execute on function headrace_documents.admit_api() from public;

do $$
begin
    if to_regrole('headrace_api') is not null then
        perform headrace_documents.admit_api();
    end if;
end $$;
