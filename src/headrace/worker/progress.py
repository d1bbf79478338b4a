"""Shows what runs for more than a second, and what steps say of their progress."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from headrace.store.sql import SQL
from headrace.worker.service import PeriodicService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from headrace.worker.executor import Executor
    from headrace.worker.timing import Timing


class ProgressNotes(PeriodicService):
    """Writes rows of `progress`, one statement for all jobs, at most once a second.

    What is not written because the database or a connection is not there is written later, if the
    step still runs then.
    """

    def __init__(self, executor: Executor, *, worker: int, timing: Timing) -> None:
        super().__init__(
            "progress", every=timing.progress_after, worker_id=str(worker), timing=timing, jitter=0
        )
        self._executor, self._worker = executor, worker
        self._after_s = timing.progress_after.total_seconds()

    async def tick(self) -> None:
        """Write what is new."""
        rows = list(self._news(monotonic()))
        if not rows:
            return
        job, token, step, item, age_s, done, total, note = map(list, zip(*rows, strict=True))
        async with self._executor.engine.pool.acquire() as connection:
            await connection.execute(
                SQL["ledger.note_progress"], job, token, step, item, self._worker, age_s, done,
                total, note,
            )  # fmt: skip

    def _news(self, now: float) -> Iterator[tuple[Any, ...]]:
        for run in list(self._executor.runs.values()):
            for attempt in () if run.dead else list(run.running.values()):
                if attempt.task is None or now - attempt.started < self._after_s:
                    continue
                if attempt.shown and attempt.note is None:
                    continue
                said, attempt.note, attempt.shown = attempt.note, None, True
                done, total, text = said or (None, None, None)
                yield (
                    run.claim.job, run.claim.token, attempt.step.name, attempt.item,
                    now - attempt.started, done, total, text,
                )  # fmt: skip
