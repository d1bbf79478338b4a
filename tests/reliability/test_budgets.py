"""`Budget`: what a tenant's day, or a job, may cost."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from headrace import Budget, JobState, Pipeline, Retry, StepContext
from headrace.errors import BudgetExhaustedError, DefinitionError, InvalidError
from headrace.store.budgets import (
    Account,
    Amount,
    list_budgets,
    prune_budgets,
    set_budget,
    settle,
    spend,
)
from headrace.telemetry.events import Event, add_sink
from headrace.telemetry.limit_events import BudgetExhausted, BudgetWarning
from headrace.testing import Engine
from tests.reliability.still_clock import StillClock

MakeEngine = Callable[..., Engine]
LATE = datetime(2027, 3, 4, 23, 59, tzinfo=UTC)
DAY = Account("research", "acme", "day", None)
JOB = UUID("0192f1e2-1234-7abc-8def-001122334455")
ZERO = Decimal(0)
MOST = Amount(Decimal(100), Decimal("2.00"))


@pytest.fixture
def make_engine(database_server: str) -> MakeEngine:
    """Makes an engine on the server of this test run."""
    return functools.partial(Engine, server=database_server)


@pytest.fixture
async def clock(database: str) -> AsyncIterator[StillClock]:
    """The fresh database's clock: a minute before midnight."""
    clock = await StillClock.open(database, LATE)
    yield clock
    await clock.connection.close()


@pytest.fixture
def told() -> Iterator[list[Event]]:
    """What is told of budgets."""
    events: list[Event] = []
    remove = add_sink(events.append, kinds=[BudgetWarning, BudgetExhausted])
    yield events
    remove()


def until_noon() -> timedelta:
    """So that no midnight comes while a test runs."""
    now = datetime.now(UTC)
    return (now + timedelta(days=1)).replace(hour=12, minute=0) - now


