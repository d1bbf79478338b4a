import asyncio

import asyncpg
import pytest

from headrace import Headrace
from headrace.errors import (
    IdempotencyKeyReusedError,
    OptionError,
)
from tests.client.pipes import Idea, decide, urgent
from tests.engine_rows import Rows

IDEA = Idea("a mill")


class TestCallersTransaction:
    async def test_the_job_exists_if_and_only_if_the_transaction_commits(
        self, app: Headrace, rows: Rows, database: str
    ) -> None:
        connection = await asyncpg.connect(database)
        transaction = connection.transaction()
        await transaction.start()
        handle = await app.submit(decide, IDEA, connection=connection)
        many = await app.submit_many(decide, [IDEA, IDEA], connection=connection)
        assert await rows.count("jobs") == 0
        await transaction.commit()
        assert {job.id for job in (await app.list_jobs()).items} == {
            handle.id, *(other.id for other in many),
        }  # fmt: skip
        transaction = connection.transaction()
        await transaction.start()
        await app.submit(decide, IDEA, connection=connection)
        await transaction.rollback()
        assert await rows.count("jobs") == 3
        await connection.close()

    async def test_workers_are_woken_when_it_commits(
        self, app: Headrace, rows: Rows, database: str
    ) -> None:
        heard: asyncio.Queue[str] = asyncio.Queue()
        listener = await asyncpg.connect(database)
        await listener.add_listener("headrace_jobs", lambda *found: heard.put_nowait(found[3]))
        async with rows.connection.transaction():
            await app.submit(decide, IDEA, connection=rows.connection)
        assert await asyncio.wait_for(heard.get(), 5) == "default"
        async with rows.connection.transaction():
            await app.submit(decide, IDEA, connection=rows.connection, ring=False)
            await rows.connection.execute("select pg_notify('headrace_jobs', 'end')")
        assert await asyncio.wait_for(heard.get(), 5) == "end"
        await listener.close()

    async def test_a_refused_key_leaves_the_transaction_usable(
        self, app: Headrace, rows: Rows
    ) -> None:
        await app.submit(decide, IDEA, idempotency_key="k")
        async with rows.connection.transaction():
            with pytest.raises(IdempotencyKeyReusedError):
                await app.submit_many(
                    decide,
                    [IDEA, Idea("dam")],
                    idempotency_keys=["new", "k"],
                    connection=rows.connection,
                )
            await app.submit(decide, IDEA, idempotency_key="other", connection=rows.connection)
        assert await rows.count("jobs") == 2

    async def test_a_pipeline_stays_registered_when_it_is_rolled_back(
        self, app: Headrace, rows: Rows
    ) -> None:
        transaction = rows.connection.transaction()
        await transaction.start()
        await app.submit(urgent, 1, connection=rows.connection)
        await transaction.rollback()
        await app.submit(urgent, 2)
        assert (await app.list_queues())[-1].depth == 1

    async def test_an_unknown_kind_of_connection_is_refused(self, app: Headrace) -> None:
        with pytest.raises(OptionError, match="connection"):
            await app.submit(decide, IDEA, connection=object())
