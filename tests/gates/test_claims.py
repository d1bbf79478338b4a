"""The gated claim lets in whom every gate has room for, in order, and nobody else."""

from __future__ import annotations

from tests.gates.database import GatedDatabase
from tests.proof.database import Change


class TestOrderingKey:
    async def test_jobs_of_a_key_run_one_at_a_time_in_the_order_of_acceptance(
        self, gates: GatedDatabase
    ):
        first, second, third = await gates.add(3, order="a")
        worker = await gates.start_worker()
        started = []
        ended: list = []
        for _ in range(3):
            held = await gates.pass_gates(worker, ended=ended)
            assert await gates.pass_gates(worker) == []
            started += [one.job for one in held]
            await gates.finish(worker, held, "1")
            ended = [one.job for one in held]
        assert started == [first, second, third]

    async def test_a_later_job_with_a_higher_priority_does_not_overtake(self, gates: GatedDatabase):
        [first] = await gates.add(order="a", priority=1)
        await gates.add(order="a", priority=9)
        worker = await gates.start_worker()
        assert [one.job for one in await gates.pass_gates(worker)] == [first]

    async def test_keys_do_not_wait_for_each_other_nor_tenants(self, gates: GatedDatabase):
        jobs = await gates.add(order="a") + await gates.add(order="b")
        jobs += await gates.add(order="a", tenant="other")
        worker = await gates.start_worker()
        assert {one.job for one in await gates.pass_gates(worker)} == set(jobs)

    async def test_a_head_that_waits_for_its_retry_holds_the_key(self, gates: GatedDatabase):
        [first] = await gates.add(order="a")
        [second] = await gates.add(order="a")
        worker = await gates.start_worker()
        [held] = await gates.pass_gates(worker)
        await gates.change(Change(held, release=(30.0, "retry")))
        assert await gates.pass_gates(worker, ended=[first]) == []
        await gates.shift(31)
        await gates.run("claims.promote_due", 100)
        [held] = await gates.pass_gates(worker)
        assert held.job == first
        await gates.finish(worker, [held], "1")
        assert [one.job for one in await gates.pass_gates(worker, ended=[first])] == [second]

    async def test_a_head_that_is_not_due_yet_holds_the_key(self, gates: GatedDatabase):
        await gates.add(order="a", wait_s=60)
        await gates.add(order="a")
        worker = await gates.start_worker()
        assert await gates.pass_gates(worker) == []

    async def test_a_cancelled_head_lets_the_next_in(self, gates: GatedDatabase):
        [first] = await gates.add(order="a", wait_s=60)
        [second] = await gates.add(order="a")
        worker = await gates.start_worker()
        assert await gates.pass_gates(worker) == []
        assert await gates.cancel(first) == "cancelled"
        await gates.settle(first)
        assert [one.job for one in await gates.pass_gates(worker)] == [second]
