"""What the attempts of a worker share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from headrace.reliability.operations import Operations
from headrace.reliability.surroundings import BREAKER_RULES
from headrace.worker.arguments import Clients
from headrace.worker.orphans import Orphans

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

    from headrace.client import Client
    from headrace.reliability.hub import Hub
    from headrace.reliability.locks import Locks
    from headrace.store.breakers import Rules
    from headrace.store.entries import RecordRow
    from headrace.store.pool import Pool
    from headrace.worker.attempt import Attempt
    from headrace.worker.processes import StepProcesses
    from headrace.worker.timing import Timing


LONGEST_CHARACTER: Final = 4
"""Bytes."""


class Artifacts(Protocol):
    """Where outputs lie that are too large for a row."""

    async def read(self, reference: str) -> str:
        """The text that a stored reference stands for, verified by its hash."""

    async def write(self, attempt: Attempt, text: str) -> str:
        """Keep a text and give its reference; an intent row is stored before the bytes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of the work, from the settings.

    Attributes:
        step_timeout_s: Of an attempt whose step says nothing else.
        inline_most: Bytes of an output that are kept in its row.
        fan_out_most: Items of one fan-out.
        max_wait_s: Seconds that a job may wait in all without using attempts.
        ledger_most: Records in one group commit.
        ledger_room: Records that may wait before the work is held back.
        schedule_grace_s: Seconds by which a schedule's slot may be late before it counts as missed.
        breakers: Rules of circuit breakers that say nothing else themselves.
    """

    step_timeout_s: float = 300.0
    inline_most: int = 1 << 20
    fan_out_most: int = 10_000
    max_wait_s: float = 86_400.0
    ledger_most: int = 500
    ledger_room: int = 5_000
    schedule_grace_s: float = 60.0
    breakers: Rules = BREAKER_RULES

    def keeps_inline(self, text: str) -> bool:
        """Whether an output is small enough for its row, counted in bytes of UTF-8."""
        if len(text) * LONGEST_CHARACTER <= self.inline_most:
            return True
        return len(text.encode()) <= self.inline_most


@dataclass(slots=True)
class Engine:
    """The parts that contexts and arguments are made of.

    Attributes:
        pool: Connections for transactions of steps.
        threads: Where plain functions run; as many as the worker runs jobs.
        hub: Tells of changes that other processes make.
        locks: Those of the process.
        store_record: Hands a `once` record to the ledger; done when it is committed.
    """

    worker: int
    loop: asyncio.AbstractEventLoop
    pool: Pool
    client: Client
    artifacts: Artifacts
    hub: Hub
    locks: Locks
    threads: ThreadPoolExecutor
    processes: StepProcesses | None
    timing: Timing
    limits: Limits
    store_record: Callable[[Attempt, RecordRow], asyncio.Future[None]]
    clients: Clients = field(default_factory=Clients)
    operations: Operations = field(init=False)
    orphans: Orphans = field(init=False)

    def __post_init__(self) -> None:
        """No operation is in its hands."""
        self.operations = Operations(self.pool, self.hub)
        self.orphans = Orphans(self.pool, closing=self.timing.release)

    async def close(self) -> None:
        """Write no more."""
        await asyncio.gather(self.operations.close(), self.orphans.close())
