"""Which database errors pass, and how long to wait before the next try.

Three answers are possible. *Unavailable*: the server or the way to it is gone, nothing can be done
on this connection. *Retryable*: the server refused this transaction, and the same one may succeed.
Anything else is a mistake, ours or the caller's, and goes up as it is. In the first two cases what
was sent may have been carried out: only a fenced or repeatable write is sent again.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_DELAY_S: Final = 0.1
LONGEST_DELAY_S: Final = 1.0  # a worker that cannot renew has 30 s: it must try often

_UNAVAILABLE: Final = (
    OSError,  # refused, reset, timed out (TimeoutError is one), no such socket or host
    asyncpg.PostgresConnectionError,  # class 08
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,  # starting up, stopping or recovering
    asyncpg.DatabaseDroppedError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,  # the primary became a standby under us
    asyncpg.TargetServerAttributeNotMatched,
    asyncpg.InternalClientError,  # the protocol was cut in the middle
)
_RETRYABLE: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,  # lock_timeout
    asyncpg.QueryCanceledError,  # statement_timeout
    asyncpg.SerializationError,
    asyncpg.StatementCompletionUnknownError,
    asyncpg.InsufficientResourcesError,  # class 53: disk full, out of memory
    asyncpg.InvalidCachedStatementError,  # a migration changed a table under a prepared statement
)


def is_unavailable(error: BaseException) -> bool:
    """True when the database cannot be reached, or this connection to it is of no more use."""
    if isinstance(error, asyncpg.InterfaceError):
        # The driver has one class for a connection that is closed and for one that is misused.
        return "closed" in str(error)
    return isinstance(error, _UNAVAILABLE)


def is_retryable(error: BaseException) -> bool:
    """True when the same transaction may succeed on the same server; see `is_unavailable` too."""
    return isinstance(error, _RETRYABLE) and not is_unavailable(error)


class Backoff:
    """The waits between tries: at most 0.1 s, doubling up to 1 s, with full jitter.

    Full jitter spreads the workers that all lost the same server at the same moment.
    """

    def __init__(
        self,
        first_s: float = FIRST_DELAY_S,
        longest_s: float = LONGEST_DELAY_S,
        *,
        random_part: Callable[[], float] = random.random,
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._random_part = random_part
        self._ceiling_s = first_s

    def next_s(self) -> float:
        """Seconds to wait before the next try."""
        ceiling = self._ceiling_s
        self._ceiling_s = min(ceiling * 2, self._longest_s)
        return ceiling * self._random_part()

    def reset(self) -> None:
        """A try succeeded: the next wait is a short one again."""
        self._ceiling_s = self._first_s
