"""What owners do to their jobs: cancel, retry, replay, delete."""

from uuid import UUID

import orjson

from headrace.store.audit import list_actions
from headrace.store.outbox import open_outbox, set_topic
from headrace.web.auth.identity import Scope
from tests.waiting import eventually
from tests.web.asking import get, submit
from tests.web.pipes import hold
from tests.web.serving import USER, Api, who


class TestCancelling:
    async def test_a_queued_job_is_cancelled_at_once_and_again(self, api: Api):
        job, client = await submit(api), await api.client()
        for _ in range(2):
            answer = await client.post(f"/v1/jobs/{job}/cancel", json={"reason": "not needed"})
            assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        shown = (await get(api, f"/v1/jobs/{job}")).json()
        assert shown["cancel_reason"] == "not needed"

    async def test_a_running_one_is_cancelled_by_its_worker(self, api: Api):
        job, client = await submit(api, "hold"), await api.client()
        async with api.engine.worker():
            await eventually(lambda: self.is_running(api, job))
            answer = await client.post(f"/v1/jobs/{job}/cancel")
            assert (answer.status_code, answer.json()["state"]) == (202, "running")
            await api.engine.run_until_empty()
        assert (await api.engine.job(job)).state == "cancelled"

    async def is_running(self, api: Api, job: str) -> bool:
        return (await api.engine.job(job)).state == "running"

    async def test_one_that_has_completed_is_not(self, api: Api):
        job, client = await submit(api), await api.client()
        await api.engine.run_until_empty()
        answer = await client.post(f"/v1/jobs/{job}/cancel")
        assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")


