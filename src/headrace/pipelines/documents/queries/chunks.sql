-- name: insert
-- Stores the chunks of a generation, in order.
-- $1 document, $2 generation, $3 chunker, $4 ids uuid[], $5 sha256 text[], $6 texts text[],
-- $7 types text[], $8 starts integer[], $9 ends integer[], $10 first lines integer[],
-- $11 last lines integer[], $12 pages integer[]
insert into headrace_documents.chunks (
    document, generation, ordinal, id, chunker, sha256, text, type, start_at, end_at,
    start_line, end_line, page
)
select $1, $2, piece.place - 1, piece.id, $3, piece.sha256, piece.text, piece.type,
    piece.start_at, piece.end_at, piece.start_line, piece.end_line, piece.page
from unnest(
    $4::uuid[], $5::text[], $6::text[], $7::text[], $8::integer[], $9::integer[],
    $10::integer[], $11::integer[], $12::integer[]
) with ordinality as piece (
    id, sha256, text, type, start_at, end_at, start_line, end_line, page, place
);

-- name: without_vector
-- The ordinals of a generation's chunks that have no vector in a space, in order.
-- $1 document, $2 generation, $3 space
select chunk.ordinal
from headrace_documents.chunks as chunk
where chunk.document = $1 and chunk.generation = $2
and not exists (
    select from headrace_documents.vectors as vector
    where vector.space = $3 and vector.chunk = chunk.id
)
order by chunk.ordinal;

-- name: delete_older
-- $1 document, $2 generation
delete from headrace_documents.chunks where document = $1 and generation < $2;

-- name: delete_all
-- $1 document
delete from headrace_documents.chunks where document = $1;

-- name: list
-- A page of a document's present chunks.
-- $1 document, $2 tenant, $3 owner, $4 first ordinal, $5 most rows
select chunk.id, chunk.ordinal, chunk.type, chunk.text, chunk.sha256, chunk.start_at, chunk.end_at,
    chunk.start_line, chunk.end_line, chunk.page
from headrace_documents.documents as document
join headrace_documents.chunks as chunk
on chunk.document = document.id and chunk.generation = document.current_generation
where document.id = $1 and document.tenant = $2 and document.owner = $3
and chunk.ordinal >= $4
order by chunk.ordinal
limit $5;
