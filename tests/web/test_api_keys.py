"""API keys over real sockets: whose they are, how long they last, what they may do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from headrace import Headrace
from headrace.errors import InvalidError
from headrace.settings import Settings
from headrace.store.api_keys import create_api_key, list_api_keys, revoke_api_key
from headrace.store.audit import list_actions
from headrace.telemetry.events import Level
from headrace.telemetry.logs import configure_logs
from headrace.testing import Engine
from headrace.web.auth.identity import Scope
from headrace.web.auth.verifier import make_development_token, make_verifier
from headrace.web.problems import ProblemError
from tests.web.issuer import LocalIssuer, SigningKey, local_issuer
from tests.web.pipes import PIPELINES
from tests.web.serving import SETTINGS, Api, serve, who
from tests.web.test_issuer_keys import Clock

NO_JOB = "/v1/jobs/01890000-0000-7000-8000-000000000000"
JOB = {"pipeline": "double", "payload": 2}


@dataclass
class Desk:
    """An API whose verifier has a clock that a test moves."""

    api: Api
    clock: Clock

    async def status(self, key: str) -> int:
        return (await (await self.api.bearer(key)).get(NO_JOB)).status_code


@pytest.fixture
async def desk(database_server: str) -> AsyncIterator[Desk]:
    async with Engine(PIPELINES, server=database_server, settings=SETTINGS) as engine:
        clock = Clock()
        async with serve(engine, verifier=make_verifier(engine.app, clock=clock)) as api:
            yield Desk(api, clock)


class TestKeys:
    async def test_a_key_is_its_holder(self, api: Api):
        client = await api.client(who("acme", "ann"))
        place = (await client.post("/v1/jobs", json=JOB)).headers["Location"]
        [job] = await api.engine.jobs()
        assert (job.tenant, job.owner) == ("acme", "ann")
        assert (await client.get(place)).status_code == 200
        for other in (who("acme", "bob"), who("globex", "ann")):
            assert (await (await api.client(other)).get(place)).status_code == 404

    async def test_nothing_that_opens_a_door_is_stored(self, api: Api):
        key = await api.key(who())
        secret = key.rpartition("_")[2]
        async with api.engine.connection() as connection:
            rows = await connection.fetch(
                "select to_json(k)::text from headrace.api_keys as k "
                "union all select to_json(a)::text from headrace.admin_audit as a"
            )
        assert rows
        assert not any(secret in row[0] for row in rows)

    async def test_the_prefix_alone_opens_nothing(self, api: Api):
        ann, bob = await api.key(who()), await api.key(who("globex", "bob"))
        mixed = ann.rpartition("_")[0] + "_" + bob.rpartition("_")[2]
        wrong = ann[:-1] + ("a" if ann[-1] != "a" else "b")
        for key in (mixed, wrong, ann.upper(), ann[:-1], f"{ann}a", ann.rpartition("_")[0]):
            assert (await (await api.bearer(key)).get(NO_JOB)).status_code == 401

    async def test_a_revoked_key_is_refused_within_a_minute(self, desk: Desk):
        key = await desk.api.key(who())
        assert await desk.status(key) == 404
        async with desk.api.engine.connection() as connection:
            await revoke_api_key(connection, key.split("_")[1], by="ops", reason="leaked")
        desk.clock.now += 59
        assert await desk.status(key) == 401

    async def test_an_expired_key_is_refused(self, desk: Desk):
        key = await desk.api.key(who(), life=timedelta(seconds=20))
        assert await desk.status(key) == 404
        await desk.api.engine.move_clock(timedelta(seconds=21))
        desk.clock.now += 21
        assert await desk.status(key) == 401

    async def test_making_and_ending_one_is_audited(self, api: Api):
        async with api.engine.connection() as connection:
            key, made = await create_api_key(
                connection,
                tenant="acme",
                owner="ann",
                scopes=["jobs:read"],
                life=timedelta(days=1),
                by="ops",
                note="for the shop",
            )
            await revoke_api_key(connection, made.prefix, by="boss", reason="left")
            ended, began = await list_actions(connection)
            [listed] = await list_api_keys(connection)
        assert (began.action, began.actor, began.target) == ("api_key.create", "ops", made.prefix)
        assert (ended.action, ended.actor, ended.reason) == ("api_key.revoke", "boss", "left")
        assert listed.revoked_by == "boss"
        assert made.prefix in key

    async def test_the_audit_is_evidence(self, api: Api):
        await api.key(who())
        async with api.engine.connection() as connection:
            for statement in ("delete from", "update"):
                change = "" if statement == "delete from" else " set actor = 'nobody'"
                with pytest.raises(Exception, match="evidence"):
                    await connection.execute(f"{statement} headrace.admin_audit{change}")


class TestScopes:
    @pytest.mark.parametrize("scope", list(Scope))
    async def test_each_scope_opens_its_own_routes_only(self, api: Api, scope: Scope):
        client = await api.client(who("acme", "ann", scope))
        submitted = await client.post("/v1/jobs", json=JOB)
        assert submitted.status_code == (202 if scope is Scope.JOBS_WRITE else 403)
        if scope is not Scope.JOBS_WRITE:
            assert submitted.json()["code"] == "FORBIDDEN"
            assert 'scope="jobs:write"' in submitted.headers["WWW-Authenticate"]

    async def test_an_admin_of_a_tenant_sees_all_of_it_and_nothing_else(self, api: Api):
        ann = await api.client(who("acme", "ann"))
        place = (await ann.post("/v1/jobs", json=JOB)).headers["Location"]
        powers = (Scope.JOBS_READ, Scope.TENANT_ADMIN)
        assert (await (await api.client(who("acme", "eve", *powers))).get(place)).is_success
        stranger = await api.client(who("globex", "eve", *powers, Scope.OPERATOR))
        foreign, unknown = await stranger.get(place), await stranger.get(NO_JOB)
        assert foreign.status_code == unknown.status_code == 404
        same = ("code", "detail", "title", "status", "type")
        assert [foreign.json()[name] for name in same] == [unknown.json()[name] for name in same]

    async def test_only_the_credential_says_whose_a_request_is(self, api: Api):
        client = await api.client(who("acme", "ann"))
        for name in ("tenant", "owner", "scopes"):
            assert (await client.post("/v1/jobs", json={**JOB, name: "globex"})).status_code == 422
        headers = {"X-Tenant": "globex", "X-Owner": "bob", "X-Forwarded-User": "bob"}
        answer = await client.post("/v1/jobs?tenant=globex&owner=bob", json=JOB, headers=headers)
        assert answer.status_code == 202
        [job] = await api.engine.jobs()
        assert (job.tenant, job.owner) == ("acme", "ann")


class TestLogs:
    async def test_no_credential_is_written_down(self, desk: Desk, tmp_path: Path):
        async with local_issuer() as issuer:
            key = await desk.api.key(who())
            sent = [*_strange(issuer), key, key[:-1] + "0", "canary" * 1_000]
            path = tmp_path / "log"
            with path.open("w") as stream:
                logs = configure_logs(level=Level.DEBUG, style="json", stream=stream)
                stranger = await desk.api.stranger()
                for credential in sent:
                    await desk.status(credential)
                    await stranger.get(NO_JOB, params={"access_token": credential})
                assert logs.flush()
                logs.close()
        text = path.read_text()
        assert text.count("credential_refused") >= len(sent) - 1
        for credential in sent:
            for part in credential.split("."):
                assert part[-20:] not in text


def _strange(issuer: LocalIssuer) -> list[str]:
    good = issuer.token()
    return [good, f"{good}{good}", issuer.token(key=SigningKey("x", "RS256", number=3))]


class TestDevelopmentToken:
    async def test_it_opens_everything_in_one_process(self):
        token = make_development_token()
        app = Headrace([], settings=Settings(env="development"))
        verifier = make_verifier(app, development_token=token)
        identity = await verifier.verify(token)
        assert (identity.tenant, identity.owner) == ("default", "default")
        assert identity.scopes == set(Scope)
        assert make_development_token() != token
        await verifier.close()

    async def test_there_is_none_in_production(self):
        address = "postgresql://nobody@127.0.0.1:1/none"
        app = Headrace([], settings=Settings(env="production", database_url=address))
        with pytest.raises(InvalidError, match="production"):
            make_verifier(app, development_token=make_development_token())

    async def test_another_one_is_refused(self, api: Api):
        token = make_development_token()
        async with serve(
            api.engine, verifier=make_verifier(api.engine.app, development_token=token)
        ) as own:
            assert (await (await own.bearer(token)).get(NO_JOB)).status_code == 404
            other = make_development_token()
            assert (await (await own.bearer(other)).get(NO_JOB)).status_code == 401
        with pytest.raises(ProblemError, match="AUTH_REQUIRED"):
            await make_verifier(api.engine.app).verify(token)


class TestDocument:
    async def test_each_route_tells_its_scope(self, api: Api):
        client = await api.stranger()
        document = (await client.get("/openapi.json")).json()
        assert document["components"]["securitySchemes"]["bearer"]["type"] == "http"
        for path, routes in document["paths"].items():
            if path.startswith("/v1/"):
                for method, route in routes.items():
                    [needs] = route["security"]
                    assert set(needs) == {"bearer"}, (method, path)
        assert document["paths"]["/v1/jobs"]["post"]["security"] == [{"bearer": ["jobs:write"]}]
