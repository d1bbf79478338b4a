"""Connections to PostgreSQL with the engine's limits, alone or in a pool.

Every wait ends: connecting after 5 s, a statement after 10 s in the server and 12 s here, a lock
after 3 s, an idle transaction after 15 s, a dead network after 10 s. So an error is known well
before a lease of 30 s is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Self

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from headrace.errors import DatabaseUnavailableError
from headrace.store.failures import is_unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from asyncpg.pool import PoolConnectionProxy

    HeldConnection = asyncpg.Connection[asyncpg.Record]
    Connection = HeldConnection | PoolConnectionProxy[asyncpg.Record]

CONNECT_TIMEOUT_S: Final = 5.0
STATEMENT_TIMEOUT_S: Final = 10.0
COMMAND_TIMEOUT_S: Final = 12.0  # the server's own limit comes first, and leaves a usable session
KEEPALIVE_IDLE_S: Final = 10
KEEPALIVE_INTERVAL_S: Final = 5
KEEPALIVE_COUNT: Final = 3
USER_TIMEOUT_S: Final = 10  # bytes that nobody acknowledges

SESSION_SETTINGS: Final = {
    "statement_timeout": f"{STATEMENT_TIMEOUT_S:.0f}s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "15s",
    "jit": "off",  # it costs milliseconds on statements that take microseconds
    "timezone": "UTC",
    # The same for the server's side: it frees the locks of a client that fell off the network.
    "tcp_keepalives_idle": str(KEEPALIVE_IDLE_S),
    "tcp_keepalives_interval": str(KEEPALIVE_INTERVAL_S),
    "tcp_keepalives_count": str(KEEPALIVE_COUNT),
    "tcp_user_timeout": f"{USER_TIMEOUT_S}s",
}


_made: ContextVar[list[HeldConnection]] = ContextVar("connections that are being made")


class _NotedConnection(asyncpg.Connection):
    """Noted as soon as it is made: the driver forgets one while it asks whether it may write."""

    __slots__ = ()

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        _made.get().append(self)


async def connect(
    dsn: str,
    *,
    name: str = "headrace",
    settings: dict[str, str] | None = None,
    command_timeout: float | None = COMMAND_TIMEOUT_S,
) -> HeldConnection:
    """Open one connection for whoever keeps it, with the limits of this module.

    It closes when its keeper says so. Only a server that accepts writes is taken.

    Args:
        dsn: Address of a server; several hosts are tried in order.
        name: Shown in `pg_stat_activity`, as `headrace worker 7: ledger`; cut at 63 bytes.
        settings: Server settings that differ from `SESSION_SETTINGS`.
        command_timeout: Seconds to wait for a statement; None waits for ever.

    Raises:
        DatabaseUnavailableError: No server that accepts writes answered within 5 s.
        asyncpg.PostgresError: The server refused for good: wrong password, no such database.
    """
    made: list[HeldConnection] = []
    token = _made.set(made)
    try:
        # The driver's own limit is per host, and does not cover the search for one that writes.
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            connection = await asyncpg.connect(
                dsn,
                connection_class=_NotedConnection,
                server_settings={"application_name": name, **SESSION_SETTINGS, **(settings or {})},
                command_timeout=command_timeout,
                target_session_attrs=SessionAttribute.read_write,
                # Our statements are few and are used as long as the connection lives.
                max_cached_statement_lifetime=0,
                max_cacheable_statement_size=0,
            )
    except BaseException as error:
        for unfinished in made:
            unfinished.terminate()
        if isinstance(error, Exception):
            raise _translate(error) from error
        raise
    finally:
        _made.reset(token)
    _keep_alive(connection)
    return connection


class Pool:
    """A few connections for many short uses, as those of an API.

    A use that fails because the database is gone raises `DatabaseUnavailableError`. Whoever needs a
    connection all the time, such as a claimer, holds one of its own from `connect`: a pool adds a
    third to the cost of a short statement.
    """

    def __init__(
        self, dsn: str, *, name: str = "headrace", smallest: int = 1, largest: int = 15
    ) -> None:
        """Nothing is connected before `open`.

        Args:
            dsn: Address of a server.
            name: Shown in `pg_stat_activity`.
            smallest: Connections that are kept when idle, 0 or more.
            largest: Most connections, 1 or more.
        """
        self._dsn, self._name = dsn, name
        self._smallest, self._largest = smallest, largest
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect for the first time.

        Raises:
            DatabaseUnavailableError: No server answered within 5 s.
        """

        async def connect_one(*_arguments: object, **_options: object) -> HeldConnection:
            return await connect(self._dsn, name=self._name)

        try:
            self._pool = await asyncpg.create_pool(
                self._dsn,
                connect=connect_one,
                reset=_reset,
                min_size=self._smallest,
                max_size=self._largest,
            )
        except Exception as error:
            raise _translate(error) from error

    async def close(self) -> None:
        """Close all connections, by force those that are still in use after 5 s."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    @contextlib.asynccontextmanager
    async def acquire(self, *, wait: float = 30.0) -> AsyncIterator[Connection]:
        """Use a connection inside an `async with` block.

        Args:
            wait: Seconds to wait for a free one.

        Raises:
            DatabaseUnavailableError: None came free in time, or the database went away in the use.
        """
        if self._pool is None:
            raise DatabaseUnavailableError("the pool is not open")
        try:
            connection = await self._pool.acquire(timeout=wait)
        except TimeoutError as error:
            raise DatabaseUnavailableError(
                f"all {self._largest} connections were in use for {wait:g} s"
            ) from error
        except Exception as error:
            raise _translate(error) from error
        try:
            yield connection
        except Exception as error:
            translated = _translate(error, silence="a statement got no answer in time")
            if translated is error:
                raise
            raise translated from error
        finally:
            await self._pool.release(connection)


async def _reset(connection: Connection) -> None:
    """Hand a connection back without the driver's reset, which would cost a round trip.

    Nothing in headrace changes a pooled session; only a cancelled use can leave a transaction open.
    """
    if connection.is_in_transaction():
        await connection.execute("rollback")


def _translate(
    error: Exception, *, silence: str = f"no answer within {CONNECT_TIMEOUT_S:g} s"
) -> Exception:
    """What the caller of this module gets for `error`: itself, unless the database is gone."""
    if not is_unavailable(error) or isinstance(error, DatabaseUnavailableError):
        return error
    return DatabaseUnavailableError(f"the database is not available: {str(error) or silence}")


def _keep_alive(connection: HeldConnection) -> None:
    """Notice a dead network within seconds; without this TCP would wait for a quarter of an hour.

    The driver has no option for it, hence the look at its transport.
    """
    transport = getattr(connection, "_transport", None)
    raw = transport and transport.get_extra_info("socket")
    if raw is None or raw.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_COUNT),
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_S * 1000),
    ):
        if hasattr(socket, option):  # macOS lacks some
            raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
