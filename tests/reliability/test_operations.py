"""Who carries an operation out when others die, freeze or come late; and what is stored of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from headrace.errors import (
    DatabaseUnavailableError,
    IdempotencyKeyReusedError,
    LeaseLostError,
    OperationInProgressError,
)
from headrace.reliability.hub import Hub
from headrace.reliability.operations import KEEP, LOOK, MOST_TAKEOVERS, Grant, Operations, Settled
from headrace.store.clock import move_clock
from headrace.store.idempotency import (
    LEFT_KEPT,
    PAGE,
    SILENCE,
    OperationRecord,
    Wanted,
    list_operations,
    prune_operations,
    read_operation,
)
from headrace.store.pool import Pool, connect
from tests.engine_rows import Rows
from tests.waiting import eventually

if TYPE_CHECKING:
    import asyncpg

NOW, LONG = timedelta(0), timedelta(hours=1)
CHARGE = Wanted(tenant="acme", key="order-42", operation="charge", input_hash=b"500")


class Fleet:
    """Processes that share a database."""

    def __init__(self, rows: Rows, pool: Pool, hub: Hub) -> None:
        self.rows, self.pool, self.hub = rows, pool, hub
        self.members: list[Operations] = []

    async def member(self, hub: Hub | None = None, look: timedelta = LOOK) -> Member:
        """Another worker."""
        operations = Operations(self.pool, hub or self.hub, look=look)
        self.members.append(operations)
        return Member(operations, await self.rows.worker())

    async def kill(self, member: Member) -> None:
        """A worker is found dead."""
        await self.rows.connection.execute(
            "update headrace.workers set lost_at = headrace.now() where id = $1", member.worker
        )

    async def record(self) -> OperationRecord:
        """What is known of the key."""
        return await read_operation(self.rows.connection, "acme", "order-42")


class Member:
    """One process of a fleet."""

    def __init__(self, operations: Operations, worker: int) -> None:
        self.operations, self.worker = operations, worker

    def want(self, **job: object) -> Wanted:
        return replace(CHARGE, **{"worker": self.worker, **job})

    async def begin(self, wait: timedelta = NOW, **job: object) -> Grant | Settled:
        return await self.operations.begin(self.want(**job), wait=wait, is_void=lambda: False)

    async def take(self, **job: object) -> Grant:
        """Begin, and have it."""
        grant = await self.begin(**job)
        assert isinstance(grant, Grant)
        return grant

    async def complete(self, grant: Grant, output: str = '"paid"') -> None:
        await self.operations.complete(grant, keep=KEEP, output=output)


@pytest_asyncio.fixture
async def fleet(database: str) -> AsyncIterator[Fleet]:
    """A fleet without members."""
    hub = Hub(lambda: connect(database, name="changes"))
    async with Pool(database) as pool:
        rows = await Rows.open(database)
        made = Fleet(rows, pool, hub)
        yield made
        for member in made.members:
            await member.close()
        await hub.close()
        await rows.close()


class TestTakeover:
    async def test_one_whose_worker_lives_is_left_to_it(self, fleet: Fleet):
        one, other = await fleet.member(), await fleet.member()
        await one.take()
        with pytest.raises(OperationInProgressError, match=rf"worker {one.worker}$"):
            await other.begin()

    async def test_one_whose_worker_is_dead_goes_to_the_next_with_a_higher_token(
        self, fleet: Fleet
    ):
        one, other = await fleet.member(), await fleet.member()
        first = await one.take()
        await fleet.kill(one)
        second = await other.take()
        assert second.token > first.token
        assert (await fleet.record()).takeovers == 1

    async def test_one_that_nobody_has_renewed_for_minutes_goes_to_the_next(self, fleet: Fleet):
        one, other = await fleet.member(), await fleet.member()
        await one.take(worker=None)
        await move_clock(fleet.rows.connection, SILENCE - timedelta(seconds=5), keep_leases=False)
        with pytest.raises(OperationInProgressError):
            await other.begin()
        await move_clock(fleet.rows.connection, timedelta(seconds=5), keep_leases=False)
        await other.take()

    async def test_its_own_job_takes_it_under_a_newer_token_at_once(self, fleet: Fleet):
        one, other = await fleet.member(), await fleet.member()
        job = uuid.uuid4()
        await one.take(job=job, job_token=7)
        for not_newer in ({"job": job, "job_token": 7}, {"job": uuid.uuid4(), "job_token": 8}):
            with pytest.raises(OperationInProgressError):
                await other.begin(**not_newer)
        await other.take(job=job, job_token=8)

    async def test_one_that_its_own_worker_does_not_hold_any_more_is_taken_at_once(
        self, fleet: Fleet
    ):
        """What it would have said at its end was lost."""
        one = await fleet.member()
        grant = await one.take()
        with pytest.raises(OperationInProgressError):
            await one.begin()
        one.operations.drop(grant)
        await one.take()

    async def test_one_of_a_step_that_was_given_up_is_taken_at_once(self, fleet: Fleet):
        one = await fleet.member()
        await one.operations.begin(one.want(), wait=NOW, is_void=lambda: True)
        await one.take()

    async def test_only_one_of_many_takes_it(self, fleet: Fleet):
        one = await fleet.member()
        await one.take()
        await fleet.kill(one)
        others = [await fleet.member() for _ in range(5)]
        begun = await asyncio.gather(*(other.begin() for other in others), return_exceptions=True)
        assert [type(each) for each in begun].count(Grant) == 1
        assert (await fleet.record()).takeovers == 1

    async def test_after_the_third_it_has_failed_and_says_what_to_do(self, fleet: Fleet):
        job = uuid.uuid4()
        for number in range(MOST_TAKEOVERS + 1):
            victim = await fleet.member()
            await victim.take(job=job, job_token=number)
            assert (await fleet.record()).takeovers == number
            await fleet.kill(victim)
        settled = await (await fleet.member()).begin()
        assert isinstance(settled, Settled)
        error = json.loads(settled.error or "")
        assert (error["kind"], error["code"]) == ("permanent", "OPERATION_GIVEN_UP")
        assert "was begun 4 times" in error["message"]
        assert f"job {job}" in error["message"]
        assert "headrace operations forget" in error["message"]
        await move_clock(fleet.rows.connection, timedelta(hours=1), keep_leases=True)
        await (await fleet.member()).take()

    async def test_a_key_is_compared_before_anything_is_taken(self, fleet: Fleet):
        one, other = await fleet.member(), await fleet.member()
        await one.take()
        await fleet.kill(one)
        with pytest.raises(IdempotencyKeyReusedError, match="another input"):
            await other.begin(input_hash=b"600")
        with pytest.raises(IdempotencyKeyReusedError, match="operation 'charge'"):
            await other.begin(operation="refund")


class TestLateOutcomes:
    async def test_that_of_an_earlier_holder_is_refused(self, fleet: Fleet):
        one, other = await fleet.member(), await fleet.member()
        late = await one.take()
        await fleet.kill(one)
        grant = await other.take()
        with pytest.raises(LeaseLostError, match="order-42"):
            await one.complete(late, '"late"')
        with pytest.raises(LeaseLostError, match="order-42"):
            await one.operations.fail(late, "permanent", "LATE", "late")
        assert (await fleet.record()).state == "pending"
        await other.complete(grant)
        assert (await fleet.record()).output == '"paid"'

    async def test_what_an_earlier_holder_releases_stays_with_the_next(self, fleet: Fleet):
        one, other = await fleet.member(), await fleet.member()
        late = await one.take()
        await fleet.kill(one)
        await other.take()
        await one.operations.release(late)
        assert (await fleet.record()).worker == other.worker

    async def test_the_same_outcome_sent_twice_is_stored_once(self, fleet: Fleet):
        """The answer to the first write may be lost."""
        one = await fleet.member()
        grant = await one.take()
        await one.complete(grant)
        await one.complete(grant)
        assert (await fleet.record()).output == '"paid"'


class TestWaiting:
    async def test_whoever_waits_is_woken_by_the_outcome(self, fleet: Fleet):
        one, other = await fleet.member(), await fleet.member(look=LONG)
        grant = await one.take()
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(other.begin(LONG))
            await eventually(lambda: is_awaited(fleet))
            await eventually(lambda: fleet.hub.is_listening)
            await one.complete(grant)
        assert waiting.result() == Settled('"paid"', None, None)

    async def test_whoever_waits_does_it_where_it_was_left(self, fleet: Fleet):
        one, other = await fleet.member(), await fleet.member(look=LONG)
        grant = await one.take()
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(other.begin(LONG))
            await eventually(lambda: is_awaited(fleet))
            await eventually(lambda: fleet.hub.is_listening)
            await one.operations.release(grant)
        assert isinstance(waiting.result(), Grant)

    async def test_whoever_waits_does_it_where_the_holder_died(self, fleet: Fleet):
        one, other = await fleet.member(), await fleet.member()
        await one.take()
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(other.begin(LONG))
            await eventually(lambda: is_awaited(fleet))
            await fleet.kill(one)
        assert isinstance(waiting.result(), Grant)

    async def test_it_works_where_nobody_can_listen(self, fleet: Fleet):
        async def refuse() -> asyncpg.Connection[asyncpg.Record]:
            raise DatabaseUnavailableError("no")

        deaf = Hub(refuse)
        one, other = await fleet.member(), await fleet.member(deaf)
        grant = await one.take()
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(other.begin(LONG))
            await eventually(lambda: is_awaited(fleet))
            await one.complete(grant)
        assert waiting.result() == Settled('"paid"', None, None)
        await deaf.close()

    async def test_it_ends_when_its_time_is_over(self, fleet: Fleet):
        one, other = await fleet.member(), await fleet.member()
        await one.take()
        with pytest.raises(OperationInProgressError):
            await other.begin(timedelta(seconds=0.2))
        assert (await fleet.record()).worker == one.worker

    async def test_one_that_is_cut_off_leaves_nothing_behind(self, fleet: Fleet):
        one, other = await fleet.member(), await fleet.member()
        grant = await one.take()
        waiting = asyncio.create_task(other.begin(LONG))
        await eventually(lambda: is_awaited(fleet))
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        await one.complete(grant)
        assert (await fleet.record()).state == "completed"


class TestStoring:
    async def test_an_outcome_outlives_the_step_that_was_cut_off(self, fleet: Fleet):
        """Its next try waits for what is on its way, and calls nothing again."""
        one = await fleet.member()
        grant = await one.take()
        async with fleet.pool.acquire() as blocking, blocking.transaction():
            await blocking.execute("select from headrace.operations for update")
            storing = asyncio.create_task(one.complete(grant))
            await eventually(lambda: grant.storing is not None)
            storing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await storing
            again = asyncio.create_task(one.begin())
            await asyncio.sleep(0)
        assert await again == Settled('"paid"', None, None)


class TestRetention:
    async def test_what_is_out_of_date_goes_and_nothing_else(self, fleet: Fleet):
        one = await fleet.member()
        for key, keep in (("short", timedelta(hours=1)), ("long", timedelta(hours=30))):
            grant = await one.take(key=key)
            await one.operations.complete(grant, keep=keep, output="1")
        await one.take(key="at it")
        await one.take(key="left")
        connection = fleet.rows.connection
        await move_clock(connection, LEFT_KEPT, keep_leases=False)
        await connection.execute(
            "update headrace.operations set renewed_at = headrace.now() where key = 'at it'"
        )
        assert await prune_operations(connection) == 2
        left = await list_operations(connection)
        assert {record.key for record in left} == {"long", "at it"}

    async def test_a_batch_has_its_size(self, fleet: Fleet):
        connection = fleet.rows.connection
        await connection.execute(
            """
            insert into headrace.operations (
                tenant, key, operation, input_hash, state, holder, token, output, created_at,
                renewed_at, completed_at, expires_at
            )
            select 'acme', number::text, 'charge', '', 'completed', gen_random_uuid(), number, '1',
                now(), now(), now(), now()
            from generate_series(1, $1) as number
            """,
            PAGE + 1,
        )
        assert [await prune_operations(connection) for _ in range(3)] == [PAGE, 1, 0]


async def is_awaited(fleet: Fleet) -> bool:
    return bool(await fleet.rows.connection.fetchval("select awaited from headrace.operations"))
