-- name: open_space
-- The number of a space, which is made where it is new.
-- $1 model, $2 version, $3 dimension
select headrace_documents.open_space($1, $2, $3);

-- name: find_space
-- $1 model, $2 version
select id, dimension from headrace_documents.spaces where model = $1 and version = $2;

-- name: store
-- Stores a batch of vectors; one that is there and the same is left alone.
-- $1 space, $2 document, $3 tenant, $4 owner, $5 chunks uuid[], $6 vectors text[], $7 sha256 bytea[]
insert into headrace_documents.vectors (space, document, tenant, owner, chunk, vector, sha256)
select $1, $2, $3, $4, given.chunk, given.vector::vector, given.sha256
from unnest($5::uuid[], $6::text[], $7::bytea[]) as given (chunk, vector, sha256)
on conflict (space, chunk) do update
set vector = excluded.vector, sha256 = excluded.sha256
where vectors.sha256 <> excluded.sha256;

-- name: missing
-- How many chunks of a generation have no vector in a space.
-- $1 document, $2 generation, $3 space
select count(*)
from headrace_documents.chunks as chunk
where chunk.document = $1 and chunk.generation = $2
and not exists (
    select from headrace_documents.vectors as vector
    where vector.space = $3 and vector.chunk = chunk.id
);

-- name: delete_stale
-- Removes vectors of texts that no chunk of the document has any more, and those of other spaces.
-- $1 document, $2 space
delete from headrace_documents.vectors as vector
where vector.document = $1
and (
    vector.space <> $2
    or not exists (
        select from headrace_documents.chunks as chunk
        where chunk.document = $1 and chunk.id = vector.chunk
    )
);

-- name: delete_all
-- $1 document
delete from headrace_documents.vectors where document = $1;

-- name: nearest
-- The chunks nearest to a question, of an owner's present generations. {space} and {dimension} are
-- numbers that stand in the text, because only so the index of the space can be used; {exact} is
-- `+ 0` where it may not be used.
-- $1 question as text, $2 tenant, $3 owner, $4 most rows, $5 documents uuid[] or null
select chunk.id, chunk.text, chunk.type, chunk.ordinal, chunk.start_at, chunk.end_at,
    chunk.start_line, chunk.end_line, chunk.page, document.id as document, document.name,
    1 - (vector.vector::vector({dimension}) <=> $1::text::vector({dimension})) as score
from headrace_documents.vectors_{space} as vector
join headrace_documents.chunks as chunk on chunk.id = vector.chunk
join headrace_documents.documents as document
on document.id = chunk.document and document.current_generation = chunk.generation
    and document.space = {space}
where vector.tenant = $2 and vector.owner = $3
and document.tenant = $2 and document.owner = $3
and ($5::uuid[] is null or vector.document = any($5))
order by (vector.vector::vector({dimension}) <=> $1::text::vector({dimension})) {exact}
limit $4;

-- name: spaces_of
-- The spaces in which an owner's present documents are embedded.
-- $1 tenant, $2 owner
select distinct space.model, space.version
from headrace_documents.documents as document
join headrace_documents.spaces as space on space.id = document.space
where document.tenant = $1 and document.owner = $2 and not document.deleting
order by space.model, space.version;
