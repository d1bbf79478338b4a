"""Events of a job in pages, and whose they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
import pytest_asyncio

from headrace.store.following import Follower, Place, read_next
from headrace.web.auth.identity import Scope
from tests.web.followed import fan, followed, submit, told
from tests.web.serving import Api, who
from tests.web.sse import follow, page

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(database_server: str) -> AsyncIterator[Api]:
    async with followed(database_server) as api:
        yield api


class TestPages:
    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    async def test_pages_are_the_stream_in_parts(self, api: Api, limit: int):
        job, events = await told(api, fan, 3)
        client = await api.client()
        after, found = "", []
        while True:
            part = await page(client, job, after=after, limit=limit)
            found += part["items"]
            after = part["next"]
            if not part["has_more"]:
                break
        assert [(one["id"], one["event"], one["data"]) for one in found] == [
            (event.id, event.name, event.data) for event in events
        ]
        assert part["has_ended"]
        assert part["job_id"] == job
        assert (await page(client, job, after=after))["items"] == []

    async def test_a_queued_job_has_one_event_and_more_to_come(self, api: Api):
        job = await submit(api, fan, 1, due=timedelta(hours=1))
        part = await page(await api.client(), job)
        assert [one["data"]["to_state"] for one in part["items"]] == ["queued"]
        assert (part["has_ended"], part["has_more"], part["next"]) == (False, False, "1")

    @pytest.mark.parametrize("limit", [0, 1001, "x"])
    async def test_a_page_has_a_limit(self, api: Api, limit: int | str):
        job = await submit(api, fan, 1)
        client = await api.client()
        answer = await client.get(f"/v1/jobs/{job}/events", params={"limit": limit})
        assert answer.status_code == 400

    async def test_other_parameters_are_refused(self, api: Api):
        job = await submit(api, fan, 1)
        client = await api.client()
        answer = await client.get(f"/v1/jobs/{job}/events", params={"afer": "1"})
        assert answer.status_code == 400


class TestOwnership:
    @pytest.mark.parametrize("accept", ["application/json", "text/event-stream", "*/*"])
    @pytest.mark.parametrize(("tenant", "owner"), [("globex", "ann"), ("acme", "bob")])
    async def test_of_anothers_job_there_is_nothing(
        self, api: Api, tenant: str, owner: str, accept: str
    ):
        job, _ = await told(api, fan, 1)
        client = await api.client(who(tenant, owner))
        found = []
        for one in (job, "01890000-0000-7000-8000-000000000000"):
            answer = await client.get(f"/v1/jobs/{one}/events", headers={"Accept": accept})
            body = answer.json()
            found.append((answer.status_code, body["code"], body["detail"]))
        assert found[0] == found[1]
        assert found[0][:2] == (404, "NOT_FOUND")

    async def test_who_sees_the_whole_tenant_follows_all_its_jobs(self, api: Api):
        job, events = await told(api, fan, 1)
        admin = await api.client(who("acme", "bob", Scope.JOBS_READ, Scope.TENANT_ADMIN))
        assert await follow(admin, job) == events
        other = await api.client(who("globex", "bob", Scope.JOBS_READ, Scope.TENANT_ADMIN))
        assert (await other.get(f"/v1/jobs/{job}/events")).status_code == 404

    async def test_it_takes_the_scope_to_read(self, api: Api):
        job = await submit(api, fan, 1)
        writer = await api.client(who("acme", "ann", Scope.JOBS_WRITE))
        assert (await writer.get(f"/v1/jobs/{job}/events")).status_code == 403
        assert (await (await api.stranger()).get(f"/v1/jobs/{job}/events")).status_code == 401

    async def test_the_statement_itself_finds_nothing_of_others(self, api: Api):
        job, _ = await told(api, fan, 1)
        places = [("acme", "ann"), ("acme", None), ("acme", "bob"), ("globex", None)]
        followers = [Follower(UUID(job), tenant, owner, Place()) for tenant, owner in places]
        async with api.engine.app.connection() as connection:
            found = await read_next(connection, followers, most=100)
        assert sorted(found) == [0, 1]
