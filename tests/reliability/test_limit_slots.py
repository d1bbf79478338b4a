"""Limits on calls at a time: slots that are bound to the life of workers."""

from __future__ import annotations

import asyncio

import pytest

from headrace import RateLimit
from headrace.errors import RateLimitedError
from headrace.testing import Engine
from tests.engine.conftest import MakeEngine
from tests.engine.wire import Executes, wire_to
from tests.reliability import limited
from tests.reliability.limit_kit import limit_of, pipeline_of_nothing, tokens_left
from tests.waiting import eventually


class TestSlots:
    async def test_no_more_calls_run_at_a_time(self, make_engine: MakeEngine):
        limit = RateLimit("service", requests=1_000, per=1, concurrent=2)
        async with make_engine([pipeline_of_nothing()]) as engine, engine.app.primitives():
            async with limit, limit:
                assert (await limit_of(engine)).slots_taken == 2
                with pytest.raises(RateLimitedError):
                    async with limit:
                        pass
            async with limit:
                assert (await limit_of(engine)).slots_taken == 1
            assert (await limit_of(engine)).slots_taken == 0

    async def test_one_that_is_given_back_is_taken_by_who_waits(self, make_engine: MakeEngine):
        limit = RateLimit("service", requests=1_000, per=1, concurrent=1)
        async with make_engine([pipeline_of_nothing()]) as engine, engine.app.primitives():
            async with limit:
                waiting = asyncio.ensure_future(limit.reserve().__aenter__())
                await asyncio.sleep(0.05)  # it looks again and again while it waits
            call = await waiting
            await call.__aexit__(None, None, None)
            assert (await limit_of(engine)).slots_taken == 0

    async def test_one_whose_answer_came_too_late_for_its_caller_is_given_back(
        self, make_engine: MakeEngine
    ):
        limit = RateLimit("service", requests=1_000, per=1, concurrent=1)
        async with (
            make_engine([pipeline_of_nothing()]) as engine,
            wire_to(engine.database) as wire,
            engine.app_with([], database=wire.address) as app,
            app.primitives(),
        ):
            wire.hold_answer("", Executes("rate_slots as taken", nth=2))
            async with limit:
                pass
            call = asyncio.ensure_future(limit.reserve().__aenter__())
            await eventually(lambda: has_slots(engine, 1))
            assert wire.fired.is_set()
            call.cancel()
            wire.release()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await has_slots(engine, 0)

    async def test_operators_may_limit_what_the_code_does_not(self, make_engine: MakeEngine):
        limit = RateLimit("service", requests=1_000, per=1)
        async with make_engine([pipeline_of_nothing()]) as engine, engine.app.primitives():
            await engine.app.quotas.set_limit("service", concurrent=1)
            async with limit:
                with pytest.raises(RateLimitedError):
                    async with limit:
                        pass

    async def test_those_of_a_worker_that_was_killed_are_free(self, make_engine: MakeEngine):
        async with make_engine([limited.pipe]) as engine:
            job = await engine.submit(limited.pipe, 7)
            stays = {limited.STAYS: "yes"}
            async with engine.spawn("tests.reliability.limited:pipe", environment=stays) as worker:
                await eventually(lambda: has_slots(engine, 1), within=30)
                worker.kill()
                await worker.wait()
            await engine.run_until_empty(30)
            assert await job.result() == 7
            # The first call was not settled, its estimate stands; the second was.
            await tokens_left(engine, limited.TOKENS - limited.ESTIMATE - limited.USED)


async def has_slots(engine: Engine, count: int) -> bool:
    return [one.slots_taken for one in await engine.app.quotas.list_limits()] == [count]
