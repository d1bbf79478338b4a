"""Around each call: the breaker, the limit and the budgets, in jobs of a worker."""

from collections.abc import AsyncIterator
from time import monotonic

import pytest

from headrace import JobState
from headrace.testing import Engine, Fault, ModelFault, ModelServer
from tests.models.asking import GOOD, KEY
from tests.models.probing import PROBE, Probe, asking


class Scene:
    """Jobs that ask a server."""

    def __init__(self, engine: Engine, server: ModelServer) -> None:
        self.engine, self.server = engine, server

    async def ask(
        self, *words: str, skip_waits: bool = True, concurrency: int = 10, **settings: object
    ) -> list[JobState]:
        """Ask in a job for each word, to their end; how they ended, in their order."""
        PROBE[-1].settings = settings
        jobs = [await self.engine.submit(asking, word) for word in words]
        await self.engine.run_until_empty(30, skip_waits=skip_waits, concurrency=concurrency)
        self.tries = [row for job in jobs for row in await self.engine.tries(job)]
        self.rows = [
            row for job in jobs for row in await self.engine.jobs() if row.id == str(job.id)
        ]
        return [row.state for row in self.rows]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with (
        ModelServer(answer=lambda _call: GOOD, api_key=KEY) as server,
        Engine([asking]) as engine,
    ):
        PROBE.append(Probe(server, {}))
        yield Scene(engine, server)
        PROBE.clear()


class TestBusyServer:
    async def test_waiting_as_it_asks_uses_no_attempt(self, scene: Scene):
        """L3: seven times busy in a row, where a step has four attempts."""
        for fault in (Fault.RATE_LIMITED, ModelFault.BUSY_UNTIL, ModelFault.BUSY_FOR_DAYS):
            scene.server.fail_next(fault, times=2)
        scene.server.fail_next(ModelFault.BUSY_SILENTLY)
        assert await scene.ask("one") == [JobState.COMPLETED]
        refused = [row for row in scene.tries if row.code == "LLM_RATE_LIMIT"]
        assert len(refused) == 7
        assert {row.kind for row in scene.tries} == {"rate_limited"}

    async def test_one_refusal_holds_back_all_jobs(self, scene: Scene):
        """L3: the jobs after it wait, too, without asking."""
        scene.server.fail_next(ModelFault.BUSY_UNTIL)
        states = await scene.ask("one", "two", "three", "four", concurrency=1)
        assert set(states) == {JobState.COMPLETED}
        assert [call.status for call in scene.server.calls] == [429, 200, 200, 200, 200]
        codes = sorted(row.code for row in scene.tries)
        assert codes[0] == "LLM_RATE_LIMIT"
        assert codes[1:4] == ["RATE_LIMITED"] * 3

    async def test_the_rate_of_all_jobs_is_kept(self, scene: Scene):
        begun = monotonic()
        states = await scene.ask(
            *map(str, range(11)),
            skip_waits=False,
            llm_requests_per_min=300,
            llm_tokens_per_min=1_000_000_000,
            llm_burst_s=0.2,
        )
        assert set(states) == {JobState.COMPLETED}
        assert len(scene.server.calls) == 11
        assert max(call.at for call in scene.server.calls) - begun >= 10 / 5


class TestOutage:
    async def test_it_opens_the_breaker_and_jobs_wait_for_its_end(self, scene: Scene):
        """L3: a server that answers 503 costs the jobs in all no more than the breaker allows."""
        scene.server.fail_next(Fault.UNAVAILABLE, times=8)
        states = await scene.ask("one", "two", "three")
        assert set(states) == {JobState.COMPLETED}
        assert {row.kind for row in scene.tries} == {"transient", "unavailable"}
        assert sum(row.kind == "transient" for row in scene.tries) <= 4


class TestRefusedRequests:
    async def test_they_are_final_and_the_breaker_stays_closed_for_others(self, scene: Scene):
        """L9: a wrong key, a model that is not there, and a request that is not taken."""
        faults = (ModelFault.UNAUTHORIZED, ModelFault.FORBIDDEN, ModelFault.NO_MODEL)
        for fault in faults:
            scene.server.fail_next(fault, times=2)
        words = [str(number) for number in range(6)]
        assert await scene.ask(*words) == [JobState.FAILED] * 6
        assert [row.kind for row in scene.tries] == ["permanent"] * 6
        codes = sorted(row.error["code"] for row in scene.rows)
        assert codes == ["LLM_AUTH_ERROR"] * 4 + ["LLM_REQUEST_INVALID"] * 2
        assert await scene.ask("another") == [JobState.COMPLETED]
        assert scene.tries == []

    async def test_a_refusal_of_the_model_is_final(self, scene: Scene):
        """L2: it is no error of the transport."""
        scene.server.fail_next(ModelFault.REFUSAL)
        assert await scene.ask("one") == [JobState.FAILED]
        assert [row.kind for row in scene.tries] == ["permanent"]
        assert scene.rows[0].error["code"] == "LLM_REFUSED"


class TestBudget:
    async def test_what_a_tenant_may_use_in_a_day_puts_jobs_off_to_the_next(self, scene: Scene):
        limit = {"llm_tokens_per_day": 3_800}
        assert await scene.ask("x" * 4_000, **limit) == [JobState.COMPLETED]
        assert await scene.ask("x" * 3_000, **limit) == [JobState.COMPLETED]
        assert [row.kind for row in scene.tries] == ["budget"]
        assert len(scene.server.calls) == 2

    async def test_what_a_job_may_use_fails_it(self, scene: Scene):
        assert await scene.ask("x" * 9_000, llm_tokens_per_job=3_000) == [JobState.FAILED]
        assert scene.rows[0].error["code"] == "BUDGET_EXHAUSTED"
        assert scene.server.calls == []

    async def test_what_is_spent_is_what_the_server_says_also_for_calls_that_failed(
        self, scene: Scene
    ):
        """L1: the cost of an answer that does not fit is recorded with that of the next."""
        scene.server.fail_next(Fault.UNAVAILABLE)
        scene.server.fail_next(ModelFault.NOT_JSON)
        assert await scene.ask("one", llm_tokens_per_day=100_000) == [JobState.COMPLETED]
        async with scene.engine.connection() as connection:
            spent = await connection.fetchval("select sum(tokens) from headrace.budgets")
        used = [-(-len(call.instructions + call.text) // 4) for call in scene.server.paid]
        assert len(used) == 2
        assert sum(used) < spent < sum(used) + 60
