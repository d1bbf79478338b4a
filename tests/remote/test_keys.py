"""Keys of jobs over HTTP: sent with a submission, shown with what keeps a job waiting."""

from datetime import timedelta

import pytest

from headrace import RemoteClient
from headrace.errors import InvalidError
from tests.web.pipes import double
from tests.web.serving import Api


class TestKeys:
    async def test_a_job_says_which_it_has_and_what_keeps_it_waiting(
        self, api: Api, client: RemoteClient
    ):
        hour = timedelta(hours=1)
        await client.submit(double, 1, ordering_key="a", due=hour)
        follower = await client.submit(double, 2, ordering_key="a", concurrency_key="b")
        other = await client.submit(double, 3)
        async with api.engine.worker():
            assert await other.result(timeout=20) == 6
            status = await follower.status()
        assert (status.ordering_key, status.concurrency_key) == ("a", "b")
        assert status.blocked_by == "ordering_key"
        assert (await other.status()).blocked_by is None
        listed = {job.id: job async for job in client.list_jobs()}
        assert listed[follower.id].blocked_by == "ordering_key"
        [queue] = [queue for queue in await client.list_queues() if queue.name == "default"]
        assert (queue.depth, queue.blocked, queue.concurrency) == (2, 1, None)

    async def test_a_key_that_is_repeated_with_its_request_is_one_job(
        self, api: Api, client: RemoteClient
    ):
        jobs = [
            await client.submit(double, 4, ordering_key="a", idempotency_key="once")
            for _ in range(2)
        ]
        assert jobs[0].id == jobs[1].id
        await api.engine.run_until_empty()
        assert await jobs[0].result() == 8

    async def test_one_that_is_empty_or_too_long_is_refused(self, client: RemoteClient):
        for key in ("", "a" * 201):
            with pytest.raises(InvalidError, match="ordering_key"):
                await client.submit(double, 1, ordering_key=key)
