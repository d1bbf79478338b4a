"""How far a document is, as its owner sees it."""

from pathlib import Path

import pytest

from headrace import JobState, PermanentError
from headrace.pipelines.documents import Library, Stage
from headrace.pipelines.documents.pipeline import parsed_elsewhere, parsed_here
from headrace.pipelines.documents.stages import STAGES, stage_of
from headrace.testing import Engine
from tests.documents.files import encrypted_pdf
from tests.documents.trial import Trial
from tests.documents.write_points import WritePoints
from tests.documents.writing import markdown
from tests.waiting import eventually

STEPS, STEPS_HERE = list(parsed_elsewhere.steps), list(parsed_here.steps)
ROOT = Path(__file__).parents[2]


class TestOneIngestion:
    async def test_a_stage_is_shown_when_the_write_that_justifies_it_is_committed(
        self, engine: Engine, library: Library
    ):
        points = WritePoints(engine)
        await points.install()
        added = await library.add(markdown("stages", 6).encode(), name="stages.md")
        assert (await library.document(added.document)).stage is Stage.UPLOADED
        shown = []
        async with points.armed(1), engine.worker():
            for nth in range(1, 12):
                await eventually(points.holder, within=20)
                status = await library.document(added.document)
                shown.append((status.stage.value, status.progress))
                assert await library.search("Which part of stages?") == [] or nth > 9
                await points.move_to(nth + 1)
                await eventually(lambda nth=nth: self.has_moved(points, nth), within=20)
            assert (await added.job.result(20)).chunks == 7
        status = await library.document(added.document)
        shown.append((status.stage.value, status.progress))
        half = round(60 + 40 * 4 / 7, 1)
        assert shown == [
            ("uploaded", 0),
            ("parse_queued", 0),
            ("parsed", 0),
            ("chunking", 0),
            ("chunking", 0),
            ("embedding_in_progress", 60),
            ("embedding_in_progress", half),
            ("embedding_in_progress", 100),
            ("embeddings_stored", 100),
            ("embeddings_stored", 100),
            ("embeddings_stored", 100),
            ("complete", 100),
        ]
        assert status.processing_started_at < status.processing_ended_at

    async def has_moved(self, points: WritePoints, nth: int) -> bool:
        return await points.count() > nth or await points.holder() is None


class TestAfterRetention:
    async def test_what_failed_stays_failed_when_its_job_is_gone(
        self, engine: Engine, library: Library, trial: Trial
    ):
        locked = await library.add(encrypted_pdf(), name="locked.pdf")
        trial.failure = PermanentError("the account has no money left")
        unpaid = await library.add(markdown("unpaid").encode(), name="unpaid.md")
        await engine.run_until_empty(40)
        async with engine.connection() as connection:
            await connection.execute("delete from headrace.jobs")
        for added, stage in (
            (locked, Stage.FAILED_PARSE),
            (unpaid, Stage.FAILED_EMBEDDING),
        ):
            assert (await library.document(added.document)).stage is stage


