-- name: receive
-- Makes a document's row, or finds it; a deletion that was cut off ends first, by its caller.
-- $1 id, $2 tenant, $3 owner, $4 name, $5 kind, $6 mime, $7 bytes, $8 sha256, $9 path of the file
insert into headrace_documents.documents
    (id, tenant, owner, name, kind, mime, bytes, sha256, raw_path)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (id) do nothing;

-- name: find
-- A document, also one that is being deleted, with the state of its job.
-- $1 id, $2 tenant, $3 owner
select document.id, document.raw_path, document.parsed_path, document.deleting, document.job,
    job.state as job_state
from headrace_documents.documents as document
left join headrace.jobs as job on job.id = document.job
where document.id = $1 and document.tenant = $2 and document.owner = $3;

-- name: find_made_by
-- The document that a job ingests or ingested last.
-- $1 job
select id, tenant, owner from headrace_documents.documents where job = $1;

-- name: lock
-- A document, for whoever is about to begin a job for it or to remove it. Whoever had to wait here
-- would see the new job's id without its row, so the state of the job is read by `find` after this.
-- $1 id, $2 tenant, $3 owner
select document.id, document.raw_path, document.deleting
from headrace_documents.documents as document
where document.id = $1 and document.tenant = $2 and document.owner = $3
for update;

-- name: begin_job
-- The file is what its job was told: the same content may come again under another name.
-- $1 id, $2 job, $3 name, $4 kind, $5 mime, $6 path of the file
update headrace_documents.documents
set job = $2, name = $3, kind = $4, mime = $5, raw_path = $6,
    processing_started_at = clock_timestamp(), processing_ended_at = null,
    updated_at = clock_timestamp()
where id = $1;

-- name: validated
-- Keeps what the text of a document is; nothing comes back where another job ingests it.
-- $1 id, $2 path of the parsed file, $3 its sha256, $4 pages, $5 job
update headrace_documents.documents
set parsed_path = $2, parsed_sha256 = $3, pages = $4, updated_at = clock_timestamp()
where id = $1 and not deleting and job = $5
returning id;

-- name: next_generation
-- Opens a generation of chunks, and counts anew; nothing comes back where another job ingests it.
-- $1 id, $2 chunks, $3 job
update headrace_documents.documents
set last_generation = last_generation + 1, chunks_total = $2, chunks_done = 0,
    embeds_total = $2, embeds_done = 0, updated_at = clock_timestamp()
where id = $1 and not deleting and job = $3
returning last_generation;

-- name: chunked
-- $1 id, $2 generation, $3 chunks stored, $4 chunks that have a vector already
update headrace_documents.documents
set chunks_done = $3, embeds_done = $4, updated_at = clock_timestamp()
where id = $1 and last_generation = $2;

-- name: embedded
-- Adds a batch to the progress of a generation; nothing comes back for a document that is deleted,
-- or of which another job makes a newer generation.
-- $1 id, $2 generation, $3 vectors
update headrace_documents.documents
set embeds_done = least(embeds_done + $3::integer, embeds_total),
    updated_at = clock_timestamp()
where id = $1 and not deleting and last_generation = $2
returning id;

-- name: switch_generation
-- Shows a new generation in place of an older one; nothing comes back where a newer one is shown.
-- $1 id, $2 generation, $3 space
update headrace_documents.documents
set current_generation = $2, space = $3, updated_at = clock_timestamp()
where id = $1 and not deleting and coalesce(current_generation, 0) <= $2
returning id;

-- name: finish
-- $1 id
update headrace_documents.documents
set processing_ended_at = clock_timestamp(), updated_at = clock_timestamp()
where id = $1;

-- name: begin_delete
-- $1 id, $2 tenant, $3 owner
update headrace_documents.documents
set deleting = true, current_generation = null, updated_at = clock_timestamp()
where id = $1 and tenant = $2 and owner = $3
returning job, raw_path, parsed_path;

-- name: end_delete
-- $1 id
delete from headrace_documents.documents where id = $1 and deleting;

-- name: show
-- $1 ids uuid[], $2 tenant, $3 owner
select document.*, job.state as job_state, job.error as job_error, job.run as job_run,
    space.model, space.version,
    array(
        select step.step from headrace.steps as step
        where step.job = document.job and step.run = job.run
    ) as steps_done
from headrace_documents.documents as document
left join headrace.jobs as job on job.id = document.job
left join headrace_documents.spaces as space on space.id = document.space
where document.id = any($1::uuid[]) and document.tenant = $2 and document.owner = $3
and not document.deleting;

-- name: list
-- A page of an owner's documents, newest first.
-- $1 tenant, $2 owner, $3 most rows, $4 created before (or null), $5 and with a smaller id
select document.*, job.state as job_state, job.error as job_error, job.run as job_run,
    space.model, space.version,
    array(
        select step.step from headrace.steps as step
        where step.job = document.job and step.run = job.run
    ) as steps_done
from headrace_documents.documents as document
left join headrace.jobs as job on job.id = document.job
left join headrace_documents.spaces as space on space.id = document.space
where document.tenant = $1 and document.owner = $2 and not document.deleting
and ($4::timestamptz is null or (document.created_at, document.id) < ($4, $5::uuid))
order by document.created_at desc, document.id desc
limit $3;
