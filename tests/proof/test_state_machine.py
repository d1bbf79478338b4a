"""Every order of moves that the machine thinks of keeps every invariant; a broken engine does not.

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

from headrace.store.sql import SQL
from tests.proof.database import Changed, Database, Texts
from tests.proof.machine import Machine
from tests.proof.machinery import Mismatch

EXAMPLES: Final = int(os.environ.get("HEADRACE_PROOF_EXAMPLES", "30"))
STEPS: Final = 60

PROVE: Final = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
# A fixed seed, and no time spent on the smallest example: that one is found is what counts. Of
# longer lives fewer are needed.
BREAK: Final = settings(
    PROVE,
    max_examples=400,
    stateful_step_count=90,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
)

Run = Callable[[Texts, settings], None]


@pytest.fixture
def run(proof_database: str) -> Iterator[Run]:
    """Runs the machine on the statements that it is given."""
    loop = asyncio.new_event_loop()
    opened: list[Database] = []

    def run_with(texts: Texts, how: settings) -> None:
        engine = loop.run_until_complete(Database.open(proof_database, texts))
        opened.append(engine)
        bound = type("BoundMachine", (Machine,), {"engine": engine, "loop": loop})
        run_state_machine_as_test(bound, settings=how)

    yield run_with
    for engine in opened:
        loop.run_until_complete(engine.connection.close())
    loop.close()


@pytest.mark.timeout(600)
def test_every_invariant_holds_after_any_moves(run: Run) -> None:
    run(SQL, PROVE)


TOKEN: Final = ("job.token = given.token and job.state", "job.state")


class TestSabotage:
    """What the machine is worth: each of these engines has to be caught, by its own invariant."""

    def test_a_ledger_without_its_fence_is_caught(self, run: Run) -> None:
        broken = Changed(
            {
                "ledger.finish_jobs": TOKEN,
                "ledger.checkpoint_steps": TOKEN,
                "ledger.fence_jobs": TOKEN,
            }
        )
        with pytest.raises(Mismatch, match=r"I5: (steps|tries|records|job)"):
            run(broken, BREAK)

    def test_a_recovery_that_charges_nothing_is_caught(self, run: Run) -> None:
        broken = Changed(
            {"recovery.recover_jobs": ("charges = start.charges + 1", "charges = start.charges")}
        )
        with pytest.raises(Mismatch, match="starts"):
            run(broken, BREAK)

    def test_a_claim_that_leaves_its_queue_row_is_caught(self, run: Run) -> None:
        broken = Changed(
            {
                "claims.claim_jobs": (
                    "delete from headrace.queued as entry\n    using picked",
                    "update headrace.queued as entry set ready = false\n    from picked",
                )
            }
        )
        with pytest.raises(Mismatch, match="QUEUE"):
            run(broken, BREAK)
