"""Operations that are carried out outside of steps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NoReturn

from headrace.errors import DefinitionError, OutputTooLargeError, PermanentError, UserError
from headrace.reliability.idempotent import (
    LONGEST_NAME,
    MOST_WAIT,
    Carrier,
    Failure,
    Idempotent,
    Options,
    check_name,
)
from headrace.reliability.operations import Operations
from headrace.store.idempotency import Wanted
from headrace.telemetry.masking import mask_shapes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from headrace.reliability.calls import Call
    from headrace.reliability.hub import Hub
    from headrace.reliability.operations import Grant, Settled
    from headrace.store.pool import Pool

LARGEST: Final = 1 << 20
"""Bytes of an output: outside of jobs nothing is kept aside."""
TEXT_MOST: Final = 20_000


class OutsideCarrier(Carrier):
    """A program that carries operations out for a tenant."""

    def __init__(self, operations: Operations, tenant: str) -> None:
        self.operations, self._tenant = operations, tenant

    def want(self, key: str, call: Call) -> Wanted:
        """As `Carrier.want`."""
        if call.transactional:
            raise DefinitionError(
                f"app.idempotent({key!r}, ...)",
                f"{call.operation} takes a Transaction, which only steps have",
                "NOT_IN_STEP",
            )
        return Wanted(
            tenant=self._tenant, key=key, operation=call.operation, input_hash=call.input_hash
        )

    def is_void(self) -> bool:
        """As `Carrier.is_void`."""
        return False

    def most_wait(self) -> timedelta:
        """As `Carrier.most_wait`."""
        return MOST_WAIT

    def judge(self, error: Exception) -> Failure | None:
        """As `Carrier.judge`."""
        if not isinstance(error, PermanentError):
            return None
        kind = "user" if isinstance(error, UserError) else "permanent"
        text = mask_shapes(str(error))[:TEXT_MOST]
        message = text.encode(errors="backslashreplace").decode().replace("\0", "\\0")
        return Failure(kind, f"{kind.upper()}_ERROR", message)

    async def call(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """As `Carrier.call`."""
        return await asyncio.to_thread(fn, *args, **kwargs)

    async def keep(self, text: str) -> tuple[str | None, str | None]:
        """As `Carrier.keep`.

        Raises:
            OutputTooLargeError: It takes more than 1 MiB.
        """
        size = len(text.encode())
        if size > LARGEST:
            raise OutputTooLargeError(size, LARGEST)
        return text, None

    async def read(self, reference: str) -> NoReturn:
        """As `Carrier.read`: outputs of steps may be kept aside.

        Raises:
            DefinitionError: Always.
        """
        raise DefinitionError(
            "app.idempotent(...)",
            f"the output was made in a step, and is kept aside ({reference}): ask for it in a step",
            "NOT_IN_STEP",
        )

    async def carry_out(
        self, call: Call, grant: Grant, keep: timedelta, fn: Callable[[Any], Any]
    ) -> NoReturn:
        """As `Carrier.carry_out`: `want` has refused it."""
        raise NotImplementedError(call, grant, keep, fn)

    def told_before(self, settled: Settled) -> None:
        """As `Carrier.told_before`: events are of jobs."""


class OutsideIdempotent:
    """Fits `headrace.model.context.OutsideIdempotent`."""

    def __init__(
        self,
        operations: Callable[[], Awaitable[Operations]],
        tenant: str = "default",
        options: Options | None = None,
    ) -> None:
        self._operations, self._tenant = operations, check_name("tenant", tenant, LONGEST_NAME)
        self._options = options or Options()

    def with_options(self, *, tenant: str | None = None, **options: Any) -> OutsideIdempotent:
        """The same with other options; those that are left out stay."""
        return OutsideIdempotent(
            self._operations, tenant or self._tenant, self._options.changed(**options)
        )

    async def __call__(self, key: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Call `fn` unless its outcome under this key is known."""
        carrier = OutsideCarrier(await self._operations(), self._tenant)
        return await Idempotent(carrier, self._options)(key, fn, *args, **kwargs)


class OutsideOperations:
    """The operations of an app, whose pool may be closed and opened again."""

    def __init__(self, open_pool: Callable[[], Awaitable[Pool]], hub: Callable[[], Hub]) -> None:
        self._open_pool, self._hub = open_pool, hub
        self._made: tuple[Pool, Operations] | None = None

    async def get(self) -> Operations:
        """Those of the pool that is open."""
        pool = await self._open_pool()
        if self._made is None or self._made[0] is not pool:
            self._made = pool, Operations(pool, self._hub())
        return self._made[1]

    async def close(self) -> None:
        """As `Operations.close`."""
        made, self._made = self._made, None
        if made is not None:
            await made[1].close()
