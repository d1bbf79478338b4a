"""What clients are told of credentials that are not accepted."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from headrace.telemetry.events import emit
from headrace.telemetry.identity_events import CredentialRefused
from headrace.web.auth.refusal import KeysUnavailableError, Reason, RefusedError
from headrace.web.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator

RETRY_S: Final = "5"
INVALID: Final = 'Bearer realm="headrace", error="invalid_token"'
_TOLD: Final = {
    Reason.EXPIRED: "the token has expired",
    Reason.NOT_YET_VALID: "the token is not valid yet",
    Reason.WRONG_AUDIENCE: "the token is for another audience",
    Reason.NO_TENANT: "the token names no tenant or owner",
}
"""Of other reasons only that the credential is not accepted."""


@contextlib.contextmanager
def told_refusals() -> Iterator[None]:
    """Refusals inside a `with` block, as problems; each is an event.

    Raises:
        ProblemError: `AUTH_REQUIRED`: the credential proves nothing. `UNAVAILABLE`: its issuer does
            not answer, so nobody can tell.
    """
    try:
        yield
    except RefusedError as error:
        emit(CredentialRefused(reason=error.reason))
        detail = _TOLD.get(error.reason, "the credential is not accepted")
        raise ProblemError("AUTH_REQUIRED", detail, headers={"WWW-Authenticate": INVALID}) from None
    except KeysUnavailableError:
        raise ProblemError(
            "UNAVAILABLE",
            "the identity provider does not answer",
            headers={"Retry-After": RETRY_S},
        ) from None
