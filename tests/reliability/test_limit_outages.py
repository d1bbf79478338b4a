"""The database goes away where a step asks a limit or a budget."""

from __future__ import annotations

import asyncio

import pytest

from headrace import Budget, Pipeline, RateLimit, Retry
from headrace.errors import DatabaseUnavailableError
from tests.engine.conftest import MakeEngine
from tests.proxy import proxy_to
from tests.reliability.limit_kit import pipeline_of_nothing


class TestOutage:
    async def test_a_step_waits_for_it_and_uses_no_attempt(self, make_engine: MakeEngine):
        limit = RateLimit("service", requests=1_000, concurrent=5)
        budget = Budget("day", tokens=1_000)
        pipe = Pipeline("pipe", input=int, output=int)
        entered, go_on = asyncio.Event(), asyncio.Event()

        @pipe.step(retry=Retry(attempts=1))
        async def call(number: int) -> int:
            entered.set()
            await go_on.wait()
            async with limit.reserve() as one, budget.reserve(tokens=7) as cost:
                one.settle(requests=2)
                cost.settle(tokens=9)
            return number

        async with make_engine([pipe]) as engine, proxy_to(engine.database) as proxy:
            app = engine.app_with([pipe], database=proxy.address)
            async with app, engine.worker(app=app):
                job = await engine.submit(pipe, 7)
                await entered.wait()
                proxy.refuse()
                proxy.cut()
                go_on.set()
                for _ in range(2):  # the second one asks after the step
                    with pytest.raises(DatabaseUnavailableError):
                        async with app.primitives(), limit:
                            pass
                proxy.accept()
                assert await job.result(timeout=30) == 7
            assert await engine.tries(job) == []
            [spent] = await engine.app.quotas.list_budgets()
            assert spent.tokens == 9

    async def test_outside_of_steps_it_is_told(self, make_engine: MakeEngine):
        limit = RateLimit("service", requests=1_000)
        async with (
            make_engine([pipeline_of_nothing()]) as engine,
            proxy_to(engine.database) as proxy,
            engine.app_with([], database=proxy.address) as app,
            app.primitives(),
        ):
            async with limit:
                pass
            proxy.refuse()
            proxy.cut()
            with pytest.raises(DatabaseUnavailableError):
                async with limit:
                    pass
