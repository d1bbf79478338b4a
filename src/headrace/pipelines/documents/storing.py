"""Writes of the documents' tables, each in the transaction of the step that does it."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import orjson

from headrace import CancelJob, PermanentError, Transaction
from headrace.pipelines.documents.errors import OtherDimensionError
from headrace.pipelines.documents.statements import SQL

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

    from headrace.pipelines.documents.embedding import Space
    from headrace.pipelines.documents.model import ParsedFile
    from headrace.pipelines.documents.pieces import Piece


GONE: Final = "the document was deleted, or another job ingests it"


async def keep_text(tx: Transaction, document: str, parsed: ParsedFile, job: UUID) -> None:
    """Keep where the text of a document lies, and what it is.

    Raises:
        CancelJob: The document is deleted, or another job ingests it.
    """
    pages = len(parsed.pages) or None
    found = await tx.fetchval(
        SQL["documents.validated"], UUID(document), parsed.address, parsed.sha256, pages, job
    )
    if found is None:
        raise CancelJob(GONE)


async def open_space(tx: Transaction, space: Space) -> int:
    """The number of a space, which is made where it is new, with an index of its own.

    Raises:
        PermanentError: Its vectors have another length in this database.
    """
    found = await tx.fetchrow(SQL["vectors.find_space"], space.model, space.version)
    if found is not None and found["dimension"] != space.dimension:
        problem = OtherDimensionError(str(space), found["dimension"], space.dimension)
        raise PermanentError(str(problem))
    number: int = await tx.fetchval(
        SQL["vectors.open_space"], space.model, space.version, space.dimension
    )
    return number


async def begin_generation(
    tx: Transaction, document: str, pieces: Sequence[Piece], *, chunker: str, job: UUID
) -> int:
    """Store chunks as a new generation, which nobody sees yet; its number.

    Raises:
        CancelJob: The document is deleted, or another job ingests it.
    """
    number = await tx.fetchval(SQL["documents.next_generation"], UUID(document), len(pieces), job)
    if number is None:
        raise CancelJob(GONE)
    await tx.execute(
        SQL["chunks.insert"],
        UUID(document),
        number,
        chunker,
        [piece.id for piece in pieces],
        [piece.sha256 for piece in pieces],
        [piece.text for piece in pieces],
        [piece.span.type for piece in pieces],
        [piece.span.start for piece in pieces],
        [piece.span.end for piece in pieces],
        [piece.span.start_line for piece in pieces],
        [piece.span.end_line for piece in pieces],
        [piece.page for piece in pieces],
    )
    return int(number)


async def without_vector(tx: Transaction, document: str, generation: int, space: int) -> list[int]:
    """The ordinals of the chunks that are still to be embedded, in order."""
    rows = await tx.fetch(SQL["chunks.without_vector"], UUID(document), generation, space)
    return [row[0] for row in rows]


async def count_chunks(
    tx: Transaction, document: str, generation: int, *, stored: int, embedded: int
) -> None:
    """Say how many chunks are stored, and how many of them have their vector already."""
    await tx.execute(SQL["documents.chunked"], UUID(document), generation, stored, embedded)


@dataclass(frozen=True, slots=True)
class Target:
    """Where the vectors of a job belong."""

    document: str
    tenant: str
    owner: str
    generation: int
    space: int


async def store_vectors(
    tx: Transaction, target: Target, pieces: Sequence[Piece], vectors: Sequence[array[float]]
) -> None:
    """Store a batch of vectors, in the order of the chunks, with the progress that it makes.

    Raises:
        CancelJob: The document is deleted, or another job ingests it anew.
    """
    document = UUID(target.document)
    found = await tx.fetchval(SQL["documents.embedded"], document, target.generation, len(pieces))
    if found is None:
        raise CancelJob(GONE)
    await tx.execute(
        SQL["vectors.store"],
        target.space,
        document,
        target.tenant,
        target.owner,
        [piece.id for piece in pieces],
        [vector_text(vector) for vector in vectors],
        [vector_sha256(vector) for vector in vectors],
    )


async def show_generation(tx: Transaction, document: str, generation: int, space: int) -> None:
    """Let search see a generation in place of all older ones, which are removed.

    Raises:
        CancelJob: The document is deleted, or a newer generation of it is shown.
        RuntimeError: A chunk has no vector.
    """
    key = UUID(document)
    missing = await tx.fetchval(SQL["vectors.missing"], key, generation, space)
    if missing:
        raise RuntimeError(f"{missing} chunks of generation {generation} have no vector")
    if await tx.fetchval(SQL["documents.switch_generation"], key, generation, space) is None:
        raise CancelJob("the document was deleted, or a newer generation of it is shown")
    await tx.execute(SQL["chunks.delete_older"], key, generation)
    await tx.execute(SQL["vectors.delete_stale"], key, space)


async def finish(tx: Transaction, document: str) -> None:
    """Keep when a document was ready."""
    await tx.execute(SQL["documents.finish"], UUID(document))


def vector_text(vector: array[float]) -> str:
    """A vector as pgvector reads it: the same 32-bit numbers come back."""
    return orjson.dumps(vector.tolist()).decode()


def vector_sha256(vector: array[Any]) -> bytes:
    """SHA-256 of the vector's 32-bit numbers, little-endian."""
    if sys.byteorder == "big":
        vector = vector[:]
        vector.byteswap()
    return hashlib.sha256(vector.tobytes()).digest()
