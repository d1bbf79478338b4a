"""What stands around each call of a model server: its breaker, its rate limit, the budget."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

from headrace import CircuitBreaker, RateLimit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from headrace.pipelines.consensus.settings import ConsensusSettings

DEPENDENCY: Final = "openai"
"""Name of the breaker and of the limit, for operators."""
PROBE_MARGIN_S: Final = 10
MINUTE_S: Final = 60


class Meter(Protocol):
    """Takes what a call has used."""

    def settle(self, *, tokens: float | None = None, requests: float | None = None) -> None:
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
    def settle(self, *, tokens: float | None = None, requests: float | None = None) -> None:
        """Nobody counts."""


class SharedGuards:
    """What all workers share.

    Args:
        breaker: Around everything: a call that it turns away takes no room of the limit.
        limit: Of requests and tokens.
    """

    def __init__(self, breaker: CircuitBreaker, limit: RateLimit) -> None:
        self._breaker, self._limit = breaker, limit

    @asynccontextmanager
    async def call(self, tokens: int) -> AsyncIterator[Meter]:
        """Around one call.

        Raises:
            BreakerOpenError: The breaker is open.
            RateLimitedError: There is no room now, or the server answered with 429.
        """
        async with self._breaker, self._limit.reserve(tokens=tokens) as reservation:
            yield reservation


def shared_guards(settings: ConsensusSettings) -> SharedGuards:
    """The breaker and the limit of the model server, as the settings say."""
    breaker = CircuitBreaker(DEPENDENCY, probe_timeout=settings.llm_timeout_s + PROBE_MARGIN_S)
    # A bucket holds one request at least.
    least_s = MINUTE_S / settings.llm_requests_per_min
    limit = RateLimit(
        DEPENDENCY,
        requests=settings.llm_requests_per_min,
        tokens=settings.llm_tokens_per_min,
        per=MINUTE_S,
        burst=min(max(settings.llm_burst_s, least_s), MINUTE_S),
    )
    return SharedGuards(breaker, limit)
