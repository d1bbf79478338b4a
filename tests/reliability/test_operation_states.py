"""The statements of operations against a model, for any order of what may happen."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from headrace.store.databases import fresh_database
from headrace.store.pool import connect
from tests.reliability.operation_machine import OperationMachine

EXAMPLES: Final = int(os.environ.get("HEADRACE_PROOF_EXAMPLES", "25"))
HOW: Final = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(600)
def test_an_operation_keeps_to_its_rules_after_any_moves(database_server: str, template: str):
    loop = asyncio.new_event_loop()

    async def prepare() -> AsyncIterator[object]:
        async with fresh_database(database_server, template) as address:
            connection = await connect(address, name="machine")
            yield connection
            await connection.close()

    prepared = prepare()
    connection = loop.run_until_complete(anext(prepared))
    try:
        bound = type("Bound", (OperationMachine,), {"connection": connection, "loop": loop})
        run_state_machine_as_test(bound, settings=HOW)
    finally:
        loop.run_until_complete(prepared.aclose())  # type: ignore[attr-defined]
        loop.close()
