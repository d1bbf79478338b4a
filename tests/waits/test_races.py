"""What is decided once, whoever comes at the same time; and that nothing is missed then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from headrace.store.following import Follower, Place, read_next
from headrace.store.operations import take_queued
from headrace.store.signalling import Fate, send_signal
from headrace.store.sql import SQL
from tests.engine_rows import Rows
from tests.waiting import eventually

DAYS = 3 * 86_400.0


@pytest.fixture
async def rows(database: str) -> AsyncIterator[Rows]:
    rows = await Rows.open(database)
    yield rows
    await rows.close()


@pytest.fixture
async def other(database: str) -> AsyncIterator[Rows]:
    """Another connection to the same database."""
    rows = await Rows.open(database)
    yield rows
    await rows.close()


async def begin_to_wait(rows: Rows, job: UUID, run: int, token: int, for_s: float = DAYS) -> None:
    """A running job's step begins to wait for `answer`."""
    await rows.connection.execute(
        SQL["ledger.insert_waits"],
        [job], [run], ["decide"], [""], ["signal"], ["answer"], [for_s], [token],
    )  # fmt: skip


async def put_back(
    rows: Rows, job: UUID, for_s: float = DAYS, *, child: UUID | None = None
) -> None:
    """A running job is put back until its signal comes, or its child has ended."""
    await rows.connection.execute(
        SQL["ledger.release_jobs"],
        [job], [for_s], ["external"], [None], 1, timedelta(minutes=1),
        [None if child else "answer"], [str(child) if child else None],
    )  # fmt: skip


async def is_ready(rows: Rows, job: UUID) -> bool:
    ready: bool = await rows.connection.fetchval(
        "select ready from headrace.queued where job = $1", job
    )
    return ready


async def told(rows: Rows, job: UUID, place: Place) -> list[tuple[Place, str]]:
    """What a reader at a place is told of: places, and names of signals or states."""
    follower = Follower(job, "tenant", "owner", place)
    found = await read_next(rows.connection, [follower], most=100)
    return [(place.after(row), row["reason"]) for row in found.get(0, [])]


async def is_blocked(rows: Rows, other: Rows) -> bool:
    """Whether what `other` does waits for a lock."""
    blocked: bool = await rows.connection.fetchval(
        "select cardinality(pg_blocking_pids($1)) > 0", other.connection.get_server_pid()
    )
    return blocked


class TestASignalAndItsTime:
    async def test_a_value_that_was_first_is_in_time(self, rows: Rows, other: Rows) -> None:
        (claim,) = await rows.claimed()
        await begin_to_wait(rows, claim["id"], 1, claim["token"], for_s=-1.0)
        transaction = rows.connection.transaction()
        await transaction.start()
        assert (
            await send_signal(rows.connection, claim["id"], "answer", "1", sender="x") == "stored"
        )
        expire = SQL["claims.expire_signals"], [claim["id"]], [claim["token"]]
        assert not await other.connection.fetch(*expire)  # it waits for nobody
        await transaction.commit()
        assert not await other.connection.fetch(*expire)
        assert await rows.connection.fetchval("select expired from headrace.signals") is False

    async def test_time_that_was_over_first_is_over(self, rows: Rows, other: Rows) -> None:
        (claim,) = await rows.claimed()
        await begin_to_wait(rows, claim["id"], 1, claim["token"], for_s=-1.0)
        transaction = rows.connection.transaction()
        await transaction.start()
        await rows.connection.execute(SQL["claims.expire_signals"], [claim["id"]], [claim["token"]])
        sent = asyncio.create_task(
            send_signal(other.connection, claim["id"], "answer", "1", sender="x")
        )
        await eventually(lambda: is_blocked(rows, other))
        await transaction.commit()
        assert await sent is Fate.LATE
        assert await rows.count("signals") == 1


class TestASignalAndAJobThatIsPutBack:
    async def test_one_that_was_sent_first_is_found(self, rows: Rows) -> None:
        (claim,) = await rows.claimed()
        await begin_to_wait(rows, claim["id"], 1, claim["token"])
        assert (
            await send_signal(rows.connection, claim["id"], "answer", "1", sender="x") == "stored"
        )
        await put_back(rows, claim["id"])
        assert await is_ready(rows, claim["id"])

    async def test_one_that_is_sent_meanwhile_wakes_it(self, rows: Rows, other: Rows) -> None:
        (claim,) = await rows.claimed()
        await begin_to_wait(rows, claim["id"], 1, claim["token"])
        transaction = rows.connection.transaction()
        await transaction.start()
        await rows.connection.fetch(SQL["ledger.fence_jobs"], [claim["id"]], [claim["token"]])
        await put_back(rows, claim["id"])
        sent = asyncio.create_task(
            send_signal(other.connection, claim["id"], "answer", "1", sender="x")
        )
        await eventually(lambda: is_blocked(rows, other))
        await transaction.commit()
        assert await sent is Fate.STORED
        assert await is_ready(rows, claim["id"])

    async def test_one_that_no_step_waits_for_wakes_nobody(self, rows: Rows) -> None:
        (claim,) = await rows.claimed()
        await begin_to_wait(rows, claim["id"], 1, claim["token"])
        await put_back(rows, claim["id"])
        assert await send_signal(rows.connection, claim["id"], "else", "1", sender="x") == "stored"
        assert not await is_ready(rows, claim["id"])


