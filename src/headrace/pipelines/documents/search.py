"""The passages that are nearest to a question."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headrace import PermanentError, RetryAfter, UserError
from headrace.pipelines.documents.embedding import EmbedderError, EmbeddingFailedError
from headrace.pipelines.documents.errors import (
    OtherDimensionError,
    OtherSpaceError,
    QuestionRefusedError,
)
from headrace.pipelines.documents.intake import parse_key
from headrace.pipelines.documents.model import Hit
from headrace.pipelines.documents.statements import SQL
from headrace.pipelines.documents.storing import vector_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace import Row
    from headrace.pipelines.documents.embedding import Embedder
    from headrace.pipelines.documents.library import Reading
    from headrace.pipelines.documents.parsed import Owner

MOST_QUESTION: Final = 2_000
"""Characters of a question."""
MOST_HITS: Final = 100

# The index gives what is near; what belongs to others is left out after that, so it goes on until
# there are enough. Where an owner has little, the planner takes all of it and sorts, exactly.
SEARCHING: Final = """\
set local hnsw.iterative_scan = 'strict_order';
set local hnsw.ef_search = 200;
set local hnsw.max_scan_tuples = 100000;
"""


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for, and among what."""

    text: str
    limit: int = 10
    least_score: float | None = None
    documents: Sequence[str] | None = None

    def check(self) -> None:
        """Return when it can be asked.

        Raises:
            QuestionRefusedError: Its length or a bound is out of range.
        """
        if not 0 < len(self.text.strip()) <= MOST_QUESTION:
            raise QuestionRefusedError(
                f"a question has 1 to {MOST_QUESTION:,} characters, not {len(self.text.strip())}"
            )
        if any("\ud800" <= letter <= "\udfff" for letter in self.text):
            raise QuestionRefusedError("the question is no valid Unicode text")
        if not 1 <= self.limit <= MOST_HITS:
            raise QuestionRefusedError(f"limit is 1 to {MOST_HITS}, not {self.limit}")


async def search(
    reading: Reading, embedder: Embedder, owner: Owner, question: Question
) -> list[Hit]:
    """The nearest passages of an owner's documents, the nearest first.

    Raises:
        QuestionRefusedError: The question is out of range.
        OtherSpaceError: There are documents, but none embedded by this embedder.
        OtherDimensionError: Its vectors have another length in this database.
        EmbedderError: The embedder refuses to work, as with a wrong key.
        EmbeddingFailedError: The embedder gives no vector now.
    """
    question.check()
    space = embedder.space
    async with reading(owner.tenant, owner.name) as connection:
        found = await connection.fetchrow(SQL["vectors.find_space"], space.model, space.version)
    if found is None:
        await _refuse_other_spaces(reading, owner, str(space))
        return []
    if found["dimension"] != space.dimension:
        raise OtherDimensionError(str(space), found["dimension"], space.dimension)
    vector = await _vector_of(embedder, question.text)
    rows = await _nearest(reading, found, owner, question, vector)
    if not rows:
        await _refuse_other_spaces(reading, owner, str(space))
    least = question.least_score
    hits = [_hit(row) for row in rows]
    return hits if least is None else [hit for hit in hits if hit.score >= least]


async def _vector_of(embedder: Embedder, text: str) -> array[float]:
    """The vector of a question; what tells a step how to go on is told to a caller here."""
    try:
        embedded = await embedder.embed([text])
    except UserError as error:
        raise QuestionRefusedError(error.message) from error
    except PermanentError as error:
        raise EmbedderError(error.message) from error
    except RetryAfter as error:
        raise EmbeddingFailedError(error.reason, error.delay) from error
    return array("f", embedded.vectors[0])


async def _nearest(
    reading: Reading, space: Row, owner: Owner, question: Question, vector: array[float]
) -> Sequence[Row]:
    text = (
        SQL["vectors.nearest"]
        .replace("{space}", str(int(space["id"])))
        .replace("{dimension}", str(int(space["dimension"])))
    )
    wanted = None if question.documents is None else [parse_key(key) for key in question.documents]
    values = (vector_text(vector), owner.tenant, owner.name, question.limit, wanted)
    lent = reading(owner.tenant, owner.name)
    async with lent as connection, connection.transaction():
        await connection.execute(SEARCHING)
        rows: Sequence[Row] = await connection.fetch(text.replace("{exact}", ""), *values)
        if len(rows) < question.limit:
            # These are all, or too many of others are nearer: all of this owner's are compared.
            rows = await connection.fetch(text.replace("{exact}", "+ 0"), *values)
    return rows


async def _refuse_other_spaces(reading: Reading, owner: Owner, configured: str) -> None:
    async with reading(owner.tenant, owner.name) as connection:
        rows = await connection.fetch(SQL["vectors.spaces_of"], owner.tenant, owner.name)
    stored = tuple(f"{row['model']}@{row['version']}" for row in rows)
    if stored and configured not in stored:
        raise OtherSpaceError(configured, stored)


def _hit(row: Row) -> Hit:
    return Hit(
        text=row["text"],
        score=row["score"],
        document=str(row["document"]),
        name=row["name"],
        chunk=str(row["id"]),
        ordinal=row["ordinal"],
        type=row["type"],
        start=row["start_at"],
        end=row["end_at"],
        start_line=row["start_line"],
        end_line=row["end_line"],
        page=row["page"],
    )
