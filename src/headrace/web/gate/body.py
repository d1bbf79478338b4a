"""What may be in a body, checked before anything else looks at it.

A body that is too large is refused by its announced length, or as soon as more than that has come;
nothing is read after it. One that is slow is given up. JSON is read here, once: the layers below
get the same bytes, and `scope[JSON_VALUE]` has the value.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headrace.client.strict import NotStrictError, load_strict
from headrace.web.gate.envelope import HEADERS
from headrace.web.gate.limit import READS_BODY
from headrace.web.gate.paths import PUSH, takes_form
from headrace.web.problems import SLOW, Detail, ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

JSON_VALUE: Final = "headrace.json"
"""Where the value of a JSON body is in the scope of its request."""
PART_S: Final = 20.0
"""For so long a client may send nothing of a body that is streamed."""
IN_LOOP_BYTES: Final = 64 * 1024
"""What is larger is read in a thread: 5 MB take a third of a second."""
FORM: Final = b"application/x-www-form-urlencoded"
MOST_FORM_BYTES: Final = 1_024 * 1_024
WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CLOSE: Final = {"Connection": "close"}
"""So that the server does not read on what the client goes on to send."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """The largest bodies, in bytes."""

    json: int
    other: int
    upload: int


class BodyGate:
    """Lets only bodies pass that the API takes; see the module.

    Args:
        app: The layers below.
        limits: The largest bodies.
        takes_upload: Whether a request, by its method and path, is read as a stream by its route.
    """

    def __init__(
        self, app: ASGIApp, *, limits: BodyLimits, takes_upload: Callable[[str, str], bool]
    ) -> None:
        self._app, self._limits, self._takes_upload = app, limits, takes_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the body of a request, and pass it on."""
        if scope["type"] != "http" or scope["method"] in WITHOUT_BODY or scope["path"] == PUSH:
            await self._app(scope, receive, send)
            return
        try:
            passed = await self._check(scope, receive)
        except ProblemError as error:
            await error.problem().response(scope)(scope, receive, send)
            return
        except ClientLeftError:
            return  # there is nobody to answer
        await self._app(scope, passed, send)

    async def _check(self, scope: Scope, receive: Receive) -> Receive:
        length, kind = _announced(scope)
        is_json = kind == b"application/json" and scope["method"] != "PUT"
        if self._takes_upload(scope["method"], scope["path"]) and not is_json:
            _refuse_larger(length, self._limits.upload)
            return _counting(receive, self._limits.upload)
        is_form = kind == FORM and takes_form(scope["method"], scope["path"])
        limit = self._limits.json if kind == b"application/json" else self._limits.other
        limit = min(limit, MOST_FORM_BYTES) if is_form else limit
        _refuse_larger(length, limit)
        body = await _read(scope, receive, limit)
        if body and not is_form:
            if kind != b"application/json":
                raise ProblemError(
                    "UNSUPPORTED_MEDIA_TYPE", "send the body as application/json in UTF-8"
                )
            if scope[HEADERS].get(b"content-encoding", b"identity") != b"identity":
                raise ProblemError("UNSUPPORTED_MEDIA_TYPE", "send the body without a coding")
            scope[JSON_VALUE] = await _load(body)
        return _replay(body, receive)


def _announced(scope: Scope) -> tuple[int | None, bytes]:
    headers = scope[HEADERS]
    length = headers.get(b"content-length")
    kind: bytes = headers.get(b"content-type", b"")
    if kind != b"application/json":
        kind = kind.partition(b";")[0].strip().lower()
    # The server has refused what is no number, and a second one.
    return None if length is None else int(length), kind


def _refuse_larger(size: int | None, limit: int) -> None:
    if size is not None and size > limit:
        raise ProblemError(
            "PAYLOAD_TOO_LARGE", f"at most {limit:,} bytes are taken here", headers=CLOSE
        )


async def _read(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body; the time limit of requests holds for it."""
    scope[READS_BODY] = True
    message = await _next(receive)
    if not message.get("more_body", False):
        body: bytes = message["body"]
        _refuse_larger(len(body), limit)
    else:
        parts = bytearray(message["body"])
        while message.get("more_body", False):
            _refuse_larger(len(parts), limit)
            message = await _next(receive)
            parts += message["body"]
        _refuse_larger(len(parts), limit)
        body = bytes(parts)
    del scope[READS_BODY]
    return body


async def _next(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientLeftError
    return message


class ClientLeftError(Exception):
    """The client hung up before its body was complete."""


async def _load(body: bytes) -> object:
    try:
        if len(body) <= IN_LOOP_BYTES:
            return load_strict(body)
        return await asyncio.to_thread(load_strict, body)
    except NotStrictError as error:
        raise ProblemError(
            "VALIDATION_ERROR",
            "the body is not JSON as it is taken here",
            status=400,
            errors=[Detail("$", str(error.reason))],
        ) from None


def _replay(body: bytes, receive: Receive) -> Receive:
    """The whole body as one message, then whatever the server says."""
    sent = False

    async def receive_again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def _counting(receive: Receive, limit: int) -> Receive:
    """The body as it comes, and an error once it is larger than it may be."""
    received = 0

    async def receive_counted() -> Message:
        nonlocal received
        try:
            async with asyncio.timeout(PART_S):
                message = await receive()
        except TimeoutError:
            detail = f"nothing of the body came for {PART_S:g} s"
            raise ProblemError("TIMEOUT", detail, status=SLOW, headers=CLOSE) from None
        if message["type"] == "http.request":
            received += len(message["body"])
            _refuse_larger(received, limit)
        return message

    return receive_counted
