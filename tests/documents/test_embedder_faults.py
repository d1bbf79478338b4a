"""An embedding server that is busy, broken or out of quota, through the whole pipeline."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from headrace.pipelines.documents import Library, Stage
from headrace.pipelines.documents.embedding import (
    EmbedderError,
    EmbedderOptions,
    EmbeddingFailedError,
)
from headrace.testing import EmbeddingServer, Engine, Fault, VectorFault
from tests.documents.trial import Trial
from tests.documents.writing import markdown
from tests.waiting import eventually


@pytest.fixture
def server(trial: Trial) -> Iterator[EmbeddingServer]:
    """What the worker of this process embeds with."""
    with EmbeddingServer(dimension=8) as made:
        trial.server = EmbedderOptions(
            base_url=made.base_url, api_key=made.api_key, dimension=8, most_tokens=256
        )
        yield made


class Scene:
    """One document of three batches."""

    def __init__(self, engine: Engine, library: Library, server: EmbeddingServer) -> None:
        self.engine, self.library, self.server = engine, library, server

    async def ingest(self, name: str) -> None:
        self.added = await self.library.add(markdown(name, 9).encode(), name=f"{name}.md")
        await self.go_on()

    async def go_on(self) -> None:
        await self.engine.run_until_empty(40, skip_waits=True)
        self.status = await self.library.document(self.added.document)
        self.tries = await self.engine.tries(self.added.job)

    async def is_held(self) -> bool:
        limits = await self.engine.app.quotas.list_limits()
        return any(limit.held_until is not None for limit in limits)

    async def check_complete(self) -> None:
        assert self.status.stage is Stage.COMPLETE
        chunks = await self.library.chunks(self.added.document)
        assert Counter(self.server.embedded) == Counter(chunk.text for chunk in chunks)
        assert len(await self.engine.records(self.added.job)) == 3
        assert self.status.embeds_done == self.status.embeds_total == len(chunks)


@pytest.fixture
def scene(engine: Engine, library: Library, server: EmbeddingServer) -> Scene:
    return Scene(engine, library, server)


class TestBusyServer:
    async def test_waiting_as_it_asks_costs_no_try_and_no_stored_batch(self, scene: Scene):
        scene.server.fail_next(Fault.RATE_LIMITED, times=7)
        await scene.ingest("busy")
        await scene.check_complete()
        assert [row.kind for row in scene.tries] == ["rate_limited"] * 7

    async def test_calls_of_all_workers_keep_a_limit(self, scene: Scene, trial: Trial):
        assert trial.server is not None
        trial.server = replace(trial.server, requests_per_min=1)
        await scene.ingest("limited")
        await scene.check_complete()
        assert [row.code for row in scene.tries] == ["RATE_LIMITED"] * 2  # for three batches
        [limit] = await scene.engine.app.quotas.list_limits()
        assert limit.name == "openai:text-embedding-3-small"
        assert (limit.requests, limit.tokens, limit.per_s) == (1, 90_000, 60)

    async def test_what_it_asks_for_holds_the_calls_of_all_workers(self, scene: Scene):
        scene.server.fail_next(Fault.RATE_LIMITED)
        scene.added = await scene.library.add(b"One.", name="one.md")
        async with scene.engine.worker():
            await eventually(scene.is_held, within=30)

    async def test_faults_of_its_own_are_tried_again(self, scene: Scene):
        scene.server.fail_next(Fault.SERVER_ERROR, times=2)
        scene.server.fail_next(Fault.UNAVAILABLE, times=2)
        await scene.ingest("broken")
        await scene.check_complete()
        assert [row.attempt for row in scene.tries] == [1, 2, 3, 4]

    async def test_tries_are_counted_anew_after_each_stored_batch(self, scene: Scene, trial: Trial):
        scene.server.fail_next(Fault.UNAVAILABLE, times=4)
        scene.server.fail_next(VectorFault.SHUFFLED)
        scene.server.fail_next(Fault.UNAVAILABLE, times=4)
        scene.server.fail_next(VectorFault.SHUFFLED)
        scene.server.fail_next(Fault.UNAVAILABLE, times=4)
        await scene.ingest("lame")
        assert scene.status.stage is Stage.COMPLETE
        assert len(scene.tries) == 12
        assert trial.calls == []


class TestWrongAnswers:
    @pytest.mark.parametrize(
        ("fault", "words", "tries"),
        [
            (VectorFault.COUNT, "3 vectors for 4 texts", 5),
            (VectorFault.DIMENSION, "7 numbers, but is declared with 8", 1),
            (VectorFault.NOT_A_NUMBER, "not finite", 5),
        ],
    )
    async def test_they_fail_clearly_and_nothing_of_them_is_stored(
        self, scene: Scene, fault: VectorFault, words: str, tries: int
    ):
        scene.server.fail_next(fault, times=10)
        await scene.ingest("wrong")
        assert scene.status.stage is Stage.FAILED_EMBEDDING
        assert scene.status.problem is not None
        assert words in scene.status.problem.message
        assert len(scene.tries) == tries
        assert (scene.status.embeds_done, scene.status.generation) == (0, None)
        async with scene.engine.connection() as connection:
            assert not await connection.fetchval("select count(*) from headrace_documents.vectors")


class TestNoQuota:
    async def test_it_ends_at_once_and_a_retry_embeds_only_what_is_not_stored(self, scene: Scene):
        scene.server.fail_next(VectorFault.SHUFFLED)  # a good answer, of the first batch
        scene.server.fail_next(Fault.NO_QUOTA)
        await scene.ingest("poor")
        assert scene.status.stage is Stage.FAILED_EMBEDDING
        assert scene.status.problem is not None
        assert "no quota left" in scene.status.problem.message
        assert len(scene.tries) == 1
        assert (scene.status.embeds_done, scene.status.embeds_total) == (4, 9)
        await scene.engine.app.retry(scene.added.job.id)
        await scene.go_on()
        assert scene.status.stage is Stage.COMPLETE
        assert scene.status.embeds_done == scene.status.embeds_total == 9
        answered = [
            text for call in scene.server.calls if call.status == 200 for text in call.texts
        ]
        chunks = await scene.library.chunks(scene.added.document)
        assert Counter(answered) == Counter(chunk.text for chunk in chunks)

    async def test_adding_the_file_again_embeds_only_what_has_no_vector(self, scene: Scene):
        scene.server.fail_next(VectorFault.SHUFFLED)
        scene.server.fail_next(Fault.NO_QUOTA)
        await scene.ingest("rich")
        failed = scene.added
        await scene.ingest("rich")
        assert scene.added.is_new
        assert scene.added.document == failed.document
        result = await scene.added.job.result()
        assert (result.generation, result.embedded, result.parse_reused) == (2, 5, True)
        answered = [
            text for call in scene.server.calls if call.status == 200 for text in call.texts
        ]
        assert len(answered) == len(set(answered)) == 9


class TestQuestions:
    async def test_what_tells_a_step_how_to_go_on_is_told_to_who_asks(self, scene: Scene):
        await scene.ingest("asked")
        scene.server.fail_next(Fault.RATE_LIMITED)
        with pytest.raises(EmbeddingFailedError, match="429") as busy:
            await scene.library.search("Which book is asked?")
        assert busy.value.retry_after == timedelta(seconds=2)
        scene.server.fail_next(Fault.NO_QUOTA)
        with pytest.raises(EmbedderError, match="no quota left"):
            await scene.library.search("Which book is asked?")
        assert await scene.library.search("Which book is asked?")
