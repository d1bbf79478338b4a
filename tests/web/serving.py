"""Serves an API on a real socket, in the test's own loop."""

import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

import httpx2
from fastapi import FastAPI

from headrace.settings import Settings
from headrace.store.api_keys import create_api_key
from headrace.telemetry.events import Event, Level, add_sink
from headrace.telemetry.request_events import RequestFailed
from headrace.testing import Engine
from headrace.web.app import create_api
from headrace.web.auth.identity import Identity, Scope
from headrace.web.events.hub import Pace
from headrace.web.serving import MOST_CONNECTIONS, ApiServer, make_server
from headrace.web.state import Verifier
from tests.waiting import eventually

SETTINGS = Settings(
    env="testing",
    rate_submit=0,
    rate_status=0,
    rate_health=0,
    rate_other=0,
    rate_tenant_costly=0,
    rate_tenant_writes=0,
    rate_tenant_reads=0,
)
"""Those of an API under test: as many requests as a test needs."""
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that speak no TLS: to read the certificates of the machine takes 16 ms for each."""
PATIENCE_S = 30.0
"""For an answer: the usual 5 s are less than a busy machine may take."""
USER = frozenset({Scope.JOBS_READ, Scope.JOBS_WRITE})


def who(tenant: str = "acme", owner: str = "ann", *scopes: Scope) -> Identity:
    """A user of a tenant, with the scopes of a user if none are named."""
    return Identity(tenant, owner, frozenset(scopes) or USER, f"{owner}@{tenant}", "api_key")


@dataclass
class Api:
    """A running API, and the engine behind it."""

    engine: Engine
    port: int
    exits: contextlib.AsyncExitStack
    server: ApiServer
    clients: dict[Identity, httpx2.AsyncClient] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def client(self, identity: Identity | None = None) -> httpx2.AsyncClient:
        """A client of a user; of `who()` if none is given. It is closed with the API."""
        identity = identity or who()
        if identity not in self.clients:
            self.clients[identity] = await self.bearer(await self.key(identity))
        return self.clients[identity]

    async def bearer(self, credential: str) -> httpx2.AsyncClient:
        """A client that sends this credential, whatever it is."""
        headers = {"Authorization": f"Bearer {credential}"}
        client = httpx2.AsyncClient(
            base_url=self.url, headers=headers, verify=PLAIN, timeout=PATIENCE_S
        )
        return await self.exits.enter_async_context(client)

    async def stranger(self) -> httpx2.AsyncClient:
        """A client without a credential."""
        client = httpx2.AsyncClient(base_url=self.url, verify=PLAIN, timeout=PATIENCE_S)
        return await self.exits.enter_async_context(client)

    async def key(self, identity: Identity, *, life: timedelta = timedelta(days=1)) -> str:
        """A new API key of a user."""
        return await new_key(self.engine, identity, life=life)


async def new_key(
    engine: Engine, identity: Identity | None = None, *, life: timedelta = timedelta(days=1)
) -> str:
    """A new API key of a user; of `who()` if none is given."""
    identity = identity or who()
    async with engine.app.connection() as connection:
        key, _ = await create_api_key(
            connection,
            tenant=identity.tenant,
            owner=identity.owner,
            scopes=identity.scopes,
            life=life,
            by="tests",
        )
    return key


@contextlib.asynccontextmanager
async def serve(
    engine: Engine,
    *,
    verifier: Verifier | None = None,
    pace: Pace | None = None,
    made: FastAPI | None = None,
    most_connections: int = MOST_CONNECTIONS,
    port: int = 0,
) -> AsyncIterator[Api]:
    """The API of an engine's app, inside an `async with` block.

    Args:
        engine: Whose app.
        verifier: In place of that of the settings.
        pace: In place of the usual durations of event streams.
        made: In place of the API that is made of all this.
        most_connections: Others are refused.
        port: Where it listens; 0: a free one.
    """
    with socket.create_server(("127.0.0.1", port)) as listener:
        api = made or create_api(engine.app, verifier=verifier, pace=pace)
        server = make_server(api, engine.app.settings, limit_concurrency=most_connections)
        forget = add_sink(_show_failures, level=Level.ERROR)
        running = asyncio.create_task(server.serve_on(listener))
        await eventually(lambda: server.started or running.done())
        try:
            async with contextlib.AsyncExitStack() as exits:
                yield Api(engine, listener.getsockname()[1], exits, server)
        finally:
            server.stop()
            await running
            forget()


def _show_failures(event: Event) -> None:
    """What the client of a 500 is not told, a test is."""
    if isinstance(event, RequestFailed):
        sys.stderr.write(event.stack)
