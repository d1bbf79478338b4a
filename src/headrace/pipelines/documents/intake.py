"""Documents on their way in and out: a row, a file and a job that belong together.

Whatever is cut off in the middle is finished by the next call for the same content: a row without
a job is an upload that may be repeated, a row marked as deleting is not seen by anybody. Files are
written and removed while their row is locked, so a deletion never meets a new upload's file.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from headrace import ConflictError, HeadraceError, JobHandle, JobState, NotFoundError
from headrace.pipelines.documents.errors import DocumentNotFoundError, FilesUnavailableError
from headrace.pipelines.documents.files import parsed_address
from headrace.pipelines.documents.parsed import delete_parsed
from headrace.pipelines.documents.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace import Headrace, Row
    from headrace.pipelines.documents.files import FileStore
    from headrace.pipelines.documents.model import Ingested
    from headrace.pipelines.documents.parsed import Owner
    from headrace.pipelines.documents.upload import Upload

ACTIVE: Final = frozenset({"queued", "running"})
END_S: Final = 15.0
"""A deleted document's job is waited for so long: a step has 5 s to stop, then it is killed."""


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

    async def take(self, upload: Upload, owner: Owner, *, again: bool, actor: str | None) -> Added:
        """Store a file and begin its job, unless that was done.

        Args:
            upload: What came.
            owner: Whose it is.
            again: Begin a job also where an earlier one completed.
            actor: Who asks for it.
        """
        added = None
        while added is None:  # a deletion came in between
            row = await self._receive(upload, owner)
            if row is not None and row["deleting"]:
                await self._finish_removal(UUID(upload.document.id), owner, row["job"])
            elif row is not None:
                added = await self._begin(upload, owner, again=again, actor=actor)
        return added

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
        await self._finish_removal(key, owner, row["job"])

    async def _receive(self, upload: Upload, owner: Owner) -> Row | None:
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
            return await connection.fetchrow(SQL["documents.find"], key, owner.tenant, owner.name)

    async def _begin(
        self, upload: Upload, owner: Owner, *, again: bool, actor: str | None
    ) -> Added | None:
        document = upload.document
        key = UUID(document.id)
        async with self._app.connection() as connection, connection.transaction():
            await connection.execute(SQL["documents.lock"], key, owner.tenant, owner.name)
            row = await connection.fetchrow(SQL["documents.find"], key, owner.tenant, owner.name)
            if row is None or row["deleting"]:
                return None
            present = self._present_job(row, again=again)
            if present is not None:
                return Added(document.id, present, is_new=False)
            with told_of_files(self._files):
                await asyncio.to_thread(self._files.write, upload.address, upload.data)
            job: JobHandle[Ingested] = await self._app.submit(
                self._app.pipelines["documents"],
                document,
                tenant=owner.tenant,
                owner=owner.name,
                actor=actor,
                connection=connection,
            )
            await connection.execute(
                SQL["documents.begin_job"],
                key,
                UUID(job.id),
                document.name,
                document.kind.value,
                document.kind.mime,
                upload.address,
            )
            if row["raw_path"] != upload.address:  # it came as Markdown, and now as text
                with told_of_files(self._files):
                    await asyncio.to_thread(self._files.delete, row["raw_path"])
        return Added(document.id, job, is_new=True)

    def _present_job(self, row: Row, *, again: bool) -> JobHandle[Ingested] | None:
        """The job that makes another one needless."""
        is_enough = row["job_state"] in ACTIVE or (row["job_state"] == "completed" and not again)
        return self._app.job(row["job"]) if is_enough else None

    async def _finish_removal(self, key: UUID, owner: Owner, job: UUID | None) -> None:
        if job is not None:
            await self._end_job(job)
        async with self._app.connection() as connection, connection.transaction():
            row = await connection.fetchrow(SQL["documents.lock"], key, owner.tenant, owner.name)
            if row is None or not row["deleting"]:  # another call has finished it
                return
            parsed = parsed_address(owner.tenant, owner.name, str(key))
            with told_of_files(self._files):
                await asyncio.to_thread(self._files.delete, row["raw_path"])
                await asyncio.to_thread(delete_parsed, self._files, parsed)
            await connection.execute(SQL["documents.end_delete"], key)

    async def _end_job(self, job: UUID) -> None:
        """Cancel a job, and wait while it still runs: what it writes would stay behind."""
        with contextlib.suppress(NotFoundError, ConflictError):  # its history is over, or it is
            state = await self._app.cancel(job, reason="the document is deleted")
            if state is JobState.RUNNING:
                with contextlib.suppress(HeadraceError, TimeoutError):
                    await self._app.job(job).result(END_S)


@contextlib.contextmanager
def told_of_files(files: FileStore) -> Iterator[None]:
    """Tell the folder's troubles apart from those of the connection, which are OSErrors too."""
    try:
        yield
    except OSError as error:
        raise FilesUnavailableError(
            f"the folder of the documents, {files.folder}, cannot be written to: "
            f"{error.strerror or error}; see HEADRACE_DOCUMENTS_FOLDER"
        ) from error


def parse_key(document: str) -> UUID:
    """The id of a document, as it is stored.

    Raises:
        DocumentNotFoundError: It is no id.
    """
    try:
        return UUID(document)
    except ValueError:
        raise DocumentNotFoundError(document) from None
