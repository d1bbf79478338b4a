"""A worker dies at each write of an order's life, before and after its commit; another one goes on.

However the order ends, the books are right: what was charged, sent and taken from the store, and
what of it was undone, is what its end says, once.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

import pytest
from bank import Bank
from shop import Approval, Order, Receipt, orders, reports, shipping

from headrace import JobHandle, JobState
from headrace.errors import ConflictError
from headrace.testing import Engine
from tests.documents.write_points import WritePoints, die, spared
from tests.proof.checker import check
from tests.proof.evidence import Evidence, Expectations, collect
from tests.waiting import eventually

Outcome: TypeAlias = Literal["approved", "refused", "cancelled"]

TABLES: Final = (
    *(f"headrace.{name}" for name in (
        "job_events", "steps", "records", "tries", "signals", "waits", "children",
    )),
    *(f"shop.{name}" for name in ("stock", "mails", "parcels", "sales")),
)  # fmt: skip
ORDER: Final = Order("Ada", "flour", 2, 640)
UNDO_JOBS: Final = """
    select job.id, job.undo_of, job.state, lane.pipeline
    from headrace.jobs as job join headrace.lanes as lane on lane.id = job.lane
    where job.undo_of is not null
"""
DRIVE: Final = timedelta(hours=1)
WRITES: Final[dict[Outcome, int]] = {"approved": 21, "refused": 12, "cancelled": 21}
SPARE: Final = 5
"""Writes that a busy machine may make together with others."""
REPRESENTATIVE: Final[list[tuple[Outcome, int, bool]]] = [
    ("approved", 9, True),
    ("refused", 10, False),
    ("cancelled", 14, True),
    ("cancelled", 18, False),
]
ALL: Final[list[tuple[Outcome, int, bool]]] = [
    (outcome, nth, commit)
    for outcome, most in WRITES.items()
    for nth in range(1, most + 1)
    for commit in (False, True)
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "death" in metafunc.fixturenames:
        is_full = metafunc.config.getoption("--every-write-point", default=False)
        points = ALL if is_full else REPRESENTATIVE
        names = [
            f"{outcome} {nth} {'stored' if commit else 'undone'}" for outcome, nth, commit in points
        ]
        metafunc.parametrize("death", points, ids=names)


class World:
    """Those outside: the clerk who answers, the customer who may cancel, and time.

    What they do they do again until it is done, as people who do not hear an answer.
    """

    def __init__(self, engine: Engine, outcome: Outcome) -> None:
        self._engine, self._outcome = engine, outcome
        self._app = engine.app_with([orders, shipping, reports], database=spared(engine.database))
        self.job: JobHandle[Receipt]

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Submit the order, and do what is to be done inside the block."""
        async with self._app:
            self.job = await self._app.submit(orders, ORDER)
            task = asyncio.create_task(self._go_on())
            try:
                yield
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _go_on(self) -> None:
        while not await self.is_over():
            for job in await self._engine.jobs(state=JobState.QUEUED):
                if job.wait_reason == "external":
                    with contextlib.suppress(ConflictError):
                        await self.job.send(
                            "approval", Approval(self._outcome != "refused", by="the clerk")
                        )
                elif job.wait_reason == "delay" and self._outcome == "cancelled":
                    with contextlib.suppress(ConflictError):
                        await self.job.cancel("not wanted any more")
                elif job.wait_reason == "delay":
                    await self._engine.move_clock(DRIVE)
            await asyncio.sleep(0.02)

    async def is_over(self) -> bool:
        """Whether every job has ended."""
        return all(JobState(job.state).is_final for job in await self._engine.jobs())


