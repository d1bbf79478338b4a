"""Operators take jobs away from workers, end them, and empty queues."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from tests.waiting import eventually
from tests.web.administering import NOBODY, WHY, actor, audited, call, serve_operators
from tests.web.pipes import double, hold
from tests.web.serving import Api


@pytest.fixture
async def api(database_server: str) -> AsyncIterator[Api]:
    """The API with its routes for operators."""
    async with serve_operators(database_server) as running:
        yield running


class TestForcing:
    async def test_a_running_job_is_taken_from_its_worker(self, api: Api):
        job = (await api.engine.submit(hold, 1)).id
        await call(api, "POST", f"/jobs/{job}/force-release", 409)
        async with api.engine.worker():
            await eventually(lambda: is_running(api, job))
            await call(api, "POST", "/queues/default/pause")
            answer = await call(api, "POST", f"/jobs/{job}/force-release")
            assert answer["state"] == "queued"
            shown = await api.engine.job(job)
            assert (shown.state, shown.wait_reason) == ("queued", "released")
            await call(api, "POST", "/queues/default/resume")
            await eventually(lambda: is_running(api, job))
        events = await api.engine.events(job)
        assert [event.to_state for event in events[:4]] == [
            "queued", "running", "queued", "running",
        ]  # fmt: skip
        assert (events[2].reason, events[2].actor) == ("released", await actor(api))
        await call(api, "POST", f"/jobs/{NOBODY}/force-release", 404)
        assert ("job.force-release", job) in await audited(api)

    async def test_what_its_worker_still_writes_is_refused(self, api: Api):
        job = (await api.engine.submit(hold, 1)).id
        async with api.engine.worker():
            await eventually(lambda: is_running(api, job))
            assert (await call(api, "POST", f"/jobs/{job}/fail"))["state"] == "failed"
        shown = await api.engine.job(job)  # the worker ended, and would have handed it back
        assert (shown.state, shown.cause) == ("failed", "operator")

    async def test_a_queued_job_fails_and_is_a_dead_letter(self, api: Api):
        job = (await api.engine.submit(double, 1, tenant="acme", owner="ann")).id
        assert (await call(api, "POST", f"/jobs/{job}/fail"))["state"] == "failed"
        await call(api, "POST", f"/jobs/{job}/fail", 409)
        await call(api, "POST", f"/jobs/{NOBODY}/fail", 404)
        page = (await (await api.client()).get("/v1/dead-letters")).json()
        [letter] = page["items"]
        assert (letter["job_id"], letter["cause"]) == (job, "operator")
        assert letter["error"]["message"] == "an operator ended the job"
        assert (await call(api, "POST", f"/jobs/{job}/requeue", 202))["run"] == 2
        await api.engine.run_until_empty()
        assert (await api.engine.job(job)).state == "completed"

    async def test_one_whose_cancellation_was_asked_for_is_cancelled(self, api: Api):
        for action in ("fail", "force-release"):
            job = (await api.engine.submit(double, 1)).id
            await held(api, job)
            await api.engine.app.cancel(job)
            answer = await call(api, "POST", f"/jobs/{job}/{action}")
            assert answer["state"] == "cancelled"
            assert (await api.engine.job(job)).state == "cancelled"


async def is_running(api: Api, job: str) -> bool:
    return (await api.engine.job(job)).state == "running"


async def held(api: Api, job: str) -> None:
    """Let a job run in the hands of a worker that does nothing."""
    async with api.engine.app.connection() as connection, connection.transaction():
        await connection.execute("delete from headrace.queued where job = $1", UUID(job))
        await connection.execute(
            "update headrace.jobs set state = 'running', worker = 1, token = 1,"
            " claimed_at = headrace.now() where id = $1",
            UUID(job),
        )


class TestEmptyingQueues:
    async def test_what_waits_is_cancelled(self, api: Api):
        jobs = [(await api.engine.submit(double, 1)).id for _ in range(3)]
        later = (await api.engine.submit(double, 1, due=timedelta(days=1))).id
        counted = await call(api, "POST", "/queues/default/purge", dry_run=True)
        assert (counted["cancelled"], counted["waiting"]) == (0, 4)
        done = await call(api, "POST", "/queues/default/purge")
        assert done == {
            "name": "default", "cancelled": 4, "waiting": 0, "complete": True, "dry_run": False,
        }  # fmt: skip
        for job in (*jobs, later):
            assert (await api.engine.job(job)).state == "cancelled"
        event = (await api.engine.events(later))[-1]
        assert (event.actor, event.metadata) == (await actor(api), {"reason": WHY["reason"]})
        await call(api, "POST", "/queues/nothing/purge", 404)
        assert [action for action, _ in await audited(api)] == [
            "queue.purge", "queue.purge", "queue.purged",
        ]  # fmt: skip

    async def test_a_drained_queue_is_closed_and_tells_what_still_runs(self, api: Api):
        await api.engine.submit(double, 1)
        answer = await call(api, "POST", "/queues/default/drain", wait_s=0)
        assert (answer["running"], answer["waiting"], answer["complete"]) == (0, 1, True)
        assert (await call(api, "GET", "/queues"))[0]["is_paused"] is True
        await call(api, "POST", "/queues/nothing/drain", 404)
        await call(api, "POST", "/queues/default/drain", 422, wait_s=21)

    async def test_it_waits_for_what_runs(self, api: Api):
        job = (await api.engine.submit(hold, 1)).id
        async with api.engine.worker():
            await eventually(lambda: is_running(api, job))
            answer = await call(api, "POST", "/queues/default/drain", wait_s=0)
            assert (answer["running"], answer["complete"]) == (1, False)
            waiting = asyncio.ensure_future(call(api, "POST", "/queues/default/drain", wait_s=20))
            await api.engine.app.cancel(job)
            assert (await waiting)["complete"] is True
