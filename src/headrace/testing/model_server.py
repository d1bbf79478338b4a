"""A fake of OpenAI's servers of language models, over real HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from headrace.testing import model_shapes as shapes
from headrace.testing.fake_server import Asked, FakeServer, no_such_path, refusal
from headrace.testing.http_threads import Fault, Reply, Request
from headrace.testing.model_faults import ModelFault, refusal_of, spoilt
from headrace.testing.model_samples import sample

RESPONSES: Final = "/v1/responses"
CHAT: Final = "/v1/chat/completions"
REPLAYED: Final = "idempotent-replayed"
_BAD: Final = "invalid_request_error"
_WHOLE: Final = (None, ModelFault.HOSTILE, ModelFault.LARGE, Fault.DRIP)


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A request that was made.

    Attributes:
        at: When it was answered, or began to be: seconds of the server's clock.
        path: `/v1/responses` or `/v1/chat/completions`.
        model: The model that it names.
        instructions: What is said to the model as instructions.
        text: What is said to it as a user, and as its own earlier words, in order.
        schema: The JSON schema of the answer.
        temperature: As it was given.
        idempotency_key: The header of that name.
        most_tokens: The limit of the answer.
        is_stream: Whether a stream was asked for.
        status: What it was answered with.
        fault: What went wrong on purpose.
        is_replay: Whether it was an earlier answer, found by its key.
    """

    at: float
    path: str
    model: str
    instructions: str
    text: str
    schema: dict[str, Any]
    temperature: float | None
    idempotency_key: str | None
    most_tokens: int | None
    is_stream: bool
    status: int = 0
    fault: StrEnum | None = None
    is_replay: bool = False

    @property
    def is_paid(self) -> bool:
        """Whether the model has worked for it."""
        return self.status == HTTPStatus.OK and not self.is_replay

    @property
    def is_good(self) -> bool:
        """Whether a whole answer that fits the schema was sent."""
        return self.status == HTTPStatus.OK and self.fault in _WHOLE


Answerer: TypeAlias = Callable[[ModelCall], object]


