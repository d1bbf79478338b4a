"""Rate limits and budgets, as operators see and set them."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from headrace.errors import OptionError
from headrace.store import budgets, rate_limits
from headrace.store.audit import Action, record_action
from headrace.store.budgets import Amount
from headrace.store.rate_limits import BucketKey

if TYPE_CHECKING:
    from headrace.store.budgets import BudgetStatus
    from headrace.store.connections import Connections
    from headrace.store.rate_limits import LimitStatus

NAME_MOST: Final = 200
MOST: Final = 1e12
LONGEST_S: Final = 86_400.0
CONCURRENT_MOST: Final = 10_000
AMOUNT_MOST: Final = Decimal(10) ** 15


class Quotas:
    """Numbers of `RateLimit`s and `Budget`s, set in place of those in the code."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def list_limits(self, *, limit: int = 1_000) -> list[LimitStatus]:
        """Every limit that was used in the last week or set, with what is left in its bucket."""
        async with self._connections.use() as connection:
            return await rate_limits.list_limits(connection, limit=limit)

    async def set_limit(
        self,
        name: str,
        *,
        tenant: str = "",
        requests: float | None = None,
        tokens: float | None = None,
        per_s: float | None = None,
        burst_s: float | None = None,
        concurrent: int | None = None,
        actor: str = "system",
        reason: str | None = None,
    ) -> None:
        """Set numbers of a limit in place of the code's, from the next call on, everywhere.

        What is left out is the code's, also where it was set before. It can be set before any code
        uses the limit.

        Args:
            name: As in the code.
            tenant: Whose bucket, of a limit with one for each tenant; all others' if left out.
            requests: In `per_s` seconds.
            tokens: In `per_s` seconds.
            per_s: 0.001 to 86,400.
            burst_s: Size of the bucket: what flows in during so many seconds.
            concurrent: Calls at a time, 1 to 10,000.
            actor: Who sets it.
            reason: Why.

        Raises:
            OptionError: A number is out of its range, or none is given.
        """
        key = BucketKey(_named(name), tenant)
        given = {
            "requests": _within("requests", requests, MOST),
            "tokens": _within("tokens", tokens, MOST),
            "per_s": _within("per_s", per_s, LONGEST_S),
            "burst_s": _within("burst_s", burst_s, LONGEST_S),
        }
        if concurrent is not None and not 1 <= concurrent <= CONCURRENT_MOST:
            raise OptionError("concurrent", f"it is {concurrent}; give 1 to {CONCURRENT_MOST:,}")
        if concurrent is None and all(number is None for number in given.values()):
            raise OptionError("requests", "no number is given: give one, or clear the limit")
        async with self._connections.use() as connection, connection.transaction():
            await rate_limits.set_limit(
                connection, key, **given, concurrent=concurrent, by=actor, reason=reason
            )
            after = {**given, "concurrent": concurrent, "tenant": tenant}
            done = Action(actor, "limit.set", name, reason, after=after)
            await record_action(connection, done)

    async def clear_limit(
        self, name: str, *, tenant: str = "", actor: str = "system", reason: str | None = None
    ) -> bool:
        """Leave all numbers of a limit to the code again; False where none was set."""
        async with self._connections.use() as connection, connection.transaction():
            cleared = await rate_limits.clear_limit(connection, BucketKey(_named(name), tenant))
            done = Action(actor, "limit.clear", name, reason, after={"tenant": tenant})
            await record_action(connection, done)
        return cleared

    async def list_budgets(self, *, limit: int = 1_000) -> list[BudgetStatus]:
        """What is spent of budgets today, and by the jobs of the last 30 days that have one."""
        async with self._connections.use() as connection:
            return await budgets.list_budgets(connection, limit=limit)

    async def set_budget(
        self,
        name: str,
        *,
        tenant: str = "",
        tokens: int | None = None,
        money: Decimal | str | None = None,
        actor: str = "system",
        reason: str | None = None,
    ) -> None:
        """Set amounts of a budget in place of the code's, from the next call on, everywhere.

        What is left out is the code's. Jobs that wait for the next window come back then.

        Args:
            name: As in the code.
            tenant: Whose; all others' if left out.
            tokens: In a window, 0 or more.
            money: In a window, 0 or more.
            actor: Who sets it.
            reason: Why.

        Raises:
            OptionError: An amount is no number or negative, or none is given.
        """
        most = Amount(_amount("tokens", tokens), _amount("money", money))
        if most.tokens is None and most.money is None:
            raise OptionError("tokens", "no amount is given: give one, or clear the budget")
        async with self._connections.use() as connection, connection.transaction():
            await budgets.set_budget(
                connection, _named(name), tenant, most, by=actor, reason=reason
            )
            after = {**asdict(most), "tenant": tenant}
            done = Action(actor, "budget.set", name, reason, after=after)
            await record_action(connection, done)

    async def clear_budget(
        self, name: str, *, tenant: str = "", actor: str = "system", reason: str | None = None
    ) -> bool:
        """Leave the amounts of a budget to the code again; False where none was set."""
        async with self._connections.use() as connection, connection.transaction():
            cleared = await budgets.clear_budget(connection, _named(name), tenant)
            done = Action(actor, "budget.clear", name, reason, after={"tenant": tenant})
            await record_action(connection, done)
        return cleared


def _named(name: str) -> str:
    if not 0 < len(name) <= NAME_MOST or not name.isprintable():
        raise OptionError("name", f"give 1 to {NAME_MOST} characters that can be shown")
    return name


def _within(option: str, number: float | None, most: float) -> float | None:
    if number is not None and not 0 < number <= most:  # NaN fails, too
        raise OptionError(option, f"it is {number:g}; give a number above 0, {most:,.0f} at most")
    return number


def _amount(option: str, given: Decimal | int | str | None) -> Decimal | None:
    if given is None:
        return None
    try:
        amount = Decimal(given)
    except (InvalidOperation, ValueError, TypeError):
        raise OptionError(option, f"it is {given!r}; give a number") from None
    if not amount.is_finite() or not 0 <= amount <= AMOUNT_MOST:
        raise OptionError(option, f"it is {given}; give 0 to {AMOUNT_MOST:,}")
    return amount