class Books:
    """What is written down of the order, by the shop, the bank and the engine."""

    def __init__(self, engine: Engine, bank: Bank, job: JobHandle[Receipt]) -> None:
        self._engine, self._bank, self._job = engine, bank, UUID(job.id)

    async def check(self, outcome: Outcome) -> None:
        """See that all of it is as the end says."""
        if outcome == "approved":
            await self._check_sold()
        else:
            await self._check_undone(outcome)
        assert await self._column("select expired from headrace.signals") == [False]
        assert await self._column("select child from headrace.children") == []

    async def _check_sold(self) -> None:
        assert self._money() == (ORDER.cents, 0)
        assert await self._column("select pieces from shop.stock where item = 'flour'") == [98]
        assert await self._column("select state from shop.parcels") == ["delivered"]
        assert await self._column("select cents from shop.sales") == [ORDER.cents]
        assert await self._column("select recipient from shop.mails order by 1") == ["Ada", "clerk"]
        assert await self._undone() == {}

    async def _check_undone(self, outcome: Outcome) -> None:
        is_shipped = outcome == "cancelled"
        assert self._money() == (ORDER.cents, ORDER.cents)
        assert await self._column("select distinct pieces from shop.stock") == [100]
        assert await self._column("select state from shop.parcels") == ["returned"] * is_shipped
        assert await self._column("select cents from shop.sales") == []
        assert await self._column("select recipient from shop.mails") == ["clerk"]
        own = ["payment.undo", "reserve.undo"]
        assert await self._undone() == (
            {"order": ["decide.undo", *own], "shipping": ["pack.undo"]}
            if is_shipped
            else {"order": own}
        )

    def _money(self) -> tuple[int, int]:
        [payment] = self._bank.payments.values()
        return payment.charged, payment.refunded

    async def _undone(self) -> dict[str, list[str]]:
        """The steps of undo jobs, by the pipeline; each job has one undo job at most."""
        async with self._engine.connection() as connection:
            rows = await connection.fetch(UNDO_JOBS)
        assert len({row["undo_of"] for row in rows}) == len(rows)
        assert {row["state"] for row in rows} <= {JobState.COMPLETED}
        return {
            row["pipeline"]: [step.step for step in await self._engine.steps(row["id"])]
            for row in rows
        }

    async def _column(self, query: str) -> list[Any]:
        async with self._engine.connection() as connection:
            return [row[0] for row in await connection.fetch(query)]


async def evidence_of(engine: Engine) -> Evidence:
    async with engine.connection() as connection:
        return await collect(connection, Expectations(drained=True, settled=True))


def nothing_is_held(engine: Engine) -> Callable[[], Awaitable[bool]]:
    """Whether the claims of the dead are cleared away, too."""

    async def look() -> bool:
        async with engine.connection() as connection:
            return not await connection.fetchval("select count(*) from headrace.claims")

    return look


class TestDeathAtAWrite:
    async def test_the_books_are_right_whatever_the_end(
        self, engine: Engine, bank: Bank, death: tuple[Outcome, int, bool]
    ):
        outcome, nth, commit = death
        points, world = WritePoints(engine), World(engine, outcome)
        await points.install(TABLES)
        async with points.armed(nth), world.going_on():
            async with engine.spawn("shop:app") as process:
                died = await die(engine, points, process, commit=commit)
            async with engine.worker():
                await eventually(world.is_over, within=30)
                await eventually(nothing_is_held(engine), within=30)

        assert died or nth > WRITES[outcome] - SPARE, "it has fewer writes"
        end = JobState.COMPLETED if outcome == "approved" else JobState.CANCELLED
        assert (await engine.job(world.job)).state == end
        await Books(engine, bank, world.job).check(outcome)
        assert check(await evidence_of(engine)) == []


class TestThePoints:
    @pytest.mark.parametrize("outcome", WRITES)
    async def test_the_list_has_all_writes_of_an_order(
        self, engine: Engine, bank: Bank, outcome: Outcome
    ):
        points, world = WritePoints(engine), World(engine, outcome)
        await points.install(TABLES)
        async with points.armed(0), world.going_on(), engine.worker():
            await eventually(world.is_over, within=30)
            count = await points.count()
        await Books(engine, bank, world.job).check(outcome)
        assert WRITES[outcome] - SPARE < count <= WRITES[outcome]


class TestACancelledOrder:
    async def test_calls_back_a_parcel_of_whose_arrival_it_never_heard(
        self, engine: Engine, bank: Bank
    ):
        async with engine.worker():
            job = await engine.submit(orders, ORDER)
            await job.send("approval", Approval(granted=True, by="the clerk"))
            await eventually(lambda: waits_for(engine, "delay"))
        await engine.move_clock(DRIVE)
        async with engine.app_with([shipping]) as carrier, engine.worker(app=carrier):
            await eventually(lambda: is_delivered(engine))
        await job.cancel("not wanted any more")
        await engine.run_until_empty(30)
        assert bank.paid(ORDER.customer) == 0
        async with engine.connection() as connection:
            parcels = await connection.fetch("select state from shop.parcels")
            stock = await connection.fetchval("select min(pieces) from shop.stock")
        assert [row["state"] for row in parcels] == ["returned"]
        assert stock == 100


async def waits_for(engine: Engine, reason: str) -> bool:
    return any(job.wait_reason == reason for job in await engine.jobs(state=JobState.QUEUED))


async def is_delivered(engine: Engine) -> bool:
    return bool(await engine.jobs(pipeline="shipping", state=JobState.COMPLETED))
