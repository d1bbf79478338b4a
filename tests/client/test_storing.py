from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from headrace import Headrace
from headrace.broker.postgres import PostgresBroker
from headrace.client import Client
from headrace.client.submission import Limits
from headrace.errors import (
    DatabaseUnavailableError,
    InputError,
)
from headrace.store.connections import Connections
from tests.client.pipes import Idea, decide
from tests.engine_rows import Rows

IDEA = Idea("a mill")


class Forgetful(asyncpg.Connection):  # type: ignore[type-arg]
    """A connection that breaks at the next insert: `before` it reaches the server, or `after`."""

    breaks: str | None = None

    async def fetch(self, query: str, *args: object, **options: Any) -> list[asyncpg.Record]:
        when = Forgetful.breaks if "insert into headrace.jobs" in query else None
        if when is None:
            return await super().fetch(query, *args, **options)
        Forgetful.breaks = None
        if when == "after":
            await super().fetch(query, *args, **options)
        self.terminate()
        raise ConnectionResetError


class TestLostReply:
    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize(("count", "keyed"), [(3, False), (600, False), (3, True)])
    async def test_jobs_are_stored_once(
        self, database: str, rows: Rows, when: str, count: int, *, keyed: bool
    ) -> None:
        connections = Connections(lambda: asyncpg.connect(database, connection_class=Forgetful))
        client = Client(connections, PostgresBroker(connections), pipelines=[decide])
        keys = [str(number) for number in range(count)] if keyed else None
        Forgetful.breaks = when
        handles = await client.submit_many(decide, [IDEA] * count, idempotency_keys=keys)
        stored = await rows.connection.fetch("select id from headrace.jobs order by id")
        assert [str(row[0]) for row in stored] == [handle.id for handle in handles]
        assert await rows.count("queued") == count
        assert Forgetful.breaks is None
        await client.close()

    async def test_a_server_that_is_not_there_is_said_to_be(self, tmp_path: object) -> None:
        nowhere = Headrace([decide], database=f"postgresql://postgres@/x?host={tmp_path}")
        with pytest.raises(DatabaseUnavailableError):
            await nowhere.submit(decide, IDEA)
        await nowhere.close()


class TestLimits:
    async def test_the_settings_limit_and_rank(self, database: str, rows: Rows) -> None:
        connections = Connections(lambda: asyncpg.connect(database))
        client = Client(
            connections,
            PostgresBroker(connections),
            pipelines=[decide],
            limits=lambda: Limits(timedelta(seconds=1), 100),
        )
        handle = await client.submit(decide, IDEA)
        job = await rows.job(UUID(handle.id))
        assert job["due_at"] - job["rank"] == timedelta(seconds=5)
        with pytest.raises(InputError, match="at most 100"):
            await client.submit(decide, Idea("é" * 60))
        with pytest.raises(InputError, match=r"\$\[1\]: it takes"):
            await client.submit_many(decide, [IDEA, Idea("é" * 60)])
        await client.close()
