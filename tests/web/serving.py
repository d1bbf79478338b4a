"""Serves an API on a real socket, in the test's own loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx2
import uvicorn

from headrace.settings import Settings
from headrace.testing import Engine
from headrace.web.app import create_api
from headrace.web.auth.identity import Identity, Scope
from headrace.web.problems import ProblemError
from headrace.web.serving import make_server
from tests.waiting import eventually

SETTINGS = Settings(env="testing", rate_submit=0, rate_status=0, rate_health=0, rate_other=0)
"""Those of an API under test: as many requests as a test needs."""
USER = frozenset({Scope.JOBS_READ, Scope.JOBS_WRITE})


def who(tenant: str = "acme", owner: str = "ann", *scopes: Scope) -> Identity:
    """A user of a tenant, with the scopes of a user if none are named."""
    return Identity(tenant, owner, frozenset(scopes) or USER, f"{owner}@{tenant}", "api_key")


class Tokens:
    """Verifies the tokens that it gave out itself."""

    def __init__(self) -> None:
        self._known: dict[str, Identity] = {}

    def give(self, identity: Identity) -> str:
        token = f"token-{len(self._known)}"
        self._known[token] = identity
        return token

    async def verify(self, credential: str) -> Identity:
        if credential not in self._known:
            raise ProblemError("AUTH_REQUIRED", headers={"WWW-Authenticate": "Bearer"})
        return self._known[credential]


@dataclass
class Api:
    """A running API, and the engine behind it."""

    engine: Engine
    port: int
    tokens: Tokens
    exits: contextlib.AsyncExitStack
    clients: dict[Identity, httpx2.AsyncClient] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def client(self, identity: Identity | None = None) -> httpx2.AsyncClient:
        """A client of a user; of `who()` if none is given. It is closed with the API."""
        identity = identity or who()
        if identity not in self.clients:
            headers = {"Authorization": f"Bearer {self.tokens.give(identity)}"}
            client = httpx2.AsyncClient(base_url=self.url, headers=headers)
            self.clients[identity] = await self.exits.enter_async_context(client)
        return self.clients[identity]

    async def stranger(self) -> httpx2.AsyncClient:
        """A client without a credential."""
        return await self.exits.enter_async_context(httpx2.AsyncClient(base_url=self.url))


@contextlib.asynccontextmanager
async def serve(engine: Engine) -> AsyncIterator[Api]:
    """The API of an engine's app, inside an `async with` block."""
    tokens = Tokens()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = make_server(create_api(engine.app, verifier=tokens), engine.app.settings)
        running = asyncio.create_task(_serve(server, listener))
        await eventually(lambda: server.started or running.done())
        try:
            async with contextlib.AsyncExitStack() as exits:
                yield Api(engine, listener.getsockname()[1], tokens, exits)
        finally:
            server.should_exit = True
            await running


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    # Not `serve`: it would take the signals of the test run.
    await server._serve([listener])
