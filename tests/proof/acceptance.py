"""I1, I2, I9: what was accepted is there, once, and ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from uuid import UUID

from tests.proof.evidence import FINAL, Evidence, short
from tests.proof.journal import hash_of
from tests.proof.violation import Violation


def check_accepted(evidence: Evidence) -> Iterator[Violation]:
    """I1: every job that a client was told of is stored as it was sent."""
    for request in evidence.journal or ():
        if request.outcome != "ok" or request.job is None:
            continue
        job = evidence.job_by_id.get(UUID(request.job))
        if job is None:
            yield Violation("I1", f"accepted job {request.job} is not stored")
            continue
        stored = (job["pipeline"], job["tenant"], job["owner"], hash_of(job["input"]))
        if stored != (request.pipeline, request.tenant, request.owner, request.body):
            yield Violation(
                "I1",
                f"job {request.job} is stored otherwise than it was accepted",
                (short(job, "id", "pipeline", "tenant", "owner", "input"),),
            )


def check_ended(evidence: Evidence) -> Iterator[Violation]:
    """I2: after the drain every job has ended, but for those that are scheduled for later."""
    if not evidence.expect.drained:
        return
    for job in evidence.jobs:
        later = job["wait_reason"] == "scheduled" and job["due_at"] > evidence.now
        if job["state"] not in FINAL and not (job["state"] == "queued" and later):
            yield Violation(
                "I2",
                f"job {job['id']} has not ended",
                (
                    short(
                        job, "pipeline", "state", "wait_reason", "due_at", "run", "token", "worker"
                    ),
                ),
            )


def check_keys(evidence: Evidence) -> Iterator[Violation]:
    """I9: one job for each idempotency key, and everybody who used it was told of that one."""
    told: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    for request in evidence.journal or ():
        if request.outcome == "ok" and request.key and request.job:
            told[request.tenant, request.owner, request.key].add(request.job)
    for job in evidence.jobs:
        if job["idempotency_key"]:
            told[job["tenant"], job["owner"], job["idempotency_key"]].add(str(job["id"]))
    for (_, _, key), jobs in told.items():
        if len(jobs) > 1:
            yield Violation("I9", f"key {key!r} stands for {len(jobs)} jobs: {sorted(jobs)}")
