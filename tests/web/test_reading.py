"""What is shown of jobs: lists, states, inputs, results, steps, history, tries, artifacts."""

import asyncio
from uuid import uuid4

import pytest

from headrace.settings import Settings
from headrace.testing import Engine
from headrace.web.auth.identity import Scope
from headrace.web.views.errors import HIDDEN
from tests.web.asking import get, submit
from tests.web.pipes import PIPELINES, double
from tests.web.serving import SETTINGS, Api, serve, who

ADMIN = who("acme", "boss", Scope.JOBS_READ, Scope.TENANT_ADMIN)


class TestAList:
    """A8: filters and places are kept or refused."""

    async def test_it_is_newest_first_and_ones_own(self, api: Api):
        jobs = [await submit(api) for _ in range(3)]
        await api.engine.submit(double, 7, tenant="acme", owner="bob")
        await api.engine.submit(double, 8, tenant="globex", owner="ann")
        page = (await get(api, "/v1/jobs")).json()
        assert [job["job_id"] for job in page["items"]] == jobs[::-1]
        assert (page["total"], page["is_total_exact"], page["next"]) == (3, True, None)
        everybody = (await (await api.client(ADMIN)).get("/v1/jobs")).json()
        assert everybody["total"] == 4
        assert {job["owner"] for job in everybody["items"]} == {"ann", "bob"}

    async def test_pages_follow_each_other_by_cursor_and_by_offset(self, api: Api):
        jobs = [await submit(api) for _ in range(5)][::-1]
        first = (await get(api, "/v1/jobs", limit=2)).json()
        second = (await get(api, "/v1/jobs", limit=2, cursor=first["next"])).json()
        third = (await get(api, "/v1/jobs", limit=2, cursor=second["next"])).json()
        seen = [job["job_id"] for page in (first, second, third) for job in page["items"]]
        assert seen == jobs
        assert third["next"] is None
        skipped = (await get(api, "/v1/jobs", limit=2, offset=3)).json()
        assert [job["job_id"] for job in skipped["items"]] == jobs[3:]

    async def test_filters_are_all_kept(self, api: Api):
        job = await submit(
            api, "decide", {"title": "a"}, priority=7, preset="quick", correlation_id="case 1"
        )
        child = await submit(api, parent_job_id=job)
        whole = {
            "pipeline": "decide",
            "preset": "quick",
            "priority": 7,
            "correlation_id": "case 1",
            "state": "queued",
            "wait_reason": "new",
            "queue": "default",
            "start_date": "2020-01-01T00:00:00Z",
            "end_date": "2100-01-01T00:00:00Z",
        }
        assert await self.found(api, **whole) == [job]
        for name, value in whole.items():
            assert job in await self.found(api, **{name: value})
        assert await self.found(api, parent_job_id=job) == [child]
        assert await self.found(api, state=["completed", "failed"]) == []
        assert await self.found(api, end_date="2020-01-01T00:00:00Z") == []
        assert await self.found(api, cause="operator") == []

    async def found(self, api: Api, **query: object) -> list[str]:
        answer = await get(api, "/v1/jobs", **query)
        assert answer.status_code == 200, answer.text
        return [job["job_id"] for job in answer.json()["items"]]

    @pytest.mark.parametrize(
        "query",
        [
            {"limit": 0},
            {"limit": 10**9},
            {"limit": "x"},
            {"cursor": "forged"},
            {"cursor": str(uuid4()), "offset": 3},
            {"offset": -1},
            {"offset": 10**12},
            {"state": "done"},
            {"cause": "' or 1=1"},
            {"start_date": "2026-01-01"},
            {"start_date": "2026-01-01T00:00:00"},
            {"pipeline": "a\x00b"},
            {"priority": 10},
            {"sort": "tenant"},
        ],
    )
    async def test_a_bad_value_is_refused(self, api: Api, query: dict[str, object]):
        answer = await get(api, "/v1/jobs", **query)
        assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION_ERROR")
        assert answer.json()["errors"]

    async def test_a_preview_is_short(self, api: Api):
        await submit(api, "decide", {"title": "x" * 500})
        [job] = (await get(api, "/v1/jobs")).json()["items"]
        assert len(job["payload_preview"]) == 50


