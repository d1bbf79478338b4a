"""What the tables should say: the engine's rules once more, in the plainest Python.

The model never reads the database. It is told what was asked for, says what has to come back, and
`Model.expected` is compared with the tables after each move.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from uuid import UUID

from tests.proof.database import CRASH_LIMIT, Held
from tests.proof.evidence import FINAL, Evidence

Key: TypeAlias = tuple[str, str]
"""A step and an item."""

FAN: Final = "fan"
ITEMS: Final = ("a", "b")


@dataclass(slots=True)
class Start:
    """A start on record."""

    token: int
    run: int
    charges: int = 0


@dataclass(slots=True)
class Job:
    """One job; `token` is the newest that was granted, also after it ended."""

    state: str = "queued"
    run: int = 1
    token: int | None = None
    worker: int | None = None
    suspicion: int = 0
    cancel: bool = False
    starts: dict[Key, Start] = field(default_factory=dict)
    outputs: dict[int, dict[Key, str]] = field(default_factory=dict)
    tries: Counter[tuple[int, str, str]] = field(default_factory=Counter)

    @property
    def stored(self) -> dict[Key, str]:
        """The outputs of its present run."""
        return self.outputs.setdefault(self.run, {})

    @property
    def may_complete(self) -> bool:
        """Whether no item of a planned fan-out is missing."""
        return (FAN, "") not in self.stored or all((FAN, item) in self.stored for item in ITEMS)


class Model:
    """All jobs and workers."""

    def __init__(self) -> None:
        self.jobs: dict[UUID, Job] = {}
        self.dead: set[int] = set()
        self.alive: set[int] = set()
        self.held: list[Held] = []
        """Whatever a worker ever believed to hold, and did not end itself."""
        self.paused = False

    def accepts(self, held: Held) -> bool:
        """Whether the fence lets this holder write."""
        job = self.jobs[held.job]
        return job.state == "running" and job.token == held.token

    def claimed(self, held: Held) -> None:
        """A worker was given a job."""
        job = self.jobs[held.job]
        assert job.state == "queued", f"{held} was claimed while {job}"
        assert job.token is None or held.token > job.token
        assert (held.run, held.suspicion) == (job.run, job.suspicion)
        job.state, job.token, job.worker = "running", held.token, held.worker

    def ended(self, held: Held, state: str) -> str:
        """The holder ends a job, or gives it back; says what has to become of it."""
        job = self.jobs[held.job]
        job.state = "cancelled" if job.cancel else state
        job.worker = None
        self.held.remove(held)
        return job.state

    def recovered(self, job: Job) -> str:
        """The holder of a job is dead; says what has to become of it."""
        started = [
            start
            for start in job.starts.values()
            if (start.token, start.run) == (job.token, job.run)
        ]
        if job.suspicion == 2:
            for start in started:
                start.charges += 1
        else:
            job.suspicion = 2 if job.suspicion == 1 and started else 1
        worst = max((start.charges for start in started), default=0)
        job.state = "failed" if worst >= CRASH_LIMIT else "queued"
        if job.cancel:
            job.state = "cancelled"
        job.worker = None
        return job.state

    def reopened(self, job: Job, *, reuse: bool) -> None:
        """An operator opens the next run."""
        before = dict(job.stored)
        job.run, job.state, job.suspicion, job.cancel = job.run + 1, "queued", 0, False
        if reuse:
            job.outputs[job.run] = before

    def noted(self, held: Held, key: Key) -> None:
        """The holder shows that a step runs; only what is on record matters here."""
        start = self.jobs[held.job].starts.get(key)
        if start is None:
            return
        if start.run == held.run:
            start.token = held.token
        else:
            del self.jobs[held.job].starts[key]

    def put_on_record(self, held: Held, key: Key) -> None:
        """The holder commits a start."""
        job = self.jobs[held.job]
        known = job.starts.get(key)
        charges = known.charges if known is not None and known.run == held.run else 0
        job.starts[key] = Start(held.token, held.run, charges)

    def compare(self, evidence: Evidence) -> list[str]:
        """Where the tables differ."""
        return [
            *_differences("jobs", self._jobs(), {
                row["id"]: (row["state"], row["run"], row["token"], row["worker"], row["suspicion"])
                for row in evidence.jobs
            }),
            *_differences("steps", self._steps(), {
                (row["job"], row["run"], row["step"], row["item"]): row["output"]
                for row in evidence.steps
            }),
            *_differences("starts", self._starts(), {
                (row["job"], row["step"], row["item"]): (row["run"], row["token"], row["charges"])
                for row in evidence.progress
                if row["recorded"]
            }),
        ]  # fmt: skip

    def _jobs(self) -> dict[object, object]:
        return {
            job_id: (job.state, job.run, job.token, job.worker, job.suspicion)
            for job_id, job in self.jobs.items()
        }

    def _steps(self) -> dict[object, object]:
        return {
            (job_id, run, step, item): text
            for job_id, job in self.jobs.items()
            for run, outputs in job.outputs.items()
            for (step, item), text in outputs.items()
        }

    def _starts(self) -> dict[object, object]:
        return {
            (job_id, step, item): (start.run, start.token, start.charges)
            for job_id, job in self.jobs.items()
            for (step, item), start in job.starts.items()
        }

    @property
    def open(self) -> list[UUID]:
        """The jobs that have not ended."""
        return [job_id for job_id, job in self.jobs.items() if job.state not in FINAL]


def _differences(
    table: str, expected: dict[object, object], actual: dict[object, object]
) -> list[str]:
    return [
        f"{table} {key}: expected {expected.get(key)}, found {actual.get(key)}"
        for key in expected.keys() | actual.keys()
        if expected.get(key) != actual.get(key)
    ]