class TestSpending:
    async def test_nothing_is_spent_that_would_pass_either_limit(self, clock: StillClock):
        at = clock.connection
        assert (await spend(at, DAY, Decimal(90), Decimal("1.99"), MOST)).fits
        refused = await spend(at, DAY, Decimal(11), ZERO, MOST)
        assert (refused.fits, refused.tokens) == (False, 90)
        refused = await spend(at, DAY, ZERO, Decimal("0.02"), MOST)
        assert (refused.fits, refused.money) == (False, Decimal("1.99"))
        last = await spend(at, DAY, Decimal(10), Decimal("0.01"), MOST)
        assert (last.fits, last.tokens, last.money) == (True, 100, Decimal("2.00"))
        assert not (await spend(at, DAY, ZERO, ZERO, MOST)).fits

    async def test_the_next_day_begins_at_midnight_in_utc(self, clock: StillClock):
        at = clock.connection
        today = await spend(at, DAY, Decimal(100), ZERO, MOST)
        assert (today.key, today.renews_s) == ("2027-03-04", 60)
        await clock.set(59.9)
        assert not (await spend(at, DAY, Decimal(1), ZERO, MOST)).fits
        await clock.set(60)
        tomorrow = await spend(at, DAY, Decimal(1), ZERO, MOST)
        assert (tomorrow.fits, tomorrow.key, tomorrow.tokens) == (True, "2027-03-05", 1)

    async def test_what_was_reserved_before_midnight_is_settled_there(self, clock: StillClock):
        at = clock.connection
        today = await spend(at, DAY, Decimal(50), ZERO, MOST)
        await clock.set(61)
        await spend(at, DAY, Decimal(7), ZERO, MOST)
        settled = await settle(at, DAY, today.key, Decimal(-20), Decimal("0.5"))
        assert settled is not None
        assert (settled.tokens, settled.money) == (30, Decimal("0.5"))
        [open_now] = await list_budgets(at)
        assert (open_now.key, open_now.tokens) == ("2027-03-05", 7)

    async def test_tenants_and_jobs_have_their_own(self, clock: StillClock):
        at = clock.connection
        accounts = [
            DAY,
            Account("research", "other", "day", None),
            Account("research", "acme", "job", JOB),
            Account("research", "acme", "job", UUID(int=JOB.int + 1)),
        ]
        for account in accounts:
            assert (await spend(at, account, Decimal(100), ZERO, MOST)).fits
            assert not (await spend(at, account, Decimal(1), ZERO, MOST)).fits

    async def test_it_warns_once_at_four_fifths_and_ends_once(self, clock: StillClock):
        at = clock.connection
        spent = [await spend(at, DAY, Decimal(20), ZERO, MOST) for _ in range(6)]
        assert [one.warns for one in spent] == [False, False, False, True, False, False]
        assert [one.exhausts for one in spent] == [False, False, False, False, True, False]
        await clock.set(60)
        assert (await spend(at, DAY, ZERO, Decimal("1.60"), MOST)).warns

    async def test_settling_may_warn_and_may_pass_the_budget(self, clock: StillClock):
        at = clock.connection
        first = await spend(at, DAY, Decimal(10), ZERO, MOST)
        settled = await settle(at, DAY, first.key, Decimal(140), ZERO)
        assert settled is not None
        assert (settled.tokens, settled.warns, settled.exhausts) == (150, True, True)
        again = await settle(at, DAY, first.key, Decimal(1), ZERO)
        assert again is not None
        assert not again.warns
        assert not again.exhausts

    async def test_amounts_of_operators_go_before_and_warn_anew(self, clock: StillClock):
        at = clock.connection
        await spend(at, DAY, Decimal(95), ZERO, MOST)
        more = Amount(Decimal(200), None)
        await set_budget(at, "research", "", more, by="ann", reason="a big week")
        spent = await spend(at, DAY, Decimal(60), Decimal("1.00"), MOST)
        assert (spent.fits, spent.warns) == (True, False)
        assert (spent.tokens_limit, spent.money_limit) == (200, Decimal("2.00"))
        assert (await spend(at, DAY, Decimal(10), ZERO, MOST)).warns
        less = Amount(Decimal(10), None)
        await set_budget(at, "research", "acme", less, by="ann", reason=None)
        assert not (await spend(at, DAY, Decimal(1), ZERO, MOST)).fits

    async def test_windows_are_forgotten_after_90_days(self, clock: StillClock):
        at = clock.connection
        await spend(at, DAY, Decimal(1), ZERO, MOST)
        await clock.set(89 * 86_400)
        assert await prune_budgets(at) == 0
        await clock.set(91 * 86_400)
        assert await prune_budgets(at) == 1


