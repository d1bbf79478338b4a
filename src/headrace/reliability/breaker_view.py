"""What a process knows of a circuit breaker, so that a call through a closed one asks nobody.

What was read holds for a second, and less where a change is heard of. So no process lets a call
pass a breaker that has been open for longer than that, however late it hears of it.
"""

from __future__ import annotations

import asyncio
import math
from time import monotonic
from typing import TYPE_CHECKING, Final

import asyncpg

from headrace.errors import DatabaseUnavailableError
from headrace.store.breakers import Standing, look
from headrace.store.failures import is_retryable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headrace.reliability.surroundings import Surroundings
    from headrace.store.breakers import Key
    from headrace.store.pool import Connection

HOLDS_S: Final = 1.0
"""How old what is known may be."""
WAIT_S: Final = 2.0
"""For a connection of the pool: a call that waits for one is no better than one that fails."""
LONGEST_S: Final = 5.0
"""Of one statement, the wait for its connection included."""


class View:
    """What is known of one breaker; used on the loop of its pool, `closed_epoch` in any thread."""

    def __init__(self, key: Key, around: Surroundings) -> None:
        """Nothing is known yet.

        Args:
            key: Which breaker.
            around: A call through it.
        """
        self._key, self._pool, self._hub = key, around.pool, around.hub
        self._standing: Standing | None = None
        self._as_of = -math.inf
        self._heard = 0
        self._reading = asyncio.Lock()
        self.forget = around.hub.listen("breaker", f"{key.name}/{key.tenant}", self._on_change)

    def closed_epoch(self) -> int | None:
        """The number of the closed state, where it is known that the breaker is closed."""
        standing = self._standing
        if standing is None or standing.state != "closed" or self._is_old(HOLDS_S):
            return None
        return standing.epoch

    async def read(self, *, unheard_s: float = HOLDS_S) -> Standing:
        """How the breaker is; asked for where what is known is too old.

        Args:
            unheard_s: How old it may be while changes are not heard of.

        Raises:
            DatabaseUnavailableError: No server answered, and it was not closed when one last did.
        """
        async with self._reading:
            holds_s = HOLDS_S if self._hub.is_listening else unheard_s
            if self._standing is not None and not self._is_old(holds_s):
                return self._standing
            try:
                return await self.ask(lambda connection: look(connection, self._key))
            except DatabaseUnavailableError:
                if self._standing is None or self._standing.state != "closed":
                    raise
                # A worker without a database soon stops by itself: this is not its end.
                self._as_of = monotonic()
                return self._standing

    async def ask(self, statement: Callable[[Connection], Awaitable[Standing]]) -> Standing:
        """Run a statement about the breaker, and learn from what it returns.

        Raises:
            DatabaseUnavailableError: No server answered in time.
        """
        heard, asked_at = self._heard, monotonic()
        try:
            async with asyncio.timeout(LONGEST_S), self._pool.acquire(wait=WAIT_S) as connection:
                standing = await statement(connection)
        except TimeoutError as error:
            raise DatabaseUnavailableError(f"no answer within {LONGEST_S:g} s") from error
        except asyncpg.PostgresError as error:
            if not is_retryable(error):
                raise
            raise DatabaseUnavailableError(str(error)) from error
        if self._standing is None or standing.epoch >= self._standing.epoch:
            self._standing = standing
            # What was rung meanwhile may be newer than this answer.
            self._as_of = asked_at if heard == self._heard else -math.inf
        return standing

    def _is_old(self, holds_s: float) -> bool:
        return monotonic() - self._as_of >= holds_s

    def _on_change(self, _text: str | None) -> None:
        self._heard += 1
        self._as_of = -math.inf
