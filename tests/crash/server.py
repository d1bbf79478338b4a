"""A PostgreSQL of the crash run's own, which it may kill."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

import asyncpg

from headrace.store.embedded.home import prepare_home
from headrace.store.embedded.probe import find_server_process
from headrace.store.embedded.server import Server
from headrace.store.migrate import migrate

NAME: Final = "/headrace/crash-"
TRIES: Final = 3
"""Of stopping it: once in many runs `pg_ctl` ended and had not done it."""


class CrashServer:
    """The embedded server without its life-cycle: it runs when this run says so."""

    def __init__(self) -> None:
        self._home = prepare_home(Path(f"{NAME}{os.getpid()}"), None)
        self._server = Server(self._home)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(_remove_leftovers, self._home.folder.parent.parent)
        await self.start()
        await migrate(self.address)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await asyncio.to_thread(self._server.stop)
        shutil.rmtree(self._home.folder.parent, ignore_errors=True)

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._home.socket

    @property
    def address(self) -> str:
        """Its address past all proxies."""
        return f"postgresql://postgres@/postgres?host={quote(str(self._home.socket_folder))}"

    async def start(self) -> None:
        """Start it; returns when it accepts connections."""
        await asyncio.to_thread(self._server.ensure_running)

    async def stop(self, *, immediate: bool) -> None:
        """Stop it as a crash does, or in order; returns when it is gone.

        Raises:
            RuntimeError: It runs on; the text is what `pg_ctl` said of it.
        """
        mode = "immediate" if immediate else "fast"
        said = []
        for _ in range(TRIES):
            told = await asyncio.to_thread(self._server._run, "pg_ctl", "stop", "-m", mode, "-w")
            if find_server_process(self._home.data) is None:
                return
            said.append(f"{told.returncode}: {told.stdout.strip()}")
        raise RuntimeError(f"the server was not stopped: {said}")

    async def connect(self) -> asyncpg.Connection[asyncpg.Record]:
        """A session past all proxies."""
        return await asyncpg.connect(self.address)


def _remove_leftovers(base: Path) -> None:
    """Remove what killed runs left behind."""
    for note in base.glob("*/project"):
        project = note.read_text(encoding="utf-8").strip()
        number = project.removeprefix(NAME)
        if project.startswith(NAME) and not Path(f"/proc/{number}").exists():
            shutil.rmtree(note.parent, ignore_errors=True)
