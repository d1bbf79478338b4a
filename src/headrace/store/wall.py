"""The wall between tenants: a transaction in which nothing of others can be seen.

It is the database that decides, by row-level security: a statement that forgets to name the tenant
finds nothing of others (see migrations/0002_identity.sql).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.store.pool import Connection


async def wall_stands(connection: Connection) -> bool:
    """Whether this session can go behind the wall: the role is there and may be taken."""
    return bool(await connection.fetchval(SQL["identity.wall_state"]))


@contextlib.asynccontextmanager
async def behind_wall(
    connection: Connection, tenant: str, owner: str | None
) -> AsyncIterator[None]:
    """See only what is of a tenant, and of an owner of it, inside an `async with` block.

    The block is one transaction, whose role may write nothing.

    Args:
        connection: Not in a transaction.
        tenant: Whose things.
        owner: Of which owner; None: of all owners of the tenant.
    """
    async with connection.transaction():
        await connection.execute(
            SQL["identity.enter_wall"], tenant, owner or "", "off" if owner is not None else "on"
        )
        yield
