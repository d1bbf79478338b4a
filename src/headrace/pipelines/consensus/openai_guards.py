"""What stands around each call of a model server: its breaker, its rate limit, the budget."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

from headrace import Budget, CircuitBreaker, RateLimit
from headrace.errors import BudgetExhaustedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from headrace.pipelines.consensus.settings import ConsensusSettings

DEPENDENCY: Final = "openai"
"""Name of the breaker and of the limit, for operators."""
DAY_BUDGET: Final = "consensus"
JOB_BUDGET: Final = "consensus-job"
LONGEST_S: Final = 3_600
PROBE_MARGIN_S: Final = 10
MINUTE_S: Final = 60


class Meter(Protocol):
    """Takes what a call has used."""

    def settle(self, *, tokens: int | None = None, requests: int | None = None) -> None:
        """Say it, for failed calls too; what is not said is as it was estimated."""


class Guards(Protocol):
    """Lets calls through, or not."""

    def call(self, tokens: int) -> AbstractAsyncContextManager[Meter]:
        """Around one call, for which so many tokens are estimated."""


class NoGuards:
    """Lets every call through: for use outside of steps."""

    @asynccontextmanager
    async def call(self, tokens: int) -> AsyncIterator[Meter]:  # noqa: ARG002
        """Around one call."""
        yield _NoMeter()


class _NoMeter:
    def settle(self, *, tokens: int | None = None, requests: int | None = None) -> None:
        """Nobody counts."""


class SharedGuards:
    """What all workers share.

    Args:
        breaker: Around everything: a call that it turns away takes no room of the limit.
        limit: Of requests and tokens.
        budgets: Of tokens; innermost, so that only calls that are made are spent.
    """

    def __init__(self, breaker: CircuitBreaker, limit: RateLimit, *budgets: Budget) -> None:
        self._breaker, self._limit, self._budgets = breaker, limit, budgets

    @asynccontextmanager
    async def call(self, tokens: int) -> AsyncIterator[Meter]:
        """Around one call.

        Raises:
            BreakerOpenError: The breaker is open, or opened by this call.
            RateLimitedError: There is no room now, or the server answered with 429.
            BudgetExhaustedError: A budget has not so much left.
        """
        async with self._breaker, self._limit.reserve(tokens=tokens) as reservation:
            meter = _SharedMeter(reservation)
            async with AsyncExitStack() as spending:
                try:
                    for budget in self._budgets:
                        call = await spending.enter_async_context(budget.reserve(tokens=tokens))
                        meter.budgeted.append(call)
                except BudgetExhaustedError:
                    meter.settle(tokens=0, requests=0)  # nothing was sent
                    raise
                yield meter


class _SharedMeter:
    def __init__(self, reservation: Reserved) -> None:
        self._reservation = reservation
        self.budgeted: list[Budgeted] = []

    def settle(self, *, tokens: int | None = None, requests: int | None = None) -> None:
        self._reservation.settle(tokens=tokens, requests=requests)
        for call in self.budgeted:
            call.settle(tokens=tokens)


class Reserved(Protocol):
    """What a limit gives for a call."""

    def settle(self, *, tokens: float | None = None, requests: float | None = None) -> None:
        """Take what was used."""


class Budgeted(Protocol):
    """What a budget gives for a call."""

    def settle(self, *, tokens: int | None = None) -> None:
        """Take what was used."""


def shared_guards(settings: ConsensusSettings) -> SharedGuards:
    """The breaker, the limit and the budgets of the model server, as the settings say."""
    probe_s = min(settings.llm_timeout_s + PROBE_MARGIN_S, LONGEST_S)
    breaker = CircuitBreaker(DEPENDENCY, probe_timeout=probe_s)
    # A bucket holds one request at least.
    least_s = MINUTE_S / settings.llm_requests_per_min
    limit = RateLimit(
        DEPENDENCY,
        requests=settings.llm_requests_per_min,
        tokens=settings.llm_tokens_per_min,
        per=MINUTE_S,
        burst=min(max(settings.llm_burst_s, least_s), MINUTE_S),
    )
    budgets = []
    if settings.llm_tokens_per_day is not None:
        budgets.append(Budget(DAY_BUDGET, tokens=settings.llm_tokens_per_day))
    if settings.llm_tokens_per_job is not None:
        budgets.append(Budget(JOB_BUDGET, tokens=settings.llm_tokens_per_job, per="job"))
    return SharedGuards(breaker, limit, *budgets)
