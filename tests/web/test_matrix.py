"""Every route against everybody who may not use it; made from the OpenAPI document."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio

from headrace.web.app import create_service
from headrace.web.auth.identity import Identity, Scope
from tests.web.issuer import LocalIssuer, SigningKey, local_issuer
from tests.web.operations import Operation, operations, routes
from tests.web.pipes import Idea, decide, fragile, large, patient
from tests.web.serving import Api, serve, who
from tests.web.whole import (
    DOCUMENTED,
    MARK,
    OPERATIONS,
    add_document,
    add_review,
    add_webhook,
    whole_engine,
)
from tests.web.whole import (
    OWNED as OF_OWNER,
)

together = pytest.mark.asyncio(loop_scope="module")

GUARDED = [one for one in OPERATIONS if one.scopes is not None]
OPEN = {
    "GET /health",
    "GET /ready",
    "GET /metrics",
    "PUT /v1/documents/uploads/{upload_id}",
    "POST /v1/webhooks/{provider}",
    "GET /signals/{token}",
    "HEAD /signals/{token}",
    "POST /signals/{token}",
    "GET /signals/{token}/answered",
}
"""They ask nobody; /metrics has a token of its own, /ready asks for `operator` itself, and the
address of an upload is signed, as a link to a signal is."""
OF_USERS = [one for one in GUARDED if Scope.OPERATOR not in (one.scopes or ())]
OF_EVERYBODY = {"/v1/pipelines/{name}", "/v1/schemas/{schema}"}
"""What they name belongs to no tenant."""
OWNED = [one for one in OF_USERS if one.names and one.path not in OF_EVERYBODY]
LISTS = [one for one in OF_USERS if one.method == "GET" and not one.names]
KEYED = [one for one in GUARDED if "Idempotency-Key" in one.parameters("header")]
FOREIGN = [
    (one, name)
    for one in OF_USERS
    if isinstance(one.body, dict)
    for name in ("tenant", "owner", "state", "attempts", "run", "__proto__")
    if not one.takes(name, DOCUMENTED.openapi())
]
"""Bodies, and members that none of them has."""
OF_WORKERS = [one for one in GUARDED if one.tag == "service"]
"""What a worker has on its own port."""
ALL = tuple(Scope)
OTHERS = {
    "another tenant": who("globex", "ann", *ALL),
    "another owner": who("acme", "bob", Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.OPERATOR),
}
PRETENDED = {
    "X-Tenant": "acme",
    "X-Tenant-ID": "acme",
    "X-Owner": "ann",
    "X-User": "ann",
    "X-Forwarded-User": "ann@acme",
    "X-Headrace-Tenant": "acme",
    "Cookie": "tenant=acme; owner=ann",
}
"""What makes nobody somebody else; the others always send it."""
ARTIFACT = {"name": "fill", "signal": "go"}
"""The step whose output is an artifact, and the signal that one waits for."""
KINDS = {"job_id", "another_id", "document_id", "webhook_id"}
"""Parameters of paths that name something of an owner's."""


@dataclass
class Stage:
    """An API with one user's things in it, and an issuer that it trusts."""

    api: Api
    port: Api
    """A worker's."""
    issuer: LocalIssuer
    things: dict[str, dict[str, object]]
    """Of the owner's for each operation, so that none sees what another one did."""

    async def ask(
        self,
        one: Operation,
        client: httpx2.AsyncClient,
        *,
        headers: dict[str, str] | None = None,
        body: dict[str, object] | None = None,
        **values: object,
    ) -> httpx2.Response:
        """The answer to a good request."""
        place = one.place(**{name: uuid4() for name in one.names} | values)
        sent: dict[str, Any] = {}
        if one.media_type == "application/json":
            sent["json"] = one.body if body is None else body
        elif one.media_type:
            sent["files"] = {"file": ("a.md", b"Herons nest beside the mill race.")}
            sent["data"] = {key: value for key, value in (body or {}).items() if key != "file"}
        headers = {"Accept": "application/json", **(headers or {})}
        return await client.request(one.method, place, headers=headers, **sent)

    async def as_user(self, one: Operation, identity: Identity, **more: Any) -> httpx2.Response:
        return await self.ask(one, await self.api.client(identity), **more)

    async def as_other(self, one: Operation, identity: Identity, **more: Any) -> httpx2.Response:
        """As one of `OTHERS`, who says to be the owner."""
        headers = {**PRETENDED, **more.pop("headers", {})}
        return await self.as_user(one, identity, headers=headers, **more)

    def owned(self, one: Operation) -> dict[str, object]:
        """The values of a path's parameters that name something of the owner's."""
        values = self.things[str(one)]
        return {name: values[name] for name in one.names}

    def unknown(self, one: Operation) -> dict[str, object]:
        """The same for something that does not exist."""
        return {name: uuid4() if name in KINDS else ARTIFACT[name] for name in one.names}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(vector_server: str) -> AsyncIterator[Stage]:
    async with local_issuer("RS256") as issuer:
        engine = whole_engine(vector_server, auth_issuers=(issuer.trusted(),))
        async with contextlib.AsyncExitStack() as exits:
            await exits.enter_async_context(engine)
            api = await exits.enter_async_context(serve(engine))
            port = create_service(engine.app, engine.app.worker())
            of_worker = await exits.enter_async_context(serve(engine, made=port))
            things = {str(one): await thing(api, one, n) for n, one in enumerate(OWNED)}
            await engine.submit(fragile, MARK, **OF_OWNER)
            await engine.run_until_empty(40)
            yield Stage(api, of_worker, issuer, things)


