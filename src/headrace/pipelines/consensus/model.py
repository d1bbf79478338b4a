"""What the pipeline asks of a language model, and what it gets back: a narrow protocol.

The pipeline knows nothing else of models. `offline.py` answers without one; any other client is an
object with these three members.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel

from headrace import PermanentError, UnavailableError

AnswerT = TypeVar("AnswerT", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest(Generic[AnswerT]):
    """One question, whose answer is a value of `schema`.

    Attributes:
        step: What asks, as `expand` or `review_architect`: for records and for the offline model.
        schema: The pydantic model of the answer. It ignores fields that it does not know.
        schema_name: Its name in the registry, with `schema_version`: to be recorded.
        schema_version: MAJOR.MINOR.PATCH.
        prompt_set_version: Of the prompts that were used: to be recorded.
        system: Trusted text: what the model is.
        developer: Trusted text: what it has to do. Both are instructions.
        user: Text of others, delimited by us; a message of the user, never an instruction.
        model: Name of the model.
        temperature: 0 to 2.
        timeout: Time that is left for the whole call with its repair turn; more than 0.
        idempotency_key: The same in each try of the same question.
        request_id: Tells this try apart from the others, in records.
    """

    step: str
    schema: type[AnswerT]
    schema_name: str
    schema_version: str
    prompt_set_version: str
    system: str
    developer: str
    user: str
    model: str
    temperature: float
    timeout: timedelta
    idempotency_key: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a call took, in all its turns; 0 where a server does not tell."""

    input: int = 0
    output: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[AnswerT]):
    """An answer that fits its schema, with what it took.

    Attributes:
        value: The answer.
        client: What answered: `offline`, `openai`, or the name of another client.
        model: The model that answered, as the server names it; `offline` where there was none.
        temperature: As it was sent; None where the model takes none.
        request_id: That of the server, else that of the request.
        tokens: Of all turns.
        latency_ms: From the first byte sent to the last one read, of all turns.
        turns: 1, or 2 where the first answer did not fit the schema.
        started_at: When it was asked, with a zone.
    """

    value: AnswerT
    client: str
    model: str
    temperature: float | None
    request_id: str
    tokens: Tokens
    latency_ms: float
    turns: int
    started_at: datetime


class ModelClient(Protocol):
    """Asks a language model. One is opened for each worker, and shared by all of its steps."""

    @property
    def name(self) -> str:
        """What answers: `offline`, `openai`; shown in every result."""

    async def ask(self, request: ModelRequest[AnswerT]) -> Answer[AnswerT]:
        """Ask, and return an answer that fits the schema.

        Returns before `request.timeout` has passed. It keeps nothing from one call to the next, and
        calls the server once, or twice where the first answer did not fit the schema.

        Raises:
            ModelUnavailableError: No usable answer came now; another try may help.
            ModelRefusedError: Another try cannot help: refused, wrong key, no such model, or an
                answer that did not fit after the repair turn.
            RetryAfter: The server is busy; the wait uses no attempt.
            UnavailableError: What guards the server (its breaker, limit or budget) lets nothing
                through; the wait uses no attempt.
        """

    async def aclose(self) -> None:
        """Close its connections."""


class ModelUnavailableError(UnavailableError):
    """No usable answer came: the server failed, was not reached, or took too long."""

    code = "LLM_SERVICE_ERROR"


class ModelRefusedError(PermanentError):
    """The model will not answer, or its answers cannot be used; another try cannot help."""

    code = "LLM_REFUSED"
