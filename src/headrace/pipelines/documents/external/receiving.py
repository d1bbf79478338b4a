"""Takes the callbacks of the parser, and what an operator says in its place.

Whatever comes again has the same effect as the first time: a sender that did not hear the answer
repeats its callback, and hears that it was taken.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from headrace import ConflictError, NotFoundError, UserError
from headrace.errors import JobFinishedError, SignalNotFoundError
from headrace.pipelines.documents.external.calls import Call, CallbackRefusedError
from headrace.pipelines.documents.external.fetching import text_of
from headrace.pipelines.documents.external.news import News, ParserAnswer
from headrace.pipelines.documents.external.opening import parser_of
from headrace.pipelines.documents.parsed import Markdown, Owner, keep_foreign
from headrace.pipelines.documents.settings import documents_settings
from headrace.pipelines.documents.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace import Headrace
    from headrace.pipelines.documents.external.opening import Parser
    from headrace.pipelines.documents.files import FileStore
    from headrace.pipelines.documents.model import ParsedFile

SIGNAL = "parsed"


class CallNotFoundError(NotFoundError):
    """Nothing waits for such a callback: no such parser, or no such job of a document."""

    code = "call_not_found"


class NotWaitingError(ConflictError):
    """The document does not wait for a parser, or not any more."""

    code = "not_waiting"


class Outcome(StrEnum):
    """What became of a callback."""

    TAKEN = "taken"
    """It ended the wait, or had done so before."""
    SUPERSEDED = "superseded"
    """Another answer had come before, or the time was over."""
    LATE = "late"
    """The job has ended, or runs anew."""
    NOTED = "noted"
    """It only tells how far the parser is."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A callback that was taken.

    Attributes:
        news: What it says.
        outcome: What became of it.
    """

    news: News
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class _Place:
    """The document that a call is about."""

    document: str
    owner: Owner
    run: int


class Callbacks:
    """Ends the waits of documents.

    Args:
        app: Sends the signals, and lends connections.
        files: Where the Markdown is kept.
    """

    def __init__(self, app: Headrace, files: FileStore) -> None:
        self._app, self._files = app, files

    async def take(
        self, provider: str, call: Call, headers: Mapping[str, str], body: bytes
    ) -> Taken:
        """Take a callback.

        Args:
            provider: Who is said to send it.
            call: What it is said to answer.
            headers: With names in lower case.
            body: Exactly the bytes that came.

        Raises:
            CallNotFoundError: No such parser is set; or, where it is signed well, no such job.
            CallbackRefusedError: It is not signed, not just now, or its nonce was used.
            NewsError: Its body is none.
        """
        parser = parser_of(documents_settings())
        if parser is None or provider != parser.kind:
            raise CallNotFoundError(f"no parser {provider} is set")
        stamp = parser.provider.read_stamp(call, headers, body)
        # Before anything is looked up: who has no key does not learn which jobs there are.
        stamp.check(parser.keys(call))
        async with self._app.connection() as connection:
            row = await connection.fetchrow(SQL["callbacks.find_call"], call.job)
            if row is None or row["deleting"]:
                raise CallNotFoundError(f"no document waits as job {call.job}")
            stamp.check_time(row["now"])
            news = parser.provider.read_news(body)
            digest = hashlib.sha256(body).digest()
            known = await connection.fetchval(SQL["callbacks.keep"], call.job, stamp.nonce, digest)
        if known != digest:
            raise CallbackRefusedError("its nonce was used for another callback")
        place = _Place(str(row["id"]), Owner(row["tenant"], row["owner"]), row["run"])
        return Taken(news, await self._act(parser, call, place, news))

    async def advance(
        self, document: UUID, owner: Owner, job: UUID, *, markdown: str | None, actor: str
    ) -> None:
        """End a wait in the parser's place.

        Args:
            document: That waits.
            owner: Whose it is.
            job: That ingests it.
            markdown: Its text; if left out, the worker parses the file itself.
            actor: Who does so.

        Raises:
            NotWaitingError: It does not wait for a parser, or the parser has answered.
            UserError: The text is empty or too long.
        """
        parser = parser_of(documents_settings())
        if parser is None:
            raise NotWaitingError("documents are parsed by the workers here: nothing waits")
        place = _Place(str(document), owner, 0)
        if markdown is None:
            answer = ParserAnswer("local")
        else:
            news = News("parsed", markdown=markdown)
            answer = ParserAnswer("parsed", await self._keep(parser, place, news))
        outcome = await self._send(parser, job, answer, actor)
        if outcome is not Outcome.TAKEN:
            raise NotWaitingError("it does not wait for a parser any more")

    # --- inside -----------------------------------------------------------------------------------

    async def _act(self, parser: Parser, call: Call, place: _Place, news: News) -> Outcome:
        if news.state == "processing":
            return Outcome.NOTED
        if call.run != place.run:
            return Outcome.LATE
        answer = await self._answer(parser, place, news)
        return await self._send(parser, call.job, answer, f"parser:{parser.kind}")

    async def _answer(self, parser: Parser, place: _Place, news: News) -> ParserAnswer:
        if news.state == "failed":
            return ParserAnswer("failed", reason=news.reason, failure=news.failure)
        lies_elsewhere = news.result_url is not None or (
            news.markdown is None and parser.provider.result_url("") is not None
        )
        if lies_elsewhere:
            return ParserAnswer("parsed", result_url=news.result_url, pages=news.pages)
        try:
            return ParserAnswer("parsed", await self._keep(parser, place, news))
        except UserError as error:  # there is no text: another try would find none either
            return ParserAnswer("failed", reason=str(error), failure="user")

    async def _keep(self, parser: Parser, place: _Place, news: News) -> ParsedFile:
        most = documents_settings().max_characters
        text = await asyncio.to_thread(text_of, news, most)
        # Under the lock of the document's row, as everywhere: a deletion leaves no file behind.
        async with self._app.connection() as connection, connection.transaction():
            row = await connection.fetchrow(
                SQL["documents.lock"], UUID(place.document), place.owner.tenant, place.owner.name
            )
            if row is None or row["deleting"]:
                raise CallNotFoundError(f"no document {place.document}")
            return await asyncio.to_thread(self._write, parser, place, text)

    def _write(self, parser: Parser, place: _Place, text: Markdown) -> ParsedFile:
        return keep_foreign(place.document, place.owner, self._files, parser.name, text)

    async def _send(self, parser: Parser, job: UUID, answer: ParserAnswer, actor: str) -> Outcome:
        try:
            stands = await self._app.send(
                job, SIGNAL, answer.sealed(job, parser.secrets), actor=actor
            )
        except (JobFinishedError, SignalNotFoundError):
            return Outcome.LATE
        return Outcome.TAKEN if stands else Outcome.SUPERSEDED
