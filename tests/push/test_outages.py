"""POST /push and the probes while the database is away, and what goes on between requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from headrace.store.api_keys import create_api_key
from headrace.store.clock import move_clock
from headrace.store.embedded import EmbeddedDatabase
from headrace.store.outbox import set_topic
from headrace.web.auth.identity import Scope
from tests.push.conftest import MakeSite, Site
from tests.push.pipes import grind
from tests.store.embedded_users import PROJECT, open_folder
from tests.waiting import eventually


@pytest.fixture
async def stopped() -> AsyncIterator[EmbeddedDatabase]:
    """A database that does not run."""
    with open_folder() as folder:
        server = EmbeddedDatabase(PROJECT, data_folder=Path(folder))
        yield server
        await asyncio.to_thread(server.stop)


class TestColdStart:
    async def test_it_is_there_before_the_database_is(
        self, make_site: MakeSite, stopped: EmbeddedDatabase
    ) -> None:
        """C8: the probe fails, messages come again, and the process lives."""
        address = await asyncio.to_thread(stopped.start)
        await asyncio.to_thread(stopped.stop)
        site = await make_site(address)
        for _ in range(2):
            ready = await site.client.get("/ready")
            assert (ready.status_code, ready.json()["code"]) == (503, "UNAVAILABLE")
            assert (await site.client.get("/health")).json()["status"] == "degraded"
            ring = await site.ring()
            assert ring.status_code == 503
            assert ring.headers["Retry-After"]
        assert not site.working.done()
        await asyncio.to_thread(stopped.start)
        assert (await site.ring()).status_code == 503  # it has no tables
        await site.app.migrate()

        async def is_ready() -> bool:
            return (await site.client.get("/ready")).status_code == 200

        await eventually(is_ready)
        job = await site.app.submit(grind, 1)
        assert (await site.ring()).status_code == 204
        assert await job.result() == 80
        # And when it goes again, a message comes again, too.
        await asyncio.to_thread(stopped.stop)
        assert (await site.ring()).status_code == 503


class TestScheduler:
    async def test_its_first_request_may_come_before_any_message(self, make_site: MakeSite) -> None:
        """R-PUB-34: with no container running, retries and lost rings depend on it."""
        before, cold = await make_site(), await make_site()
        before.server.create_topic("headrace-jobs")
        async with before.app.connection() as connection:
            key, _ = await create_api_key(
                connection,
                tenant="ops",
                owner="olga",
                scopes=frozenset({Scope.OPERATOR}),
                life=timedelta(days=1),
                by="tests",
            )
        headers = {"Authorization": f"Bearer {key}"}
        await before.app.submit(grind, 1, due=timedelta(hours=1))
        await before.app.messaging.broker.close()
        rung = len(before.server.messages("headrace-jobs"))
        async with before.app.connection() as connection:
            await move_clock(connection, timedelta(hours=2), keep_leases=True)
        answer = await cold.client.post("/tasks/sweep", headers=headers)
        assert answer.status_code == 200
        assert len(before.server.messages("headrace-jobs")) > rung


class TestBetween:
    async def test_nothing_is_asked_or_held_between_requests(self, site: Site) -> None:
        """C5: a process that is frozen there misses nothing."""
        await site.app.submit(grind, 1)
        assert (await site.client.get("/ready")).status_code == 200
        assert (await site.ring()).status_code == 204
        assert not BUSY & {task.get_name() for task in asyncio.all_tasks()}
        assert await held_identities(site) == 0

        async def has_left() -> bool:
            return not await sessions(site)

        await eventually(has_left)

    async def test_what_is_due_to_leave_is_sent_before_the_answer(self, site: Site) -> None:
        site.server.create_topic("headrace-results")
        async with site.app.connection() as connection:
            await set_topic(connection, "results", "headrace-results")
        await site.app.submit(grind, 1)
        assert (await site.ring()).status_code == 204
        [result] = site.server.messages("headrace-results")
        assert result.attributes["status"] == "success"


BUSY = frozenset(
    {"claimer", "overseer", "reaper", "janitor", "relay", "progress", "doorbell", "headrace probe"}
)
"""Names of what goes on in a worker of the usual kind."""


DUTIES = ("headrace worker", "headrace probe", "headrace relay")


async def held_identities(site: Site) -> int:
    async with site.app.connection() as connection:
        return int(await connection.fetchval("select count(*) from headrace.workers"))


async def sessions(site: Site) -> list[str]:
    """What is open for workers and probes in the database of this test."""
    async with site.app.connection() as connection:
        rows = await connection.fetch(
            "select application_name as name from pg_stat_activity"
            " where datname = current_database()"
        )
    return [row["name"] for row in rows if row["name"].startswith(DUTIES)]