async def thing(api: Api, one: Operation, number: int) -> dict[str, object]:
    """Something of the owner's that an operation is about."""
    if "document_id" in one.names:
        return {"document_id": await add_document(api, number)}
    if "webhook_id" in one.names:
        return {"webhook_id": await add_webhook(api)}
    if one.tag == "consensus":
        reviews = [await add_review(api, number) for _ in range(2)]
        return {"job_id": reviews[0].id, "another_id": reviews[1].id}
    if "signal" in one.names:
        job = await api.engine.submit(patient, MARK, **OF_OWNER)
        await job.send("go", value=True)
        return {"job_id": job.id, **ARTIFACT}
    pipeline, value = (large, 2_000_000) if "name" in one.names else (decide, Idea(MARK, 1))
    job = await api.engine.submit(pipeline, value, **OF_OWNER)
    return {"job_id": job.id, **ARTIFACT}


def others(one: Operation) -> list[Identity]:
    """Who may use it, and owns nothing of what it is about here."""
    return [identity for identity in OTHERS.values() if identity.scopes >= (one.scopes or set())]


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
        known = {*KINDS, *ARTIFACT}
        assert [str(one) for one in OWNED if not known.issuperset(one.names)] == []

    @together
    async def test_a_worker_tells_what_it_tells_to_the_same_people(self, stage: Stage):
        told = (await (await stage.port.stranger()).get("/openapi.json")).json()
        of_api = {str(one): one.scopes for one in OPERATIONS if one.tag == "service"}
        assert {str(one): one.scopes for one in operations(told)} == of_api


@together
@pytest.mark.parametrize(
    ("place", "one"),
    [("api", one) for one in GUARDED] + [("port", one) for one in OF_WORKERS],
    ids=str,
)
class TestEveryRoute:
    """J8: each takes a good credential with its scope, and no other."""

    async def test_it_answers_nobody_without_a_good_credential(
        self, stage: Stage, place: str, one: Operation
    ):
        forged = stage.issuer.token(scopes=ALL, key=SigningKey("rsa-1", "RS256", number=99))
        expired = stage.issuer.token(scopes=ALL, exp=1)
        client = await getattr(stage, place).stranger()
        answers = [await stage.ask(one, client)]
        for credential in ("nonsense", f"hr_{'a' * 43}", forged, expired):
            headers = {"Authorization": f"Bearer {credential}"}
            answers.append(await stage.ask(one, client, headers=headers))
        assert [answer.status_code for answer in answers] == [401] * 5
        for answer in answers:
            assert code_of(answer) == "AUTH_REQUIRED"
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")

    async def test_it_takes_the_scope_that_it_is_told_to_take(
        self, stage: Stage, place: str, one: Operation
    ):
        assert one.scopes
        api: Api = getattr(stage, place)
        others = frozenset(Scope) - one.scopes
        answer = await stage.ask(one, await api.client(who("acme", "ann", *others)))
        assert (answer.status_code, code_of(answer)) == (403, "FORBIDDEN")
        assert " ".join(sorted(one.scopes)) in answer.headers["WWW-Authenticate"]
        answer = await stage.ask(one, await api.client(who("acme", "ann", *one.scopes)))
        assert answer.status_code not in {401, 403}, answer.text
        assert answer.status_code < 500, answer.text


