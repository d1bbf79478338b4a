"""The keys of an issuer: rotated, withdrawn, out of reach; asked for as seldom as is safe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from headrace.app import Headrace
from headrace.settings import Settings
from headrace.settings.issuers import TrustedIssuer
from headrace.web.auth.fetching import KeyFetcher
from headrace.web.auth.identity import Scope
from headrace.web.auth.verifier import Credentials, make_verifier
from headrace.web.problems import ProblemError
from tests.web.issuer import LocalIssuer, Mood, SigningKey, local_issuer

KEYS = "/keys"


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Desk:
    """A verifier whose clock stands still, and the issuer that it trusts."""

    issuer: LocalIssuer
    verifier: Credentials
    clock: Clock

    async def answer(self, token: str) -> str:
        """`ok`, or the code of the problem."""
        try:
            await self.verifier.verify(token)
        except ProblemError as problem:
            return problem.code
        return "ok"

    def fetches(self) -> int:
        return self.issuer.asked.count(KEYS)


def verifier_of(issuers: Sequence[TrustedIssuer], clock: Clock) -> Credentials:
    settings = Settings(env="testing", auth_issuers=tuple(issuers))
    return make_verifier(Headrace([], settings=settings), clock=clock)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with local_issuer() as issuer:
        clock = Clock()
        verifier = verifier_of([issuer.trusted()], clock)
        yield Desk(issuer, verifier, clock)
        await verifier.close()


NEW = SigningKey("rsa-2", "RS256", number=2)


class TestFetching:
    async def test_keys_are_found_by_discovery_and_kept(self, desk: Desk):
        for owner in ("ann", "bob", "cid"):
            assert await desk.answer(desk.issuer.token(owner=owner)) == "ok"
        assert desk.issuer.asked == ["/.well-known/openid-configuration", KEYS]

    async def test_an_address_of_keys_needs_no_discovery(self, desk: Desk):
        trusted = desk.issuer.trusted(jwks_url=f"{desk.issuer.url}{KEYS}")
        verifier = verifier_of([trusted], desk.clock)
        assert (await verifier.verify(desk.issuer.token())).tenant == "acme"
        assert desk.issuer.asked == [KEYS]
        await verifier.close()

    async def test_many_that_come_at_once_wait_for_one_fetch(self, desk: Desk):
        tokens = [desk.issuer.token(owner=f"user-{number}") for number in range(20)]
        answers = await asyncio.gather(*map(desk.answer, tokens))
        assert set(answers) == {"ok"}
        assert desk.fetches() == 1

    async def test_one_that_leaves_takes_nothing_from_the_others(self, desk: Desk):
        desk.issuer.mood = "slow"
        leaving = asyncio.create_task(desk.answer(desk.issuer.token(owner="ann")))
        staying = asyncio.create_task(desk.answer(desk.issuer.token(owner="bob")))
        await desk.issuer.arrived.wait()
        leaving.cancel()
        desk.issuer.released.set()
        assert await staying == "ok"
        assert leaving.cancelled()

    async def test_old_keys_are_renewed_beside_the_requests(self, desk: Desk):
        assert await desk.answer(desk.issuer.token()) == "ok"
        desk.issuer.arrived.clear()
        desk.issuer.mood = "slow"
        desk.clock.now += 301
        assert await desk.answer(desk.issuer.token(owner="bob")) == "ok"
        await desk.issuer.arrived.wait()

    @pytest.mark.parametrize(
        "changes",
        [
            {"kty": "oct", "k": "c2VjcmV0"},
            {"use": "enc"},
            {"key_ops": ["encrypt"]},
            {"alg": "RS1"},
            {"alg": "HS256"},
            {"d": "AQAB"},
            {"n": "AQAB"},
            {"n": 7},
        ],
        ids=repr,
    )
    async def test_keys_for_something_else_are_left_out(self, desk: Desk, changes: dict[str, Any]):
        key = desk.issuer.keys[0]
        desk.issuer.documents[KEYS] = {"keys": [{**key.jwk(), **changes}, "no key", None]}
        assert await desk.answer(desk.issuer.token()) == "AUTH_REQUIRED"

    async def test_short_keys_are_left_out(self, desk: Desk):
        desk.issuer.keys = [SigningKey("short", "RS256", bits=1_024)]
        with pytest.warns(UserWarning, match="1024"):
            token = desk.issuer.token()
        assert await desk.answer(token) == "AUTH_REQUIRED"

    async def test_signatures_that_are_not_allowed_are_refused(self, desk: Desk):
        verifier = verifier_of([desk.issuer.trusted(algorithms=["ES256"])], desk.clock)
        with pytest.raises(ProblemError, match="AUTH_REQUIRED"):
            await verifier.verify(desk.issuer.token())
        await verifier.close()

    async def test_a_key_that_names_no_signature_gets_one(self, desk: Desk):
        key = desk.issuer.keys[0]
        jwk = {name: value for name, value in key.jwk().items() if name != "alg"}
        desk.issuer.documents[KEYS] = {"keys": [jwk]}
        assert await desk.answer(desk.issuer.token()) == "ok"
        pss = SigningKey(key.kid, "PS256")
        assert await desk.answer(desk.issuer.token(key=pss)) == "AUTH_REQUIRED"


class TestRotation:
    """J5, J6: keys come and go, and unknown ones are looked for once a minute."""

    async def test_a_new_key_is_accepted_at_once(self, desk: Desk):
        assert await desk.answer(desk.issuer.token()) == "ok"
        desk.issuer.keys.append(NEW)
        assert await desk.answer(desk.issuer.token(key=NEW)) == "ok"
        assert await desk.answer(desk.issuer.token(owner="bob")) == "ok"
        assert desk.fetches() == 2

    async def test_a_withdrawn_key_is_refused_after_the_life_of_the_cache(self, desk: Desk):
        old = desk.issuer.token()
        assert await desk.answer(old) == "ok"
        withdrawn, desk.issuer.keys = desk.issuer.keys[0], [NEW]
        assert await desk.answer(old) == "ok"
        desk.clock.now += 601
        assert await desk.answer(old) == "AUTH_REQUIRED"
        assert await desk.answer(desk.issuer.token("globex", key=withdrawn)) == "AUTH_REQUIRED"
        assert await desk.answer(desk.issuer.token()) == "ok"

    async def test_what_was_checked_with_a_withdrawn_key_is_checked_again(self, desk: Desk):
        old = desk.issuer.token()
        assert await desk.answer(old) == "ok"
        desk.issuer.keys = [NEW]
        assert await desk.answer(desk.issuer.token()) == "ok"
        assert await desk.answer(old) == "AUTH_REQUIRED"

    async def test_unknown_keys_are_looked_for_once_a_minute(self, desk: Desk):
        assert await desk.answer(desk.issuer.token()) == "ok"
        for number in range(50):
            token = desk.issuer.token(headers={"kid": f"guess-{number}"})
            assert await desk.answer(token) == "AUTH_REQUIRED"
        assert desk.fetches() == 2
        desk.issuer.keys.append(NEW)
        assert await desk.answer(desk.issuer.token(key=NEW)) == "AUTH_REQUIRED"
        desk.clock.now += 60
        assert await desk.answer(desk.issuer.token(key=NEW)) == "ok"
        assert desk.fetches() == 3


class TestIssuerOnABadDay:
    """J6: who cannot be checked is nobody; keys outlast a short outage."""

    @pytest.mark.parametrize(
        "mood", ["down", "flood", "compressed", "redirect", "error", "nonsense"]
    )
    async def test_without_its_keys_nobody_can_tell(self, desk: Desk, mood: Mood):
        desk.issuer.mood = mood
        assert await desk.answer(desk.issuer.token()) == "UNAVAILABLE"
        assert "/elsewhere" not in desk.issuer.asked

    async def test_it_is_left_alone_for_a_while(self, desk: Desk):
        desk.issuer.mood = "down"
        for owner in ("ann", "bob", "cid"):
            assert await desk.answer(desk.issuer.token(owner=owner)) == "UNAVAILABLE"
        assert len(desk.issuer.asked) == 1
        desk.issuer.mood = "well"
        desk.clock.now += 5
        assert await desk.answer(desk.issuer.token()) == "ok"

    async def test_its_keys_are_good_for_ten_minutes(self, desk: Desk):
        assert await desk.answer(desk.issuer.token()) == "ok"
        desk.issuer.mood = "down"
        desk.clock.now += 599
        assert await desk.answer(desk.issuer.token(owner="bob")) == "ok"
        desk.clock.now += 2
        assert await desk.answer(desk.issuer.token(owner="cid")) == "UNAVAILABLE"
        assert await desk.answer(desk.issuer.token(owner="bob")) == "UNAVAILABLE"

    async def test_an_unknown_key_may_be_a_new_one(self, desk: Desk):
        assert await desk.answer(desk.issuer.token()) == "ok"
        desk.issuer.mood = "down"
        for owner in ("ann", "bob"):
            assert await desk.answer(desk.issuer.token(owner=owner, key=NEW)) == "UNAVAILABLE"

    async def test_a_slow_one_is_given_up(self, desk: Desk):
        desk.issuer.mood = "slow"
        fetcher = KeyFetcher(limit_s=0.1)
        with pytest.raises((TimeoutError, httpx2.TimeoutException)):
            await fetcher.fetch(desk.issuer.trusted())
        await fetcher.close()

    @pytest.mark.parametrize(
        "document",
        [
            {"issuer": "https://other.example", "jwks_uri": "https://other.example/keys"},
            {"jwks_uri": "http://127.0.0.1:1/keys"},
            {"issuer": None},
            [],
        ],
        ids=["of another", "of nobody", "null", "a list"],
    )
    async def test_a_discovery_document_speaks_for_its_issuer_only(
        self,
        desk: Desk,
        document: Any,  # noqa: ANN401
    ):
        desk.issuer.documents["/.well-known/openid-configuration"] = document
        assert await desk.answer(desk.issuer.token()) == "UNAVAILABLE"
        assert desk.fetches() == 0

    @pytest.mark.parametrize(
        "address", ["http://10.0.0.1/keys", "file:///etc/passwd", "ftp://x/", "", None, 7]
    )
    async def test_keys_come_by_a_safe_way_only(self, desk: Desk, address: object):
        document = {"issuer": desk.issuer.url, "jwks_uri": address}
        desk.issuer.documents["/.well-known/openid-configuration"] = document
        assert await desk.answer(desk.issuer.token()) == "UNAVAILABLE"

    @pytest.mark.parametrize("document", [{}, {"keys": {}}, [], "keys", {"keys": "all"}], ids=repr)
    async def test_a_document_that_is_no_key_set_changes_nothing(
        self, desk: Desk, document: object
    ):
        assert await desk.answer(desk.issuer.token()) == "ok"
        desk.issuer.documents[KEYS] = document
        assert await desk.answer(desk.issuer.token(key=NEW)) == "UNAVAILABLE"
        assert await desk.answer(desk.issuer.token(owner="bob")) == "ok"


class TestSeveralIssuers:
    async def test_each_is_believed_by_its_own_keys_only(self, desk: Desk):
        async with local_issuer("ES256") as second:
            verifier = verifier_of([desk.issuer.trusted(), second.trusted()], desk.clock)
            assert (await verifier.verify(second.token())).subject == f"{second.url}#ann"
            posing = second.token(iss=desk.issuer.url)
            with pytest.raises(ProblemError, match="AUTH_REQUIRED"):
                await verifier.verify(posing)
            await verifier.close()

    async def test_one_may_speak_for_one_tenant_only(self, desk: Desk):
        verifier = verifier_of([desk.issuer.trusted(tenant="globex")], desk.clock)
        identity = await verifier.verify(desk.issuer.token("acme", scopes=Scope))
        assert identity.tenant == "globex"
        assert identity.scopes == set(Scope) - {Scope.OPERATOR}
        await verifier.close()

    async def test_tokens_without_scopes_get_those_of_the_issuer(self, desk: Desk):
        verifier = verifier_of([desk.issuer.trusted(scopes=["jobs:read"])], desk.clock)
        bare = await verifier.verify(desk.issuer.token(scope=None))
        assert bare.scopes == {Scope.JOBS_READ}
        named = await verifier.verify(desk.issuer.token(scopes=[Scope.JOBS_WRITE]))
        assert named.scopes == {Scope.JOBS_WRITE}
        await verifier.close()

    async def test_claims_have_the_names_of_the_settings(self, desk: Desk):
        settings = Settings(
            env="testing",
            auth_issuers=(desk.issuer.trusted(),),
            auth_tenant_claim="firebase.tenant",
            auth_owner_claim="https://example.com/user",
        )
        verifier = make_verifier(Headrace([], settings=settings), clock=desk.clock)
        claims = {"firebase": {"tenant": "globex"}, "https://example.com/user": "eve"}
        identity = await verifier.verify(desk.issuer.token(**claims))
        assert (identity.tenant, identity.owner) == ("globex", "eve")
        with pytest.raises(ProblemError, match="names no tenant"):
            await verifier.verify(desk.issuer.token())
        await verifier.close()


async def test_without_an_issuer_no_token_is_good(desk: Desk):
    verifier = verifier_of([], desk.clock)
    with pytest.raises(ProblemError, match="AUTH_REQUIRED"):
        await verifier.verify(desk.issuer.token())
    await verifier.close()
