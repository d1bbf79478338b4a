"""What does not answer now, or has no room: try again later."""

from __future__ import annotations

from datetime import timedelta

from headrace.errors.base import UnavailableError


class DatabaseUnavailableError(UnavailableError):
    """PostgreSQL does not answer; a write that was under way may have been made."""

    code = "database_unavailable"


class BrokerUnavailableError(UnavailableError):
    """The message broker does not take or give messages now; no job depends on that."""

    code = "broker_unavailable"


class TransactionTimeoutError(UnavailableError):
    """A step's transaction was open for too long; it was rolled back.

    It is open from its first statement: call out first, then write.
    """

    code = "transaction_timeout"

    def __init__(self, limit: timedelta) -> None:
        super().__init__(
            f"the transaction was open for longer than {limit.total_seconds():g} s since its first "
            "statement, and was rolled back: call out first, then write"
        )
        self.args = (limit,)
        self.limit = limit


class LockBusyError(UnavailableError):
    """Somebody else holds the lock. A step that lets it out is started again without an attempt.

    Args:
        key: The lock's.
        holder: Who holds it.
        retry_after: Time until the holder's lease ends, unless it renews it.
    """

    code = "lock_busy"

    def __init__(self, key: str, holder: str, retry_after: timedelta) -> None:
        super().__init__(key, retry_after)
        self.args = (key, holder, retry_after)
        self.key, self.holder = key, holder

    def __str__(self) -> str:
        return (
            f"the lock {self.key!r} is held by {self.holder}, "
            f"for another {self.retry_after.total_seconds():.3g} s unless renewed"
        )


class OperationInProgressError(UnavailableError):
    """Another job carries the operation out now; a step that lets it out is started again."""

    code = "operation_in_progress"

    def __init__(self, key: str, holder: str, retry_after: timedelta) -> None:
        super().__init__(key, retry_after)
        self.args = (key, holder, retry_after)
        self.key, self.holder = key, holder

    def __str__(self) -> str:
        return f"the operation {self.key!r} is being carried out by {self.holder}"


class BreakerOpenError(UnavailableError):
    """A circuit breaker lets no call through; a step that lets it out waits without an attempt.

    Args:
        name: The breaker's.
        retry_after: Time until a call may be tried.
    """

    code = "breaker_open"

    def __init__(self, name: str, retry_after: timedelta) -> None:
        super().__init__(name, retry_after)
        self.args = (name, retry_after)
        self.name = name

    def __str__(self) -> str:
        wait_s = self.retry_after.total_seconds()
        return f"the breaker {self.name!r} is open: the next call may be tried in {wait_s:.3g} s"


class RateLimitedError(UnavailableError):
    """A rate limit has no room now; a step that lets it out waits without an attempt.

    Args:
        name: The limit's.
        retry_after: Time until there is room.
    """

    code = "rate_limited"

    def __init__(self, name: str, retry_after: timedelta) -> None:
        super().__init__(name, retry_after)
        self.args = (name, retry_after)
        self.name = name

    def __str__(self) -> str:
        wait_s = self.retry_after.total_seconds()
        return f"the rate limit {self.name!r} has room again in {wait_s:.3g} s"


class BudgetExhaustedError(UnavailableError):
    """A budget is spent.

    Args:
        name: The budget's.
        spent: What was spent of it, with its unit.
        limit: What may be, with its unit.
        renews_after: Time until its next window: a step that lets the error out waits for that,
            without an attempt. None where there is none, or where the budget is to fail jobs: the
            job fails with the cause `budget_exhausted`.
    """

    code = "budget_exhausted"

    def __init__(self, name: str, spent: str, limit: str, renews_after: timedelta | None) -> None:
        super().__init__(name, renews_after or timedelta(0))
        self.args = (name, spent, limit, renews_after)
        self.name, self.spent, self.limit, self.renews_after = name, spent, limit, renews_after

    def __str__(self) -> str:
        return f"the budget {self.name!r} is spent: {self.spent} of {self.limit}"
