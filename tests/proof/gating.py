"""I11 and I12: no more ran at once than the limits allow, and jobs of a key ran in order.

A claim holds a job from its event in `job_events` to the one that ended it, both by the database's
clock. The limits are those that stand in the tables at the end: the proof is of runs in which they
did not change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, TypeAlias

from tests.proof.evidence import FINAL, Evidence, short
from tests.proof.violation import Row, Violation

Scope: TypeAlias = tuple[str, ...]
Span: TypeAlias = tuple[datetime, datetime, Row]


def check_limits(evidence: Evidence) -> Iterator[Violation]:
    """I11: per queue, pipeline, tenant and concurrency key never more than the limit."""
    limits = {(row["kind"], row["name"]): row["most"] for row in evidence.limits}
    spans: defaultdict[Scope, list[Span]] = defaultdict(list)
    for job in evidence.jobs:
        for scope, most in _scopes(job, limits):
            if most is not None:
                spans[scope] += _held(evidence, job)
    for scope, held in spans.items():
        most = next(most for name, most in _scopes(held[0][2], limits) if name == scope)
        yield from _sweep(scope, most, held)


def _scopes(job: Row, limits: Mapping[Scope, int]) -> Iterator[tuple[Scope, Any]]:
    for kind in ("queue", "pipeline", "tenant"):
        yield (kind, job[kind]), limits.get((kind, job[kind]))
    if job["concurrency_key"] is not None:
        name = ("key", job["tenant"], job["pipeline"], job["concurrency_key"])
        yield name, limits.get(("key", job["pipeline"]), 1)


def _held(evidence: Evidence, job: Row) -> Iterator[Span]:
    for grant in evidence.grants_of.get(job["id"], ()):
        yield grant.at, grant.ended_at or evidence.now, job


def _sweep(scope: Scope, most: int, held: list[Span]) -> Iterator[Violation]:
    moments = [(at, 1, job) for at, _, job in held] + [(until, -1, job) for _, until, job in held]
    running = 0
    for at, change, job in sorted(moments, key=lambda moment: moment[:2]):
        running += change
        if running > most:
            text = f"{running} jobs of {' '.join(scope)} ran at {at}, {most} may"
            yield Violation("I11", text, (short(job, "id", "token"),))
            return


def check_slots(evidence: Evidence) -> Iterator[Violation]:
    """I11: after all is done nothing is kept out, and no slot counts."""
    if evidence.expect.drained:
        for row in evidence.blocked:
            yield Violation("I11", "a job is kept out although nothing runs", (row,))


def check_order(evidence: Evidence) -> Iterator[Violation]:
    """I12: jobs of an ordering key start one after the other, each when the one before has ended.

    The position of a job that was opened again is that of its last run: of those, only that no two
    ran at once is known.
    """
    keys: defaultdict[Scope, list[Row]] = defaultdict(list)
    for job in evidence.jobs:
        if job["ordering_key"] is not None:
            keys[job["tenant"], job["ordering_key"]].append(job)
    for scope, jobs in keys.items():
        yield from _sweep(("ordering key", *scope), 1, _overlaps(evidence, jobs))
        once = sorted((job for job in jobs if job["run"] == 1), key=lambda job: job["position"])
        for earlier, later in pairwise(once):
            yield from _pair(evidence, scope, earlier, later)


def _overlaps(evidence: Evidence, jobs: list[Row]) -> list[Span]:
    found = [span for job in jobs for span in _held(evidence, job)]
    return [span for span in found if span[0] < span[1]]


def _pair(evidence: Evidence, scope: Scope, earlier: Row, later: Row) -> Iterator[Violation]:
    started = next((grant.at for grant in evidence.grants_of.get(later["id"], ())), None)
    if started is None:
        return
    ended = earlier["finished_at"] if earlier["state"] in FINAL else None
    if ended is None or started < _left(evidence, earlier):
        yield Violation(
            "I12",
            f"a job of {scope} started at {started}, before the one before it had ended",
            (
                short(earlier, "id", "position", "state", "finished_at"),
                short(later, "id", "position", "state", "started_at"),
            ),
        )


def _left(evidence: Evidence, job: Row) -> datetime:
    """When a job ended, as its history says."""
    at: datetime = evidence.events_of[job["id"]][-1]["at"]
    return at
