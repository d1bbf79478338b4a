"""What a step raises to say how its job goes on."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

MAX_RETRY_AFTER: Final = timedelta(hours=1)
"""The longest wait that `RetryAfter` asks for; more is cut to this."""


class Steering(Exception):  # noqa: N818 - not an error: a step says how its job goes on
    """The root of what a step raises on purpose."""


class PermanentError(Steering):
    """Raise it when another try cannot help: the step, and with it the job, fails at once."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UserError(PermanentError):
    """A `PermanentError` whose message is safe to show to the person who sent the input."""


class RetryAfter(Steering):
    """Raise it to be started again after `delay`, without using up an attempt.

    Args:
        delay: Seconds or a timedelta, 0 or more; more than an hour is cut to an hour.
        reason: Shown while the job waits.

    Raises:
        ValueError: `delay` is negative or not a number.
    """

    def __init__(self, delay: float | timedelta, reason: str = "") -> None:
        super().__init__(delay, reason)
        seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
        if not seconds >= 0:  # not `< 0`: NaN is refused too
            raise ValueError(f"RetryAfter takes a delay of 0 s or more, not {delay!r}")
        self.delay = timedelta(seconds=min(seconds, MAX_RETRY_AFTER.total_seconds()))
        self.reason = reason

    def __str__(self) -> str:
        suffix = f": {self.reason}" if self.reason else ""
        return f"again after {self.delay.total_seconds():g} s{suffix}"


class Skip(Steering):
    """Raise it when the step is not needed: it is shown as skipped, and later steps get None.

    The step's return annotation must accept None, else the step fails permanently and says so.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class CancelJob(Steering):
    """Raise it to cancel the job from within; outputs that are stored are kept."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
