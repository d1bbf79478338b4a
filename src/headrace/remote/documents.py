"""Documents at a remote API."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from headrace.errors import NotFoundError, OptionError
from headrace.remote.errors import ForeignAnswerError
from headrace.remote.listing import Listing
from headrace.remote.transport import JSON, Call, new_key
from headrace.remote.values import AddedDocument, Chunk, DocumentStatus, Hit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.remote.problems import Refusal
    from headrace.remote.transport import Answer, Transport

UPLOAD_S: Final = 600.0
"""For which one upload may take."""
CHUNKS_MOST: Final = 1_000


class RemoteDocuments:
    """The documents of the caller: `RemoteClient.documents`.

    A server without the pipeline `documents` answers all of this with `NotFoundError`.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def add(
        self,
        file: Path | bytes,
        *,
        name: str | None = None,
        sha256: str | None = None,
        again: bool = False,
    ) -> AddedDocument:
        """Take a file in; when this returns it is stored, and a job will ingest it.

        Args:
            file: Where it is, or its content: PDF, DOCX, HTML, Markdown or text.
            name: What it is called, at most 120 characters; that of the path if left out.
            sha256: Refuse it if its hash is another; that of what is sent if left out.
            again: Ingest it also if that was done.

        Returns:
            The document and its job; `is_new` is False where the same content was there already.

        Raises:
            OptionError: The file cannot be read.
            TooLargeError: It has more bytes than the server takes.
            InvalidError: It is of a kind that is not read.
            UnavailableError: The server is away; the call can be repeated.
        """
        content, known = await asyncio.to_thread(_read, file)
        shown = name or (file.name if isinstance(file, Path) else "document")
        fields = {"sha256": sha256 or known, "force": "true" if again else "false"}
        call = Call(
            method="POST",
            path="/v1/documents",
            headers={"Idempotency-Key": new_key()},
            files={"file": (shown, content, "application/octet-stream")},
            data=fields,
            timeout_s=UPLOAD_S,
            accepts=_is_known,
        )
        answer = await self._transport.call(call)
        return answer.value(AddedDocument, {"is_new": False, **_object_in(answer)})

    def list(self) -> Listing[DocumentStatus]:
        """The caller's documents, newest first."""
        return Listing(self._transport, "/v1/documents", DocumentStatus, {})

    async def status(self, document: str | UUID) -> DocumentStatus:
        """How far a document is, and what is known of it.

        Raises:
            NotFoundError: There is none of the caller's.
        """
        answer = await self._transport.call(Call(method="GET", path=_path(document)))
        return answer.value(DocumentStatus)

    async def chunks(
        self, document: str | UUID, *, first: int = 0, limit: int = 100
    ) -> Sequence[Chunk]:
        """The chunks of a document that are in search, in order.

        Args:
            document: Its id.
            first: The ordinal to begin with.
            limit: Most chunks, 1 to 1,000.

        Raises:
            NotFoundError: There is none of the caller's.
        """
        query = {"first": first, "limit": limit}
        call = Call(method="GET", path=f"{_path(document)}/chunks", query=query)
        answer = await self._transport.call(call)
        return [answer.value(Chunk, one) for one in _items_in(answer)]

    async def search(
        self,
        question: str,
        *,
        limit: int = 10,
        least_score: float | None = None,
        documents: Sequence[str | UUID] | None = None,
    ) -> Sequence[Hit]:
        """The passages that are nearest to a question, nearest first.

        Args:
            question: 1 to 2,000 characters.
            limit: Most passages, 1 to 100.
            least_score: Leave out passages with a smaller cosine similarity.
            documents: Ids of documents to look in; all if left out.

        Raises:
            OptionError: Something is out of range.
            ConflictError: The documents were embedded by another model.
            UnavailableError: The server, or what embeds the question, is away.
        """
        body: dict[str, Any] = {"query": question, "top_k": limit}
        if least_score is not None:
            body["min_score"] = least_score
        if documents is not None:
            body["document_ids"] = [str(document) for document in documents]
        call = Call(
            method="POST",
            path="/v1/documents/search",
            headers={"Content-Type": JSON},  # it changes nothing, so it needs no key
            content=json.dumps(body).encode(),
        )
        answer = await self._transport.call(call)
        return [answer.value(Hit, one) for one in _items_in(answer)]

    async def advance(
        self, document: str | UUID, *, reason: str, markdown: str | None = None
    ) -> None:
        """Let a document go on that waits for another system to parse it.

        Args:
            document: Its id.
            reason: Kept in the audit.
            markdown: Its text; if left out, the worker parses the file itself.

        Raises:
            NotFoundError: There is none of the caller's.
            ConflictError: It does not wait for a parser, or not any more.
            OptionError: The text is empty or too long.
        """
        body = {"reason": reason, **({} if markdown is None else {"markdown": markdown})}
        call = Call(
            method="POST",
            path=f"{_path(document)}/advance",
            headers={"Content-Type": JSON, "Idempotency-Key": new_key()},
            content=json.dumps(body).encode(),
        )
        await self._transport.call(call)

    async def delete(self, document: str | UUID) -> None:
        """Remove a document: at once from search, then its files. Cut off, it can be repeated.

        Raises:
            NotFoundError: There is none of the caller's.
        """
        await self._transport.call(Call(method="DELETE", path=_path(document)))


def _is_known(refusal: Refusal) -> bool:
    """Whether an upload was refused only because the content is there."""
    return refusal.code == "CONFLICT" and "document_id" in refusal.document


def _read(file: Path | bytes) -> tuple[bytes, str]:
    if isinstance(file, bytes):
        return file, hashlib.sha256(file).hexdigest()
    try:
        content = file.read_bytes()
    except OSError as error:
        raise OptionError("file", f"{file} cannot be read: {error.strerror}") from error
    return content, hashlib.sha256(content).hexdigest()


def _path(document: str | UUID) -> str:
    try:
        return f"/v1/documents/{UUID(str(document))}"
    except ValueError:
        raise NotFoundError(f"no document {document}") from None


def _object_in(answer: Answer) -> dict[str, Any]:
    told = answer.json()
    if not isinstance(told, dict):
        raise ForeignAnswerError(answer.address, "answered with something that is no document")
    return told


def _items_in(answer: Answer) -> list[Any]:
    items = _object_in(answer).get("items")
    if not isinstance(items, list):
        raise ForeignAnswerError(answer.address, "answered with something that is no list")
    return items
