"""Undo jobs through the API: behind the wall between tenants, with what users may do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from headrace.testing import Engine
from tests.undo.shop import Shop, open_shop
from tests.waiting import eventually
from tests.web.serving import SETTINGS, Api, serve, who


@pytest.fixture
def shop() -> Shop:
    return open_shop()


@pytest.fixture
async def api(database_server: str, shop: Shop) -> AsyncIterator[Api]:
    engine = Engine([shop.pipeline], server=database_server, settings=SETTINGS)
    async with engine, serve(engine) as running:
        yield running


class TestApi:
    async def test_a_cancelled_job_shows_what_undoes_it_and_others_see_nothing(
        self, api: Api, shop: Shop
    ):
        shop.ending = "waits"
        client = await api.client()
        answer = await client.post("/v1/jobs", json={"pipeline": "shop", "payload": 1})
        job = answer.json()["job_id"]
        async with api.engine.worker():
            await eventually(lambda: waits(api, job))
        await client.post(f"/v1/jobs/{job}/cancel")
        shown = (await client.get(f"/v1/jobs/{job}")).json()
        assert (shown["state"], shown["undo"]["state"]) == ("cancelled", "queued")
        assert {step["state"] for step in shown["undo"]["steps"]} == {"pending"}
        undo = shown["undo"]["job_id"]
        refused = await client.post(f"/v1/jobs/{undo}/cancel")
        assert (refused.status_code, refused.json()["code"]) == (409, "CONFLICT")
        early = await client.post(f"/v1/jobs/{job}/retry", json={"reason": "again"})
        assert (early.status_code, early.json()["code"]) == (409, "UNDO_UNDER_WAY")
        assert undo in early.json()["detail"]
        erased = await client.delete(f"/v1/jobs/{job}")
        assert (erased.status_code, erased.json()["code"]) == (409, "UNDO_UNDER_WAY")
        for stranger in (who("acme", "bob"), who("other", "ann")):
            other = await api.client(stranger)
            assert (await other.get(f"/v1/jobs/{undo}")).status_code == 404

        shop.closed = {"refund"}
        await api.engine.run_until_empty()
        late = await client.post(f"/v1/jobs/{job}/retry", json={"reason": "again"})
        assert (late.status_code, late.json()["code"]) == (409, "UNDO_FAILED")
        shop.closed = set()
        on = await client.post(f"/v1/jobs/{undo}/retry", json={"reason": "the bank is open"})
        assert on.status_code == 202
        await api.engine.run_until_empty()
        own = (await client.get(f"/v1/jobs/{undo}")).json()
        assert (own["state"], own["undo_of"], own["result"]) == ("completed", job, None)
        result = (await client.get(f"/v1/jobs/{undo}/result")).json()
        assert result["result"] is None
        listed = (await client.get("/v1/jobs")).json()["items"]
        assert [one["undo_of"] for one in listed] == [job, None]

    async def test_a_job_is_erased_with_what_undid_it(self, api: Api):
        client = await api.client()
        answer = await client.post("/v1/jobs", json={"pipeline": "shop", "payload": 1})
        job = answer.json()["job_id"]
        await api.engine.run_until_empty()
        undo = (await client.get(f"/v1/jobs/{job}")).json()["undo"]["job_id"]
        assert (await client.delete(f"/v1/jobs/{job}")).status_code == 202
        for one in (job, undo):
            erased = (await client.get(f"/v1/jobs/{one}/input")).json()
            assert erased["payload"] is None
            assert erased["erased_at"] is not None


async def waits(api: Api, job: str) -> bool:
    return (await api.engine.app.status(job)).wait_reason == "rate_limited"
