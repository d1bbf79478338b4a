"""I6, I7 and fan-outs: a stored outcome stands, and what has one is never started again."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from uuid import UUID

from tests.proof.effects import Effect, Mark
from tests.proof.evidence import Evidence, RowId, row_id, short
from tests.proof.violation import Row, Violation

DONE = ("completed", "skipped")
ENDED = (*DONE, "failed")
FAILED = "failed"
"""What stands for the mark of an item that failed."""


def check_outputs(evidence: Evidence) -> Iterator[Violation]:
    """I6: what is stored is what the step returned under that token, and what later steps saw."""
    if evidence.effects is None:
        return
    ends: defaultdict[RowId, list[Effect]] = defaultdict(list)
    for effect in evidence.effects:
        if effect.kind == "end":
            ends[_id(effect)].append(effect)
    writing = {effect.step for effect in evidence.effects}
    for row in evidence.steps:
        if row["state"] != "completed" or row["reused_from"] is not None:
            continue
        if row["step"] not in writing:
            continue  # a step that keeps no account
        marks = [effect.mark for effect in ends[row_id(row)] if effect.token == row["token"]]
        if mark_of(row) not in marks:
            yield Violation(
                "I6",
                f"{_name(row)} is stored as {mark_of(row)}, token {row['token']} returned {marks}",
                (short(row, "token", "worker", "finished_at", "output"),),
            )
    for effect in evidence.effects:
        if effect.kind == "start":
            yield from _unlike(evidence, effect)


def check_started_again(evidence: Evidence) -> Iterator[Violation]:
    """I7: no start after the checkpoint, but by a stale holder who cannot know."""
    for effect in evidence.effects or ():
        row = evidence.step_by_id.get(_id(effect))
        if effect.kind != "start" or row is None or row["state"] not in ENDED:
            continue
        later = effect.token == row["token"] and effect.at > row["finished_at"].timestamp()
        if row["reused_from"] is not None or effect.token > row["token"] or later:
            yield Violation(
                "I7",
                f"{_name(row)} was started under {effect.token} though it has its checkpoint",
                (
                    short(row, "token", "worker", "finished_at", "reused_from"),
                    {"pid": effect.pid, "attempt": effect.attempt, "at": effect.at},
                ),
            )


def check_records_made_again(evidence: Evidence) -> Iterator[Violation]:
    """I7 inside a step: what `once` has stored is not made again. Its lines name `step#name`."""
    if evidence.effects is None:
        return
    records = {(*row_id(row), row["name"]): row for row in evidence.records}
    for effect in evidence.effects:
        step, found, name = effect.step.partition("#")
        row = records.get((UUID(effect.job), effect.run, step, effect.item, name))
        if not found or effect.kind != "start" or row is None:
            continue
        later = effect.token == row["token"] and effect.at > row["finished_at"].timestamp()
        if effect.token > row["token"] or later:
            yield Violation(
                "I7",
                f"{name!r} in {_name(row)} was made again under {effect.token}",
                (
                    short(row, "token", "worker", "finished_at"),
                    {"pid": effect.pid, "at": effect.at},
                ),
            )


def check_fan_outs(evidence: Evidence) -> Iterator[Violation]:
    """Fan-outs: an item stands in its plan, once, and a completed job has an outcome of each."""
    plans = {row_id(row)[:3]: plan_of(row) for row in evidence.steps if row["state"] == "planned"}
    for (job, run, step), keys in plans.items():
        if len(keys) != len(set(keys)):
            yield Violation("PLAN", f"the plan of {step} of job {job} run {run} repeats a key")
        owner = evidence.job_by_id.get(job)
        if owner is None or owner["state"] != "completed" or owner["run"] != run:
            continue
        rows = {key: evidence.step_by_id.get((job, run, step, key)) for key in keys}
        missing = [key for key, row in rows.items() if row is None or row["state"] not in ENDED]
        done = sum(row is not None and row["state"] in DONE for row in rows.values())
        if missing or done < evidence.expect.at_least.get(step, len(rows)):
            yield Violation(
                "PLAN",
                f"job {job} run {run} completed with {done} of {len(rows)} items of {step}, "
                f"without an outcome of {missing}",
            )
    for row in evidence.steps:
        if row["item"] and row["item"] not in plans.get(row_id(row)[:3], ()):
            yield Violation(
                "PLAN", f"{_name(row)} is not in a plan", (short(row, "token", "finished_at"),)
            )


def check_failed_items(evidence: Evidence) -> Iterator[Violation]:
    """A stored failure is that of an item that may fail, and the last of its tries."""
    last = {row_id(row) for row in evidence.tries if row["due_at"] is None}
    for row in evidence.steps:
        if row["state"] != "failed":
            continue
        may_fail = row["item"] and row["step"] in evidence.expect.at_least
        run = row["reused_from"] or row["run"]
        tried = (row["job"], run, row["step"], row["item"]) in last
        if not may_fail or not tried or row["output"] is None:
            yield Violation(
                "FAILED",
                f"{_name(row)} is stored as failed",
                (short(row, "token", "attempts", "finished_at", "reused_from", "output"),),
            )


def check_results(evidence: Evidence) -> Iterator[Violation]:
    """A completed job has the output that is its result."""
    for job in evidence.jobs:
        if job["state"] != "completed" or job["undo_of"] is not None:  # an undo job has no result
            continue
        step = job["result_step"]
        row = evidence.step_by_id.get((job["id"], job["run"], step, ""))
        if row is None or row["state"] not in (*DONE, "planned"):
            yield Violation("RESULT", f"job {job['id']} completed, but {step!r} has no output")


def stale_starts(evidence: Evidence) -> list[Effect]:
    """Starts by holders who had lost the job: allowed, but counted."""
    found = []
    for effect in evidence.effects or ():
        row = evidence.step_by_id.get(_id(effect))
        if effect.kind == "start" and row is not None and row["state"] in ENDED:
            late = effect.at > row["finished_at"].timestamp()
            if effect.token < row["token"] and late:
                found.append(effect)
    return found


def mark_of(row: Row) -> str | None:
    """The mark in a stored output."""
    return _mark_in(json.loads(row["output"])) if row["output"] is not None else None


def plan_of(row: Row) -> list[str]:
    """The keys of a plan, in order."""
    return [entry[0] for entry in json.loads(row["output"])]


def _mark_in(output: object) -> str | None:
    if isinstance(output, Mapping):
        mark = output.get("mark")
        return None if mark is None else str(mark)
    return None if output is None else str(output)


def _unlike(evidence: Evidence, effect: Effect) -> Iterator[Violation]:
    for step, seen in effect.saw.items():
        stored = _stored(evidence, (UUID(effect.job), effect.run, step))
        if stored != (list(seen) if isinstance(seen, list | tuple) else seen):
            yield Violation(
                "I6",
                f"{effect.step} {effect.item!r} of job {effect.job} run {effect.run} saw {seen} of"
                f" {step}, stored is {stored}",
                ({"pid": effect.pid, "token": effect.token, "at": effect.at},),
            )


def _stored(evidence: Evidence, step: tuple[UUID, int, str]) -> Mark:
    whole = evidence.step_by_id.get((*step, ""))
    if whole is None:
        return "nothing"
    if whole["state"] != "planned":
        return mark_of(whole)
    rows = (evidence.step_by_id.get((*step, key)) for key in plan_of(whole))
    return [_mark_of_item(row) for row in rows]


def _mark_of_item(row: Row | None) -> str:
    if row is None:
        return "nothing"
    return FAILED if row["state"] == "failed" else str(mark_of(row))


def _id(effect: Effect) -> RowId:
    return UUID(effect.job), effect.run, effect.step, effect.item


def _name(row: Row) -> str:
    item = f" item {row['item']!r}" if row["item"] else ""
    return f"{row['step']}{item} of job {row['job']} run {row['run']}"
