"""`RateLimit`: how often, and with how many tokens, all workers together call something."""

from __future__ import annotations

from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from headrace.errors import DefinitionError, InvalidError
from headrace.model.duration import Duration, to_timedelta
from headrace.reliability.bucket import Bucket
from headrace.reliability.refusals import read_wait
from headrace.reliability.reservation import MOST, Reservation, hold_bucket
from headrace.reliability.surroundings import surroundings
from headrace.store.rate_limits import BucketKey, Numbers

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

    from headrace.reliability.surroundings import Surroundings
    from headrace.store.pool import Pool

NAME_MOST: Final = 200
LONGEST_S: Final = 86_400.0
CONCURRENT_MOST: Final = 10_000


class RateLimit:
    """A limit that all workers of a database keep together; made once, at module level.

        openai = RateLimit("openai", requests=3_500, tokens=90_000, per=60)

        async with openai.reserve(tokens=1_200) as call:
            answer = await client.ask(question)
            call.settle(tokens=answer.usage.total_tokens)

    It is a bucket that fills all the time, by the database's clock: there is no window at whose
    edge twice as much passes. In any stretch of time no more passes than the bucket holds and what
    flows in meanwhile. A call for which there is room within a second waits for it, in line;
    otherwise `RateLimitedError` puts the step off until its turn, without using an attempt.

    In plain functions write `with`. `async with openai:` reserves one request. The numbers of
    operators (`headrace limits set`) go before those written here.
    """

    def __init__(
        self,
        name: str,
        *,
        requests: float,
        tokens: float | None = None,
        per: Duration = 60,
        burst: Duration | None = None,
        per_tenant: bool = False,
        concurrent: int | None = None,
    ) -> None:
        """Nothing is asked or stored yet.

        Args:
            name: Of what is limited, the same in all code that shares it; up to 200 characters.
            requests: Calls in `per`.
            tokens: Tokens in `per`; any number if left out.
            per: Seconds or a timedelta, up to a day.
            burst: Size of the bucket: what flows in during this time, seconds or a timedelta; `per`
                if left out, as services have it. It holds one request at least. A call for more
                tokens than it holds waits for a full one, and those after it wait the longer.
            per_tenant: A bucket for each tenant, in place of one that all share.
            concurrent: Calls under way at a time, 1 to 10,000; any number if left out. The death of
                a worker frees those of its jobs.

        Raises:
            DefinitionError: A number is out of its range.
        """
        self.name = self._checked_name(name)
        per_s = self._seconds(per, "per")
        burst_s = per_s if burst is None else self._seconds(burst, "burst")
        self._check("requests", requests)
        if tokens is not None:
            self._check("tokens", tokens)
        if requests * burst_s < per_s * (1 - 1e-9):
            raise self._wrong(
                f"a bucket of {requests * burst_s / per_s:.3g} requests never lets one pass: write "
                f"burst={per_s / requests:g} or more"
            )
        if concurrent is not None and not 1 <= concurrent <= CONCURRENT_MOST:
            raise self._wrong(f"concurrent is {concurrent!r}; write 1 to {CONCURRENT_MOST:,}")
        self._numbers = Numbers(
            float(requests),
            None if tokens is None else float(tokens),
            per_s,
            burst_s,
            concurrent,
        )
        self._per_tenant = per_tenant
        # As long as a call or a statement of them is under way.
        self._buckets: WeakKeyDictionary[
            Pool, WeakValueDictionary[tuple[str, asyncio.AbstractEventLoop], Bucket]
        ] = WeakKeyDictionary()
        self._entered: ContextVar[tuple[Reservation, ...]] = ContextVar(f"limit {name}", default=())

    def __repr__(self) -> str:
        return f"RateLimit({self.name!r})"

    def reserve(self, *, tokens: float = 0, requests: float = 1) -> Reservation:
        """Room for a call, inside an `async with` block; `with` in plain functions.

        Args:
            tokens: What it may use, estimated; rather too many than too few.
            requests: How many it counts for.

        Returns:
            What is entered: its `settle` takes what was really used. Where HTTP 429 leaves the
            block as an exception of a client, its Retry-After holds the bucket back for everybody,
            and `RateLimitedError` leaves in its place.

        Raises:
            InvalidError: A number is negative.
            RateLimitedError: On entering: there is no room within a second.
            DefinitionError: On entering: outside of a step and of `app.primitives`.
            DatabaseUnavailableError: On entering: the database does not answer.
        """
        for name, given in (("tokens", tokens), ("requests", requests)):
            if not 0 <= given <= MOST:
                raise InvalidError(f"reserve({name}={given!r}): write 0 to {MOST:,.0f}")
        return Reservation(self, float(requests), float(tokens))

    async def hold(self, retry_after: Duration | str | None = None) -> timedelta:
        """Empty the bucket for everybody, as the service has asked.

        Args:
            retry_after: Until it fills again: seconds, a timedelta, or the text of a Retry-After
                header, seconds or a date; up to an hour. 0, None or what makes no sense: it is
                emptied, and fills at once.

        Returns:
            For how long it is held back; longer than asked where somebody asked for more before.
        """
        around = surroundings()
        held_s = await hold_bucket(self.bucket(around), around, read_wait(retry_after))
        return timedelta(seconds=held_s)

    async def __aenter__(self) -> Reservation:
        call = self.reserve()
        await call.__aenter__()
        self._entered.set((*self._entered.get(), call))
        return call

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._leave().__aexit__(kind, error, trace)

    def __enter__(self) -> Reservation:
        call = self.reserve()
        call.__enter__()
        self._entered.set((*self._entered.get(), call))
        return call

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave().__exit__(kind, error, trace)

    def _leave(self) -> Reservation:
        *before, call = self._entered.get()
        self._entered.set(tuple(before))
        return call

    def bucket(self, around: Surroundings) -> Bucket:
        """The way to the bucket that a call uses; callers of one loop share it."""
        tenant = around.tenant if self._per_tenant else ""
        buckets = self._buckets.setdefault(around.pool, WeakValueDictionary())
        at = (tenant, around.loop)
        bucket = buckets.get(at)
        if bucket is None:
            bucket = Bucket(around.pool, BucketKey(self.name, tenant), self._numbers)
            buckets[at] = bucket
        return bucket

    # --- definition -------------------------------------------------------------------------------

    def _checked_name(self, name: object) -> str:
        if not isinstance(name, str) or not 0 < len(name) <= NAME_MOST or not name.isprintable():
            raise DefinitionError(
                f"RateLimit({name!r})",
                f"write a name of 1 to {NAME_MOST} characters that can be shown",
                "LIMIT_INVALID",
            )
        return name

    def _check(self, what: str, number: object) -> None:
        if (
            not isinstance(number, int | float)
            or isinstance(number, bool)
            or not 0 < number <= MOST
        ):
            raise self._wrong(f"{what} is {number!r}; write a number above 0")

    def _seconds(self, given: Duration, what: str) -> float:
        try:
            return to_timedelta(given, what, least=0.001, most=LONGEST_S).total_seconds()
        except ValueError as error:
            raise self._wrong(str(error)) from None

    def _wrong(self, problem: str) -> DefinitionError:
        return DefinitionError(f"RateLimit({self.name!r})", problem, "LIMIT_INVALID")
