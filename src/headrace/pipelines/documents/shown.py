"""Documents as they are shown: made from their rows and the states of their jobs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self
from uuid import UUID

from headrace import InvalidError
from headrace.pipelines.documents.model import DocumentProblem, DocumentStatus
from headrace.pipelines.documents.parsing import Kind
from headrace.pipelines.documents.stages import Stage, stage_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace import Row

CHUNKS_SHARE: Final = 60.0
EMBEDS_SHARE: Final = 40.0
"""Percent of the progress."""


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """Some documents, newest first."""

    documents: list[DocumentStatus]
    next: str | None
    """The cursor of the page after this one; None where this is the last."""

    @classmethod
    def of(cls, rows: Sequence[Row], limit: int) -> Self:
        """A page of rows, of which one more than `limit` was asked for."""
        shown = rows[:limit]
        cursor = None
        if len(rows) > limit:
            cursor = f"{shown[-1]['created_at'].isoformat()}_{shown[-1]['id']}"
        return cls([status_of(row) for row in shown], cursor)


def read_cursor(cursor: str | None) -> tuple[datetime | None, UUID | None]:
    """Where a page goes on.

    Raises:
        InvalidError: It is no cursor of a page of documents.
    """
    if cursor is None:
        return None, None
    created, _, key = cursor.partition("_")
    try:
        time = datetime.fromisoformat(created)
        place = (time.astimezone(UTC), UUID(key)) if time.tzinfo else None
    except (ValueError, OverflowError):
        place = None
    if place is None:
        raise InvalidError(f"{cursor[:80]!r} is no cursor of a page of documents")
    return place


def status_of(row: Row) -> DocumentStatus:
    """A document, from its row joined with its job's."""
    stage = stage_of(
        row["job_state"],
        row["steps_done"],
        is_shown=row["current_generation"] is not None,
        lost=_lost_stage(row),
    )
    return DocumentStatus(
        id=str(row["id"]),
        name=row["name"],
        kind=Kind(row["kind"]),
        bytes=row["bytes"],
        sha256=row["sha256"],
        stage=stage,
        progress=100.0 if stage is Stage.COMPLETE else _progress(row),
        chunks_total=row["chunks_total"],
        chunks_done=row["chunks_done"],
        embeds_total=row["embeds_total"],
        embeds_done=row["embeds_done"],
        pages=row["pages"],
        generation=row["current_generation"],
        space=None if row["model"] is None else f"{row['model']}@{row['version']}",
        problem=_problem(row["job_error"]),
        job=None if row["job"] is None else str(row["job"]),
        created_at=row["created_at"],
        processing_started_at=row["processing_started_at"],
        processing_ended_at=row["processing_ended_at"],
    )


def _lost_stage(row: Row) -> Stage:
    """What is known of a document whose job was removed after its time, and with it the reason."""
    if row["job"] is None:
        return Stage.RECEIVING
    return Stage.FAILED_EMBEDDING if row["chunks_total"] else Stage.FAILED_PARSE


def _progress(row: Row) -> float:
    chunks = row["chunks_done"] / row["chunks_total"] if row["chunks_total"] else 0.0
    embeds = row["embeds_done"] / row["embeds_total"] if row["embeds_total"] else 0.0
    return round(CHUNKS_SHARE * chunks + EMBEDS_SHARE * embeds, 1)


def _problem(error: str | None) -> DocumentProblem | None:
    if error is None:
        return None
    fields = json.loads(error)
    return DocumentProblem(fields.get("code", ""), fields.get("message", ""))
