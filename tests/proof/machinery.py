"""What every move of the machine is made of: it acts, and the answer has to be the model's."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from tests.proof.checker import check
from tests.proof.database import Change, Database, Held
from tests.proof.evidence import Expectations, collect
from tests.proof.model import Key, Model

T = TypeVar("T")

PICK: Final = st.integers(0, 1_000)
STEPS: Final = st.sampled_from(["first", "second"])


class Mismatch(AssertionError):  # noqa: N818 - it is an assertion that failed
    """The tables are not as they should be."""


class Machinery(RuleBasedStateMachine):
    """The machine without its moves; `engine` and `loop` are given by the test."""

    engine: Database
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.ahead = 0.0
        self.counter = 0
        self.sound = True

    @invariant()
    def everything_holds(self) -> None:
        self.examine(Expectations())
        self.sound = True

    # --- helpers ----------------------------------------------------------------------------------

    def take_back(self, token: int) -> None:
        rows = {row["id"]: row["state"] for row in self.do(self.engine.recover(token, 0))}
        lost = {
            job_id: job
            for job_id, job in self.model.jobs.items()
            if job.state == "running" and job.token == token
        }
        self.agree(rows, {job_id: self.model.recovered(job) for job_id, job in lost.items()})

    def change(self, change: Change, expected: str) -> bool:
        """Run a transaction of the ledger; tells whether the fence has let it through."""
        held = change.held
        accepts = self.model.accepts(held)
        moved = self.do(self.engine.change(change))
        if accepts and expected != "running":
            expected = self.model.ended(held, expected)
        self.agree(moved, expected if accepts else None)
        return accepts

    def any_worker(self, pick: int) -> int:
        """A worker; mostly one that is alive."""
        alive = pick % 5 or not self.model.dead
        return self.one_of(
            self.model.alive if alive and self.model.alive else self.model.dead, pick
        )

    def any_holder(self, pick: int) -> Held:
        """Somebody who believes to hold a job; mostly he does."""
        current = [held for held in self.model.held if self.model.accepts(held)]
        return self.one_of(current if pick % 4 and current else self.model.held, pick)

    def watched(self) -> list[Held]:
        return [held for held in self.model.held if held.suspicion]

    def lacks(self, held: Held, key: Key) -> bool:
        return key not in self.model.jobs[held.job].stored

    def group(self, pick: int, count: int) -> list[Held]:
        """Some of what one worker believes to hold, each job once."""
        first = self.any_holder(pick)
        mine = {held.job: held for held in self.model.held if held.worker == first.worker}
        mine[first.job] = first
        return list(mine.values())[-count:]

    def fresh(self) -> str:
        self.counter += 1
        return str(self.counter)

    def examine(self, expect: Expectations) -> None:
        evidence = self.do(collect(self.engine.connection, expect))
        found = [*map(str, check(evidence)), *self.model.compare(evidence)]
        if found:
            raise Mismatch("\n".join(found))

    def agree(self, actual: object, expected: object) -> None:
        if actual != expected:
            evidence = self.do(collect(self.engine.connection))
            found = "\n".join(map(str, check(evidence)))
            raise Mismatch(f"came back: {actual}\nexpected:  {expected}\n{found}")

    def one_of(self, choices: Iterable[T], pick: int) -> T:
        ordered = sorted(choices) if isinstance(choices, set) else list(choices)
        return ordered[pick % len(ordered)]

    def do(self, move: Coroutine[Any, Any, T]) -> T:
        self.sound = False
        return self.loop.run_until_complete(move)
