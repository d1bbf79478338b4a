"""What jobs wait for: signals, children, delays, and the slots of schedules.

Of several signals one stands, and nobody waits for what is there. A step that waited has its
outcome when all has come for which it waited.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final, TypeAlias
from uuid import UUID

from tests.proof.evidence import FINAL, Evidence, RowId, row_id, short
from tests.proof.results import DONE
from tests.proof.violation import Row, Violation

WAITS: Final = frozenset({"external", "child", "delay"})
"""Reasons why a job is queued that waits for something besides its inputs."""

SignalId: TypeAlias = tuple[UUID, int, str]
"""Job, run, name."""


def check_signals(evidence: Evidence) -> Iterator[Violation]:
    """SIGNAL: one value of a name stands in a run; none is late before its time is over."""
    counts = Counter(_signal_id(row) for row in evidence.signals)
    for (job, run, name), count in counts.items():
        if count > 1:
            yield Violation("SIGNAL", f"{count} values of {name} stand in run {run} of job {job}")
    due: defaultdict[SignalId, list[Row]] = defaultdict(list)
    for wait in evidence.waits:
        if wait["kind"] == "signal":
            due[wait["job"], wait["run"], wait["name"]].append(wait)
    for row in evidence.signals:
        waits = due[_signal_id(row)]
        if row["expired"] and not any(wait["due_at"] <= evidence.now for wait in waits):
            yield Violation(
                "SIGNAL",
                f"{row['name']} of job {row['job']} is late, and its time is not over",
                tuple(short(wait, "step", "began_at", "due_at") for wait in waits),
            )


def check_sent(evidence: Evidence) -> Iterator[Violation]:
    """SENT: a value of which a sender was told that it stands does, and another one does not."""
    stored = {(row["job"], row["name"], row["run"]): row for row in evidence.signals}
    runs = {job["id"]: job["run"] for job in evidence.jobs}
    for sent in evidence.sent or ():
        job = UUID(sent.job)
        rows = [
            row
            for run in range(1, runs.get(job, 0) + 1)
            if (row := stored.get((job, sent.name, run))) is not None
        ]
        equal = [row for row in rows if not row["expired"] and _value(row) == sent.value]
        if sent.told == "stands" and not equal:
            yield Violation(
                "SENT",
                f"job {job} was sent {sent.value!r} as {sent.name}, and was said to have it",
                tuple(short(row, "run", "name", "value", "expired", "sent_by") for row in rows),
            )
        if sent.told == "other" and not any(row not in equal for row in rows):
            yield Violation(
                "SENT",
                f"{sent.value!r} as {sent.name} was refused by job {job}, which has no other",
            )


def check_used(evidence: Evidence) -> Iterator[Violation]:
    """USED: a step that waited for a signal has its outcome only once that is decided."""
    signals = {_signal_id(row): row for row in evidence.signals}
    for wait in evidence.waits:
        step = evidence.step_by_id.get(row_id(wait))
        if wait["kind"] != "signal" or step is None or step["state"] not in DONE:
            continue
        signal = signals.get((wait["job"], wait["run"], wait["name"]))
        if signal is None or signal["received_at"] > step["finished_at"]:
            yield Violation(
                "USED",
                f"{wait['step']} of job {wait['job']} has its outcome without {wait['name']}, for"
                " which it waited",
                (short(step, "state", "token", "finished_at"), *([signal] if signal else ())),
            )
    for effect in evidence.effects or ():
        for name, seen in effect.got.items():
            signal = signals.get((UUID(effect.job), effect.run, name))
            stands = None if signal is None else _value(signal)
            if stands != seen:
                yield Violation(
                    "USED",
                    f"{effect.step} of job {effect.job} got {seen!r} as {name}; {stands!r} stands",
                )


def check_waits(evidence: Evidence) -> Iterator[Violation]:
    """WAIT: whoever began to wait held the job, and nobody waits for what has come."""
    for wait in evidence.waits:
        grants = evidence.grants_of.get(wait["job"], [])
        if not any((g.token, g.run) == (wait["token"], wait["run"]) for g in grants):
            yield Violation(
                "WAIT",
                f"{wait['step']} of job {wait['job']} began to wait under token {wait['token']},"
                f" which was not granted in run {wait['run']}",
            )
    entries = {entry["job"]: entry for entry in evidence.queued}
    of_job: defaultdict[UUID, list[Row]] = defaultdict(list)
    for wait in evidence.waits:
        of_job[wait["job"]].append(wait)
    for job in evidence.jobs:
        entry = entries.get(job["id"])
        if job["state"] != "queued" or job["wait_reason"] not in WAITS or entry is None:
            continue
        if job["worker"] is not None:
            yield Violation("WAIT", f"job {job['id']} waits, and is held by {job['worker']}")
        if not entry["ready"] and entry["due_at"] > evidence.now:
            yield from _left_waiting(evidence, job, of_job[job["id"]])


def _left_waiting(evidence: Evidence, job: Row, waits: list[Row]) -> Iterator[Violation]:
    signals = {_signal_id(row) for row in evidence.signals}
    tried = {row_id(row) for row in evidence.tries}  # waits for its next try, perhaps
    steps: defaultdict[RowId, list[Row]] = defaultdict(list)
    for wait in waits:
        if wait["run"] == job["run"]:
            steps[row_id(wait)].append(wait)
    for key, all_of in steps.items():
        if key in evidence.step_by_id or key in tried:
            continue
        if all(_has_come(evidence, wait, signals) for wait in all_of):
            yield Violation(
                "WAIT",
                f"job {job['id']} was left waiting although all is there for {key[2]}",
                tuple(short(wait, "kind", "name", "began_at", "due_at") for wait in all_of),
            )


def _has_come(evidence: Evidence, wait: Row, signals: set[SignalId]) -> bool:
    if wait["kind"] == "signal":
        return (wait["job"], wait["run"], wait["name"]) in signals
    if wait["kind"] == "child":
        child = evidence.job_by_id.get(UUID(wait["name"]))
        return child is None or child["state"] in FINAL
    return bool(wait["due_at"] <= evidence.now)


def check_children(evidence: Evidence) -> Iterator[Violation]:
    """CHILD: a step has what its child returned, and no child outlives its parent."""
    last: dict[RowId, Row] = {}
    for wait in sorted(evidence.waits, key=lambda wait: wait["began_at"]):
        if wait["kind"] == "child":
            last[row_id(wait)] = wait  # of two children, the one that was returned last counts
    for key, wait in last.items():
        step = evidence.step_by_id.get(key)
        if step is not None and step["state"] in DONE:
            yield from _unlike_child(evidence, step, UUID(wait["name"]))
    for row in evidence.children:
        child, parent = evidence.job_by_id.get(row["child"]), evidence.job_by_id.get(row["parent"])
        if child is None or child["state"] in FINAL:
            yield Violation("CHILD", f"child {row['child']} has ended, and is still bound", (row,))
        elif evidence.expect.drained and (parent is None or parent["state"] in FINAL):
            yield Violation(
                "CHILD", f"child {row['child']} goes on, and its parent has ended", (row,)
            )


def _unlike_child(evidence: Evidence, step: Row, child_id: UUID) -> Iterator[Violation]:
    child = evidence.job_by_id.get(child_id)
    if child is None or child["run"] > 1:
        return
    result = evidence.step_by_id.get((child_id, 1, child["result_step"], ""))
    is_same = result is not None and result["output"] == step["output"]
    if child["state"] != "completed" or not is_same:
        shown = short(step, "output", "finished_at")
        yield Violation(
            "CHILD",
            f"{step['step']} of job {step['job']} has not what its child {child_id} returned, which"
            f" is {child['state']}",
            (shown, short(result, "output", "finished_at")) if result else (shown,),
        )


def check_slots(evidence: Evidence) -> Iterator[Violation]:
    """SLOT: a slot of a schedule has one job at most, and that one is stored."""
    jobs: defaultdict[tuple[str, str], list[UUID]] = defaultdict(list)
    for job in evidence.jobs:
        told = json.loads(job["metadata"] or "{}")
        if job["undo_of"] is None and "schedule" in told and "slot" in told:
            jobs[told["schedule"], told["slot"]].append(job["id"])
    for (schedule, slot), made in jobs.items():
        if len(made) > 1:
            yield Violation("SLOT", f"the slot {slot} of {schedule} has {len(made)} jobs: {made}")
    known = {job for made in jobs.values() for job in made}
    rows = {row["job"] for row in evidence.slots}
    for row in evidence.slots:
        if row["job"] not in known:
            yield Violation("SLOT", f"slot {row['slot']} of {row['schedule']} has no job", (row,))
    for job in known - rows:
        yield Violation("SLOT", f"job {job} was made for a slot that nobody wrote down")


def _signal_id(row: Row) -> SignalId:
    return row["job"], row["run"], row["name"]


def _value(row: Row) -> object:
    return None if row["value"] is None else json.loads(row["value"])
