"""The OpenAPI document: complete, and true of what is answered."""

from collections.abc import Iterator
from typing import Any

import pytest

from headrace.web.gate.paths import takes_upload
from headrace.web.problems import CODES
from tests.web.asking import submit
from tests.web.serving import Api
from tests.web.whole import DOCUMENTED, OPERATIONS

Operation = dict[str, Any]

SECRET_ANSWERS = {
    "/v1/admin/api-keys",
    "/v1/admin/inbox-sources",
    "/v1/admin/inbox-sources/{source}/rotate",
    "/v1/webhooks",
    "/v1/webhooks/{webhook_id}/rotate",
    "/v1/documents/uploads",
}
"""POSTs whose answers must not be kept, so they take no key."""
SIGNED = {"/v1/documents/uploads/{upload_id}", "/v1/webhooks/{provider}"}
"""Addresses that are given out, and say themselves what they allow."""
BY_PLACE: dict[tuple[str, str], Operation] = {
    (one.method, one.path): dict(one.told) for one in OPERATIONS
}


class TestTheDocument:
    def test_every_operation_is_named_tagged_and_told(self):
        names = [operation["operationId"] for operation in BY_PLACE.values()]
        assert len(set(names)) == len(names)
        for place, operation in BY_PLACE.items():
            assert operation["tags"], place
            assert operation["description"], place
            assert "__" not in operation["operationId"], place

    def test_every_problem_is_in_the_table_and_in_the_form_of_problems(self):
        for place, operation in BY_PLACE.items():
            if not place[1].startswith("/v1/"):
                continue
            for status, response in operation["responses"].items():
                if int(status) < 400:
                    continue
                content = response["content"]
                assert "application/problem+json" in content, (place, status)
                for code in content["application/problem+json"]["examples"]:
                    assert code in CODES
            assert "500" in operation["responses"], place

    def test_posts_name_the_key_and_v1_asks_for_credentials(self):
        for (method, path), operation in BY_PLACE.items():
            if not path.startswith("/v1/"):
                continue
            assert path in SIGNED or operation["security"], path
            headers = [one["name"] for one in operation.get("parameters", ())]
            takes_key = method == "POST" and path not in SECRET_ANSWERS | SIGNED
            assert ("Idempotency-Key" in headers) == takes_key, path

    async def test_what_the_gate_answers_to_a_body_is_told(self, api: Api):
        client = await api.client()
        for (method, path), operation in BY_PLACE.items():
            if method in {"GET", "HEAD"}:
                continue
            assert {"400", "408", "413", "415"} <= set(operation["responses"]), (method, path)
            if takes_upload(method, path):  # its route reads it
                continue
            for kind, content, status in (
                ("application/json", b"{", 400),
                ("text/csv", b"a,b", 415),
            ):
                headers = {"Content-Type": kind}
                answer = await client.request(method, path, content=content, headers=headers)
                assert answer.status_code == status, (method, path)

    def test_every_reference_leads_somewhere(self):
        document = DOCUMENTED.openapi()
        schemas = document["components"]["schemas"]
        targets = {target for target in references(document) if target not in schemas}
        assert targets == set()

    def test_the_submission_has_an_example_that_fits(self):
        body = BY_PLACE["POST", "/v1/jobs"]["requestBody"]
        schema = body["content"]["application/json"]["schema"]
        [example] = schema["examples"]
        assert set(example) <= set(schema["properties"])
        assert schema["additionalProperties"] is False

    @pytest.mark.parametrize(
        "path", ["", "/{job_id}", "/{job_id}/input", "/{job_id}/steps", "/{job_id}/history"]
    )
    async def test_what_is_answered_has_the_members_that_are_told(self, api: Api, path: str):
        job, client = await submit(api, "decide", {"title": "a"}), await api.client()
        await api.engine.run_until_empty()
        document = (await client.get("/openapi.json")).json()
        operation = document["paths"][f"/v1/jobs{path}"]["get"]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        answer = (await client.get(f"/v1/jobs{path}".format(job_id=job))).json()
        assert_fits(answer, schema, document)


def references(value: object) -> Iterator[str]:
    """What a document refers to: the names of schemas, and whole what is no such reference."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].removeprefix("#/components/schemas/")
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def assert_fits(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> None:  # noqa: ANN401
    """Every member is told, and every member that is told is there."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "array":
        for part in value:
            assert_fits(part, schema["items"], document)
    elif "properties" in schema:
        assert set(value) == set(schema["properties"])
        for name, part in schema["properties"].items():
            assert_fits(value[name], part, document)
