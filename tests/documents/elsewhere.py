"""An API whose documents are parsed elsewhere, and the parser, both on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2

from headrace.pipelines.documents.external.calls import Call
from headrace.pipelines.documents.pipeline import parsed_elsewhere
from headrace.testing import Callback, Engine, ParseCall, ParserServer
from tests.documents.conftest import API_PORT, FOLDER, PARSER_PORT, SECRET
from tests.waiting import eventually
from tests.web.pipes import double
from tests.web.serving import SETTINGS, Api, serve, who

CARRIED = [parsed_elsewhere, double]
OWNER = who()
TEXT = "# Sluices\n\nThe miller opens the sluice at dawn.\n\n# Wheels\n\nThe wheel turns slowly."
PARSED = {"state": "parsed", "markdown": TEXT}
OTHER = {"state": "parsed", "markdown": "# Another\n\nThe heron stands in the reeds."}


@dataclass(frozen=True)
class Sent:
    """A document that was sent."""

    id: str
    job: str
    data: bytes


@dataclass
class Elsewhere:
    """What a test has to do with."""

    api: Api
    parser: ParserServer
    client: httpx2.AsyncClient
    sent: int = 0

    @property
    def engine(self) -> Engine:
        return self.api.engine

    async def send(self, text: str = "", **client: httpx2.AsyncClient) -> Sent:
        """Send a document, another one each time unless it is given, and wait for nothing."""
        self.sent += 1
        data = (text or f"{TEXT} {self.sent} times.").encode()
        chosen = client.get("client", self.client)
        answer = await chosen.post("/v1/documents", files={"file": ("mill.md", data)})
        assert answer.status_code == 202, answer.text
        return Sent(answer.json()["document_id"], answer.json()["job_id"], data)

    async def wait(self, text: str = "") -> tuple[Sent, ParseCall]:
        """Send a document, and return when it waits for its callback."""
        sent = await self.send(text)
        return sent, await self.handed_over(sent)

    async def document(self, sent: Sent) -> dict[str, Any]:
        """A document as it is shown."""
        found: dict[str, Any] = (await self.client.get(f"/v1/documents/{sent.id}")).json()
        return found

    async def stage(self, sent: Sent) -> str:
        """The stage of a document."""
        return str((await self.document(sent))["stage"])

    async def until_stage(self, sent: Sent, stage: str) -> dict[str, Any]:
        """Wait until a document is in a stage."""

        async def has_come() -> bool:
            return await self.stage(sent) == stage

        await eventually(has_come, within=30)
        return await self.document(sent)

    async def text(self, sent: Sent) -> str:
        """The text of a document that is complete."""
        answer = await self.client.get(f"/v1/documents/{sent.id}/chunks")
        return "\n".join(chunk["text"] for chunk in answer.json()["items"])

    async def handed_over(self, sent: Sent, run: int = 1) -> ParseCall:
        """Wait until the parser has the file for a run, and the job waits."""

        def call() -> ParseCall | None:
            return next((one for one in self.calls(sent) if one.run == run), None)

        found = await eventually(call, within=30)
        assert found is not None
        await eventually(lambda: self.waits(sent.job), within=30)
        return found

    def calls(self, sent: Sent) -> list[ParseCall]:
        """What the parser got for a job."""
        return [call for call in self.parser.calls if call.job == sent.job]

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
    engine = Engine(CARRIED, server=server, settings=SETTINGS)
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


def key_of(call: Call, secret: str = SECRET) -> str:
    return call.key(secret.replace(" ", "-").encode())


def unasked(town: Elsewhere, job: str) -> ParseCall:
    """What the parser would have been told of a job."""
    url = f"{town.api.url}/v1/webhooks/generic?job={job}&run=1"
    return ParseCall("x", "", b"", {}, url, key_of(Call(UUID(job), 1)), None)
