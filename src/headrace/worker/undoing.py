"""Undo jobs: what the run had done that they undo."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.store.sql import SQL
from headrace.worker import report
from headrace.worker.blueprint import names_of
from headrace.worker.failure import Failure
from headrace.worker.resuming import resume
from headrace.worker.run import Stop
from headrace.worker.settling import PARKED_WAIT_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet
    from uuid import UUID

    from headrace.store.pool import HeldConnection
    from headrace.worker.attempt import Attempt
    from headrace.worker.run import JobRun


@dataclass(frozen=True, slots=True)
class Undoing:
    """What an undo job undoes.

    Attributes:
        job: The job that failed or was cancelled.
        run: Which run of it.
        done: Its steps that were completed in that run, each with the items that were; the item is
            empty for a step that runs once.
    """

    job: UUID
    run: int
    done: Mapping[str, AbstractSet[str]]

    def items_of(self, attempt: Attempt) -> list[tuple[str, str]]:
        """The items that a step undoes, the last one first, each with its value."""
        name = attempt.step.undoes or ""
        values = attempt.run.fans[name].values
        return [(key, values[key]) for key in reversed(values) if key in self.done[name]]


async def load_undone(connection: HeldConnection, runs: Mapping[UUID, JobRun]) -> None:
    """Turn those of these jobs that are undo jobs towards what they undo."""
    found = await connection.fetch(SQL["undo.find_undo_jobs"], list(runs))
    if not found:
        return
    origins = [row["undo_of"] for row in found]
    stored: defaultdict[tuple[UUID, int], list[Any]] = defaultdict(list)
    numbers = [row["undo_run"] for row in found]
    for row in await connection.fetch(SQL["undo.load_undone"], origins, numbers):
        stored[row["job"], row["run"]].append(row)
    for row in found:
        origin = row["undo_of"], row["undo_run"]
        run = runs[row["id"]]
        _begin(run, origin, stored[origin], row["undo_steps"])
        if row["is_new"]:
            report.undo_started(run)


def _begin(
    run: JobRun, origin: tuple[UUID, int], rows: Iterable[Any], steps: Iterable[str]
) -> None:
    names = names_of(run.pipeline)
    done: defaultdict[str, set[str]] = defaultdict(set)
    restored = []
    wanted = {names.get(step, step) for step in steps}
    for _, _, step, item, state, output, artifact, is_own in rows:
        name = names.get(step, step)
        restored.append((name, item, state, output, artifact))
        if name in wanted and state == "completed" and is_own:
            done[name].add(item)
    resume(run, restored)
    run.begin_undo(Undoing(*origin, done))
    if not done:
        run.failure = Failure(
            "permanent_error",
            "UNDO_IMPOSSIBLE",
            "permanent",
            f"what run {origin[1]} of job {origin[0]} had done is not stored any more",
        )
    _park_where_missing(run, done)


def _park_where_missing(run: JobRun, done: Iterable[str]) -> None:
    """What this code cannot undo, and could be undone when the job ended, waits for other code."""
    steps = run.pipeline.steps
    missing = [name for name in done if name not in steps or steps[name].undo is None]
    if missing:
        run.left += 1  # else it might have nothing left, and be completed
        note = Failure(
            "",
            "UNDO_MISSING",
            "permanent",
            f"this code has no undo of the step {missing[0]}, which had one when the job ended",
        )
        run.stop = Stop("unclaimable", PARKED_WAIT_S, note.as_json())
