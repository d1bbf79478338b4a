"""/v1/documents: files come in, are shown, searched, ingested again and removed.

They are there only where the app carries the pipeline `documents`. A document is its owner's alone:
`tenant:admin` sees those of others through their jobs only.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.errors import InvalidError, JobNotFoundError, TransitionError
from headrace.model.job import JobState
from headrace.store.audit import Action, record_action
from headrace.store.erasure import erase_job
from headrace.web.answers import json_response
from headrace.web.auth.depends import Reader, Writer
from headrace.web.auth.identity import Identity
from headrace.web.gate.body import JSON_VALUE
from headrace.web.idempotency import KeyedRoute, keyed, serve_once
from headrace.web.library import HAND_OVER, held_by, is_handed_over, library_of, room_of, told
from headrace.web.problems import (
    MALFORMED,
    READING,
    REQUEST_ID,
    WRITING,
    Detail,
    ProblemError,
    invalid,
    responses,
)
from headrace.web.signed_uploads import owner_numbers
from headrace.web.state import service_of
from headrace.web.uploads import Received, fingerprint_of_form, received
from headrace.web.views.documents import (
    UPLOAD,
    AdvanceBody,
    ChunkPage,
    DocumentAdvanced,
    DocumentReopened,
    DocumentRetryBody,
    DocumentsPage,
    DocumentView,
    SearchBody,
    SearchResult,
    SentDocument,
    UploadedDocument,
    chunk_view,
    document_view,
    hit_view,
)

if TYPE_CHECKING:
    from headrace.pipelines.documents import Added, Chunk, DocumentStatus

router = APIRouter(prefix="/v1/documents", tags=["documents"], route_class=KeyedRoute)

OF_ONE: Final = (*READING, "NOT_FOUND")
FAILED_PARSE: Final = "failed_parse"
LAST: Final = 1_000_000
"""Ordinals are smaller, whatever the settings of the pipeline."""
MOST_CHUNKS: Final = 1_000
"""Of a page; as many as the library gives at once."""
DocumentId = Annotated[UUID, Path(description="The id of a document.")]


class DocumentQuery(BaseModel):
    """Which part of the list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(30, ge=1, le=100, description="Most documents of a page.")
    cursor: str | None = Field(None, max_length=100, description="`next` of the page before.")


class ChunkQuery(BaseModel):
    """Which part of a document."""

    model_config = ConfigDict(extra="forbid")

    first: int = Field(0, ge=0, le=LAST, description="Ordinal of the first chunk.")
    limit: int = Field(100, ge=1, le=MOST_CHUNKS, description="Most chunks of a page.")


@router.post(
    "",
    status_code=202,
    operation_id="upload_document",
    response_model=UploadedDocument,
    responses=responses(*WRITING, "CONFLICT", "NOT_FOUND", malformed=True),
    openapi_extra={**keyed(), "requestBody": UPLOAD},
)
async def upload_document(request: Request, identity: Writer) -> Response:
    """Take a file in: when this answers it is stored, and its job will ingest it.

    The file comes with the request, or was sent before to an address of `create_upload`.

    What is there already is told by its content. While it is ingested, the answer names the job
    that does so; once it is complete, the answer is 409 with its `document_id`, unless `force` is
    sent.
    """
    if JSON_VALUE in request.scope:
        return await _add_sent(request, identity)
    most = service_of(request).settings.max_upload_bytes
    async with received(request, most_bytes=most) as form:
        fingerprint = await fingerprint_of_form(request.scope, form)
        return await serve_once(request, fingerprint, partial(_add, request, identity, form))


async def _add(request: Request, identity: Identity, form: Received) -> Response:
    async with room_of(request):
        data = await form.file.read()
        added = await _take_in(request, identity, data, form.name, form.sha256, again=form.force)
    return await _told_added(added)


