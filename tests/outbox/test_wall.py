"""Behind the wall nobody sees whom others told, and what."""

from __future__ import annotations

import asyncpg
import pytest

from headrace.store.outbox import set_topic
from headrace.store.wall import behind_wall, wall_stands
from tests.engine_rows import Rows
from tests.outbox.rows import finished, subscribe

pytestmark = pytest.mark.asyncio(loop_scope="module")

TENANTS = ("tenant", "other")


async def seen(rows: Rows, tenant: str, owner: str | None) -> tuple[int, int]:
    """How many webhooks and events there are for them."""
    async with behind_wall(rows.connection, tenant, owner):
        return await rows.count("webhooks"), await rows.count("outbox")


class TestWall:
    async def test_a_tenant_sees_its_own(self, rows: Rows) -> None:
        assert await wall_stands(rows.connection)
        for tenant in TENANTS:
            await subscribe(rows, tenant=tenant)
        await subscribe(rows, owner="owner")
        await finished(rows)
        assert await seen(rows, "tenant", None) == (2, 2)
        assert await seen(rows, "other", None) == (1, 0)
        assert await seen(rows, "nobody", None) == (0, 0)

    async def test_an_owner_sees_neither_those_of_others_nor_of_the_whole_tenant(
        self, rows: Rows
    ) -> None:
        await subscribe(rows)
        await subscribe(rows, owner="owner")
        await finished(rows)
        assert await seen(rows, "tenant", "owner") == (1, 1)
        assert await seen(rows, "tenant", "somebody else") == (0, 0)

    async def test_messages_of_topics_are_nobodys(self, rows: Rows) -> None:
        await set_topic(rows.connection, "results", "results")
        await finished(rows)
        assert await seen(rows, "tenant", None) == (0, 0)

    async def test_nothing_is_written_from_behind_it(self, rows: Rows) -> None:
        await subscribe(rows)
        for statement in ("update headrace.webhooks set url = ''", "delete from headrace.outbox"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with behind_wall(rows.connection, "tenant", None):
                    await rows.connection.execute(statement)
