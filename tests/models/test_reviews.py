"""Whole reviews against a server that is hostile or broken, as a user runs them: in a process."""

from collections.abc import AsyncIterator

import pytest

from headrace import JobState
from headrace.pipelines.consensus import ConsensusResult, IdeaInput, consensus
from headrace.testing import Engine, Fault, ModelFault, ModelServer
from headrace.testing.model_faults import SHOWN_SECRET
from tests.waiting import eventually

IDEA = IdeaInput(idea="A library of tools for our street.")


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as made:
        yield made


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine([consensus]) as made:
        yield made


def settings_of(server: ModelServer) -> dict[str, str]:
    return {
        "HEADRACE_CONSENSUS_OPENAI_BASE_URL": server.base_url,
        "HEADRACE_CONSENSUS_OPENAI_API_KEY": str(server.api_key),
        "HEADRACE_CONSENSUS_LLM_MAX_OUTPUT_TOKENS": "4321",
        "HEADRACE_CONSENSUS_LLM_STREAM": "true",
        "HEADRACE_CONSENSUS_MAX_RETRIES": "2",
    }


class TestHostileServer:
    async def test_its_words_are_data_and_cost_what_they_cost(
        self, engine: Engine, server: ModelServer
    ):
        """L1, L2, L7: one worker, a job for each; what a server says decides only what it may."""
        server.fail_next(ModelFault.HOSTILE, times=6)
        async with engine.spawn(
            "headrace.pipelines.consensus:consensus", environment=settings_of(server)
        ) as worker:
            hostile = await self.finish(engine, ModelFault.HOSTILE)
            self.check_texts(hostile)
            await self.check_bad(engine, server)
            await self.check_refused(engine, server)
            await self.check_lost(engine, server)
            assert SHOWN_SECRET not in worker.output
            assert str(server.api_key) not in worker.output
            assert IDEA.idea not in worker.output
        assert {call.is_stream for call in server.calls} == {True}
        assert {call.most_tokens for call in server.calls} == {4321}

    async def finish(self, engine: Engine, name: str) -> ConsensusResult:
        job = await engine.submit(consensus, IDEA, idempotency_key=name)
        await eventually(lambda: self._is_over(engine, str(job.id)), within=40)
        return await job.result()

    async def fail(self, engine: Engine, name: str) -> tuple[str, str, list[str]]:
        """Code and text of the error of a job that fails, and the kinds of its tries."""
        job = await engine.submit(consensus, IDEA, idempotency_key=name)
        await eventually(lambda: self._is_over(engine, str(job.id)), within=40)
        [row] = [row for row in await engine.jobs() if row.id == str(job.id)]
        assert row.state is JobState.FAILED
        assert row.error is not None
        kinds = [one.kind for one in await engine.tries(job)]
        return str(row.error["code"]), str(row.error["message"]), kinds

    @staticmethod
    async def _is_over(engine: Engine, job: str) -> bool:
        [row] = [row for row in await engine.jobs() if row.id == job]
        return row.state not in (JobState.QUEUED, JobState.RUNNING)

    def check_texts(self, result: ConsensusResult) -> None:
        text = result.model_dump_json()
        assert "\\u001b" not in text
        assert "\\u0000" not in text
        assert "<script>" in text, "shown as text, not dropped"
        assert result.decision.decision == "reject", "by the numbers alone"
        assert [review.persona_name for review in result.reviews] == [
            "Architect", "Critic", "Optimist", "SecurityGuardian", "UserAdvocate",
        ]  # fmt: skip

    async def check_bad(self, engine: Engine, server: ModelServer) -> None:
        server.fail_next(ModelFault.WRONG_TYPES, times=2)
        code, text, kinds = await self.fail(engine, ModelFault.WRONG_TYPES)
        assert code == "LLM_ANSWER_INVALID"
        assert "does not fit ExpandedProposal" in text
        assert "tokens)" in text
        assert kinds == ["permanent"]

    async def check_refused(self, engine: Engine, server: ModelServer) -> None:
        server.fail_next(ModelFault.REFUSAL)
        code, _, kinds = await self.fail(engine, ModelFault.REFUSAL)
        assert (code, kinds) == ("LLM_REFUSED", ["permanent"])

    async def check_lost(self, engine: Engine, server: ModelServer) -> None:
        """A server that breaks off is asked as often as the settings say."""
        server.fail_next(Fault.RESET, times=2)
        code, text, kinds = await self.fail(engine, Fault.RESET)
        assert (code, kinds) == ("LLM_CONNECTION_ERROR", ["transient", "permanent"])
        assert "(2 tries)" in text
