"""What the ledger writes: an entry is everything that one job has to store at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


@dataclass(slots=True)
class StepRow:
    """The checkpoint of a step or item, or the plan of a fan-out. Rows of `steps`."""

    step: str
    item: str
    position: int
    attempts: int
    latency_us: int
    output: str | None
    state: str = "completed"
    artifact: str | None = None
    reason: str | None = None
    metadata: str | None = None


@dataclass(slots=True)
class RecordRow:
    """What `once` stored. Rows of `records`."""

    step: str
    item: str
    name: str
    latency_us: int
    output: str | None
    artifact: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Its address in the run."""
        return self.step, self.item, self.name


@dataclass(slots=True)
class TryRow:
    """A try that failed or was put off; `wait_s` is None where there is no next one."""

    step: str
    item: str
    attempt: int
    latency_us: int
    kind: str
    code: str
    message: str
    detail: str | None
    wait_s: float | None


@dataclass(slots=True)
class WaitRow:
    """What a step begins to wait for; `wait_s` is None for what ends by itself. Rows of `waits`."""

    step: str
    item: str
    kind: Literal["signal", "child", "delay"]
    name: str
    wait_s: float | None


@dataclass(slots=True)
class End:
    """The job ends. A cancel request that is stored by then turns it into `cancelled`."""

    state: str
    reason: str
    result_step: str | None = None
    cause: str | None = None
    error: str | None = None
    step: str | None = None
    item: str | None = None


@dataclass(slots=True)
class Release:
    """The job goes back to its queue, due after `wait_s` seconds.

    It is due at once where one of these signals has come, or one of these children has ended.
    """

    wait_s: float
    reason: str
    error: str | None = None
    signals: Sequence[str] = ()
    children: Sequence[str] = ()


Move: TypeAlias = End | Release


@dataclass(frozen=True, slots=True)
class Committed:
    """The entry is stored; `state` is what the job was moved to, None without a move."""

    state: str | None


@dataclass(frozen=True, slots=True)
class Stale:
    """Nothing was stored: the token is no longer the job's, whose row says who has it now."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The database refuses this entry for what it holds; nothing of it was stored."""

    error: Exception


Outcome: TypeAlias = Committed | Stale | Refused


class Writer(Protocol):
    """Whose entry it is."""

    def settled(self, entry: Entry, outcome: Outcome) -> None:
        """Called once, in the ledger's task, when the entry's fate is known."""


@dataclass(slots=True, eq=False)
class Entry:
    """One job's writes; all of them are stored in one transaction, or none.

    Attributes:
        job: The job.
        token: The token under which it was claimed.
        run: Its present run.
        writer: Is told the outcome.
        note: The writer's own.
        steps: Checkpoints and plans.
        records: `once` records.
        tries: Failed tries.
        starts: (step, item) that are about to run in a job that has lost a worker before.
        waits: What steps begin to wait for.
        clears: (step, item) whose start need no longer be remembered.
        calm: The job is no longer a suspect.
        move: Where the job goes, None while it stays with its worker.
        bare: Whether it holds nothing but plain checkpoints, and perhaps a move.
    """

    job: UUID
    token: int
    run: int
    writer: Writer
    note: Any = None
    # Most entries have one checkpoint and nothing else: no list is made for what they lack.
    steps: Sequence[StepRow] = ()
    records: Sequence[RecordRow] = ()
    tries: Sequence[TryRow] = ()
    starts: Sequence[tuple[str, str]] = ()
    waits: Sequence[WaitRow] = ()
    clears: Sequence[tuple[str, str]] = ()
    calm: bool = False
    move: Move | None = None
    bare: bool = True

    def add_step(self, row: StepRow) -> None:
        """Store a checkpoint, or a plan."""
        self.steps = (*self.steps, row)
        if row.state != "completed" or row.artifact is not None or row.metadata is not None:
            self.bare = False

    def add_record(self, row: RecordRow) -> None:
        """Store a `once` record."""
        self.records, self.bare = (*self.records, row), False

    def add_try(self, row: TryRow) -> None:
        """Store a failed try."""
        self.tries, self.bare = (*self.tries, row), False

    def add_start(self, key: tuple[str, str]) -> None:
        """Store that a step or item is about to start."""
        self.starts, self.bare = (*self.starts, key), False

    def add_wait(self, row: WaitRow) -> None:
        """Store what a step begins to wait for."""
        self.waits, self.bare = (*self.waits, row), False

    def add_clear(self, key: tuple[str, str]) -> None:
        """Forget the start of a step or item."""
        self.clears, self.bare = (*self.clears, key), False

    def set_calm(self) -> None:
        """The job is no suspect any more."""
        self.calm, self.bare = True, False

    @property
    def kind(self) -> str:
        """The kind of group that it goes into: `finish`, `checkpoint` or `change`."""
        if self.bare:
            move, steps = self.move, self.steps
            if move is None:
                return "checkpoint" if steps else "change"
            if len(steps) == 1 and not steps[0].item and move.reason == "completed":
                return "finish"
        return "change"
