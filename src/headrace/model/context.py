"""What a step may ask for besides data: its context and a transaction."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
    overload,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from datetime import datetime, timedelta
    from uuid import UUID

    from headrace.client import JobHandle
    from headrace.model.lock import Lock, SyncLock
    from headrace.model.pipeline import Pipeline

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
P = ParamSpec("P")
T = TypeVar("T")

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"
"""What JSON can say."""

SqlValue: TypeAlias = Any
"""A value of a column: its type is the database's, which no annotation here can know."""


class StepLog(Protocol):
    """A logger whose lines carry the job, the run, the step, the item and the attempt."""

    def debug(self, event: str, /, **fields: object) -> None:
        """Write a line for developers."""

    def info(self, event: str, /, **fields: object) -> None:
        """Write a line that says what happened."""

    def warning(self, event: str, /, **fields: object) -> None:
        """Write a line that somebody should look at."""

    def error(self, event: str, /, **fields: object) -> None:
        """Write a line that somebody must look at."""


class _Facts(Protocol):
    """What is fixed for one execution of a step."""

    @property
    def job_id(self) -> UUID:
        """The job; the same in all its runs."""

    @property
    def run(self) -> int:
        """The run of the job, from 1; an operator's restart opens the next one."""

    @property
    def attempt(self) -> int:
        """Which try of this step or item this is, from 1."""

    @property
    def failures(self) -> int:
        """How many tries failed in a row before this one; those that only waited do not count."""

    @property
    def item(self) -> str | None:
        """The key of the item in a step with `Each`; None in other steps."""

    @property
    def tenant(self) -> str:
        """The customer that the job belongs to."""

    @property
    def owner(self) -> str:
        """The user, inside the tenant, that the job belongs to."""

    @property
    def preset(self) -> str | None:
        """The preset that the job was submitted with."""

    @property
    def parameters(self) -> Mapping[str, JsonValue]:
        """The preset's parameters, with those of the job laid over them; read only."""

    @property
    def idempotency_key(self) -> str:
        """A key to hand to external services.

        It is the same in every try of this job, run, step and item, and differs from all others. An
        undo function gets the same in all runs of its undo job.
        """

    @property
    def log(self) -> StepLog:
        """A logger whose lines carry the job, the run, the step, the item and the attempt."""

    @property
    def cancelled(self) -> bool:
        """Whether the step should stop: the job is cancelled, or the worker lost it.

        An `async` step is cancelled anyway; a plain function looks here between its parts.
        """

    def remaining(self) -> timedelta:
        """The time until the step is stopped by its limit, the job's limit or the deadline."""

    def annotate(self, **metadata: JsonValue) -> None:
        """Say something of this execution that is stored and shown beside the step's output.

        A model's name, what was used up, a fallback that was taken: for people and reports, never
        for later steps. What an execution says that fails is dropped with it.

        Args:
            **metadata: JSON values by name; a name that is said again is replaced.

        Raises:
            ValueError: A value is not JSON, or all of it takes more than 16 KiB.
        """

    def progress(self, done: int, total: int | None = None, note: str = "") -> None:
        """Show how far the step is; may be lost, and never waits.

        Args:
            done: Units that are done, 0 or more.
            total: Units in all, where that is known.
            note: A few words on what is being done.
        """


