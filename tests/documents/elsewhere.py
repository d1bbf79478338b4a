"""An API whose documents are parsed elsewhere, and the parser, both on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2

from headrace.pipelines.documents.pipeline import parsed_elsewhere
from headrace.testing import Callback, Engine, ParseCall, ParserServer
from tests.documents.conftest import API_PORT, FOLDER, PARSER_PORT
from tests.waiting import eventually
from tests.web.pipes import double
from tests.web.serving import SETTINGS, Api, serve, who

OWNER = who()
TEXT = "# Sluices\n\nThe miller opens the sluice at dawn.\n\n# Wheels\n\nThe wheel turns slowly."


@dataclass
class Elsewhere:
    """What a test has to do with."""

    api: Api
    parser: ParserServer
    client: httpx2.AsyncClient

    @property
    def engine(self) -> Engine:
        return self.api.engine

    async def send(self, text: str = TEXT, name: str = "mill.md") -> dict[str, Any]:
        """Send a document; the answer."""
        answer = await self.client.post("/v1/documents", files={"file": (name, text.encode())})
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def document(self, document: str) -> dict[str, Any]:
        """A document as it is shown."""
        found: dict[str, Any] = (await self.client.get(f"/v1/documents/{document}")).json()
        return found

    async def until_stage(self, document: str, stage: str) -> dict[str, Any]:
        """Wait until a document is in a stage."""

        async def has_come() -> bool:
            return bool((await self.document(document))["stage"] == stage)

        await eventually(has_come, within=30)
        return await self.document(document)

    async def handed_over(self, count: int = 1) -> ParseCall:
        """Wait until the parser has so many files, and the jobs wait; the last one."""
        await eventually(lambda: len(self.parser.calls) >= count, within=30)
        call = self.parser.calls[-1]
        await eventually(lambda: self.waits(call.job), within=30)
        return call

    async def call_back(
        self, call: ParseCall, said: dict[str, Any] | None = None, **signed: Any
    ) -> Callback:
        """Let the parser call back now, off the loop on which the API answers."""
        return await asyncio.to_thread(self.parser.call_back, call, said, **signed)

    async def repeat(self, sent: Callback) -> Callback:
        """Let the parser send a callback once more, as it was."""
        return await asyncio.to_thread(self.parser.send, sent.call, sent.headers, sent.body)

    async def waits(self, job: str) -> bool:
        """Whether a job waits for what comes from outside."""
        async with self.engine.connection() as connection:
            found = await connection.fetchrow(
                "select state, wait_reason from headrace.jobs where id = $1::text::uuid", job
            )
        return tuple(found) == ("queued", "external")


@contextlib.asynccontextmanager
async def parsing_elsewhere(server: str, **parser: Any) -> AsyncIterator[Elsewhere]:
    """An API and a parser that calls it back.

    Args:
        server: One that has pgvector.
        parser: Of the parser, which calls nobody back unless a delay is given.
    """
    given = {"delay_s": 600.0, "port": PARSER_PORT, **parser}
    engine = Engine([parsed_elsewhere, double], server=server, settings=SETTINGS)
    async with (
        ParserServer(**given) as elsewhere,
        engine,
        serve(engine, port=API_PORT) as api,
    ):
        try:
            yield Elsewhere(api, elsewhere, await api.client(OWNER))
        finally:  # or the next test's database would find what its parser made of the same text
            for folder in FOLDER.iterdir():
                shutil.rmtree(folder)
