"""The state of the whole service in one row."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headrace import PermanentError, Pipeline
from headrace.store.signals import STATES, Signals, read_signals
from headrace.testing import Engine
from tests.waiting import eventually

plain = Pipeline("plain", input=int, output=int)


@plain.step
async def same(number: int) -> int:
    return number


failing = Pipeline("failing", input=int, output=int, queue="slow")


@failing.step
async def refuse(number: int) -> int:
    raise PermanentError(f"{number} is refused")


@pytest.fixture
def engine(database_server: str) -> Engine:
    return Engine([plain, failing], server=database_server)


async def signals_of(engine: Engine) -> Signals:
    async with engine.connection() as connection:
        return await read_signals(connection)


async def is_served(engine: Engine) -> bool:
    return (await signals_of(engine)).depth["default", "unclaimable"] == 0


async def test_an_empty_service_has_nothing(engine: Engine):
    async with engine:
        signals = await signals_of(engine)
    assert signals.depth == {}
    assert (signals.workers, signals.dead_letters) == (0, 0)
    assert signals.heartbeat_age_s is signals.dead_letter_age_s is None


async def test_what_is_due_waits_and_cannot_be_run_is_counted_by_queue(engine: Engine):
    async with engine:
        await engine.submit_many(plain, [1, 2])
        await engine.submit(plain, 3, due=timedelta(hours=1))
        await engine.submit(failing, 4)
        await engine.app.pause_queue("slow", reason="a test", actor="tests")
        await engine.move_clock(timedelta(seconds=30))
        signals = await signals_of(engine)
    counts = {queue: [signals.depth[queue, state] for state in STATES] for queue in signals.queues}
    assert counts == {"default": [2, 1, 0, 0, 2], "slow": [1, 0, 0, 0, 1]}
    assert 30 <= signals.oldest_age_s["default", "due"] < 60
    assert signals.oldest_age_s["default", "waiting"] == 0
    assert signals.paused == {"slow"}


async def test_workers_what_they_run_and_what_failed_is_counted(engine: Engine):
    async with engine:
        await engine.submit(failing, 4)
        async with engine.worker(queues=["default", "slow"]):
            await engine.run_until_empty()
            await engine.submit(plain, 1)
            signals = await signals_of(engine)
            assert signals.workers == 1
            assert signals.heartbeat_age_s is not None
            await eventually(lambda: is_served(engine))
    assert signals.dead_letters == 1
    assert signals.dead_letter_age_s is not None


async def test_what_a_key_keeps_out_is_counted(engine: Engine):
    async with engine:
        await engine.submit(plain, 1, ordering_key="a", due=timedelta(hours=1))
        await engine.submit(plain, 2, ordering_key="a")
        await engine.submit(plain, 3)
        await engine.run_until_empty()
        signals = await signals_of(engine)
    assert signals.blocked == {"ordering_key": 1, "concurrency_key": 0, "tenant_limit": 0}
    assert [signals.depth["default", state] for state in STATES] == [0, 1, 1, 0, 0]