class TestSteps:
    async def test_a_spent_day_puts_the_job_off_until_the_next_without_an_attempt(
        self, make_engine: MakeEngine, told: list[Event]
    ):
        day = Budget("day", tokens=100)
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=1))
        async def call(used: int) -> int:
            async with day.reserve(tokens=used) as reservation:
                reservation.settle(tokens=used)
            return used

        async with make_engine([pipe]) as engine:
            await engine.move_clock(until_noon())
            first = await engine.submit(pipe, 90)
            await engine.run_until_empty()
            later = await engine.submit(pipe, 60)
            await engine.run_until_empty(30, skip_waits=True)
            assert (await first.result(), await later.result()) == (90, 60)
            [tried] = await engine.tries(later)
            assert (tried.kind, tried.code) == ("budget", "BUDGET_EXHAUSTED")
            assert tried.due_at is not None
            assert (tried.due_at.hour, tried.due_at.minute) in {(0, 0), (0, 1)}
            assert tried.due_at > datetime.now(UTC) + timedelta(hours=12)
            assert "budget" in [event.reason for event in await engine.events(later)]
        assert [type(event) for event in told] == [BudgetWarning, BudgetExhausted]
        warning = told[0]
        assert isinstance(warning, BudgetWarning)
        assert (warning.budget, warning.tenant, warning.spent, warning.limit) == (
            "day", "default", "90 tokens", "100 tokens",
        )  # fmt: skip

    @pytest.mark.parametrize(
        "budget",
        [Budget("own", money="0.50", per="job"), Budget("day", money="0.50", when_spent="fail")],
        ids=["job", "fail"],
    )
    async def test_a_budget_that_is_not_renewed_fails_the_job(
        self, make_engine: MakeEngine, budget: Budget
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        def call(calls: int) -> int:
            for _ in range(calls):
                with budget.reserve(money=Decimal("0.20")) as reservation:
                    reservation.settle(money="0.15")
            return calls

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 4)
            await engine.run_until_empty()
            status = await job.status()
            assert (status.state, status.cause) == (JobState.FAILED, "budget_exhausted")
            assert status.error is not None
            assert "0.45 in money of 0.50" in status.error.message

    async def test_what_once_has_stored_is_not_spent_again(self, make_engine: MakeEngine):
        own = Budget("own", tokens=100, per="job")
        pipe = Pipeline("pipe", input=int, output=int)

        async def ask(tokens: int) -> int:
            async with own.reserve(tokens=tokens):
                return tokens

        @pipe.step(retry=Retry(attempts=3, first=0.1))
        async def call(number: int, ctx: StepContext) -> int:
            answer = await ctx.once("ask", ask, number)
            if ctx.attempt < 3:
                raise RuntimeError("it broke after the call")
            return answer

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 60)
            await engine.run_until_empty()
            assert await job.result() == 60
            [budget] = await engine.app.quotas.list_budgets()
            assert budget.tokens == 60

    async def test_an_unsettled_call_keeps_what_it_reserved(self, make_engine: MakeEngine):
        day = Budget("day", tokens=100)
        async with make_engine([]) as engine:
            async with engine.app.primitives(tenant="acme"):
                with pytest.raises(RuntimeError):
                    async with day.reserve(tokens=60):
                        raise RuntimeError("the answer never came")
                with pytest.raises(BudgetExhaustedError) as raised:
                    await day.reserve(tokens=60).__aenter__()
            assert raised.value.renews_after is not None
            assert raised.value.renews_after < timedelta(days=1, minutes=1)
            [budget] = await engine.app.quotas.list_budgets()
            assert (budget.tenant, budget.tokens) == ("acme", 60)


class TestDefinition:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ({}, "it limits nothing: give it tokens, or money, or both"),
            ({"tokens": -1}, "tokens is -1; write 0 to"),
            ({"money": 0.5}, "money is 0.5; write a Decimal, a whole number or the text of one"),
            ({"money": "NaN"}, "money is 'NaN'; write 0 to"),
            ({"tokens": 1, "per": "week"}, "per is 'week'; write 'day' or 'job'"),
            ({"tokens": 1, "per": "job", "when_spent": "defer"}, "never renewed"),
            ({"tokens": 1, "when_spent": "stop"}, "when_spent is 'stop'"),
            ({"tokens": 1, "name": "a\nb"}, "a name of 1 to 200 characters"),
        ],
    )
    def test_a_wrong_argument_says_what_is_accepted(self, arguments: dict[str, Any], says: str):
        with pytest.raises(DefinitionError) as raised:
            Budget(**{"name": "research", **arguments})
        assert says in str(raised.value)

    def test_a_wrong_amount_says_what_is_accepted(self):
        budget = Budget("research", money=1)
        for amount in ("-1", 0.1, "a lot", True):
            with pytest.raises(InvalidError, match="money is"):
                budget.reserve(money=amount)  # type: ignore[arg-type]
            with pytest.raises(InvalidError, match="money is"):
                budget.reserve().settle(money=amount)  # type: ignore[arg-type]

    async def test_a_jobs_budget_needs_a_job(self, make_engine: MakeEngine):
        own = Budget("own", tokens=1, per="job")
        async with make_engine([]) as engine, engine.app.primitives():
            with pytest.raises(DefinitionError, match="in a step only"):
                async with own.reserve():
                    pass
