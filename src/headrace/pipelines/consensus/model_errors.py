"""What can go wrong with a question to a model server, and what each means for the step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from headrace import RetryAfter
from headrace.pipelines.consensus.model import ModelRefusedError, ModelUnavailableError, Tokens

NO_TOKENS: Final = Tokens()


@dataclass(frozen=True, slots=True)
class Took:
    """What a question took, also one without an answer.

    Attributes:
        tokens: Of all turns, as far as the server told.
        latency_ms: Of all turns.
        turns: Answers that came, good or bad.
        request_id: The server's name of the last answer; None where there was none.
    """

    tokens: Tokens = NO_TOKENS
    latency_ms: float = 0.0
    turns: int = 0
    request_id: str | None = None

    def more(self, tokens: Tokens, request_id: str | None) -> Took:
        """With one more answer."""
        whole = Tokens(
            self.tokens.input + tokens.input,
            self.tokens.output + tokens.output,
            self.tokens.total + tokens.total,
        )
        return replace(self, tokens=whole, turns=self.turns + 1, request_id=request_id)


class Told(Exception):  # noqa: N818 - what all errors of this client have
    """An error of a question.

    Attributes:
        took: What the question took nevertheless; its text says so where that is something.
    """

    took = Took()

    def __str__(self) -> str:
        text, used = super().__str__(), self.took.tokens.total
        return f"{text} (it used {used:,} tokens)" if used else text


class ModelServiceError(Told, ModelUnavailableError):
    """The server failed: a status from 500 on, an error in its answer, or no answer at all."""

    code = "LLM_SERVICE_ERROR"


class ModelConnectionError(Told, ModelUnavailableError):
    """The server was not reached, or the connection broke before the whole answer was there."""

    code = "LLM_CONNECTION_ERROR"


class ModelTimeoutError(Told, ModelUnavailableError):
    """There was no whole answer in time."""

    code = "LLM_TIMEOUT"


class ModelBusyError(Told, RetryAfter):
    """The server refuses for a while (status 429); the wait uses no attempt.

    Args:
        delay: Until it may be asked again, up to an hour.
        reason: What it said.
    """

    code = "LLM_RATE_LIMIT"

    def __init__(self, delay: float | timedelta, reason: str) -> None:
        super().__init__(delay, reason)


class ModelAuthError(Told, ModelRefusedError):
    """The server does not take the key, or the key may not use the model."""

    code = "LLM_AUTH_ERROR"


class ModelQuotaError(Told, ModelRefusedError):
    """The account has no money left: waiting does not help."""

    code = "LLM_QUOTA_EXHAUSTED"


class ModelRequestError(Told, ModelRefusedError):
    """The server does not take the request: no such model, or something that it does not know."""

    code = "LLM_REQUEST_INVALID"


class ModelRefusalError(Told, ModelRefusedError):
    """The model, or a filter of its server, will not answer this."""

    code = "LLM_REFUSED"


class ModelAnswerError(Told, ModelRefusedError):
    """The answer cannot be used: it does not fit, is cut off or too large; nor did the second."""

    code = "LLM_ANSWER_INVALID"
