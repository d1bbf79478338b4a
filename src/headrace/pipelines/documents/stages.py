"""How far a document is, derived from its job: which steps are done, and the job's state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection


class Stage(StrEnum):
    """What is shown of a document's way."""

    RECEIVING = "receiving"
    UPLOADED = "uploaded"
    PARSE_QUEUED = "parse_queued"
    PARSED = "parsed"
    PARSE_VALIDATED = "parse_validated"
    CHUNKING = "chunking"
    CHUNKS_STORED = "chunks_stored"
    EMBEDDING_QUEUED = "embedding_queued"
    EMBEDDING_IN_PROGRESS = "embedding_in_progress"
    EMBEDDINGS_STORED = "embeddings_stored"
    COMPLETE = "complete"
    FAILED_PARSE = "failed_parse"
    FAILED_CHUNKING = "failed_chunking"
    FAILED_EMBEDDING = "failed_embedding"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self is Stage.COMPLETE or self is Stage.CANCELLED or self.value.startswith("failed")


@dataclass(frozen=True, slots=True)
class StepStages:
    """The stages that one step shows."""

    waiting: Stage
    running: Stage
    failed: Stage


STAGES: Final = {
    "hand_over": StepStages(Stage.UPLOADED, Stage.PARSE_QUEUED, Stage.FAILED_PARSE),
    "parse": StepStages(Stage.PARSE_QUEUED, Stage.PARSE_QUEUED, Stage.FAILED_PARSE),
    "validate": StepStages(Stage.PARSED, Stage.PARSED, Stage.FAILED_PARSE),
    "split": StepStages(Stage.PARSE_VALIDATED, Stage.CHUNKING, Stage.FAILED_CHUNKING),
    "chunk": StepStages(Stage.CHUNKING, Stage.CHUNKING, Stage.FAILED_CHUNKING),
    "embed": StepStages(
        Stage.EMBEDDING_QUEUED, Stage.EMBEDDING_IN_PROGRESS, Stage.FAILED_EMBEDDING
    ),
    "store": StepStages(Stage.EMBEDDINGS_STORED, Stage.EMBEDDINGS_STORED, Stage.FAILED_EMBEDDING),
    "finalize": StepStages(
        Stage.EMBEDDINGS_STORED, Stage.EMBEDDINGS_STORED, Stage.FAILED_EMBEDDING
    ),
}
"""By step, in their order. Where the workers parse there is no `hand_over`."""


def stage_of(
    job_state: str | None, done: Collection[str], *, is_shown: bool, lost: Stage = Stage.RECEIVING
) -> Stage:
    """The stage of a document.

    Args:
        job_state: The state of its job; None where it has none, or no longer.
        done: The steps of that job's present run that are completed.
        is_shown: Whether a generation of it is in search: decides where the job is gone.
        lost: What it is where the job is gone and nothing is in search.
    """
    if job_state is None:
        return Stage.COMPLETE if is_shown else lost
    if job_state == "completed":
        return Stage.COMPLETE
    if job_state == "cancelled":
        return Stage.CANCELLED
    if "parse" in done:
        done = {*done, "hand_over"}
    at = next((stages for step, stages in STAGES.items() if step not in done), STAGES["finalize"])
    return {"queued": at.waiting, "running": at.running, "failed": at.failed}[job_state]
