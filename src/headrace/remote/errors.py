"""Errors that only a remote API has; what both ways have in common is in `headrace.errors`."""

from __future__ import annotations

from datetime import timedelta

from headrace.errors import HeadraceError, InvalidError, UnavailableError


class AddressError(InvalidError):
    """The address of the API, or the token for it, cannot be used; nothing was sent."""

    code = "api_address_invalid"

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class ClientMissingError(InvalidError):
    """What speaks HTTP is not installed."""

    code = "client_missing"

    def __str__(self) -> str:
        return "a remote API needs httpx2, which is not installed: pip install 'headrace[client]'"


class AuthRequiredError(InvalidError):
    """The token is missing, wrong, revoked or expired."""

    code = "auth_required"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason}: set HEADRACE_API_TOKEN to a token that is good"


class ForbiddenError(InvalidError):
    """The token is good, but its scopes do not allow this."""

    code = "forbidden"


class TooLargeError(InvalidError):
    """The body is larger than the server takes; nothing was stored."""

    code = "payload_too_large"


class UnsupportedTypeError(InvalidError):
    """The server does not take a body, or a file, of this kind; nothing was stored."""

    code = "unsupported_media_type"


class ForeignAnswerError(InvalidError):
    """What answered is no API of headrace, or one of another version.

    Attributes:
        address: What was asked.
        found: What came instead.
    """

    code = "foreign_answer"

    def __init__(self, address: str, found: str) -> None:
        super().__init__(address, found)
        self.address, self.found = address, found

    def __str__(self) -> str:
        return f"{self.address} {self.found}: is it the address of a headrace API?"


class RateLimitedError(UnavailableError):
    """More requests than the server allows; it was tried again for as long as the client may."""

    code = "rate_limited"


class BudgetExhaustedError(UnavailableError):
    """The budget is used up."""

    code = "budget_exhausted"


class ServiceUnavailableError(UnavailableError):
    """The server does not answer, or cannot now; what was asked may have been done.

    A call with the same idempotency key can be repeated without doing it twice.
    """

    code = "service_unavailable"

    def __init__(self, reason: str, retry_after: timedelta = timedelta(seconds=1)) -> None:
        super().__init__(reason, retry_after)


class ServerError(HeadraceError):
    """An error on the server's side; the request id finds it in its log.

    Attributes:
        detail: What the server says of it.
        request_id: Empty where it said none.
    """

    code = "server_error"

    def __init__(self, detail: str, request_id: str = "") -> None:
        super().__init__(detail, request_id)
        self.detail, self.request_id = detail, request_id

    def __str__(self) -> str:
        known = f" (request {self.request_id})" if self.request_id else ""
        return f"the server failed: {self.detail}{known}"
