"""`Budget`: how many tokens, and how much money, a tenant's day or a job may cost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from random import uniform
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from headrace.errors import BudgetExhaustedError, DefinitionError, InvalidError
from headrace.reliability.blocking import ask_loop
from headrace.reliability.insisting import ask_database
from headrace.reliability.surroundings import surroundings
from headrace.store.budgets import Account, Amount, settle, spend
from headrace.telemetry.events import emit
from headrace.telemetry.limit_events import BudgetExhausted, BudgetWarning

if TYPE_CHECKING:
    from types import TracebackType

    from headrace.reliability.surroundings import Surroundings
    from headrace.store.budgets import Spending

NAME_MOST: Final = 200
MOST: Final = Decimal(10) ** 15
NOTHING: Final = Decimal(0)
SPREAD_S: Final = 60.0
"""Over which jobs come back that wait for the next day: not all in its first second."""


class Budget:
    """What may be spent in a window: a tenant's day (in UTC, by the database's clock), or a job.

        research = Budget("research", tokens=1_000_000, money=Decimal("20"), per="day")

        async with research.reserve(tokens=4_000, money="0.05") as call:
            answer = await client.ask(question)
            call.settle(tokens=answer.usage.total_tokens, money=price(answer.usage))

    What is reserved counts as spent at once, in the database, so that all workers together keep the
    budget; `settle` corrects it. Four fifths are told once in each window, by the event
    `budget_warning`. Where a call would pass the budget, `BudgetExhaustedError` puts the step off
    until the next window without using an attempt, or fails the job, as `when_spent` says.

    What `ctx.once` has stored is not called again by a retried step, so it is not spent again. In
    plain functions write `with`. Amounts of operators (`headrace budgets set`) go before these.
    """

    def __init__(
        self,
        name: str,
        *,
        tokens: int | None = None,
        money: Decimal | int | str | None = None,
        per: Literal["day", "job"] = "day",
        when_spent: Literal["defer", "fail"] | None = None,
    ) -> None:
        """Nothing is asked or stored yet.

        Args:
            name: The same in all code that spends of it; up to 200 characters.
            tokens: That may be used in a window; any number if left out.
            money: That may be spent in a window, in the currency of your choice; a `Decimal`, a
                whole number or the text of one, never a float. Any amount if left out.
            per: `day`: each tenant has it anew each day. `job`: each job has it, its runs together.
            when_spent: `defer` (only for a day, and its default): the job waits for the next
                day. `fail` (for a job always): the job fails, with the cause `budget_exhausted`.

        Raises:
            DefinitionError: An argument is not accepted.
        """
        if not 0 < len(name) <= NAME_MOST or not name.isprintable():
            raise self._wrong(
                name, f"write a name of 1 to {NAME_MOST} characters that can be shown"
            )
        if per not in {"day", "job"}:
            raise self._wrong(name, f"per is {per!r}; write 'day' or 'job'")
        if when_spent not in {"defer", "fail", None}:
            raise self._wrong(name, f"when_spent is {when_spent!r}; write 'defer' or 'fail'")
        if per == "job" and when_spent == "defer":
            raise self._wrong(name, "a job's budget is never renewed: leave when_spent out")
        if tokens is None and money is None:
            raise self._wrong(name, "it limits nothing: give it tokens, or money, or both")
        try:
            self._most = Amount(_optional(tokens, "tokens"), _optional(money, "money"))
        except InvalidError as error:
            raise self._wrong(name, str(error)) from None
        self.name = name
        self._per: Literal["day", "job"] = per
        self._defers = per == "day" and when_spent != "fail"

    def __repr__(self) -> str:
        return f"Budget({self.name!r})"

    def reserve(self, *, tokens: int = 0, money: Decimal | int | str = 0) -> BudgetedCall:
        """Spend what a call may cost, inside an `async with` block; `with` in plain functions.

        Args:
            tokens: What it may use; with 0 it is refused only where the budget is spent.
            money: What it may cost.

        Returns:
            What is entered: its `settle` takes what was really used.

        Raises:
            InvalidError: An amount is negative, or no number.
            BudgetExhaustedError: On entering: it would be more than the budget has left.
            DefinitionError: On entering: outside of a step and of `app.primitives`.
            DatabaseUnavailableError: On entering: the database does not answer.
        """
        return BudgetedCall(self, _amount(tokens, "tokens"), _amount(money, "money"))

    async def spend(self, around: Surroundings, tokens: Decimal, money: Decimal) -> Spending:
        """Spend, or raise; for `BudgetedCall`."""
        account = self.account(around)
        spending = await ask_database(
            around, lambda connection: spend(connection, account, tokens, money, self._most)
        )
        self.tell(around, spending)
        if not spending.fits:
            raise self._exhausted(spending)
        return spending

    def account(self, around: Surroundings) -> Account:
        """Who spends here."""
        if self._per == "job" and around.job is None:
            raise DefinitionError(
                f"Budget({self.name!r})",
                "a job's budget can be used in a step only",
                "NOT_IN_STEP",
            )
        return Account(
            self.name, around.tenant, self._per, around.job if self._per == "job" else None
        )

    def tell(self, around: Surroundings, spending: Spending) -> None:
        """Tell once in a window that it ends soon, and that it has ended."""
        spent, limit = _shown(spending)
        told: dict[str, Any] = {
            "budget": self.name,
            "tenant": around.tenant,
            "job_id": around.job if self._per == "job" else None,
            "spent": spent,
            "limit": limit,
        }
        if spending.warns:
            emit(BudgetWarning(**told))
        if spending.exhausts:
            emit(BudgetExhausted(**told))

    def _exhausted(self, spending: Spending) -> BudgetExhaustedError:
        renews: timedelta | None = None
        if self._defers and spending.renews_s is not None:
            renews = timedelta(seconds=max(0, spending.renews_s) + uniform(0, SPREAD_S))  # noqa: S311
        return BudgetExhaustedError(self.name, *_shown(spending), renews)

    @staticmethod
    def _wrong(name: object, problem: str) -> DefinitionError:
        return DefinitionError(f"Budget({name!r})", problem, "BUDGET_INVALID")


class BudgetedCall:
    """What a call reserved of a budget. Made by `Budget.reserve`, used once."""

    def __init__(self, budget: Budget, tokens: Decimal, money: Decimal) -> None:
        self._budget = budget
        self._tokens, self._money = tokens, money
        self._used_tokens, self._used_money = tokens, money
        self._around: Surroundings | None = None
        self._key = ""

    def settle(
        self, *, tokens: int | None = None, money: Decimal | int | str | None = None
    ) -> None:
        """Say what the call really used; it is corrected as the block ends, also past the budget.

        Say it for failed calls, too: without it the reserved amounts stand. The last word counts.

        Raises:
            InvalidError: An amount is negative, or no number.
        """
        if tokens is not None:
            self._used_tokens = _amount(tokens, "tokens")
        if money is not None:
            self._used_money = _amount(money, "money")

    async def __aenter__(self) -> Self:
        return await self._enter(surroundings())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._exit()

    def __enter__(self) -> Self:
        around = surroundings()
        return ask_loop(around.loop, self._enter(around), f"budget {self._budget.name!r}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._around is not None  # noqa: S101 - for the type checker
        ask_loop(self._around.loop, self._exit(), f"budget {self._budget.name!r}")

    async def _enter(self, around: Surroundings) -> Self:
        if self._around is not None:
            raise InvalidError("a reservation is for one block: call reserve() again")
        self._around = around
        self._key = (await self._budget.spend(around, self._tokens, self._money)).key
        return self

    async def _exit(self) -> None:
        difference = self._used_tokens - self._tokens, self._used_money - self._money
        if any(difference):
            # A step that is cut off here has spent its money all the same.
            await asyncio.shield(asyncio.ensure_future(self._settle(*difference)))

    async def _settle(self, tokens: Decimal, money: Decimal) -> None:
        around = self._around
        assert around is not None  # noqa: S101 - for the type checker
        account = self._budget.account(around)
        spending = await ask_database(
            around, lambda connection: settle(connection, account, self._key, tokens, money)
        )
        if spending is not None:
            self._budget.tell(around, spending)


def _optional(given: Decimal | int | str | None, what: str) -> Decimal | None:
    return None if given is None else _amount(given, what)


def _amount(given: Decimal | int | str, what: str) -> Decimal:
    accepted = "a Decimal, a whole number or the text of one" if what == "money" else "a number"
    if isinstance(given, bool | float):
        raise InvalidError(f"{what} is {given!r}; write {accepted}, 0 or more")
    try:
        amount = Decimal(given)
    except (InvalidOperation, TypeError, ValueError):
        raise InvalidError(f"{what} is {given!r}; write {accepted}, 0 or more") from None
    if not amount.is_finite() or not 0 <= amount <= MOST:
        raise InvalidError(f"{what} is {given!r}; write 0 to {MOST:,}")
    return amount


def _shown(spending: Spending) -> tuple[str, str]:
    """What is spent, and what may be, as people read it."""
    spent, limit = [], []
    if spending.tokens_limit is not None:
        spent.append(f"{spending.tokens:,f} tokens")
        limit.append(f"{spending.tokens_limit:,f} tokens")
    if spending.money_limit is not None:
        spent.append(f"{spending.money:,f} in money")
        limit.append(f"{spending.money_limit:,f}")
    return " and ".join(spent), " and ".join(limit)
