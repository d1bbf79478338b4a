"""Dead letters, pipelines and queues, as each caller sees them."""

from datetime import UTC, datetime, timedelta

from headrace.web.auth.identity import Identity, Scope
from tests.waiting import eventually
from tests.web.asking import get, submit
from tests.web.pipes import double, fragile
from tests.web.serving import Api, who

PATHS = ("/v1/dead-letters", "/v1/pipelines", "/v1/pipelines/double", "/v1/queues")


async def test_each_takes_a_credential_and_the_scope_to_read(api: Api):
    writer = await api.client(who("acme", "ann", Scope.JOBS_WRITE))
    for path in PATHS:
        assert (await (await api.stranger()).get(path)).status_code == 401
        assert (await writer.get(path)).json()["code"] == "FORBIDDEN"
        assert (await get(api, path)).status_code == 200


class TestDeadLetters:
    async def test_ones_own_are_listed_newest_first_in_pages_and_filtered(self, api: Api):
        jobs = [
            await submit(api, "fragile", word, correlation_id=word)
            for word in ("secret", "user", "secret")
        ]
        await submit(api, "fragile", "fine")
        for job in jobs:
            await api.engine.run_until_empty()
            assert (await api.engine.job(job)).state == "failed"
        first = (await get(api, "/v1/dead-letters", limit=2)).json()
        rest = (await get(api, "/v1/dead-letters", limit=2, cursor=first["next"])).json()
        found = first["items"] + rest["items"]
        assert {letter["job_id"] for letter in found} == set(jobs)
        times = [letter["failed_at"] for letter in found]
        assert (times, rest["next"]) == (sorted(times, reverse=True), None)
        for filters, count in (
            ({"code": "USER_ERROR"}, 1),
            ({"correlation_id": "secret"}, 2),
            ({"cause": "permanent_error", "pipeline": "fragile", "queue": "default"}, 3),
            ({"pipeline": "double"}, 0),
            ({"start_date": "2100-01-01T00:00:00Z"}, 0),
        ):
            answer = (await get(api, "/v1/dead-letters", **filters)).json()
            assert len(answer["items"]) == count, filters

    async def test_what_a_step_said_is_shown_where_it_was_meant_to_be(self, api: Api):
        await submit(api, "fragile", "secret")
        await submit(api, "fragile", "user")
        await api.engine.run_until_empty()
        text = (await get(api, "/v1/dead-letters")).text
        assert "the file is empty" in text
        assert "hunter2" not in text

    async def test_those_of_others_are_not_there(self, api: Api):
        await api.engine.submit(fragile, "user", tenant="globex", owner="ann")
        await api.engine.submit(fragile, "user", tenant="acme", owner="bob")
        await api.engine.run_until_empty()
        assert (await get(api, "/v1/dead-letters")).json()["items"] == []
        admin = await api.client(who("acme", "ann", Scope.JOBS_READ, Scope.TENANT_ADMIN))
        found = (await admin.get("/v1/dead-letters")).json()["items"]
        assert [letter["owner"] for letter in found] == ["bob"]

    async def test_one_that_runs_again_is_off_the_list(self, api: Api):
        job, client = await submit(api, "fragile", "user"), await api.client()
        await api.engine.run_until_empty()
        await client.post(f"/v1/jobs/{job}/retry", json={"reason": "again"})
        assert (await get(api, "/v1/dead-letters")).json()["items"] == []

    async def test_a_filter_that_is_none_is_refused(self, api: Api):
        for filters in (
            {"cursor": "x"},
            {"cursor": "2026-01-01T00:00:00_0192f1e2-1234-7abc-8def-001122334455"},
            {"cursor": "0001-01-01T00:00:00+23:59_0192f1e2-1234-7abc-8def-001122334455"},
            {"start_date": "0001-01-01T00:00:00+23:59"},
            {"end_date": "9999-12-31T23:59:59-23:59"},
            {"limit": 101},
            {"cause": "bad luck"},
            {"text": "hunter2"},
        ):
            answer = await get(api, "/v1/dead-letters", **filters)
            assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION_ERROR")


class TestPipelines:
    async def test_steps_presets_limits_and_versions_are_listed(self, api: Api):
        await submit(api, "decide", {"title": "a"})
        found = {one["name"]: one for one in (await get(api, "/v1/pipelines")).json()}
        assert set(found) == {"decide", "double", "fragile", "hold", "large", "patient"}
        decide = found["decide"]
        assert (decide["version"], decide["presets"]) == ("1.2.0", {"quick": {"personas": 1}})
        assert [step["name"] for step in decide["steps"]] == ["expand", "review", "conclude"]
        assert [step["per_item"] for step in decide["steps"]] == [False, True, False]
        assert decide["limits"]["payload_bytes"] == api.engine.app.settings.max_payload_bytes
        [version] = decide["versions"]
        assert (version["version"], len(version["steps"])) == ("1.2.0", 3)

    async def test_one_has_the_schemas_of_what_goes_in_and_comes_out(self, api: Api):
        shown = (await get(api, "/v1/pipelines/decide")).json()
        assert "title" in str(shown["input_schema"])
        assert "ok" in str(shown["output_schema"])

    async def test_one_that_is_not_carried_is_not_found(self, api: Api):
        answer = await get(api, "/v1/pipelines/nothing")
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


class TestQueues:
    async def test_what_waits_and_runs_of_ones_own_is_counted(self, api: Api):
        held = await submit(api, "hold")
        await submit(api, "double", due_at=(datetime.now(UTC) + timedelta(days=1)).isoformat())
        await api.engine.submit(double, 1, tenant="globex", owner="ann")
        await api.engine.submit(double, 1, tenant="acme", owner="bob")
        expected = {"default": (2, 1, 0)}
        assert await self.counts(api, who()) == expected
        assert await self.counts(api, who("acme", "a", Scope.JOBS_READ, Scope.TENANT_ADMIN)) == {
            "default": (3, 2, 0)
        }
        assert await self.counts(api, who("x", "a", Scope.JOBS_READ, Scope.OPERATOR)) == {
            "default": (4, 3, 0)
        }
        assert await self.counts(api, who("initech", "a")) == {"default": (0, 0, 0)}
        async with api.engine.worker():
            await eventually(lambda: self.is_running(api))
            await api.engine.app.cancel(held)

    async def is_running(self, api: Api) -> bool:
        return await self.counts(api, who()) == {"default": (1, 0, 1)}

    async def counts(self, api: Api, identity: Identity) -> dict[str, tuple[int, int, int]]:
        client = await api.client(identity)
        found = (await client.get("/v1/queues")).json()
        return {one["name"]: (one["depth"], one["due"], one["running"]) for one in found}

    async def test_a_paused_one_is_told_without_the_reason(self, api: Api):
        await submit(api)
        await api.engine.app.pause_queue("default", reason="globex floods it", actor="root")
        answer = await get(api, "/v1/queues")
        assert answer.json()[0]["is_paused"] is True
        assert "globex" not in answer.text
