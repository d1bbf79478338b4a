"""Other processes that use an embedded database, and questions about its server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

import asyncpg

from headrace.store.embedded.probe import session_opens

PROJECT = Path("/some/project")

USER = """
import sys
from pathlib import Path
from headrace.store.embedded import EmbeddedDatabase
database = EmbeddedDatabase(Path("/some/project"), data_folder=Path(sys.argv[1]))
print(database.start(), flush=True)
sys.stdin.readline()
"""


FORKING_USER = USER.replace(
    "print(",
    """
import os
database.start()
child = os.fork()
if child == 0:
    database.stop()
    os._exit(0)
os.waitpid(child, 0)
print(""",
)


class User:
    """Another process that uses the database until it is told to end."""

    def __init__(self, folder: Path, program: str = USER) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def wait_until_it_runs(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.communicate("\n")

    def end_by(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)
        self.process.communicate()


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def is_alive(address: str) -> bool:
    return session_opens(str(socket_folder(address) / ".s.PGSQL.5432"), 3)


def socket_folder(address: str) -> Path:
    return Path(parse_qs(urlsplit(address).query)["host"][0])


def query(address: str, sql: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(address)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(run())


def server_process(folder: Path) -> int:
    return int((folder / "postgres-18/data/postmaster.pid").read_text().split()[0])


def owner_of(path: Path) -> pwd.struct_passwd:
    return pwd.getpwuid(path.stat().st_uid)
