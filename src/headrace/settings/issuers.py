"""Identity providers whose tokens are believed, as HEADRACE_AUTH_ISSUERS lists them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Algorithm: TypeAlias = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
"""Signatures by a private key only: nothing that a verifier knows can make one."""
ScopeName: TypeAlias = Literal["jobs:read", "jobs:write", "tenant:admin", "operator"]
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
EXAMPLE: Final = '[{"issuer": "https://login.example.com", "audience": "headrace"}]'


def _check_key_address(address: str) -> str:
    if not is_safe_address(address):
        raise ValueError("no https address")
    return address


def is_safe_address(address: str) -> bool:
    """Whether keys may be fetched there: by TLS, or without it from this machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)


class TrustedIssuer(BaseModel):
    """An identity provider, and what its tokens are worth here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: Annotated[str, Field(min_length=1, max_length=500)]
    """The `iss` of its tokens, to the letter."""
    audience: Annotated[str, Field(min_length=1, max_length=500)]
    """What the `aud` of a token must be, or hold."""
    jwks_url: Annotated[str, AfterValidator(_check_key_address)] | None = None
    """Where its keys are; if left out, what `<issuer>/.well-known/openid-configuration` says."""
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ("RS256", "ES256", "EdDSA")
    tenant: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """All its tokens are of this tenant, whatever they say, and of no operator."""
    scopes: tuple[ScopeName, ...] = ()
    """Of its tokens that name no scopes."""

    @model_validator(mode="after")
    def _find_keys(self) -> Self:
        if self.jwks_url is None and not is_safe_address(self.issuer):
            raise ValueError("jwks_url is needed where the issuer is no https address")
        return self

    def __str__(self) -> str:
        return self.model_dump_json(exclude_defaults=True)


def parse_issuers(value: object) -> object:
    """The list that a text holds as JSON.

    Raises:
        ValueError: It holds none, or two entries for one issuer.
    """
    listed: Any = json.loads(value) if isinstance(value, str) else value
    if not isinstance(listed, list | tuple):
        raise ValueError("no list")  # noqa: TRY004 - pydantic reports a ValueError only
    return tuple(listed)


def check_once(issuers: tuple[TrustedIssuer, ...]) -> tuple[TrustedIssuer, ...]:
    """The same list, which has each issuer once.

    Raises:
        ValueError: One is listed twice.
    """
    if len({issuer.issuer for issuer in issuers}) != len(issuers):
        raise ValueError("an issuer is listed twice")
    return issuers
