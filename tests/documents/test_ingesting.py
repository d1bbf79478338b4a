"""From a file to passages in search."""

import asyncio
import hashlib
from pathlib import Path
from uuid import UUID, uuid5

from headrace.pipelines.documents import Library, Stage
from headrace.pipelines.documents.files import SCHEME
from headrace.pipelines.documents.ids import NAMESPACE
from headrace.testing import Engine
from tests.documents.trial import Trial
from tests.documents.writing import in_kind, markdown, sentence

KINDS = ("md", "txt", "html", "docx", "pdf")


def read_address(folder: Path, address: str) -> bytes:
    return (folder / address.removeprefix(SCHEME)).read_bytes()


class TestEachKind:
    async def test_a_sentence_of_it_is_found_at_its_exact_place(
        self, engine: Engine, library: Library, folder: Path
    ):
        texts = {kind: [sentence(f"{kind} {n}") for n in range(6)] for kind in KINDS}
        added = {
            kind: await library.add(in_kind(kind, texts[kind]), name=f"file.{kind}")
            for kind in KINDS
        }
        await engine.run_until_empty(40)
        for kind in KINDS:
            wanted = texts[kind][3]
            hit = (await library.search(wanted, limit=1))[0]
            assert hit.document == added[kind].document
            assert hit.name == f"file.{kind}"
            assert wanted in hit.text
            parsed = read_address(
                folder, f"{SCHEME}parsed/default/default/{hit.document}.md"
            ).decode()
            assert parsed[hit.start : hit.end] == hit.text
            assert hit.start_line == parsed.count("\n", 0, hit.start) + 1
            assert hit.end_line == parsed.count("\n", 0, hit.end) + 1
            assert hit.page == (2 if kind == "pdf" else None)
            status = await library.document(hit.document)
            assert status.stage is Stage.COMPLETE
            assert status.progress == 100
            assert status.kind.suffix == f".{kind}"
            assert status.pages == (3 if kind == "pdf" else None)


class TestNames:
    async def test_documents_and_chunks_have_ids_that_follow_from_their_content(
        self, engine: Engine, library: Library
    ):
        data = markdown("names").encode()
        added = await library.add(data, name="names.md", tenant="Acme", owner="Ada")
        await engine.run_until_empty(40)
        sha256 = hashlib.sha256(data).hexdigest()
        assert added.document == str(uuid5(NAMESPACE, f"Acme:Ada:{sha256}"))
        chunks = await library.chunks(added.document, tenant="Acme", owner="Ada")
        assert len(chunks) > 8
        for ordinal, chunk in enumerate(chunks):
            assert chunk.ordinal == ordinal
            assert chunk.sha256 == hashlib.sha256(chunk.text.encode()).hexdigest()
            name = f"{added.document}:markdown:1:{ordinal}:{chunk.sha256}"
            assert chunk.id == str(uuid5(NAMESPACE, name))

    async def test_the_namespace_is_the_one_that_was_published(self):
        assert UUID("6c8a1e6e-1f0b-4aa8-9f0a-1a7c2e6f2b42") == NAMESPACE


class TestTheSameContent:
    async def test_it_is_parsed_and_embedded_once_for_an_owner(
        self, engine: Engine, library: Library, trial: Trial
    ):
        data = markdown("twice").encode()
        first = await library.add(data, name="one.md")
        beside = await library.add(data, name="two.md")
        assert (beside.is_new, beside.document, beside.job.id) == (
            False, first.document, first.job.id,
        )  # fmt: skip
        await engine.run_until_empty(40)
        calls = len(trial.calls)
        after = await library.add(data, name="three.md")
        assert (after.is_new, after.job.id) == (False, first.job.id)
        await engine.run_until_empty()
        assert len(trial.calls) == calls
        assert (await library.document(first.document)).name == "one.md"
        assert [document.id for document in (await library.documents()).documents] == [
            first.document
        ]

    async def test_added_several_times_at_once_it_begins_one_job(
        self, engine: Engine, library: Library
    ):
        data = markdown("crowd", 2).encode()
        added = await asyncio.gather(*(library.add(data, name="crowd.md") for _ in range(6)))
        assert sum(one.is_new for one in added) == 1
        assert len({one.job.id for one in added}) == 1
        async with engine.connection() as connection:
            assert await connection.fetchval("select count(*) from headrace.jobs") == 1

    async def test_another_owner_has_a_document_of_its_own(
        self, engine: Engine, library: Library, trial: Trial
    ):
        data = markdown("apart").encode()
        ours = await library.add(data, name="a.md", owner="ours")
        theirs = await library.add(data, name="a.md", owner="theirs")
        elsewhere = await library.add(data, name="a.md", tenant="elsewhere", owner="ours")
        assert len({ours.document, theirs.document, elsewhere.document}) == 3
        assert theirs.is_new
        await engine.run_until_empty(40)
        results = [await added.job.result() for added in (ours, theirs, elsewhere)]
        assert [result.parse_reused for result in results] == [False] * 3
        assert [result.embedded for result in results] == [results[0].chunks] * 3
        assert len(trial.texts) == 3 * results[0].chunks

    async def test_a_second_job_reuses_what_was_parsed_and_embedded(
        self, engine: Engine, library: Library, trial: Trial
    ):
        data = markdown("reused").encode()
        first = await library.add(data, name="reused.md")
        await engine.run_until_empty(40)
        calls = len(trial.calls)
        again = await library.add(data, name="reused.md", again=True)
        assert again.is_new
        assert again.job.id != first.job.id
        await engine.run_until_empty(40)
        result = await again.job.result()
        assert result.parse_reused
        assert (result.generation, result.embedded, result.tokens) == (2, 0, 0)
        assert len(trial.calls) == calls


class TestBatches:
    async def test_each_is_a_record_with_what_it_took(
        self, engine: Engine, library: Library, trial: Trial
    ):
        added = await library.add(in_kind("md", [sentence(f"b {n}") for n in range(10)]), name="b")
        await engine.run_until_empty(40)
        result = await added.job.result()
        records = await engine.records(added.job)
        assert [record.output["texts"] for record in records] == [len(c) for c in trial.calls]
        assert all(len(call) <= 4 for call in trial.calls)
        assert len(trial.calls) == -(-result.chunks // 4) > 2
        assert sum(record.output["tokens"] for record in records) == result.tokens > 0
        chunks = await library.chunks(added.document)
        assert trial.texts == [chunk.text for chunk in chunks]
