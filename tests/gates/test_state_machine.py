"""Whatever moves are made, limits and orders hold and nobody waits at an open gate; and the machine
notices where that is not so.

HEADRACE_PROOF_EXAMPLES sets how many orders are tried.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.gates.database import GatedDatabase
from tests.gates.machine import Broken, Machine

EXAMPLES: Final = int(os.environ.get("HEADRACE_PROOF_EXAMPLES", "4"))
PROVE: Final = settings(
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
# A fixed seed, and no time spent on the smallest example: that one is found is what counts.
BREAK: Final = settings(
    PROVE, max_examples=200, derandomize=True, database=None, phases=[Phase.generate]
)

Run = Callable[[tuple[str, str, str] | None, settings], None]


@pytest.fixture
def run(gates_database: str) -> Iterator[Run]:
    """Runs the machine, where that is asked for with a function of the database changed."""
    loop = asyncio.new_event_loop()
    gates = loop.run_until_complete(GatedDatabase.open(gates_database))
    restored: list[str] = []

    def run_with(change: tuple[str, str, str] | None, how: settings) -> None:
        if change is not None:
            name, old, new = change
            text = loop.run_until_complete(
                gates.connection.fetchval(
                    "select pg_get_functiondef(oid) from pg_proc where proname = $1", name
                )
            )
            assert old in text, f"{name} no longer holds {old!r}"
            restored.append(text)
            loop.run_until_complete(gates.connection.execute(text.replace(old, new)))
        bound = type("BoundMachine", (Machine,), {"gates": gates, "loop": loop})
        run_state_machine_as_test(bound, settings=how)

    yield run_with
    for text in restored:
        loop.run_until_complete(gates.connection.execute(text))
    loop.run_until_complete(gates.connection.close())
    loop.close()


@pytest.mark.timeout(600)
def test_gates_hold_after_any_moves(run: Run) -> None:
    run(None, PROVE)


class TestSabotage:
    """What the machine is worth: each of these databases has to be caught."""

    def test_a_claim_that_looks_at_no_order_is_caught(self, run: Run) -> None:
        change = ("claim_gated", "then candidate.order_gate", "then null")
        with pytest.raises(Broken, match="runs before"):
            run(change, BREAK)

    def test_a_claim_that_counts_no_turns_at_a_key_is_caught(self, run: Run) -> None:
        change = ("claim_gated", "turn.at_key <= turn.key_room", "true")
        with pytest.raises(Broken, match=r"'key', .* may"):
            run(change, BREAK)

    def test_slots_that_do_not_count_are_caught(self, run: Run) -> None:
        change = ("claim_gated", "claimed.id, claimed.token\n", "claimed.id, claimed.token - 1\n")
        with pytest.raises(Broken, match="may"):
            run(change, BREAK)

    def test_a_head_that_is_not_woken_is_caught(self, run: Run) -> None:
        change = ("wake_head", "exit when head.holds", "return null")
        with pytest.raises(Broken, match="waits for nobody"):
            run(change, BREAK)

    def test_a_key_at_which_nobody_is_woken_is_caught(self, run: Run) -> None:
        change = ("wake_waiting", "exit when free <= 0", "exit when true")
        with pytest.raises(Broken, match="waits at"):
            run(change, BREAK)
