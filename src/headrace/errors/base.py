"""The root of all errors, and its four families."""

from __future__ import annotations

from datetime import timedelta


class HeadraceError(Exception):
    """The root of all errors of headrace; `code` names the error for machines."""

    code: str = "headrace_error"


class InvalidError(HeadraceError):
    """The call or the definition is wrong; the same call will fail again."""

    code = "invalid"


class NotFoundError(HeadraceError):
    """The thing that was named does not exist, or not for this caller."""

    code = "not_found"


class ConflictError(HeadraceError):
    """The call was fine, but the state does not allow it (any more)."""

    code = "conflict"


class UnavailableError(HeadraceError):
    """Something that is needed does not answer now; try again after `retry_after`."""

    code = "unavailable"

    def __init__(self, reason: str, retry_after: timedelta = timedelta(seconds=1)) -> None:
        super().__init__(reason, retry_after)
        self.reason, self.retry_after = reason, retry_after

    def __str__(self) -> str:
        return self.reason
