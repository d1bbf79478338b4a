"""A step that is held up by what all jobs share waits, and uses no attempt."""

from datetime import timedelta
from uuid import UUID

import pytest

from headrace import JobState, PermanentError, Pipeline, Retry, RetryAfter, StepContext, SyncContext
from headrace.errors import (
    BreakerOpenError,
    BudgetExhaustedError,
    DatabaseUnavailableError,
    DefinitionError,
    HeadraceError,
    LockBusyError,
    LockLostError,
    OperationInProgressError,
    RateLimitedError,
    UnavailableError,
)
from headrace.reliability.surroundings import surroundings
from tests.engine.conftest import MakeEngine

WAIT = timedelta(seconds=40)
HELD_UP = [
    (BreakerOpenError("openai", WAIT), ("unavailable", "BREAKER_OPEN", "breaker_open"), WAIT),
    (RateLimitedError("openai", WAIT), ("rate_limited", "RATE_LIMITED", "rate_limited"), WAIT),
    (
        BudgetExhaustedError("day", "7 tokens", "5 tokens", WAIT),
        ("budget", "BUDGET_EXHAUSTED", "budget"),
        WAIT,
    ),
    (
        OperationInProgressError("charge", "job 7", WAIT),
        ("lock_busy", "OPERATION_IN_PROGRESS", "lock_busy"),
        timedelta(seconds=30),
    ),
]


class TestHeldUp:
    @pytest.mark.parametrize(
        ("error", "told", "wait"), HELD_UP, ids=[told[1] for _, told, _ in HELD_UP]
    )
    async def test_the_job_waits_as_long_as_it_must_and_uses_no_attempt(
        self,
        make_engine: MakeEngine,
        error: HeadraceError,
        told: tuple[str, str, str],
        wait: timedelta,
    ):
        kind, code, wait_reason = told
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=1))
        async def held_up(number: int, ctx: StepContext) -> int:
            if ctx.attempt <= 3:
                raise error
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == 7
            tries = await engine.tries(job)
            assert [(tried.kind, tried.code) for tried in tries] == [(kind, code)] * 3
            assert tries[0].message == str(error)
            assert tries[0].due_at is not None
            assert abs(tries[0].due_at - tries[0].failed_at - wait) < timedelta(seconds=5)
            reasons = [event.reason for event in await engine.events(job)]
            assert reasons.count(wait_reason) == 3

    @pytest.mark.parametrize(
        "error",
        [LockBusyError("repo:42", "worker 3", WAIT), LockLostError("repo:42", 8)],
        ids=["busy", "lost"],
    )
    async def test_a_lock_is_waited_for_five_times_and_then_costs_attempts(
        self, make_engine: MakeEngine, error: HeadraceError
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=2, first=1, jitter=0))
        async def held_up(number: int) -> int:
            if number:
                raise error
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty(skip_waits=True)
            tries = [tried.kind for tried in await engine.tries(job)]
            assert tries == ["lock_busy"] * 5 + ["transient"] * 2
            row = await engine.job(job)
            assert (row.state, row.cause) == (JobState.FAILED, "attempts_exhausted")

    async def test_a_budget_without_a_next_window_fails_the_job(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def spend(number: int) -> int:
            raise BudgetExhaustedError("job", f"{number} tokens", "5 tokens", None)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            row = await engine.job(job)
            assert (row.state, row.cause) == (JobState.FAILED, "budget_exhausted")
            [tried] = await engine.tries(job)
            assert tried.message == "the budget 'job' is spent: 7 tokens of 5 tokens"

    async def test_waiting_for_a_breaker_ends_at_the_limit_of_all_waits(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def never(number: int) -> int:
            raise BreakerOpenError(f"dependency {number}", timedelta(hours=8))

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty(skip_waits=True)
            row = await engine.job(job)
            assert (row.state, row.cause) == (JobState.FAILED, "wait_limit")
            assert len(await engine.tries(job)) == 4


class TestOutages:
    async def test_a_primitive_that_finds_no_database_costs_no_attempt(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)
        starts: list[int] = []

        @pipe.step(retry=Retry(attempts=1))
        async def call(number: int, ctx: StepContext) -> int:
            starts.append(ctx.attempt)
            if len(starts) <= 2:
                raise DatabaseUnavailableError("no server answers")
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            assert await job.result() == 7
            assert starts == [1, 1, 1]
            assert await engine.tries(job) == []


class ModelDown(UnavailableError):  # noqa: N818 - as users name theirs
    code = "MODEL_DOWN"


class ModelBusy(RetryAfter):
    code = "MODEL_BUSY"


class ModelRefused(PermanentError):  # noqa: N818
    code = "MODEL_REFUSED"


class TestCodes:
    @pytest.mark.parametrize(
        ("error", "kind", "code"),
        [
            (ModelDown("no answer"), "transient", "MODEL_DOWN"),
            (ModelBusy(1), "rate_limited", "MODEL_BUSY"),
            (ModelRefused("no"), "permanent", "MODEL_REFUSED"),
            (ValueError("7"), "unknown", "ValueError"),
        ],
        ids=str,
    )
    async def test_an_error_bears_the_code_that_its_class_declares(
        self, make_engine: MakeEngine, error: Exception, kind: str, code: str
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=2, first=1, jitter=0))
        async def call(number: int, ctx: StepContext) -> int:
            if ctx.attempt == 1:
                raise error
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty(skip_waits=True)
            [tried] = await engine.tries(job)
            assert (tried.kind, tried.code) == (kind, code)


class TestAnnotations:
    async def test_what_a_step_says_of_itself_is_shown_beside_its_output(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=2, first=1, jitter=0))
        async def ask(number: int, ctx: StepContext) -> int:
            ctx.annotate(model="small", usage={"tokens": 3 * ctx.attempt})
            if ctx.attempt == 1:
                raise RuntimeError
            ctx.annotate(fallback=True)
            return number

        @pipe.step
        def again(ask: int, ctx: SyncContext) -> int:
            ctx.annotate(thread=True)
            return ask

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty(skip_waits=True)
            first, second = (await job.status()).steps
            assert first.metadata == {"model": "small", "usage": {"tokens": 6}, "fallback": True}
            assert second.metadata == {"thread": True}

    async def test_a_step_that_says_too_much_or_no_json_is_told(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=str)

        @pipe.step
        async def say(number: int, ctx: StepContext) -> str:
            for value in ("x" * 20_000, object()):
                with pytest.raises(ValueError, match=r"annotate\(word\)"):
                    ctx.annotate(word=value)  # type: ignore[arg-type]
            return str(number)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            assert await job.result() == "7"


class TestSurroundings:
    async def test_code_finds_its_step_in_tasks_and_in_threads(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=list[str])

        @pipe.step
        async def here(number: int) -> str:
            return str(surroundings().job) if number else ""

        @pipe.step
        def there(number: int, here: str) -> list[str]:
            around = surroundings()
            return [here, str(around.job), around.step or "", around.tenant, str(number)]

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7, tenant="acme")
            await engine.run_until_empty()
            assert await job.result() == [job.id, str(UUID(job.id)), "there", "acme", "7"]

    async def test_outside_of_steps_the_error_says_where_it_can_be_used(self) -> None:
        with pytest.raises(DefinitionError, match="NOT_IN_STEP"):
            surroundings()
