from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from headrace.broker.postgres import PostgresBroker
from headrace.store.connections import Connections
from headrace.store.pool import connect
from tests.waiting import eventually


@pytest.fixture
async def heard(database: str) -> AsyncIterator[list[str]]:
    """The queues that were rung for, in order."""
    heard: list[str] = []
    listener = await asyncpg.connect(database)
    await listener.add_listener("headrace_jobs", lambda *found: heard.append(found[3]))
    yield heard
    await listener.close()


class Gate:
    """Counts the rings that are sent, and holds them back while it is closed."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.sent = 0
        self.at_once = 0
        self.most_at_once = 0


def gated(gate: Gate) -> type[asyncpg.Connection[asyncpg.Record]]:
    class Gated(asyncpg.Connection):  # type: ignore[type-arg]
        async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:
            gate.sent += 1
            gate.at_once += 1
            gate.most_at_once = max(gate.most_at_once, gate.at_once)
            await gate.open.wait()
            try:
                return str(await super().execute(query, *args, timeout=timeout))
            finally:
                gate.at_once -= 1

    return Gated


@pytest.fixture
async def gate() -> Gate:
    return Gate()


@pytest.fixture
async def broker(database: str, gate: Gate) -> AsyncIterator[PostgresBroker]:
    connections = Connections(lambda: asyncpg.connect(database, connection_class=gated(gate)))
    broker = PostgresBroker(connections)
    yield broker
    gate.open.set()
    await broker.close()
    await connections.close()


class TestRing:
    async def test_it_reaches_listeners(self, broker: PostgresBroker, heard: list[str]) -> None:
        broker.ring("default")
        await eventually(lambda: heard == ["default"])

    async def test_many_at_once_are_two(
        self, broker: PostgresBroker, gate: Gate, heard: list[str]
    ) -> None:
        gate.open.clear()
        broker.ring("default")
        await eventually(lambda: gate.sent == 1)
        for _ in range(100):
            broker.ring("default")
        gate.open.set()
        await eventually(lambda: heard == ["default"] * 2)
        await broker.close()
        assert (gate.sent, gate.most_at_once) == (2, 1)

    async def test_each_queue_is_rung_for(self, broker: PostgresBroker, heard: list[str]) -> None:
        for queue in ("a", "b", "a"):
            broker.ring(queue)
        await eventually(lambda: sorted(heard) == ["a", "b"])


class TestCarriedRings:
    async def test_the_first_is_carried_and_the_rest_follow_as_one(
        self, broker: PostgresBroker, gate: Gate, heard: list[str]
    ) -> None:
        assert broker.carry("default")
        assert not broker.carry("default")
        assert broker.carry("other")
        broker.settle("default", carried=False)
        broker.settle("default", carried=False)
        assert gate.sent == 0
        broker.settle("default", carried=True)
        await eventually(lambda: heard == ["default"])
        assert gate.sent == 1

    async def test_one_alone_is_followed_by_none(self, broker: PostgresBroker, gate: Gate) -> None:
        for _ in range(3):
            assert broker.carry("default")
            broker.settle("default", carried=True)
        await broker.close()
        assert gate.sent == 0

    async def test_jobs_stored_while_a_ring_is_sent_get_another(
        self, broker: PostgresBroker, gate: Gate, heard: list[str]
    ) -> None:
        gate.open.clear()
        broker.ring("default")
        await eventually(lambda: gate.sent == 1)
        assert not broker.carry("default")
        broker.settle("default", carried=False)
        gate.open.set()
        await eventually(lambda: heard == ["default"] * 2)


class TestClose:
    async def test_rings_that_are_due_are_sent_before(
        self, broker: PostgresBroker, heard: list[str]
    ) -> None:
        broker.ring("default")
        await broker.close()
        await eventually(lambda: heard == ["default"])

    async def test_a_database_that_is_gone_costs_only_the_ring(self, tmp_path: object) -> None:
        address = f"postgresql://postgres@/x?host={tmp_path}"
        connections = Connections(lambda: connect(address))
        broker = PostgresBroker(connections)
        broker.ring("default")
        await broker.close()
        await connections.close()
