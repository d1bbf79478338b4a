"""The proof that no finished step was started again: the steps' own log against the tables.

It reads the tables by itself and uses nothing of the engine's, whose work it judges. Times are not
compared: each start names its process, and each stored row the worker that stored it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncpg

from headrace.demo.steplog import Key, StepLog

if TYPE_CHECKING:
    from collections.abc import Iterator

STORED: Final = """
select stored.job::text, stored.run, stored.step, stored.item, worker.pid,
    (
        select count(*)
        from headrace.tries as tried
        where (tried.job, tried.run, tried.step, tried.item)
            = (stored.job, stored.run, stored.step, stored.item)
        and tried.worker = stored.worker
    ) as failed
from headrace.steps as stored
join headrace.workers as worker on worker.id = stored.worker
where stored.state <> 'planned'
"""
FAILED: Final = "select job::text, run, step, item from headrace.tries"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A stored step or item: by which process, after how many failed tries of that process."""

    process: int
    failed: int


@dataclass(frozen=True, slots=True)
class Proof:
    """What the comparison showed.

    Attributes:
        stored: Steps and items with a checkpoint.
        kept: Those of them that the killed worker had stored.
        repeated: Those that it had begun, and that ran again.
        problems: What must not be; empty when all is well.
    """

    stored: int
    kept: int
    repeated: int
    problems: list[str]


async def prove(database: str, log: StepLog, killed: int) -> Proof:
    """Compare the log with the tables.

    Args:
        database: Address of the database.
        log: What the steps wrote.
        killed: Process id of the worker that was killed.
    """
    connection = await asyncpg.connect(database)
    try:
        stored = {
            Key(job, run, step, item): Checkpoint(process, failed)
            for job, run, step, item, process, failed in await connection.fetch(STORED)
        }
        failed = {Key(*row) for row in await connection.fetch(FAILED)}
    finally:
        await connection.close()
    log.read()
    return Proof(
        len(stored),
        sum(checkpoint.process == killed for checkpoint in stored.values()),
        sum(killed in log.starts[key] and stored[key].process != killed for key in stored),
        [*_restarted(stored, log, killed), *_unaccounted(stored, failed, log)],
    )


def _restarted(stored: dict[Key, Checkpoint], log: StepLog, killed: int) -> Iterator[str]:
    for key, checkpoint in stored.items():
        starts = log.starts.get(key, [])
        process = checkpoint.process
        own = starts.count(process)
        others = [other for other in starts if other != process]
        if own != 1 + checkpoint.failed:
            yield f"{_name(key)}: stored by process {process}, which started it {own} times"
        elif any(other != killed for other in others) or len(others) > 1:
            yield f"{_name(key)}: was finished, and started again by process {others[-1]}"


def _unaccounted(stored: dict[Key, Checkpoint], failed: set[Key], log: StepLog) -> Iterator[str]:
    """What the log says has run must be stored, or have failed."""
    for key in log.starts:
        if key not in stored and key not in failed:
            yield f"{_name(key)}: was started, and is neither stored nor failed"


def _name(key: Key) -> str:
    return f"job {key.job} {key.step}{f'[{key.item}]' if key.item else ''}"
