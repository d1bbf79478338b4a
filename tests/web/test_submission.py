"""POST /v1/jobs: what is stored, what is refused, and that keys make one job."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx2
import pytest

from headrace.web.auth.identity import Scope
from tests.web.pipes import decide
from tests.web.serving import Api, who

IDEA = {"title": "a bridge"}
BODY = {"pipeline": "decide", "payload": IDEA}


async def submit(client: httpx2.AsyncClient, **more: object) -> httpx2.Response:
    return await client.post("/v1/jobs", json={**BODY, **more})


class TestAnAcceptedJob:
    async def test_it_is_stored_for_the_caller_and_told_where_to_find(self, api: Api):
        client = await api.client()
        answer = await submit(client, priority="high", metadata={"tenant": "globex"})
        assert answer.status_code == 202, answer.text
        told = answer.json()
        assert answer.headers["Location"] == f"/v1/jobs/{told['job_id']}"
        row = await api.engine.job(told["job_id"])
        assert (row.tenant, row.owner, row.priority, row.state) == ("acme", "ann", 9, "queued")
        assert (told["run"], told["state"], told["pipeline"]) == (1, "queued", "decide")
        assert datetime.fromisoformat(told["created_at"]) == row.created_at
        looked = datetime.fromisoformat(told["check_status_at"])
        assert looked == row.created_at + timedelta(seconds=2)

    async def test_its_input_is_what_the_step_will_get(self, api: Api):
        answer = await submit(await api.client())
        row = await api.engine.job(answer.json()["job_id"])
        assert row.input == {"title": "a bridge", "size": 1}

    async def test_a_later_start_is_kept(self, api: Api):
        due = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
        answer = await submit(await api.client(), due_at=due.isoformat())
        row = await api.engine.job(answer.json()["job_id"])
        assert row.due_at == due == datetime.fromisoformat(answer.json()["due_at"])
        assert row.wait_reason == "scheduled"

    async def test_it_runs(self, api: Api):
        client = await api.client()
        where = (await submit(client)).headers["Location"]
        await api.engine.run_until_empty()
        result = await client.get(f"{where}/result")
        assert result.json()["result"] == {"ok": True, "title": "a bridge"}

    async def test_the_trace_of_its_request_is_stored(self, api: Api):
        client = await api.client()
        trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        answer = await client.post("/v1/jobs", json=BODY, headers={"traceparent": trace})
        other = await client.post("/v1/jobs", json=BODY, headers={"traceparent": "00-zz"})
        async with api.engine.connection() as connection:
            query = "select id, traceparent from headrace.jobs"
            stored = {str(row["id"]): row["traceparent"] for row in await connection.fetch(query)}
        assert stored[answer.json()["job_id"]] == trace
        assert stored[other.json()["job_id"]] is None


class TestARefusedJob:
    """A5: it is told where it is wrong, and nothing of it is stored."""

    @pytest.mark.parametrize(
        ("body", "status", "code", "path"),
        [
            ({"payload": IDEA}, 422, "VALIDATION_ERROR", "$.pipeline"),
            ({**BODY, "tenant": "globex"}, 422, "VALIDATION_ERROR", "$.tenant"),
            ({**BODY, "state": "completed"}, 422, "VALIDATION_ERROR", "$.state"),
            ({**BODY, "attempts": 0}, 422, "VALIDATION_ERROR", "$.attempts"),
            ({**BODY, "priority": 10}, 422, "VALIDATION_ERROR", "$.priority"),
            ({**BODY, "due_at": "2026-01-01T00:00:00"}, 422, "VALIDATION_ERROR", "$.due_at"),
            ({**BODY, "due_at": "2099-01-01T00:00:00Z"}, 422, "VALIDATION_ERROR", "$.due_at"),
            ({**BODY, "pipeline": "nothing"}, 404, "NOT_FOUND", None),
            ({**BODY, "preset": "nothing"}, 404, "NOT_FOUND", None),
            ({**BODY, "payload": {}}, 422, "SCHEMA_VALIDATION_ERROR", "$.payload.title"),
            ({**BODY, "payload": {**IDEA, "x": 1}}, 422, "SCHEMA_VALIDATION_ERROR", "$.payload.x"),
            ({**BODY, "correlation_id": "a\u202eb"}, 422, "VALIDATION_ERROR", "$.correlation_id"),
            ([], 422, "VALIDATION_ERROR", "$"),
        ],
    )
    async def test_it_leaves_nothing_and_says_where(
        self, api: Api, body: object, status: int, code: str, path: str | None
    ):
        answer = await (await api.client()).post("/v1/jobs", json=body)
        told = answer.json()
        assert (answer.status_code, told["code"]) == (status, code), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        if path is not None:
            assert path in [error["path"] for error in told["errors"]]
        assert await api.engine.jobs() == []

    async def test_a_payload_larger_than_a_row_is_refused(self, api: Api):
        answer = await submit(await api.client(), payload={"title": "x" * 600_000})
        assert (answer.status_code, answer.json()["code"]) == (422, "SCHEMA_VALIDATION_ERROR")

    async def test_another_tenants_job_is_no_parent(self, api: Api):
        job = await api.engine.submit(decide, decide.input.decode('{"title":"a"}'), tenant="globex")
        foreign = await submit(await api.client(), parent_job_id=job.id)
        unknown = await submit(await api.client(), parent_job_id=str(uuid4()))
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.json()["detail"] == unknown.json()["detail"]

    async def test_a_reader_submits_nothing(self, api: Api):
        client = await api.client(who("acme", "eve", Scope.JOBS_READ))
        assert (await submit(client)).status_code == 403

    async def test_no_body_is_a_bad_request(self, api: Api):
        assert (await (await api.client()).post("/v1/jobs")).status_code == 400


class TestAKey:
    """A7: it stands for one job, whoever sends it at the same time."""

    async def test_fifty_at_once_are_one_job(self, api: Api):
        client = await api.client()
        headers = {"Idempotency-Key": "order 1"}
        answers = await asyncio.gather(
            *(client.post("/v1/jobs", json=BODY, headers=headers) for _ in range(50))
        )
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.content for answer in answers}) == 1
        replays = [answer.headers.get("Idempotent-Replay") for answer in answers]
        assert (replays.count(None), replays.count("true")) == (1, 49)
        assert len(await api.engine.jobs()) == 1

    async def test_the_first_answer_comes_again_after_the_job_has_run(self, api: Api):
        client = await api.client()
        headers = {"Idempotency-Key": "order 1"}
        first = await client.post("/v1/jobs", json=BODY, headers=headers)
        await api.engine.run_until_empty()
        reordered = dict(reversed(BODY.items()))
        again = await client.post("/v1/jobs", json=reordered, headers=headers)
        assert again.content == first.content
        assert again.headers["Idempotent-Replay"] == "true"
        assert "Idempotent-Replay" not in first.headers

    async def test_another_body_is_refused(self, api: Api):
        client = await api.client()
        headers = {"Idempotency-Key": "order 1"}
        await client.post("/v1/jobs", json=BODY, headers=headers)
        for body in ({**BODY, "priority": 1}, {**BODY, "payload": {"title": "b"}}):
            answer = await client.post("/v1/jobs", json=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")

    async def test_it_is_the_tenants_and_the_owners_own(self, api: Api):
        headers = {"Idempotency-Key": "order 1"}
        users = [who(), who("acme", "bob"), who("globex", "ann")]
        for user in users:
            answer = await (await api.client(user)).post("/v1/jobs", json=BODY, headers=headers)
            assert "Idempotent-Replay" not in answer.headers
        assert len(await api.engine.jobs()) == 3

    async def test_it_is_that_of_the_library(self, api: Api):
        value = decide.input.decode('{"title":"a bridge"}')
        job = await api.engine.submit(
            decide, value, tenant="acme", owner="ann", idempotency_key="order 1"
        )
        client = await api.client()
        answer = await client.post("/v1/jobs", json=BODY, headers={"Idempotency-Key": "order 1"})
        assert answer.json()["job_id"] == job.id
        assert answer.headers["Idempotent-Replay"] == "true"

    @pytest.mark.parametrize("key", [b"", b"x" * 256, b"x" * 1024, "ä".encode(), b"a\tb"])
    async def test_one_that_cannot_be_used_is_refused(self, api: Api, key: bytes):
        client = await api.client()
        answer = await client.post("/v1/jobs", json=BODY, headers={b"Idempotency-Key": key})
        assert answer.status_code == 400
        assert await api.engine.jobs() == []


class TestGroups:
    async def test_one_that_is_refused_takes_none_with_it(self, api: Api):
        clients = [await api.client(who("acme", f"user {number}")) for number in range(4)]
        good = [clients[number % 4].post("/v1/jobs", json=BODY) for number in range(40)]
        bad = [clients[0].post("/v1/jobs", json={**BODY, "payload": {"title": 1}}) for _ in "12"]
        other = [
            clients[1].post("/v1/jobs", json={"pipeline": "double", "payload": number})
            for number in range(10)
        ]
        answers = await asyncio.gather(*good, *bad, *other)
        assert [answer.status_code for answer in answers] == [202] * 40 + [422] * 2 + [202] * 10
        rows = await api.engine.jobs()
        assert len(rows) == 50
        assert {row.id for row in rows} == {
            answer.json()["job_id"] for answer in answers if answer.status_code == 202
        }
        assert sorted(row.input for row in rows if row.pipeline == "double") == list(range(10))

    async def test_each_job_has_its_first_transition(self, api: Api):
        client = await api.client()
        answers = await asyncio.gather(*(submit(client) for _ in range(20)))
        for answer in answers:
            [event] = await api.engine.events(answer.json()["job_id"])
            assert (event.seq, event.to_state, event.reason) == (1, "queued", "submitted")
            assert event.actor
