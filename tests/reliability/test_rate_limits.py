"""`RateLimit` in steps, in plain functions, and outside of steps."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest

from headrace import Pipeline, RateLimit, Retry, StepContext
from headrace.errors import DefinitionError, InvalidError, RateLimitedError
from headrace.telemetry.events import Event, Level, add_sink
from headrace.telemetry.limit_events import RateLimited, RateLimitHeld
from tests.engine.conftest import MakeEngine
from tests.reliability.limit_kit import limit_of, pipeline_of_nothing, refused, tokens_left
from tests.waiting import eventually


class TestSteps:
    async def test_what_is_reserved_is_taken_and_what_was_used_stays_taken(
        self, make_engine: MakeEngine
    ):
        limit = RateLimit("service", requests=1, tokens=1_000, per=86_400, burst=86_400)
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def call(used: int) -> int:
            async with limit.reserve(tokens=400) as reservation:
                reservation.settle(tokens=used)
            return used

        async with make_engine([pipe]) as engine:
            await engine.submit(pipe, 150)
            await engine.run_until_empty()
            await tokens_left(engine, 850)

    async def test_a_failed_call_keeps_its_estimate_unless_it_is_settled(
        self, make_engine: MakeEngine
    ):
        limit = RateLimit("service", requests=100, tokens=1_000, per=86_400)
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=1))
        async def call(used: int) -> int:
            async with limit.reserve(tokens=400) as reservation:
                if used:
                    reservation.settle(tokens=used)
                raise RuntimeError("it broke")

        async with make_engine([pipe]) as engine:
            await engine.submit_many(pipe, [0, 100])
            await engine.run_until_empty()
            await tokens_left(engine, 500)

    async def test_where_the_wait_is_long_the_job_is_put_off_without_an_attempt(
        self, make_engine: MakeEngine
    ):
        limit = RateLimit("service", requests=1, per=60)
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=1))
        async def call(number: int) -> int:
            async with limit:
                return number

        async with make_engine([pipe]) as engine:
            jobs = await engine.submit_many(pipe, range(3))
            await engine.run_until_empty(30, skip_waits=True)
            tries = [tried for job in jobs for tried in await engine.tries(job)]
            assert {await job.result() for job in jobs} == {0, 1, 2}
            assert {(tried.kind, tried.code) for tried in tries} == {
                ("rate_limited", "RATE_LIMITED")
            }
            waits = sorted(
                (tried.due_at - tried.failed_at).total_seconds() for tried in tries if tried.due_at
            )
            assert waits[0] == pytest.approx(59.5, abs=5)
            assert waits[1] == pytest.approx(119.5, abs=5)
            assert len(waits) == 2

    async def test_plain_functions_use_it_with_with(self, make_engine: MakeEngine):
        limit = RateLimit("service", requests=100, tokens=1_000, per=86_400)
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        def call(used: int) -> int:
            with limit, limit.reserve(tokens=400) as reservation:
                reservation.settle(tokens=used)
            return used

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 150)
            await engine.run_until_empty()
            assert await job.result() == 150
            await tokens_left(engine, 850)
            limit_now = await limit_of(engine)
            assert limit_now.requests_left == pytest.approx(98, abs=0.5)

    async def test_each_tenant_has_its_own_bucket_where_it_says_so(self, make_engine: MakeEngine):
        limit = RateLimit("service", requests=1, per=60, per_tenant=True)
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def call(number: int) -> int:
            async with limit:
                return number

        async with make_engine([pipe]) as engine:
            jobs = [await engine.submit(pipe, n, tenant=f"tenant{n}") for n in range(3)]
            await engine.run_until_empty()
            assert not [tried for job in jobs for tried in await engine.tries(job)]
            assert [limit.tenant for limit in await engine.app.quotas.list_limits()] == [
                "tenant0", "tenant1", "tenant2",
            ]  # fmt: skip


class TestRefusedCalls:
    async def test_a_429_holds_everybody_back_and_uses_no_attempt(self, make_engine: MakeEngine):
        limit = RateLimit("service", requests=1_000, per=1)
        pipe = Pipeline("pipe", input=str, output=int)
        calls: list[str] = []

        @pipe.step(retry=Retry(attempts=1))
        async def call(kind: str, ctx: StepContext) -> int:
            async with limit.reserve():
                calls.append(kind)
                if ctx.attempt == 1 and kind == "refused":
                    raise refused("120")
            return ctx.attempt

        async with make_engine([pipe]) as engine:
            told: list[Event] = []
            remove = add_sink(told.append, level=Level.DEBUG, kinds=[RateLimited, RateLimitHeld])
            first = await engine.submit(pipe, "refused")
            async with engine.worker():
                await eventually(lambda: any(isinstance(one, RateLimitHeld) for one in told))
                later = await engine.submit(pipe, "later")
                await eventually(lambda: len(told) == 3)
                assert calls == ["refused"]
                held = await limit_of(engine)
                assert held.held_until is not None
                await engine.run_until_empty(skip_waits=True)
            remove()
            assert (await first.result(), await later.result()) == (2, 2)
            for job in (first, later):
                [tried] = await engine.tries(job)
                assert tried.code == "RATE_LIMITED"
                assert tried.due_at is not None
                wait = tried.due_at - tried.failed_at
                assert timedelta(seconds=115) < wait < timedelta(seconds=125)
            assert [(type(one).__name__, getattr(one, "reason", None)) for one in told] == [
                ("RateLimitHeld", None), ("RateLimited", "refused"), ("RateLimited", "held"),
            ]  # fmt: skip

    async def test_what_is_no_429_leaves_as_it_is(self, make_engine: MakeEngine):
        limit = RateLimit("service", requests=1_000, per=1)
        async with make_engine([pipeline_of_nothing()]) as engine, engine.app.primitives():
            with pytest.raises(RuntimeError, match="it broke"):
                async with limit:
                    raise RuntimeError("it broke")
            assert (await limit_of(engine)).held_until is None

    async def test_a_step_may_say_by_itself_that_it_was_told_to_wait(self, make_engine: MakeEngine):
        limit = RateLimit("service", requests=1_000, per=1)
        async with make_engine([pipeline_of_nothing()]) as engine, engine.app.primitives():
            async with limit.reserve() as call:
                call.hold("90")
            assert (await limit.hold(20)) > timedelta(seconds=80)
            with pytest.raises(RateLimitedError) as raised:
                await limit.reserve().__aenter__()
            assert timedelta(seconds=80) < raised.value.retry_after < timedelta(seconds=91)

    async def test_a_hold_reaches_those_who_wait_in_this_process(self, make_engine: MakeEngine):
        limit = RateLimit("service", requests=10, per=10, burst=1)
        async with make_engine([pipeline_of_nothing()]) as engine, engine.app.primitives():
            async with limit:
                waiting = asyncio.ensure_future(limit.reserve().__aenter__())

                async def is_promised() -> bool:
                    return ((await limit_of(engine)).requests_left or 0) < -0.2

                await eventually(is_promised)
                await limit.hold(300)
            with pytest.raises(RateLimitedError):
                await waiting


class TestLateCallers:
    async def test_turns_that_were_missed_are_spaced_anew(self, make_engine: MakeEngine):
        limit = RateLimit("service", requests=20, per=1, burst=0.05)
        went: list[float] = []

        async def call() -> None:
            async with limit:
                went.append(time.monotonic())

        async with make_engine([pipeline_of_nothing()]) as engine, engine.app.primitives():
            calls = [asyncio.ensure_future(call()) for _ in range(15)]

            async def are_promised() -> bool:
                limits = await engine.app.quotas.list_limits()
                return bool(limits) and (limits[0].requests_left or 0) < -8

            await eventually(are_promised)
            time.sleep(1)  # noqa: ASYNC251 - this process stands still
            back = time.monotonic()
            await asyncio.gather(*calls)
        late = [at - back for at in went if at > back]
        assert len(late) >= 8
        assert late[-1] - late[0] > (len(late) - 4) / 20


class TestOutsideOfSteps:
    async def test_it_raises_what_puts_steps_off(self, make_engine: MakeEngine):
        limit = RateLimit("service", requests=1, per=3_600)
        async with make_engine([pipeline_of_nothing()]) as engine, engine.app.primitives():
            async with limit:
                pass
            with pytest.raises(RateLimitedError) as raised:
                async with limit:
                    pass
            assert raised.value.retry_after > timedelta(minutes=59)

    async def test_nowhere_it_says_what_to_do(self):
        with pytest.raises(DefinitionError, match=r"app\.primitives"):
            async with RateLimit("service", requests=1):
                pass

    async def test_with_in_an_async_function_says_what_to_write(self, make_engine: MakeEngine):
        limit = RateLimit("service", requests=1)
        async with make_engine([pipeline_of_nothing()]) as engine, engine.app.primitives():
            with pytest.raises(DefinitionError, match="async with"), limit:
                pass

    async def test_a_caller_that_gives_up_takes_nothing(self, make_engine: MakeEngine):
        limit = RateLimit("service", requests=100, tokens=1_000, per=86_400, burst=864)
        async with make_engine([pipeline_of_nothing()]) as engine, engine.app.primitives():
            async with limit.reserve(tokens=1):
                pass
            asking = asyncio.ensure_future(limit.reserve(requests=0, tokens=9).__aenter__())
            await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await tokens_left(engine, 9)

    async def test_a_turn_too_far_away_to_be_stored_is_the_callers_alone(
        self, make_engine: MakeEngine
    ):
        limit = RateLimit("service", requests=1_000, tokens=1, per=86_400)
        async with make_engine([pipeline_of_nothing()]) as engine, engine.app.primitives():
            async with limit.reserve() as reservation:
                reservation.settle(tokens=1e12)
            await tokens_left(engine, 1 - 1e12)
            for _ in range(2):
                with pytest.raises(RateLimitedError) as caught:
                    async with limit.reserve(tokens=1e12):
                        pass
                assert caught.value.retry_after > timedelta(days=9_000)
            async with limit.reserve():
                pass

    async def test_a_reservation_is_for_one_block(self, make_engine: MakeEngine):
        limit = RateLimit("service", requests=100)
        async with make_engine([pipeline_of_nothing()]) as engine, engine.app.primitives():
            call = limit.reserve()
            async with call:
                pass
            with pytest.raises(InvalidError, match="one block"):
                await call.__aenter__()


class TestDefinition:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ({"requests": 0}, "requests is 0; write a number above 0"),
            ({"requests": float("nan")}, "requests is nan"),
            ({"requests": 5, "tokens": -1}, "tokens is -1"),
            ({"requests": 5, "per": 0}, "per is 0 s; write 0.001 to 86,400 s"),
            ({"requests": 5, "per": 60, "burst": 6}, "never lets one pass: write burst=12 or more"),
            ({"requests": 5, "concurrent": 0}, "concurrent is 0; write 1 to 10,000"),
            ({"requests": 5, "name": ""}, "a name of 1 to 200 characters"),
        ],
    )
    def test_a_wrong_argument_says_what_is_accepted(self, arguments: dict[str, float], says: str):
        with pytest.raises(DefinitionError) as raised:
            RateLimit(**{"name": "service", **arguments})  # type: ignore[arg-type]
        assert says in str(raised.value)

    @pytest.mark.parametrize("amounts", [{"tokens": -1}, {"requests": float("nan")}])
    def test_a_wrong_amount_says_what_is_accepted(self, amounts: dict[str, float]):
        with pytest.raises(InvalidError, match="write 0 to"):
            RateLimit("service", requests=1).reserve(**amounts)
        with pytest.raises(InvalidError, match="write 0 to 1,000,000,000,000"):
            RateLimit("service", requests=1).reserve().settle(**amounts)
