"""What an error of the server means for the step: try again, wait, or give up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace import PermanentError, RetryAfter
from headrace.pipelines.documents.embedding.errors import EmbeddingFailedError
from headrace.pipelines.openai_servers import NO_QUOTA, Server, wait_s

if TYPE_CHECKING:
    import openai

_HINTS: Final = {
    401: "check its API key",
    403: "this key may not use the model: check the key's project and permissions",
    404: "check the name of the model {model!r}, and that the address ends with its version, "
    "as in http://localhost:8080/v1",
}
_OTHER_HINT: Final = "check the model {model!r} and its limits"


def steering(error: openai.OpenAIError, server: Server, model: str) -> Exception:
    """What to raise instead of an error of the client.

    Returns:
        `RetryAfter` for a rate limit; `PermanentError` where another try cannot help, with what to
        check; `EmbeddingFailedError` for the rest.
    """
    status: int | None = getattr(error, "status_code", None)
    if status is None:
        cause = error.__cause__
        reason = server.masked(str(cause or error)) or type(cause or error).__name__
        return EmbeddingFailedError(f"{server} cannot be reached: {reason}")
    code, words = server.details(getattr(error, "body", None))
    said = f"{server} answered {status}{f' ({words})' if words else ''}"
    if status == 429 and code in NO_QUOTA:  # noqa: PLR2004 - too many requests
        return PermanentError(f"{said}: the account has no quota left, check its plan and billing")
    if status == 429:  # noqa: PLR2004 - too many requests
        response = getattr(error, "response", None)
        return RetryAfter(wait_s(getattr(response, "headers", {})), said)
    if status >= 500 or status == 408:  # noqa: PLR2004 - a fault or a timeout of its own
        return EmbeddingFailedError(said)
    hint = _HINTS.get(status, _OTHER_HINT).format(model=model)
    return PermanentError(f"{said}: {hint}")
