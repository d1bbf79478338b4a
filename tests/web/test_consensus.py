"""Ideas over HTTP: reviewed, expanded, revised and compared; with the offline model."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from headrace.pipelines.consensus import consensus, expand_only, quick
from headrace.testing import Engine
from tests.web.pipes import double
from tests.web.serving import SETTINGS, Api, serve, who

IDEA = "A tool library for our street. Members lend what they own, and a page shows it."
NOBODY = "0192f1e2-1234-7abc-8def-001122334455"
PERSONAS = {"architect", "critic", "optimist", "security_guardian", "user_advocate"}


@pytest.fixture
async def api(database_server: str) -> AsyncIterator[Api]:
    """The API of an app that carries the pipelines, and a worker that runs them."""
    engine = Engine(
        [consensus, quick, expand_only, double], server=database_server, settings=SETTINGS
    )
    async with engine, serve(engine) as running, engine.worker():
        yield running


async def reviewed(api: Api, client: httpx2.AsyncClient, **body: Any) -> str:
    answer = await client.post("/v1/consensus/reviews", json={"idea": IDEA, **body})
    assert answer.status_code == 202, answer.text
    job = str(answer.json()["job_id"])
    await api.engine.app.job(job).result(30)
    return job


class TestReviews:
    async def test_an_idea_is_reviewed_and_decided(self, api: Api):
        client = await api.client()
        job = await reviewed(api, client, metadata={"case": "7"}, priority="high")
        shown = (await client.get(f"/v1/jobs/{job}")).json()
        assert (shown["pipeline"], shown["priority"], shown["state"]) == (
            "consensus",
            9,
            "completed",
        )
        result = (await client.get(f"/v1/jobs/{job}/result")).json()["result"]
        assert {review["persona_id"] for review in result["reviews"]} == PERSONAS
        assert result["answered_by"] == ["offline"]

    @pytest.mark.parametrize(
        ("body", "status", "path"),
        [
            ({}, 422, "$.idea"),
            ({"idea": ""}, 422, "$.idea"),
            ({"idea": "One. " * 11}, 422, "$.payload.idea"),
            ({"idea": "x" * 10_001}, 422, "$.payload.idea"),
            ({"idea": IDEA, "extra_context": "x" * 50_001}, 422, "$.payload.extra_context"),
            ({"idea": IDEA, "weights": {}}, 422, "$.weights"),
            ({"idea": IDEA, "parameters": {"weights": 1}}, 422, "$.parameters.weights"),
            ({"idea": IDEA, "parameters": {"expand_temperature": 3}}, 422, None),
        ],
    )
    async def test_what_is_no_idea_is_refused_by_name(
        self, api: Api, body: dict[str, Any], status: int, path: str | None
    ):
        answer = await (await api.client()).post("/v1/consensus/reviews", json=body)
        assert answer.status_code == status, answer.text
        if path is not None:
            assert answer.json()["errors"][0]["path"] == path

    async def test_the_same_key_reviews_once_and_belongs_to_its_path(self, api: Api):
        client = await api.client()
        headers = {"Idempotency-Key": "tools"}
        first, again = [
            await client.post("/v1/consensus/reviews", json={"idea": IDEA}, headers=headers)
            for _ in range(2)
        ]
        assert again.json()["job_id"] == first.json()["job_id"]
        assert again.headers["Idempotent-Replay"] == "true"
        other = await client.post("/v1/consensus/expand", json={"idea": IDEA}, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


class TestWaitedFor:
    async def test_an_idea_is_expanded_while_the_caller_waits(self, api: Api):
        answer = await (await api.client()).post("/v1/consensus/expand", json={"idea": IDEA})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["proposal"]["problem_statement"]
        assert answer.headers["Location"] == f"/v1/jobs/{found['job_id']}"

    async def test_an_idea_is_reviewed_once_while_the_caller_waits(self, api: Api):
        answer = await (await api.client()).post("/v1/consensus/review", json={"idea": IDEA})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["decision"]["decision"] in {"approve", "revise", "reject"}
        assert found["review"]["persona_name"] == "GenericReviewer"

    async def test_a_failure_names_its_step_and_gives_what_is_there(self, api: Api):
        client = await api.client()
        body = {"idea": IDEA, "parameters": {"persona_template_version": "9.9.9"}}
        answer = await client.post("/v1/consensus/review", json=body)
        assert answer.status_code == 409, answer.text
        found = answer.json()
        assert (found["code"], found["failed_step"]) == ("NOT_COMPLETED", "expand")
        assert found["partial_results"] == {}


class TestRevisions:
    async def test_a_revision_is_a_job_of_its_own_that_tells_who_reviews_again(self, api: Api):
        client = await api.client()
        parent = await reviewed(api, client)
        answer = await client.post(
            f"/v1/jobs/{parent}/revisions",
            json={"edit_notes": "Only hand tools.", "personas": ["critic"]},
        )
        assert answer.status_code == 202, answer.text
        found = answer.json()
        assert (found["parent_job_id"], found["personas_rerun"]) == (parent, ["critic"])
        assert set(found["personas_reused"]) == PERSONAS - {"critic"}
        await api.engine.app.job(found["job_id"]).result(30)
        listed = (await client.get("/v1/jobs", params={"parent_job_id": parent})).json()
        assert [job["job_id"] for job in listed["items"]] == [found["job_id"]]
        diff = (await client.get(f"/v1/jobs/{parent}/diff/{found['job_id']}")).json()
        assert diff["relationship"] == "child"

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({}, 400),
            ({"edit_notes": " "}, 400),
            ({"edit_notes": "x", "personas": ["nobody"]}, 400),
            ({"edit_notes": "x", "temperature": 3}, 422),
            ({"edit_notes": "x", "owner": "bob"}, 422),
        ],
    )
    async def test_what_is_no_revision_is_refused(
        self, api: Api, body: dict[str, Any], status: int
    ):
        client = await api.client()
        parent = await reviewed(api, client)
        answer = await client.post(f"/v1/jobs/{parent}/revisions", json=body)
        assert answer.status_code == status, answer.text

    async def test_only_a_completed_review_of_ones_own_can_be_revised(self, api: Api):
        client = await api.client()
        parent = await reviewed(api, client)
        edit = {"edit_notes": "Only hand tools."}
        other = await api.client(who("acme", "bob"))
        for someone, job in ((other, parent), (client, NOBODY)):
            answer = await someone.post(f"/v1/jobs/{job}/revisions", json=edit)
            assert answer.status_code == 404, answer.text
        doubled = await client.post("/v1/jobs", json={"pipeline": "double", "payload": 1})
        other_job = doubled.json()["job_id"]
        await api.engine.app.job(other_job).result(30)
        answer = await client.post(f"/v1/jobs/{other_job}/revisions", json=edit)
        assert answer.status_code == 400, answer.text
        due = {"pipeline": "consensus", "payload": {"idea": IDEA}, "due_at": "2027-01-01T00:00:00Z"}
        waiting = (await client.post("/v1/jobs", json=due)).json()["job_id"]
        answer = await client.post(f"/v1/jobs/{waiting}/revisions", json=edit)
        assert answer.status_code == 409, answer.text

    async def test_a_review_is_compared_with_another_one_of_ones_own(self, api: Api):
        client = await api.client()
        one = await reviewed(api, client)
        assert (await client.get(f"/v1/jobs/{one}/diff/{one}")).status_code == 400
        assert (await client.get(f"/v1/jobs/{one}/diff/{NOBODY}")).status_code == 404
        other = await api.client(who("acme", "bob"))
        assert (await other.get(f"/v1/jobs/{one}/diff/{NOBODY}")).status_code == 404


class TestSchemas:
    async def test_each_schema_is_told_in_its_versions(self, api: Api):
        client = await api.client()
        names = {schema["name"] for schema in (await client.get("/v1/schemas")).json()}
        assert names == {
            "IdeaInput", "ExpandedProposal", "PersonaReview", "DecisionAggregation", "JobStatus",
        }  # fmt: skip
        found = (await client.get("/v1/schemas/PersonaReview", params={"version": "1.0.0"})).json()
        assert (found["is_current"], found["versions"]) == (True, ["1.0.0"])
        assert "confidence_score" in found["json_schema"]["properties"]

    async def test_what_is_not_registered_is_not_found(self, api: Api):
        client = await api.client()
        assert (await client.get("/v1/schemas/Nothing")).status_code == 404
        params = {"version": "9.0.0"}
        assert (await client.get("/v1/schemas/IdeaInput", params=params)).status_code == 404
