"""A step's own transaction, in which its checkpoint is committed too."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from headrace.errors import DatabaseUnavailableError, LeaseLostError, TransactionTimeoutError
from headrace.store.failures import Backoff, is_unavailable
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from headrace.store.entries import RecordRow, StepRow
    from headrace.store.pool import Connection
    from headrace.worker.attempt import Attempt
    from headrace.worker.engine import Engine

SERVER_LATER_MS: Final = 1_000


class StepTransaction:
    """Fits `headrace.Transaction`. It begins at its first statement; the engine ends it.

    Its fence, the lock of the job's row under the claim's token, is taken last: a long transaction
    holds nobody up, and a stale one cannot commit.
    """

    def __init__(self, attempt: Attempt, engine: Engine) -> None:
        self._attempt, self._engine = attempt, engine
        self._exits = contextlib.AsyncExitStack()
        self._connection: Connection | None = None
        self._closed = False
        self._limit = engine.timing.transaction
        self._timer: asyncio.TimerHandle | None = None
        self._expired = False
        self.is_committed = False
        """Whether the server has said so."""
        self.was_cut = False
        """Whether the database went away under it."""

    @property
    def is_open(self) -> bool:
        """Whether a statement was run."""
        return self._connection is not None

    async def execute(self, query: str, /, *args: Any, timeout: float | None = None) -> str:
        """Run a statement; its status."""
        async with self._using() as connection:
            return await connection.execute(query, *args, timeout=timeout)

    async def executemany(
        self, command: str, args: Iterable[Sequence[Any]], /, *, timeout: float | None = None
    ) -> None:
        """Run a statement for each sequence of arguments."""
        async with self._using() as connection:
            await connection.executemany(command, args, timeout=timeout)

    async def fetch(
        self, query: str, /, *args: Any, timeout: float | None = None
    ) -> list[asyncpg.Record]:
        """The rows of a query."""
        async with self._using() as connection:
            return await connection.fetch(query, *args, timeout=timeout)

    async def fetchrow(
        self, query: str, /, *args: Any, timeout: float | None = None
    ) -> asyncpg.Record | None:
        """The first row of a query."""
        async with self._using() as connection:
            return await connection.fetchrow(query, *args, timeout=timeout)

    async def fetchval(
        self, query: str, /, *args: Any, column: int = 0, timeout: float | None = None
    ) -> Any:  # noqa: ANN401 - a column of any type
        """One column of the first row of a query."""
        async with self._using() as connection:
            return await connection.fetchval(query, *args, column=column, timeout=timeout)

    async def commit(self, write: Callable[[Connection], Awaitable[object]]) -> None:
        """Write the checkpoint behind the fence, and commit.

        Raises:
            LeaseLostError: The job is no longer this worker's; everything is rolled back.
            TransactionTimeoutError: It was open for too long; everything is rolled back.
            asyncio.CancelledError: `is_committed` tells whether it came too late; where it is
                false, nobody knows.
            asyncpg.PostgresError: A deferred constraint, for example; everything is rolled back.
            OSError: The database went away; whether it was committed has to be looked up.
        """
        connection = await self._begin()
        self._stop_timer()
        work = self._engine.loop.create_task(self._commit(connection, write))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            # Too late: what counts is what the server is about to say.
            await asyncio.wait({work}, timeout=self._engine.timing.cancel_kill.total_seconds())
            work.cancel()
            raise

    async def _commit(
        self, connection: Connection, write: Callable[[Connection], Awaitable[object]]
    ) -> None:
        claim = self._attempt.run.claim
        try:
            held = await connection.fetchval(SQL["ledger.fence_job"], claim.job, claim.token)
            if held is None or self._attempt.refused:
                raise LeaseLostError(f"job {claim.job}", claim.token)  # noqa: TRY301 - rolled back below
            await write(connection)
            await connection.execute("commit")
            self.is_committed = True
        except BaseException:
            await self.roll_back()
            raise
        await self._close()

    async def roll_back(self) -> None:
        """Undo everything; harmless when nothing was done."""
        if self._connection is not None and not self._closed:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await self._connection.execute("rollback")
            await self._close()
        self._closed = True

    @contextlib.asynccontextmanager
    async def _using(self) -> AsyncIterator[Connection]:
        try:
            yield await self._begin()
        except Exception as error:
            if self._expired:
                raise TransactionTimeoutError(self._limit) from error
            if isinstance(error, DatabaseUnavailableError) or is_unavailable(error):
                self.was_cut = True
            raise

    async def _begin(self) -> Connection:
        if self._expired:
            raise TransactionTimeoutError(self._limit)
        if self._closed:
            raise LeaseLostError("a transaction that has ended", self._attempt.run.claim.token)
        if self._connection is None:
            self._connection = await self._exits.enter_async_context(self._engine.pool.acquire())
            limit_s = self._limit.total_seconds()
            self._timer = self._engine.loop.call_later(limit_s, self._expire)
            # Should this process be frozen, the server ends it.
            limit = int(limit_s * 1000) + SERVER_LATER_MS
            await self._connection.execute(
                f"begin; set local statement_timeout = {limit}; "
                f"set local idle_in_transaction_session_timeout = {limit}"
            )
        return self._connection

    def _expire(self) -> None:
        self._expired = True
        if self._connection is not None:
            self._connection.terminate()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def _close(self) -> None:
        self._closed = True
        self._stop_timer()
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await self._exits.aclose()


async def insert_step(connection: Connection, attempt: Attempt, row: StepRow, worker: int) -> None:
    """Write one checkpoint inside a transaction."""
    claim = attempt.run.claim
    await connection.execute(
        SQL["ledger.insert_steps"], [claim.job], [claim.run], [row.step], [row.item], [row.state],
        [row.position], [row.attempts], worker, [claim.token], [row.latency_us], [row.output],
        [row.artifact], [row.reason], [row.metadata],
    )  # fmt: skip


async def insert_record(
    connection: Connection, attempt: Attempt, row: RecordRow, worker: int
) -> None:
    """Write one `once` record inside a transaction."""
    claim = attempt.run.claim
    await connection.execute(
        SQL["ledger.insert_records"], [claim.job], [claim.run], [row.step], [row.item], [row.name],
        worker, [claim.token], [row.latency_us], [row.output], [row.artifact],
    )  # fmt: skip


async def was_stored(attempt: Attempt, engine: Engine, name: str | None = None) -> bool:
    """Whether a transaction whose commit was not answered has stored its checkpoint.

    The fence waits for a server process that is still at work on it.

    Args:
        attempt: Whose transaction.
        engine: For connections.
        name: Of a `once` record; None for the step's own checkpoint.

    Raises:
        LeaseLostError: The job is no longer this worker's.
    """
    claim, backoff = attempt.run.claim, Backoff()
    statement = "ledger.has_step" if name is None else "ledger.has_record"
    key = [claim.job, claim.run, attempt.step.name, attempt.item, *([] if name is None else [name])]
    while not attempt.refused:
        try:
            async with engine.pool.acquire() as connection, connection.transaction():
                held = await connection.fetchval(SQL["ledger.fence_job"], claim.job, claim.token)
                stored = await connection.fetchval(SQL[statement], *key)
        except Exception as error:
            if not is_unavailable(error) and not isinstance(error, asyncpg.LockNotAvailableError):
                raise
            await asyncio.sleep(backoff.next_s())
        else:
            if held is None and not stored:
                break
            return bool(stored)
    raise LeaseLostError(f"job {claim.job}", claim.token)
