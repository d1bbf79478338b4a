"""I13: what a job's end has to tell leaves headrace: once in the outbox, at least once outside."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias
from uuid import UUID

from tests.proof.evidence import FINAL, Evidence, short
from tests.proof.violation import Row, Violation

SUBJECTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "results": ("result", FINAL),
    "dead-letters": ("dead_letter", ("failed",)),
}
"""By the kind of a topic: the kind of its messages, and the states that are told."""

Told: TypeAlias = tuple[str, str, UUID, int]
"""Topic, kind of message, job and run."""


def check_written(evidence: Evidence) -> Iterator[Violation]:
    """Each end of a run has one event for each topic that is told of it, and nothing else has."""
    wanted: Counter[Told] = Counter()
    for topic in evidence.topics:
        kind, states = SUBJECTS[topic["kind"]]
        for event in evidence.events:
            if event["to_state"] in states and event["from_state"] != event["to_state"]:
                wanted[topic["name"], kind, event["job"], event["run"]] += 1
    found = Counter(
        (row["topic"], row["kind"], row["job"], row["run"])
        for row in evidence.outbox
        if row["topic"] is not None
    )
    for told in wanted.keys() | found.keys():
        if wanted[told] != found[told]:
            topic_name, kind, job, run = told
            yield Violation(
                "I13",
                f"run {run} of job {job} has {found[told]} events {kind} for {topic_name}, not"
                f" {wanted[told]}",
            )
    ids = Counter(row["event_id"] for row in evidence.outbox)
    for event_id, count in ids.items():
        if count > 1:
            yield Violation("I13", f"{count} events have the id {event_id}")


def check_sent(evidence: Evidence) -> Iterator[Violation]:
    """After the drain nothing waits, and nothing for a topic was given up."""
    for row in evidence.outbox:
        shown = (short(row, "job", "run", "attempts", "leased_until", "last_error"),)
        if row["topic"] is not None and row["given_up_at"] is not None:
            yield Violation("I13", f"event {row['event_id']} for {row['topic']} is given up", shown)
        elif evidence.expect.drained and not (row["sent_at"] or row["given_up_at"]):
            yield Violation("I14", f"event {row['event_id']} waits in the outbox", shown)


def check_received(evidence: Evidence) -> Iterator[Violation]:
    """What is marked sent was received, nothing else was, and each job's events came in order."""
    if evidence.receipts is None:
        return
    rows = {str(row["event_id"]): row for row in evidence.outbox if row["topic"] is not None}
    came: set[str] = set()
    last: defaultdict[tuple[str, str], int] = defaultdict(int)
    for receipt in evidence.receipts:
        row = rows.get(receipt.event_id)
        if row is None:
            yield Violation("I13", f"event {receipt.event_id} was received and is in no outbox")
            continue
        said = (receipt.topic, receipt.job, receipt.run, receipt.key)
        meant = (row["topic"], str(row["job"]), row["run"], row["ordering_key"])
        if said != meant:
            yield Violation("I13", f"event {receipt.event_id} came as {said}, it is {meant}")
        if receipt.event_id in came:
            continue  # again: receivers know it by its id
        came.add(receipt.event_id)
        before = last[receipt.topic, receipt.key]
        if row["id"] < before:
            yield Violation(
                "I12", f"event {receipt.event_id} of job {row['job']} came after a later one"
            )
        last[receipt.topic, receipt.key] = max(before, row["id"])
    yield from _lost(evidence, rows, came)


def _lost(evidence: Evidence, rows: Mapping[str, Any], came: set[str]) -> Iterator[Violation]:
    for event_id, row in rows.items():
        is_known = event_id in came or event_id in evidence.forgotten
        if row["sent_at"] is not None and not is_known:
            yield Violation("I13", f"event {event_id} is marked sent and never came", _shown(row))


def _shown(row: Row) -> tuple[Row]:
    return (short(row, "job", "run", "topic", "attempts", "sent_at", "message_id"),)
