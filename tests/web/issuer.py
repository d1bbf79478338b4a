"""An identity provider of the tests' own: a real HTTP server, real keys, and bad days."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, TypeAlias

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from headrace.settings.issuers import TrustedIssuer
from headrace.web.auth.identity import Scope

AUDIENCE = "headrace"
USER = (Scope.JOBS_READ, Scope.JOBS_WRITE)
Kind: TypeAlias = Literal["RS256", "PS256", "ES256", "ES384", "EdDSA"]
Mood: TypeAlias = Literal[
    "well", "down", "slow", "flood", "compressed", "redirect", "error", "nonsense"
]
FLOOD = b" " * 65_536


@cache
def private_key(
    kind: Kind,
    number: int,  # noqa: ARG001 - tells keys of one kind apart
    bits: int = 2_048,
) -> Any:  # noqa: ANN401 - of any kind
    """A private key; made once, because an RSA key takes a tenth of a second."""
    if kind == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "ES384":
        return ec.generate_private_key(ec.SECP384R1())
    if kind == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65_537, bits)


@dataclass(frozen=True)
class SigningKey:
    """A key pair of the issuer."""

    kid: str
    kind: Kind
    number: int = 0
    bits: int = 2_048

    @property
    def private(self) -> Any:  # noqa: ANN401
        return private_key(self.kind, self.number, self.bits)

    def jwk(self) -> dict[str, Any]:
        """The public half as it is published."""
        algorithm = {"RS": RSAAlgorithm, "PS": RSAAlgorithm, "ES": ECAlgorithm, "Ed": OKPAlgorithm}
        public = algorithm[self.kind[:2]].to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "alg": self.kind, "use": "sig", "key_ops": ["verify"]}

    def pem(self) -> bytes:
        """The public half as a file."""
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


def encoded(value: object) -> str:
    """A part of a token."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@dataclass
class LocalIssuer:
    """What the tests turn: its keys, and its mood."""

    port: int = 0
    mood: Mood = "well"
    keys: list[SigningKey] = field(default_factory=lambda: [SigningKey("rsa-1", "RS256")])
    documents: dict[str, Any] = field(default_factory=dict)
    """What is served in place of the right document, by path."""
    asked: list[str] = field(default_factory=list)
    """The paths that were asked for."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """A request is there."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    """Set it to let a slow answer go."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def trusted(self, **changes: Any) -> TrustedIssuer:
        """The entry of HEADRACE_AUTH_ISSUERS for it."""
        return TrustedIssuer(**{"issuer": self.url, "audience": AUDIENCE, **changes})

    def claims(
        self,
        tenant: str = "acme",
        owner: str = "ann",
        scopes: Iterable[Scope] = USER,
        **claims: Any,
    ) -> dict[str, Any]:
        """The claims of a good token; those that are given as None are left out."""
        now = int(time.time())
        usual = {
            "iss": self.url,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 600,
            "sub": owner,
            "tenant": tenant,
            "scope": " ".join(scopes),
        }
        return {name: value for name, value in {**usual, **claims}.items() if value is not None}

    def token(
        self,
        tenant: str = "acme",
        owner: str = "ann",
        scopes: Iterable[Scope] = USER,
        *,
        key: SigningKey | None = None,
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token that is good but for what is given."""
        signing = key or self.keys[0]
        return jwt.encode(
            self.claims(tenant, owner, scopes, **claims),
            signing.private,
            signing.kind,
            headers={"kid": signing.kid, **(headers or {})},
        )

    def _document(self, path: str) -> Any:  # noqa: ANN401 - JSON
        if path in self.documents:
            return self.documents[path]
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        return {"keys": [key.jwk() for key in self.keys]} if path == "/keys" else None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one answer."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            path = request.split(b" ", 2)[1].decode()
            self.asked.append(path)
            self.arrived.set()
            if self.mood == "slow":
                await self.released.wait()
            if self.mood != "down":
                await self._answer(writer, path)
        writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, path: str) -> None:
        document = self._document(path)
        body = b"<html>" if self.mood == "nonsense" else json.dumps(document).encode()
        status = 503 if self.mood == "error" else 302 if self.mood == "redirect" else 200
        lines = [f"HTTP/1.1 {status if document is not None else 404} .", "Connection: close"]
        if self.mood == "redirect":
            lines.append(f"Location: {self.url}/elsewhere")
        if self.mood == "compressed":
            lines.append("Content-Encoding: gzip")
        if self.mood != "flood":
            lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        while self.mood == "flood":
            writer.write(FLOOD)
            await writer.drain()
        await writer.drain()


@contextlib.asynccontextmanager
async def local_issuer(*kinds: Kind) -> AsyncIterator[LocalIssuer]:
    """An issuer that listens, inside an `async with` block.

    Args:
        kinds: Of its keys; RS256 if left out.
    """
    issuer = LocalIssuer()
    if kinds:
        issuer.keys = [SigningKey(f"{kind.lower()}-1", kind) for kind in kinds]
    server = await asyncio.start_server(issuer.serve, "127.0.0.1", 0)
    issuer.port = server.sockets[0].getsockname()[1]
    try:
        yield issuer
    finally:
        issuer.released.set()
        issuer.mood = "well"
        server.close()
