"""Locks of a step: for its tenant, tied to its worker's life, waited for within its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headrace.errors import LeaseLostError
from headrace.reliability.lock_blocks import LockBlock, SyncLockBlock

if TYPE_CHECKING:
    from headrace.reliability.lock_lease import Request
    from headrace.worker.attempt import Attempt
    from headrace.worker.engine import Engine

SPARE_S: Final = 1.0
"""A wait ends so long before the step's time: its job is deferred then, and no try has failed."""


def step_lock(attempt: Attempt, engine: Engine, key: str, **options: Any) -> LockBlock:
    """A block of an async step."""
    return LockBlock(engine.locks, _request(attempt, engine, key, **options))


def thread_lock(attempt: Attempt, engine: Engine, key: str, **options: Any) -> SyncLockBlock:
    """A block of a plain function in its thread."""
    return SyncLockBlock(
        engine.locks,
        _request(attempt, engine, key, **options),
        engine.loop,
        lambda: attempt.cause is not None or attempt.refused,
    )


def _request(attempt: Attempt, engine: Engine, key: str, **options: Any) -> Request:
    claim = attempt.run.claim
    if attempt.refused:
        raise LeaseLostError(f"job {claim.job}", claim.token)
    request = engine.locks.request(
        key,
        tenant=claim.tenant,
        worker=engine.worker,
        job=claim.job,
        step=attempt.step.name,
        **options,
    )
    return request.waiting_at_most(max(0.0, attempt.remaining().total_seconds() - SPARE_S))
