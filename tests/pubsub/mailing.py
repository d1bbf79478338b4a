"""A source that submits jobs by message."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from headrace import Headrace, compose_message
from headrace.store.inbox import Quarantined
from headrace.telemetry.messaging_events import MessageSettled
from headrace.testing import PubSubServer
from tests.listening import Told
from tests.waiting import eventually

KEYS = {"SIGNING_KEYS": "0123456789abcdef0123456789abcdef"}


async def register(app: Headrace) -> str:
    """The secret of the source `shop`, which may submit to the mill."""
    secret, _ = await app.sources.create(
        "shop", tenant="acme", owner="orders", pipelines=["grind"], by="test"
    )
    return secret


def send(
    server: PubSubServer, topic: str, secret: str, *, ordering_key: str = "", **fields: Any
) -> None:
    """Publish a submission."""
    given = {"pipeline": "grind", "payload": {"sacks": 2}, "source": "shop", **fields}
    message = compose_message(secret=secret, **given)
    server.publish(topic, message.data, message.attributes, ordering_key=ordering_key)


def outcomes(told: Told, kind: str = "job") -> Counter[str]:
    """How messages ended."""
    return Counter(one.outcome for one in told.of(MessageSettled) if one.kind == kind)


async def jobs(app: Headrace) -> list[UUID]:
    async with app.connection() as connection:
        return [row["id"] for row in await connection.fetch("select id from headrace.jobs")]


async def first_job(app: Headrace) -> UUID:
    """The first job, once it is there."""

    stored: list[UUID] = await eventually(lambda: jobs(app))
    return stored[0]


async def aside(app: Headrace) -> list[Quarantined]:
    return await app.quarantine.page()
