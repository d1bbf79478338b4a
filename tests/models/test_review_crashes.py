"""A worker dies at the writes of a review, before and after their commit; another one goes on.

It is real from end to end: the settings of the environment, the client of OpenAI's protocol with
its breaker and its limit, processes, and a server over HTTP that counts what it is paid for.
"""

import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Final

import pytest

from headrace import JobHandle, JobState
from headrace.pipelines.consensus import ConsensusResult, IdeaInput, consensus
from headrace.testing import Engine, ModelServer, WorkerProcess
from tests.documents.write_points import WritePoints, die
from tests.waiting import eventually

TABLES: Final = (
    "headrace.job_events",
    "headrace.steps",
    "headrace.records",
    "headrace.tries",
    "headrace_consensus.proposal_versions",
    "headrace_consensus.persona_reviews",
    "headrace_consensus.decisions",
)
IDEA: Final = IdeaInput(idea="A library of tools for our street, with a shed and a list.")
CALLS: Final = 6
"""One expansion and five reviews."""
STEPS: Final = 8
"""The expansion, the plan of the reviews, five reviews, the decision."""
WRITES: Final = 16
"""One claim; a record and a checkpoint for each call; the plan of the reviews; decision and end."""
SPARE: Final = 3
"""Writes that a busy machine may make together with others."""
REPRESENTATIVE: Final = [(5, True, False), (6, False, True)]
ALL: Final = [
    (nth, commit, keeps)
    for nth in range(1, WRITES + 1)
    for commit in (False, True)
    for keeps in (False, True)
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "death" in metafunc.fixturenames:
        is_full = metafunc.config.getoption("--every-write-point", default=False)
        points = ALL if is_full else REPRESENTATIVE
        names = [
            f"{nth} {'stored' if commit else 'undone'} {'keeping' if keeps else 'forgetful'}"
            for nth, commit, keeps in points
        ]
        metafunc.parametrize("death", points, ids=names)


class Review:
    """One review of an idea, and the server that is paid for it."""

    def __init__(self, engine: Engine, server: ModelServer) -> None:
        self.engine, self.server = engine, server
        self.points = WritePoints(engine)

    async def submit(self) -> JobHandle[ConsensusResult]:
        self.job = await self.engine.submit(consensus, IDEA)
        return self.job

    @contextlib.asynccontextmanager
    async def worker(self, **more: str) -> AsyncIterator[WorkerProcess]:
        """A worker that asks one question after the other, so that writes come one by one."""
        environment = {
            "HEADRACE_CONSENSUS_OPENAI_BASE_URL": self.server.base_url,
            "HEADRACE_CONSENSUS_OPENAI_API_KEY": str(self.server.api_key),
            "HEADRACE_CONSENSUS_LLM_REQUESTS_PER_MIN": "600",
            "HEADRACE_CONSENSUS_LLM_BURST_S": "0.1",
            "HEADRACE_CONSENSUS_LLM_TOKENS_PER_MIN": "1000000000",
            **more,
        }
        async with self.engine.spawn(
            "headrace.pipelines.consensus:consensus", concurrency=2, environment=environment
        ) as process:
            yield process

    async def finish(self, **more: str) -> ConsensusResult:
        """Let another worker bring it to its end."""
        async with self.worker(**more):
            await eventually(self._is_over, within=40)
        return await self.job.result()

    async def stored(self) -> set[str]:
        """The keys of the questions whose answers are stored."""
        records = await self.engine.records(self.job)
        steps = await self.engine.steps(self.job)
        done = {(row.step, row.item) for row in (*records, *steps)}
        return {self.key(step, item) for step, item in done}

    def key(self, step: str, item: str | None) -> str:
        return str(uuid.uuid5(uuid.UUID(str(self.job.id)), f"1/{step}/{item or ''}"))

    async def _is_over(self) -> bool:
        [row] = await self.engine.jobs()
        return row.state not in (JobState.QUEUED, JobState.RUNNING)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine([consensus]) as made:
        yield made


class TestDeathAtAWrite:
    """L8: no call is repeated whose answer is stored; one that is not bears the same key again."""

    async def test_the_next_worker_pays_for_nothing_that_is_stored(
        self, engine: Engine, death: tuple[int, bool, bool]
    ):
        nth, commit, keeps = death
        async with ModelServer(keeps_answers=keeps) as server:
            await self.check(Review(engine, server), nth, commit=commit)

    async def check(self, review: Review, nth: int, *, commit: bool) -> None:
        await review.points.install(TABLES)
        await review.submit()
        async with review.points.armed(nth), review.worker() as process:
            died = await die(review.engine, review.points, process, commit=commit)
        stored, before = await review.stored(), len(review.server.calls)
        result = await review.finish()

        assert died or nth > WRITES - SPARE, "it has fewer writes"
        assert len(result.reviews) == CALLS - 1
        assert result.answered_by == ["openai"]
        again = {call.idempotency_key for call in review.server.calls[before:]}
        assert not again & stored, "an answer that is stored was asked for again"
        steps = await review.engine.steps(review.job)
        assert len({(row.step, row.item) for row in steps}) == len(steps) == STEPS
        keys = [call.idempotency_key for call in review.server.paid]
        assert len(set(keys)) == CALLS
        if review.server.keeps_answers:
            assert len(keys) == CALLS, "the server was paid twice for one key"
        else:
            asked_again = len(keys) - CALLS
            assert asked_again <= CALLS - len(stored & set(keys))
