"""What is measured in which order: in interleaved rounds, so that drift hits all subjects alike."""

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from bench.documents import documents
from bench.fairness import fairness
from bench.figures import OURS
from bench.http import http
from bench.inflight import memory, recovery, soak
from bench.lab import Lab
from bench.launches import launch
from bench.locks import locks
from bench.pubsub import pubsub
from bench.sizes import Sizes
from bench.subjects import Subject
from bench.throughput import Values, crowded, drain, single, start, steps

Measure = Callable[[Lab, Subject], Awaitable[Values]]


class Work(NamedTuple):
    """One work and the rows of the table that it fills."""

    measure: Measure
    rows: tuple[str, ...]
    needs: str = ""
    """The kind of jobs that a subject must have."""
    ours: bool = False
    """Whether headrace alone is worth the time that it takes."""


@dataclass(frozen=True, slots=True)
class Task:
    """One measurement of one subject."""

    name: str
    subject: Subject
    work: Work


ROUNDS: Final = {
    "drain": Work(drain, ("submit", "drain"), "noop"),
    "steps": Work(steps, ("steps",), "steps"),
    "start": Work(start, ("start_p50", "start_p99"), "noop"),
    "single": Work(single, ("single",), "noop"),
}
HTTP_ROWS: Final = (
    "http", "http_p99", "http_rate", "http_server", "http_database", "http_client", "http_empty",
)  # fmt: skip
ONCE: Final = {
    "http": Work(http, HTTP_ROWS, "noop", ours=True),
    "fairness": Work(fairness, ("tenant_p50", "tenant_p95"), "other", ours=True),
    "locks": Work(locks, ("lock_p50", "lock_p95"), "noop", ours=True),
    "pubsub": Work(pubsub, ("pubsub_p50", "pubsub_p95"), "noop", ours=True),
    "memory": Work(memory, ("memory",), "sleep"),
    "soak": Work(soak, ("growth", "bloat", "leftovers"), "noop", ours=True),
    "launch": Work(launch, ("import", "help")),
}
CROWDED: Final = Work(crowded, ("crowded",), "noop")
DOCUMENTS: Final = Work(
    documents,
    ("documents", "chunks", "embedding", "parsing", "storing", "engine", "held"),
    "documents",
)
NAMES: Final = (*ROUNDS, "crowded", "documents", "recovery", *ONCE)
USUAL: Final = tuple(name for name in NAMES if name != "soak")  # that takes ten minutes


def plan(
    subjects: Sequence[Subject], sizes: Sizes, only: Collection[str]
) -> Iterator[tuple[Task, ...]]:
    """Groups of tasks in their order; the tasks of a group run at the same time."""
    works = [
        *((sizes.rounds, name, work) for name, work in ROUNDS.items()),
        (sizes.crowd_rounds, "crowded", CROWDED),
        (sizes.document_rounds, "documents", DOCUMENTS),
    ]
    for turn in range(max(times for times, _, _ in works)):
        for times, name, work in works:
            if turn < times and name in only:
                yield from _one_by_one(name, work, _rotated(subjects, turn))
    if "recovery" in only and (recoveries := tuple(_recoveries(subjects, sizes))):
        yield recoveries
    for name, work in ONCE.items():
        if name in only:
            yield from _one_by_one(name, work, subjects)


def _one_by_one(name: str, work: Work, subjects: Sequence[Subject]) -> Iterator[tuple[Task]]:
    for subject in subjects:
        able = not work.needs or work.needs in subject.kinds
        if able and (subject.name == OURS or not work.ours):
            yield (Task(name, subject, work),)


def _recoveries(subjects: Sequence[Subject], sizes: Sizes) -> Iterator[Task]:
    for subject in subjects:
        for way in ("kill", "frozen"):
            if (subject.name, way) in sizes.recoveries:
                work = Work(partial(recovery, way=way), (way,))
                yield Task(f"recovery {way}", subject, work)


def _rotated(subjects: Sequence[Subject], turn: int) -> Sequence[Subject]:
    """Another subject goes first in each round."""
    first = turn % len(subjects)
    return [*subjects[first:], *subjects[:first]]
