"""What HTTP requests read and write besides the jobs themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.store.sql import SQL

if TYPE_CHECKING:
    from uuid import UUID

    from headrace.store.pool import Connection


async def is_owned(connection: Connection, job: UUID, tenant: str, owner: str | None) -> bool:
    """Whether there is such a job of this tenant, and of this owner where one is given."""
    return await connection.fetchval(SQL["requests.find_owned_job"], job, tenant, owner) is not None