class Idempotent(Protocol):
    """What `ctx.idempotent` is: called with a key and a function, or given options first."""

    @overload
    async def __call__(
        self,
        key: str,
        fn: Callable[Concatenate[Transaction, P], Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T: ...

    @overload
    async def __call__(
        self, key: str, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...

    @overload
    async def __call__(
        self, key: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...

    async def __call__(self, key: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call `fn` once for the tenant and the key; see `StepContext.idempotent`."""

    def with_options(
        self,
        *,
        keep: float | timedelta = ...,
        wait: float | timedelta = ...,
        operation: str = ...,
    ) -> Idempotent:
        """The same with other options; those that are left out stay.

        Args:
            keep: So long the output answers: seconds or a timedelta, 1 s to 90 days; 24 hours if
                never said.
            wait: So long the call waits where another one carries the operation out: up to 1 hour,
                and never longer than the step may take; not at all if never said.
            operation: The operation's name, of up to 200 characters, in place of the function's:
                a function may then be renamed.

        Raises:
            OptionError: One is out of range.
        """


class BlockingIdempotent(Protocol):
    """As `Idempotent`, for plain functions."""

    def __call__(self, key: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """As `Idempotent.__call__`; without transactions."""

    def with_options(
        self,
        *,
        keep: float | timedelta = ...,
        wait: float | timedelta = ...,
        operation: str = ...,
    ) -> BlockingIdempotent:
        """As `Idempotent.with_options`."""


class OutsideIdempotent(Protocol):
    """What `app.idempotent` is: as `Idempotent`, for code outside of steps."""

    @overload
    async def __call__(
        self, key: str, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...

    @overload
    async def __call__(
        self, key: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...

    async def __call__(self, key: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """As `Idempotent.__call__`; without transactions."""

    def with_options(
        self,
        *,
        tenant: str = ...,
        keep: float | timedelta = ...,
        wait: float | timedelta = ...,
        operation: str = ...,
    ) -> OutsideIdempotent:
        """As `Idempotent.with_options`, and for which tenant; `default` if never said."""


class StepContext(_Facts, Protocol):
    """What an `async` step gets for a parameter annotated `StepContext`."""

    @overload
    async def once(
        self,
        name: str,
        fn: Callable[Concatenate[Transaction, P], Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T: ...

    @overload
    async def once(
        self, name: str, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...

    @overload
    async def once(
        self, name: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...

    async def once(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run `fn` once in this run of the step or item, and keep what it returned.

        A checkpoint inside a step: when the step is tried again, a stored result is returned and
        `fn` does not run. If `fn` asks for a `Transaction` first, what it writes is committed
        together with its result, or not at all.

        Args:
            name: The address of the result; unique in the step or item, kept when code changes.
            fn: A function with a return annotation. Plain functions run in a thread.
            *args: Passed to `fn`.
            **kwargs: Passed to `fn`.

        Returns:
            The stored result, decoded by the return annotation of `fn`.

        Raises:
            DefinitionError: The name is used twice, or the annotation of `fn` is missing or vague.
            OutputError: The result cannot be stored.
        """

    @property
    def idempotent(self) -> Idempotent:
        """`await ctx.idempotent(key, fn, *args)` calls `fn` once for the tenant and the key.

        Other than with `once`, the outcome is shared by all jobs, runs and steps of the tenant: two
        that ask for "charge order-42" charge once. What `fn` returned answers for 24 hours; its
        `PermanentError`, its `UserError` and what the step does not retry (`unless`) are raised
        again for an hour; any other failure leaves the key free for the next try. A process that
        dies between the call and the commit of its outcome leaves it to be called again, so hand
        the same key to the service. If `fn` asks for a `Transaction` first, what it writes is
        committed together with the outcome, and there is no such moment.

        The key is a printable text of 1 to 255 characters. It belongs to the function's name and to
        what the function is called with: all of it is annotated and can be stored. A client is
        handed over by its bound method, as `bank.pay`. Plain functions run in a thread.

        `ctx.idempotent.with_options(keep=..., wait=..., operation=...)` changes how it is done.

        Raises, when called:
            OperationInProgressError: Another one carries the operation out; a step that lets it out
                is started again later, without an attempt.
            IdempotencyKeyReusedError: The key was used with another function or other arguments.
            PermanentError: As `fn` failed when it was called, in this step or before.
            DefinitionError: An annotation of `fn` is missing, or names what cannot be stored.
            OutputError: The result cannot be stored; that counts as a permanent failure.
        """

    async def send(self, name: str, value: object) -> bool:
        """Send a value to this job, for the steps that take it as `Signal(...)`.

        For a step that knows the answer itself, so that nobody has to be asked.

        Args:
            name: That of the parameter of the steps that take the signal.
            value: What its annotation says.

        Returns:
            Whether this value stands: False where another one came before, or the time was over.

        Raises:
            SignalNotFoundError: No step of the pipeline takes a signal of this name.
            InputError: The value does not fit; the error says where.
        """

    def signal_url(
        self,
        name: str,
        *,
        valid: float | timedelta | None = None,
        title: str = "",
        text: str = "",
    ) -> str:
        """A link behind which a person answers a signal of this job, once and without an account.

            url = ctx.signal_url("approval", title="Order 17: 420 EUR")

        The API serves a form there, made from the signal's type. Nothing is stored for a link:
        what it allows stands in it, signed. Of several links to one signal the first answer
        stands. Whoever has the link can answer, so send it to one person, by a way that is theirs.

        Args:
            name: That of the parameter of the step that takes the signal.
            valid: Seconds, or a timedelta, from now on: 1 s to 365 days; the signal's timeout if
                left out.
            title: What is to be decided, one line of at most 100 characters; the signal's name if
                left out. It can be read in the link, as `text` can.
            text: More on it, plain text of at most 300 characters.

        Raises:
            SignalNotFoundError: No step of the pipeline takes a signal of this name.
            OptionError: An option is not accepted.
            LinksOffError: A setting is missing without which there are no links: SIGNING_KEYS, or
                in production PUBLIC_URL.
        """

    def lock(
        self,
        key: str,
        *,
        wait: float | timedelta = 0.0,
        ttl: float | timedelta = 60.0,
        reason: str | None = None,
    ) -> AbstractAsyncContextManager[Lock]:
        """Hold a lock of the tenant inside an `async with` block: nobody else has it meanwhile.

            async with ctx.lock("repo:42", wait=10) as lock:
                await push(fencing_token=lock.token)

        The lease is renewed while the block lasts. Where that fails the block is cancelled, and
        leaving it raises `LockLostError`. A lock of a worker that dies is free about 6 s later.
        A step that lets `LockBusyError` or `LockLostError` out is started again a second later,
        without an attempt, five times in a row. What freezes can wake after its lease: let what
        is guarded refuse tokens lower than it has seen, or `await lock.verify(transaction)`.

        Args:
            key: 1 to 512 characters. Take several in one order everywhere: two steps that take
                them in opposite order wait until one gives up.
            wait: Seconds, or a timedelta, to wait for the present holder: up to an hour, and no
                longer than until a second before the step's time is over.
            ttl: The lease, 1 s to an hour.
            reason: What for, for people who ask who holds it.

        Raises:
            InvalidError: The key, the wait or the lease is not accepted.
            LockBusyError: On entering: another one holds it, and did so for `wait`.
            LockLostError: On leaving: it was lost in the block.
        """

    async def submit(
        self,
        pipeline: Pipeline[InputT, OutputT],
        input: InputT,  # noqa: A002 - the word of the whole interface
        *,
        key: str | None = None,
        priority: int | None = None,
        due: datetime | timedelta | None = None,
        deadline: datetime | timedelta | None = None,
        ordering_key: str | None = None,
        concurrency_key: str | None = None,
    ) -> JobHandle[OutputT]:
        """Submit another job of the same tenant and owner; a step that is tried again finds it.

        A step annotated `-> JobHandle[T]` that returns the handle ends when that job does: it is
        its *child*. The step holds no slot meanwhile, its output is the child's result, a `T`, and
        the child is cancelled with this job. A child that fails, or is cancelled, fails the step.
        What other steps submit goes on by itself, whatever becomes of this job.

        Args:
            pipeline: What to run.
            input: Its input.
            key: Names the job among those that this step submits; needed only where their order
                may differ between tries. If left out, it is their ordinal in the step or item.
            priority: 0 to 9; that of this job if left out.
            due: When to start: a time, or a duration from now.
            deadline: When to give up: a time, or a duration from now.
            ordering_key: Run it after all jobs of the tenant that were accepted with this key.
            concurrency_key: Run it with few others of this key at once, as its pipeline says.

        Returns:
            A handle of the job: return it, or keep its id. Do not wait for its result in a step.

        Raises:
            InputError: The input does not fit the pipeline.
            OptionError: The ordering key of a child is that of a job that waits for it.
        """


class SyncContext(_Facts, Protocol):
    """What a plain function gets for a parameter annotated `SyncContext`: the same, blocking."""

    def once(self, name: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """As `StepContext.once`, for plain functions and without transactions."""

    @property
    def idempotent(self) -> BlockingIdempotent:
        """As `StepContext.idempotent`, for plain functions and without transactions."""

    def send(self, name: str, value: object) -> bool:
        """As `StepContext.send`."""

    def signal_url(
        self,
        name: str,
        *,
        valid: float | timedelta | None = None,
        title: str = "",
        text: str = "",
    ) -> str:
        """As `StepContext.signal_url`."""

    def lock(
        self,
        key: str,
        *,
        wait: float | timedelta = 0.0,
        ttl: float | timedelta = 60.0,
        reason: str | None = None,
    ) -> AbstractContextManager[SyncLock]:
        """As `StepContext.lock`, in a `with` block; nothing stops a plain function.

        Look at `lock.is_lost`, or call `lock.check()`, before each thing that only a holder may do.
        Steps with `runs_in="process"` have no locks.
        """

    def submit(
        self,
        pipeline: Pipeline[InputT, OutputT],
        input: InputT,  # noqa: A002 - the word of the whole interface
        *,
        key: str | None = None,
        priority: int | None = None,
        due: datetime | timedelta | None = None,
        deadline: datetime | timedelta | None = None,
        ordering_key: str | None = None,
        concurrency_key: str | None = None,
    ) -> JobHandle[OutputT]:
        """As `StepContext.submit`."""


class Row(Protocol):
    """One row of a result: its columns by name or by position."""

    @overload
    def __getitem__(self, column: str, /) -> SqlValue: ...

    @overload
    def __getitem__(self, position: int, /) -> SqlValue: ...

    def __len__(self) -> int: ...

    @overload
    def get(self, column: str, /) -> SqlValue: ...

    @overload
    def get(self, column: str, default: T, /) -> SqlValue | T: ...

    def keys(self) -> Iterable[str]:
        """The names of the columns, in order."""

    def values(self) -> Iterable[SqlValue]:
        """The values, in order."""

    def items(self) -> Iterable[tuple[str, SqlValue]]:
        """Names with values, in order."""


class Transaction(Protocol):
    """A transaction that also writes the step's checkpoint: all of it is committed, or nothing.

    The methods are those of an asyncpg connection. It begins at the first statement, and from
    there 30 s remain: call other services first, then write. Async steps only; commit and roll
    back are the engine's.
    """

    async def execute(self, query: str, /, *args: object, timeout: float | None = None) -> str:
        """Run a statement; without arguments, several of them.

        Returns:
            The status of the (last) statement, as `INSERT 0 1`.
        """

    async def executemany(
        self, command: str, args: Iterable[Sequence[object]], /, *, timeout: float | None = None
    ) -> None:
        """Run a statement once for each sequence of arguments."""

    async def fetch(
        self, query: str, /, *args: object, timeout: float | None = None
    ) -> Sequence[Row]:
        """The rows of a query; empty where there are none."""

    async def fetchrow(
        self, query: str, /, *args: object, timeout: float | None = None
    ) -> Row | None:
        """The first row of a query, or None."""

    async def fetchval(
        self, query: str, /, *args: object, column: int = 0, timeout: float | None = None
    ) -> SqlValue:
        """One column of the first row of a query, or None."""
