"""Every route against everybody who may not use it; made from the OpenAPI document."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio

from headrace import Headrace
from headrace.testing import Engine
from headrace.web.app import create_api
from headrace.web.auth.identity import Identity, Scope
from tests.web.issuer import LocalIssuer, SigningKey, local_issuer
from tests.web.operations import Operation, operations, routes
from tests.web.pipes import PIPELINES, double, large
from tests.web.serving import SETTINGS, Api, serve, who

together = pytest.mark.asyncio(loop_scope="module")

OPEN_TO_OPERATORS = SETTINGS.model_copy(update={"admin_api": True})
DOCUMENTED = create_api(Headrace(PIPELINES, settings=OPEN_TO_OPERATORS))
OPERATIONS = operations(DOCUMENTED.openapi())
GUARDED = [one for one in OPERATIONS if one.scopes is not None]
OPEN = {"GET /health", "GET /ready", "GET /metrics"}
"""They ask nobody; /metrics has a token of its own, and /ready asks for `operator` itself."""
OF_EVERYBODY = {"/v1/pipelines/{name}"}
"""What they name belongs to no tenant."""
OWNED = [
    one
    for one in GUARDED
    if one.names and one.path not in OF_EVERYBODY and Scope.OPERATOR not in (one.scopes or ())
]
ALL = tuple(Scope)
OWNER = who("acme", "ann", Scope.JOBS_READ, Scope.JOBS_WRITE)
OTHERS = {
    "another tenant": who("globex", "ann", *ALL),
    "another owner": who("acme", "bob", Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.OPERATOR),
}
ARTIFACT = {"name": "fill"}
"""The step whose output is an artifact."""


@dataclass
class Stage:
    """An API with one tenant's things in it, and an issuer that it trusts."""

    api: Api
    issuer: LocalIssuer
    jobs: dict[str, object]
    """A job of the owner's for each operation, so that none sees what another one did."""

    async def ask(
        self, one: Operation, client: httpx2.AsyncClient, **values: object
    ) -> httpx2.Response:
        """The answer to a good request."""
        place = one.place(**{name: uuid4() for name in one.names} | values)
        headers = {"Accept": "application/json"}
        body: dict[str, Any] = {}
        if one.media_type == "application/json":
            body["json"] = one.body
        elif one.media_type:
            body["files"] = {"file": ("a.md", b"Herons nest beside the mill race.")}
        return await client.request(one.method, place, headers=headers, **body)

    async def as_user(
        self, one: Operation, identity: Identity, **values: object
    ) -> httpx2.Response:
        return await self.ask(one, await self.api.client(identity), **values)

    def owned(self, one: Operation) -> dict[str, object]:
        """The values of a path's parameters that name something of the owner's."""
        values: dict[str, object] = {"job_id": self.jobs[str(one)], **ARTIFACT}
        return {name: values[name] for name in one.names}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(database_server: str) -> AsyncIterator[Stage]:
    async with local_issuer("RS256") as issuer:
        settings = OPEN_TO_OPERATORS.model_copy(update={"auth_issuers": (issuer.trusted(),)})
        engine = Engine(PIPELINES, server=database_server, settings=settings)
        async with engine, serve(engine) as api:
            jobs: dict[str, object] = {}
            for one in OWNED:
                pipeline, size = (large, 2_000_000) if "name" in one.names else (double, 1)
                job = await engine.submit(pipeline, size, tenant="acme", owner="ann")
                jobs[str(one)] = job.id
            await engine.run_until_empty()
            yield Stage(api, issuer, jobs)


def code_of(answer: httpx2.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return str(answer.json()["code"])


class TestTheDocument:
    def test_it_has_every_route_and_no_other(self):
        assert {(one.method, one.path) for one in OPERATIONS} == routes(DOCUMENTED)

    def test_every_route_says_which_scope_it_takes(self):
        assert {str(one) for one in OPERATIONS if one.scopes is None} == OPEN
        assert [str(one) for one in GUARDED if not one.scopes] == []

    def test_every_path_with_an_id_is_tried_with_somebody_elses(self):
        known = {"job_id", *ARTIFACT}
        assert [str(one) for one in OWNED if not known.issuperset(one.names)] == []


@together
@pytest.mark.parametrize("one", GUARDED, ids=str)
class TestEveryRoute:
    async def test_it_answers_nobody_without_a_good_credential(self, stage: Stage, one: Operation):
        forged = stage.issuer.token(scopes=ALL, key=SigningKey("rsa-1", "RS256", number=99))
        expired = stage.issuer.token(scopes=ALL, exp=1)
        stranger = await stage.ask(one, await stage.api.stranger())
        answers = [stranger]
        for credential in ("nonsense", f"hr_{'a' * 43}", forged, expired):
            client = await stage.api.stranger()
            client.headers["Authorization"] = f"Bearer {credential}"
            answers.append(await stage.ask(one, client))
        assert [answer.status_code for answer in answers] == [401] * 5
        for answer in answers:
            assert code_of(answer) == "AUTH_REQUIRED"
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")

    async def test_it_takes_the_scope_that_it_is_told_to_take(self, stage: Stage, one: Operation):
        assert one.scopes
        others = frozenset(Scope) - one.scopes
        answer = await stage.as_user(one, who("acme", "ann", *others))
        assert (answer.status_code, code_of(answer)) == (403, "FORBIDDEN")
        assert " ".join(sorted(one.scopes)) in answer.headers["WWW-Authenticate"]
        answer = await stage.as_user(one, who("acme", "ann", *one.scopes))
        assert answer.status_code not in {401, 403}, answer.text


@together
@pytest.mark.parametrize("one", OWNED, ids=str)
class TestEveryPathWithAnId:
    async def test_what_is_somebody_elses_is_answered_as_what_does_not_exist(
        self, stage: Stage, one: Operation
    ):
        for identity in OTHERS.values():
            theirs = await stage.as_user(one, identity, **stage.owned(one))
            nobodys = await stage.as_user(one, identity, **stage.owned(one) | {"job_id": uuid4()})
            assert theirs.status_code == nobodys.status_code == 404
            assert told(theirs) == told(nobodys)
        assert (await stage.as_user(one, OWNER, **stage.owned(one))).status_code != 404

    async def test_the_scope_is_asked_for_before_the_id_is_looked_at(
        self, stage: Stage, one: Operation
    ):
        assert one.scopes
        nobody = who("acme", "ann", *(frozenset(Scope) - one.scopes))
        known = await stage.as_user(one, nobody, **stage.owned(one))
        unknown = await stage.as_user(one, nobody, **stage.owned(one) | {"job_id": uuid4()})
        assert known.status_code == unknown.status_code == 403
        assert told(known) == told(unknown)


def told(answer: httpx2.Response) -> tuple[dict[str, Any], set[str]]:
    """All that an answer tells, but for what names the request itself."""
    body = answer.json()
    assert body.pop("request_id") == answer.headers["X-Request-ID"]
    assert body.pop("instance") == answer.request.url.path
    return body, set(answer.headers)
