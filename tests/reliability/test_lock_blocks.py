"""A block ends when its lock is lost, and leaves other cancels alone."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest

from headrace.errors import LockLostError
from headrace.reliability.lock_blocks import LockBlock
from headrace.store.elapsed import clock_s
from headrace.telemetry.lock_events import LockLost
from tests.engine_rows import Rows
from tests.listening import listening
from tests.proxy import proxy_to
from tests.reliability.locking import (
    KEY,
    MakeLocks,
    block,
    for_ever,
    force,
    grants,
    hold,
    taken_away,
)
from tests.waiting import eventually


class TestLosing:
    async def test_a_lock_that_is_kept_is_renewed(self, make_locks: MakeLocks, lock_rows: Rows):
        locks = make_locks()
        async with block(locks, ttl=1) as lock:
            first = lock.expires_at

            async def is_renewed() -> bool:
                held = await locks.get(KEY, tenant="t")
                return held is not None and held.expires_at > first + timedelta(seconds=1)

            await eventually(is_renewed)
            assert not lock.is_lost
        assert [change for change, _ in await grants(lock_rows)] == ["granted", "released"]

    async def test_a_block_ends_when_the_database_is_away_for_too_long(
        self, database: str, make_locks: MakeLocks
    ):
        async with proxy_to(database) as proxy:
            locks = make_locks(proxy.address)

            async def work(lock: LockBlock) -> None:
                proxy.fall_silent()
                await for_ever(lock)

            with listening() as told, pytest.raises(LockLostError):
                await hold(block(locks, ttl=1), work)
            [event] = told.of(LockLost)
            assert event.cause == "not_renewed"
            proxy.speak()
            proxy.cut()
            await locks.close()

    async def test_here_a_lease_ends_before_it_does_in_the_database(self, make_locks: MakeLocks):
        locks = make_locks()
        sent_s = clock_s()
        lease = await locks.acquire(locks.request(KEY, tenant="t", ttl=60))
        asked_within_s = clock_s() - sent_s
        assert lease.until_s - sent_s < 60 - 5 + asked_within_s
        await locks.release(lease)

    async def test_a_block_that_kept_the_loop_for_longer_than_its_lease_is_told_at_its_end(
        self, make_locks: MakeLocks
    ):
        locks = make_locks()

        async def block_the_loop(lock: LockBlock) -> None:
            while not lock.is_lost:
                pass

        with pytest.raises(LockLostError):
            await hold(block(locks, ttl=1), block_the_loop)

    async def test_a_lost_inner_lock_leaves_the_outer_block_alone(self, make_locks: MakeLocks):
        locks = make_locks()
        async with block(locks, "outer", ttl=1) as outer:
            with pytest.raises(LockLostError, match="inner"):
                await hold(block(locks, "inner", ttl=1), taken_away)
            await asyncio.sleep(0)
            assert not outer.is_lost

    async def test_a_lost_outer_lock_ends_the_inner_block_too(self, make_locks: MakeLocks):
        locks = make_locks()

        async def work(outer: LockBlock) -> None:
            async with block(locks, "inner"):
                await taken_away(outer)

        with pytest.raises(LockLostError, match="outer"):
            await hold(block(locks, "outer", ttl=1), work)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        assert locks.held == 0

    async def test_a_cancel_by_others_stays_one_although_the_lock_is_lost_as_well(
        self, make_locks: MakeLocks
    ):
        locks = make_locks()
        began = asyncio.Event()

        async def hold() -> None:
            async with block(locks, ttl=1) as lock:
                began.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    while not lock.is_lost:
                        with contextlib.suppress(asyncio.CancelledError):
                            await asyncio.sleep(0.01)

        holding = asyncio.create_task(hold())
        await began.wait()
        holding.cancel()
        await force(locks, KEY)
        with pytest.raises(asyncio.CancelledError):
            await holding

    async def test_a_block_that_swallows_the_cancel_is_told_at_its_end(self, make_locks: MakeLocks):
        locks = make_locks()

        async def swallow(lock: LockBlock) -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await taken_away(lock)

        with pytest.raises(LockLostError):
            await hold(block(locks, ttl=1), swallow)
        await asyncio.sleep(0)

    async def test_a_lease_that_is_over_cannot_be_extended(
        self, make_locks: MakeLocks, lock_rows: Rows
    ):
        locks = make_locks()

        async def work(lock: LockBlock) -> None:
            before = lock.expires_at
            assert await lock.extend(timedelta(minutes=5)) - before == timedelta(minutes=5)
            await lock_rows.wait(timedelta(minutes=7))
            await lock.extend(10)

        with pytest.raises(LockLostError):
            await hold(block(locks), work)
