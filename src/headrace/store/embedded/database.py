"""The embedded database as its users see it: start, use, stop, shared between processes.

Every process that uses the database holds a shared lock on a file. Who can have it exclusively at
its end is the last one, and stops the server. The operating system frees the lock of a process that
was killed, so a server left behind is found by the next start, and stopped at the end of that use.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import fcntl
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import quote

from headrace.errors import DatabaseUnavailableError
from headrace.store.embedded.home import Home, prepare_home
from headrace.store.embedded.server import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

# Longer than a start with recovery, or a stop, of another process.
TURN_S: Final = 200.0


class EmbeddedDatabase:
    """A project's own PostgreSQL 18, run for as long as some process uses it.

    Plain code calls `start` and `stop`; async code uses `async with database.open() as dsn`. A
    process that ends without `stop`, by SIGTERM too, stops it on its way out; one that is killed
    leaves that to the next one.
    """

    def __init__(
        self, project_folder: Path, *, data_folder: Path | None = None, durable: bool = True
    ) -> None:
        """Nothing is touched yet.

        Args:
            project_folder: Identifies the project; nothing is written into it.
            data_folder: HEADRACE_DATA_DIR, where the user wants the data to be.
            durable: Whether what is committed survives a power cut; False is faster, for tests.
                Whoever starts the server decides.
        """
        self._project_folder = project_folder
        self._data_folder = data_folder
        self._durable = durable
        self._guard = threading.Lock()
        self._use: _Use | None = None

    def start(self) -> str:
        """Make sure that the server runs, and use it until `stop`.

        Takes about a second the first time, 0.3 s later, and milliseconds when it runs already.
        Calling it again gives the same address.

        Returns:
            Its address for asyncpg and psql: a socket that only this user can reach.

        Raises:
            SettingsError: The binaries are missing or the data folder cannot be used.
            DatabaseUnavailableError: The server did not come up.
        """
        with self._guard:
            if self._use is None:
                home = prepare_home(self._project_folder, self._data_folder)
                self._use = _Use(home, durable=self._durable)
                atexit.register(self.stop)
                _exit_on_sigterm()
            return self._use.dsn

    def stop(self) -> None:
        """End this use, and stop the server if nobody else uses it; may be called again."""
        with self._guard:
            use, self._use = self._use, None
            if use is not None:
                atexit.unregister(self.stop)
                use.end()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Use the database inside an `async with` block, whose target is its address."""
        _exit_on_sigterm()
        dsn = await asyncio.to_thread(self.start)
        try:
            yield dsn
        finally:
            await asyncio.to_thread(self.stop)


class _Use:
    """One use of a server by one process: begun when made, over after `end`."""

    def __init__(self, home: Home, *, durable: bool) -> None:
        self._home = home
        self._process = os.getpid()
        self._server = Server(home, durable=durable)
        with self._turn():
            self._users = _open_lock(home.folder / "users.lock")
            # Who wants it exclusively asks within his turn, so this never waits.
            fcntl.flock(self._users, fcntl.LOCK_SH)
            try:
                self._server.ensure_running()
            except BaseException:
                os.close(self._users)
                raise

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@/postgres?host={quote(str(self._home.socket_folder))}"

    def end(self) -> None:
        # A forked child shares its parent's lock: it may neither free nor raise it. And a server
        # whose folder was deleted stops by itself.
        if os.getpid() != self._process or not self._home.data.exists():
            os.close(self._users)
            return
        with self._turn():
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # others use it
            else:
                self._server.stop()
            finally:
                os.close(self._users)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Be the only process that starts or stops this server."""
        lock = _open_lock(self._home.folder / "start.lock")
        try:
            deadline = time.monotonic() + TURN_S
            while not _try_lock(lock):
                if time.monotonic() > deadline:
                    raise DatabaseUnavailableError(
                        "another process has been starting or stopping the embedded database in"
                        f" {self._home.folder} for {TURN_S:.0f} s"
                    )
                time.sleep(0.02)
            yield
        finally:
            os.close(lock)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _exit_on_sigterm() -> None:
    """Let SIGTERM end the process in order, so that the server does not outlive it.

    Only where nobody has decided otherwise; a later handler, such as a worker's, replaces this one.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _exit)


def _exit(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
