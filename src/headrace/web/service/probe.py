"""Whether the database can be used, asked every few seconds on a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.errors import HeadraceError, UnavailableError
from headrace.store.failures import is_unavailable
from headrace.store.migrate import check_schema
from headrace.store.session import Session
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from headrace.app import Headrace

EVERY_S: Final = 3.0
LIMIT_S: Final = 4.0
"""A database that does not answer for so long is taken for away: seen within 7 s."""
SCHEMA_EVERY_S: Final = 30.0
FRESH_S: Final = 1.0
OLDEST_S: Final = 10.0
"""An older answer says nothing: the probe itself does not get its turn."""


class Finding(NamedTuple):
    """What the last question said; a reason only where it is not good."""

    database: str | None = "it was not asked yet"
    migrations: str | None = "they were not looked at yet"


class Probe:
    """Asks the database of an application again and again.

    Args:
        app: Whose database.
        every_s: Seconds between two questions; None asks when somebody looks, and never else.
    """

    def __init__(self, app: Headrace, *, every_s: float | None = EVERY_S) -> None:
        self._app, self._every_s = app, every_s
        self._session = Session(lambda: app.connect("probe"))
        self._finding = Finding()
        self._at = self._schema_at = -SCHEMA_EVERY_S
        self._task: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()

    def start(self) -> None:
        """Begin to ask."""
        if self._every_s is None:
            return
        self._task = asyncio.create_task(self._run(), name="headrace probe")

    async def look(self) -> None:
        """Ask now, where nobody asks all the time and the last answer is not from just now."""
        if self._every_s is None:
            async with self._looking:
                if self.age_s > FRESH_S:
                    await self._look()
                    self._session.close()  # it would be there when nobody is

    async def stop(self) -> None:
        """Ask no more, and close the connection."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        self._session.close()

    @property
    def finding(self) -> Finding:
        """What is known of the database now."""
        if monotonic() - self._at > OLDEST_S and self._finding.database is None:
            return Finding(f"no answer for {OLDEST_S:g} s", self._finding.migrations)
        return self._finding

    @property
    def age_s(self) -> float:
        """Seconds since the last question was answered, or was given up."""
        return monotonic() - self._at

    async def _run(self) -> None:
        while self._every_s is not None:
            await self._look()
            await asyncio.sleep(self._every_s)

    async def _look(self) -> None:
        self._finding = await self._ask()
        self._at = monotonic()

    async def _ask(self) -> Finding:
        try:
            async with asyncio.timeout(LIMIT_S), self._session.use() as connection:
                await connection.execute(SQL["signals.ping"])
                if self._looks_at_schema():
                    for series in self._app.migrations:
                        await check_schema(connection, series)
                    self._schema_at = monotonic()
        except Exception as error:  # noqa: BLE001 - whatever it is, the process is not ready
            self._schema_at = -SCHEMA_EVERY_S
            return self._read(error)
        return Finding(None, None)

    def _looks_at_schema(self) -> bool:
        return monotonic() - self._schema_at >= SCHEMA_EVERY_S

    def _read(self, error: Exception) -> Finding:
        away = isinstance(error, TimeoutError | OSError | UnavailableError) or is_unavailable(error)
        with contextlib.suppress(Exception):
            self._session.close()
        if not away and isinstance(error, HeadraceError):
            return Finding(None, str(error))
        # Its own text may hold an address.
        return Finding("it does not answer" if away else f"it refuses: {type(error).__name__}")
