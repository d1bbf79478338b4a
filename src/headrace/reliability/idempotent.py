"""`idempotent(key, fn, ...)`: the function is called once for a tenant and a key."""

from __future__ import annotations

import contextlib
import inspect
import json
from abc import ABC, abstractmethod
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from headrace.errors import (
    DefinitionError,
    LeaseLostError,
    OptionError,
    OutputError,
    OutputTooLargeError,
    PermanentError,
    UserError,
)
from headrace.reliability.calls import read_call
from headrace.reliability.operations import KEEP, Settled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from headrace.reliability.calls import Call
    from headrace.reliability.operations import Grant, Operations
    from headrace.store.idempotency import Wanted

LONGEST_KEY: Final = 255
LONGEST_NAME: Final = 200
LEAST_KEEP, MOST_KEEP = timedelta(seconds=1), timedelta(days=90)
MOST_WAIT: Final = timedelta(hours=1)


_CARRIED: Final[ContextVar[frozenset[tuple[str, str]]]] = ContextVar(
    "operations that are being carried out around here", default=frozenset()
)


class Failure(NamedTuple):
    """A failure that is stored: what it was, and a text that people may see."""

    kind: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Options:
    """How an operation is done.

    Attributes:
        keep: So long its output answers.
        wait: So long it waits where another one carries the operation out.
        operation: Its name; that of the function if None.
    """

    keep: timedelta = KEEP
    wait: timedelta = timedelta(0)
    operation: str | None = None

    def changed(
        self,
        *,
        keep: float | timedelta | None = None,
        wait: float | timedelta | None = None,
        operation: str | None = None,
    ) -> Options:
        """Other options; those that are left out stay.

        Raises:
            OptionError: One is out of range.
        """
        kept = self.keep if keep is None else _duration("keep", keep, LEAST_KEEP, MOST_KEEP)
        waited = self.wait if wait is None else _duration("wait", wait, timedelta(0), MOST_WAIT)
        if operation is None:
            return Options(kept, waited, self.operation)
        return Options(kept, waited, check_name("operation", operation, LONGEST_NAME))