class ModelServer(FakeServer):
    """Speaks `/v1/responses`, `/v1/chat/completions`, both also as a stream, and `/v1/models`.

    with ModelServer(answer=lambda call: {"verdict": "good"}) as server:
        server.fail_next(ModelFault.NOT_JSON, to="review_critic")
        ...  # a client of server.base_url with the key server.api_key

    Attributes:
        calls: Every request so far, in the order of their answers.
    """

    def __init__(
        self,
        *,
        answer: Answerer | None = None,
        models: Iterable[str] = ("gpt-5.1",),
        paths: Iterable[str] = (RESPONSES, CHAT),
        takes_temperature: bool = True,
        takes_schema: bool = True,
        keeps_answers: bool = False,
        api_key: str | None = "test-key",
        requests_per_second: int | None = None,
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A server that does not listen yet.

        Args:
            answer: Gives the value with which a call is answered, as JSON has it; a sample that
                fits the schema if left out.
            models: Those that it has; others are answered with status 404.
            paths: What it serves; leave out `/v1/responses` for an older server.
            takes_temperature: Whether a request with a temperature is taken.
            takes_schema: Whether a completion takes a JSON schema as `response_format`.
            keeps_answers: Whether a second request with the `Idempotency-Key` of one that was
                answered gets the same answer, and is not paid.
            api_key: What callers must send as `Authorization: Bearer ...`; None asks for nothing.
            requests_per_second: More of them in any second are refused with status 429.
            port: Where it listens; 0: a free one.
            clock: Seconds, for the rate limit.
        """
        super().__init__(
            api_key=api_key, requests_per_second=requests_per_second, port=port, clock=clock
        )
        self.models, self.paths = tuple(models), tuple(paths)
        self.takes_temperature, self.takes_schema = takes_temperature, takes_schema
        self.keeps_answers = keeps_answers
        self.calls: list[ModelCall] = []
        self._answer = answer or (lambda call: sample(call.schema))
        self._aimed: list[tuple[str, StrEnum]] = []
        self._kept: dict[tuple[str, str], Reply] = {}

    @property
    def paid(self) -> list[ModelCall]:
        """The calls for which the model has worked."""
        return [call for call in self.calls if call.is_paid]

    def fail_next(self, fault: StrEnum, *, times: int = 1, to: str | None = None) -> None:
        """Let the next requests meet a fault, after those that were set before.

        Args:
            fault: A `Fault` or a `ModelFault`.
            times: How many of them.
            to: Only those that say this, in their instructions, their text or the schema's name.
        """
        if to is None:
            super().fail_next(fault, times=times)
        else:
            with self._lock:
                self._aimed.extend([(to, fault)] * times)

    def choose_fault(self, asked: Asked) -> StrEnum | None:
        """One that is meant for this request, else the next one."""
        with self._lock:
            text = json.dumps(asked.data, ensure_ascii=False)
            for place, (words, fault) in enumerate(self._aimed):
                if words in text:
                    del self._aimed[place]
                    return fault
        return super().choose_fault(asked)

    def get(self, request: Request) -> Reply:
        """The models."""
        if request.path != "/v1/models":
            raise no_such_path(request)
        return Reply(200, json.dumps(shapes.models(self.models)).encode())

    def answer(self, asked: Asked, fault: StrEnum | None) -> Reply:
        """What the model says, as OpenAI answers."""
        call = self._call_of(asked)
        refused = refusal_of(fault)
        if refused is not None:
            raise refused
        kept = self._find_kept(call)
        if kept is not None:
            return kept
        spoken = self._speak(call, fault)
        reply = _packed(call, spoken)
        if call.idempotency_key and fault in _WHOLE:
            self._kept[call.path, call.idempotency_key] = reply
        return reply

    def note(self, asked: Asked, reply: Reply, fault: StrEnum | None) -> None:
        """Add a request to `calls`."""
        call = _read_call(asked, self._clock())
        self.calls.append(
            replace(call, status=reply.status, fault=fault, is_replay=REPLAYED in reply.headers)
        )

    def _find_kept(self, call: ModelCall) -> Reply | None:
        if not self.keeps_answers or call.idempotency_key is None:
            return None
        kept = self._kept.get((call.path, call.idempotency_key))
        return kept and replace(kept, headers={**kept.headers, REPLAYED: "true"})

    def _call_of(self, asked: Asked) -> ModelCall:
        call = _read_call(asked, self._clock())
        if call.model not in self.models:
            raise refusal(404, f"The model {call.model!r} does not exist", "model_not_found")
        if not call.text:
            raise refusal(400, "There is nothing to answer", _BAD)
        if call.temperature is not None and not self.takes_temperature:
            message = "Unsupported parameter: 'temperature' is not supported with this model."
            raise refusal(400, message, _BAD, param="temperature")
        if call.path == CHAT and call.schema and not self.takes_schema:
            message = "This response_format type is unavailable now"
            raise refusal(400, message, _BAD)
        return call

    def _speak(self, call: ModelCall, fault: StrEnum | None) -> shapes.Spoken:
        text = spoilt(self._answer(call), fault)
        incomplete = {
            ModelFault.CUT_OFF: "max_output_tokens",
            ModelFault.FILTERED: "content_filter",
        }
        is_refused = fault is ModelFault.REFUSAL
        return shapes.Spoken(
            call.model,
            "" if is_refused else text,
            -(-len(call.instructions + call.text) // 4),
            refusal="I cannot help with that." if is_refused else None,
            incomplete=incomplete.get(fault) if isinstance(fault, ModelFault) else None,
            error="The server had an error while it answered"
            if fault is ModelFault.FAILED
            else None,
            ends=fault is not ModelFault.BROKEN_STREAM,
        )


def _packed(call: ModelCall, spoken: shapes.Spoken) -> Reply:
    is_chat = call.path == CHAT
    if call.is_stream:
        events = (shapes.completion_events if is_chat else shapes.response_events)(spoken)
        return Reply(200, events, content_type="text/event-stream")
    whole = (shapes.completion if is_chat else shapes.response)(spoken)
    headers = {"x-request-id": f"req_{spoken.id}"}
    return Reply(200, json.dumps(whole).encode(), headers)


def _read_call(asked: Asked, at: float) -> ModelCall:
    data = asked.data
    is_chat = asked.path == CHAT
    messages = data.get("messages" if is_chat else "input") or []
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    trusted = [m for m in messages if m.get("role") in ("system", "developer")]
    others = [m for m in messages if m not in trusted]
    texts = [str(data.get("instructions") or ""), *map(_text_of, trusted)]
    return ModelCall(
        at=at,
        path=asked.path,
        model=str(data.get("model")),
        instructions="\n".join(filter(None, texts)),
        text="\n".join(map(_text_of, others)),
        schema=_schema_of(data),
        temperature=data.get("temperature"),
        idempotency_key=asked.header("idempotency-key"),
        most_tokens=data.get("max_completion_tokens" if is_chat else "max_output_tokens"),
        is_stream=bool(data.get("stream")),
    )


def _text_of(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content)


def _schema_of(data: dict[str, Any]) -> dict[str, Any]:
    form = (data.get("text") or {}).get("format") or data.get("response_format") or {}
    schema = form.get("schema") or (form.get("json_schema") or {}).get("schema")
    return schema if isinstance(schema, dict) else {}
