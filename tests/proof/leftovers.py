"""I14: after the drain nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator

from tests.proof.evidence import Evidence, short
from tests.proof.violation import Violation


def check_leftovers(evidence: Evidence) -> Iterator[Violation]:
    """No claim, no worker that claims to live past its lease, no start of an ended job."""
    if not evidence.expect.drained:
        return
    for claim in evidence.claims:
        yield Violation("I14", f"claim {claim['token']} is left", (claim,))
    for worker in evidence.workers:
        over = worker["lost_at"] or worker["stopped_at"]
        if not over and worker["expires_at"] <= evidence.now:
            yield Violation(
                "I14",
                f"worker {worker['id']} vanished and was never marked lost",
                (short(worker, "id", "pid", "heartbeat_at", "expires_at"),),
            )
    for start in evidence.progress:
        job = evidence.job_by_id.get(start["job"])
        if start["recorded"] and (job is None or job["state"] == "completed"):
            yield Violation(
                "I14",
                f"a start of {start['step']} is on record for job {start['job']}, which is"
                f" {job['state'] if job else 'gone'}",
                (short(start, "run", "step", "item", "token", "charges", "started_at"),),
            )
