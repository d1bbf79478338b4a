"""JSON web tokens: whose they are, if they are good.

What a token says of itself decides only which issuer and which of its keys to try. The signature is
the one that belongs to the key; `jku`, `x5u` and `jwk` in the header are not looked at.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jwt
from jwt import exceptions

from headrace.client.options import LONGEST_TEXT
from headrace.client.strict import NotStrictError, load_strict
from headrace.web.auth.identity import Identity, Scope
from headrace.web.auth.memory import Memory, digest_of
from headrace.web.auth.refusal import Reason, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from headrace.settings.issuers import TrustedIssuer
    from headrace.web.auth.sources import KeySource

LEEWAY_S: Final = 30
LONGEST_TOKEN: Final = 16 * 1_024
LONGEST_LIFE_S: Final = 48 * 3_600
"""From its issue to its end; no provider that is set up well gives more."""
REMEMBERED_S: Final = 60.0
"""A token that was checked is not checked again for so long."""
TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""What `typ` may say: tokens of other kinds, as for a logout, are signed by the same keys."""
_SHAPE: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)

_REASONS: Final = (
    (exceptions.ExpiredSignatureError, Reason.EXPIRED),
    (exceptions.ImmatureSignatureError, Reason.NOT_YET_VALID),
    (exceptions.InvalidAudienceError, Reason.WRONG_AUDIENCE),
    (exceptions.InvalidSignatureError, Reason.BAD_SIGNATURE),
)


@dataclass(frozen=True, slots=True)
class Claims:
    """Which claims name the tenant and the owner."""

    tenant: str = "tenant"
    owner: str = "sub"


class TokenVerifier:
    """Tells whose a token is.

    Args:
        sources: The keys of the issuers that are trusted, by the name of the issuer.
        claims: Which claims name the tenant and the owner.
        clock: Seconds that never go back.
    """

    def __init__(
        self, sources: Iterable[KeySource], claims: Claims, clock: Callable[[], float]
    ) -> None:
        self._sources = {source.issuer.issuer: source for source in sources}
        self._claims = claims
        self._memory: Memory[tuple[Identity, KeySource, int]] = Memory(clock)

    async def verify(self, token: str) -> Identity:
        """The identity that a token proves.

        Raises:
            RefusedError: It proves none.
            KeysUnavailableError: Its issuer does not answer.
        """
        if len(token) > LONGEST_TOKEN:
            raise RefusedError(Reason.TOO_LONG)
        digest = digest_of(token)
        known = self._memory.get(digest)
        if known is not None:
            identity, source, generation = known
            if generation == source.generation and source.remaining_s() > 0:
                return identity
        return await self._check(token, digest)

    def issuers(self) -> dict[str, bool]:
        """The issuers that are trusted, each with whether it did not answer last."""
        return {name: source.is_away for name, source in self._sources.items()}

    async def close(self) -> None:
        """End what is under way."""
        for source in self._sources.values():
            await source.close()

    async def _check(self, token: str, digest: bytes) -> Identity:
        source = self._sources.get(issuer_of(token))
        if source is None:
            raise RefusedError(Reason.UNKNOWN_ISSUER)
        claims, generation = await proven_claims(token, source)
        identity = self._identity(claims, source.issuer)
        left_s = claims["exp"] + LEEWAY_S - time.time()
        self._memory.keep(digest, (identity, source, generation), min(REMEMBERED_S, left_s))
        return identity

    def _identity(self, claims: Mapping[str, Any], issuer: TrustedIssuer) -> Identity:
        tenant = issuer.tenant or _name(claims, self._claims.tenant)
        owner = _name(claims, self._claims.owner)
        scopes = _scopes(claims, issuer)
        if issuer.tenant is not None:
            scopes -= {Scope.OPERATOR}
        person = claims.get("sub")
        subject = f"{issuer.issuer}#{person if _is_name(person) else owner}"
        return Identity(tenant, owner, scopes, subject, "jwt")


def issuer_of(token: str) -> str:
    """Who a token says that it is from; empty where it says nothing.

    Raises:
        RefusedError: It is no token.
    """
    return _text(_read(token)[1].get("iss"))


async def proven_claims(token: str, source: KeySource) -> tuple[dict[str, Any], int]:
    """What a token of an issuer says, and the generation of the keys that prove it.

    Raises:
        RefusedError: It is not good now.
        KeysUnavailableError: Its issuer does not answer.
    """
    header, _ = _read(token)
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise RefusedError(Reason.MALFORMED)
    key = await source.find(kid, _text(header.get("alg")))
    if key is None:
        raise RefusedError(Reason.UNKNOWN_KEY)
    generation = source.generation
    return _proven(token, key, source.issuer), generation


def _read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token, as it says."""
    if not _SHAPE.fullmatch(token):
        raise RefusedError(Reason.MALFORMED)
    header, claims, _ = token.split(".")
    head = _object(header)
    if "crit" in head or "b64" in head:
        raise RefusedError(Reason.CRITICAL_HEADER)
    if _text(head.get("typ", "JWT")).lower() not in TYPES:
        raise RefusedError(Reason.MALFORMED)
    return head, _object(claims)


def _object(part: str) -> dict[str, Any]:
    try:
        value = load_strict(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, NotStrictError):
        raise RefusedError(Reason.MALFORMED) from None
    if not isinstance(value, dict):
        raise RefusedError(Reason.MALFORMED)
    return value


def _proven(token: str, key: jwt.PyJWK, issuer: TrustedIssuer) -> dict[str, Any]:
    """The claims of a token that is good at this time."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            audience=issuer.audience,
            issuer=issuer.issuer,
            leeway=LEEWAY_S,
            options={"require": ["iss", "aud"], "verify_sub": False, "verify_jti": False},
        )
    except exceptions.PyJWTError as error:
        kinds = (reason for kind, reason in _REASONS if isinstance(error, kind))
        raise RefusedError(next(kinds, Reason.BAD_CLAIM)) from None
    _check_life(claims)
    return claims


def _check_life(claims: Mapping[str, Any]) -> None:
    times = {name: claims[name] for name in ("exp", "iat", "nbf") if name in claims}
    if "exp" not in times:
        raise RefusedError(Reason.NO_EXPIRY)
    if not all(type(moment) in {int, float} for moment in times.values()):
        raise RefusedError(Reason.BAD_CLAIM)
    if times["exp"] - times.get("iat", time.time()) > LONGEST_LIFE_S:
        raise RefusedError(Reason.LIVES_TOO_LONG)


def _scopes(claims: Mapping[str, Any], issuer: TrustedIssuer) -> frozenset[Scope]:
    given = claims.get("scope", claims.get("scp"))
    names = given.split() if isinstance(given, str) else given
    if names is None:
        return frozenset(map(Scope, issuer.scopes))
    if not isinstance(names, list):
        raise RefusedError(Reason.BAD_CLAIM)
    return frozenset(scope for scope in Scope if scope in names)


def _name(claims: Mapping[str, Any], path: str) -> str:
    """A tenant or an owner: the claim of this name, else the one that the path leads to."""
    value: Any = claims.get(path)
    if value is None:
        value = claims
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    if not _is_name(value):
        raise RefusedError(Reason.NO_TENANT)
    return str(value)


def _is_name(value: object) -> bool:
    """Whether it can be stored as a tenant or an owner; see `check_text`."""
    return isinstance(value, str) and 1 <= len(value) <= LONGEST_TEXT and value.isprintable()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
