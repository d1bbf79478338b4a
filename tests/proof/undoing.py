"""UNDO: what a run completed that failed or was cancelled is undone once, the last step first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import TypeAlias
from uuid import UUID

from tests.proof.evidence import Evidence, short
from tests.proof.violation import Row, Violation

SUFFIX = ".undo"
Run: TypeAlias = tuple[UUID, int]
Done: TypeAlias = dict[tuple[str, str], Row]
"""Checkpoints by step and item."""


def check_undone(evidence: Evidence) -> Iterator[Violation]:
    """Each run that had something to undo has one undo job, which undid just that, in reverse."""
    wanted = {run: done for run in _lost_runs(evidence) if (done := _done(evidence, *run))}
    found: defaultdict[Run, list[Row]] = defaultdict(list)
    for job in evidence.jobs:
        if job["undo_of"] is not None:
            found[job["undo_of"], job["undo_run"]].append(job)
    for (job_id, run), done in wanted.items():
        jobs = found.pop((job_id, run), [])
        if len(jobs) != 1:
            yield Violation("UNDO", f"run {run} of job {job_id} has {len(jobs)} undo jobs")
        for job in jobs:
            yield from _check_job(evidence, job, done)
    for (job_id, run), jobs in found.items():
        shown = tuple(short(job, "id", "state", "undo_steps") for job in jobs)
        yield Violation("UNDO", f"nothing was to be undone of run {run} of job {job_id}", shown)


def _lost_runs(evidence: Evidence) -> Iterator[Run]:
    for event in evidence.events:
        job = evidence.job_by_id.get(event["job"])
        is_undo = job is not None and job["undo_of"] is not None
        if event["to_state"] in {"failed", "cancelled"} and not is_undo:
            yield event["job"], event["run"]


def _done(evidence: Evidence, job_id: UUID, run: int) -> Done:
    """What a run completed itself of the steps that have an undo."""
    job = evidence.job_by_id.get(job_id)
    if job is None:
        return {}
    names = _undos(evidence, job["pipeline"], job["version"])
    return {
        (row["step"], row["item"]): row
        for row in evidence.steps_of.get((job_id, run), ())
        if row["step"] in names and row["state"] == "completed" and row["reused_from"] is None
    }


def _undos(evidence: Evidence, pipeline: str, version: str) -> set[str]:
    of_all = [row for row in evidence.pipelines if row["name"] == pipeline]
    if not any(row["undos"] for row in of_all if row["version"] == version):
        return set()
    return {name for row in of_all for name in row["undos"]}


def _check_job(evidence: Evidence, job: Row, done: Done) -> Iterator[Violation]:
    rows = evidence.steps_of.get((job["id"], job["run"]), ())
    undone = {
        (row["step"].removesuffix(SUFFIX), row["item"]): row
        for row in rows
        if row["state"] == "completed"
    }
    what = f"job {job['id']}, which undoes run {job['undo_run']} of job {job['undo_of']},"
    for key in undone.keys() - done.keys():
        yield Violation("UNDO", f"{what} undid {key}, which was not done")
    missing = done.keys() - undone.keys()
    if job["state"] == "completed" and missing:
        yield Violation("UNDO", f"{what} completed without {sorted(missing)}")
    if evidence.expect.drained and job["state"] == "cancelled":
        yield Violation("UNDO", f"{what} was cancelled")
    yield from _check_order(what, done, undone)


def _check_order(
    what: str, done: Done, undone: Mapping[tuple[str, str], Row]
) -> Iterator[Violation]:
    """No step is undone before all of those behind it are."""
    times: defaultdict[int, list[datetime]] = defaultdict(list)
    missing: set[int] = set()
    for key, row in done.items():
        undo = undone.get(key)
        if undo is None:
            missing.add(row["position"])
        else:
            times[row["position"]].append(undo["finished_at"])
    places = sorted(times, reverse=True)
    if missing and places and min(places) < max(missing):
        yield Violation("UNDO", f"{what} passed over a step")
    for later, earlier in pairwise(places):
        if min(times[earlier]) < max(times[later]):
            yield Violation("UNDO", f"{what} undid a step before one behind it")