async def _add_sent(request: Request, identity: Identity) -> Response:
    try:
        body = SentDocument.model_validate(request.scope[JSON_VALUE])
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_input=False)) from None
    numbers = owner_numbers(service_of(request).app.signing_keys, identity)
    async with room_of(request):
        owner, data = await held_by(request).take(numbers, body.upload_id)
        added = await _take_in(request, identity, data, body.name, body.sha256, again=body.force)
        await held_by(request).drop(owner, body.upload_id)
    return await _told_added(added)


async def _take_in(
    request: Request, identity: Identity, data: bytes, name: str, sha256: str | None, *, again: bool
) -> Added:
    with told():
        return await library_of(request).add(
            data,
            name=name,
            tenant=identity.tenant,
            owner=identity.owner,
            sha256=sha256,
            again=again,
            actor=identity.subject,
        )


async def _told_added(added: Added) -> Response:
    if not added.is_new and (await added.job.status()).state is JobState.COMPLETED:
        raise _is_complete(added)
    body = {"document_id": added.document, "job_id": added.job.id, "is_new": added.is_new}
    return json_response(body, 202, {"Location": _address(added.document)})


def _is_complete(added: Added) -> ProblemError:
    return ProblemError(
        "CONFLICT",
        "the same content is complete; send force=true to ingest it again",
        headers={"Location": _address(added.document)},
        facts={"document_id": added.document, "job_id": added.job.id},
    )


def _address(document: str) -> str:
    return f"/v1/documents/{document}"


@router.get(
    "",
    operation_id="list_documents",
    response_model=DocumentsPage,
    responses=responses(*READING, malformed=True),
)
async def list_documents(
    request: Request, identity: Reader, wanted: Annotated[DocumentQuery, Query()]
) -> Response:
    """The caller's documents, newest first."""
    try:
        page = await library_of(request).documents(
            tenant=identity.tenant,
            owner=identity.owner,
            limit=wanted.limit,
            cursor=wanted.cursor,
        )
    except InvalidError as error:
        wrong = Detail("query.cursor", "it is no `next` of this list")
        raise ProblemError("VALIDATION_ERROR", status=MALFORMED, errors=[wrong]) from error
    items = [document_view(document) for document in page.documents]
    return json_response({"items": items, "limit": wanted.limit, "next": page.next})


@router.post(
    "/search",
    operation_id="search_documents",
    response_model=SearchResult,
    responses=responses(*WRITING, "CONFLICT", malformed=True),
    openapi_extra=keyed(),
)
async def search_documents(request: Request, identity: Reader, body: SearchBody) -> Response:
    """The passages of the caller's complete documents that are nearest to a question."""
    ids = None if body.document_ids is None else [str(key) for key in body.document_ids]
    with told():
        hits = await library_of(request).search(
            body.query,
            limit=body.top_k,
            least_score=body.min_score,
            documents=ids,
            tenant=identity.tenant,
            owner=identity.owner,
        )
    return json_response({"items": [hit_view(hit) for hit in hits]})


@router.get(
    "/{document_id}",
    operation_id="get_document",
    response_model=DocumentView,
    responses=responses(*OF_ONE, malformed=True),
)
async def get_document(request: Request, identity: Reader, document_id: DocumentId) -> Response:
    """A document: its stage, its progress, and its job."""
    return json_response(document_view(await _find(request, identity, document_id)))


@router.get(
    "/{document_id}/chunks",
    operation_id="list_chunks",
    response_model=ChunkPage,
    responses=responses(*OF_ONE, malformed=True),
)
async def list_chunks(
    request: Request,
    identity: Reader,
    document_id: DocumentId,
    wanted: Annotated[ChunkQuery, Query()],
) -> Response:
    """The chunks of a document that are in search, in order; none before it is complete."""
    await _find(request, identity, document_id)

    async def chunks(first: int, limit: int) -> list[Chunk]:
        return await library_of(request).chunks(
            str(document_id),
            tenant=identity.tenant,
            owner=identity.owner,
            first=first,
            limit=limit,
        )

    page = await chunks(wanted.first, wanted.limit)
    following = page[-1].ordinal + 1 if len(page) == wanted.limit else None
    if following is not None and not await chunks(following, 1):
        following = None
    items = [chunk_view(chunk) for chunk in page]
    return json_response({"document_id": document_id, "items": items, "next": following})


