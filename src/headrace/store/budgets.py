"""What is spent of budgets: in a tenant's day, which is UTC's, or by a job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from headrace.store.sql import SQL
from headrace.store.workers import affected

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from headrace.store.pool import Connection

Per: TypeAlias = Literal["day", "job"]
BUDGETS_KEPT: Final = timedelta(days=90)
PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Amount:
    """Tokens and money; of a budget's own, None means any amount."""

    tokens: Decimal | None
    money: Decimal | None


@dataclass(frozen=True, slots=True)
class Account:
    """Who spends of which budget.

    Attributes:
        name: Of the budget.
        tenant: Whose.
        per: What a window is.
        job: The job, where that is the window.
    """

    name: str
    tenant: str
    per: Per
    job: UUID | None


@dataclass(frozen=True, slots=True)
class Spending:
    """What a budget is after something was spent, or refused.

    Attributes:
        key: The window: the day, or the job's id.
        fits: Whether it was spent.
        tokens: Spent in the window.
        money: The same.
        tokens_limit: What may be; None: any number.
        money_limit: The same.
        renews_s: Seconds until the next window; None where there is none.
        warns: Whether this has reached four fifths, for the first time in the window.
        exhausts: Whether this has reached the end, or was the first that was refused.
    """

    key: str
    fits: bool
    tokens: Decimal
    money: Decimal
    tokens_limit: Decimal | None
    money_limit: Decimal | None
    renews_s: float | None
    warns: bool
    exhausts: bool


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """A budget in one of its windows, or one that an operator has set.

    Attributes:
        name: Of the budget.
        tenant: Whose; empty where an operator has set it for all.
        per: `day` or `job`; None where nothing was spent yet.
        key: The day, or the job's id.
        starts_at: When the window began.
        ends_at: When it ends; None for a job.
        tokens: Spent in it.
        money: Spent in it.
        tokens_limit: What may be spent; None: any number.
        money_limit: The same.
        warned_at: When four fifths were reached.
        exhausted_at: When it was spent.
        set_by: The operator who set amounts; None where they are the code's.
        reason: Why.
        set_at: When.
    """

    name: str
    tenant: str
    per: str | None
    key: str | None
    starts_at: datetime | None
    ends_at: datetime | None
    tokens: Decimal
    money: Decimal
    tokens_limit: Decimal | None
    money_limit: Decimal | None
    warned_at: datetime | None
    exhausted_at: datetime | None
    set_by: str | None
    reason: str | None
    set_at: datetime | None


async def spend(
    connection: Connection, account: Account, tokens: Decimal, money: Decimal, most: Amount
) -> Spending:
    """Spend in the present window, unless it would be more than may be.

    Args:
        connection: Any; in a transaction the window stays locked.
        account: Who spends of what.
        tokens: 0 or more.
        money: 0 or more.
        most: The budget as the code has it; what operators set goes before.
    """
    row: asyncpg.Record | None = None
    window = account.name, account.tenant, account.per, account.job
    while row is None:  # a day may begin between the two
        row = await connection.fetchrow(
            SQL["budgets.spend"], *window, tokens, money, most.tokens, most.money
        )
        if row is None:
            await connection.execute(SQL["budgets.open_window"], *window)
    return Spending(*row)


async def settle(
    connection: Connection, account: Account, key: str, tokens: Decimal, money: Decimal
) -> Spending | None:
    """Add to a window the difference between what was used and what was reserved.

    Returns:
        What it is now; None where the window is forgotten.
    """
    row = await connection.fetchrow(
        SQL["budgets.settle"], account.name, account.tenant, key, tokens, money
    )
    return None if row is None else Spending(*row)


async def list_budgets(connection: Connection, *, limit: int = 1_000) -> list[BudgetStatus]:
    """Budgets in the windows that are open, and those that operators set."""
    rows = await connection.fetch(SQL["budgets.list_budgets"], limit)
    return [BudgetStatus(**row) for row in rows]


async def set_budget(
    connection: Connection, name: str, tenant: str, most: Amount, *, by: str, reason: str | None
) -> None:
    """Set amounts in place of the code's, for a tenant or, with tenant '', for all others.

    An amount that is None is the code's. They hold at once; a window that warned may warn anew.
    """
    async with connection.transaction():
        given = name, tenant, most.tokens, most.money, by, reason
        await connection.execute(SQL["budgets.set_budget"], *given)
        await connection.execute(SQL["budgets.warn_again"], name, tenant)


async def clear_budget(connection: Connection, name: str, tenant: str) -> bool:
    """Leave the amounts to the code again; False where none was set."""
    async with connection.transaction():
        done = await connection.execute(SQL["budgets.clear_budget"], name, tenant)
        await connection.execute(SQL["budgets.warn_again"], name, tenant)
    return bool(affected(done))


async def prune_budgets(connection: Connection, *, limit: int = PAGE) -> int:
    """Delete some windows that began over 90 days ago; returns how many."""
    return affected(await connection.execute(SQL["budgets.prune_budgets"], BUDGETS_KEPT, limit))
