"""The statements of operations touch what they are about, however many there are."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest_asyncio

from headrace.store.pool import connect
from tests.store.plans import explain

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

JOB, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)
FILL = """
insert into headrace.operations (
    tenant, key, operation, input_hash, state, holder, token, job, output, created_at, renewed_at,
    completed_at, expires_at
)
select
    'acme', number::text, 'charge', '',
    case when number % 1000 = 0 then 'pending' else 'completed' end, gen_random_uuid(),
    number, $1::uuid,
    case when number % 1000 > 0 then '1' end, now(), now(),
    case when number % 1000 > 0 then now() end,
    case when number % 1000 > 0 then now() + interval '1 day' end
from generate_series(1, 20000) as number
"""


@pytest_asyncio.fixture
async def many(database: str) -> AsyncIterator[Connection]:
    """A connection to a database with many operations."""
    connection = await connect(database, name="plans", settings={"statement_timeout": "60s"})
    await connection.execute(FILL, JOB)
    await connection.execute("analyze headrace.operations")
    yield connection
    await connection.close()


async def test_each_reads_what_it_is_about(many: Connection) -> None:
    key = ("acme", "777")
    holder, nobody = uuid.uuid4(), (None,) * 6
    found = await explain(
        many, "idempotency.begin_operation", *key, "charge", b"", holder, *nobody, "5 min"
    )
    assert found["operations"].ways == {"operations_pkey"}
    assert found["operations"].rows == 1
    for name, arguments in {
        "complete_operation": (777, timedelta(days=1), "1", None),
        "fail_operation": (777, timedelta(hours=1), "{}"),
        "renew_operation": (777,),
        "release_operation": (holder,),
        "await_operation": (),
        "find_operation": (),
    }.items():
        found = await explain(many, f"idempotency.{name}", *key, *arguments)
        assert found["operations"].ways == {"operations_pkey"}, name
        assert found["operations"].rows <= 1, name


async def test_retention_and_the_list_of_a_job_read_no_more_than_they_give(
    many: Connection,
) -> None:
    found = await explain(many, "idempotency.prune_operations", timedelta(days=1), 500)
    assert found["operations"].rows == 0
    assert found["operations"].ways <= {
        "operations_expiry", "operations_pending", "operations_pkey",
    }  # fmt: skip
    found = await explain(many, "idempotency.list_job_operations", None, None, 100, OTHER)
    assert found["operations"].ways == {"operations_job"}
