"""Runs a state machine over the statements of a primitive, on a database of its own."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from headrace.store.databases import fresh_database
from headrace.store.pool import connect


def try_any_moves(
    machine: type[RuleBasedStateMachine], server: str, template: str, *, examples: int
) -> None:
    """Make any moves, in any order; a rule or an invariant of the machine says what is wrong.

    Args:
        machine: It finds its `connection` and the `loop` of that in its class.
        server: Where its database is made.
        template: What that is a copy of.
        examples: How many orders are tried, unless HEADRACE_PROOF_EXAMPLES says.
    """
    how = settings(
        max_examples=int(os.environ.get("HEADRACE_PROOF_EXAMPLES", examples)),
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    with asyncio.Runner() as runner:
        opened = fresh_database(server, template)
        address = runner.run(opened.__aenter__())
        connection: Any = runner.run(connect(address, name="machine"))
        try:
            bound = {"connection": connection, "loop": runner.get_loop()}
            run_state_machine_as_test(type("Bound", (machine,), bound), settings=how)
        finally:
            runner.run(connection.close())
            runner.run(opened.__aexit__(None, None, None))