@together
@pytest.mark.parametrize("one", OWNED, ids=str)
class TestEveryPathWithAnId:
    """J7: what is somebody else's is not there, whatever the request says of its sender (J8)."""

    async def test_what_is_somebody_elses_is_answered_as_what_does_not_exist(
        self, stage: Stage, one: Operation
    ):
        for identity in others(one):
            theirs = await stage.as_other(one, identity, **stage.owned(one))
            nobodys = await stage.as_other(one, identity, **stage.unknown(one))
            assert theirs.status_code == nobodys.status_code == 404
            assert told(theirs) == told(nobodys)
        owner = who("acme", "ann", *(one.scopes or ()))
        assert (await stage.as_user(one, owner, **stage.owned(one))).status_code != 404

    async def test_the_scope_is_asked_for_before_the_id_is_looked_at(
        self, stage: Stage, one: Operation
    ):
        assert one.scopes
        nobody = who("acme", "ann", *(frozenset(Scope) - one.scopes))
        known = await stage.as_user(one, nobody, **stage.owned(one))
        unknown = await stage.as_user(one, nobody, **stage.unknown(one))
        assert known.status_code == unknown.status_code == 403
        assert told(known) == told(unknown)


@together
@pytest.mark.parametrize("one", LISTS, ids=str)
class TestEveryList:
    """J7: what is somebody else's is not listed, whatever the request says of its sender (J8)."""

    async def test_it_has_nothing_of_others(self, stage: Stage, one: Operation):
        for identity in others(one):
            listed = await stage.as_other(one, identity)
            assert listed.status_code == 200, listed.text
            assert traces(stage, listed) == []

    async def test_nobody_asks_it_for_others(self, stage: Stage, one: Operation):
        for identity in others(one):
            client = await stage.api.client(identity)
            for query in ({"tenant": "acme"}, {"owner": "ann"}, {"user_id": "ann"}):
                answer = await client.get(one.path, params=query, headers=PRETENDED)
                assert answer.status_code in {200, 400}
                assert traces(stage, answer) == []


@together
@pytest.mark.parametrize("one", KEYED, ids=str)
class TestEveryKey:
    """J7, A7: the same idempotency key is another key for everybody else."""

    async def test_it_brings_nobody_the_answer_to_another(self, stage: Stage, one: Operation):
        headers = {"Idempotency-Key": f"{one.method} {one.path}"}
        values = stage.owned(one) if one in OWNED else dict.fromkeys(one.names, 1)
        sender = who("acme", "ann", *ALL)
        if one.tag == "jobs" and not one.names:  # the example names an upload of somebody's
            values["body"] = {"pipeline": "double", "payload": 1}
        first = await stage.as_user(one, sender, headers=headers, **values)
        again = await stage.as_user(one, sender, headers=headers, **values)
        assert again.headers["Idempotent-Replay"] == "true"
        assert (again.status_code, again.content) == (first.status_code, first.content)
        for other in (who("globex", "ann", *ALL), who("acme", "bob", *ALL)):
            answer = await stage.as_other(one, other, headers=headers, **values)
            assert "Idempotent-Replay" not in answer.headers
            assert answer.json().get("code") != "IDEMPOTENCY_KEY_REUSED"


@together
@pytest.mark.parametrize(("one", "name"), FOREIGN, ids=str)
class TestEveryBody:
    """A5, J8: whose something is, and how far it is, nobody says in a body."""

    async def test_what_the_service_sets_is_refused(self, stage: Stage, one: Operation, name: str):
        values = stage.owned(one) if one in OWNED else {}
        sender, body = who("acme", "ann", *(one.scopes or ())), {**one.body, name: "globex"}
        answer = await stage.as_user(one, sender, body=body, **values)
        assert (answer.status_code, code_of(answer)) == (422, "VALIDATION_ERROR")
        assert [error["path"] for error in answer.json()["errors"]] == [f"$.{name}"]


def traces(stage: Stage, answer: httpx2.Response) -> list[str]:
    """What an answer has of the owner's."""
    owned = {str(value) for values in stage.things.values() for value in values.values()}
    return [text for text in (owned - set(ARTIFACT.values())) | {MARK} if text in answer.text]


def told(answer: httpx2.Response) -> tuple[dict[str, Any], set[str]]:
    """All that an answer tells, but for what names the request itself."""
    body = answer.json()
    assert body.pop("request_id") == answer.headers["X-Request-ID"]
    assert body.pop("instance") == answer.request.url.path
    return body, set(answer.headers)
