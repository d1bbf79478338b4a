"""How a question is put to a model server: in the forms of its two APIs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from headrace.pipelines.consensus.openai_schema import strict_schema

if TYPE_CHECKING:
    from headrace.pipelines.consensus.model import ModelRequest

ABSENT: Final = frozenset({404, 405, 501})
"""Statuses of a server that has no Responses API."""
BAD_REQUEST: Final = 400
NO_MODEL: Final = "model_not_found"
SCHEMA_WORDS: Final = ("response_format", "json_schema")


class Form(Enum):
    """A way to ask, from what servers know best to what any of them knows."""

    RESPONSES = "responses"
    """`POST /responses` with the schema."""
    CHAT = "chat"
    """`POST /chat/completions` with the schema."""
    CHAT_JSON = "chat_json"
    """`POST /chat/completions` for JSON; the schema is told in words."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One call of the server.

    Attributes:
        request: The question.
        messages: What is said as a user, and what the model has answered before, in order.
        key: The same in each try of this turn.
        timeout_s: Seconds that are left for it.
    """

    request: ModelRequest[Any]
    messages: list[dict[str, str]]
    key: str
    timeout_s: float

    @property
    def instructions(self) -> str:
        """Trusted text."""
        return f"{self.request.system}\n\n{self.request.developer}"

    @property
    def input_bytes(self) -> int:
        """Of all that the model reads."""
        texts = [self.instructions, *(message["content"] for message in self.messages)]
        schema = json.dumps(strict_schema(self.request.schema))
        return sum(len(text.encode(errors="replace")) for text in (*texts, schema))


def arguments(turn: Turn, form: Form, *, most_tokens: int, stream: bool) -> dict[str, Any]:
    """What the call of a form is made with, without the temperature."""
    common: dict[str, Any] = {
        "model": turn.request.model,
        "stream": stream,
        "timeout": turn.timeout_s,
        "extra_headers": {"Idempotency-Key": turn.key, "X-Client-Request-Id": turn.key},
    }
    schema, name = strict_schema(turn.request.schema), turn.request.schema_name
    if form is Form.RESPONSES:
        form_of_text = {"type": "json_schema", "name": name, "schema": schema, "strict": True}
        return common | {
            "instructions": turn.instructions,
            "input": turn.messages,
            "text": {"format": form_of_text},
            "max_output_tokens": most_tokens,
            "store": False,  # what is asked stays here
        }
    instructions, answer_form = turn.instructions, _chat_form(form, name, schema)
    if form is Form.CHAT_JSON:
        instructions += f"\n\nAnswer with JSON alone, by this schema:\n{json.dumps(schema)}"
    first = {"role": "system", "content": instructions}
    if stream:
        common["stream_options"] = {"include_usage": True}
    return common | {
        "messages": [first, *turn.messages],
        "response_format": answer_form,
        "max_completion_tokens": most_tokens,
    }


def next_form(form: Form, status: int, body: object) -> Form | None:
    """How to ask a server that did not understand; None where another form would not help."""
    said = body if isinstance(body, dict) else {}
    if form is Form.RESPONSES and status in ABSENT:
        return None if said.get("code") == NO_MODEL else Form.CHAT
    if form is Form.CHAT and status == BAD_REQUEST:
        words = f"{said.get('param')} {said.get('message')}"
        return Form.CHAT_JSON if any(word in words for word in SCHEMA_WORDS) else None
    return None


def refuses_temperature(status: int, body: object) -> bool:
    """Whether a server does not take a temperature with this model."""
    return status == BAD_REQUEST and isinstance(body, dict) and body.get("param") == "temperature"


def _chat_form(form: Form, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    if form is Form.CHAT_JSON:
        return {"type": "json_object"}
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "schema": schema, "strict": True},
    }


def first_message(request: ModelRequest[Any]) -> list[dict[str, str]]:
    """The words of others, apart from the instructions."""
    return [{"role": "user", "content": request.user}]
