"""The documents of a remote API in the place of the library."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from headrace.cli.remote import page_of, refuse_local
from headrace.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headrace.remote import AddedDocument, Chunk, DocumentStatus, Hit, RemoteDocuments

FEW: Final = 10
"""So many documents are asked for one by one; of more, the listing is read."""
PAGES_MOST: Final = 10
"""Of the listing, newest first, in one look."""


class Found(NamedTuple):
    """A page of documents, as the library gives it."""

    documents: list[Any]
    next: str | None


class RemoteLibrary:
    """What commands ask of a `Library`, asked of an API.

    Tenant and owner are those of the token: naming others is refused.

    Args:
        documents: The API's.
    """

    def __init__(self, documents: RemoteDocuments) -> None:
        self._documents = documents

    async def documents(
        self, *, tenant: str, owner: str, limit: int = 100, cursor: str | None = None
    ) -> Found:
        """As `Library.documents`."""
        _refuse(tenant, owner)
        page = await page_of(self._documents.list(), limit, cursor)
        return Found(page.items, page.next)

    async def document(self, document: str, *, tenant: str, owner: str) -> DocumentStatus:
        """As `Library.document`."""
        _refuse(tenant, owner)
        return await self._documents.status(document)

    async def chunks(
        self, document: str, *, tenant: str, owner: str, first: int, limit: int
    ) -> Sequence[Chunk]:
        """As `Library.chunks`."""
        _refuse(tenant, owner)
        return await self._documents.chunks(document, first=first, limit=limit)

    async def search(
        self,
        question: str,
        *,
        limit: int,
        least_score: float | None,
        documents: Sequence[str] | None,
        tenant: str,
        owner: str,
    ) -> Sequence[Hit]:
        """As `Library.search`."""
        _refuse(tenant, owner)
        return await self._documents.search(
            question, limit=limit, least_score=least_score, documents=documents
        )

    async def delete(self, document: str, *, tenant: str, owner: str) -> None:
        """As `Library.delete`."""
        _refuse(tenant, owner)
        await self._documents.delete(document)

    async def advance(
        self, document: str, *, reason: str, markdown: str | None, tenant: str, owner: str
    ) -> None:
        """As `Library.advance`."""
        _refuse(tenant, owner)
        await self._documents.advance(document, reason=reason, markdown=markdown)

    async def add(
        self,
        file: Path,
        *,
        name: str | None,
        tenant: str,
        owner: str,
        sha256: str | None,
        again: bool,
    ) -> AddedDocument:
        """As `Library.add`.

        Raises:
            FileRefusedError: The file is not accepted; the text says why.
        """
        from headrace.errors import OptionError
        from headrace.pipelines.documents import FileRefusedError
        from headrace.pipelines.documents.parsing.errors import UnsupportedFileError
        from headrace.remote import TooLargeError, UnsupportedTypeError

        _refuse(tenant, owner)
        try:
            return await self._documents.add(file, name=name, sha256=sha256, again=again)
        except UnsupportedTypeError as error:
            # The cause tells what lies in folders beside documents from what was meant.
            raise FileRefusedError(str(error)) from UnsupportedFileError(str(error))
        except (OptionError, TooLargeError) as error:
            raise FileRefusedError(str(error)) from error

    async def statuses(
        self, documents: Sequence[str], *, tenant: str, owner: str
    ) -> list[DocumentStatus]:
        """As `Library.statuses`."""
        _refuse(tenant, owner)
        if len(documents) <= FEW:
            found = await asyncio.gather(*map(self._status, documents))
            return [_staged(status) for status in found if status is not None]
        listed = await self._listed(set(documents))
        rest = [document for document in documents if document not in listed]
        others = [await self._status(document) for document in rest]
        return [_staged(one) for one in (*listed.values(), *others) if one is not None]

    async def _listed(self, wanted: set[str]) -> dict[str, DocumentStatus]:
        """Those of the documents that are among the newest."""
        found: dict[str, DocumentStatus] = {}
        cursor = None
        for _ in range(PAGES_MOST):
            page = await self._documents.list().page(limit=100, cursor=cursor)
            found |= {one.id: one for one in page.items if one.id in wanted}
            cursor = page.next
            if cursor is None or len(found) == len(wanted):
                break
        return found

    async def _status(self, document: str) -> DocumentStatus | None:
        try:
            return await self._documents.status(document)
        except NotFoundError:
            return None


def _staged(status: DocumentStatus) -> DocumentStatus:
    """With a stage that knows whether it is final, as the library's."""
    from headrace.pipelines.documents.stages import Stage

    return replace(status, stage=Stage(status.stage))


def _refuse(tenant: str, owner: str) -> None:
    refuse_local({"--tenant": tenant, "--owner": owner})