class TestFailures:
    async def test_each_shows_where_it_was_and_why(
        self, engine: Engine, library: Library, trial: Trial
    ):
        locked = await library.add(encrypted_pdf(), name="locked.pdf")
        empty = await library.add(b"<html><body><p> </p></body></html>", name="empty.html")
        trial.failure = PermanentError("the account has no money left")
        unpaid = await library.add(markdown("unpaid").encode(), name="unpaid.md")
        await engine.run_until_empty(40)
        for added, stage, word in (
            (locked, Stage.FAILED_PARSE, "password"),
            (empty, Stage.FAILED_PARSE, "no text"),
            (unpaid, Stage.FAILED_EMBEDDING, "no money left"),
        ):
            status = await library.document(added.document)
            assert status.stage is stage
            assert status.problem is not None
            assert word in status.problem.message
            assert len(await engine.tries(added.job)) == 1, "it would fail again"
            assert await library.chunks(added.document) == []
        assert await library.search("Which book is unpaid?") == []

    async def test_the_generation_before_stays_in_search(
        self, engine: Engine, library: Library, trial: Trial, monkeypatch: pytest.MonkeyPatch
    ):
        data = markdown("stays").encode()
        added = await library.add(data, name="stays.md")
        await engine.run_until_empty(40)
        before = await library.chunks(added.document)
        monkeypatch.setenv("HEADRACE_DOCUMENTS_CHUNKER", "markdown-simple@1")
        trial.failure, trial.allowed = PermanentError("no"), len(trial.calls) + 1
        again = await library.add(data, name="stays.md", again=True)
        await engine.run_until_empty(40)
        assert (await library.document(added.document)).stage is Stage.FAILED_EMBEDDING
        assert await library.chunks(added.document) == before
        found = await library.search("Which book stays?", limit=100)
        assert {hit.chunk for hit in found} == {chunk.id for chunk in before}
        assert again.job.id != added.job.id

    async def test_a_cancelled_one_says_so(self, engine: Engine, library: Library, trial: Trial):
        trial.gate.clear()
        added = await library.add(markdown("stopped").encode(), name="stopped.md")
        async with engine.worker():
            await eventually(lambda: self.is_embedding(library, added.document), within=20)
            await added.job.cancel()
            await eventually(lambda: self.is_cancelled(engine, added.job.id), within=20)
        status = await library.document(added.document)
        assert (status.stage, status.generation) == (Stage.CANCELLED, None)

    async def is_embedding(self, library: Library, document: str) -> bool:
        return (await library.document(document)).stage is Stage.EMBEDDING_IN_PROGRESS

    async def is_cancelled(self, engine: Engine, job: str) -> bool:
        return (await engine.job(job)).state is JobState.CANCELLED


class TestTheTable:
    def test_every_step_has_its_stages_in_the_order_of_the_steps(self):
        assert list(STAGES) == STEPS

    def test_the_reference_shows_it(self):
        page = (ROOT / "docs" / "reference" / "documents.md").read_text()
        rows = [
            [cell.strip().strip("`") for cell in line.strip("|").split("|")]
            for line in page.partition("## Steps and stages")[2].partition("\n## ")[0].splitlines()
            if line.startswith("| `")
        ]
        assert [(row[0], *row[2:]) for row in rows] == [
            (step, shown.waiting, shown.running, shown.failed) for step, shown in STAGES.items()
        ]

    @pytest.mark.parametrize("state", ["queued", "running", "failed"])
    def test_the_stage_follows_from_the_first_step_that_is_not_done(self, state: str):
        kinds = {"queued": "waiting", "running": "running", "failed": "failed"}
        for count, step in enumerate(STEPS):
            expected = getattr(STAGES[step], kinds[state])
            assert stage_of(state, STEPS[:count], is_shown=False) is expected
            assert expected.is_final is (state == "failed")

    @pytest.mark.parametrize("state", ["queued", "running", "failed"])
    def test_where_workers_parse_it_begins_as_where_files_are_handed_over(self, state: str):
        shown = [stage_of(state, STEPS_HERE[:n], is_shown=False) for n in range(len(STEPS_HERE))]
        elsewhere = [stage_of(state, STEPS[:n], is_shown=False) for n in range(len(STEPS))]
        assert shown == [elsewhere[0], *elsewhere[2:]]

    @pytest.mark.parametrize("state", list(JobState))
    def test_every_state_of_a_job_has_a_stage(self, state: JobState):
        for count in range(len(STEPS) + 1):
            assert stage_of(state, STEPS[:count], is_shown=True) in Stage

    def test_stages_only_advance(self):
        order = list(Stage)
        shown = [
            stage_of(state, STEPS[:count], is_shown=False)
            for count in range(len(STEPS))
            for state in ("queued", "running")
        ]
        assert shown == sorted(shown, key=order.index)
