"""What a relay asks for, and what a job's change adds, touch what they are about."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

from headrace.store.databases import fresh_database
from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS
from headrace.store.sql import SQL
from tests.store.plans import RUNNING, check, explain, fill

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

pytestmark = pytest.mark.asyncio(loop_scope="module")

RELAY: Final = "00000000-0000-4000-8000-000000000000"
LEASE: Final = "1 minute"
HOSTS: Final = 301


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowded(database_server: str, template: str) -> AsyncIterator[str]:
    """A database with many jobs, and many events that wait."""
    async with fresh_database(database_server, template) as address:
        connection = await connect(address, name="plans", settings={"statement_timeout": "60s"})
        await fill(connection)
        await connection.execute((Path(__file__).parent / "large.sql").read_text())
        await connection.execute("vacuum analyze headrace.outbox, headrace.webhooks")
        await connection.close()
        yield address


@pytest_asyncio.fixture(loop_scope="module")
async def relay(crowded: str) -> AsyncIterator[Connection]:
    connection = await connect(crowded, name="relay", settings=ENGINE_SETTINGS)
    yield connection
    await connection.close()


class TestStatements:
    async def test_a_claim_reads_a_share_of_each_endpoint(self, relay: Connection) -> None:
        found = await explain(
            relay,
            "outbox.claim_webhooks",
            RELAY,
            LEASE,
            "",
            200,
            4,
            ["https://9.example"],
            [4],
            100,
            25,
            ["tenant 9", "tenant 8"],
            [25, 3],
        )
        # The walk stops where the batch is full; each endpoint is one probe, or two.
        check(
            found,
            {
                "outbox": ({"outbox_for_webhooks", "outbox_pkey"}, 800),
                "webhooks": ({"webhooks_pkey"}, 100),
            },
        )

    async def test_a_claim_behind_a_dead_host_does_not_read_what_waits_for_it(
        self, relay: Connection
    ) -> None:
        found = await explain(
            relay,
            "outbox.claim_webhooks",
            RELAY,
            LEASE,
            "https://a",
            200,
            4,
            [],
            [],
            100,
            25,
            [],
            [],
        )
        check(
            found,
            {
                "outbox": ({"outbox_for_webhooks", "outbox_pkey"}, 20),
                "webhooks": ({"webhooks_pkey"}, 4),
            },
        )

    async def test_a_claim_of_messages_reads_a_batch(self, relay: Connection) -> None:
        found = await explain(relay, "outbox.claim_topics", RELAY, LEASE, [], 100)
        check(found, {"outbox": ({"outbox_for_topics", "outbox_of_job", "outbox_pkey"}, 700)})

    async def test_marks_read_their_rows(self, relay: Connection) -> None:
        ids = list(range(40_001, 40_101))
        found = await explain(relay, "outbox.mark_sent", ids, [None] * 100)
        check(found, {"outbox": ({"outbox_pkey"}, 100)})
        found = await explain(relay, "outbox.mark_failed", ids, RELAY, ["no"] * 100, [LEASE] * 100)
        check(found, {"outbox": ({"outbox_pkey"}, 100)})

    async def test_what_is_late_is_one_probe_of_each_endpoint(self, relay: Connection) -> None:
        found = await explain(relay, "outbox.measure_outbox")
        check(found, {"outbox": ({"outbox_for_webhooks", "outbox_waiting"}, HOSTS + 2)})

    async def test_pruning_reads_a_page(self, relay: Connection) -> None:
        found = await explain(relay, "outbox.prune_outbox", 0, "7 days", "30 days", 500)
        check(found, {"outbox": ({"outbox_pkey"}, 1_000)})


class TestTheTrigger:
    @pytest.mark.parametrize("settings", [ENGINE_SETTINGS, {}], ids=["engine", "clients"])
    async def test_a_finish_reads_no_table_to_tell_of_its_jobs(
        self, crowded: str, settings: dict[str, str]
    ) -> None:
        connection = await connect(crowded, name="plans", settings=settings)
        rows = await connection.fetch(RUNNING)
        count = len(rows)
        before = await rows_read(connection)
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            SQL["ledger.finish_jobs"],
            [row["id"] for row in rows], [row["token"] for row in rows], ["last"] * count,
            [1] * count, [1] * count, [1] * count, ["1"] * count, ["last"] * count, 1,
        )  # fmt: skip
        written = await connection.fetchval(
            "select count(*) from headrace.outbox where xmin::text = pg_current_xact_id()::text"
        )
        read = await rows_read(connection) - before
        await transaction.rollback()
        await connection.close()
        assert written > count
        assert {table: rows for table, rows in read.items() if rows > 10 * count} == {}


async def rows_read(connection: Connection) -> Counter[str]:
    """Rows that this session read so far, by table."""
    found = await connection.fetch(
        "select relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) as rows"
        " from pg_stat_xact_user_tables where schemaname = 'headrace'"
        " and relname in ('jobs', 'webhooks', 'tries', 'job_events')"
    )
    return Counter({row["relname"]: row["rows"] for row in found})
