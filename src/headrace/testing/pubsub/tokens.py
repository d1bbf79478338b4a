"""The tokens that a push carries, and their public keys, as Google's accounts service has them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from functools import cache
from typing import Final, TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

Claim: TypeAlias = str | int | bool

ISSUER: Final = "https://accounts.google.com"
LIFETIME_S: Final = 3_600
_EXPONENT: Final = 65_537
_KEY_BITS: Final = 2_048


@cache
def _key(number: int) -> rsa.RSAPrivateKey:  # noqa: ARG001 - tells keys apart
    """A key; kept for all servers of a process, because each takes a tenth of a second."""
    return rsa.generate_private_key(_EXPONENT, _KEY_BITS)


class Tokens:
    """Signs with one key; the one before it stays published for those who know it."""

    def __init__(self) -> None:
        self._number = 0

    def rotate(self) -> None:
        """Sign with a new key from now on."""
        self._number += 1

    def claims(self, audience: str, email: str) -> dict[str, Claim]:
        """What a push token says."""
        now = int(time.time())
        return {
            "aud": audience,
            "azp": email,
            "email": email,
            "email_verified": True,
            "exp": now + LIFETIME_S,
            "iat": now,
            "iss": ISSUER,
            "sub": email,
        }

    def sign(self, claims: Mapping[str, Claim]) -> str:
        """A JSON web token, RS256."""
        header = {"alg": "RS256", "kid": _kid(self._number), "typ": "JWT"}
        signed = f"{_encode(header)}.{_encode(dict(claims))}"
        signature = _key(self._number).sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64(signature)}"

    def key_set(self) -> dict[str, list[dict[str, str]]]:
        """The public keys as a JSON web key set, as at https://www.googleapis.com/oauth2/v3/certs."""
        numbers = range(max(0, self._number - 1), self._number + 1)
        return {"keys": [_public(number) for number in numbers]}


def _public(number: int) -> dict[str, str]:
    numbers = _key(number).public_key().public_numbers()
    return {
        "alg": "RS256",
        "e": _base64(numbers.e.to_bytes(3, "big")),
        "kid": _kid(number),
        "kty": "RSA",
        "n": _base64(numbers.n.to_bytes(_KEY_BITS // 8, "big")),
        "use": "sig",
    }


def _kid(number: int) -> str:
    return f"test-{number}"


def _encode(data: Mapping[str, object]) -> str:
    return _base64(json.dumps(data, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
