"""A database in which everything is in order, to be broken by the tests of the checker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from tests.proof.checker import check
from tests.proof.database import Change, Database, Held
from tests.proof.effects import Effect, Kind, Mark
from tests.proof.evidence import Evidence, Expectations, collect
from tests.proof.journal import Request, hash_of
from tests.proof.results import FAILED

DRAINED: Final = Expectations(drained=True, settled=True)
BODY: Final = hash_of('{"n": 1}')
PLAN: Final = '[["a",1],["b",2]]'


@dataclass
class World:
    """A database in which everything is in order, with the other two witnesses.

    Attributes:
        done: A fan-out of two items and a last step; completed.
        failed: Failed after one try.
        cancelled: Cancelled before it ran.
        lost: Taken from a dead worker, then completed.
    """

    engine: Database
    worker: int
    done: UUID
    failed: UUID
    cancelled: UUID
    lost: UUID
    effects: list[Effect]

    async def evidence(self, expect: Expectations = DRAINED) -> Evidence:
        """Everything as it is now."""
        evidence = await collect(self.engine.connection, expect)
        jobs = [
            Request(outcome="ok", pipeline="proof", body=BODY, job=str(job))
            for job in (self.done, self.failed, self.cancelled, self.lost)
        ]
        return replace(evidence, journal=jobs, effects=list(self.effects))

    async def found(self, expect: Expectations = DRAINED) -> set[str]:
        """The invariants that the checker finds broken."""
        return {violation.invariant for violation in check(await self.evidence(expect))}

    async def plant(self, sql: str, *arguments: object) -> None:
        """Change rows behind the back of the triggers."""
        connection = self.engine.connection
        await connection.execute("set session_replication_role = replica")
        await connection.execute(sql, *arguments)
        await connection.execute("set session_replication_role = origin")

    async def fail_item(self, job: UUID, item: str) -> None:
        """Make a completed item of the fan-out one that failed, as what followed it saw it."""
        await self.plant(
            """
            insert into headrace.tries (
                job, run, step, item, attempt, worker, token, latency_us, failed_at, class, code,
                message
            )
            select
                job, run, step, item, 1, worker, token, 1, finished_at, 'permanent', 'ValueError',
                ''
            from headrace.steps where job = $1 and item = $2
            """,
            job,
            item,
        )
        await self.plant(
            """
            update headrace.steps set state = 'failed', output = '{"code":"ValueError"}'
            where job = $1 and item = $2
            """,
            job,
            item,
        )
        self.effects = [
            replace(effect, saw={"each": ["A", FAILED]}) if effect.saw else effect
            for effect in self.effects
        ]

    async def hold(self) -> Held:
        """One more job, in the worker's hands."""
        await self.engine.submit()
        return (await self.engine.claim(self.worker))[0]


async def make_world(engine: Database) -> World:
    """Fill an empty database."""
    dead, worker = await engine.start_worker(), await engine.start_worker()
    (lost,) = await engine.submit()
    await engine.claim(dead)
    await engine.shift(31)
    await engine.renew(worker)
    assert await engine.lose_workers() == [dead]
    for token in await engine.orphans():
        await engine.recover(token, worker)
        await engine.forget(token)
    (again,) = await engine.claim(worker)
    await engine.finish(worker, [again], '"lost"')

    (done,) = await engine.submit()
    (held,) = await engine.claim(worker)
    effects = [
        effect_of(held, "start", "each", "a"),
        effect_of(held, "end", "each", "a", mark="A"),
        effect_of(held, "start", "each", "b"),
        effect_of(held, "end", "each", "b", mark="B"),
    ]
    await engine.change(Change(held, steps=[("each", "", "planned", PLAN)]))
    await engine.checkpoint(worker, [(held, "each", "a", '"A"'), (held, "each", "b", '"B"')])
    effects += [
        effect_of(held, "start", "last", saw={"each": ["A", "B"]}),
        effect_of(held, "end", "last", mark="L"),
        effect_of(again, "end", "last", mark="lost"),
    ]
    await engine.finish(worker, [held], '"L"')

    (failed,) = await engine.submit()
    (held,) = await engine.claim(worker)
    await engine.change(
        Change(held, tries=[("last", "", 1, None)], end=("failed", "attempts_exhausted"))
    )
    (cancelled,) = await engine.submit(wait_s=60)
    await engine.cancel(cancelled)
    await engine.connection.execute("delete from headrace.claims")
    return World(engine, worker, done, failed, cancelled, lost, effects)


def effect_of(
    held: Held,
    kind: Kind,
    step: str,
    item: str = "",
    *,
    mark: str | None = None,
    saw: Mapping[str, Mark] | None = None,
) -> Effect:
    """A line that a step of this holder writes now."""
    return Effect(
        kind=kind, job=str(held.job), run=held.run, step=step, item=item, attempt=1,
        token=held.token, mark=mark, saw=saw or {},
    )  # fmt: skip