class TestASignalAndAReader:
    async def test_one_that_was_begun_before_the_last_that_is_known_comes_after_it(
        self, rows: Rows, other: Rows
    ) -> None:
        (job,) = await rows.submit()
        async with other.connection.transaction():
            await other.connection.execute("select")  # the time of this transaction is set
            await send_signal(rows.connection, job, "one", "1", sender="x")
            assert await told(rows, job, Place(1)) == [(Place(1, 1), "one")]
            await send_signal(other.connection, job, "other", "1", sender="x")
            assert await told(rows, job, Place(1, 1)) == []
        assert await told(rows, job, Place(1, 1)) == [(Place(1, 2), "other")]

    async def test_one_that_waited_for_a_transition_comes_after_it(
        self, rows: Rows, other: Rows
    ) -> None:
        worker = await rows.worker()
        (job,) = await rows.submit()
        async with rows.connection.transaction():
            assert await rows.claim(worker)
            sent = asyncio.create_task(
                send_signal(other.connection, job, "answer", "1", sender="x")
            )
            await eventually(lambda: is_blocked(rows, other))
        assert await sent is Fate.STORED
        assert await told(rows, job, Place(1)) == [(Place(2), "claimed"), (Place(2, 1), "answer")]


class TestASignalAndACancel:
    async def test_a_cancel_that_is_given_up_leaves_the_job_woken(
        self, rows: Rows, other: Rows
    ) -> None:
        (claim,) = await rows.claimed()
        await begin_to_wait(rows, claim["id"], 1, claim["token"])
        await put_back(rows, claim["id"])
        transaction = rows.connection.transaction()
        await transaction.start()
        assert await take_queued(rows.connection, await rows.job(claim["id"]))
        sent = asyncio.create_task(
            send_signal(other.connection, claim["id"], "answer", "1", sender="x")
        )
        await eventually(lambda: is_blocked(rows, other))
        await transaction.rollback()
        assert await sent is Fate.STORED
        assert await is_ready(rows, claim["id"])

    async def test_a_cancel_that_was_first_leaves_nothing_stored(
        self, rows: Rows, other: Rows
    ) -> None:
        (claim,) = await rows.claimed()
        await begin_to_wait(rows, claim["id"], 1, claim["token"])
        await put_back(rows, claim["id"])
        transaction = rows.connection.transaction()
        await transaction.start()
        assert await take_queued(rows.connection, await rows.job(claim["id"]))
        await rows.connection.fetch(SQL["operations.cancel_queued"], claim["id"], "x", None)
        sent = asyncio.create_task(
            send_signal(other.connection, claim["id"], "answer", "1", sender="x")
        )
        await eventually(lambda: is_blocked(rows, other))
        await transaction.commit()
        assert await sent is Fate.ENDED
        assert await rows.count("signals") == 0


async def family(rows: Rows) -> tuple[UUID, UUID, int]:
    """A running parent that waits for a running child: their ids, and the child's token."""
    worker = await rows.worker()
    parent, child = await rows.claimed(2, worker=worker)
    await rows.connection.execute(
        "update headrace.jobs set parent_job = $2 where id = $1", child["id"], parent["id"]
    )
    assert await rows.value("children.bind_child", child["id"], parent["id"], 1, parent["token"])
    await rows.connection.execute(
        SQL["ledger.insert_waits"],
        [parent["id"]], [1], ["ask"], [""], ["child"], [str(child["id"])], [None],
        [parent["token"]],
    )  # fmt: skip
    return parent["id"], child["id"], child["token"]


async def end(rows: Rows, job: UUID) -> None:
    await rows.end({"id": job})  # type: ignore[arg-type]  # of the claim only the id counts


class TestAChildsEndAndItsParent:
    async def test_one_that_was_first_is_found(self, rows: Rows) -> None:
        parent, child, _ = await family(rows)
        await end(rows, child)
        await put_back(rows, parent, child=child)
        assert await is_ready(rows, parent)

    async def test_one_that_comes_later_wakes_it(self, rows: Rows) -> None:
        parent, child, _ = await family(rows)
        await put_back(rows, parent, child=child)
        assert not await is_ready(rows, parent)
        await end(rows, child)
        assert await is_ready(rows, parent)
        assert await rows.count("children") == 0

    async def test_one_that_is_under_way_is_not_waited_for(self, rows: Rows, other: Rows) -> None:
        parent, child, _ = await family(rows)
        transaction = other.connection.transaction()
        await transaction.start()
        await end(other, child)
        await put_back(rows, parent, child=child)
        assert await is_ready(rows, parent)
        await transaction.commit()

    async def test_one_that_comes_while_it_is_put_back_wakes_it(
        self, rows: Rows, other: Rows
    ) -> None:
        parent, child, _ = await family(rows)
        transaction = rows.connection.transaction()
        await transaction.start()
        await put_back(rows, parent, child=child)
        ended = asyncio.create_task(end(other, child))
        await eventually(lambda: is_blocked(rows, other))
        await transaction.commit()
        await ended
        assert await is_ready(rows, parent)
