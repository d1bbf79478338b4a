"""POST /push: what a ring has done, and what the answer says."""

from __future__ import annotations

import asyncio

from headrace.telemetry.messaging_events import MessageSettled
from headrace.telemetry.worker_events import PipelineTooLong
from tests.listening import listening
from tests.push.conftest import MakeSite, Site
from tests.push.pipes import bake, copy, grind, shaky, slow, stone, walk
from tests.waiting import eventually


class TestRing:
    async def test_one_due_job_is_run_inside_the_request(self, site: Site) -> None:
        jobs = await site.app.submit_many(grind, [1, 2])
        assert (await site.ring()).status_code == 204
        states = sorted([(await job.status()).state for job in jobs])
        assert states == ["completed", "queued"]

    async def test_nothing_due_is_settled_too(self, site: Site) -> None:
        answer = await site.ring()
        assert (answer.status_code, answer.content) == (204, b"")

    async def test_a_ring_for_another_queue_is_settled_and_starts_nothing(self, site: Site) -> None:
        job = await site.app.submit(grind, 1)
        assert (await site.ring("mail")).status_code == 204
        assert (await job.status()).state == "queued"

    async def test_a_job_that_fails_is_settled(self, site: Site) -> None:
        job = await site.app.submit(grind, -1)
        assert (await site.ring()).status_code == 204
        assert (await job.status()).state == "failed"

    async def test_a_job_that_waits_for_another_try_is_settled(self, site: Site) -> None:
        job = await site.app.submit(shaky, 1)
        assert (await site.ring()).status_code == 204
        status = await job.status()
        assert (status.state, status.wait_reason) == ("queued", "retry")

    async def test_rings_of_the_server_run_all_jobs(self, make_site: MakeSite) -> None:
        site = await make_site(concurrency=2)
        await site.app.open()
        site.subscribe()
        jobs = await site.app.submit_many(grind, [1, 2, 3])
        for job in jobs:
            await job.result(timeout=20)
        await eventually(lambda: site.server.backlog("headrace-jobs-push-sub") == 0)
        assert set(site.statuses) <= {204, 503}

    async def test_the_end_of_a_child_and_a_signal_ring_for_who_waits(
        self, make_site: MakeSite
    ) -> None:
        site = await make_site(concurrency=2)
        await site.app.open()
        site.subscribe()
        job = await site.app.submit(bake, 2)

        async def is_asked_for() -> bool:
            return (await job.status()).wait_reason == "external"

        await eventually(is_asked_for, within=20)
        assert await job.send("per_kilo", 2)
        assert await job.result(timeout=20) == 320

    async def test_each_message_is_counted_once(self, site: Site) -> None:
        with listening() as told:
            await site.app.submit(grind, 1)
            for _ in range(2):
                await site.ring()
        settled = [(event.kind, event.outcome) for event in told.of(MessageSettled)]
        assert settled == [("doorbell", "rung")] * 2


class TestTwoAtOnce:
    async def test_the_same_message_twice_is_one_start(
        self, make_site: MakeSite, held: asyncio.Event
    ) -> None:
        """C4: two instances, one job."""
        sites = [await make_site(), await make_site()]
        job = await sites[0].app.submit(grind, 1)
        rings = [asyncio.create_task(site.ring()) for site in sites]
        done, _ = await asyncio.wait(rings, return_when=asyncio.FIRST_COMPLETED)
        assert [ring.result().status_code for ring in done] == [204]  # it found nothing
        held.set()
        assert [answer.status_code for answer in await asyncio.gather(*rings)] == [204, 204]
        assert stone.begun == ["mill"]
        assert await job.result() == 80

    async def test_more_requests_than_slots_are_sent_back(
        self, site: Site, held: asyncio.Event
    ) -> None:
        jobs = await site.app.submit_many(grind, [1, 2])
        ring = asyncio.create_task(site.ring())
        await eventually(lambda: stone.begun)
        with listening() as told:
            full = await site.ring()
        assert (full.status_code, full.headers["Retry-After"]) == (503, "5")
        assert [event.outcome for event in told.of(MessageSettled)] == ["returned"]
        held.set()
        assert (await ring).status_code == 204
        assert (await site.ring()).status_code == 204
        assert [await job.result() for job in jobs] == [80, 160]


