"""Reading for a caller: the database itself shows nothing of other tenants and owners."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from headrace.store.wall import behind_wall, wall_stands
from headrace.web.state import CONNECTION_WAIT_S, service_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from starlette.requests import Request

    from headrace.app import Headrace
    from headrace.store.pool import HeldConnection
    from headrace.web.auth.identity import Identity


class Wall:
    """The second wall between tenants, beside the filters of each statement.

    Args:
        app: Whose database.
    """

    def __init__(self, app: Headrace) -> None:
        self._app = app
        self._stands: bool | None = None

    def reading(self, identity: Identity) -> AbstractAsyncContextManager[HeldConnection]:
        """As `seen_by`, for what a caller may see."""
        return self.seen_by(identity.tenant, identity.sees_owner())

    @contextlib.asynccontextmanager
    async def seen_by(self, tenant: str, owner: str | None) -> AsyncIterator[HeldConnection]:
        """A connection for reads, inside an `async with` block: one transaction of an owner's.

        Without an owner it is of all the tenant's. Where the database has no role for it (`headrace
        doctor` tells), it is a plain connection.

        Raises:
            DatabaseUnavailableError: The database does not answer.
        """
        async with self._app.connection(wait_s=CONNECTION_WAIT_S) as connection:
            if self._stands is None:
                self._stands = await wall_stands(connection)
            if not self._stands:
                yield connection
                return
            async with behind_wall(connection, tenant, owner):
                yield connection


def reading(request: Request, identity: Identity) -> AbstractAsyncContextManager[HeldConnection]:
    """See `Wall.reading`."""
    return service_of(request).wall.reading(identity)
