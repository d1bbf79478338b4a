"""The library of documents in this process, where the app carries them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final

from headrace.errors import HeadraceError, UserError
from headrace.web.problems import Detail, ProblemError, not_found
from headrace.web.state import service_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from starlette.requests import Request

    from headrace.app import Headrace
    from headrace.pipelines.documents import Library
    from headrace.web.signed_uploads import SignedUpload
    from headrace.web.wall import Wall

MODULE: Final = "headrace.pipelines.documents"
HELD: Final = timedelta(hours=1)
"""A file that was sent ahead is kept so long."""
CLEAR_S: Final = 600.0
AT_ONCE: Final = 4
"""Files that are in memory at the same time; others wait on disk."""
CODES: Final = {
    "file_too_large": "PAYLOAD_TOO_LARGE",
    "file_kind": "UNSUPPORTED_MEDIA_TYPE",
    "file_refused": "VALIDATION_ERROR",
    "question_refused": "VALIDATION_ERROR",
}
"""Of errors whose texts are written for users."""
HAND_OVER: Final = "hand_over"
"""The step that gives files to a parser elsewhere."""
MISSING: Final = {"document_not_found": "document", "call_not_found": "call"}
SAID: Final = {
    "callback_refused": "AUTH_REQUIRED",
    "news_refused": "VALIDATION_ERROR",
    "not_waiting": "CONFLICT",
}
"""Of errors whose texts are written for the parser and for operators."""
OTHER_MODEL: Final = frozenset({"other_space", "other_dimension"})


class Documents:
    """The library, and how many files it takes in at once.

    Args:
        library: Closed by `close`.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.room = asyncio.Semaphore(AT_ONCE)
        self.sent = SentAhead(library)

    async def close(self) -> None:
        """Close what a search has opened."""
        await self.library.close()


class SentAhead:
    """The files that were sent to signed addresses, and wait to be taken in."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._cleared_at = float("-inf")

    async def keep(self, address: SignedUpload, data: bytes) -> None:
        """Store what was sent; what nobody took in for an hour is removed, once in a while.

        Raises:
            ProblemError: `UNAVAILABLE`: the folder cannot be written to.
        """
        now = monotonic()
        if now - self._cleared_at > CLEAR_S:
            self._cleared_at = now
            await self._library.clear_held(HELD)
        with told():
            await self._library.hold(address.owner, address.upload, data)

    async def take(self, owners: Sequence[str], upload: UUID) -> tuple[str, bytes]:
        """A file, and the number of its owner.

        Args:
            owners: The numbers that stand for the caller.
            upload: Its id.

        Raises:
            ProblemError: `NOT_FOUND`: nothing was sent to an address of the caller's.
        """
        for owner in owners:
            data = await self._library.held(owner, upload)
            if data is not None:
                return owner, data
        raise not_found("upload")

    async def drop(self, owner: str, upload: UUID) -> None:
        """Remove a file that was taken in."""
        await self._library.drop_held(owner, upload)


def documents_of(app: Headrace, wall: Wall) -> Documents | None:
    """The library of an app; None where it does not carry the pipeline that headrace brings.

    Nothing is imported for it: an app that carries the pipeline has imported it.
    """
    module = sys.modules.get(MODULE)
    if module is None or not module.is_ours(app.pipelines.get("documents")):
        return None
    return Documents(module.Library(app, reading=wall.seen_by))


def is_handed_over(app: Headrace) -> bool:
    """Whether files are parsed elsewhere."""
    return HAND_OVER in app.pipelines["documents"].steps


def library_of(request: Request) -> Library:
    """The library; the routes that ask for it are only there where there is one."""
    return _documents(request).library


def held_by(request: Request) -> SentAhead:
    """The files that were sent ahead."""
    return _documents(request).sent


def room_of(request: Request) -> asyncio.Semaphore:
    """What an upload takes while its file is in memory."""
    return _documents(request).room


def _documents(request: Request) -> Documents:
    documents = service_of(request).documents
    if documents is None:
        raise not_found("path")
    return documents


@contextlib.contextmanager
def told() -> Iterator[None]:
    """What the library refuses, as problems.

    Raises:
        ProblemError: What a client is told.
    """
    try:
        yield
    except UserError as error:  # the question is longer than the model reads
        raise ProblemError("VALIDATION_ERROR", str(error)) from error
    except HeadraceError as error:
        raise _problem(error) from error


def _problem(error: HeadraceError) -> Exception:
    if error.code in MISSING:
        return not_found(MISSING[error.code])
    if error.code in SAID:
        return _said(error)
    if error.code in OTHER_MODEL:
        return ProblemError("CONFLICT", "the documents are embedded by another model: send again")
    if error.code == "embedder_unusable":  # its operators are to see why; nobody else is
        return RuntimeError(str(error))
    code = CODES.get(error.code)
    if code is None:
        return error
    place = "$.query" if error.code == "question_refused" else "$.file"
    return ProblemError(code, str(error), errors=[Detail(place, str(error))])


def _said(error: HeadraceError) -> ProblemError:
    code = SAID[error.code]
    places = [Detail("$", str(error))] if code == "VALIDATION_ERROR" else []
    return ProblemError(code, str(error), errors=places)
