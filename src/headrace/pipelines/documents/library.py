"""The library: documents come in, are shown, searched and removed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final
from uuid import UUID

from headrace import InvalidError
from headrace.pipelines.documents.clients import open_configured, open_files
from headrace.pipelines.documents.errors import DocumentNotFoundError
from headrace.pipelines.documents.external.calls import Call
from headrace.pipelines.documents.external.receiving import Callbacks, NotWaitingError
from headrace.pipelines.documents.holding import Held, Holding
from headrace.pipelines.documents.intake import Intake, parse_key, told_of_files
from headrace.pipelines.documents.model import Chunk
from headrace.pipelines.documents.parsed import Owner
from headrace.pipelines.documents.search import Question, search
from headrace.pipelines.documents.settings import documents_settings
from headrace.pipelines.documents.shown import DocumentPage, read_cursor, status_of
from headrace.pipelines.documents.statements import SQL
from headrace.pipelines.documents.upload import read_upload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import timedelta
    from pathlib import Path
    from typing import Any, TypeAlias

    from headrace import Headrace
    from headrace.pipelines.documents.embedding import Embedder
    from headrace.pipelines.documents.external.receiving import Taken
    from headrace.pipelines.documents.intake import Added
    from headrace.pipelines.documents.model import DocumentStatus, Hit

    Reading: TypeAlias = Callable[[str, str], AbstractAsyncContextManager[Any]]

DEFAULT: Final = "default"
MOST_DOCUMENTS: Final = 1_000
"""On a page."""
MOST_CHUNKS: Final = 1_000
"""Asked for at once."""
MOST_ORDINAL: Final = 1_000_000
"""More chunks than a document may have by its settings."""


class Library:
    """The documents of all tenants and owners, on the database of an app that carries `documents`.

    Each call is about one owner of one tenant, and sees nothing of others. What is there already is
    told by its content: the same file is ingested once for each owner, whatever it is called.
    """

    def __init__(self, app: Headrace, *, reading: Reading | None = None) -> None:
        """Nothing is opened yet.

        Args:
            app: Runs the jobs, and lends connections; carries the pipeline `documents`.
            reading: Lends the connection that shows something to an owner of a tenant, perhaps
                one that sees nothing of others; a connection of the app if left out.
        """
        self._app = app
        self._reading = reading or (lambda _tenant, _owner: app.connection())
        self._files = open_files()
        self._holding = Holding(self._files)
        self._intake = Intake(app, self._files)
        self._callbacks = Callbacks(app, self._files)
        self._embedder: asyncio.Task[Embedder] | None = None

    async def close(self) -> None:
        """Close the embedder, if a search has opened it; the app stays open."""
        task, self._embedder = self._embedder, None
        if task is not None:
            await (await task).aclose()

    # --- in and out -------------------------------------------------------------------------------

    async def add(
        self,
        file: Path | bytes,
        *,
        name: str | None = None,
        tenant: str = DEFAULT,
        owner: str = DEFAULT,
        sha256: str | None = None,
        again: bool = False,
        actor: str | None = None,
    ) -> Added:
        """Take a file in; when this returns it is stored, and a job will ingest it.

        Args:
            file: Where it is, or its content: PDF, DOCX, HTML, Markdown or text.
            name: What it is called, at most 120 characters; that of the path if left out.
            tenant: The customer that it belongs to.
            owner: The user that it belongs to.
            sha256: Refuse it if its hash is another.
            again: Ingest it also if that was done, as after a change of the settings.
            actor: Who asks for it, for the history of the job.

        Raises:
            FileRefusedError: It is not accepted; the text says why.
            FilesUnavailableError: The folder of the files is full, or cannot be written to.
            DatabaseUnavailableError: No server answered; the call can be repeated.
        """
        whose = Owner(tenant, owner)
        upload = await asyncio.to_thread(
            read_upload,
            file,
            whose,
            name=name,
            sha256=sha256,
            most_bytes=documents_settings().max_bytes,
        )
        return await self._intake.take(upload, whose, again=again, actor=actor)

    async def delete(self, document: str, *, tenant: str = DEFAULT, owner: str = DEFAULT) -> None:
        """Remove a document: at once from search, then its files. Cut off, it can be repeated.

        Raises:
            DocumentNotFoundError: There is none of this owner.
        """
        await self._intake.remove(parse_key(document), Owner(tenant, owner))

    async def delete_made_by(self, job: str) -> bool:
        """Remove the document that a job ingests or ingested; False where there is none."""
        async with self._app.connection() as connection:
            row = await connection.fetchrow(SQL["documents.find_made_by"], UUID(job))
        if row is None:
            return False
        with contextlib.suppress(DocumentNotFoundError):  # somebody else has removed it
            await self._intake.remove(row["id"], Owner(row["tenant"], row["owner"]))
        return True

    # --- parsed elsewhere -------------------------------------------------------------------------

    async def take_callback(
        self, provider: str, job: UUID, run: int, *, headers: Mapping[str, str], body: bytes
    ) -> Taken:
        """Take what the parser says of a document; the same again has no further effect.

        Args:
            provider: Who is said to send it: `generic`, `stamped` or `llamaparse`.
            job: That it is said to answer.
            run: Of that job.
            headers: Of the request, with names in lower case.
            body: Exactly the bytes that came.

        Raises:
            CallNotFoundError: No such parser is set, or no such job is there.
            CallbackRefusedError: It is not signed, not just now, or its nonce was used.
            NewsError: Its body is nothing that this provider says.
        """
        return await self._callbacks.take(provider, Call(job, run), headers, body)

    async def advance(
        self,
        document: str,
        *,
        markdown: str | None = None,
        tenant: str = DEFAULT,
        owner: str = DEFAULT,
        actor: str = "user",
    ) -> None:
        """Let a document go on that waits for a parser.

        Args:
            document: Its id.
            markdown: Its text; if left out, the worker parses the file itself.
            tenant: The customer.
            owner: The user.
            actor: Who does so, kept with the answer.

        Raises:
            DocumentNotFoundError: There is none of this owner.
            NotWaitingError: It does not wait for a parser, or not any more.
            UserError: The text is empty or too long.
        """
        found = await self.document(document, tenant=tenant, owner=owner)
        if found.job is None:
            raise NotWaitingError("its upload broke off: send it again")
        await self._callbacks.advance(
            UUID(found.id), Owner(tenant, owner), UUID(found.job), markdown=markdown, actor=actor
        )

    # --- sent ahead -------------------------------------------------------------------------------

    async def hold(self, owner: str, upload: UUID, data: bytes) -> None:
        """Keep a file until it is added; `owner` is 32 hexadecimal digits that stand for one.

        Raises:
            FilesUnavailableError: The folder of the files is full, or cannot be written to.
        """
        with told_of_files(self._files):
            await asyncio.to_thread(self._holding.keep, Held(owner, upload), data)

    async def held(self, owner: str, upload: UUID) -> bytes | None:
        """A file that was kept; None where there is none."""
        return await asyncio.to_thread(self._holding.find, Held(owner, upload))

    async def drop_held(self, owner: str, upload: UUID) -> None:
        """Remove a file that was kept."""
        await asyncio.to_thread(self._holding.drop, Held(owner, upload))

    async def clear_held(self, older_than: timedelta) -> int:
        """Remove files that were kept longer; returns how many."""
        return await asyncio.to_thread(self._holding.clear, older_than)

    # --- show -------------------------------------------------------------------------------------

    async def document(
        self, document: str, *, tenant: str = DEFAULT, owner: str = DEFAULT
    ) -> DocumentStatus:
        """How far a document is, and what is known of it.

        Raises:
            DocumentNotFoundError: There is none of this owner.
        """
        found = await self.statuses([document], tenant=tenant, owner=owner)
        if not found:
            raise DocumentNotFoundError(document)
        return found[0]

    async def statuses(
        self, documents: Sequence[str], *, tenant: str = DEFAULT, owner: str = DEFAULT
    ) -> list[DocumentStatus]:
        """Several documents by their ids, in no order; those that are not there are left out.

        Raises:
            DocumentNotFoundError: One of these is no id.
            InvalidError: The tenant or the owner cannot be one.
        """
        whose = Owner(tenant, owner)
        keys = [parse_key(document) for document in documents]
        async with self._reading(whose.tenant, whose.name) as connection:
            rows = await connection.fetch(SQL["documents.show"], keys, whose.tenant, whose.name)
        return [status_of(row) for row in rows]

    async def documents(
        self,
        *,
        tenant: str = DEFAULT,
        owner: str = DEFAULT,
        limit: int = 100,
        cursor: str | None = None,
    ) -> DocumentPage:
        """A page of an owner's documents, newest first.

        Args:
            tenant: The customer.
            owner: The user.
            limit: Most documents, 1 to 1,000.
            cursor: `next` of the page before.

        Raises:
            InvalidError: The limit is out of range, the cursor is none, or the owner cannot be one.
        """
        whose = Owner(tenant, owner)
        if not 1 <= limit <= MOST_DOCUMENTS:
            raise InvalidError(f"limit is 1 to {MOST_DOCUMENTS:,}, not {limit}")
        created, key = read_cursor(cursor)
        async with self._reading(whose.tenant, whose.name) as connection:
            rows = await connection.fetch(
                SQL["documents.list"], whose.tenant, whose.name, limit + 1, created, key
            )
        return DocumentPage.of(rows, limit)

    async def chunks(
        self,
        document: str,
        *,
        tenant: str = DEFAULT,
        owner: str = DEFAULT,
        first: int = 0,
        limit: int = 100,
    ) -> list[Chunk]:
        """The chunks of a document that are in search, in order.

        Args:
            document: Its id.
            tenant: The customer.
            owner: The user.
            first: The ordinal to begin with, 0 to 1,000,000.
            limit: Most chunks, 1 to 1,000.

        Returns:
            Nothing where no document of this owner with that id is in search.

        Raises:
            DocumentNotFoundError: It is no id.
            InvalidError: `first` or the limit is out of range, or the owner cannot be one.
        """
        whose, key = Owner(tenant, owner), parse_key(document)
        if not 0 <= first <= MOST_ORDINAL:
            raise InvalidError(f"first is 0 to {MOST_ORDINAL:,}, not {first}")
        if not 1 <= limit <= MOST_CHUNKS:
            raise InvalidError(f"limit is 1 to {MOST_CHUNKS:,}, not {limit}")
        async with self._reading(whose.tenant, whose.name) as connection:
            rows = await connection.fetch(
                SQL["chunks.list"], key, whose.tenant, whose.name, first, limit
            )
        return [Chunk(str(row[0]), *row[1:]) for row in map(tuple, rows)]

    async def search(
        self,
        question: str,
        *,
        limit: int = 10,
        least_score: float | None = None,
        documents: Sequence[str] | None = None,
        tenant: str = DEFAULT,
        owner: str = DEFAULT,
    ) -> list[Hit]:
        """The passages of an owner's documents that are nearest to a question, nearest first.

        Only whole documents are seen, each in the generation that was ingested last.

        Args:
            question: 1 to 2,000 characters; of those that the embedder takes in one text.
            limit: Most passages, 1 to 100.
            least_score: Leave out passages with a smaller cosine similarity.
            documents: Ids of documents to look in; all if left out.
            tenant: The customer.
            owner: The user.

        Raises:
            QuestionRefusedError: The question, or the limit, is out of range.
            DocumentNotFoundError: One of `documents` is no id.
            OtherSpaceError: The documents were embedded by another model.
            OtherDimensionError: The model's vectors have another length in this database.
            EmbedderError: The embedder cannot be opened, or refuses to work, as with a wrong key.
            EmbeddingFailedError: The embedder gives no vector now; another try may help.
        """
        wanted = Question(question, limit, least_score, documents)
        wanted.check()
        whose = Owner(tenant, owner)
        return await search(self._reading, await self._open_embedder(), whose, wanted)

    # --- inside -----------------------------------------------------------------------------------

    async def _open_embedder(self) -> Embedder:
        """The embedder, opened at the first search; its model takes half a second to load."""
        if self._embedder is None:
            self._embedder = asyncio.create_task(open_configured())
        try:
            return await asyncio.shield(self._embedder)
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._embedder = None
            raise
