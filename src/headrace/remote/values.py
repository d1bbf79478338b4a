"""What a remote API tells, as values; named as their local twins where they mean the same.

Times have zones, durations are in seconds. Fields that a newer server adds are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from headrace.model.job import JobState
from headrace.model.status import (
    ChildStatus,
    ErrorStatus,
    SignalStatus,
    StepStatus,
    UndoStatus,
    WaitStatus,
)

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a listing; `next` is the cursor of the next part, None after the last one."""

    items: list[T]
    next: str | None


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Everything that is shown of a job, but its input and its outputs."""

    id: str
    pipeline: str
    version: str
    queue: str
    owner: str
    state: JobState
    wait_reason: str | None
    due_at: datetime | None
    """When it may start, where it is queued."""
    deadline: datetime | None
    priority: int
    run: int
    attempts: int
    """The most tries that one of its steps took."""
    lease_losses: int
    cancel_requested_at: datetime | None
    cancel_reason: str | None
    cause: str | None
    """A `FailureCause`, where it failed."""
    error: ErrorStatus | None
    preset: str | None
    parameters: dict[str, Any] | None
    metadata: dict[str, Any] | None
    correlation_id: str | None
    parent_job: str | None
    input_preview: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    erased_at: datetime | None
    steps: tuple[StepStatus, ...]
    progress: float
    """The share of its steps that are done, 0 to 1."""
    ordering_key: str | None = None
    concurrency_key: str | None = None
    blocked_by: str | None = None
    """What keeps it from running where it is due, as in `JobStatus` of the library."""
    waits: tuple[WaitStatus, ...] = ()
    """What its steps wait for besides their inputs: the first 100, children last."""
    waits_total: int = 0
    """How many there are, counted up to 10,000."""
    signals: tuple[SignalStatus, ...] = ()
    """What was sent to the present run, oldest first."""
    children: tuple[ChildStatus, ...] = ()
    """The first 100 jobs that its steps submitted, in any run."""
    children_total: int = 0
    """How many there are, counted up to 10,000."""
    undo_of: str | None = None
    """The job that it undoes, of an undo job."""
    undo: UndoStatus | None = None
    """What undoes the run; None where it did not fail, or did nothing that has an undo."""

    @property
    def is_final(self) -> bool:
        """Whether the run has ended."""
        return self.state.is_final


@dataclass(frozen=True, slots=True)
class JobSummary:
    """One line of a listing of jobs."""

    id: str
    queue: str
    pipeline: str
    version: str
    owner: str
    state: JobState
    priority: int
    run: int
    wait_reason: str | None
    due_at: datetime | None
    cause: str | None
    lease_losses: int
    correlation_id: str | None
    parent_job: str | None
    input_preview: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    ordering_key: str | None = None
    concurrency_key: str | None = None
    blocked_by: str | None = None
    """What keeps it from running where it is due, as in `JobStatus` of the library."""
    undo_of: str | None = None
    """The job that it undoes, of an undo job."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One transition of a job."""

    seq: int
    run: int
    from_state: JobState | None
    to_state: JobState
    reason: str
    actor: str | None
    worker: int | None
    at: datetime
    metadata: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job.

    `name` is `state` (a transition), `step` (a step or an item ended or began to wait, or a try
    failed), `signal` (a value was sent to the job, or none came in time), `progress` (what a
    running step said) or `result` (the last one: how the job ended). What `data` holds stands in
    the OpenAPI document of the server.
    """

    id: str
    """Where to go on: `after` of `events`."""
    name: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A run that failed, until somebody redrives it."""

    job: str
    run: int
    owner: str
    queue: str
    pipeline: str
    version: str
    cause: str
    code: str
    message: str
    step: str | None
    item: str | None
    attempts: int
    lease_losses: int
    error_class: str | None
    correlation_id: str | None
    failed_at: datetime


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """A queue; the counts are of the jobs that the caller may see."""

    name: str
    is_paused: bool
    paused_at: datetime | None
    depth: int
    due: int
    running: int
    oldest_age_s: float | None
    """Seconds since the oldest job that could start became due; None where none could."""
    concurrency: int | None = None
    """Most of its jobs that run at once; None for any number."""
    blocked: int = 0
    """Jobs that are due, and wait for other jobs of their key or tenant."""
    waiting: int = 0
    """Jobs that wait for their time, a signal or another job."""


@dataclass(frozen=True, slots=True)
class PipelineStep:
    """A step of a pipeline."""

    name: str
    needs: tuple[str, ...]
    per_item: bool
    attempts: int
    timeout_s: float
    may_skip: bool
    signals: tuple[str, ...] = ()
    """What it waits for from outside."""
    delay_s: float | None = None
    """So long after its inputs are there it starts."""
    has_child: bool = False
    """Whether it ends when a job that it submits does."""


