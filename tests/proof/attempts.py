"""I8: starts, tries and charges stay within their budgets."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from tests.proof.evidence import Evidence, RowId, row_id, short
from tests.proof.violation import Row, Violation

UNCOUNTED: Final = frozenset({"rate_limited", "unavailable", "budget", "lock_busy", "lost"})
"""Classes of errors that use no attempt."""
LOST: Final = frozenset({"recovered", "worker_lost"})
"""Reasons by which a job is taken from a worker that is gone."""


def check_starts(evidence: Evidence) -> Iterator[Violation]:
    """Under one token a step starts once, and once more for each try and each cut that it saw.

    A cut is a cancel by a worker that could not reach the database and came back with its lease.
    One that died may have begun again before the try was stored.
    How many tokens a job can have follows from its history.
    """
    if evidence.effects is None:
        return
    counts: Counter[tuple[str, RowId, int]] = Counter(
        (effect.kind, (UUID(effect.job), effect.run, effect.step, effect.item), effect.token)
        for effect in evidence.effects
    )
    tries = Counter((row_id(row), row["token"]) for row in evidence.tries)
    lost = {event["token"] for event in evidence.events if event["reason"] in LOST}
    for (kind, key, token), count in counts.items():
        if kind != "start" or "#" in key[2]:
            continue  # what runs inside a step is counted with it
        failed, cut = tries[key, token], counts["cut", key, token]
        if token in lost:
            failed = max(failed, counts["fail", key, token])
        if key[2] in evidence.expect.transactional:
            cut += counts["end", key, token]  # its commit was refused or cut off after its work
        if count > 1 + failed + cut:
            job, run, step, item = key
            yield Violation(
                "I8",
                f"{step} {item!r} of job {job} run {run} started {count} times under token {token}"
                f" with {failed} tries and {cut} cuts",
            )


def check_tries(evidence: Evidence) -> Iterator[Violation]:
    """Failed tries since the last partial checkpoint stay within the budget of their step."""
    partial: defaultdict[RowId, list[Row]] = defaultdict(list)
    for record in evidence.records:
        partial[row_id(record)].append(record)
    tries: defaultdict[RowId, list[Row]] = defaultdict(list)
    for row in evidence.tries:
        if row["class"] not in UNCOUNTED:
            tries[row_id(row)].append(row)
    for key, rows in tries.items():
        marks = [record["finished_at"] for record in partial[key]]
        parts = Counter(sum(mark <= row["failed_at"] for mark in marks) for row in rows)
        job = evidence.job_by_id.get(key[0])
        budget = evidence.expect.attempts(job["pipeline"] if job else "", key[2])
        if max(parts.values()) > budget:
            yield Violation(
                "I8",
                f"{key[2]} {key[3]!r} of job {key[0]} failed {max(parts.values())} times in a row,"
                f" its budget is {budget}",
                tuple(short(row, "attempt", "class", "token", "failed_at") for row in rows),
            )


def check_charges(evidence: Evidence) -> Iterator[Violation]:
    """A job fails as `worker_lost` at the limit of charges, each of them a recorded loss."""
    limit = evidence.expect.crash_limit
    charges: defaultdict[tuple[UUID, int], list[int]] = defaultdict(list)
    for event in evidence.events:
        if event["reason"] not in ("recovered", "worker_lost"):
            continue
        count = json.loads(event["metadata"] or "{}").get("charges", 0)
        known = charges[event["job"], event["run"]]
        if count:
            known.append(count)
        failed = event["to_state"] == "failed"
        if failed != (count >= limit) or count > len(known):
            yield Violation(
                "I8",
                f"job {event['job']} run {event['run']} was {event['reason']} at charge {count} of"
                f" {limit}, after {len(known)} charged losses",
                (short(event, "seq", "to_state", "reason", "metadata", "at"),),
            )