class TestAJob:
    async def test_steps_that_have_not_started_are_pending(self, api: Api):
        job = await submit(api, "decide", {"title": "a"}, metadata={"a": [1]}, priority="low")
        shown = (await get(api, f"/v1/jobs/{job}")).json()
        assert [(step["name"], step["state"]) for step in shown["steps"]] == [
            ("expand", "pending"),
            ("review", "pending"),
            ("conclude", "pending"),
        ]
        assert (shown["state"], shown["progress"], shown["version"]) == ("queued", 0.0, "1.2.0")
        assert (shown["metadata"], shown["priority"]) == ({"a": [1]}, 1)
        assert shown["input_preview"] == '{"title":"a","size":1}'
        assert shown["check_status_at"] is not None

    async def test_one_that_has_ended_shows_items_and_where_its_result_is(self, api: Api):
        job = await submit(api, "decide", {"title": "a", "size": 2})
        await api.engine.run_until_empty()
        shown = (await get(api, f"/v1/jobs/{job}")).json()
        assert (shown["state"], shown["progress"], shown["check_status_at"]) == (
            "completed",
            100.0,
            None,
        )
        assert [item["key"] for item in shown["steps"][1]["items"]] == ["0", "1"]
        result = (await get(api, shown["result"])).json()
        assert result == {
            "job_id": job,
            "run": 1,
            "state": "completed",
            "result": {"ok": True, "title": "a"},
        }

    async def test_its_input_is_given_back(self, api: Api):
        job = await submit(api, "decide", {"title": "a"})
        found = (await get(api, f"/v1/jobs/{job}/input")).json()
        assert found["payload"] == {"title": "a", "size": 1}

    async def test_no_result_is_a_conflict_that_says_the_state(self, api: Api):
        job = await submit(api)
        answer = await get(api, f"/v1/jobs/{job}/result")
        assert (answer.status_code, answer.json()["code"]) == (409, "NOT_COMPLETED")
        assert answer.json()["state"] == "queued"
        assert int(answer.headers["Retry-After"]) >= 2

    async def test_its_history_goes_on_after_what_is_known(self, api: Api):
        job = await submit(api)
        await api.engine.run_until_empty()
        history = (await get(api, f"/v1/jobs/{job}/history")).json()
        assert [entry["to_state"] for entry in history] == ["queued", "running", "completed"]
        rest = (await get(api, f"/v1/jobs/{job}/history", after=2)).json()
        assert rest == history[2:]

    async def test_exceptions_of_steps_are_not_shown_and_user_errors_are(self, api: Api):
        secret, user = await submit(api, "fragile", "secret"), await submit(api, "fragile", "user")
        await api.engine.run_until_empty()
        pages = [
            await get(api, path)
            for path in (
                f"/v1/jobs/{secret}",
                f"/v1/jobs/{secret}/attempts",
                f"/v1/jobs/{secret}/result",
                f"/v1/jobs/{secret}/steps",
                f"/v1/jobs/{secret}/history",
            )
        ]
        assert not any("hunter2" in page.text for page in pages)
        assert pages[0].json()["error"]["message"] == HIDDEN
        assert pages[1].json()[0]["code"] == "PERMANENT_ERROR"
        assert (await get(api, f"/v1/jobs/{user}")).json()["error"]["message"] == (
            "the file is empty"
        )
        assert (await get(api, f"/v1/jobs/{user}/result")).json()["error"]["step"] == "handle"

    @pytest.mark.parametrize("end", ["", "/result", "/input", "/steps", "/history", "/attempts"])
    async def test_anothers_and_an_unknown_one_are_the_same(self, api: Api, end: str):
        foreign = await api.engine.submit(double, 1, tenant="globex", owner="ann")
        colleague = await api.engine.submit(double, 1, tenant="acme", owner="bob")
        bodies = []
        for job in (foreign.id, colleague.id, str(uuid4())):
            answer = await get(api, f"/v1/jobs/{job}{end}")
            assert answer.status_code == 404
            told = answer.json()
            bodies.append({**told, "instance": "", "request_id": ""})
        assert bodies[0] == bodies[1] == bodies[2]
        assert (await get(api, f"/v1/jobs/x{end}")).status_code == 400


class TestAResult:
    async def test_it_is_never_refused_because_the_job_has_completed(self, api: Api):
        client = await api.client(who())
        refusals = []

        async def ask(job: str) -> None:
            while (answer := await client.get(f"/v1/jobs/{job}/result")).status_code == 409:
                refusals.append(answer.json()["state"])

        async with api.engine.worker():
            for _ in range(30):
                jobs = [await submit(api) for _ in range(5)]
                await asyncio.gather(*map(ask, jobs))
        assert "completed" not in refusals


class TestAnArtifact:
    async def test_its_bytes_come_from_the_local_store(self, database_server: str):
        settings = Settings(
            **{**SETTINGS.model_dump(exclude_unset=True), "checkpoint_max_bytes": 65_536}
        )
        engine = Engine(PIPELINES, server=database_server, settings=settings)
        async with engine, serve(engine) as api:
            job = await submit(api, "large", 70_000)
            await api.engine.run_until_empty()
            [step] = (await get(api, f"/v1/jobs/{job}/steps")).json()
            [artifact] = step["artifacts"]
            data = await get(api, artifact["href"])
            assert data.json() == "x" * 70_000
            assert len(data.content) == artifact["bytes"]
            result = (await get(api, f"/v1/jobs/{job}/result")).json()
            assert result["result"] == "x" * 70_000
            for path in ("artifacts/none", "artifacts/fill?item=1", "artifacts/..%2F..%2Fetc"):
                assert (await get(api, f"/v1/jobs/{job}/{path}")).status_code == 404
