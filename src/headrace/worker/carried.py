"""What a worker carries: the lanes that it claims from, and the jobs of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from headrace.telemetry.events import emit
from headrace.telemetry.job_events import VersionAudit
from headrace.worker.claim import NORMAL, Claim

if TYPE_CHECKING:
    from collections.abc import Mapping

    import asyncpg

    from headrace.model.pipeline import Pipeline

FIRST_CLAIM: Final = 2
"""The sequence number of a job's first claim: nothing of it can be stored yet."""


@dataclass(frozen=True, slots=True)
class Lane:
    """What a lane's number stands for, and the pipeline that this worker runs it with."""

    queue: str
    version: str
    pipeline: Pipeline[Any, Any]
    older: bool


def read_claim(
    row: asyncpg.Record, lanes: Mapping[int, Lane], worker: int, job_timeout_s: float
) -> Claim:
    """The job of a row of `claims.claim_jobs`.

    Args:
        row: From the database.
        lanes: Those of the worker, by number.
        worker: Whose claim it is.
        job_timeout_s: Running time of a job whose pipeline says nothing else.
    """
    (
        job, token, lane_number, number, seq, tenant, owner, text, suspicion, cancel_requested,
        deadline_s, ran_ms, waited_ms, preset, parameters, correlation_id, late_s,
        age_s, first_of_run, traceparent, _share,
    ) = row  # fmt: skip
    lane = lanes[lane_number]
    pipeline = lane.pipeline
    limit_s, cause = job_timeout_s, "job_timeout"
    if pipeline.timeout is not None:
        limit_s = pipeline.timeout.total_seconds()
    limit_s -= ran_ms / 1000
    if deadline_s is not None and deadline_s < limit_s:
        limit_s, cause = deadline_s, "deadline_exceeded"
    if lane.older:
        emit(
            VersionAudit(
                job_id=job, run=number, pipeline=pipeline.name, version=lane.version,
                worker_version=pipeline.version,
            )
        )  # fmt: skip
    # An undo job takes over what was done before it was there.
    is_fresh = seq == FIRST_CLAIM and first_of_run and suspicion == NORMAL
    return Claim(
        job, token, number, pipeline, lane.version, lane.queue, tenant, owner, text,
        is_fresh, suspicion, cancel_requested, limit_s, cause,
        waited_ms / 1000, preset, orjson.loads(parameters) if parameters else None,
        correlation_id, late_s, age_s, first_of_run, worker,
        traceparent,
    )  # fmt: skip


def version_key(version: str) -> tuple[int, ...]:
    """A version as numbers, to compare."""
    return tuple(int(part) for part in version.split("."))