class Carrier(ABC):
    """On whose behalf operations are carried out: a step, or a program outside of steps."""

    operations: Operations

    @abstractmethod
    def want(self, key: str, call: Call) -> Wanted:
        """The operation, and who wants it."""

    @abstractmethod
    def is_void(self) -> bool:
        """Whether nothing may be stored any more of what is done here."""

    @abstractmethod
    def most_wait(self) -> timedelta:
        """How long it may wait at most."""

    @abstractmethod
    def judge(self, error: Exception) -> Failure | None:
        """What is stored of an error of the function; None where another try may help."""

    @abstractmethod
    async def call(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Call a function that may block."""

    @abstractmethod
    async def keep(self, text: str) -> tuple[str | None, str | None]:
        """An output as it is stored: in the row, or a reference to where it is kept aside."""

    @abstractmethod
    async def read(self, reference: str) -> str:
        """An output that is kept aside."""

    @abstractmethod
    async def carry_out(
        self, call: Call, grant: Grant, keep: timedelta, fn: Callable[[Any], Any]
    ) -> str:
        """Call a function that takes a transaction, and store its outcome in it."""

    @abstractmethod
    def told_before(self, settled: Settled) -> None:
        """The outcome was known already."""


class Idempotent:
    """Fits `headrace.Idempotent`."""

    def __init__(self, carrier: Carrier, options: Options | None = None) -> None:
        self._carrier, self._options = carrier, options or Options()

    def with_options(self, **options: Any) -> Idempotent:
        """The same with other options; those that are left out stay."""
        return Idempotent(self._carrier, self._options.changed(**options))

    async def __call__(self, key: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Call `fn` unless its outcome under this key is known."""
        call = self.read(key, fn, args, kwargs)
        begun = await self.begin(key, call)
        if isinstance(begun, Settled):
            return call.codec.decode(await self.outcome(begun))
        try:
            with carrying(begun):
                if call.transactional:
                    text = await self._carrier.carry_out(
                        call, begun, self._options.keep, lambda tx: fn(tx, *args, **kwargs)
                    )
                    return call.codec.decode(text)
                text = call.codec.encode(await self._value(fn, args, kwargs))
            stored = await self.keep(text)
        except BaseException as error:
            await self.failed(begun, error)
            raise
        await self.completed(begun, *stored)
        return call.codec.decode(text)

    async def _value(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:  # noqa: ANN401 - what the function returns
        if inspect.iscoroutinefunction(fn):
            return await fn(*args, **kwargs)
        value = await self._carrier.call(fn, *args, **kwargs)
        # A decorator may be no coroutine function, and yet return a coroutine.
        return await value if inspect.isawaitable(value) else value

    def read(
        self, key: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Call:
        """What is to be done under which key; see `read_call`.

        Raises:
            OptionError: The key cannot be used.
        """
        check_name("key", key, LONGEST_KEY)
        return read_call(fn, args, kwargs, self._options.operation)

    async def begin(self, key: str, call: Call) -> Grant | Settled:
        """Take the operation, or learn its outcome; see `Operations.begin`.

        Raises:
            DefinitionError: The function of this very operation asks for it.
        """
        carrier = self._carrier
        wanted = carrier.want(key, call)
        if (wanted.tenant, key) in _CARRIED.get():
            raise DefinitionError(
                f"idempotent({key!r}, {call.operation})",
                "it is called by the function that is being called under this key, and would wait "
                "for itself: give each operation a key of its own",
                "OPERATION_NESTED",
            )
        return await carrier.operations.begin(
            wanted,
            wait=min(self._options.wait, carrier.most_wait()),
            is_void=carrier.is_void,
        )

    async def outcome(self, settled: Settled) -> str:
        """The stored output.

        Raises:
            PermanentError: The stored failure; `UserError` if it was one.
        """
        self._carrier.told_before(settled)
        if settled.error is not None:
            error = json.loads(settled.error)
            kind = UserError if error["kind"] == "user" else PermanentError
            raise kind(error["message"])
        if settled.artifact is not None:
            return await self._carrier.read(settled.artifact)
        return settled.output or "null"

    async def keep(self, text: str) -> tuple[str | None, str | None]:
        """An output as it is stored; see `Carrier.keep`."""
        return await self._carrier.keep(text)

    async def completed(self, grant: Grant, output: str | None, artifact: str | None) -> None:
        """Store the output; see `Operations.complete`."""
        await self._carrier.operations.complete(
            grant, keep=self._options.keep, output=output, artifact=artifact
        )

    async def failed(self, grant: Grant, error: BaseException) -> None:
        """Store a permanent failure; for any other one leave the key free."""
        failure = None
        if isinstance(error, OutputError | OutputTooLargeError):
            # It was done, and would be done again.
            failure = Failure("permanent", error.code.upper(), f"it was done, but {error}")
        elif isinstance(error, Exception):
            failure = self._carrier.judge(error)
        if failure is None or self._carrier.is_void():
            await self._carrier.operations.release(grant)
            return
        try:
            await self._carrier.operations.fail(grant, *failure)
        except LeaseLostError:
            return  # the error itself says more


@contextlib.contextmanager
def carrying(grant: Grant) -> Iterator[None]:
    """Code in the block carries an operation out, and must not ask for the same one."""
    key = (grant.wanted.tenant, grant.wanted.key)
    before = _CARRIED.set(_CARRIED.get() | {key})
    try:
        yield
    finally:
        _CARRIED.reset(before)


def check_name(option: str, text: object, most: int) -> str:
    """A text that can be stored and found again.

    Raises:
        OptionError: It is no text, empty, too long, or holds characters that cannot be printed.
    """
    if isinstance(text, str) and 1 <= len(text) <= most and text.isprintable():
        return text
    raise OptionError(
        option,
        f"{str(text)[:40]!r} cannot be used; give a printable text of 1 to {most} characters",
    )


def _duration(
    option: str, given: float | timedelta, least: timedelta, most: timedelta
) -> timedelta:
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if least.total_seconds() <= seconds <= most.total_seconds():
        return timedelta(seconds=seconds)
    raise OptionError(option, f"{given!r} is out of range; give {least} to {most}, or seconds")
