"""Documents as the API shows them: the models of the document, and what fills them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from headrace.web.views.actions import Reason
from headrace.web.views.errors import shown_message
from headrace.web.views.jobs import A_TIME, AN_ID
from headrace.web.views.taking import taken

if TYPE_CHECKING:
    from headrace.pipelines.documents import Chunk, DocumentStatus, Hit

A_HASH: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

UPLOAD: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "additionalProperties": False,
                "properties": {
                    "file": {
                        "type": "string",
                        "format": "binary",
                        "description": "PDF, DOCX, HTML, Markdown or text; its own name is the "
                        "document's, of at most 120 characters.",
                    },
                    "sha256": {
                        "type": "string",
                        "pattern": "^[0-9a-fA-F]{64}$",
                        "description": "Of the file; refused where it is another.",
                        "example": A_HASH,
                    },
                    "force": {
                        "type": "string",
                        "enum": ["true", "false"],
                        "default": "false",
                        "description": "Ingest it again where that was done.",
                    },
                },
            }
        },
        "application/json": {
            "schema": {"$ref": "#/components/schemas/SentDocument"},
        },
    },
}
"""The body of an upload: a form, which its route reads as a stream, or what names a file."""


class SentDocument(BaseModel):
    """A file that was sent to an address of `create_upload`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"upload_id": AN_ID, "name": "handbook.pdf"}]},
    )

    upload_id: UUID
    name: Annotated[str, Field(min_length=1, max_length=400, description="Of the document.")]
    sha256: Annotated[
        str | None,
        Field(pattern="^[0-9a-fA-F]{64}$", description="Of the file; refused if it is another."),
    ] = None
    force: Annotated[
        bool, Field(strict=True, description="Ingest it again where that was done.")
    ] = False


class UploadAddress(BaseModel):
    """Where a file can be sent."""

    upload_id: UUID = Field(description="For POST /v1/documents.", examples=[AN_ID])
    method: Literal["PUT"]
    url: str = Field(description="Relative to the address of the API; it needs no credential.")
    expires_at: datetime = Field(description="No file is taken after that.", examples=[A_TIME])
    max_bytes: int = Field(description="Size of a file that is taken.", examples=[26_214_400])


class UploadedDocument(BaseModel):
    """A file that is stored, and will be ingested."""

    document_id: UUID = Field(examples=[AN_ID])
    job_id: UUID = Field(description="Ingests it.", examples=[AN_ID])
    is_new: bool = Field(description="False where the same content is being ingested already.")


class DocumentProblemView(BaseModel):
    """Why a document could not be ingested."""

    code: str = Field(examples=["USER_ERROR"])
    message: str = Field(description="Safe to show.", examples=["the PDF has no text"])


class DocumentView(BaseModel):
    """A document, and how far it is."""

    document_id: UUID = Field(examples=[AN_ID])
    name: str = Field(examples=["handbook.pdf"])
    kind: str = Field(examples=["pdf"])
    bytes: int = Field(examples=[120_311])
    sha256: str = Field(examples=[A_HASH])
    stage: str = Field(
        description="`uploaded` to `complete`, `failed_...` or `cancelled`.", examples=["complete"]
    )
    progress: float = Field(description="Percent.", examples=[100.0])
    chunks_total: int
    chunks_done: int
    embeds_total: int
    embeds_done: int
    pages: int | None = Field(description="Null where the file has no pages.")
    generation: int | None = Field(description="That is in search; null without one.")
    problem: DocumentProblemView | None
    job_id: UUID | None = Field(description="The job that ingests or ingested it.")
    created_at: datetime = Field(examples=[A_TIME])
    processing_started_at: datetime | None
    processing_ended_at: datetime | None


class DocumentsPage(BaseModel):
    """Part of a list of documents, newest first."""

    items: list[DocumentView]
    limit: int
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


class ChunkView(BaseModel):
    """A piece of a document, with its place in the parsed text."""

    chunk_id: UUID
    ordinal: int = Field(description="Its place in the document, from 0.")
    type: str = Field(examples=["paragraph"])
    text: str
    start: int = Field(description="Character of the parsed text.")
    end: int
    start_line: int = Field(description="Line of the parsed text, from 1.")
    end_line: int
    page: int | None


