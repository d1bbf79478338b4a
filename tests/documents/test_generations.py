"""Documents that are ingested again: other chunks, other spaces, and what search sees meanwhile."""

import asyncio
from collections import Counter

import pytest

from headrace import JobState, PermanentError
from headrace.pipelines.documents import Library, OtherDimensionError, OtherSpaceError, Stage
from headrace.pipelines.documents.embedding import Space
from headrace.testing import Engine
from tests.documents.trial import HASHING, Trial
from tests.documents.writing import markdown, sentence
from tests.waiting import eventually

QUESTION = "Which part of a book?"
OTHER = Space("other", "1", dimension=16, most_tokens=256)


async def vectors(engine: Engine, *, space: str | None = None) -> dict[str, object]:
    """When the vector of each chunk was made."""
    async with engine.connection() as connection:
        rows = await connection.fetch(
            "select chunk::text, created_at from headrace_documents.vectors as vector"
            " join headrace_documents.spaces as space on space.id = vector.space"
            " where $1::text is null or model = $1",
            space,
        )
    return {row["chunk"]: row["created_at"] for row in rows}


async def chunk_ids(library: Library, document: str) -> set[str]:
    return {chunk.id for chunk in await library.chunks(document, limit=1_000)}


class TestAnotherGeneration:
    async def test_search_sees_the_old_one_until_the_new_one_is_whole(
        self, engine: Engine, library: Library, trial: Trial, monkeypatch: pytest.MonkeyPatch
    ):
        data = markdown("again").encode()
        first = await library.add(data, name="again.md")
        await engine.run_until_empty(40)
        old = await chunk_ids(library, first.document)
        monkeypatch.setenv("HEADRACE_DOCUMENTS_CHUNKER", "markdown-simple@1")
        await library.add(data, name="again.md", again=True)
        trial.calls.clear()
        trial.gate.clear()
        async with engine.worker():
            await eventually(lambda: self.is_embedding(library, first.document), within=20)
            assert await chunk_ids(library, first.document) == old
            hits = await library.search(QUESTION, limit=100)
            assert {hit.chunk for hit in hits} == old
            trial.gate.set()
            await engine.run_until_empty(40)
        new = await chunk_ids(library, first.document)
        assert new.isdisjoint(old)
        assert set(await vectors(engine)) == new
        assert {hit.chunk for hit in await library.search(QUESTION, limit=100)} == new
        assert (await library.document(first.document)).generation == 2

    @pytest.mark.parametrize("step", ["chunk", "embed", "store"])
    async def test_a_job_can_be_replayed_from_any_step(
        self, engine: Engine, library: Library, step: str
    ):
        added = await library.add(markdown("replayed").encode(), name="replayed.md")
        await engine.run_until_empty(40)
        before = await chunk_ids(library, added.document)
        await engine.app.replay(added.job.id, from_step=step)
        await engine.run_until_empty(40)
        status = await library.document(added.document)
        assert (status.stage, status.progress) == (Stage.COMPLETE, 100.0)
        assert await chunk_ids(library, added.document) == before

    async def test_an_older_job_does_not_take_over(self, engine: Engine, library: Library):
        data = markdown("older").encode()
        older = await library.add(data, name="older.md")
        await engine.run_until_empty(40)
        newer = await library.add(data, name="older.md", again=True)
        await engine.run_until_empty(40)
        await engine.app.replay(older.job.id, from_step="chunk")
        await engine.run_until_empty(40)
        assert (await older.job.status()).state is JobState.CANCELLED
        status = await library.document(newer.document)
        assert (status.stage, status.generation, status.job) == (Stage.COMPLETE, 2, newer.job.id)

    async def is_embedding(self, library: Library, document: str) -> bool:
        return (await library.document(document)).stage is Stage.EMBEDDING_IN_PROGRESS

    async def test_many_readers_never_see_a_mixture(
        self, engine: Engine, library: Library, monkeypatch: pytest.MonkeyPatch
    ):
        data = markdown("mixture").encode()
        added = await library.add(data, name="mixture.md")
        await engine.run_until_empty(40)
        whole = [frozenset(await chunk_ids(library, added.document))]
        seen: Counter[frozenset[str]] = Counter()

        async def read() -> None:
            while True:
                hits = await library.search(QUESTION, limit=100)
                seen[frozenset(hit.chunk for hit in hits)] += 1
                await asyncio.sleep(0.002)

        readers = [asyncio.create_task(read()) for _ in range(2)]
        for chunker in ("markdown-simple@1", "markdown@1"):
            monkeypatch.setenv("HEADRACE_DOCUMENTS_CHUNKER", chunker)
            await library.add(data, name="mixture.md", again=True)
            await engine.run_until_empty(40)
            whole.append(frozenset(await chunk_ids(library, added.document)))
            count = seen[whole[-1]]
            await eventually(lambda count=count, last=whole[-1]: seen[last] > count)
        for reader in readers:
            reader.cancel()
        assert seen.keys() == set(whole)
        assert whole[0] == whole[2] != whole[1]

    async def test_equal_text_keeps_its_vector(
        self, engine: Engine, library: Library, trial: Trial, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("HEADRACE_DOCUMENTS_CHUNKER", "markdown-simple@1")
        last = "\n".join(sentence(f"line {number}", 2) for number in range(12))
        data = f"{markdown('keeps', 5)}\n## The last part\n{last}\n".encode()
        added = await library.add(data, name="keeps.md")
        await engine.run_until_empty(40)
        before = await vectors(engine)
        monkeypatch.setenv("HEADRACE_DOCUMENTS_CHUNK_LINES", "5")
        again = await library.add(data, name="keeps.md", again=True)
        trial.calls.clear()
        await engine.run_until_empty(40)
        after = await vectors(engine)
        result = await again.job.result()
        kept = before.keys() & after.keys()
        assert len(kept) >= 5
        assert {chunk: after[chunk] for chunk in kept} == {chunk: before[chunk] for chunk in kept}
        assert len(trial.texts) == result.embedded == len(after) - len(kept) > 0
        assert set(after) == await chunk_ids(library, added.document)
        status = await library.document(added.document)
        assert status.embeds_done == status.embeds_total == result.chunks == len(after)


class TestOtherRuns:
    async def test_a_failed_job_that_is_retried_after_a_newer_one_changes_nothing(
        self, engine: Engine, library: Library, trial: Trial
    ):
        data = markdown("late").encode()
        trial.failure, trial.allowed = PermanentError("no money"), 1
        failed = await library.add(data, name="late.md")
        await engine.run_until_empty(40)
        trial.failure = None
        newer = await library.add(data, name="late.md")
        await engine.run_until_empty(40)
        shown, made = await library.chunks(newer.document), await vectors(engine)
        trial.calls.clear()
        await engine.app.retry(failed.job.id)
        await engine.run_until_empty(40)
        assert (await engine.job(failed.job)).state is JobState.CANCELLED
        assert await library.chunks(newer.document) == shown
        assert await vectors(engine) == made
        status = await library.document(newer.document)
        assert (status.stage, status.generation) == (Stage.COMPLETE, 2)
        assert status.embeds_done == status.embeds_total == len(shown)


class TestSpaces:
    async def test_another_space_is_refused_and_named(
        self, engine: Engine, library: Library, trial: Trial
    ):
        await library.add(markdown("spaces", 2).encode(), name="spaces.md")
        await engine.run_until_empty(40)
        trial.space = OTHER
        other = Library(engine.app)
        with pytest.raises(OtherSpaceError, match=r"hashing@1.*other@1"):
            await other.search(QUESTION)
        assert await other.search(QUESTION, owner="nobody") == []
        await other.close()

    async def test_two_stand_side_by_side_and_a_document_moves_from_one_to_the_other(
        self, engine: Engine, library: Library, trial: Trial
    ):
        one, two = markdown("one", 2).encode(), markdown("two", 2).encode()
        first = await library.add(one, name="one.md")
        await engine.run_until_empty(40)
        await library.search(QUESTION)  # opens the embedder of the first space
        trial.space = OTHER
        other = Library(engine.app)
        second = await other.add(two, name="two.md")
        await engine.run_until_empty(40)
        assert {hit.document for hit in await library.search(QUESTION)} == {first.document}
        assert {hit.document for hit in await other.search(QUESTION)} == {second.document}
        assert (await other.document(second.document)).space == "other@1"
        await other.add(one, name="one.md", again=True)
        await engine.run_until_empty(40)
        assert {hit.document for hit in await other.search(QUESTION, limit=100)} == {
            first.document, second.document,
        }  # fmt: skip
        assert await vectors(engine, space="hashing") == {}
        with pytest.raises(OtherSpaceError):
            await library.search(QUESTION)
        await other.close()

    async def test_another_dimension_under_the_same_name_is_told_and_not_tried_again(
        self, engine: Engine, library: Library, trial: Trial
    ):
        await library.add(markdown("wide", 2).encode(), name="wide.md")
        await engine.run_until_empty(40)
        trial.space = Space(HASHING.model, HASHING.version, dimension=16, most_tokens=256)
        added = await library.add(markdown("narrow", 2).encode(), name="narrow.md")
        await engine.run_until_empty(40, skip_waits=True)
        status = await library.document(added.document)
        assert status.problem is not None
        assert "hashing@1 have 256 dimensions in this database, not 16" in status.problem.message
        assert len(await engine.tries(added.job)) == 1
        narrow = Library(engine.app)
        with pytest.raises(OtherDimensionError, match="256 dimensions"):
            await narrow.search(QUESTION)
        await narrow.close()
