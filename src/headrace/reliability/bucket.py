"""One process's way to a bucket: its callers share statements.

While one statement is on its way the next callers gather, so a bucket costs a round trip at a time
whatever passes through it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from headrace.store.rate_limits import Wish, reserve

if TYPE_CHECKING:
    from headrace.store.pool import Pool
    from headrace.store.rate_limits import BucketKey, Numbers, Turn

MOST: Final = 200
"""Calls in a statement, which takes about a millisecond for so many."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A turn, by the clock of this process.

    Attributes:
        turn: What the bucket said.
        earliest: Monotonic time at which it may begin at the earliest: when it was asked for.
        latest: The same, when the answer was there: the bucket's own time lies between the two.
    """

    turn: Turn
    earliest: float
    latest: float


@dataclass(slots=True, eq=False)
class _Caller:
    wish: Wish
    turn: asyncio.Future[Promise]


class Bucket:
    """Takes and gives back, for all callers of one loop.

    Args:
        pool: Connections of that loop.
        key: Which bucket.
        numbers: Those of the code.
    """

    def __init__(self, pool: Pool, key: BucketKey, numbers: Numbers) -> None:
        self._pool, self.key, self.numbers = pool, key, numbers
        self._callers: deque[_Caller] = deque()
        self._back = (0.0, 0.0)
        self._sender: asyncio.Task[None] | None = None
        self._waiting: set[asyncio.Future[float]] = set()

    async def take(self, wish: Wish) -> Promise:
        """Ask for a turn; what was taken for a caller that is cancelled meanwhile goes back.

        Raises:
            DatabaseUnavailableError: The database does not answer.
        """
        caller = _Caller(wish, asyncio.get_running_loop().create_future())
        self._callers.append(caller)
        self._send()
        return await caller.turn

    def give_back(self, requests: float, tokens: float) -> None:
        """Give back what a call did not use; below zero: what it used more.

        It is on its way when this returns. Where the database is away it is lost: then the estimate
        stands.
        """
        self._back = (self._back[0] + requests, self._back[1] + tokens)
        self._send()

    async def wait(self, seconds: float) -> float | None:
        """Wait for a turn; returns early, with its seconds, where the bucket is held back."""
        told: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.add(told)
        try:
            async with asyncio.timeout(seconds):
                return await told
        except TimeoutError:
            return None
        finally:
            self._waiting.discard(told)

    def held(self, seconds: float) -> None:
        """Tell those who wait here that the bucket is held back."""
        for told in self._waiting:
            if not told.done():
                told.set_result(seconds)

    def _send(self) -> None:
        if self._sender is None:
            name = f"headrace limit {self.key.name}"
            self._sender = asyncio.get_running_loop().create_task(self._run(), name=name)

    async def _run(self) -> None:
        callers: list[_Caller] = []
        try:
            while self._callers or any(self._back):
                callers = [self._callers.popleft() for _ in range(min(MOST, len(self._callers)))]
                back, self._back = self._back, (0.0, 0.0)
                sent = monotonic()
                self._tell(callers, await self._ask(callers, back), sent)
        except asyncio.CancelledError:
            for caller in (*callers, *self._callers):
                caller.turn.cancel()
            raise
        finally:
            self._sender = None

    async def _ask(
        self, callers: list[_Caller], back: tuple[float, float]
    ) -> list[Turn] | Exception:
        wishes = [caller.wish for caller in callers]
        try:
            async with self._pool.acquire() as connection:
                return await reserve(connection, self.key, self.numbers, wishes, back=back)
        except Exception as error:  # noqa: BLE001 - it is every caller's
            return error

    def _tell(self, callers: list[_Caller], answer: list[Turn] | Exception, sent: float) -> None:
        if isinstance(answer, Exception):
            for caller in callers:
                if not caller.turn.done():
                    caller.turn.set_exception(answer)
            return
        now = monotonic()
        for caller, turn in zip(callers, answer, strict=True):
            if not caller.turn.done():
                caller.turn.set_result(Promise(turn, sent + turn.wait_s, now + turn.wait_s))
            elif turn.goes:
                self._back = (
                    self._back[0] + caller.wish.requests,
                    self._back[1] + caller.wish.tokens,
                )
