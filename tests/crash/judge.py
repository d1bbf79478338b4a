"""The verdict on a run: the checker's, and what only the log of faults can tell."""

from __future__ import annotations

import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg

from tests.crash.fleet import Blow
from tests.crash.steps import AT_LEAST
from tests.proof.checker import check
from tests.proof.effects import read_effects
from tests.proof.evidence import FINAL, Evidence, Expectations, collect
from tests.proof.guard import read_guard
from tests.proof.journal import read_journal
from tests.proof.receipts import read_receipts
from tests.proof.results import mark_of, stale_starts
from tests.proof.sending import read_sent
from tests.proof.violation import Violation

TRANSACTIONAL: Final = frozenset({"book", "take"})
FATAL: Final = frozenset({"kill", "freeze", "silence", "delay"})
SLACK_S: Final = 1.0
SESSIONS: Final = """
    select pid, application_name, state from pg_stat_activity
    where application_name like 'headrace worker %'
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found, and what was counted on the way."""

    violations: list[Violation]
    counts: dict[str, int]


async def judge(
    connection: asyncpg.Connection[asyncpg.Record],
    folder: Path,
    blows: Sequence[Blow],
    poison: set[str],
    *,
    forgotten: frozenset[str] = frozenset(),
) -> Verdict:
    """Check everything that the run left behind.

    Args:
        connection: To the database of the run.
        folder: Where the other witnesses are.
        blows: What hit workers.
        poison: Jobs that may fail.
        forgotten: Events that a server took and forgot.
    """
    evidence = await collect(
        connection,
        Expectations(drained=True, settled=True, transactional=TRANSACTIONAL, at_least=AT_LEAST),
        journal=read_journal(folder / "journal"),
        effects=read_effects(folder / "effects"),
    )
    evidence = replace(
        evidence, guarded=read_guard(folder / "guarded"), sent=list(read_sent(folder / "sent"))
    )
    if (folder / "receipts").exists():
        receipts = list(read_receipts(folder / "receipts"))
        evidence = replace(evidence, receipts=receipts, forgotten=forgotten)
    bookings = await connection.fetch("select job, run from bookings")
    violations = [
        *check(evidence),
        *_bookings(evidence, Counter((row["job"], row["run"]) for row in bookings)),
        *_stock(evidence, await connection.fetch("select mark, change from stock")),
        *_deaths(evidence, blows, poison),
        *_failures(evidence, poison),
        *_left_running(evidence, await connection.fetch(SESSIONS)),
    ]
    states = Counter(job["state"] for job in evidence.jobs)
    return Verdict(
        violations,
        {
            "jobs": len(evidence.jobs),
            **dict(sorted(states.items())),
            "checkpoints": len(evidence.steps),
            "effects": len(evidence.effects or ()),
            "tries": len(evidence.tries),
            "adopted": sum(event["reason"] == "adopted" for event in evidence.events),
            "recovered": sum(event["reason"] == "recovered" for event in evidence.events),
            "workers lost": sum(worker["lost_at"] is not None for worker in evidence.workers),
            "starts by stale holders": len(stale_starts(evidence)),
            **_locks(evidence),
            **_gates(evidence),
            **_waits(evidence),
            **_letters(evidence),
        },
    )


def _locks(evidence: Evidence) -> dict[str, int]:
    changes = Counter(row["change"] for row in evidence.lock_grants)
    guarded = evidence.guarded or ()
    return {
        **{f"locks {change}": count for change, count in sorted(changes.items())},
        "guarded writes": len(guarded),
        "refused by their tokens": sum(not written.accepted for written in guarded),
    }


def _gates(evidence: Evidence) -> dict[str, int]:
    return {
        "ordered": sum(job["ordering_key"] is not None for job in evidence.jobs),
        "few of a key": sum(job["concurrency_key"] is not None for job in evidence.jobs),
        "few of a pipeline": sum(job["pipeline"] == "limited" for job in evidence.jobs),
    }


def _waits(evidence: Evidence) -> dict[str, int]:
    kinds = Counter(row["kind"] for row in evidence.waits)
    told = Counter(sent.told for sent in evidence.sent or ())
    return {
        **{f"waits for a {kind}": count for kind, count in sorted(kinds.items())},
        **{f"answers that were told {word}": count for word, count in sorted(told.items())},
        "too late": sum(row["expired"] for row in evidence.signals),
        "undo jobs": sum(job["undo_of"] is not None for job in evidence.jobs),
        "slots": len(evidence.slots),
    }


