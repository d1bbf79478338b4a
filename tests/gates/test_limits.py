"""Never more jobs run at once than a limit allows, and no slot stays taken."""

from __future__ import annotations

from tests.gates.database import GatedDatabase
from tests.proof.database import Change


class TestConcurrencyKey:
    async def test_jobs_of_a_key_run_one_at_a_time_unless_the_pipeline_says_more(
        self, gates: GatedDatabase
    ):
        await gates.add(5, key="a")
        worker = await gates.start_worker()
        assert len(await gates.pass_gates(worker)) == 1
        await gates.limit_pipeline(None, of_key=3)
        await gates.settle()
        assert len(await gates.pass_gates(worker)) == 2

    async def test_an_end_lets_the_first_of_the_queue_in(self, gates: GatedDatabase):
        await gates.add(key="a")
        worker = await gates.start_worker()
        held = await gates.pass_gates(worker)
        await gates.add(2, key="a")
        [urgent] = await gates.add(key="a", priority=9)
        assert await gates.pass_gates(worker) == []
        await gates.finish(worker, held, "1")
        [next_one] = await gates.pass_gates(worker, ended=[held[0].job])
        assert next_one.job == urgent

    async def test_a_job_that_waits_for_its_retry_holds_no_slot(self, gates: GatedDatabase):
        await gates.add(2, key="a")
        worker = await gates.start_worker()
        [held] = await gates.pass_gates(worker)
        await gates.change(Change(held, release=(30.0, "retry")))
        [other] = await gates.pass_gates(worker, ended=[held.job])
        assert other.job != held.job

    async def test_thousands_of_blocked_jobs_hide_nothing(self, gates: GatedDatabase):
        await gates.add(3_000, key="a")
        [free] = await gates.add(key="b", priority=0)
        worker = await gates.start_worker()
        held = await gates.pass_gates(worker) + await gates.pass_gates(worker)
        assert len(held) == 2
        assert free in {one.job for one in held}


class TestQueueLimit:
    async def test_no_more_run_than_the_limit_over_all_workers(self, gates: GatedDatabase):
        await gates.limit_queue(3)
        await gates.submit(10)
        one, two = await gates.start_worker(), await gates.start_worker()
        held = await gates.pass_gates(one, 2)
        assert len(held) == 2
        assert len(await gates.pass_gates(two)) == 1
        await gates.finish(one, held, "1")
        assert len(await gates.pass_gates(two, ended=[])) == 2

    async def test_a_plain_claim_takes_nothing_of_a_limited_queue(self, gates: GatedDatabase):
        await gates.submit(2)
        await gates.limit_queue(1)
        worker = await gates.start_worker()
        assert await gates.claim(worker) == []

    async def test_what_runs_when_a_limit_is_set_counts(self, gates: GatedDatabase):
        await gates.submit(5)
        worker = await gates.start_worker()
        held = await gates.claim(worker, 2)
        assert await gates.limit_queue(3) is None
        assert len(await gates.pass_gates(worker)) == 1
        await gates.finish(worker, held, "1")
        assert len(await gates.pass_gates(worker, ended=[one.job for one in held])) == 2

    async def test_without_a_limit_plain_claims_go_on(self, gates: GatedDatabase):
        await gates.submit(5)
        await gates.limit_queue(2)
        worker = await gates.start_worker()
        assert len(await gates.pass_gates(worker)) == 2
        assert await gates.limit_queue(None) == 2
        assert len(await gates.claim(worker)) == 3

    async def test_a_lane_that_is_new_in_a_limited_queue_is_limited(self, gates: GatedDatabase):
        await gates.limit_queue(1)
        lane = await gates.lane_of("default", pipeline="other")
        assert await gates.connection.fetchval(
            "select limited from headrace.lanes where id = $1", lane
        )


class TestPipelineLimit:
    async def test_it_counts_the_jobs_of_all_its_lanes(self, gates: GatedDatabase):
        await gates.limit_pipeline(3)
        await gates.submit(4)
        await gates.add(4, order=None, key=None)
        worker = await gates.start_worker()
        assert len(await gates.pass_gates(worker)) == 3


class TestTenantLimit:
    async def test_a_tenant_gets_no_more_than_its_limit_and_others_all(self, gates: GatedDatabase):
        await gates.limit_tenant("small", 2)
        await gates.add(6, tenant="small", lane=gates.lane)
        await gates.add(3, tenant="large", lane=gates.lane)
        worker = await gates.start_worker()
        assert len(await gates.claim(worker)) == 3
        held = await gates.pass_gates(worker)
        assert len(held) == 2
        await gates.finish(worker, held[:1], "1")
        assert len(await gates.pass_gates(worker, ended=[held[0].job])) == 1

    async def test_a_tenant_without_its_limit_goes_on(self, gates: GatedDatabase):
        await gates.limit_tenant("small", 1)
        await gates.add(4, tenant="small", lane=gates.lane)
        worker = await gates.start_worker()
        assert len(await gates.pass_gates(worker)) == 1
        assert await gates.limit_tenant("small", None) == 1
        assert len(await gates.claim(worker)) == 3


class TestCrash:
    async def test_slots_of_a_dead_worker_are_free_when_its_jobs_are_recovered(
        self, gates: GatedDatabase
    ):
        await gates.limit_queue(1)
        await gates.submit(2)
        dead = await gates.start_worker()
        [held] = await gates.pass_gates(dead)
        await gates.shift(31)
        alive = await gates.start_worker()
        await gates.lose_workers()
        assert await gates.pass_gates(alive) == []
        await gates.recover(held.token, alive)
        [again] = await gates.pass_gates(alive)
        assert again.job == held.job

    async def test_the_sweep_lets_in_whom_a_dead_worker_should_have(self, gates: GatedDatabase):
        await gates.add(2, key="a")
        worker = await gates.start_worker()
        held = await gates.pass_gates(worker)
        await gates.finish(worker, held, "1")
        assert await gates.pass_gates(worker) == []  # nobody has said that the first has ended
        await gates.settle()
        assert len(await gates.pass_gates(worker)) == 1
