"""Operations while the database cannot be reached, and when its answers are lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from headrace.errors import DatabaseUnavailableError
from headrace.reliability.hub import Hub
from headrace.reliability.operations import KEEP, Grant, Operations, Settled
from headrace.store.idempotency import OperationRecord, Wanted, list_operations
from headrace.store.pool import Pool, connect
from tests.engine_rows import Rows
from tests.proxy import Proxy, proxy_to
from tests.waiting import eventually

CHARGE = Wanted(tenant="acme", key="order-42", operation="charge", input_hash=b"500")
PAID = Settled('"paid"', None, None)


class Remote:
    """A process whose way to the database goes through a proxy."""

    def __init__(self, proxy: Proxy, rows: Rows, operations: Operations) -> None:
        self.proxy, self.rows, self.operations = proxy, rows, operations

    async def begin(self, worker: int | None = None) -> Grant | Settled:
        wanted = replace(CHARGE, worker=worker)
        return await self.operations.begin(wanted, wait=timedelta(0), is_void=lambda: False)

    async def take(self) -> Grant:
        """Begin, and have it."""
        grant = await self.begin()
        assert isinstance(grant, Grant)
        return grant

    async def prepare(self) -> None:
        """Have the statements prepared: that has answers of its own."""
        await self.complete(await self.take())
        await self.rows.connection.execute("delete from headrace.operations")

    async def complete(self, grant: Grant) -> None:
        await self.operations.complete(grant, keep=KEEP, output='"paid"')

    async def record(self) -> OperationRecord | None:
        """What the database says, asked past the proxy."""
        return next(iter(await list_operations(self.rows.connection)), None)

    async def has_ended(self) -> bool:
        record = await self.record()
        return record is not None and record.state == "completed"


@pytest.fixture
async def remote(database: str) -> AsyncIterator[Remote]:
    async with proxy_to(database) as proxy, Pool(proxy.address, largest=1) as pool:
        rows = await Rows.open(database)
        hub = Hub(partial(connect, proxy.address))
        operations = Operations(pool, hub)
        yield Remote(proxy, rows, operations)
        await operations.close()
        await hub.close()
        await rows.close()


class TestOutage:
    async def test_an_outcome_waits_until_the_database_is_back(self, remote: Remote):
        """Also when the step that made it is cut off meanwhile: its next try finds it."""
        grant = await remote.take()
        remote.proxy.refuse()
        remote.proxy.cut()
        storing = asyncio.create_task(remote.complete(grant))
        await eventually(lambda: grant.storing is not None)
        storing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await storing
        remote.proxy.accept()
        await eventually(remote.has_ended)
        assert await remote.begin() == PAID

    async def test_a_key_that_could_not_be_released_is_free_when_it_is_back(self, remote: Remote):
        grant = await remote.take()
        remote.proxy.refuse()
        remote.proxy.cut()
        releasing = asyncio.create_task(remote.operations.release(grant))
        await eventually(lambda: grant.storing is not None)
        remote.proxy.accept()
        await releasing
        assert isinstance(await remote.begin(), Grant)
        record = await remote.record()
        assert record is not None
        assert record.takeovers == 0

    async def test_a_step_waits_for_it(self, remote: Remote):
        worker = await remote.rows.worker()
        remote.proxy.refuse()
        remote.proxy.cut()
        beginning = asyncio.create_task(remote.begin(worker))
        await asyncio.wait({beginning}, timeout=0.3)
        assert not beginning.done()
        remote.proxy.accept()
        assert isinstance(await beginning, Grant)

    async def test_others_are_told_of_it(self, remote: Remote):
        remote.proxy.refuse()
        remote.proxy.cut()
        with pytest.raises(DatabaseUnavailableError):
            await remote.begin()
        remote.proxy.accept()


class TestLostAnswers:
    async def test_an_outcome_whose_commit_was_not_answered_is_no_refusal(self, remote: Remote):
        await remote.prepare()
        grant = await remote.take()
        remote.proxy.hold_answers()
        storing = asyncio.create_task(remote.complete(grant))
        await eventually(remote.has_ended)
        remote.proxy.cut()
        remote.proxy.speak()
        await storing
        assert await remote.begin() == PAID

    async def test_a_key_whose_taking_was_not_answered_is_free_again(self, remote: Remote):
        await remote.prepare()
        remote.proxy.hold_answers()
        beginning = asyncio.create_task(remote.begin())
        await eventually(remote.record)
        remote.proxy.cut()
        remote.proxy.speak()
        with pytest.raises(DatabaseUnavailableError):
            await beginning
        assert isinstance(await remote.begin(), Grant)
        record = await remote.record()
        assert record is not None
        assert record.takeovers == 0
