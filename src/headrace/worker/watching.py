"""Looks up what has come for jobs that wait: signals, ends of children, times that are over."""

from __future__ import annotations

from collections import defaultdict
from time import monotonic
from typing import TYPE_CHECKING, Any

from headrace.store.sql import SQL

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


async def watch(connection: HeldConnection, runs: list[JobRun]) -> None:
    """Tell jobs what has come for them; a signal whose time is over is stored as such first."""
    jobs = [run.claim.job for run in runs]
    numbers = [run.claim.run for run in runs]
    tokens = [run.claim.token for run in runs]
    await connection.execute(SQL["claims.expire_signals"], jobs, tokens)
    signals: defaultdict[UUID, dict[str, str | None]] = defaultdict(dict)
    for job, name, value in await connection.fetch(SQL["claims.load_signals"], jobs, numbers):
        signals[job][name] = value
    waits: defaultdict[UUID, list[tuple[Any, ...]]] = defaultdict(list)
    for job, *wait in await connection.fetch(SQL["claims.load_waits"], jobs, numbers):
        waits[job].append(tuple(wait))
    now = monotonic()
    for run in runs:
        holds = run.holding()
        holds.signals |= signals[run.claim.job]
        for step, item, kind, name, wait_s, has_ended in waits[run.claim.job]:
            until = None if wait_s is None else now + wait_s
            _tell(run, (run.present_name(step), item, kind, name), until, has_ended=has_ended)


def _tell(
    run: JobRun, wait: tuple[str, str, str, str], until: float | None, *, has_ended: bool
) -> None:
    """Take in one wait that is on record."""
    step, item, kind, name = wait
    if step not in run.graph.steps:
        return
    holds = run.holding()
    holds.begun[wait] = until
    key = (step, item)
    if kind == "child" and not run.is_stored(*key):
        if key not in holds.children and key not in run.running:
            run.await_child(key, name)
        if has_ended:
            holds.child_ended(key)
