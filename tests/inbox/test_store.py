"""How the tables of the inbox are read, and when their rows go."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from headrace.store.inbox import KEPT, prune_inbox
from headrace.store.pool import connect
from tests.store.plans import explain

FILL = """
insert into headrace.inbox (source, key, message_id, content, received_at)
select 'shop', 'order-' || n, n::text, 'x', headrace.now() - n * interval '1 minute'
from generate_series(1, 5000) as n;
insert into headrace.quarantine (
    fingerprint, message_id, reason, detail, data, attributes, published_at, received_at
)
select
    n::text::bytea, n::text, 'invalid', 'x', 'x', '{}', now(),
    headrace.now() - n * interval '1 minute'
from generate_series(1, 5000) as n;
"""


@pytest.fixture
async def filled(database: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to a database with many messages."""
    connection = await connect(database, name="plans")
    await connection.execute(FILL)
    await connection.execute("vacuum analyze headrace.inbox, headrace.quarantine")
    yield connection
    await connection.close()


class TestPlans:
    @pytest.mark.parametrize(
        ("statement", "arguments", "table", "index", "most"),
        [
            ("inbox.find_key", ("shop", "order-7"), "inbox", "inbox_pkey", 1),
            ("inbox.note_job", ("shop", "order-7", None), "inbox", "inbox_pkey", 1),
            ("inbox.find_quarantined", (7,), "quarantine", "quarantine_pkey", 1),
            (
                "inbox.list_quarantine",
                (None, None, 4_000, 10),
                "quarantine",
                "quarantine_pkey",
                10,
            ),
        ],
    )
    async def test_a_message_is_found_by_its_index(
        self,
        filled: asyncpg.Connection[asyncpg.Record],
        *,
        statement: str,
        arguments: tuple[object, ...],
        table: str,
        index: str,
        most: int,
    ) -> None:
        found = (await explain(filled, statement, *arguments))[table]
        assert (found.ways, found.rows <= most) == ({index}, True)

    async def test_the_source_of_a_message_is_found_by_its_name(
        self, filled: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        await filled.execute("set enable_seqscan = off")
        found = (await explain(filled, "inbox.find_source", "shop"))["inbox_sources"]
        assert found.ways == {"inbox_sources_pkey"}


class TestPruning:
    async def test_what_is_older_than_any_redelivery_goes_page_by_page(
        self, filled: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        assert await prune_inbox(filled) == 0
        minutes = KEPT.total_seconds() / 60
        for table in ("inbox", "quarantine"):
            await filled.execute(
                f"update headrace.{table} set received_at = received_at"  # noqa: S608 - our own
                f" - interval '{minutes - 4_000:g} minutes'"
            )
        removed = []
        while count := await prune_inbox(filled, 400):
            removed.append(count)
        assert removed[0] == 800
        assert sum(removed) in {1_998, 2_000, 2_002}
