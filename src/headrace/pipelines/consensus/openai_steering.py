"""What each failure of a call means for the step: try again, wait, or give up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import openai

from headrace.pipelines.consensus.model import ModelUnavailableError
from headrace.pipelines.consensus.model_errors import (
    ModelAnswerError,
    ModelAuthError,
    ModelBusyError,
    ModelConnectionError,
    ModelQuotaError,
    ModelRefusalError,
    ModelRequestError,
    ModelServiceError,
    ModelTimeoutError,
    Told,
)
from headrace.pipelines.consensus.openai_reading import (
    MOST_BYTES,
    Said,
    TooLargeError,
    UnreadableError,
)
from headrace.pipelines.openai_servers import DEFAULT_WAIT_S, NO_QUOTA, wait_s

if TYPE_CHECKING:
    from headrace.pipelines.consensus.openai_forms import Turn
    from headrace.pipelines.openai_servers import Server

BUSY: Final = 429
TIMED_OUT: Final = 408
SERVER_ERROR: Final = 500
_HINTS: Final = {
    401: "check its API key",
    403: "this key may not use the model: check the key's project and permissions",
    404: "check the name of the model {model!r}, and that the address ends with its version, "
    "as in http://localhost:8080/v1",
}
_OTHER_HINT: Final = "check the model {model!r} and its limits"
_INVALID: Final = ("invalid_", "unsupported_")
_BUSY_WORDS: Final = ("rate_limit_exceeded", "rate_limit_error")


class BrokenError(Exception):
    """The connection broke in the middle of an answer."""


class OutageError(ConnectionError):
    """Carries what a failed call means out of its guards, which count it as an outage.

    Attributes:
        means: What is raised in its place.
    """

    def __init__(self, means: ModelUnavailableError) -> None:
        super().__init__(str(means))
        self.means = means


FAILURES: Final = (
    openai.OpenAIError,
    TimeoutError,
    UnreadableError,
    TooLargeError,
    BrokenError,
)
"""What a call raises."""


def through_guards(error: Exception, turn: Turn, server: Server) -> Exception:
    """As what a failure passes the breaker and the limit: each has to see what is its own."""
    means = meaning(error, turn, server)
    if isinstance(means, ModelBusyError):
        return error  # the limit reads its headers
    return OutageError(means) if isinstance(means, ModelUnavailableError) else means


def meaning(error: Exception, turn: Turn, server: Server) -> Told:
    """What to raise in place of a failure: nothing of the request is in it."""
    match error:
        case openai.APIStatusError():
            return _by_status(error, server, turn.request.model)
        case TimeoutError() | openai.APITimeoutError():
            return ModelTimeoutError(f"{server} gave no whole answer within {turn.timeout_s:.3g} s")
        case BrokenError():
            return ModelConnectionError(f"{server} broke its answer off ({error})")
        case TooLargeError():
            return ModelAnswerError(f"{server} sent more than {MOST_BYTES:,} bytes")
        case UnreadableError():
            return ModelServiceError(f"{server} sent no answer: {server.masked(str(error))}")
        case _:
            cause = error.__cause__ or error
            reason = server.masked(str(cause)) or type(cause).__name__
            return ModelConnectionError(f"{server} cannot be reached: {reason}")


def check_failure(said: Said, server: Server) -> None:
    """See that the model did not fail while it answered; what it had said is no result.

    Raises:
        OutageError: It did.
        ModelBusyError: Its limit was reached.
        ModelRequestError: It does not take the request.
    """
    if said.failure is None:
        return
    code, words = said.failure
    text = f"{server} failed while it answered ({server.masked(words or code) or 'no reason'})"
    if code in _BUSY_WORDS:
        raise ModelBusyError(DEFAULT_WAIT_S, text)
    if code.startswith(_INVALID):
        raise ModelRequestError(text)
    raise OutageError(ModelServiceError(text))


def check_refusal(said: Said, server: Server) -> None:
    """See that the model, or a filter, lets an answer through.

    Raises:
        ModelRefusalError: It does not.
    """
    if said.refusal is not None:
        raise ModelRefusalError(f"{server}: the model refused: {server.masked(said.refusal)}")
    if said.incomplete == "content_filter":
        raise ModelRefusalError(f"{server}: a filter stopped the answer")


def _by_status(error: openai.APIStatusError, server: Server, model: str) -> Told:
    status = error.status_code
    code, words = server.details(error.body)
    said = f"{server} answered {status}{f' ({words})' if words else ''}"
    if status == BUSY and code in NO_QUOTA:
        return ModelQuotaError(f"{said}: the account has no quota left, check its plan and billing")
    if status == BUSY:
        return ModelBusyError(wait_s(error.response.headers), said)
    if status >= SERVER_ERROR or status == TIMED_OUT:
        return ModelServiceError(said)
    hint = _HINTS.get(status, _OTHER_HINT).format(model=model)
    kind = ModelAuthError if status in (401, 403) else ModelRequestError
    return kind(f"{said}: {hint}")
