"""Whose a token is, and which tokens are nobody's: over real sockets, by a local OIDC issuer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import jwt
import pytest
import pytest_asyncio

from headrace.testing import Engine
from headrace.web.auth.identity import Scope
from tests.web.issuer import LocalIssuer, SigningKey, encoded, local_issuer
from tests.web.pipes import PIPELINES
from tests.web.serving import SETTINGS, Api, serve

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_JOB = "/v1/jobs/01890000-0000-7000-8000-000000000000"
YEAR_S = 365 * 86_400


@dataclass
class Door:
    """An API that trusts one issuer, and strangers before it."""

    api: Api
    issuer: LocalIssuer

    async def knock(self, credential: str, path: str = NO_JOB) -> httpx2.Response:
        client = await self.api.stranger()
        return await client.get(path, headers={"Authorization": f"Bearer {credential}"})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(database_server: str) -> AsyncIterator[Door]:
    async with local_issuer("RS256", "ES256", "EdDSA") as issuer:
        settings = SETTINGS.model_copy(update={"auth_issuers": (issuer.trusted(),)})
        engine = Engine(PIPELINES, server=database_server, settings=settings)
        async with engine, serve(engine) as api:
            yield Door(api, issuer)


def refused(answer: httpx2.Response) -> bool:
    return (
        answer.status_code == 401
        and answer.json()["code"] == "AUTH_REQUIRED"
        and answer.headers["WWW-Authenticate"].startswith("Bearer")
    )


class TestGoodTokens:
    @pytest.mark.parametrize("number", [0, 1, 2], ids=["RS256", "ES256", "EdDSA"])
    async def test_each_kind_of_key_is_accepted(self, door: Door, number: int):
        token = door.issuer.token(key=door.issuer.keys[number])
        assert (await door.knock(token)).status_code == 404

    async def test_tenant_owner_and_scopes_come_from_the_token(self, door: Door):
        ann = await door.api.bearer(door.issuer.token("acme", "ann"))
        answer = await ann.post("/v1/jobs", json={"pipeline": "double", "payload": 2})
        place = answer.headers["Location"]
        assert (await ann.get(place)).status_code == 200
        for tenant, owner in (("acme", "bob"), ("globex", "ann")):
            answer = await door.knock(door.issuer.token(tenant, owner), place)
            assert answer.status_code == 404
        admin = door.issuer.token("acme", "bob", [Scope.JOBS_READ, Scope.TENANT_ADMIN])
        assert (await door.knock(admin, place)).status_code == 200
        stranger = door.issuer.token("globex", "ann", [Scope.JOBS_READ, Scope.TENANT_ADMIN])
        assert (await door.knock(stranger, place)).status_code == 404

    async def test_a_token_of_several_audiences_is_accepted(self, door: Door):
        assert (await door.knock(door.issuer.token(aud=["x", "headrace"]))).status_code == 404

    @pytest.mark.parametrize("claims", [{"exp": -20}, {"nbf": 20}, {"iat": 20}])
    async def test_clocks_may_be_half_a_minute_apart(self, door: Door, claims: dict[str, int]):
        now = int(time.time())
        moved = {name: now + seconds for name, seconds in claims.items()}
        assert (await door.knock(door.issuer.token(**moved))).status_code == 404

    async def test_scopes_may_be_a_list(self, door: Door):
        token = door.issuer.token(scope=None, scp=["jobs:read", "other"])
        assert (await door.knock(token)).status_code == 404

    async def test_one_without_scopes_may_do_nothing(self, door: Door):
        client = await door.api.bearer(door.issuer.token(scope=None))
        answer = await client.post("/v1/jobs", json={"pipeline": "double", "payload": 2})
        assert answer.status_code == 403
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


def unsigned(issuer: LocalIssuer, algorithm: str, signature: str = "") -> str:
    header = {"alg": algorithm, "typ": "JWT", "kid": issuer.keys[0].kid}
    return f"{encoded(header)}.{encoded(issuer.claims())}.{signature}"


def by_secret(issuer: LocalIssuer, secret: bytes) -> str:
    """HS256, with a secret that everybody knows."""
    header = {"alg": "HS256", "typ": "JWT", "kid": issuer.keys[0].kid}
    signed = f"{encoded(header)}.{encoded(issuer.claims())}"
    signature = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{encoded(signature)}"


class TestForgedSignatures:
    """J1, J2: the algorithm comes from the key, never from the token."""

    @pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "NONE", ""])
    @pytest.mark.parametrize("signature", ["", "eA"])
    async def test_none_is_no_signature(self, door: Door, algorithm: str, signature: str):
        assert refused(await door.knock(unsigned(door.issuer, algorithm, signature)))

    async def test_a_signature_may_not_be_left_out(self, door: Door):
        signed = door.issuer.token().rpartition(".")[0]
        for token in (signed, f"{signed}.", f"{signed}.."):
            assert refused(await door.knock(token))

    async def test_a_public_key_is_no_secret(self, door: Door):
        key = door.issuer.keys[0]
        jwk = key.jwk()
        forms = [key.pem(), key.pem().strip(), json.dumps(jwk).encode(), jwk["n"].encode()]
        for secret in forms:
            assert refused(await door.knock(by_secret(door.issuer, secret)))

    async def test_a_token_cannot_choose_another_signature_of_the_same_key(self, door: Door):
        key = door.issuer.keys[0]
        other = jwt.encode(door.issuer.claims(), key.private, "RS512", headers={"kid": key.kid})
        pss = jwt.encode(door.issuer.claims(), key.private, "PS256", headers={"kid": key.kid})
        assert refused(await door.knock(other))
        assert refused(await door.knock(pss))

    async def test_a_token_cannot_name_the_key_of_another_kind(self, door: Door):
        rsa, curve, _ = door.issuer.keys
        assert refused(await door.knock(door.issuer.token(key=rsa, headers={"kid": curve.kid})))

    async def test_a_changed_token_is_refused_even_after_the_right_one_came(self, door: Door):
        token = door.issuer.token()
        assert (await door.knock(token)).status_code == 404
        header, _, signature = token.split(".")
        changed = encoded(door.issuer.claims("globex"))
        assert refused(await door.knock(f"{header}.{changed}.{signature}"))


class TestTimes:
    """J3: a token has an end, and not in years."""

    @pytest.mark.parametrize(
        "claims",
        [
            {"exp": -60},
            {"nbf": 60},
            {"iat": 60},
            {"exp": 10 * YEAR_S},
            {"exp": 10 * YEAR_S, "iat": 9 * YEAR_S},
        ],
        ids=["expired", "not yet", "issued later", "for years", "for years, later"],
    )
    async def test_a_token_outside_its_time_is_refused(self, door: Door, claims: dict[str, int]):
        now = int(time.time())
        moved = {name: now + seconds for name, seconds in claims.items()}
        assert refused(await door.knock(door.issuer.token(**moved)))

    async def test_a_token_without_an_end_is_refused(self, door: Door):
        assert refused(await door.knock(door.issuer.token(exp=None)))

    async def test_years_are_too_long_where_the_issue_is_not_told(self, door: Door):
        late = int(time.time()) + 10 * YEAR_S
        assert refused(await door.knock(door.issuer.token(exp=late, iat=None)))

    @pytest.mark.parametrize("end", ["9999999999", True, [1], {}, 1e308, -1, 2**64 - 1])
    async def test_a_time_is_a_number(self, door: Door, end: Any):  # noqa: ANN401
        claims = {**door.issuer.claims(), "exp": end}
        key = door.issuer.keys[0]
        header = {"alg": key.kind, "typ": "JWT", "kid": key.kid}
        token = jwt.api_jws.encode(json.dumps(claims).encode(), key.private, key.kind, header)
        assert refused(await door.knock(token))


class TestClaims:
    @pytest.mark.parametrize(
        "claims",
        [
            {"aud": "another"},
            {"aud": None},
            {"aud": ["headrace2"]},
            {"iss": "http://127.0.0.1:1"},
            {"iss": None},
            {"tenant": None},
            {"tenant": ""},
            {"tenant": 7},
            {"tenant": ["acme"]},
            {"tenant": "a" * 201},
            {"tenant": "ac\u0000me"},
            {"tenant": "acme\n"},
            {"sub": None},
            {"sub": ""},
            {"scope": {"jobs:read": True}},
        ],
        ids=repr,
    )
    async def test_what_does_not_name_a_user_of_ours_is_refused(
        self, door: Door, claims: dict[str, Any]
    ):
        given = {**door.issuer.claims(), **claims}
        given = {name: value for name, value in given.items() if value is not None}
        key = door.issuer.keys[0]
        header = {"alg": key.kind, "typ": "JWT", "kid": key.kid}
        token = jwt.api_jws.encode(json.dumps(given).encode(), key.private, key.kind, header)
        assert refused(await door.knock(token))

    async def test_an_issuer_is_known_by_its_exact_name(self, door: Door):
        for name in (f"{door.issuer.url}/", door.issuer.url.upper(), f" {door.issuer.url}"):
            assert refused(await door.knock(door.issuer.token(iss=name)))

    async def test_a_claim_that_stands_twice_is_refused(self, door: Door):
        text = json.dumps(door.issuer.claims())[:-1] + ', "tenant": "globex"}'
        key = door.issuer.keys[0]
        header = {"alg": key.kind, "typ": "JWT", "kid": key.kid}
        token = jwt.api_jws.encode(text.encode(), key.private, key.kind, header)
        assert refused(await door.knock(token))


class TestHeaders:
    """J5: keys that a token brings or points to are never fetched."""

    @pytest.mark.parametrize(
        "header",
        [
            {"crit": ["exp"]},
            {"crit": []},
            {"b64": False},
            {"typ": "logout+jwt"},
            {"typ": 7},
            {"kid": 7},
            {"kid": ["rs256-1"]},
        ],
        ids=repr,
    )
    async def test_what_we_do_not_understand_is_refused(self, door: Door, header: dict[str, Any]):
        key = door.issuer.keys[0]
        head = encoded({"alg": key.kind, "typ": "JWT", "kid": key.kid, **header})
        signed = f"{head}.{encoded(door.issuer.claims())}"
        algorithm = jwt.get_algorithm_by_name(key.kind)
        signature = encoded(algorithm.sign(signed.encode(), key.private))
        assert refused(await door.knock(f"{signed}.{signature}"))

    async def test_keys_that_a_token_brings_are_not_looked_at(self, door: Door):
        own = SigningKey("own", "RS256", number=7)
        async with local_issuer() as attacker:
            attacker.keys = [own]
            address = f"{attacker.url}/keys"
            headers: list[dict[str, Any]] = [
                {"jwk": own.jwk()},
                {"jku": address},
                {"x5u": address},
                {"kid": address},
                {"kid": f"rs256-1@{address}"},
                {"jku": address, "kid": door.issuer.keys[0].kid},
                {"x5c": ["AAAA"], "kid": "own"},
            ]
            for header in headers:
                assert refused(await door.knock(door.issuer.token(key=own, headers=header)))
            assert attacker.asked == []

    @pytest.mark.parametrize(
        "kid",
        [
            "../../../../dev/null",
            "' or 1=1 --",
            "http://169.254.169.254/",
            "rs256-1\u0000",
            "a" * 900,
        ],
    )
    async def test_the_name_of_a_key_is_only_looked_up(self, door: Door, kid: str):
        assert refused(await door.knock(door.issuer.token(headers={"kid": kid})))


class TestSenselessTokens:
    """J9: what is no token in its place is refused, of any size."""

    @pytest.mark.parametrize(
        "text",
        [
            "a" * 20_000,
            "TOKEN" * 40,
            "....",
            "a.b.c",
            "TOKEN=",
            "TOKEN TOKEN",
            "TOKEN,TOKEN",
            f"{encoded([])}.{encoded([])}.eA",
            f"{encoded(b'[' * 6_000)}.{encoded({})}.eA",
            f"{encoded({'alg': 'RS256'})}.{encoded(b'[' * 9_000)}.eA",
            "%00",
            "hr_",
            "hr_dev_" + "0" * 48,
            f"hr_{'a' * 16}_{'a' * 52}",
            f"hr_{'%' * 16}_{'a' * 52}",
        ],
        ids=lambda text: text[:20],
    )
    async def test_they_are_refused(self, door: Door, text: str):
        assert refused(await door.knock(text.replace("TOKEN", door.issuer.token())))

    async def test_one_of_a_megabyte_is_refused_before_it_is_read(self, door: Door):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.api.port)
        writer.write(b"GET / HTTP/1.1\r\nAuthorization: Bearer ")
        writer.write(b"a" * 1_000_000)
        answer = await reader.read(1_000)
        assert b" 431 " in answer.splitlines()[0]
        writer.close()

    async def test_a_token_counts_nowhere_but_in_its_header(self, door: Door):
        token = door.issuer.token()
        client = await door.api.stranger()
        for name in ("token", "access_token", "authorization", "api_key"):
            assert refused(await client.get(f"{NO_JOB}?{name}={token}"))
        for header in ("X-API-Key", "Cookie", "X-Authorization", "Proxy-Authorization"):
            assert refused(await client.get(NO_JOB, headers={header: f"Bearer {token}"}))
        for text in (token, f"Basic {token}", f"Token {token}", "Bearer"):
            assert refused(await client.get(NO_JOB, headers={"Authorization": text}))

    async def test_two_are_one_too_many(self, door: Door):
        given = f"Bearer {door.issuer.token()}"
        client = await door.api.stranger()
        twice = [("Authorization", given), ("Authorization", given)]
        assert refused(await client.get(NO_JOB, headers=twice))
