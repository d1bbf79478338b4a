"""Documents on their way in and out: a row, a file and a job that belong together.

Whatever is cut off in the middle is finished by the next call for the same content: a row without
a job is an upload that may be repeated, a row marked as deleting is not seen by anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from headrace import JobHandle, NotFoundError
from headrace.pipelines.documents.errors import DocumentNotFoundError
from headrace.pipelines.documents.parsed import delete_parsed
from headrace.pipelines.documents.pipeline import documents
from headrace.pipelines.documents.statements import SQL

if TYPE_CHECKING:
    from headrace import Headrace, Row
    from headrace.pipelines.documents.files import FileStore
    from headrace.pipelines.documents.model import Ingested
    from headrace.pipelines.documents.parsed import Owner
    from headrace.pipelines.documents.upload import Upload

ACTIVE: Final = frozenset({"queued", "running"})


@dataclass(frozen=True, slots=True)
class Added:
    """A file that was taken in."""

    document: str
    job: JobHandle[Ingested]
    is_new: bool
    """False where the same content was there: `job` is the one that ingests or ingested it."""


class Intake:
    """Takes files in and removes documents."""

    def __init__(self, app: Headrace, files: FileStore) -> None:
        self._app, self._files = app, files

    async def take(self, upload: Upload, owner: Owner, *, again: bool) -> Added:
        """Store a file and begin its job, unless that was done.

        Args:
            upload: What came.
            owner: Whose it is.
            again: Begin a job also where an earlier one completed.
        """
        key = UUID(upload.document.id)
        row = await self._receive(upload, owner)
        if row["deleting"]:
            await self._finish_removal(key, row)
            row = await self._receive(upload, owner)
        job = self._present_job(row, again=again)
        if job is not None:
            return Added(upload.document.id, job, is_new=False)
        await asyncio.to_thread(self._files.write, upload.address, upload.data)
        return await self._begin(upload, owner, again=again)

    async def remove(self, key: UUID, owner: Owner) -> None:
        """Remove a document: from search at once, and then whatever else there is of it.

        Raises:
            DocumentNotFoundError: There is none of this owner.
        """
        async with self._app.connection() as connection, connection.transaction():
            row = await connection.fetchrow(
                SQL["documents.begin_delete"], key, owner.tenant, owner.name
            )
            if row is None:
                raise DocumentNotFoundError(key)
            await connection.execute(SQL["chunks.delete_all"], key)
            await connection.execute(SQL["vectors.delete_all"], key)
        await self._finish_removal(key, row)

    async def _receive(self, upload: Upload, owner: Owner) -> Row:
        document = upload.document
        key = UUID(document.id)
        async with self._app.connection() as connection:
            await connection.execute(
                SQL["documents.receive"],
                key,
                owner.tenant,
                owner.name,
                document.name,
                document.kind.value,
                document.kind.mime,
                len(upload.data),
                document.sha256,
                upload.address,
            )
            row = await connection.fetchrow(SQL["documents.find"], key, owner.tenant, owner.name)
        if row is None:  # deleted in this moment
            raise DocumentNotFoundError(document.id)
        return row

    async def _begin(self, upload: Upload, owner: Owner, *, again: bool) -> Added:
        document = upload.document
        key = UUID(document.id)
        async with self._app.connection() as connection, connection.transaction():
            row = await connection.fetchrow(SQL["documents.lock"], key, owner.tenant, owner.name)
            if row is None or row["deleting"]:
                raise DocumentNotFoundError(document.id)
            present = self._present_job(row, again=again)
            if present is not None:
                return Added(document.id, present, is_new=False)
            job = await self._app.submit(
                documents,
                document,
                tenant=owner.tenant,
                owner=owner.name,
                connection=connection,
            )
            await connection.execute(SQL["documents.begin_job"], key, UUID(job.id))
        return Added(document.id, job, is_new=True)

    def _present_job(self, row: Row, *, again: bool) -> JobHandle[Ingested] | None:
        """The job that makes another one needless."""
        is_enough = row["job_state"] in ACTIVE or (row["job_state"] == "completed" and not again)
        return self._app.job(row["job"]) if is_enough else None

    async def _finish_removal(self, key: UUID, row: Row) -> None:
        if row["job"] is not None:
            with contextlib.suppress(NotFoundError):  # its history is over
                await self._app.cancel(row["job"], reason="the document is deleted")
        await asyncio.to_thread(self._files.delete, row["raw_path"])
        if row["parsed_path"] is not None:
            await asyncio.to_thread(delete_parsed, self._files, row["parsed_path"])
        async with self._app.connection() as connection:
            await connection.execute(SQL["documents.end_delete"], key)


def parse_key(document: str) -> UUID:
    """The id of a document, as it is stored.

    Raises:
        DocumentNotFoundError: It is no id.
    """
    try:
        return UUID(document)
    except ValueError:
        raise DocumentNotFoundError(document) from None
