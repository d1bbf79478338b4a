"""Loads what earlier claims of a run stored."""

from __future__ import annotations

from collections import defaultdict
from time import monotonic
from typing import TYPE_CHECKING, Any

from headrace.store.sql import SQL
from headrace.worker.claim import NORMAL, SUSPECT, WATCHED
from headrace.worker.resuming import resume
from headrace.worker.stored import as_output
from headrace.worker.undoing import load_undone
from headrace.worker.watching import watch

if TYPE_CHECKING:
    from uuid import UUID

    from headrace.store.pool import HeldConnection
    from headrace.worker.run import JobRun


async def restore(connection: HeldConnection, runs: list[JobRun]) -> None:
    """Give each job its stored outputs, tries, records, and the starts that a death cut off."""
    jobs = [run.claim.job for run in runs]
    numbers = [run.claim.run for run in runs]
    steps: defaultdict[UUID, list[tuple[Any, ...]]] = defaultdict(list)
    by_job = {run.claim.job: run for run in runs}
    await load_undone(connection, by_job)
    for job, step, *stored in await connection.fetch(SQL["claims.load_steps"], jobs, numbers):
        steps[job].append((by_job[job].present_name(step), *stored))
    for run in runs:
        resume(run, steps[run.claim.job])
    for record in await connection.fetch(SQL["claims.load_records"], jobs, numbers):
        job, step, item, name, output, artifact = record
        run = by_job[job]
        run.keep_record((run.present_name(step), item, name), as_output(output, artifact))
    now = monotonic()
    for tried in await connection.fetch(SQL["claims.load_tries"], jobs, numbers):
        job, step, item, attempts, failures, timeouts, busy, wait_s = tried
        run = by_job[job]
        step = run.present_name(step)
        tally = run.tally((step, item))
        tally.attempts, tally.failures = attempts, failures
        tally.timeouts, tally.busy = timeouts, busy
        if wait_s is not None and wait_s > 0:
            run.wait((step, item), now + wait_s)
    waiting = [run for run in runs if run.blueprint.waits]
    if waiting:
        await watch(connection, waiting, resumed=True)
    await _restore_starts(connection, runs, by_job)


async def _restore_starts(
    connection: HeldConnection, runs: list[JobRun], by_job: dict[UUID, JobRun]
) -> None:
    doubted = [run.claim.job for run in runs if run.suspicion > NORMAL]
    if not doubted:
        return
    for job, step, item, _ in await connection.fetch(SQL["claims.load_starts"], doubted):
        run = by_job[job]
        key = (run.present_name(step), item)
        if run.suspicion == SUSPECT and not run.is_stored(*key):
            run.suspicious |= {key}
    for run in runs:
        if run.suspicion == SUSPECT and not run.suspicious:
            run.suspicion = WATCHED
            run.entry().set_calm()
