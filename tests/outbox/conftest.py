"""One database for the tests of a file, as new for each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from headrace.store.databases import fresh_database
from headrace.store.outbox import set_topic
from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS, Session
from headrace.telemetry.events import Event, Level, add_sink
from headrace.telemetry.outbox_events import (
    OutboxCaughtUp,
    OutboxDelayed,
    OutboxGivenUp,
    OutboxPublished,
    OutboxRetried,
    WebhookDisabled,
)
from tests.engine_rows import Rows
from tests.outbox.rows import AS_NEW, ENDS, Receivers, subscribe


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(database_server: str, template: str) -> AsyncIterator[str]:
    async with fresh_database(database_server, template) as address:
        yield address


@pytest_asyncio.fixture(loop_scope="module")
async def rows(address: str) -> AsyncIterator[Rows]:
    rows = await Rows.open(address)
    await rows.connection.execute(AS_NEW)
    yield rows
    await rows.close()


@pytest_asyncio.fixture(loop_scope="module")
async def told(rows: Rows) -> Rows:
    """With a webhook of the tenant for all that happens, and both topics."""
    await subscribe(rows, events=["job.queued", "job.running", *(f"job.{end}" for end in ENDS)])
    await set_topic(rows.connection, "results", "results")
    await set_topic(rows.connection, "dead-letters", "dead")
    return rows


@pytest_asyncio.fixture(loop_scope="module")
async def session(address: str) -> AsyncIterator[Session]:
    session = Session(lambda: connect(address, name="relay", settings=ENGINE_SETTINGS))
    yield session
    session.close()


@pytest.fixture
def receivers() -> Receivers:
    return Receivers()


@pytest.fixture
def events() -> Iterator[list[Event]]:
    told: list[Event] = []
    kinds = [OutboxCaughtUp, OutboxDelayed, OutboxGivenUp, OutboxPublished, OutboxRetried]
    remove = add_sink(told.append, level=Level.DEBUG, kinds=[*kinds, WebhookDisabled])
    yield told
    remove()
