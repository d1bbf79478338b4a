"""A document's text cut into its chunks, as they are stored and embedded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.pipelines.documents.ids import chunk_id, text_sha256
from headrace.pipelines.documents.parsing import page_at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from headrace.pipelines.documents.chunking import Span


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk with its id and its text."""

    id: UUID
    text: str
    sha256: str
    span: Span
    page: int | None


def cut(
    text: str, spans: Sequence[Span], *, document: str, chunker: str, pages: list[int]
) -> list[Piece]:
    """The chunks of a text, in order.

    Args:
        text: Of the parsed file.
        spans: Where the chunks are in it.
        document: Whose they are.
        chunker: Who found them, name and version.
        pages: The lines on which pages begin, from 1.
    """
    pieces = []
    for ordinal, span in enumerate(spans):
        part = text[span.start : span.end]
        sha256 = text_sha256(part)
        page = page_at(pages, span.start_line)
        pieces.append(Piece(chunk_id(document, chunker, ordinal, sha256), part, sha256, span, page))
    return pieces
