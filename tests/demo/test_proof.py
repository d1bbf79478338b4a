"""That the demo's proof finds what it is there to find.

The tables of documents are stand-ins with the columns that the proof reads, so that no vectors are
needed; the demo's own test has it read the real ones.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from headrace.demo.calllog import LOG_NAME
from headrace.demo.proof import Proof, prove

KILLED, OTHER = 101, 102
"""Processes of the workers."""
JOB, DOCUMENT = UUID(int=1), UUID(int=2)
TABLES = """
create schema headrace_documents;
create table headrace_documents.documents (
    id uuid, name text, job uuid, current_generation integer
);
create table headrace_documents.chunks (
    document uuid, generation integer, ordinal integer, sha256 text
);
"""
WORKER = """
insert into headrace.workers (id, host, pid, version, queues, carries, concurrency,
    heartbeat_at, expires_at)
values ($1, 'here', $1, '1', '{}', '{}', 1, now(), now())
"""
RECORD = """
insert into headrace.records (job, run, step, item, name, worker, token, latency_us, output)
values ($1, 1, 'embed', $5, $2, $3, 1, 1, $4)
"""


def text(ordinal: int) -> str:
    return hashlib.sha256(str(ordinal).encode()).hexdigest()


class Scene:
    """A document of eight chunks, which are embedded two by two."""

    def __init__(self, database: str, folder: Path) -> None:
        self.database, self.folder = database, folder

    async def store(self, first: int, worker: int, *, texts: int = 2, item: str = "") -> None:
        connection = await asyncpg.connect(self.database)
        try:
            output = json.dumps({"texts": texts, "tokens": 9})
            name = f"batch {first}-{first + 1}"
            await connection.execute(RECORD, JOB, name, worker, output, item)
        finally:
            await connection.close()

    def call(self, first: int, process: int, *whats: str) -> None:
        texts = [text(first), text(first + 1)]
        with (self.folder / LOG_NAME).open("a", encoding="utf-8") as log:
            for what in whats or ("start", "end"):
                line = {"at": 0, "what": what, "process": process, "texts": texts}
                log.write(f"{json.dumps(line)}\n")

    async def prove(self) -> Proof:
        return await prove(self.database, self.folder, KILLED)


@pytest.fixture
async def scene(tmp_path: Path, database: str) -> Scene:
    """The killed worker has stored chunks 0 to 3, and the other one 4 and 5."""
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(TABLES)
        await connection.execute(
            "insert into headrace_documents.documents values ($1, 'log.txt', $2, 1)", DOCUMENT, JOB
        )
        chunks = [(DOCUMENT, 1, ordinal, text(ordinal)) for ordinal in range(8)]
        await connection.executemany(
            "insert into headrace_documents.chunks values ($1, $2, $3, $4)", chunks
        )
        await connection.executemany(WORKER, [(KILLED,), (OTHER,)])
    finally:
        await connection.close()
    scene = Scene(database, tmp_path)
    for first, worker in ((0, KILLED), (2, KILLED), (4, OTHER)):
        await scene.store(first, worker)
        scene.call(first, worker)
    return scene


class TestProof:
    async def test_a_run_in_which_all_is_well(self, scene: Scene) -> None:
        proof = await scene.prove()
        assert proof == Proof(stored=3, kept=2, repeated=0, problems=[])

    async def test_one_batch_that_the_killed_worker_had_begun_may_be_embedded_again(
        self, scene: Scene
    ) -> None:
        scene.call(4, KILLED, "start")
        proof = await scene.prove()
        assert proof == Proof(stored=3, kept=2, repeated=1, problems=[])

    async def test_also_where_only_its_record_was_missing(self, scene: Scene) -> None:
        scene.call(4, KILLED, "start", "end")
        assert (await scene.prove()).problems == []

    async def test_two_such_batches_of_a_document_are_found(self, scene: Scene) -> None:
        await scene.store(6, OTHER)
        scene.call(6, OTHER)
        for first in (4, 6):
            scene.call(first, KILLED, "start")
        [problem] = (await scene.prove()).problems
        assert problem == "log.txt: 2 batches were cut off"

    async def test_a_stored_batch_that_another_worker_embeds_is_found(self, scene: Scene) -> None:
        scene.call(0, OTHER)
        [problem] = (await scene.prove()).problems
        assert problem == "log.txt, batch 0-1: was stored, and embedded again by process 102"

    async def test_a_stored_batch_that_its_own_worker_embeds_again_is_found(
        self, scene: Scene
    ) -> None:
        scene.call(2, KILLED)
        scene.call(4, OTHER)
        assert sorted((await scene.prove()).problems) == [
            "log.txt, batch 2-3: was stored, and embedded again by process 101",
            "log.txt, batch 4-5: was stored, and embedded again by process 102",
        ]

    async def test_a_batch_that_is_cut_off_twice_is_found(self, scene: Scene) -> None:
        scene.call(4, KILLED, "start")
        scene.call(4, KILLED, "start")
        [problem] = (await scene.prove()).problems
        assert "embedded again by process 101" in problem

    async def test_a_stored_batch_that_was_never_embedded_is_found(self, scene: Scene) -> None:
        await scene.store(6, OTHER)
        [problem] = (await scene.prove()).problems
        assert problem == "log.txt, batch 6-7: was stored by process 102, which never embedded it"

    async def test_a_batch_that_is_stored_twice_is_found(self, scene: Scene) -> None:
        await scene.store(0, OTHER, item="again")
        scene.call(0, OTHER)
        assert "log.txt, batch 0-1: is stored 2 times" in (await scene.prove()).problems

    async def test_a_call_that_came_to_nothing_is_found(self, scene: Scene) -> None:
        scene.call(6, OTHER)
        [problem] = (await scene.prove()).problems
        assert problem == "process 102 embedded 2 texts, of which there is no record"

    async def test_a_record_of_more_texts_than_there_are_is_found(self, scene: Scene) -> None:
        await scene.store(6, OTHER, texts=3)
        scene.call(6, OTHER)
        [problem] = (await scene.prove()).problems
        assert problem == "log.txt, batch 6-7: is a record of 3 texts, and there are 2"

    async def test_a_line_that_is_half_written_does_not_count(self, scene: Scene) -> None:
        with (scene.folder / LOG_NAME).open("a", encoding="utf-8") as log:
            log.write('{"at": 0, "what": "sta')
        assert (await scene.prove()).problems == []
