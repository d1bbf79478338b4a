-- Proposals, reviews and decisions: one row for each run of a job that made it.
--
-- A run that takes over a stored output writes no row for it: what holds for a job is the row of its
-- newest run.

create schema headrace_consensus;

create table headrace_consensus.proposal_versions (
    job uuid not null,
    run integer not null,
    tenant text collate "C" not null,
    owner text collate "C" not null,
    parent_job uuid,
    depth smallint not null default 0,
    proposal json not null,
    diff json,
    edit_notes text,
    schema_version text not null,
    prompt_set_version text not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (job, run),
    constraint proposal_versions_depth check (depth >= 0),
    constraint proposal_versions_child check (
        (parent_job is null) = (depth = 0) and (parent_job is null) = (diff is null)
    )
);

create index proposal_versions_parent on headrace_consensus.proposal_versions (parent_job)
where parent_job is not null;

create table headrace_consensus.persona_reviews (
    job uuid not null,
    run integer not null,
    persona text collate "C" not null,
    tenant text collate "C" not null,
    owner text collate "C" not null,
    review json not null,
    confidence numeric(5, 4) not null,
    blocking_issues_present boolean not null,
    security_concerns_present boolean not null,
    prompt_parameters json not null,
    reused_from uuid,
    schema_version text not null,
    prompt_set_version text not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (job, run, persona),
    constraint persona_reviews_confidence check (confidence between 0 and 1),
    constraint persona_reviews_critical check (
        blocking_issues_present or not security_concerns_present
    )
);

create table headrace_consensus.decisions (
    job uuid not null,
    run integer not null,
    tenant text collate "C" not null,
    owner text collate "C" not null,
    decision json not null,
    label text collate "C" not null,
    confidence numeric(5, 4) not null,
    notes text,
    has_mixed_versions boolean not null,
    schema_version text not null,
    prompt_set_version text not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (job, run),
    constraint decisions_label check (label in ('approve', 'revise', 'reject')),
    constraint decisions_confidence check (confidence between 0 and 1)
);

create index decisions_label on headrace_consensus.decisions (label, created_at);
create index decisions_confidence on headrace_consensus.decisions (confidence);

-- What was said about an idea goes when its job is erased or forgotten.
create function headrace_consensus.forget() returns trigger
language plpgsql as $$
begin
    delete from headrace_consensus.proposal_versions where job = old.id;
    delete from headrace_consensus.persona_reviews where job = old.id;
    delete from headrace_consensus.decisions where job = old.id;
    return null;
end $$;

create trigger jobs_consensus after delete or update of erased_at on headrace.jobs
for each row execute function headrace_consensus.forget();

-- The wall between tenants stands before them, as before jobs.
do $$
declare
    part text;
begin
    foreach part in array array['proposal_versions', 'persona_reviews', 'decisions'] loop
        execute format('alter table headrace_consensus.%I enable row level security', part);
        execute format(
            'create policy %I on headrace_consensus.%I using (headrace.may_see(tenant, owner))',
            part || '_wall', part
        );
    end loop;
end $$;

-- Lets the role of the API read what its routes read behind the wall.
create function headrace_consensus.admit_api() returns void
language plpgsql as $$
begin
    grant usage on schema headrace_consensus to headrace_api;
    grant select on all tables in schema headrace_consensus to headrace_api;
end $$;
revoke execute on function headrace_consensus.admit_api() from public;

do $$
begin
    if to_regrole('headrace_api') is not null then
        perform headrace_consensus.admit_api();
    end if;
end $$;
