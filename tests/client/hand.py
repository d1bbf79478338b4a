"""A job in the hands of a worker, written about by the worker's own statements."""

from __future__ import annotations

from typing import Any

import asyncpg

from headrace import Headrace, JobHandle
from headrace.store.entries import End, Entry, StepRow, TryRow
from headrace.store.groups import GroupConnection
from tests.client.pipes import Decision, Idea, decide
from tests.engine_rows import Rows

IDEA = Idea("a mill", size=2)
WORKER = 1
PLAN = StepRow("review", "", 1, 0, 0, '[["0",0],["1",1]]', "planned")


class Nobody:
    """Whose entries these are."""

    def settled(self, entry: Entry, outcome: object) -> None: ...


class Hand:
    """Writes what a worker would about one job."""

    def __init__(self, rows: Rows, claim: asyncpg.Record) -> None:
        self._groups = GroupConnection(rows.connection, WORKER, 60.0)
        self.claim = claim

    async def write(
        self, *steps: StepRow, tries: tuple[TryRow, ...] = (), end: End | None = None
    ) -> None:
        claim = self.claim
        entry = Entry(claim["id"], claim["token"], claim["run"], Nobody())
        entry.steps = list(steps)
        entry.tries = list(tries)
        entry.move = end
        assert await self._groups.write("change", [entry])

    async def complete(self) -> None:
        await self.write(step("expand", "[0,1]"), step("note", '"x"'), PLAN)
        await self.write(
            step("review", "0", "0"),
            step("review", "2", "1"),
            step("conclude", '{"ok":true}'),
            end=End("completed", "completed", "conclude"),
        )


def step(name: str, output: str | None, item: str = "", **more: Any) -> StepRow:
    return StepRow(name, item, list(decide.steps).index(name), 1, 1500, output, **more)


async def in_hand(app: Headrace, rows: Rows) -> tuple[JobHandle[Decision], Hand]:
    """A job and the hand of the worker that has claimed it."""
    handle = await app.submit(decide, IDEA)
    [claim] = await rows.claim(await rows.worker())
    return handle, Hand(rows, claim)
