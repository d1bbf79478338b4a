"""Many documents at once, written as the pipeline would have left them, without its work."""

import random
from dataclasses import dataclass
from typing import Final

from headrace.pipelines.documents.embedding import Space
from headrace.testing import Engine
from tests.documents.trial import TRIAL

SMALL: Final = Space("small", "1", dimension=8, most_tokens=256)
LONG_S: Final = 50
CHUNKS: Final = 100
"""In each document."""

DOCUMENTS: Final = """
    insert into headrace_documents.documents
        (id, tenant, owner, name, kind, mime, bytes, sha256, raw_path, last_generation,
         current_generation, space)
    select md5($1 || $2 || number)::uuid, $1, $2, 'book ' || number, 'text', 'text/plain', 1, 'x',
        'x', 1, 1, $4
    from generate_series(1, $3) as number
"""
CHUNK_ROWS: Final = """
    insert into headrace_documents.chunks
        (document, generation, ordinal, id, chunker, sha256, text, type, start_at, end_at,
         start_line, end_line)
    select document.id, 1, ordinal, md5(document.id::text || ordinal)::uuid, 'x@1', 'x',
        document.name || ' ' || ordinal, 'paragraph', 0, 1, 1, 1
    from headrace_documents.documents as document, generate_series(0, $3 - 1) as ordinal
    where tenant = $1 and owner = $2
"""
VECTORS: Final = """
    insert into headrace_documents.vectors (space, document, tenant, owner, chunk, vector, sha256)
    select $4, document, $1, $2, id, given.vector::vector, ''
    from (
        select chunk.*, row_number() over () as place
        from headrace_documents.chunks as chunk
        join headrace_documents.documents as document on document.id = chunk.document
        where tenant = $1 and owner = $2
    ) as chunk
    join unnest($3::text[]) with ordinality as given (vector, place) using (place)
"""

INDEX: Final = """
    create index vectors_{space}_nearest on headrace_documents.vectors_{space}
    using hnsw ((vector::vector(8)) vector_cosine_ops)
"""


@dataclass(frozen=True)
class Crowd:
    """Owners with vectors in one space."""

    engine: Engine
    space: int

    @classmethod
    async def gather(cls, engine: Engine) -> "Crowd":
        async with engine.connection() as connection:
            number = await connection.fetchval(
                "select headrace_documents.open_space($1, $2, $3)",
                SMALL.model, SMALL.version, SMALL.dimension,
            )  # fmt: skip
            await connection.execute(f"drop index headrace_documents.vectors_{number}_nearest")
        TRIAL.space = SMALL
        return cls(engine, number)

    async def add(self, owner: str, vectors: list[list[float]], *, tenant: str = "default") -> None:
        count = -(-len(vectors) // CHUNKS)
        async with self.engine.connection() as connection, connection.transaction():
            await connection.execute(DOCUMENTS, tenant, owner, count, self.space)
            await connection.execute(CHUNK_ROWS, tenant, owner, min(CHUNKS, len(vectors)))
            texts = [str(vector) for vector in vectors]
            await connection.execute("set local statement_timeout = 0")
            await connection.execute("set local enable_nestloop = off")
            await connection.execute(VECTORS, tenant, owner, texts, self.space, timeout=LONG_S)

    async def settle(self) -> None:
        """Let the planner know what is there, as it does by itself after a while."""
        async with self.engine.connection() as connection, connection.transaction():
            await connection.execute("set local statement_timeout = 0")
            await connection.execute(INDEX.format(space=self.space), timeout=LONG_S)
            for table in ("documents", "chunks", "vectors"):
                await connection.execute(f"analyze headrace_documents.{table}")


def around(centre: list[float], spread: float, count: int, seed: int) -> list[list[float]]:
    """Vectors that lie about so far from a centre."""
    chance = random.Random(seed)  # noqa: S311 - the same ones each time
    return [[number + chance.gauss(0, spread) for number in centre] for _ in range(count)]
