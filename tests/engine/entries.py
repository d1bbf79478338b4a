"""Running jobs and a ledger for them, without a worker."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from headrace.store.entries import (
    End,
    Entry,
    Outcome,
    Release,
    StepRow,
    TryRow,
)
from headrace.store.ledger import Ledger
from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS
from tests.engine.wire import Executes, Match, commit
from tests.engine_rows import Rows
from tests.waiting import eventually

COMPLETED = End("completed", "completed", "only")
KINDS = ("finish", "checkpoint", "change")


@dataclass
class Claims:
    """Running jobs, a ledger for them, and what it says."""

    rows: Rows
    worker: int
    ledger: Ledger
    told: dict[UUID, list[Outcome]] = field(default_factory=dict)

    def settled(self, entry: Entry, outcome: Outcome) -> None:
        self.told.setdefault(entry.job, []).append(outcome)

    def entry(self, claim: asyncpg.Record, kind: str, output: str = "1") -> Entry:
        """What is written of a job, of a kind that goes its own way through the ledger."""
        entry = Entry(claim["id"], claim["token"], claim["run"], self)
        entry.add_step(StepRow("only", "", 0, 1, 1, output))
        if kind == "finish":
            entry.move = COMPLETED
        elif kind == "change":
            entry.add_try(TryRow("only", "", 1, 1, "unknown", "X", "x", None, 5.0))
            entry.move = Release(5.0, "retry")
        assert entry.kind == kind
        return entry

    async def outcomes(self, claims: Sequence[asyncpg.Record]) -> list[Outcome]:
        """What was said of these jobs; nothing is said twice."""
        await eventually(lambda: all(claim["id"] in self.told for claim in claims), within=30)
        assert all(len(told) == 1 for told in self.told.values())
        return [self.told[claim["id"]][0] for claim in claims]

    async def stored(self) -> dict[UUID, int]:
        """How many outputs each job has."""
        rows = await self.rows.connection.fetch(
            "select job, count(*) from headrace.steps group by 1"
        )
        return dict(tuple(row) for row in rows)


@contextlib.asynccontextmanager
async def claims_on(
    database: str, address: str | None = None, **options: Any
) -> AsyncIterator[Claims]:
    """Running jobs of a worker whose ledger reaches the database at `address`."""
    rows = await Rows.open(database)
    worker = await rows.worker()
    ledger = Ledger(
        lambda: connect(address or database, name="ledger", settings=ENGINE_SETTINGS),
        worker=worker,
        **options,
    )
    ledger.start()
    try:
        yield Claims(rows, worker, ledger)
    finally:
        await ledger.stop()
        await rows.close()


def state_after(kind: str) -> str | None:
    return {"finish": "completed", "checkpoint": None, "change": "queued"}[kind]


def group(kind: str) -> Match:
    """The request that commits a group of this kind."""
    texts = {
        "finish": "as given (id, token, step, position",
        "checkpoint": "as given (id, token, step, item",
    }
    return Executes(texts[kind]) if kind in texts else commit
