"""Where works are done: the server, and a template database per subject."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

from bench.database import Server, connected
from bench.runs import Run
from bench.sizes import Sizes
from bench.subjects import Subject


class Lab:
    """Gives every run a fresh database with the subject's schema."""

    def __init__(self, server: Server, sizes: Sizes) -> None:
        self.sizes = sizes
        self._server = server
        self._numbers = count(1)
        self._templates: list[str] = []

    async def install(self, subject: Subject) -> None:
        """Install the subject's schema into its template database.

        Raises:
            BenchError: The set-up failed.
        """
        template = _template(subject)
        await self._server.create(template)
        self._templates.append(template)
        url = self._server.url(template)
        async with connected(url) as connection:
            await Run(subject, connection, url, template).command("setup")

    async def clear(self) -> None:
        """Drop the template databases."""
        while self._templates:
            await self._server.drop(self._templates.pop())

    @asynccontextmanager
    async def run(self, subject: Subject) -> AsyncIterator[Run]:
        """A run on a new database, which is dropped at the end; its log file stays."""
        database = f"bench_{subject.name}_{next(self._numbers)}"
        await self._server.create(database, template=_template(subject))
        url = self._server.url(database)
        try:
            async with connected(url) as connection:
                run = Run(subject, connection, url, database)
                try:
                    yield run
                finally:
                    await run.stop()
        finally:
            await self._server.drop(database)


def _template(subject: Subject) -> str:
    return f"bench_{subject.name}_template"
