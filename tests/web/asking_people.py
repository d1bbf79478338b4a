"""A pipeline that asks a person, and ways to get at its links."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import httpx2
import orjson
from pydantic import BaseModel, Field, SecretStr

from headrace import Headrace, JobHandle, Pipeline, Signal, StepContext
from headrace.testing import Engine
from tests.waiting import eventually
from tests.web.serving import SETTINGS, Api, serve

KEY = "of-these-tests-alone-0123456789abcdef"
SIGNING = SETTINGS.model_copy(update={"signing_keys": (SecretStr(KEY),)})
OWNED: dict[str, Any] = {"tenant": "acme", "owner": "ann"}
TITLE = "Order <17>: 420 EUR"
SECRET = "heron"  # noqa: S105 - a word to look for
"""Stands in the input of each job: no page shows it."""


class Approval(BaseModel):
    """Look at the order before you decide."""

    decision: Literal["approve", "reject"]
    pieces: Annotated[int, Field(ge=1, le=20)] = 1
    comment: str = ""


@dataclass(frozen=True)
class Order:
    name: str


order = Pipeline("order", input=Order, output=str)


@order.step
async def ask(order: Order, ctx: StepContext) -> str:
    assert order.name == SECRET
    return ctx.signal_url("approval", title=TITLE, text="Three sluice gates & a mill.")


@order.step
async def decide(ask: str, approval: Approval = Signal(timeout=timedelta(days=3))) -> str:
    assert ask
    return f"{approval.decision} {approval.pieces} {approval.comment}"


@dataclass
class Asked:
    """A job that waits for a person."""

    job: JobHandle[str]
    path: str
    """Of the link that its step made."""


@dataclass
class Desk:
    """A served API with a worker, and somebody at a browser without an account."""

    api: Api
    person: httpx2.AsyncClient

    @property
    def app(self) -> Headrace:
        return self.api.engine.app

    async def ask(self) -> Asked:
        """A new job that waits."""
        job = await self.api.engine.submit(order, Order(SECRET), **OWNED)

        async def link() -> str | None:
            status = await job.status()
            found = status.wait_reason == "external"
            return await output_of(self.api.engine, job.id, "ask") if found else None

        return Asked(job, path_of(await eventually(link)))

    async def look(self, path: str, **headers: str) -> httpx2.Response:
        return await self.person.get(path, headers={"Accept": "text/html", **headers})

    async def fill_in(self, path: str, **fields: str) -> httpx2.Response:
        """Send what a browser would; a name is that of a field at the top."""
        data = {f"$.{name}": text for name, text in fields.items()}
        return await self.person.post(path, data=data, headers={"Accept": "text/html"})

    async def send(self, path: str, value: object) -> httpx2.Response:
        return await self.person.post(path, json=value)


def path_of(url: str) -> str:
    return urlsplit(url).path


async def output_of(engine: Engine, job: str, step: str) -> str:
    """What a step returned: a text."""
    async with engine.app.connection() as connection:
        text = await connection.fetchval(
            "select output::text from headrace.steps where job = $1 and step = $2"
            " order by run desc limit 1", job, step,
        )  # fmt: skip
    return str(orjson.loads(text))


@contextlib.asynccontextmanager
async def desk_of(server: str, *, works: bool = True, **settings: Any) -> AsyncIterator[Desk]:
    """A desk, inside an `async with` block."""
    engine = Engine([order], server=server, settings=SIGNING.model_copy(update=settings))
    async with contextlib.AsyncExitStack() as exits:
        await exits.enter_async_context(engine)
        api = await exits.enter_async_context(serve(engine))
        if works:
            await exits.enter_async_context(engine.worker())
        yield Desk(api, await api.stranger())
