"""What locks promise, between processes: each `Locks` here stands for one."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from asyncpg.connection import LoggedQuery

from headrace.errors import DatabaseUnavailableError, LockBusyError, LockLostError
from headrace.reliability.lock_blocks import LockBlock
from headrace.telemetry.lock_events import LockAcquired, LockRefused
from tests.engine_rows import Rows
from tests.listening import listening
from tests.proxy import proxy_to
from tests.reliability.locking import KEY, MakeLocks, block, for_ever, grants, hold
from tests.waiting import eventually


class TestTaking:
    async def test_tokens_grow_over_the_life_of_a_key_also_after_releases(
        self, make_locks: MakeLocks
    ):
        first, second = make_locks(), make_locks()
        tokens = []
        for locks in (first, second, first):
            async with block(locks) as lock:
                tokens.append(lock.token)
        assert tokens == sorted(set(tokens))

    async def test_a_wait_that_is_over_is_a_refusal_too(self, make_locks: MakeLocks):
        holder, other = make_locks(), make_locks()
        with listening() as told:
            async with block(holder):
                with pytest.raises(LockBusyError) as refused:
                    async with block(other, wait=0.2):
                        pass
        held = told.of(LockAcquired)
        assert [event.key for event in held] == [KEY]
        assert timedelta(seconds=50) < refused.value.retry_after <= timedelta(seconds=60)
        [event] = told.of(LockRefused)
        assert event.wait_latency_ms >= 200

    async def test_two_locks_in_opposite_order_end_in_a_refusal(self, make_locks: MakeLocks):
        both = asyncio.Barrier(2)
        refused: list[str] = []

        async def take(first: str, second: str) -> None:
            locks = make_locks()
            async with block(locks, first):
                await both.wait()
                try:
                    async with block(locks, second, wait=1):
                        pass
                except LockBusyError as error:
                    refused.append(error.key)

        await asyncio.gather(take("a", "b"), take("b", "a"))
        assert refused
        async with block(make_locks(), "a", wait=5), block(make_locks(), "b", wait=5):
            pass

    async def test_a_lock_whose_answer_was_lost_is_given_back(
        self, database: str, make_locks: MakeLocks
    ):
        other = make_locks()
        async with proxy_to(database) as proxy:
            cut_off = make_locks(proxy.address)
            async with block(cut_off):  # which prepares the statement
                pass
            proxy.hold_answers()
            asking = asyncio.create_task(cut_off.acquire(cut_off.request(KEY, tenant="t")))
            await eventually(lambda: other.get(KEY, tenant="t"))
            proxy.cut()
            with pytest.raises((DatabaseUnavailableError, OSError, asyncpg.PostgresError)):
                await asking
            proxy.speak()
            async with block(other, wait=30):
                pass

    async def test_who_is_cancelled_while_he_asks_holds_nothing(
        self, database: str, make_locks: MakeLocks
    ):
        other = make_locks()
        async with proxy_to(database) as proxy:
            locks = make_locks(proxy.address)
            async with block(locks):  # which prepares the statement
                pass
            proxy.hold_answers()
            asking = asyncio.create_task(locks.acquire(locks.request(KEY, tenant="t")))
            await eventually(lambda: other.get(KEY, tenant="t"))
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            proxy.speak()
            async with block(other, wait=30):
                assert locks.held == 0


class TestWaiting:
    async def test_those_of_a_process_get_it_in_the_order_in_which_they_came(
        self, make_locks: MakeLocks
    ):
        holder, locks = make_locks(), make_locks()
        order: list[int] = []

        async def wait(number: int) -> None:
            async with block(locks, wait=30):
                order.append(number)

        async with block(holder):
            waiting = []
            for number in range(20):
                waiting.append(asyncio.create_task(wait(number)))
                await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        assert order == list(range(20))

    async def test_only_the_first_of_a_process_asks(self, make_locks: MakeLocks):
        asked: list[str] = []

        def note(sent: LoggedQuery) -> None:
            if "nextval" in sent.query:
                asked.append(sent.args[7])

        locks = make_locks(sent=note)
        async with block(make_locks()):
            waiting = [
                asyncio.create_task(
                    locks.acquire(locks.request(KEY, tenant="t", wait=30, reason=str(number)))
                )
                for number in range(50)
            ]
            await eventually(lambda: len(asked) >= 3)  # until it listens it polls
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        assert set(asked) == {"0"}

    async def test_who_gives_up_leaves_the_line_to_the_next(self, make_locks: MakeLocks):
        holder, locks = make_locks(), make_locks()
        async with block(holder):
            first = asyncio.create_task(locks.acquire(locks.request(KEY, tenant="t", wait=30)))
            second = asyncio.create_task(locks.acquire(locks.request(KEY, tenant="t", wait=30)))
            await asyncio.sleep(0)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
        await locks.release(await second)

    async def test_without_listen_it_is_polled_for(self, database: str, make_locks: MakeLocks):
        holder = make_locks()
        async with proxy_to(database, is_pooler=True) as proxy:
            locks = make_locks(proxy.address)
            async with block(holder):
                waiting = asyncio.create_task(
                    locks.acquire(locks.request(KEY, tenant="t", wait=30))
                )
                await asyncio.sleep(0)
            await locks.release(await waiting)
            await locks.close()

    async def test_who_waits_outlasts_a_database_that_is_away(
        self, database: str, make_locks: MakeLocks
    ):
        async with proxy_to(database) as proxy:
            locks = make_locks(proxy.address)
            async with block(make_locks()):
                waiting = asyncio.create_task(
                    locks.acquire(locks.request(KEY, tenant="t", wait=50))
                )
                await eventually(lambda: locks._hub().is_listening)
                proxy.refuse()
                proxy.cut()
                await eventually(lambda: not locks._hub().is_listening)
            proxy.accept()
            await locks.release(await waiting)
            await locks.close()

    async def test_a_lease_that_nobody_renews_goes_to_who_waits_at_its_end(
        self, make_locks: MakeLocks, lock_rows: Rows
    ):
        gone, locks = make_locks(), make_locks()
        await gone.acquire(gone.request(KEY, tenant="t", ttl=1))
        await gone.close()
        async with block(locks, wait=30):
            told = await grants(lock_rows)
        assert [change for change, _ in told] == ["granted", "expired", "granted"]


class TestDeadWorkers:
    async def test_the_lock_of_a_worker_that_is_lost_is_free(
        self, make_locks: MakeLocks, lock_rows: Rows
    ):
        dead, locks = make_locks(), make_locks()
        worker = await lock_rows.worker()
        await dead.acquire(dead.request(KEY, tenant="t", worker=worker, ttl=3_600))
        with pytest.raises(LockBusyError, match=f"worker {worker}"):
            async with block(locks):
                pass
        heard: list[str | None] = []
        hub = locks._hub()
        hub.listen("lock", f"t:{KEY}", heard.append)
        await eventually(lambda: hub.is_listening)
        await lock_rows.connection.execute(
            "update headrace.workers set lost_at = headrace.now() where id = $1", worker
        )
        assert await locks.cleanup_expired() == 1
        await eventually(lambda: heard[-1] == f"t:{KEY}")
        assert [change for change, _ in await grants(lock_rows)] == ["granted", "superseded"]
        assert await locks.get(KEY, tenant="t") is None

    async def test_it_can_be_taken_before_anybody_has_cleaned_up(
        self, make_locks: MakeLocks, lock_rows: Rows
    ):
        dead, locks = make_locks(), make_locks()
        worker = await lock_rows.worker()
        lease = await dead.acquire(dead.request(KEY, tenant="t", worker=worker))
        await lock_rows.connection.execute(
            "update headrace.workers set lost_at = headrace.now() where id = $1", worker
        )
        async with block(locks) as lock:
            assert lock.token > lease.token
            assert not await dead.release(lease)
            assert not lock.is_lost

    async def test_a_worker_that_is_lost_and_has_not_heard_of_it_gets_none(
        self, make_locks: MakeLocks, lock_rows: Rows
    ):
        dead, alive = make_locks(), make_locks()
        worker = await lock_rows.worker()
        await lock_rows.connection.execute(
            "update headrace.workers set lost_at = headrace.now() where id = $1", worker
        )
        with pytest.raises(LockBusyError):
            await dead.acquire(dead.request(KEY, tenant="t", worker=worker))
        await alive.release(await alive.acquire(alive.request(KEY, tenant="t")))
        with pytest.raises(LockBusyError):
            await dead.acquire(dead.request(KEY, tenant="t", worker=worker))

    async def test_a_worker_that_hears_that_it_was_lost_drops_what_it_held(
        self, make_locks: MakeLocks, lock_rows: Rows
    ):
        locks = make_locks()
        worker = await lock_rows.worker()
        lock = LockBlock(locks, locks.request(KEY, tenant="t", worker=worker))

        async def work(held: LockBlock) -> None:
            asyncio.get_running_loop().call_soon(locks.lose_all, worker)
            await for_ever(held)

        with pytest.raises(LockLostError):
            await hold(lock, work)


class TestEvidence:
    @pytest.mark.parametrize(
        "change",
        [
            "update headrace.lock_grants set at = headrace.now()",
            "delete from headrace.lock_grants",
        ],
    )
    async def test_how_grants_went_cannot_be_changed(
        self, make_locks: MakeLocks, lock_rows: Rows, change: str
    ):
        async with block(make_locks()):
            pass
        with pytest.raises(asyncpg.CheckViolationError, match="evidence"):
            await lock_rows.connection.execute(change)

    async def test_a_lock_that_an_operator_took_is_told_as_such(
        self, make_locks: MakeLocks, lock_rows: Rows
    ):
        locks = make_locks()

        async def work(_lock: LockBlock) -> None:
            held = await locks.force_release(KEY, tenant="t", actor="ann", reason="stuck")
            assert held is not None

        with pytest.raises(LockLostError):
            await hold(block(locks), work)
        row = await lock_rows.connection.fetchrow(
            "select actor, reason from headrace.lock_grants where change = 'forced'"
        )
        assert row is not None
        assert tuple(row) == ("ann", "stuck")
        assert await locks.force_release(KEY, tenant="t", actor="ann", reason="stuck") is None
