"""Tenants take turns, however many jobs each of them has."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import timedelta
from typing import Final
from uuid import UUID

import pytest

from headrace.store.sql import SQL
from headrace.worker.picking import Picker
from headrace.worker.turns import MOST, WINDOW, Turns
from tests.engine_rows import Rows

HOUR: Final = timedelta(hours=1)
FIRST, SECOND, THIRD = "first", "second", "third"


@pytest.fixture
async def rows(database: str) -> AsyncIterator[Rows]:
    rows = await Rows.open(database)
    yield rows
    await rows.close()


class Claiming:
    """A worker that claims, and the tenants whose jobs it got."""

    def __init__(self, rows: Rows, picker: Picker) -> None:
        self.rows, self.picker, self.lanes = rows, picker, [rows.lane]

    async def claim(self, most: int) -> list[str]:
        """One claim."""
        return [row["tenant"] for row in await self.picker.pick(self.lanes, [], most)]

    async def claim_one_by_one(self, times: int) -> list[str]:
        """As many claims of one job."""
        return [tenant for _ in range(times) for tenant in await self.claim(1)]

    async def claim_all(self, most: int) -> list[list[str]]:
        """Claim until nothing comes."""
        taken: list[int] = []
        while got := await self.claim(most):
            taken.append(got)
        return taken


@pytest.fixture
async def claiming(rows: Rows) -> Callable[[], Claiming]:
    worker = await rows.worker()
    claim = await rows.connection.prepare(SQL["claims.claim_jobs"])

    def start() -> Claiming:
        return Claiming(rows, Picker(worker, rows.connection, claim, suspects=False))

    return start


Start = Callable[[], Claiming]


class TestTurns:
    async def test_every_other_job_is_the_small_tenants_while_it_has_any(
        self, rows: Rows, claiming: Start
    ):
        await rows.submit(200, tenant=FIRST)
        await rows.submit(5, tenant=SECOND)
        taken = await claiming().claim_one_by_one(20)
        assert Counter(taken[:10]) == {FIRST: 5, SECOND: 5}
        assert Counter(taken[10:]) == {FIRST: 10}

    async def test_a_claim_of_many_is_divided(self, rows: Rows, claiming: Start):
        await rows.submit(200, tenant=FIRST)
        await rows.submit(80, tenant=SECOND)
        await rows.submit(120, tenant=THIRD)
        assert Counter(await claiming().claim(30)) == {FIRST: 10, SECOND: 10, THIRD: 10}

    async def test_what_small_tenants_leave_goes_to_the_others(self, rows: Rows, claiming: Start):
        await rows.submit(100, tenant=FIRST)
        await rows.submit(2, tenant=SECOND)
        await rows.submit(11, tenant=THIRD)
        taken = await claiming().claim_all(30)
        assert Counter(tenant for claim in taken for tenant in claim) == {
            FIRST: 100,
            SECOND: 2,
            THIRD: 11,
        }
        assert {SECOND, THIRD} & {tenant for claim in taken[2:] for tenant in claim} == set()

    async def test_a_tenant_that_comes_later_is_found_while_others_fill_every_claim(
        self, rows: Rows, claiming: Start
    ):
        worker = claiming()
        await rows.submit(1000, tenant=FIRST)
        assert await worker.claim_one_by_one(3) == [FIRST] * 3
        await rows.submit(3, tenant=SECOND)
        for _ in range(900):
            if await worker.claim(1) == [SECOND]:
                break
        assert Counter(await worker.claim_one_by_one(4)) == {FIRST: 2, SECOND: 2}

    async def test_with_more_tenants_than_slots_each_is_served_once_before_any_twice(
        self, rows: Rows, claiming: Start
    ):
        names = [f"tenant {number}" for number in range(10)]
        for name in names:
            await rows.submit(5, tenant=name)
        worker = claiming()
        taken = [tenant for _ in range(4) for tenant in await worker.claim(5)]
        assert Counter(taken) == dict.fromkeys(names, 2)
        assert len(set(taken[:10])) == 10

    async def test_workers_that_live_for_one_job_do_not_all_begin_with_the_same_tenant(
        self, rows: Rows, claiming: Start
    ):
        for name in (FIRST, SECOND, THIRD):
            await rows.submit(60, tenant=name)
        taken = {tenant for _ in range(60) for tenant in await claiming().claim(1)}
        assert taken == {FIRST, SECOND, THIRD}  # else by luck: once in 10^10 times


class TestWithinATenant:
    async def test_the_order_is_that_of_priority_over_all_lanes(self, rows: Rows, claiming: Start):
        other = await rows.value("submit.add_lane", "default", "other", "1.0.0")
        jobs = {
            name: [
                *await rows.submit(tenant=name, priority=1),
                *await rows.submit(tenant=name, priority=5, lane=other),
                *await rows.submit(tenant=name, priority=9),
            ]
            for name in (FIRST, SECOND)
        }
        worker = claiming()
        worker.lanes = [rows.lane, other]
        taken: dict[str, list[UUID]] = {FIRST: [], SECOND: []}
        for _ in range(6):
            for row in await worker.picker.pick(worker.lanes, [], 1):
                taken[row["tenant"]].append(row["id"])
        assert taken == {name: ids[::-1] for name, ids in jobs.items()}

    async def test_a_batch_takes_the_first_of_all_lanes(self, rows: Rows, claiming: Start):
        other = await rows.value("submit.add_lane", "default", "other", "1.0.0")
        late = await rows.submit(5, tenant=FIRST, priority=1)
        soon = await rows.submit(3, tenant=FIRST, priority=9, lane=other)
        await rows.submit(100, tenant=SECOND)
        worker = claiming()
        rows_taken = await worker.picker.pick([rows.lane, other], [], 10)
        taken = {row["id"] for row in rows_taken if row["tenant"] == FIRST}
        assert taken == {*soon, *late[:2]}


class TestWhatCannotBeClaimed:
    async def test_a_paused_queue_is_nobodys_turn(self, rows: Rows, claiming: Start):
        paused = await rows.value("submit.add_lane", "paused", "pipe", "1.0.0")
        await rows.value("operations.pause_queue", "paused", "test", "why not")
        for number in range(100):
            await rows.submit(tenant=f"tenant {number}", lane=paused)
        await rows.submit(tenant=FIRST)
        worker = claiming()
        worker.lanes = [rows.lane, paused]
        assert await worker.claim_all(1) == [[FIRST]]

    async def test_nor_are_jobs_whose_deadline_is_over(self, rows: Rows, claiming: Start):
        over = await rows.connection.fetchval("select headrace.now() - interval '1 s'")
        for number in range(100):
            await rows.submit(tenant=f"tenant {number}", deadline=over)
        await rows.submit(tenant=FIRST)
        assert await claiming().claim_all(1) == [[FIRST]]

    async def test_jobs_of_an_earlier_version_have_a_turn_of_their_own(
        self, rows: Rows, claiming: Start
    ):
        await rows.submit(20, tenant=FIRST)
        await rows.connection.execute("update headrace.queued set share = default")
        await rows.submit(2, tenant=SECOND)
        assert Counter(await claiming().claim(4)) == {FIRST: 2, SECOND: 2}


class TestStatements:
    async def test_an_idle_worker_claims_from_the_tenant_that_it_served_last_without_a_look(
        self, rows: Rows, claiming: Start
    ):
        worker = claiming()
        await rows.submit(1, tenant=FIRST)
        assert await worker.claim_all(10) == [[FIRST]]
        await rows.submit(1, tenant=FIRST)
        asked: list[str] = []
        with rows.connection.query_logger(lambda record: asked.append(record.query)):
            assert await worker.claim(10) == [FIRST]
        assert not [query for query in asked if "recursive" in query]

    async def test_a_job_of_another_is_found_by_the_same_ring(self, rows: Rows, claiming: Start):
        worker = claiming()
        await rows.submit(1, tenant=FIRST)
        assert await worker.claim_all(10) == [[FIRST]]
        await rows.submit(1, tenant=SECOND)
        assert await worker.claim(10) == [SECOND]


class Ring:
    """Jobs by lane and share, and what the two statements answer."""

    def __init__(self, pairs: Iterable[tuple[int, int]]) -> None:
        self.jobs = Counter(pairs)
        self.of_lane = {
            lane: sorted({share for of, share in self.jobs if of == lane})
            for lane in sorted({lane for lane, _ in self.jobs})
        }

    def look(self, turns: Turns) -> None:
        """As `claims.find_shares`."""
        found = False
        while not found:
            rows = [
                (lane, share)
                for lane, shares in self.of_lane.items()
                for share in shares[bisect_right(shares, turns.after) :][:WINDOW]
            ]
            found = turns.found(rows, now=0)

    def claim(self, turns: Turns, most: int) -> list[int]:
        """The shares of the jobs that a claim brings, after a look where nothing is known."""
        if not turns.has_found:
            self.look(turns)
        taken: list[int] = []
        while turns.has_found and not taken:
            turn = turns.turn(most, list(self.of_lane))
            left = Counter(dict.fromkeys(turn.order, turn.quota))
            for lane, share in zip(turn.lanes, turn.shares, strict=True):
                got = self._take(lane, share, min(left[share], most - len(taken)))
                left[share] -= got
                taken += [share] * got
            turns.took(turn, taken, most)
        return taken

    def _take(self, lane: int, share: int, most: int) -> int:
        got = min(self.jobs[lane, share], most)
        self.jobs[lane, share] -= got
        if got and not self.jobs[lane, share]:
            self.of_lane[lane].remove(share)
        return got


class TestManyTenants:
    """More than one look finds."""

    @pytest.mark.parametrize("most", [1, 7, MOST])
    @pytest.mark.parametrize("lanes", [1, 3])
    def test_each_is_served_before_any_is_served_again(self, most: int, lanes: int) -> None:
        shares = list(range(5, 1 << 15, 40))
        pairs = [(place % lanes, share) for place, share in enumerate(shares) for _ in range(3)]
        ring, turns = Ring(pairs), Turns()
        taken: list[int] = []
        while got := ring.claim(turns, most):
            taken += got
        rounds = [taken[at : at + len(shares)] for at in range(0, len(taken), len(shares))]
        assert [sorted(one) for one in rounds] == [shares] * 3

    def test_a_full_lane_does_not_hide_what_lies_behind_what_another_shows(self) -> None:
        crowd = [(1, share) for share in range(2 * WINDOW)]
        ring, turns = Ring([*crowd, *crowd, (2, 2 * WINDOW + 1), (2, 2 * WINDOW + 1)]), Turns()
        first = [share for _ in range(2 * WINDOW + 1) for share in ring.claim(turns, 1)]
        assert sorted(first) == [*range(2 * WINDOW), 2 * WINDOW + 1]
