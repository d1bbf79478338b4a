"""An inbox on an engine's database, with one source, and messages to it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from headrace import Pipeline
from headrace.inbox.inbox import Inbox
from headrace.inbox.message import Message, compose_message, source_key
from headrace.inbox.verdict import Verdict
from headrace.model.incoming import Incoming
from headrace.model.signing import SIGNATURE_HEADER, TIME_HEADER, secret_text, sign
from headrace.store.sources import Source, add_source
from headrace.testing import Engine

MASTER = b"a master key that is 32 bytes!!!"
reading = Pipeline("reading", input=str, output=int)


@reading.step
async def count(text: str) -> int:
    return len(text.split())


secret_pipeline = Pipeline("secret", input=str, output=str)


@secret_pipeline.step
async def echo(text: str) -> str:
    return text


@dataclass
class Post:
    """The source `shop` of the tenant acme, and the inbox that its messages come to."""

    engine: Engine
    inbox: Inbox
    source: Source
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def secret(self) -> str:
        return secret_text(source_key(MASTER, self.source.name, self.source.key_generation))

    def compose(self, payload: object = "It rains.", **fields: Any) -> Message:
        given = {
            "pipeline": "reading",
            "source": self.source.name,
            "secret": self.secret,
            "at": datetime.now(UTC),
            **fields,
        }
        return compose_message(payload=payload, **given)

    def sealed(self, data: bytes) -> Message:
        """These bytes, signed by the source."""
        key = source_key(MASTER, self.source.name, self.source.key_generation)
        headers = sign([key], self.source.name, int(datetime.now(UTC).timestamp()), data)
        attributes = {
            "kind": "job",
            "v": "1",
            "source": self.source.name,
            "timestamp": headers[TIME_HEADER],
            "signature": headers[SIGNATURE_HEADER],
        }
        return Message(data, attributes)

    def incoming(self, message: Message, **changes: Any) -> Incoming:
        """As the broker would deliver it."""
        given = {
            "message_id": str(next(self.numbers)),
            "data": message.data,
            "attributes": message.attributes,
            "published_at": datetime.now(UTC),
            **changes,
        }
        return Incoming(**given)

    async def receive(self, message: Message, **changes: Any) -> Verdict:
        return await self.inbox.receive(self.incoming(message, **changes))


@pytest.fixture
async def post(database_server: str) -> AsyncIterator[Post]:
    async with Engine([reading, secret_pipeline], server=database_server) as engine:
        app = engine.app
        async with app.connection() as connection:
            source = await add_source(
                connection,
                "shop",
                tenant="acme",
                owner="orders",
                pipelines=["reading", "gone"],
                by="test",
            )
        inbox = Inbox(app, app.connection, keys=[MASTER], most_bytes=(5_000_000, 524_288))
        yield Post(engine, inbox, source)
