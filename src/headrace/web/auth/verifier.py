"""One verifier for all credentials: API keys, tokens of trusted issuers, and that of `dev`."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from time import monotonic
from typing import TYPE_CHECKING, Final

from headrace.client.options import DEFAULT
from headrace.errors import InvalidError
from headrace.store.api_keys import START, find_holder
from headrace.web.auth.fetching import KeyFetcher
from headrace.web.auth.identity import Identity, Scope
from headrace.web.auth.memory import Memory, digest_of
from headrace.web.auth.refusal import Reason, RefusedError
from headrace.web.auth.sources import KeySource
from headrace.web.auth.telling import told_refusals
from headrace.web.auth.tokens import Claims, TokenVerifier
from headrace.web.state import CONNECTION_WAIT_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.app import Headrace

REMEMBERED_S: Final = 30.0
"""An API key is not looked up again for so long; a revoked one is accepted no longer than that."""
DEVELOPER: Final = Identity(DEFAULT, DEFAULT, frozenset(Scope), "developer", "api_key")
"""Who holds the token of `headrace dev`: the tenant and owner that the command line uses."""


def make_development_token() -> str:
    """A token for one process of `headrace dev`."""
    return f"{START}dev_{secrets.token_hex(24)}"


class ApiKeyVerifier:
    """Tells whose an API key is.

    Args:
        app: Has the database of the keys.
        clock: Seconds that never go back.
    """

    def __init__(self, app: Headrace, clock: Callable[[], float]) -> None:
        self._app = app
        self._memory: Memory[Identity] = Memory(clock)
        self._lookups: dict[bytes, asyncio.Task[Identity]] = {}

    async def verify(self, key: str) -> Identity:
        """The identity that a key stands for.

        Raises:
            RefusedError: There is no such key that can be used.
            DatabaseUnavailableError: The database does not answer.
        """
        digest = digest_of(key)
        known = self._memory.get(digest)
        if known is not None:
            return known
        # Clients that share a key come together when it has to be looked up again.
        lookup = self._lookups.get(digest)
        if lookup is None:
            lookup = self._lookups[digest] = asyncio.create_task(self._look_up(key, digest))
            lookup.add_done_callback(lambda done: self._forget(digest, done))
        return await asyncio.shield(lookup)

    async def close(self) -> None:
        """End what is under way."""
        lookups = list(self._lookups.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    def _forget(self, digest: bytes, done: asyncio.Task[Identity]) -> None:
        del self._lookups[digest]
        if not done.cancelled():
            done.exception()  # whoever asked may have left

    async def _look_up(self, key: str, digest: bytes) -> Identity:
        async with self._app.connection(wait_s=CONNECTION_WAIT_S) as connection:
            holder = await find_holder(connection, key)
        if holder is None:
            raise RefusedError(Reason.UNKNOWN_API_KEY)
        scopes = frozenset(scope for scope in Scope if scope in holder.scopes)
        subject = f"key:{holder.prefix}"  # by this name no log takes it for a secret
        identity = Identity(holder.tenant, holder.owner, scopes, subject, "api_key")
        self._memory.keep(digest, identity, min(REMEMBERED_S, holder.left_s))
        return identity


class Credentials:
    """Tells whose any bearer credential is; `make_verifier` makes it."""

    def __init__(
        self,
        api_keys: ApiKeyVerifier,
        tokens: TokenVerifier,
        fetcher: KeyFetcher,
        development_token: str | None,
    ) -> None:
        self._api_keys, self._tokens, self._fetcher = api_keys, tokens, fetcher
        self._development = development_token and development_token.encode()

    async def verify(self, credential: str) -> Identity:
        """The identity that a credential proves.

        Raises:
            ProblemError: `AUTH_REQUIRED`: it proves none. `UNAVAILABLE`: its issuer does not
                answer, so nobody can tell.
            DatabaseUnavailableError: The database does not answer.
        """
        with told_refusals():
            return await self._find(credential)

    def issuers(self) -> dict[str, bool]:
        """The issuers that are trusted, each with whether it did not answer last."""
        return self._tokens.issuers()

    async def close(self) -> None:
        """End what is under way, and close connections to issuers."""
        await self._api_keys.close()
        await self._tokens.close()
        await self._fetcher.close()

    async def _find(self, credential: str) -> Identity:
        if not credential.isascii():
            raise RefusedError(Reason.MALFORMED)
        if not credential.startswith(START):
            return await self._tokens.verify(credential)
        if self._development and hmac.compare_digest(credential.encode(), self._development):
            return DEVELOPER
        return await self._api_keys.verify(credential)


def make_verifier(
    app: Headrace,
    *,
    development_token: str | None = None,
    clock: Callable[[], float] = monotonic,
) -> Credentials:
    """The verifier that the settings of an application ask for.

    API keys are always accepted, tokens only of the issuers of the settings: with neither nobody
    is let in.

    Args:
        app: Its settings, and the database of its API keys.
        development_token: Lets a developer in, who may do everything in the tenant `default`.
        clock: Seconds that never go back.

    Raises:
        InvalidError: A development token in production.
    """
    settings = app.settings
    if development_token is not None and settings.env == "production":
        raise InvalidError("there is no development token in production")
    fetcher = KeyFetcher()
    sources = [KeySource(issuer, fetcher, clock) for issuer in settings.auth_issuers]
    claims = Claims(settings.auth_tenant_claim, settings.auth_owner_claim)
    tokens = TokenVerifier(sources, claims, clock)
    return Credentials(ApiKeyVerifier(app, clock), tokens, fetcher, development_token)
