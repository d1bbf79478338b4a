"""The caller's own connection, of whichever library: jobs are stored in the caller's transaction.

asyncpg and a step's `Transaction` are used as they are. SQLAlchemy's `AsyncConnection` and
`AsyncSession`, and psycopg's `AsyncConnection`, are known by their methods: neither library is
imported unless the caller has.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any, Protocol

from headrace.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager


class Caller(Protocol):
    """What is needed of a connection: statements with `$1` parameters, and savepoints."""

    async def fetch(self, query: str, *arguments: Any) -> Sequence[Any]:
        """The rows of a statement, by position."""

    def savepoint(self) -> AbstractAsyncContextManager[object]:
        """A part of the transaction that is undone alone if it raises."""


async def adapt(connection: object) -> Caller:
    """A connection of the caller as a `Caller`.

    A transaction that its library begins with the first statement is begun.

    Raises:
        OptionError: It is no connection that is known.
    """
    library = type(connection).__module__.partition(".")[0]
    if library == "sqlalchemy":
        return await _adapt_sqlalchemy(connection)
    if library == "psycopg" and hasattr(connection, "cursor"):
        return _Psycopg(connection)
    if hasattr(connection, "fetch") and hasattr(connection, "execute"):
        return _Asyncpg(connection)
    raise OptionError(
        "connection",
        f"{type(connection).__module__}.{type(connection).__qualname__} is not known; give a "
        "connection of asyncpg, a step's Transaction, an AsyncConnection or AsyncSession of "
        "SQLAlchemy, or an AsyncConnection of psycopg",
    )


class _Asyncpg:
    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - of a library without types
        self._connection = connection

    async def fetch(self, query: str, *arguments: Any) -> Sequence[Any]:
        rows: Sequence[Any] = await self._connection.fetch(query, *arguments)
        return rows

    @contextlib.asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        # A step's `Transaction` has no method for it, and outside of a transaction there are none.
        inside = getattr(self._connection, "is_in_transaction", lambda: True)()
        begin, undo, end = _SAVEPOINT if inside else _TRANSACTION
        await self._connection.execute(begin)
        try:
            yield
        except BaseException:
            await self._connection.execute(undo)
            raise
        await self._connection.execute(end)


_SAVEPOINT = (
    "savepoint headrace_submit",
    "rollback to savepoint headrace_submit",
    "release savepoint headrace_submit",
)
_TRANSACTION = ("begin", "rollback", "commit")


class _Psycopg:
    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - a library that may be missing
        self._connection = connection
        # The cursor that takes `$1` in place of `%s`.
        self._cursor = importlib.import_module("psycopg").AsyncRawCursor

    async def fetch(self, query: str, *arguments: Any) -> Sequence[Any]:
        async with self._cursor(self._connection) as cursor:
            # What belongs to another library (uuid_utils) is sent as text; the server casts it.
            await cursor.execute(query, [_plain(value) for value in arguments])
            rows: Sequence[Any] = await cursor.fetchall() if cursor.description else []
            return rows

    @contextlib.asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        # psycopg begins its transaction with the first statement: a savepoint before that would be
        # a transaction of its own.
        await self.fetch("select 1")
        async with self._connection.transaction():
            yield


def _plain(value: Any) -> Any:  # noqa: ANN401 - any parameter
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return str(value) if type(value).__module__.startswith("uuid_utils") else value


async def _adapt_sqlalchemy(connection: Any) -> Caller:  # noqa: ANN401 - it may be missing
    if not hasattr(connection, "exec_driver_sql"):  # a session
        connection = await connection.connection()
    # SQLAlchemy begins its transaction with its first statement, and would not see ours.
    await connection.exec_driver_sql("select 1")
    raw = await connection.get_raw_connection()
    return await adapt(raw.driver_connection)
