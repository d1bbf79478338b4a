"""Many sessions make the machine's moves at the same time: here the locks have to hold.

The state machine tries orders of moves; this tries their overlaps, which only real sessions have.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

import pytest

from headrace.store.sql import SQL
from tests.proof.checker import check
from tests.proof.database import Change, Changed, Database, Held, Texts
from tests.proof.evidence import Expectations, collect
from tests.proof.violation import Violation

SESSIONS: Final = 8
MOVES: Final = 300
JOBS: Final = 12
ALIVE: Final = 4
LATER_S: Final = 3_600.0
# Nothing here counts tries: what is looked for are writes past a lock.
EXPECT: Final = Expectations(attempts=lambda _pipeline, _step: 1_000_000)
DRAINED: Final = Expectations(drained=True, settled=True, attempts=EXPECT.attempts)


class Crowd:
    """What the sessions know together: jobs, workers, and whoever believes to hold a job."""

    def __init__(self, address: str, texts: Texts, seed: int) -> None:
        self._address, self._texts, self._seed = address, texts, seed
        self.jobs: list[UUID] = []
        self.workers: list[int] = []
        self.held: list[Held] = []
        self.number = 0

    async def rush(self) -> list[Violation]:
        """Let all sessions loose, and look at what they leave; then bring everything to its end."""
        sessions = [await Database.open(self._address, self._texts) for _ in range(SESSIONS)]
        try:
            await sessions[0].reset()
            for number, session in enumerate(sessions):
                session.lane, session.first_job = sessions[0].lane, number * 1_000_000
            self.jobs += await sessions[0].submit(JOBS)
            self.workers += [await sessions[0].start_worker() for _ in range(ALIVE)]
            await asyncio.gather(
                *(
                    Session(self, session, f"{self._seed} {i}").run()
                    for i, session in enumerate(sessions)
                )
            )
            found = check(await collect(sessions[0].connection, EXPECT))
            await self._drain(sessions[0])
            return [*found, *check(await collect(sessions[0].connection, DRAINED))]
        finally:
            for session in sessions:
                session.connection.terminate()

    async def _drain(self, session: Database) -> None:
        await session.shift(LATER_S)
        await session.lose_workers()
        worker = await session.start_worker()
        while await session.orphans():
            await take_back(session, worker)
        for hour in range(2, 12):
            await session.shift(LATER_S * hour)
            await session.renew(worker)
            await session.run("claims.promote_due", 1_000)
            for suspects in (True, False):
                for held in await session.claim(worker, 1_000, suspects=suspects):
                    await session.change(Change(held, end=("cancelled", None)))
        await session.connection.execute("delete from headrace.claims where worker = $1", worker)
        await session.connection.execute("delete from headrace.progress")


class Session:
    """One session, making one move after another."""

    def __init__(self, crowd: Crowd, database: Database, seed: str) -> None:
        self._crowd, self._database = crowd, database
        self._dice = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._moves: list[Callable[[], Awaitable[object]]] = [
            *[self.claim] * 4, *[self.checkpoint] * 6, *[self.finish] * 2, *[self.change] * 4,
            self.submit, self.cancel, self.reopen, self.die, self.recover, self.recover, self.renew,
        ]  # fmt: skip

    async def run(self) -> None:
        for _ in range(MOVES):
            await self._dice.choice(self._moves)()

    def some(self) -> list[Held]:
        """A few jobs of one holder, who may have lost them."""
        held = self._crowd.held[-40:]
        if not held:
            return []
        first = self._dice.choice(held)
        mine = {other.job: other for other in held if other.worker == first.worker}
        mine[first.job] = first
        return self._dice.sample(list(mine.values()), min(len(mine), self._dice.randint(1, 4)))

    def fresh(self) -> str:
        self._crowd.number += 1
        return str(self._crowd.number)

    async def submit(self) -> None:
        self._crowd.jobs += await self._database.submit(3)

    async def claim(self) -> None:
        suspects = self._dice.random() < 0.3
        worker = self._dice.choice(self._crowd.workers[-ALIVE:])
        self._crowd.held += await self._database.claim(worker, 3, suspects=suspects)

    async def checkpoint(self) -> None:
        if group := self.some():
            rows = [(held, f"step {self.fresh()}", "", "1") for held in group]
            await self._database.checkpoint(group[0].worker, rows)

    async def finish(self) -> None:
        if group := self.some():
            await self._database.finish(group[0].worker, group, self.fresh())

    async def change(self) -> None:
        for held in self.some()[:1]:
            step = f"step {self.fresh()}"
            change = Change(held, steps=[(step, "", "completed", "1")])
            if held.suspicion:
                change.starts.append((step, ""))
            if self._dice.random() < 0.5:
                change.tries.append((step, "", 1, 0.0))
                change.release = (0.0, "retry")
            await self._database.change(change)

    async def cancel(self) -> None:
        await self._database.cancel(self._dice.choice(self._crowd.jobs))

    async def reopen(self) -> None:
        await self._database.reopen(self._dice.choice(self._crowd.jobs))

    async def renew(self) -> None:
        await self._database.renew(self._dice.choice(self._crowd.workers))

    async def die(self) -> None:
        """The lease of a worker is over, and another worker comes."""
        await self._database.connection.execute(
            "update headrace.workers set expires_at = headrace.now() where id = $1",
            self._dice.choice(self._crowd.workers[-ALIVE:]),
        )
        self._crowd.workers.append(await self._database.start_worker())

    async def recover(self) -> None:
        await self._database.lose_workers()
        await take_back(self._database, self._crowd.workers[-1])


async def take_back(database: Database, reaper: int) -> None:
    for token in await database.orphans():
        await database.recover(token, reaper)
        await database.forget(token)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [1, 2])
async def test_no_overlap_of_moves_gets_past_a_lock(proof_database: str, seed: int) -> None:
    assert await Crowd(proof_database, SQL, seed).rush() == []


@pytest.mark.timeout(300)
async def test_a_fence_that_compares_and_does_not_lock_is_caught(proof_database: str) -> None:
    unlocked = ("for no key update of job skip locked", "")
    texts = Changed({"ledger.checkpoint_steps": unlocked})
    for seed in range(20):
        found = await Crowd(proof_database, texts, seed).rush()
        if any(violation.invariant == "I5" for violation in found):
            return
    pytest.fail("20 rushes without a fence that locks, and nothing was found")
