"""Requests of one tenant in a minute, counted in the database for all processes.

A process takes permits in portions of a twentieth of the limit, so that a request costs a write to
the database once in many. What one has taken and does not use is lost to the others until the
minute is over: a tenant may be refused up to a portion for each process early, and is never let
past its limit within a minute. A minute begins with the tenant's first request, so two of them,
one after the other, can let twice the limit through within less than two.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Final

from headrace.store.rates import take_permits
from headrace.web.problems import ProblemError
from headrace.web.state import CONNECTION_WAIT_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.app import Headrace
    from headrace.store.rates import Kind

PORTIONS: Final = 20
"""In so many portions a limit is taken."""
WORDS: Final[dict[Kind, str]] = {
    "writes": "writes",
    "reads": "reads",
    "costly": "submissions to costly pipelines",
}
MOST_PURSES: Final = 10_000
"""More are cleared of those whose minute is over."""


@dataclass(slots=True)
class _Purse:
    """What this process has of the permits of a tenant."""

    per_minute: int
    left: int = 0
    until: float = 0.0
    is_spent: bool = False
    """Whether there are none left for anybody in this minute."""
    filling: asyncio.Lock = field(default_factory=asyncio.Lock)


class TenantRates:
    """Refuses requests of tenants that send too many.

    Args:
        app: Whose database counts.
        writes: Most writing requests a minute; 0 counts nothing.
        reads: Most reading requests a minute; 0 counts nothing.
        costly: Most submissions a minute to pipelines that are marked so; 0 counts nothing.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        app: Headrace,
        *,
        writes: int,
        reads: int,
        costly: int = 0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._app, self._clock = app, clock
        self._most: dict[Kind, int] = {"writes": writes, "reads": reads, "costly": costly}
        self._purses: dict[tuple[str, Kind], _Purse] = {}

    async def spend(self, tenant: str, kind: Kind) -> None:
        """Count one request.

        Raises:
            ProblemError: `RATE_LIMITED`: it is one too many.
            DatabaseUnavailableError: Nobody can count.
        """
        most = self._most[kind]
        if not most:
            return
        purse = self._purses.get((tenant, kind))
        if purse is None:
            purse = self._new_purse(tenant, kind, most)
        if not self._has(purse):
            async with purse.filling:
                if not self._has(purse) and not self._is_spent(purse):
                    await self._fill(purse, tenant, kind, most)
        if not purse.left:
            raise self._refusal(purse, kind)
        purse.left -= 1

    def _new_purse(self, tenant: str, kind: Kind, most: int) -> _Purse:
        if len(self._purses) >= MOST_PURSES:
            now = self._clock()
            self._purses = {key: one for key, one in self._purses.items() if one.until > now}
        purse = self._purses[tenant, kind] = _Purse(most)
        return purse

    def _has(self, purse: _Purse) -> bool:
        return purse.left > 0 and self._clock() < purse.until

    def _is_spent(self, purse: _Purse) -> bool:
        return purse.is_spent and self._clock() < purse.until

    async def _fill(self, purse: _Purse, tenant: str, kind: Kind, most: int) -> None:
        wanted = ceil((purse.per_minute or most) / PORTIONS)
        began = self._clock()
        async with self._app.connection(wait_s=CONNECTION_WAIT_S) as connection:
            permits = await take_permits(connection, tenant, kind, usual=most, wanted=wanted)
        purse.per_minute = permits.per_minute
        purse.left, purse.is_spent = permits.granted, not permits.granted
        purse.until = began + permits.left_s

    def _refusal(self, purse: _Purse, kind: Kind) -> ProblemError:
        wait = str(max(1, ceil(purse.until - self._clock())))
        return ProblemError(
            "RATE_LIMITED",
            f"at most {purse.per_minute:,} {WORDS[kind]} a minute of one tenant",
            headers={
                "Retry-After": wait,
                "RateLimit-Limit": str(purse.per_minute),
                "RateLimit-Remaining": "0",
                "RateLimit-Reset": wait,
            },
        )