@router.delete(
    "/{document_id}",
    status_code=204,
    operation_id="delete_document",
    response_class=Response,
    responses=responses(*OF_ONE, malformed=True),
)
async def delete_document(request: Request, identity: Writer, document_id: DocumentId) -> Response:
    """Remove a document: at once from search, then its vectors and its files.

    Its job is cancelled, waited for at most 15 s, and erased. Cut off, it can be repeated.
    """
    document = await _find(request, identity, document_id)
    with told():
        await library_of(request).delete(
            str(document_id), tenant=identity.tenant, owner=identity.owner
        )
    app = service_of(request).app
    removed = Action(
        identity.subject, "document.delete", str(document_id), None, request.scope.get(REQUEST_ID)
    )
    async with app.connection() as connection:
        await record_action(connection, removed)
        paths: list[str] = []
        if document.job is not None:
            with contextlib.suppress(
                TransitionError, JobNotFoundError
            ):  # it still ends, or is gone
                _, paths = await erase_job(connection, UUID(document.job))
    await app.artifacts.delete(paths)
    return Response(status_code=204)


@router.post(
    "/{document_id}/retry",
    status_code=202,
    operation_id="retry_document",
    response_model=DocumentReopened,
    responses=responses(*WRITING, "NOT_FOUND", "CONFLICT", malformed=True),
    openapi_extra=keyed(),
)
async def retry_document(
    request: Request, identity: Writer, document_id: DocumentId, body: DocumentRetryBody
) -> Response:
    """Go on with a document whose job failed or was cancelled, from its last good step."""
    document = await _find(request, identity, document_id)
    if document.job is None:
        raise ProblemError("CONFLICT", "its upload broke off: send it again")
    app = service_of(request).app
    given: dict[str, Any] = {"reason": body.reason, "actor": identity.subject, "force": body.force}
    is_complete = (await app.status(document.job)).state is JobState.COMPLETED
    again = app.replay if is_complete and body.force else app.retry
    if document.stage.value == FAILED_PARSE and not body.force and is_handed_over(app):
        given["from_step"] = HAND_OVER  # what failed was the parser's answer: it is asked again
    run = await again(document.job, **given)
    answer = {"document_id": document_id, "job_id": document.job, "run": run}
    return json_response(answer, 202, {"Location": _address(str(document_id))})


@router.post(
    "/{document_id}/advance",
    status_code=202,
    operation_id="advance_document",
    response_model=DocumentAdvanced,
    responses=responses(*WRITING, "NOT_FOUND", "CONFLICT", malformed=True),
    openapi_extra=keyed(),
)
async def advance_document(
    request: Request, identity: Writer, document_id: DocumentId, body: AdvanceBody
) -> Response:
    """Let a document go on that waits for a parser: with a text, or parsed by the worker."""
    document = await _find(request, identity, document_id)
    with told():
        await library_of(request).advance(
            str(document_id),
            markdown=body.markdown,
            tenant=identity.tenant,
            owner=identity.owner,
            actor=identity.subject,
        )
    done = Action(
        identity.subject,
        "document.advance",
        str(document_id),
        body.reason,
        request.scope.get(REQUEST_ID),
    )
    async with service_of(request).app.connection() as connection:
        await record_action(connection, done)
    answer = {"document_id": document_id, "job_id": document.job}
    return json_response(answer, 202, {"Location": _address(str(document_id))})


async def _find(request: Request, identity: Identity, document: UUID) -> DocumentStatus:
    with told():
        return await library_of(request).document(
            str(document), tenant=identity.tenant, owner=identity.owner
        )
