"""The store's own invariants: the narrow tables say the same as `jobs`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from tests.proof.evidence import Evidence, short
from tests.proof.violation import Row, Violation

PLACE: Final = ("lane", "share", "rank", "due_at", "deadline")
AWAITED: Final = frozenset({"external", "child"})


def check_queue(evidence: Evidence) -> Iterator[Violation]:
    """QUEUE: a job is queued if and only if it has exactly one row in `queued`."""
    counts = Counter(entry["job"] for entry in evidence.queued)
    for job in evidence.jobs:
        wanted = int(job["state"] == "queued")
        if counts[job["id"]] != wanted:
            yield Violation(
                "QUEUE", f"job {job['id']} is {job['state']}, and {counts[job['id']]} times queued"
            )
    for job_id in counts.keys() - evidence.job_by_id.keys():
        yield Violation("QUEUE", f"job {job_id} is queued and has no row")


def check_rank(evidence: Evidence) -> Iterator[Violation]:
    """RANK: a queue row stands where its job says, and is ready only when it is due."""
    for entry in evidence.queued:
        job = evidence.job_by_id.get(entry["job"])
        if job is None:
            continue
        differs = [column for column in PLACE if entry[column] != job[column]]
        # What waits for others is woken before its time, and keeps its place in the queue.
        waits = job["wait_reason"] in AWAITED
        if waits and entry["ready"] and "due_at" in differs:
            differs.remove("due_at")
        if entry["suspect"] != (job["suspicion"] == 2):
            differs.append("suspect")
        # A parked job is made ready, and moved to the front, by a worker that can read it.
        was_parked = job["wait_reason"] == "unclaimable"
        if entry["ready"] and entry["due_at"] > evidence.now and not was_parked:
            differs.append("ready")
        rank = job["due_at"] - job["priority"] * evidence.expect.head_start
        is_placed = job["rank"] <= rank if waits else job["rank"] == rank
        if not is_placed and not was_parked:
            differs.append("priority")
        if differs:
            yield Violation(
                "RANK",
                f"job {job['id']} stands in its queue with another {' and '.join(differs)}",
                (
                    short(job, *PLACE, "priority", "suspicion"),
                    short(entry, *PLACE, "ready", "suspect"),
                ),
            )


def check_claims(evidence: Evidence) -> Iterator[Violation]:
    """CLAIM: a running job stands in the claim of its token, under its worker, who is alive."""
    claims = {claim["token"]: claim for claim in evidence.claims}
    members = {token: set(claim["jobs"]) for token, claim in claims.items()}
    for job in evidence.jobs:
        if job["state"] != "running":
            continue
        claim = claims.get(job["token"])
        problem = ""
        if claim is None or job["id"] not in members[job["token"]]:
            problem = f"no claim {job['token']} names it"
        elif claim["worker"] != job["worker"]:
            problem = f"its claim is worker {claim['worker']}'s"
        elif evidence.expect.settled and not _is_alive(evidence, job["worker"]):
            problem = f"worker {job['worker']} is not alive"
        if problem:
            yield Violation(
                "CLAIM",
                f"job {job['id']} runs, but {problem}",
                (short(job, "state", "token", "worker", "run", "claimed_at"),),
            )


def check_dead_letters(evidence: Evidence) -> Iterator[Violation]:
    """DEAD: exactly one dead letter for each failed run, with the job's cause."""
    failed = {(e["job"], e["run"]): e for e in evidence.events if e["to_state"] == "failed"}
    letters: defaultdict[tuple[UUID, int], list[Row]] = defaultdict(list)
    for letter in evidence.dead_letters:
        letters[letter["job"], letter["run"]].append(letter)
    for key in failed.keys() | letters.keys():
        job = evidence.job_by_id.get(key[0])
        causes = [letter["cause"] for letter in letters[key]]
        wanted = int(key in failed)
        if len(causes) != wanted:
            yield Violation("DEAD", f"run {key[1]} of job {key[0]} has {len(causes)} dead letters")
        elif job and job["run"] == key[1] and job["state"] == "failed" and causes != [job["cause"]]:
            yield Violation("DEAD", f"job {key[0]} failed by {job['cause']}, its letter: {causes}")


def _is_alive(evidence: Evidence, worker: int) -> bool:
    row = evidence.worker_by_id.get(worker)
    return row is not None and row["lost_at"] is None and row["stopped_at"] is None
