"""Looks up what has come for jobs that wait: signals, ends of children, times that are over."""

from __future__ import annotations

from collections import defaultdict
from time import monotonic
from typing import TYPE_CHECKING, Any

from headrace.store.sql import SQL
from headrace.telemetry.events import emit, enabled
from headrace.telemetry.wait_events import SignalExpired

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from headrace.store.pool import HeldConnection
    from headrace.worker.run import JobRun


def waiting_runs(runs: Iterable[JobRun]) -> list[JobRun]:
    """Those that wait for something besides their steps while others of their steps run."""
    return [
        run
        for run in runs
        if run.holds is not None and run.holds.is_open and run.running and not run.is_halted
    ]


async def watch(connection: HeldConnection, runs: list[JobRun], *, resumed: bool = False) -> None:
    """Tell jobs what has come for them; a signal whose time is over is stored as such first.

    Args:
        connection: Where.
        runs: The jobs.
        resumed: Whether they were just claimed, and do not know of their children.
    """
    jobs = [run.claim.job for run in runs]
    numbers = [run.claim.run for run in runs]
    tokens = [run.claim.token for run in runs]
    expired = await connection.fetch(SQL["claims.expire_signals"], jobs, tokens)
    _tell_of_expired(runs, [(row["job"], row["name"]) for row in expired])
    signals: defaultdict[UUID, dict[str, str | None]] = defaultdict(dict)
    for job, name, value in await connection.fetch(SQL["claims.load_signals"], jobs, numbers):
        signals[job][name] = value
    waits: defaultdict[UUID, list[tuple[Any, ...]]] = defaultdict(list)
    for job, *wait in await connection.fetch(SQL["claims.load_waits"], jobs, numbers):
        waits[job].append(tuple(wait))
    if resumed and any(wait[-1] for found in waits.values() for wait in found):
        # Somebody runs a child again that had ended: its next end wakes its parent, too.
        await connection.execute(SQL["children.bind_again"], jobs, numbers)
    now = monotonic()
    for run in runs:
        run.holding().signals |= signals[run.claim.job]
        for step, item, kind, name, wait_s, has_ended, _ in waits[run.claim.job]:
            key = run.present_name(step), item
            if key[0] not in run.graph.steps:
                continue
            run.holding().begun[*key, kind, name] = None if wait_s is None else now + wait_s
            if kind == "child":
                _tell_of_child(run, key, name, resumed=resumed, has_ended=has_ended)


def _tell_of_expired(runs: list[JobRun], expired: list[tuple[UUID, str]]) -> None:
    if not expired or not enabled(SignalExpired):
        return
    claims = {run.claim.job: run.claim for run in runs}
    for job, name in expired:
        claim = claims[job]
        emit(
            SignalExpired(
                job_id=job,
                run=claim.run,
                pipeline=claim.pipeline.name,
                queue=claim.queue,
                worker_id=str(claim.worker),
                signal_name=name,
            )
        )


def _tell_of_child(
    run: JobRun, key: tuple[str, str], child: str, *, resumed: bool, has_ended: bool
) -> None:
    if resumed and not run.is_stored(*key):
        run.await_child(key, child)
    if has_ended:
        run.holding().child_ended(key, child)