class ChunkPage(BaseModel):
    """Some chunks of a document, in order."""

    document_id: UUID = Field(examples=[AN_ID])
    items: list[ChunkView]
    next: int | None = Field(description="`first` of the next page; null on the last one.")


class SearchBody(BaseModel):
    """A question."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"query": "Who opens the sluice?", "top_k": 3}]},
    )

    query: Annotated[str, Field(min_length=1, max_length=2_000)]
    top_k: Annotated[int, Field(strict=True, ge=1, le=100, description="Most passages.")] = 10
    document_ids: Annotated[
        list[UUID] | None,
        Field(min_length=1, max_length=1_000, description="Look in these alone."),
    ] = None
    min_score: Annotated[
        float | None,
        Field(ge=-1, le=1, description="Leave out passages with a smaller cosine similarity."),
    ] = None


class HitView(BaseModel):
    """A passage that was found."""

    text: str
    score: float = Field(description="Cosine similarity with the question.", examples=[0.71])
    document_id: UUID = Field(examples=[AN_ID])
    name: str = Field(examples=["handbook.pdf"])
    chunk_id: UUID
    ordinal: int
    type: str
    position: str = Field(description="Where to look.", examples=["page 3", "lines 10-12"])
    start: int
    end: int
    start_line: int
    end_line: int
    page: int | None


class SearchResult(BaseModel):
    """The passages that are nearest to a question, the nearest first."""

    items: list[HitView]


class DocumentRetryBody(BaseModel):
    """How a document is ingested again."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    force: bool = Field(
        default=False, strict=True, description="From the beginning, also where it is complete."
    )


class DocumentReopened(BaseModel):
    """A document that is ingested again."""

    document_id: UUID = Field(examples=[AN_ID])
    job_id: UUID = Field(examples=[AN_ID])
    run: int = Field(examples=[2])


class ParserNews(BaseModel):
    """What a parser says when it calls back."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"state": "parsed", "markdown": "# The mill"}]},
    )

    state: Literal["parsed", "failed", "processing"]
    markdown: Annotated[str | None, Field(description="With `parsed`: the text.")] = None
    result_url: Annotated[
        str | None,
        Field(max_length=2_048, description="With `parsed`: where the text is, in place of it."),
    ] = None
    pages: Annotated[
        list[Annotated[int, Field(ge=1)]],
        Field(max_length=100_000, description="With `parsed`: lines on which pages begin."),
    ] = []
    reason: Annotated[
        str | None, Field(min_length=1, max_length=2_000, description="With `failed`: why.")
    ] = None
    failure: Annotated[
        Literal["user", "transient"],
        Field(alias="class", description="With `failed`: the file is at fault, or the parser."),
    ] = "user"
    done: Annotated[int | None, Field(ge=0, description="With `processing`.")] = None
    total: Annotated[int | None, Field(ge=0, description="With `processing`.")] = None


class AdvanceBody(BaseModel):
    """How a document goes on that waits for a parser."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    markdown: Annotated[
        str | None,
        Field(
            min_length=1, description="The text; if left out, the worker parses the file itself."
        ),
    ] = None


class DocumentAdvanced(BaseModel):
    """A document that goes on."""

    document_id: UUID = Field(examples=[AN_ID])
    job_id: UUID = Field(examples=[AN_ID])


def document_view(document: DocumentStatus) -> dict[str, Any]:
    """A `DocumentView`."""
    problem = document.problem
    shown = None
    if problem is not None:
        shown = {"code": problem.code, "message": shown_message(problem.code, problem.message)}
    return taken(
        DocumentView, document, document_id=document.id, job_id=document.job, problem=shown
    )


def chunk_view(chunk: Chunk) -> dict[str, Any]:
    """A `ChunkView`."""
    return taken(ChunkView, chunk, chunk_id=chunk.id)


def hit_view(hit: Hit) -> dict[str, Any]:
    """A `HitView`."""
    return taken(HitView, hit, document_id=hit.document, chunk_id=hit.chunk)
