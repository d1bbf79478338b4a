"""Reads event streams as a browser does."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import httpx2

if TYPE_CHECKING:
    from fastapi import FastAPI

    from headrace.web.events.hub import Hub
    from headrace.web.state import Service
    from tests.web.serving import Api


@dataclass(frozen=True, slots=True)
class Event:
    """One event; a comment has the name `comment`."""

    id: str
    name: str
    data: Any

    @property
    def word(self) -> str:
        """The event in short: `running`, `step review 2`, `completed!`."""
        if self.name == "state":
            return str(self.data["to_state"])
        if self.name == "result":
            return f"{self.data['state']}!"
        if self.name == "signal":
            return f"{self.data['name']} {self.data['state']}"
        if self.name != "step":
            return self.name
        parts = (self.data["step"], self.data["item"], self.data["state"])
        return " ".join(part for part in parts if part)


@dataclass
class Stream:
    """An open stream."""

    answer: httpx2.Response
    retry: int | None = None
    comments: list[str] = field(default_factory=list)

    async def __aiter__(self) -> AsyncIterator[Event]:
        fields: dict[str, str] = {}
        async for line in self.answer.aiter_lines():
            name, _, value = line.partition(":")
            if line and not name:
                self.comments.append(value.strip())
            elif name == "retry":
                self.retry = int(value)
            elif line:
                assert name not in fields, f"two lines of {name}"
                fields[name] = value.removeprefix(" ")
            elif fields:
                assert fields.keys() == {"id", "event", "data"}
                yield Event(fields["id"], fields["event"], json.loads(fields["data"]))
                fields = {}
        assert not fields, "the stream ended in the middle of an event"


def hub_of(api: Api) -> Hub:
    """What feeds the streams of an API."""
    made = cast("FastAPI", api.server.config.app)
    return cast("Service", made.state.service).hub


@contextlib.asynccontextmanager
async def opened(
    client: httpx2.AsyncClient, job: object, *, last: str | None = None, seconds: float = 30.0
) -> AsyncIterator[Stream]:
    """The stream of a job, from the event `last` on, inside an `async with` block."""
    headers = {"Accept": "text/event-stream"}
    if last is not None:
        headers["Last-Event-ID"] = last
    address = f"/v1/jobs/{job}/events"
    async with asyncio.timeout(seconds):
        async with client.stream("GET", address, headers=headers, timeout=seconds) as answer:
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield Stream(answer)


async def follow(
    client: httpx2.AsyncClient, job: object, *, last: str | None = None, seconds: float = 30.0
) -> list[Event]:
    """All events of a stream, once it has ended."""
    async with opened(client, job, last=last, seconds=seconds) as stream:
        return [event async for event in stream]


async def page(client: httpx2.AsyncClient, job: object, **wanted: str | int) -> dict[str, Any]:
    """A page of events as JSON."""
    answer = await client.get(
        f"/v1/jobs/{job}/events", params=wanted, headers={"Accept": "application/json"}
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found
