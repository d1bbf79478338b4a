"""Reads what a model server sends: whole or as a stream, in the form of either of its two APIs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, Field, ValidationError

from headrace.pipelines.consensus.model import Tokens
from headrace.pipelines.consensus.model_errors import NO_TOKENS

MOST_BYTES: Final = 4 * 1_024 * 1_024
"""Of an answer, or of one event of a stream."""
MOST_STREAM_BYTES: Final = 16 * MOST_BYTES
"""Of a whole stream: each event is mostly wrapping."""
LENGTH: Final = "max_output_tokens"
FILTER: Final = "content_filter"


class UnreadableError(Exception):
    """What came is no answer."""


class TooLargeError(Exception):
    """More came than is read."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a model said.

    Attributes:
        text: Its answer, or as much as there is.
        refusal: Why it will not answer.
        incomplete: Why there is not more: `max_output_tokens` or `content_filter`.
        failure: The code and the words of what went wrong while it answered.
        model: As the server names it.
        id: The server's name of the answer.
    """

    text: str = ""
    refusal: str | None = None
    incomplete: str | None = None
    failure: tuple[str, str] | None = None
    tokens: Tokens = NO_TOKENS
    model: str | None = None
    id: str | None = None


async def read_answer(pieces: AsyncIterator[bytes], content_type: str, *, is_chat: bool) -> Said:
    """Read to the end of an answer.

    Raises:
        UnreadableError: It has no form that is known, or a stream ended without saying so.
        TooLargeError: It is larger than is read; the rest was left.
    """
    if content_type.startswith("text/event-stream"):
        return await (_read_chunks if is_chat else _read_events)(_events(pieces))
    data = _json(await _whole(pieces))
    return _said_by_chat(data) if is_chat else _said_by_response(data)


# --- whole ----------------------------------------------------------------------------------------


class _Failure(BaseModel):
    code: str | int | None = None
    type: str | None = None
    message: str | None = None

    @property
    def words(self) -> tuple[str, str]:
        return str(self.code or self.type or ""), self.message or ""


class _Part(BaseModel):
    type: str = ""
    text: str | None = None
    refusal: str | None = None


class _Item(BaseModel):
    type: str = ""
    content: list[_Part] | str | None = None


class _Incomplete(BaseModel):
    reason: str | None = None


class _Usage(BaseModel):
    input_tokens: int = 0
    output_tokens: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0

    @property
    def tokens(self) -> Tokens:
        given = self.input_tokens or self.prompt_tokens
        made = self.output_tokens or self.completion_tokens
        return Tokens(given, made, self.total_tokens or given + made)


class _Response(BaseModel):
    id: str | None = None
    model: str | None = None
    status: str | None = None
    error: _Failure | None = None
    incomplete_details: _Incomplete | None = None
    output: list[_Item]
    usage: _Usage | None = None


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message = Field(default_factory=_Message)
    delta: _Message = Field(default_factory=_Message)
    finish_reason: str | None = None


class _Completion(BaseModel):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: _Failure | None = None


_FINISHES: Final = {"length": LENGTH, "content_filter": FILTER}


def _said_by_response(data: object) -> Said:
    given = _checked(_Response, data)
    parts = [
        part
        for item in given.output
        if item.type == "message" and isinstance(item.content, list)
        for part in item.content
    ]
    refusals = [part.refusal for part in parts if part.refusal]
    incomplete = None
    if given.status == "incomplete":
        incomplete = (given.incomplete_details or _Incomplete()).reason or LENGTH
    failed = given.status in ("failed", "cancelled")
    return Said(
        text="".join(part.text or "" for part in parts if part.type == "output_text"),
        refusal=refusals[0] if refusals else None,
        incomplete=incomplete,
        failure=(given.error or _Failure()).words if failed or given.error else None,
        tokens=(given.usage or _Usage()).tokens,
        model=given.model,
        id=given.id,
    )


def _said_by_chat(data: object) -> Said:
    given = _checked(_Completion, data)
    if given.error is not None:
        return Said(failure=given.error.words, model=given.model, id=given.id)
    if not given.choices:
        raise UnreadableError("it has no choices")
    first = given.choices[0]
    return Said(
        text=first.message.content or "",
        refusal=first.message.refusal or None,
        incomplete=_FINISHES.get(first.finish_reason or ""),
        tokens=(given.usage or _Usage()).tokens,
        model=given.model,
        id=given.id,
    )


# --- streams --------------------------------------------------------------------------------------


async def _read_events(events: AsyncIterator[str]) -> Said:
    async for text in events:
        event = _json(text)
        kind = event.get("type") if isinstance(event, dict) else None
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            return _said_by_response(event.get("response"))
        if kind == "error":
            return Said(failure=_checked(_Failure, event.get("error") or event).words)
    raise UnreadableError("the stream ended before the answer did")


async def _read_chunks(events: AsyncIterator[str]) -> Said:
    texts, refusals, size = list[str](), list[str](), 0
    finish: str | None = None
    last = _Completion()
    tokens = Tokens()
    async for text in events:
        if text == "[DONE]":
            break
        last = _checked(_Completion, _json(text))
        if last.error is not None:
            return Said(failure=last.error.words, model=last.model, id=last.id)
        tokens = last.usage.tokens if last.usage else tokens
        for choice in (last.choices or [])[:1]:
            finish = choice.finish_reason or finish
            texts.append(choice.delta.content or "")
            refusals.append(choice.delta.refusal or "")
            size += len(texts[-1]) + len(refusals[-1])
        if size > MOST_BYTES:
            raise TooLargeError
    if finish is None:
        raise UnreadableError("the stream ended before the answer did")
    return Said(
        text="".join(texts),
        refusal="".join(refusals) or None,
        incomplete=_FINISHES.get(finish),
        tokens=tokens,
        model=last.model,
        id=last.id,
    )


async def _events(pieces: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The data of each event; no server of this protocol spreads one over several lines."""
    rest, read = b"", 0
    async for piece in pieces:
        read += len(piece)
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > MOST_BYTES or read > MOST_STREAM_BYTES:
            raise TooLargeError
        for line in lines:
            if line.startswith(b"data:"):
                yield line.removeprefix(b"data:").strip().decode(errors="replace")


async def _whole(pieces: AsyncIterator[bytes]) -> bytes:
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > MOST_BYTES:
            raise TooLargeError
    return bytes(body)


# --- checks ---------------------------------------------------------------------------------------


def _json(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableError("it is no JSON") from None


def _checked(model: type[Any], data: object) -> Any:  # noqa: ANN401 - a value of the model
    try:
        return model.model_validate(data)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, detail["loc"])) or "it"
        raise UnreadableError(f"{where}: {detail['msg']}") from None
