"""What the ledger writes: an entry is everything that one job has to store at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
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

    @property
    def is_plain(self) -> bool:
        """Whether the short statements can store it."""
        return self.state == "completed" and self.artifact is None


@dataclass(slots=True)
class RecordRow:
    """What `once` stored. Rows of `records`."""

    step: str
    item: str
    name: str
    latency_us: int
    output: str | None
    artifact: str | None = None


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
    """The job goes back to its queue, due after `wait_s` seconds."""

    wait_s: float
    reason: str
    error: str | None = None


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


@dataclass(slots=True)
class Entry:
    """One job's writes; all of them are stored in one transaction, or none.

    Attributes:
        job: The job.
        token: The token under which it was claimed.
        run: Its present run.
        writer: Is told the outcome.
        steps: Checkpoints and plans.
        records: `once` records.
        tries: Failed tries.
        starts: (step, item) that are about to run in a job that has lost a worker before.
        clears: (step, item) whose start need no longer be remembered.
        calm: The job is no longer a suspect.
        move: Where the job goes, None while it stays with its worker.
        doubtful: A group that held it was sent, and its reply never came.
    """

    job: UUID
    token: int
    run: int
    writer: Writer
    steps: list[StepRow] = field(default_factory=list)
    records: list[RecordRow] = field(default_factory=list)
    tries: list[TryRow] = field(default_factory=list)
    starts: list[tuple[str, str]] = field(default_factory=list)
    clears: list[tuple[str, str]] = field(default_factory=list)
    calm: bool = False
    move: Move | None = None
    doubtful: bool = False
    note: Any = None

    @property
    def is_bare(self) -> bool:
        """Whether it holds nothing but plain checkpoints and perhaps a plain end."""
        return not (
            self.doubtful or self.records or self.tries or self.starts or self.clears or self.calm
        ) and all(row.is_plain for row in self.steps)

    @property
    def is_finish(self) -> bool:
        """Whether it is the one checkpoint that completes a job, and nothing else."""
        move = self.move
        return (
            type(move) is End
            and move.state == "completed"
            and len(self.steps) == 1
            and not self.steps[0].item
            and self.is_bare
        )

    @property
    def is_checkpoint(self) -> bool:
        """Whether it holds plain checkpoints of a job that goes on, and nothing else."""
        return self.move is None and bool(self.steps) and self.is_bare
