"""What a step may still write when its document has gone on without it."""

import hashlib
import struct
from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from headrace import CancelJob
from headrace.pipelines.documents import storing
from headrace.pipelines.documents.chunking import Span
from headrace.pipelines.documents.embedding import Space
from headrace.pipelines.documents.model import ParsedFile
from headrace.pipelines.documents.pieces import Piece, cut
from headrace.pipelines.documents.storing import Target
from headrace.testing import Engine

DOCUMENT = "6c8a1e6e-1f0b-4aa8-9f0a-1a7c2e6f2b42"
JOB = uuid4()
TEXT = "One text. Two texts."
SPANS = [Span(0, 9, 1, 1, "paragraph"), Span(10, 20, 1, 1, "paragraph")]
PIECES: list[Piece] = cut(TEXT, SPANS, document=DOCUMENT, chunker="markdown@1", pages=[])
VECTORS = [array("f", [1, 0, 0.5]), array("f", [0, 1, -0.25])]
ROW = """
    insert into headrace_documents.documents
        (id, tenant, owner, name, kind, mime, bytes, sha256, raw_path, job)
    values ($1, 't', 'o', 'a.md', 'markdown', 'text/markdown', 1, 'x', 'x', $2)
"""


@dataclass
class Table:
    """One document with one generation that is not shown yet."""

    tx: Any
    target: Target

    async def set(self, columns: str) -> None:
        await self.tx.execute(f"update headrace_documents.documents set {columns}")  # noqa: S608

    async def vectors(self) -> list[Any]:
        return list(
            await self.tx.fetch(
                "select ctid, chunk, vector::text, sha256 from headrace_documents.vectors"
                " order by chunk"
            )
        )


@pytest.fixture
async def table(engine: Engine) -> AsyncIterator[Table]:
    async with engine.connection() as tx:
        await tx.execute(ROW, UUID(DOCUMENT), JOB)
        space = await storing.open_space(tx, Space("model", "1", 3, 256))
        number = await storing.begin_generation(tx, DOCUMENT, PIECES, chunker="markdown@1", job=JOB)
        yield Table(tx, Target(DOCUMENT, "t", "o", number, space))


OVERTAKEN = ["deleting = true", "last_generation = 2", "id = gen_random_uuid()"]


class TestLateWrites:
    @pytest.mark.parametrize("columns", OVERTAKEN)
    async def test_vectors_of_a_document_that_has_gone_on_are_not_stored(
        self, table: Table, columns: str
    ):
        await table.set(columns)
        with pytest.raises(CancelJob):
            await storing.store_vectors(table.tx, table.target, PIECES, VECTORS)
        assert await table.vectors() == []

    @pytest.mark.parametrize(
        "columns", ["deleting = true", "current_generation = 2", "id = gen_random_uuid()"]
    )
    async def test_an_older_generation_is_not_shown(self, table: Table, columns: str):
        await storing.store_vectors(table.tx, table.target, PIECES, VECTORS)
        await table.set(columns)
        with pytest.raises(CancelJob):
            await storing.show_generation(table.tx, DOCUMENT, 1, table.target.space)

    async def test_a_generation_without_all_its_vectors_is_not_shown(self, table: Table):
        await storing.store_vectors(table.tx, table.target, PIECES[:1], VECTORS[:1])
        with pytest.raises(RuntimeError, match="1 chunks of generation 1 have no vector"):
            await storing.show_generation(table.tx, DOCUMENT, 1, table.target.space)

    async def test_the_generation_that_is_shown_may_be_shown_again(self, table: Table):
        await storing.store_vectors(table.tx, table.target, PIECES, VECTORS)
        for _ in range(2):
            await storing.show_generation(table.tx, DOCUMENT, 1, table.target.space)
        assert len(await table.vectors()) == 2

    @pytest.mark.parametrize("columns", ["deleting = true", "job = gen_random_uuid()"])
    async def test_a_document_that_is_no_longer_the_jobs_takes_no_text_and_no_chunks(
        self, table: Table, columns: str
    ):
        await table.set(columns)
        with pytest.raises(CancelJob):
            await storing.begin_generation(
                table.tx, DOCUMENT, PIECES, chunker="markdown@1", job=JOB
            )
        with pytest.raises(CancelJob):
            await storing.keep_text(table.tx, DOCUMENT, ParsedFile("x", "x", 1), JOB)


class TestVectors:
    async def test_one_that_is_the_same_is_left_alone_and_another_takes_its_place(
        self, table: Table
    ):
        await storing.store_vectors(table.tx, table.target, PIECES, VECTORS)
        before = await table.vectors()
        await storing.store_vectors(table.tx, table.target, PIECES, VECTORS)
        assert await table.vectors() == before
        changed = [VECTORS[0], array("f", [0, 0, 1])]
        await storing.store_vectors(table.tx, table.target, PIECES, changed)
        after = {row["chunk"]: row for row in await table.vectors()}
        assert after[PIECES[0].id] in before
        assert after[PIECES[1].id]["vector"] == "[0,0,1]"

    async def test_the_hash_is_that_of_its_32_bit_numbers(self, table: Table):
        await storing.store_vectors(table.tx, table.target, PIECES, VECTORS)
        stored = {row["chunk"]: row["sha256"] for row in await table.vectors()}
        wanted = hashlib.sha256(struct.pack("<3f", 1, 0, 0.5)).digest()
        assert stored[PIECES[0].id] == wanted

    async def test_one_of_another_length_is_refused_by_the_table(self, table: Table):
        with pytest.raises(Exception, match=r"check constraint|expected 3 dimensions"):
            await storing.store_vectors(table.tx, table.target, PIECES[:1], [array("f", [1, 0])])
