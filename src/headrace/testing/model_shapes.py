"""How the answers of a model are packed: as OpenAI's API documents them, whole and as a stream."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

PIECE: Final = 24
"""Characters of an answer in one event of a stream."""
MOST_PIECES: Final = 1_000
CREATED: Final = 1_790_000_000


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a model has said.

    Attributes:
        refusal: Why it will not answer; then `text` is empty.
        incomplete: Why there is not more: `max_output_tokens` or `content_filter`.
        error: What went wrong in the middle of it.
        ends: Whether a stream of it says that it ends.
    """

    model: str
    text: str
    input_tokens: int
    refusal: str | None = None
    incomplete: str | None = None
    error: str | None = None
    ends: bool = True
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def output_tokens(self) -> int:
        """About four characters each."""
        return -(-len(self.refusal or self.text) // 4)


def response(spoken: Spoken) -> dict[str, Any]:
    """The object of `POST /v1/responses`."""
    status = "incomplete" if spoken.incomplete else "failed" if spoken.error else "completed"
    content = (
        {"type": "output_text", "text": spoken.text, "annotations": [], "logprobs": []}
        if spoken.refusal is None
        else {"type": "refusal", "refusal": spoken.refusal}
    )
    message = {
        "type": "message",
        "id": f"msg_{spoken.id}",
        "status": "incomplete" if spoken.incomplete else "completed",
        "role": "assistant",
        "content": [content],
    }
    thought = {"type": "reasoning", "id": f"rs_{spoken.id}", "summary": []}
    return {
        "id": f"resp_{spoken.id}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": {"code": "server_error", "message": spoken.error} if spoken.error else None,
        "incomplete_details": {"reason": spoken.incomplete} if spoken.incomplete else None,
        "model": spoken.model,
        "output": [thought, message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": spoken.input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": spoken.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": spoken.input_tokens + spoken.output_tokens,
        },
        "metadata": {},
    }


def response_events(spoken: Spoken) -> bytes:
    """The same as a stream of events."""
    return b"".join(
        _event(data["type"], {**data, "sequence_number": number})
        for number, data in enumerate(_response_events(spoken))
    )


def completion(spoken: Spoken) -> dict[str, Any]:
    """The object of `POST /v1/chat/completions`; with an error it is that."""
    if spoken.error:
        return _chat_error(spoken)
    return {
        "id": f"chatcmpl-{spoken.id}",
        "object": "chat.completion",
        "created": CREATED,
        "model": spoken.model,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None if spoken.refusal else spoken.text,
                    "refusal": spoken.refusal,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": _finish(spoken),
            }
        ],
        "usage": _chat_usage(spoken),
        "service_tier": "default",
        "system_fingerprint": None,
    }


def completion_events(spoken: Spoken) -> bytes:
    """The same as a stream of chunks."""
    return b"".join(_event(None, data) for data in _completion_chunks(spoken))


def models(names: Iterable[str]) -> dict[str, Any]:
    """The object of `GET /v1/models`."""
    data = [
        {"id": name, "object": "model", "created": CREATED, "owned_by": "headrace"}
        for name in names
    ]
    return {"object": "list", "data": data}


def _response_events(spoken: Spoken) -> Iterator[dict[str, Any]]:
    whole = response(spoken)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None, "error": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    thought, message = whole["output"]
    yield {"type": "response.output_item.added", "output_index": 0, "item": thought}
    yield {"type": "response.output_item.done", "output_index": 0, "item": thought}
    empty = {**message, "status": "in_progress", "content": []}
    yield {"type": "response.output_item.added", "output_index": 1, "item": empty}
    yield from _message_events(spoken, message)
    if spoken.error:
        yield {"type": "error", "code": "server_error", "message": spoken.error, "param": None}
    elif spoken.ends:
        yield {"type": f"response.{whole['status']}", "response": whole}


def _message_events(spoken: Spoken, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    place = {"item_id": message["id"], "output_index": 1, "content_index": 0}
    [part] = message["content"]
    kind = "output_text" if spoken.refusal is None else "refusal"
    name = "text" if spoken.refusal is None else "refusal"
    yield {"type": "response.content_part.added", **place, "part": {**part, name: ""}}
    for piece in _pieces(spoken.refusal or spoken.text):
        yield {"type": f"response.{kind}.delta", **place, "delta": piece}
    if spoken.error is None and spoken.ends:
        yield {"type": f"response.{kind}.done", **place, name: part[name]}
        yield {"type": "response.content_part.done", **place, "part": part}
        yield {"type": "response.output_item.done", "output_index": 1, "item": message}


def _completion_chunks(spoken: Spoken) -> Iterator[dict[str, Any] | str]:
    name = "content" if spoken.refusal is None else "refusal"
    yield _chunk(spoken, {"role": "assistant", "content": ""})
    for piece in _pieces(spoken.refusal or spoken.text):
        yield _chunk(spoken, {name: piece})
    if spoken.error:
        yield _chat_error(spoken)
    elif spoken.ends:
        yield _chunk(spoken, {}, _finish(spoken))
        yield {**_chunk(spoken, {}), "choices": [], "usage": _chat_usage(spoken)}
        yield "[DONE]"


def _chunk(spoken: Spoken, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{spoken.id}",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": spoken.model,
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        "usage": None,
    }


def _chat_error(spoken: Spoken) -> dict[str, Any]:
    return {"error": {"message": spoken.error, "type": "server_error", "code": None, "param": None}}


def _chat_usage(spoken: Spoken) -> dict[str, int]:
    return {
        "prompt_tokens": spoken.input_tokens,
        "completion_tokens": spoken.output_tokens,
        "total_tokens": spoken.input_tokens + spoken.output_tokens,
    }


def _finish(spoken: Spoken) -> str:
    return {"max_output_tokens": "length", "content_filter": "content_filter"}.get(
        spoken.incomplete or "", "stop"
    )


def _pieces(text: str) -> Iterator[str]:
    size = max(PIECE, len(text) // MOST_PIECES)
    return (text[start : start + size] for start in range(0, len(text), size))


def _event(name: str | None, data: dict[str, Any] | str) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    first = f"event: {name}\n" if name else ""
    return f"{first}data: {text}\n\n".encode()
