"""Webhooks in a database with many events: what is read to show them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from headrace.store.databases import fresh_database
from headrace.store.pool import connect
from tests.store.plans import explain

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

WEBHOOKS, EVENTS = 100, 200
FILL = """
insert into headrace.webhooks (tenant, owner, url, created_by)
select 'tenant ' || number % 10, 'owner', 'https://hooks.example.com/' || number, 'tests'
from generate_series(1, $1::integer) as number;
"""
FILL_EVENTS = """
insert into headrace.outbox (webhook, endpoint, kind, payload, tenant, sent_at)
select id, endpoint, 'webhook.test', '{}', tenant, headrace.now()
from generate_series(1, $1::integer) cross join headrace.webhooks;
"""


@pytest.fixture
async def crowded(database_server: str, template: str) -> AsyncIterator[Connection]:
    async with fresh_database(database_server, template) as address:
        connection = await connect(address, name="plans")
        await connection.execute(FILL, WEBHOOKS)
        await connection.execute(FILL_EVENTS, EVENTS)
        await connection.execute("vacuum analyze")
        yield connection
        await connection.close()


class TestListings:
    async def test_a_page_of_deliveries_reads_so_many(self, crowded: Connection):
        webhook = await crowded.fetchval("select id from headrace.webhooks limit 1")
        for before in (None, EVENTS * WEBHOOKS // 2):
            found = await explain(crowded, "webhooks.list_deliveries", webhook, before, 31)
            assert found["outbox"].ways == {"outbox_of_webhook"}
            assert found["outbox"].rows <= 31