class TestRunningAgain:
    async def test_a_failed_job_gets_its_next_run(self, api: Api):
        job, client = await submit(api, "fragile", "secret"), await api.client()
        early = await client.post(f"/v1/jobs/{job}/retry", json={"reason": "again"})
        assert early.status_code == 409
        await api.engine.run_until_empty()
        answer = await client.post(f"/v1/jobs/{job}/retry", json={"reason": "again"})
        assert (answer.status_code, answer.json()["run"]) == (202, 2)
        await api.engine.run_until_empty()
        event = (await get(api, f"/v1/jobs/{job}/history")).json()[3]
        assert event["metadata"] == {"reason": "again"}

    async def test_a_completed_one_is_replayed_from_a_step(self, api: Api):
        job, client = await submit(api, "decide", {"title": "a"}), await api.client()
        await api.engine.run_until_empty()
        path = f"/v1/jobs/{job}/replay"
        for body, status in (
            ({"reason": "x"}, 422),
            ({"from_step": "conclude"}, 422),
            ({"reason": "x", "from_step": "nothing"}, 422),
            ({"reason": "x", "from_step": "conclude", "override_outputs": {}}, 422),
            ({"reason": "x", "from_step": "conclude"}, 202),
            ({"reason": "x", "from_step": "conclude"}, 409),
        ):
            answer = await client.post(path, json=body)
            assert answer.status_code == status, answer.text
        await api.engine.run_until_empty()
        shown = (await get(api, f"/v1/jobs/{job}")).json()
        assert [step["reused_from"] for step in shown["steps"]] == [1, 1, None]

    async def test_operators_give_outputs_in_place_of_what_steps_made(self, api: Api):
        job, client = await submit(api, "fragile", "first"), await api.client()
        await api.engine.run_until_empty()
        path = f"/v1/jobs/{job}/replay"
        body = {"reason": "x", "override_outputs": {"begin": "second"}}
        refused = await client.post(path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
        operator = await api.client(who("acme", "ann", *USER, Scope.OPERATOR))
        for outputs in ({"nothing": 1}, {"begin": 1}):
            wrong = {"reason": "x", "override_outputs": outputs}
            assert (await operator.post(path, json=wrong)).status_code == 422
        assert (await operator.post(path, json=body)).status_code == 202
        await api.engine.run_until_empty()
        result = (await get(api, f"/v1/jobs/{job}/result")).json()
        assert result["result"] == "second"
        shown = (await get(api, f"/v1/jobs/{job}")).json()
        assert [step["reason"] for step in shown["steps"]] == ["overridden", None]
        assert await marked(api) == [(job, {"run": 2, "override_outputs": ["begin"]})]

    async def test_an_output_in_place_of_the_last_one_is_the_result(self, api: Api):
        job = await submit(api)
        await api.engine.run_until_empty()
        operator = await api.client(who("acme", "ann", *USER, Scope.OPERATOR))
        body = {"reason": "x", "override_outputs": {"twice": 7}, "force": True}
        assert (await operator.post(f"/v1/jobs/{job}/replay", json=body)).status_code == 202
        await api.engine.run_until_empty()
        assert (await get(api, f"/v1/jobs/{job}/result")).json()["result"] == 7

    async def test_an_output_of_a_step_with_items_is_refused(self, api: Api):
        job = await submit(api, "decide", {"title": "a"})
        await api.engine.run_until_empty()
        operator = await api.client(who("acme", "ann", *USER, Scope.OPERATOR))
        body = {"reason": "x", "override_outputs": {"review": [1]}}
        refused = await operator.post(f"/v1/jobs/{job}/replay", json=body)
        assert refused.json()["errors"][0]["path"] == "$.override_outputs.review"


async def marked(api: Api) -> list[tuple[str, object]]:
    """What the audit has of outputs that were given."""
    async with api.engine.app.connection() as connection:
        actions = await list_actions(connection)
    return [(one.target, one.after) for one in actions if one.action == "job.override"]


async def payloads(api: Api, job: str) -> list[dict[str, object]]:
    """What is to be sent of a job."""
    async with api.engine.connection() as connection:
        rows = await connection.fetch(
            "select payload from headrace.outbox where job = $1 order by id", UUID(job)
        )
    return [orjson.loads(row["payload"]) for row in rows]


class TestDeleting:
    async def test_one_that_waits_is_cancelled_and_one_that_ended_is_erased(self, api: Api):
        job, client = await submit(api, "fragile", "secret"), await api.client()
        waiting = await submit(api, metadata={"a": 1})
        answer = await client.delete(f"/v1/jobs/{waiting}")
        assert (answer.status_code, answer.json()["is_erased"]) == (202, False)
        assert (await api.engine.job(waiting)).input == 1
        await api.engine.run_until_empty()
        answer = await client.delete(f"/v1/jobs/{job}")
        assert (answer.status_code, answer.json()) == (
            202,
            {"job_id": job, "state": "failed", "is_erased": True},
        )
        row = await api.engine.job(job)
        assert (row.state, row.input, row.error, row.cause) == (
            "failed",
            None,
            None,
            "permanent_error",
        )
        assert await api.engine.steps(job) == []
        assert await api.engine.tries(job) == []
        events = await api.engine.events(job)
        assert [event.to_state for event in events] == ["queued", "running", "failed"]
        shown = (await get(api, f"/v1/jobs/{job}")).json()
        assert shown["erased_at"] is not None

    async def test_what_is_still_to_be_sent_of_it_says_that_it_happened_only(self, api: Api):
        async with api.engine.connection() as connection:
            await set_topic(connection, "results", "results")
            await set_topic(connection, "dead-letters", "dead")
        job, client = (
            await submit(api, "fragile", "secret", metadata={"case": "x1"}),
            await api.client(),
        )
        await api.engine.run_until_empty()
        before = await payloads(api, job)
        assert "x1" in str(before)
        await client.delete(f"/v1/jobs/{job}")
        after = await payloads(api, job)
        assert len(after) == len(before) > 0
        assert {one["job_id"] for one in after} == {job}
        assert "x1" not in str(after)

    async def test_what_was_sent_of_it_and_its_own_webhooks_go(self, api: Api):
        async with api.engine.connection() as connection:
            await set_topic(connection, "results", "results")
            await open_outbox(connection)
        job, client = await submit(api), await api.client()
        async with api.engine.connection() as connection:
            await connection.execute(
                "insert into headrace.webhooks (id, tenant, owner, job, url, created_by)"
                " values ($1, 'acme', 'ann', $1, 'https://example.com/', 'tests')",
                UUID(job),
            )
        await client.post(f"/v1/jobs/{job}/cancel")
        assert len(await payloads(api, job)) == 2
        async with api.engine.connection() as connection:
            await connection.execute(
                "update headrace.outbox set sent_at = now() where webhook is null"
            )
        await client.delete(f"/v1/jobs/{job}")
        assert await payloads(api, job) == []
        async with api.engine.connection() as connection:
            assert await connection.fetchval("select count(*) from headrace.webhooks") == 0

    async def test_a_tombstone_is_neither_run_nor_erased_again(self, api: Api):
        job, client = await submit(api), await api.client()
        await api.engine.run_until_empty()
        for _ in range(2):
            assert (await client.delete(f"/v1/jobs/{job}")).status_code == 202
        again = await client.post(f"/v1/jobs/{job}/replay", json={"reason": "x", "force": True})
        assert again.status_code == 409
        assert (await get(api, f"/v1/jobs/{job}/result")).status_code == 409

    async def test_anothers_is_left_alone(self, api: Api):
        foreign = await api.engine.submit(hold, 1, tenant="globex", owner="ann")
        client = await api.client()
        for method, path in (("DELETE", ""), ("POST", "/cancel"), ("POST", "/retry")):
            body = {"reason": "x"} if path else None
            answer = await client.request(method, f"/v1/jobs/{foreign.id}{path}", json=body)
            assert answer.status_code == 404
        assert (await api.engine.job(foreign)).state == "queued"
