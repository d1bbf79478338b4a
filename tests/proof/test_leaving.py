"""What leaves is broken in each way, and the checker has to say so."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from headrace.store.outbox import set_topic
from tests.proof.checker import check
from tests.proof.database import Database
from tests.proof.evidence import Evidence
from tests.proof.receipts import Receipt, receipt_of
from tests.proof.world import World, effect_of, make_world

AS_NEW = """
    truncate headrace.outbox, headrace.topics;
    drop trigger if exists job_events_outbox on headrace.job_events;
"""
SENT = "update headrace.outbox set sent_at = headrace.now(), message_id = id::text"


@dataclass
class Outside:
    """A world whose results and dead letters leave, and what of them came."""

    world: World
    receipts: list[Receipt]

    async def evidence(self) -> Evidence:
        """Everything as it is now."""
        return replace(await self.world.evidence(), receipts=self.receipts)

    async def found(self) -> set[str]:
        """The invariants that the checker finds broken."""
        return {violation.invariant for violation in check(await self.evidence())}


@pytest.fixture
async def outside(engine: Database) -> AsyncIterator[Outside]:
    await engine.connection.execute(AS_NEW)
    await set_topic(engine.connection, "results", "results")
    await set_topic(engine.connection, "dead-letters", "dead")
    world = await make_world(engine)
    done = world.done
    await engine.reopen(done)  # its second run ends too: two results of one job
    [held] = await engine.claim(world.worker)
    await engine.finish(world.worker, [held], '"again"')
    world.effects.append(effect_of(held, "end", "last", mark="again"))
    await engine.connection.execute("delete from headrace.claims")
    await engine.connection.execute(SENT)
    rows = await engine.connection.fetch("select * from headrace.outbox order by id")
    receipts = [
        receipt_of(row["topic"], row["payload"].encode(), row["ordering_key"], row["message_id"])
        for row in rows
    ]
    yield Outside(world, receipts)
    await engine.connection.execute(AS_NEW)


class TestLeaving:
    async def test_nothing_is_found_where_all_came_some_of_it_twice(self, outside: Outside) -> None:
        first, *_, last = outside.receipts
        outside.receipts += [last, first]
        assert sorted({receipt.topic for receipt in outside.receipts}) == ["dead", "results"]
        assert max(receipt.run for receipt in outside.receipts) == 2
        assert await outside.found() == set()

    async def test_i13_an_end_that_is_not_written(self, outside: Outside) -> None:
        await outside.world.plant(
            "delete from headrace.outbox where job = $1", outside.world.cancelled
        )
        gone = str(outside.world.cancelled)
        outside.receipts = [one for one in outside.receipts if one.job != gone]
        assert await outside.found() == {"I13"}

    async def test_i13_an_end_that_is_told_twice_under_two_ids(self, outside: Outside) -> None:
        await outside.world.plant(
            """
            insert into headrace.outbox (topic, endpoint, ordering_key, kind, payload, tenant, job,
                run, sent_at)
            select topic, endpoint, ordering_key, kind, payload, tenant, job, run, sent_at
            from headrace.outbox where job = $1
            """,
            outside.world.cancelled,
        )
        assert await outside.found() == {"I13"}

    async def test_i13_an_event_that_is_given_up(self, outside: Outside) -> None:
        await outside.world.plant(
            "update headrace.outbox set sent_at = null, given_up_at = headrace.now() where id = $1",
            await self._some_row(outside),
        )
        assert await outside.found() == {"I13"}

    async def test_i14_an_event_that_waits_after_the_drain(self, outside: Outside) -> None:
        await outside.world.plant(
            "update headrace.outbox set sent_at = null where id = $1", await self._some_row(outside)
        )
        assert await outside.found() == {"I14"}

    async def test_i13_an_event_that_never_came_unless_the_server_forgot_it(
        self, outside: Outside
    ) -> None:
        lost = outside.receipts.pop(0)
        assert await outside.found() == {"I13"}
        known = replace(await outside.evidence(), forgotten=frozenset({lost.event_id}))
        assert check(known) == []

    async def test_i13_an_event_that_nobody_wrote(self, outside: Outside) -> None:
        made_up = replace(outside.receipts[0], event_id="made up")
        outside.receipts.append(made_up)
        assert await outside.found() == {"I13"}

    async def test_i13_an_event_under_the_key_of_another_job(self, outside: Outside) -> None:
        outside.receipts[0] = replace(outside.receipts[0], key=str(outside.world.cancelled))
        assert await outside.found() == {"I13"}

    async def test_i12_a_job_whose_second_run_comes_first(self, outside: Outside) -> None:
        mine = [one for one in outside.receipts if one.job == str(outside.world.done)]
        assert [one.run for one in mine] == [1, 2]
        others = [one for one in outside.receipts if one not in mine]
        outside.receipts = [*others, *reversed(mine)]
        assert await outside.found() == {"I12"}

    async def _some_row(self, outside: Outside) -> int:
        connection = outside.world.engine.connection
        number: int = await connection.fetchval("select min(id) from headrace.outbox")
        return number


def test_a_receipt_says_what_its_message_says() -> None:
    body = {"event_id": "e", "job_id": "j", "run": 2, "status": "success"}
    receipt = receipt_of("results", json.dumps(body).encode(), "j", "m1")
    assert receipt == Receipt(
        topic="results", event_id="e", job="j", run=2, key="j", message_id="m1"
    )
