"""A worker process dies with the only slot, and before it lets the next job in."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from headrace.testing import Engine
from tests.gates.mortal import ALL, narrow

MakeEngine = Callable[..., Engine]


@pytest.fixture
def make_engine(database_server: str) -> MakeEngine:
    """Makes an engine on the server of this test run."""
    return functools.partial(Engine, server=database_server)


@pytest.mark.parametrize("point", ["claim.after_commit", "ledger.finish.after_commit"])
async def test_its_slot_and_its_key_are_free_again(make_engine: MakeEngine, point: str):
    async with make_engine(ALL) as engine:
        jobs = [await engine.submit(narrow, number, ordering_key="a") for number in range(3)]
        await engine.crash_at(point, app="tests.gates.mortal:ALL")
        await engine.run_until_empty()
        assert [await job.result() for job in jobs] == [0, 1, 2]
        started = [(await engine.app.status(job.id)).started_at for job in jobs]
        async with engine.connection() as connection:
            used = await connection.fetchval(
                "select headrace.slots_used(headrace.gate('pipeline', 'narrow'))"
            )
    assert started == sorted(started)
    assert used == 0