@dataclass(frozen=True, slots=True)
class PipelineSignal:
    """A value that can be sent to a job, and for which a step waits."""

    name: str
    value_schema: dict[str, Any]
    """The JSON schema of its values."""
    timeout_s: float
    """So long steps wait for it."""
    may_lack: bool
    """Whether steps go on without a value that does not come in time."""


@dataclass(frozen=True, slots=True)
class PipelineVersion:
    """A version that workers or submissions have registered."""

    version: str
    hash: str
    steps: tuple[str, ...]
    registered_at: datetime


@dataclass(frozen=True, slots=True)
class PipelineInfo:
    """A pipeline to which jobs can be submitted."""

    name: str
    version: str
    queue: str
    presets: dict[str, Any]
    steps: tuple[PipelineStep, ...]
    limits: dict[str, Any]
    versions: tuple[PipelineVersion, ...]
    """Registered so far, the newest first."""
    input_schema: dict[str, Any] | None = None
    """JSON schema of the input; only where one pipeline is asked for."""
    output_schema: dict[str, Any] | None = None
    signals: tuple[PipelineSignal, ...] = ()
    """What can be sent to its jobs."""


@dataclass(frozen=True, slots=True)
class DocumentProblem:
    """Why a document could not be ingested."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class DocumentStatus:
    """A document, and how far it is."""

    id: str
    name: str
    kind: str
    bytes: int
    sha256: str
    stage: str
    """`uploaded` to `complete`, `failed_...` or `cancelled`."""
    progress: float
    """Percent."""
    chunks_total: int
    chunks_done: int
    embeds_total: int
    embeds_done: int
    pages: int | None
    generation: int | None
    problem: DocumentProblem | None
    job: str | None
    created_at: datetime
    processing_started_at: datetime | None
    processing_ended_at: datetime | None

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.stage in {"complete", "cancelled"} or self.stage.startswith("failed")


@dataclass(frozen=True, slots=True)
class AddedDocument:
    """A file that is stored, and the job that ingests it."""

    document: str
    job: str
    is_new: bool
    """False where the same content was there already."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document, with its place in the parsed text."""

    id: str
    ordinal: int
    type: str
    text: str
    start: int
    end: int
    start_line: int
    end_line: int
    page: int | None


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found."""

    text: str
    score: float
    """Cosine similarity with the question, -1 to 1."""
    document: str
    name: str
    chunk: str
    ordinal: int
    type: str
    start: int
    end: int
    start_line: int
    end_line: int
    page: int | None
    position: str
    """Where to look: the page, else the lines."""


NAMES: Final[dict[type, dict[str, str]]] = {
    JobStatus: {"id": "job_id", "parent_job": "parent_job_id"},
    JobSummary: {
        "id": "job_id",
        "parent_job": "parent_job_id",
        "input_preview": "payload_preview",
    },
    ChildStatus: {"id": "job_id"},
    JobEvent: {"name": "event"},
    DeadLetter: {"job": "job_id"},
    DocumentStatus: {"id": "document_id", "job": "job_id"},
    AddedDocument: {"document": "document_id", "job": "job_id"},
    Chunk: {"id": "chunk_id"},
    Hit: {"document": "document_id", "chunk": "chunk_id"},
}
"""What the API calls a field, where it is another word than here."""


def read_value(kind: type[T], told: Any) -> T:  # noqa: ANN401 - JSON
    """What was told, as a value.

    Raises:
        ValueError: It is no such thing.
    """
    if not isinstance(told, dict):
        raise ValueError(f"{type(told).__name__} in place of {kind.__name__}")  # noqa: TRY004
    renamed = {own: told.get(name) for own, name in NAMES.get(kind, {}).items()}
    given = {**told, **renamed}
    if kind is JobStatus and isinstance(given.get("progress"), int | float):
        given["progress"] /= 100
    if kind is DeadLetter and isinstance(given.get("error"), dict):
        error = given["error"]
        given |= {name: error.get(name) for name in ("code", "message", "step", "item")}
        given["error_class"] = error.get("kind")
    if kind is JobStatus and isinstance(given.get("children"), list):
        given["children"] = [read_value(ChildStatus, one) for one in given["children"]]
    if kind not in _ADAPTERS:
        from pydantic import TypeAdapter  # noqa: PLC0415 - 0.1 s, which an import does not have

        _ADAPTERS[kind] = TypeAdapter(kind)
    value: T = _ADAPTERS[kind].validate_python(given)  # its error is a ValueError
    return value


_ADAPTERS: Final[dict[type, TypeAdapter[Any]]] = {}
