"""I3, I4, I19: the audit history of a job is a path through the table of transitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from headrace.model.job import allowed_pairs
from tests.proof.evidence import FINAL, Evidence, short
from tests.proof.violation import Row, Violation

ALLOWED: Final = {(source and str(source), str(target)) for source, target in allowed_pairs()}


def check_one_end(evidence: Evidence) -> Iterator[Violation]:
    """I3: a run ends exactly once, and has to have ended before the next one opens."""
    ends = Counter(
        (event["job"], event["run"]) for event in evidence.events if event["to_state"] in FINAL
    )
    for job in evidence.jobs:
        for run in range(1, job["run"] + 1):
            count = ends[job["id"], run]
            over = run < job["run"] or job["state"] in FINAL
            if count != over:
                yield Violation(
                    "I3",
                    f"run {run} of job {job['id']} ended {count} times",
                    tuple(_shown(event) for event in evidence.events_of.get(job["id"], ())),
                )


def check_path(evidence: Evidence) -> Iterator[Violation]:
    """I4: seq has no gap, each step starts where the last one led, all are allowed."""
    for job in evidence.jobs:
        events = evidence.events_of.get(job["id"], [])
        problem = _problem_of(job, events)
        if problem:
            yield Violation(
                "I4", f"job {job['id']}: {problem}", tuple(_shown(event) for event in events)
            )
    for job_id in evidence.events_of.keys() - evidence.job_by_id.keys():
        yield Violation("I4", f"job {job_id} has a history and no row")


def check_clock(evidence: Evidence) -> Iterator[Violation]:
    """I19: the times of a job's events never decrease."""
    for job, events in evidence.events_of.items():
        for before, after in pairwise(events):
            if after["at"] < before["at"]:
                yield Violation(
                    "I19",
                    f"job {job}: event {after['seq']} is earlier than event {before['seq']}",
                    (_shown(before), _shown(after)),
                )


def _problem_of(job: Row, events: list[Row]) -> str:
    numbers = [event["seq"] for event in events]
    if numbers != list(range(1, job["seq"] + 1)):
        return f"its events are numbered {numbers}, its seq is {job['seq']}"
    state, run = None, 1
    for event in events:
        if (event["from_state"], event["to_state"]) not in ALLOWED:
            return f"event {event['seq']} leads from {event['from_state']} to {event['to_state']}"
        if event["from_state"] != state:
            return f"event {event['seq']} leaves {event['from_state']}, not {state}"
        run += state in FINAL
        if event["run"] != run:
            return f"event {event['seq']} is of run {event['run']}, not {run}"
        state = event["to_state"]
    if (job["state"], job["run"]) != (state, run):
        return f"it is {job['state']} in run {job['run']}; its history says {state} in run {run}"
    return ""


def _shown(event: Row) -> Row:
    return short(event, "seq", "run", "from_state", "to_state", "reason", "worker", "token", "at")