def _letters(evidence: Evidence) -> dict[str, int]:
    if evidence.receipts is None:
        return {}
    came = {receipt.event_id for receipt in evidence.receipts}
    return {
        "events of the outbox": len(evidence.outbox),
        "received": len(came),
        "received again": len(evidence.receipts) - len(came),
        "forgotten by the server": len(evidence.forgotten - came),
    }


def _bookings(evidence: Evidence, found: Counter[tuple[UUID, int]]) -> Iterator[Violation]:
    """What a transactional step wrote is there once where it has its checkpoint, else never."""
    for job in evidence.jobs:
        if job["pipeline"] != "transfer":
            continue
        for run in range(1, job["run"] + 1):
            wanted = int((job["id"], run, "book", "") in evidence.step_by_id)
            count = found[job["id"], run]
            if count != wanted:
                yield Violation("EXACTLY ONCE", f"job {job['id']} run {run} booked {count} times")


def _stock(evidence: Evidence, rows: Sequence[asyncpg.Record]) -> Iterator[Violation]:
    """What a run took is given back where that run failed or was cancelled, once, else never."""
    taken = Counter(row["mark"] for row in rows if row["change"] > 0)
    back = Counter(row["mark"] for row in rows if row["change"] < 0)
    ends = {
        (event["job"], event["run"]): event["to_state"]
        for event in evidence.events
        if event["to_state"] in FINAL
    }
    stored = set()
    for row in evidence.steps:
        if row["step"] != "take" or row["reused_from"] is not None:
            continue
        mark = mark_of(row) or ""
        stored.add(mark)
        wanted = int(ends.get((row["job"], row["run"])) in ("failed", "cancelled"))
        if (taken[mark], back[mark]) != (1, wanted):
            yield Violation(
                "UNDONE",
                f"run {row['run']} of job {row['job']} took {taken[mark]} times and gave back"
                f" {back[mark]} times, not {wanted}",
            )
    for mark in (taken.keys() | back.keys()) - stored:
        yield Violation("UNDONE", f"{mark} was taken, or given back, by no step that is stored")


def _failures(evidence: Evidence, poison: set[str]) -> Iterator[Violation]:
    """Nothing but poison fails, and what is to be undone: no fault is the fault of a job."""
    for job in evidence.jobs:
        is_poison = str(job["id"]) in poison
        is_to_fail = job["pipeline"] == "undone" and job["undo_of"] is None
        if is_to_fail and (job["state"], job["cause"]) != ("failed", "permanent_error"):
            yield Violation("FAILED", f"job {job['id']} is {job['state']}, and no step can do it")
        if job["state"] == "failed" and job["cause"] != "worker_lost" and not is_to_fail:
            yield Violation(
                "FAILED",
                f"job {job['id']} of {job['pipeline']} failed: {job['cause']}",
                ({"error": job["error"]},),
            )
        if is_poison and (job["state"], job["cause"]) != ("failed", "worker_lost"):
            yield Violation("POISON", f"job {job['id']} kills its workers and is {job['state']}")


def _left_running(evidence: Evidence, sessions: Sequence[asyncpg.Record]) -> Iterator[Violation]:
    """I22: the workers have ended, and with them their processes and their sessions."""
    for session in sessions:
        yield Violation("I22", f"{session['application_name']!r} is still connected")
    for worker in evidence.workers:
        command = Path(f"/proc/{worker['pid']}/cmdline")
        with contextlib.suppress(OSError):  # it has gone
            if b"tests.crash.app" in command.read_bytes():
                yield Violation("I22", f"process {worker['pid']} of worker {worker['id']} runs")


def _deaths(evidence: Evidence, blows: Sequence[Blow], poison: set[str]) -> Iterator[Violation]:
    """Each charge of an innocent job is explained by a blow to the worker that ran it."""
    of_process: defaultdict[int, list[Blow]] = defaultdict(list)
    for blow in blows:
        of_process[blow.pid].append(blow)
    for job_id, events in evidence.events_of.items():
        if str(job_id) in poison:
            continue
        claimed = None
        for event in events:
            if event["to_state"] == "running":
                claimed = event
            if not json.loads(event["metadata"] or "{}").get("charges") or claimed is None:
                continue
            worker = evidence.worker_by_id[claimed["worker"]]
            since, by = claimed["at"].timestamp() - SLACK_S, event["at"].timestamp() + SLACK_S
            hits = [
                blow
                for blow in of_process[worker["pid"]]
                if blow.kind in FATAL and blow.at <= by and (blow.until or blow.at) >= since
            ]
            if not hits:
                yield Violation(
                    "CHARGED",
                    f"job {job_id} was charged at seq {event['seq']} for the end of worker"
                    f" {worker['id']}, which nobody hit",
                    ({"pid": worker["pid"], "claimed": claimed["at"], "charged": event["at"]},),
                )
