"""A job as a worker claims it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from headrace.model.context import JsonValue
    from headrace.model.pipeline import Pipeline

NORMAL, WATCHED, SUSPECT = 0, 1, 2
"""Of a job that lost no worker, one that did, and one whose step start was cut off by a death."""


@dataclass(slots=True)
class Claim:
    """What the database gave with a claim.

    Attributes:
        job: The job.
        token: Under which everything about it is written until it leaves this worker.
        run: Its present run, from 1.
        pipeline: What this worker carries under that name.
        version: The version with which it was submitted.
        queue: Where it was taken from.
        input: As stored JSON.
        fresh: Whether nothing of the run can be stored yet.
        suspicion: NORMAL, WATCHED or SUSPECT.
        limit_s: Seconds of running time that are left.
        limit_cause: What the job fails of when they are over.
        waited_s: Seconds that it has waited without using attempts.
        late_s: Seconds between its due time and the claim.
        age_s: Seconds between its submission and the claim.
        first_of_run: Whether the run was not claimed before.
        worker: Whose claim it is.
        traceparent: The W3C trace context that the job was submitted in.
    """

    job: UUID
    token: int
    run: int
    pipeline: Pipeline[object, object]
    version: str
    queue: str
    tenant: str
    owner: str
    input: str
    fresh: bool
    suspicion: int
    cancel_requested: bool
    limit_s: float
    limit_cause: str
    waited_s: float
    preset: str | None
    parameters: Mapping[str, JsonValue] | None
    correlation_id: str | None
    late_s: float
    age_s: float
    first_of_run: bool
    worker: int
    traceparent: str | None = None
