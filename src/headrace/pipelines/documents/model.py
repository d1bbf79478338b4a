"""What is said about documents: the input and the output of the pipeline, and what is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from headrace.pipelines.documents.chunking import Span
from headrace.pipelines.documents.parsing import Kind
from headrace.pipelines.documents.stages import Stage


@dataclass(frozen=True, slots=True)
class Document:
    """An uploaded file, as the input of a job."""

    id: str
    name: str
    kind: Kind
    sha256: str


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """The Markdown that was made of a file: where it lies, and what it is."""

    address: str
    sha256: str
    characters: int
    pages: list[int] = field(default_factory=list)
    """The line on which each page begins, from 1; empty where the file has no pages."""
    is_reused: bool = False
    """Whether an earlier job made it."""


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A file that another system has."""

    reference: str
    """That system's own id of its job; empty where it gave none, or has nothing to do."""
    run: int
    """The run of the job for which it has it; a later one may wait for the same answer."""


@dataclass(frozen=True, slots=True)
class Text:
    """A parsed file that was found good."""

    address: str
    sha256: str
    chunk_tokens: int
    """Most tokens of a chunk: what its embedder takes, or less."""


@dataclass(frozen=True, slots=True)
class Division:
    """Where the chunks of a text are."""

    chunker: str
    """Name and version of what found them."""
    spans: list[Span]


@dataclass(frozen=True, slots=True)
class Generation:
    """The stored chunks of one job."""

    number: int
    chunks: int
    space: int
    """The number of the space that their vectors belong to."""
    batches: list[list[int]]
    """Ordinals of the chunks that have no vector yet: what is embedded at once."""


@dataclass(frozen=True, slots=True)
class BatchUsage:
    """What one batch took."""

    texts: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What embedding took, in all batches of a job."""

    batches: int
    texts: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Ingested:
    """The result of a job: a document that can be searched."""

    document: str
    generation: int
    chunks: int
    embedded: int
    """Chunks whose vector was made by this job; the others had theirs."""
    tokens: int
    parse_reused: bool


@dataclass(frozen=True, slots=True)
class DocumentProblem:
    """Why a document could not be ingested."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class DocumentStatus:
    """A document as it is shown to its owner."""

    id: str
    name: str
    kind: Kind
    bytes: int
    sha256: str
    stage: Stage
    progress: float
    """0 to 100: 60 % of it are chunks stored, 40 % are vectors stored."""
    chunks_total: int
    chunks_done: int
    embeds_total: int
    embeds_done: int
    pages: int | None
    generation: int | None
    """That is in search; None while there is none."""
    space: str | None
    """Model and version of its vectors, `minilm@1`."""
    problem: DocumentProblem | None
    job: str | None
    created_at: datetime
    processing_started_at: datetime | None
    processing_ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document, with its place in the parsed text."""

    id: str
    ordinal: int
    type: str
    text: str
    sha256: str
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
    """Characters of the parsed text."""
    start_line: int
    end_line: int
    """Lines of the parsed text, from 1."""
    page: int | None
    """Page of the file, from 1; None where it has no pages."""

    @property
    def position(self) -> str:
        """Where to look: the page, else the lines."""
        if self.page is not None:
            return f"page {self.page}"
        if self.start_line == self.end_line:
            return f"line {self.start_line}"
        return f"lines {self.start_line}-{self.end_line}"
