"""The real command, in a process of its own, on a real database."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import headrace.pipelines
from headrace import Headrace as App
from headrace.store.databases import fresh_database, make_template
from headrace.store.migrate import ENGINE, Series
from tests.cli import shop
from tests.cli.papers import SLUICE, WHEEL

FOLDER = Path(__file__).parent
# By its place: who imports the pipeline reads its settings, and other tests choose them.
MIGRATIONS = Path(headrace.pipelines.__path__[0]) / "documents" / "migrations"
DOCUMENTS = Series(MIGRATIONS, "documents")


@dataclass(frozen=True)
class Result:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:  # noqa: ANN401 - JSON
        assert self.code == 0, self.err
        return json.loads(self.out)


Headrace = Callable[..., Awaitable[Result]]


class Commands:
    """Starts commands, and ends those that a test leaves behind."""

    def __init__(self, **environment: str) -> None:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("HEADRACE_")}
        self._environment = kept | environment
        self._started: list[asyncio.subprocess.Process] = []

    async def start(
        self, *arguments: str, folder: Path = FOLDER, **environment: str
    ) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "headrace",
            *arguments,
            cwd=folder,
            env=self._environment | environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._started.append(process)
        return process

    async def run(
        self, *arguments: str, stdin: str = "", folder: Path = FOLDER, **environment: str
    ) -> Result:
        process = await self.start(*arguments, folder=folder, **environment)
        out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Result(process.returncode, out.decode(), err.decode())

    async def close(self) -> None:
        for process in self._started:
            if process.returncode is None:
                process.terminate()
                await process.communicate()


@pytest.fixture
async def commands(database: str) -> AsyncIterator[Commands]:
    """Commands on a fresh, migrated database."""
    started = Commands(HEADRACE_DATABASE_URL=database)
    yield started
    await started.close()


@pytest.fixture
def headrace(commands: Commands) -> Headrace:
    """Runs one command to its end."""
    return commands.run


@dataclass(frozen=True)
class Shop:
    """What a test prepares without commands, which take a second each."""

    app: App

    async def order(self, *, key: str | None = None) -> str:
        return (await self.app.submit(shop.orders, shop.Order("lamp", 3), idempotency_key=key)).id

    async def fail(self, text: str = "bread") -> str:
        return (await self.app.submit(shop.failing, text)).id

    async def wait_for(self, path: Path) -> str:
        return (await self.app.submit(shop.waiting, str(path))).id

    async def states(self) -> list[str]:
        """Of all jobs, the newest first."""
        return [str(job.state) for job in (await self.app.list_jobs()).items]

    async def work(self) -> None:
        """Run what is due."""
        await self.app.worker(queues=["default", "slow"]).run(until_empty=True)


@pytest.fixture
async def prepared(database: str) -> AsyncIterator[Shop]:
    """The shop on the database of the commands."""
    pipelines = [shop.orders, shop.failing, shop.waiting]
    async with App(pipelines, database=database) as app:
        yield Shop(app)


@pytest.fixture
async def bare_commands(empty_database: str) -> AsyncIterator[Commands]:
    """Commands on a database without a schema."""
    started = Commands(HEADRACE_DATABASE_URL=empty_database)
    yield started
    await started.close()


@pytest.fixture(scope="session")
def documents_template(vector_server: str) -> str:
    """The name of a database with the tables of the engine and of the documents."""
    return asyncio.run(make_template(vector_server, (ENGINE, DOCUMENTS)))


@pytest.fixture
async def documents_database(vector_server: str, documents_template: str) -> AsyncIterator[str]:
    """The address of a fresh database for documents."""
    async with fresh_database(vector_server, documents_template) as address:
        yield address


@pytest.fixture
async def library(documents_database: str, tmp_path: Path) -> AsyncIterator[Commands]:
    """Commands on a library without documents, which embeds words, not meanings."""
    started = Commands(
        HEADRACE_DATABASE_URL=documents_database,
        HEADRACE_DOCUMENTS_FOLDER=str(tmp_path / "library"),
        HEADRACE_DOCUMENTS_EMBEDDER="hashing",
    )
    yield started
    await started.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files that can be read."""
    made = tmp_path / "files"
    made.mkdir()
    (made / "sluice.md").write_text(SLUICE)
    (made / "wheel.md").write_text(WHEEL)
    return made
