"""How many requests each tenant may send in a minute, counted for all processes together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from headrace.store.sql import SQL

if TYPE_CHECKING:
    from headrace.store.pool import Connection

Kind: TypeAlias = Literal["writes", "reads", "costly"]


@dataclass(frozen=True, slots=True)
class Permits:
    """Requests that a process may let pass before it asks again.

    Attributes:
        granted: How many; none where the minute's are used up.
        per_minute: The tenant's limit; 0: any number.
        left_s: Seconds until the minute is over, and the permits with it.
    """

    granted: int
    per_minute: int
    left_s: float


async def take_permits(
    connection: Connection, tenant: str, kind: Kind, *, usual: int, wanted: int
) -> Permits:
    """Take a portion of a tenant's permits for its present minute.

    Args:
        connection: Outside of a transaction: the tenant's row is locked until it commits.
        tenant: Whose.
        kind: Of which requests.
        usual: The limit of tenants that have none of their own.
        wanted: Most permits to take.
    """
    (row,) = await connection.fetch(SQL["rates.take_permits"], tenant, kind, usual, wanted)
    return Permits(*row)


async def set_limit(
    connection: Connection, tenant: str, kind: Kind, per_minute: int | None
) -> None:
    """Give a tenant a limit of its own; None: the usual one. 0: any number.

    A process that has permits uses them up before, within a minute.
    """
    await connection.execute(SQL["rates.set_limit"], tenant, kind, per_minute)