class TestSlices:
    async def test_a_job_goes_on_with_the_next_request_and_no_attempt_is_used(
        self, make_site: MakeSite
    ) -> None:
        site = await make_site(slice_s=1.0)
        await site.app.open()
        job = await site.app.submit(walk, 1)
        for done in (["first"], ["first", "second"]):
            assert (await site.ring()).status_code == 204
            status = await job.status()
            assert (status.state, status.wait_reason) == ("queued", "slice")
            assert stone.begun == done
        assert (await site.ring()).status_code == 204
        assert await job.result() == 4
        assert (await job.status()).lease_losses == 0

    async def test_the_end_of_a_slice_rings_before_the_answer(self, make_site: MakeSite) -> None:
        site = await make_site(slice_s=1.0)
        await site.app.open()
        site.server.create_topic("headrace-jobs")
        job = await site.app.submit(walk, 1)
        await eventually(lambda: len(site.server.messages("headrace-jobs")) == 1)
        await site.ring()
        assert len(site.server.messages("headrace-jobs")) == 2
        assert (await job.status()).wait_reason == "slice"

    async def test_the_server_delivers_a_job_to_its_end(self, make_site: MakeSite) -> None:
        site = await make_site(slice_s=1.0)
        await site.app.open()
        site.subscribe()
        job = await site.app.submit(walk, 1)
        assert await job.result(timeout=20) == 4
        assert stone.begun == ["first", "second", "third"]

    async def test_a_resumable_step_is_cut_off_and_goes_on(
        self, make_site: MakeSite, held: asyncio.Event
    ) -> None:
        site = await make_site(slice_s=1.0)
        await site.app.open()
        job = await site.app.submit(copy, 3)
        assert (await site.ring()).status_code == 204
        assert (await job.status()).wait_reason == "slice"
        held.set()
        assert (await site.ring()).status_code == 204
        assert await job.result() == ["page 0", "page 1", "page 2"]
        assert stone.begun == ["page 0", "page 1", "page 2"]

    async def test_what_never_fits_is_left_to_others_and_reported(
        self, make_site: MakeSite
    ) -> None:
        site = await make_site()
        with listening() as told:
            await site.app.open()
            job = await site.app.submit(slow, 1)
            assert (await site.ring()).status_code == 204
        assert (await job.status()).state == "queued"
        [long] = told.of(PipelineTooLong)
        assert (long.pipeline, long.step, long.limit_s, long.slice_s) == ("slow", "think", 60, 10)


class TestEnd:
    async def test_a_job_is_handed_back_and_the_message_too(
        self, make_site: MakeSite, held: asyncio.Event
    ) -> None:
        """C6: no new work, released after the grace time, 503; the clock is tests/crash's."""
        site = await make_site(SHUTDOWN_GRACE_S="1")
        await site.app.open()
        job = await site.app.submit(grind, 1)
        ring = asyncio.create_task(site.ring())
        await eventually(lambda: stone.begun)
        site.desk.stop()
        assert (await site.ring()).status_code == 503
        assert (await ring).status_code == 503
        assert await site.working == 0
        assert not held.is_set()
        status = await job.status()
        assert (status.state, status.wait_reason) == ("queued", "released")
        assert (await site.client.get("/ready")).status_code == 503

    async def test_a_job_that_ends_in_time_is_settled(
        self, site: Site, held: asyncio.Event
    ) -> None:
        job = await site.app.submit(grind, 1)
        ring = asyncio.create_task(site.ring())
        await eventually(lambda: stone.begun)
        site.desk.stop()
        held.set()
        assert (await ring).status_code == 204
        assert await job.result() == 80

    async def test_when_nobody_waits_any_more_the_job_is_handed_back(
        self, site: Site, held: asyncio.Event
    ) -> None:
        job = await site.app.submit(grind, 1)
        ring = asyncio.create_task(site.ring())
        await eventually(lambda: stone.begun)
        ring.cancel()

        async def is_back() -> bool:
            return (await job.status()).wait_reason == "released"

        await eventually(is_back)
        held.set()

        async def is_done() -> bool:
            return (await site.ring()).status_code == 204  # its slot is free again

        await eventually(is_done)
        assert await job.result() == 80
