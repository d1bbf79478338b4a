"""One call under a limit: room is reserved for it before, and what it really used is told after."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from random import getrandbits, uniform
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

from headrace.errors import DatabaseUnavailableError, InvalidError, RateLimitedError
from headrace.reliability.blocking import ask_loop
from headrace.reliability.insisting import ask_database
from headrace.reliability.refusals import asked_wait, is_refused, read_wait
from headrace.reliability.surroundings import surroundings
from headrace.store.failures import Backoff
from headrace.store.rate_limits import IN_PLACE_S, Wish, free_slot, hold, take_slot
from headrace.telemetry.events import emit, enabled
from headrace.telemetry.limit_events import RateLimited, RateLimitHeld

if TYPE_CHECKING:
    from types import TracebackType

    from headrace.model.duration import Duration
    from headrace.reliability.bucket import Bucket, Promise
    from headrace.reliability.rate_limit import RateLimit
    from headrace.reliability.surroundings import Surroundings
    from headrace.store.rate_limits import Slot

MOST: Final = 1e12
LATE_S: Final = 0.1
"""A turn that was missed by more is asked for anew: on a machine that stood still all who missed
theirs would go together."""
SLOT_LOOK_S: Final = 0.1
SLOT_RETRY_S: Final = (1.0, 5.0)
"""When a call comes back for which no slot was free: nobody knows when one will be."""
SLOT_LASTS: Final = timedelta(minutes=10)
"""Of a call outside of a worker, whose end by a crash nobody would see."""
FREE_WAIT_S: Final = 2.0
"""So long a call that did not begin waits until its slot is given back."""
SHORTEST: Final = timedelta(seconds=1)
"""Before a call that was refused with 429 is tried again."""


class Reservation:
    """What a call reserved; `settle` tells what it used. Made by `RateLimit.reserve`, used once."""

    def __init__(self, limit: RateLimit, requests: float, tokens: float) -> None:
        self._limit = limit
        self._requests, self._tokens = requests, tokens
        self._used_requests, self._used_tokens = requests, tokens
        self._hold: timedelta | None = None
        self._around: Surroundings | None = None
        self._bucket: Bucket | None = None
        self._has_taken = False
        self._exits = AsyncExitStack()

    # --- inside the block -------------------------------------------------------------------------

    def settle(self, *, tokens: float | None = None, requests: float | None = None) -> None:
        """Say what the call really used; the difference is given back, or taken, as the block ends.

        Say it for failed calls, too: without it the estimate stands. The last word counts.

        Args:
            tokens: 0 to 1e12.
            requests: 0 to 1e12; 1 is assumed, or what was reserved.

        Raises:
            InvalidError: A number is negative, or larger.
        """
        for name, given in (("tokens", tokens), ("requests", requests)):
            if given is not None and not 0 <= given <= MOST:
                raise InvalidError(f"settle({name}={given!r}): write 0 to {MOST:,.0f}")
        if tokens is not None:
            self._used_tokens = tokens
        if requests is not None:
            self._used_requests = requests

    def hold(self, retry_after: Duration | str | None = None) -> None:
        """Have the bucket held back for everybody as the block ends; see `RateLimit.hold`."""
        self._hold = read_wait(retry_after)

    # --- the block --------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        return await self._enter(surroundings())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._exit(error)

    def __enter__(self) -> Self:
        around = surroundings()
        return ask_loop(around.loop, self._enter(around), f"rate limit {self._limit.name!r}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._around is not None  # noqa: S101 - for the type checker
        ask_loop(self._around.loop, self._exit(error), f"rate limit {self._limit.name!r}")

    async def _enter(self, around: Surroundings) -> Self:
        if self._around is not None:
            raise InvalidError("a reservation is for one block: call reserve() again")
        self._around = around
        bucket = self._bucket = self._limit.bucket(around)
        is_back = around.attempt is not None and around.attempt > 1
        wish = Wish(self._requests, self._tokens, is_back)
        promise = await self._take(bucket, wish)
        try:
            if promise.turn.concurrent is not None:
                await self._take_slot(around, bucket, promise.turn.concurrent)
            await self._wait(bucket, promise)
            if monotonic() > promise.earliest + LATE_S:
                self._give_back(bucket)
                await self._wait(bucket, await self._take(bucket, replace(wish, is_back=True)))
        except BaseException:
            self._give_back(bucket)
            await self._leave()
            raise
        return self

    async def _take(self, bucket: Bucket, wish: Wish) -> Promise:
        promise = await self._insist(bucket, wish)
        turn = promise.turn
        if not turn.goes:
            raise self._sent_away(turn.wait_s, "held" if turn.is_held else "empty")
        self._has_taken = True
        return promise

    async def _insist(self, bucket: Bucket, wish: Wish) -> Promise:
        """In a step an outage of the database is waited out; see `ask_database`."""
        backoff = Backoff()
        while True:
            try:
                return await bucket.take(wish)
            except DatabaseUnavailableError:
                if self._around is None or self._around.worker is None:
                    raise
            await asyncio.sleep(backoff.next_s())

    def _give_back(self, bucket: Bucket) -> None:
        if self._has_taken:
            bucket.give_back(self._requests, self._tokens)
            self._has_taken = False

    async def _wait(self, bucket: Bucket, promise: Promise) -> None:
        """Wait for the turn; a hold that this process hears of meanwhile sends the caller away."""
        wait_s = promise.latest - monotonic()
        if wait_s <= 0:
            return
        held_s = await bucket.wait(wait_s)
        if held_s is not None:
            raise self._sent_away(held_s + uniform(0, IN_PLACE_S), "held")  # noqa: S311

    async def _take_slot(self, around: Surroundings, bucket: Bucket, concurrent: int) -> None:
        until = monotonic() + IN_PLACE_S
        holder = getrandbits(62)
        self._exits.push_async_callback(_free, around, bucket, holder)
        # Cut off in here it may have a slot although no answer came.
        while await _try_slot(around, bucket, concurrent, holder) is None:
            if monotonic() >= until:
                self._exits.pop_all()
                raise self._sent_away(uniform(*SLOT_RETRY_S), "slots")  # noqa: S311
            await asyncio.sleep(uniform(0.5, 1) * SLOT_LOOK_S)  # noqa: S311

    async def _leave(self) -> None:
        """Give the slot back, at once or as soon as the database is back."""
        leaving = asyncio.ensure_future(self._exits.aclose())
        leaving.add_done_callback(_forget)
        await asyncio.wait({leaving}, timeout=FREE_WAIT_S)

    async def _exit(self, error: BaseException | None) -> None:
        around, bucket = self._around, self._bucket
        assert around is not None  # noqa: S101 - for the type checker
        assert bucket is not None  # noqa: S101
        if self._used_requests != self._requests or self._used_tokens != self._tokens:
            bucket.give_back(self._requests - self._used_requests, self._tokens - self._used_tokens)
        # Cut off here, a slot would stay taken as long as the worker lives.
        await asyncio.shield(asyncio.ensure_future(self._exits.aclose()))
        is_429 = error is not None and is_refused(error)
        if error is not None and is_429 and self._hold is None:
            self._hold = asked_wait(error)
        if self._hold is not None:
            held_s = await hold_bucket(bucket, around, self._hold)
            if is_429:
                wait_s = max(held_s, SHORTEST.total_seconds()) + uniform(0, IN_PLACE_S)  # noqa: S311
                raise self._sent_away(wait_s, "refused") from error

    def _sent_away(self, wait_s: float, reason: str) -> RateLimitedError:
        name = self._limit.name
        if enabled(RateLimited):
            emit(RateLimited(dependency=name, reason=reason, retry_in_s=round(wait_s, 3)))
        return RateLimitedError(name, timedelta(seconds=wait_s))


async def _try_slot(
    around: Surroundings, bucket: Bucket, concurrent: int, holder: int
) -> Slot | None:
    return await ask_database(
        around,
        lambda connection: take_slot(
            connection,
            bucket.key,
            concurrent,
            worker=around.worker,
            job=around.job,
            lasts=SLOT_LASTS,
            holder=holder,
        ),
    )


async def _free(around: Surroundings, bucket: Bucket, holder: int) -> None:
    await ask_database(around, lambda connection: free_slot(connection, bucket.key, holder))


def _forget(leaving: asyncio.Task[None]) -> None:
    """Nobody is told that a slot was not given back: what ended the call says more."""
    if not leaving.cancelled():
        leaving.exception()


async def hold_bucket(bucket: Bucket, around: Surroundings, lasts: timedelta) -> float:
    """Hold a bucket back for everybody; returns for how many seconds it is."""
    held_s = await ask_database(
        around, lambda connection: hold(connection, bucket.key, bucket.numbers, lasts=lasts)
    )
    bucket.held(held_s)
    emit(RateLimitHeld(dependency=bucket.key.name, held_s=round(held_s, 3)))
    return held_s
