"""Addresses that take one file without a credential: what they allow is signed."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from uuid_utils import uuid7

from headrace.model.signing import derive
from headrace.web.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.web.auth.identity import Identity

LIFE_S: Final = 300
OWNER_DIGITS: Final = 32
PATH: Final = "/v1/documents/uploads"


@dataclass(frozen=True, slots=True)
class SignedUpload:
    """An address that takes a file until it expires."""

    upload: UUID
    owner: str
    """Whose the file will be, as a number that only this service can make."""
    expires: int
    """Seconds since 1970."""
    signature: str

    @property
    def url(self) -> str:
        """The address, relative to that of the API."""
        query = f"owner={self.owner}&expires={self.expires}&signature={self.signature}"
        return f"{PATH}/{self.upload}?{query}"


def sign_upload(keys: Sequence[bytes], identity: Identity) -> SignedUpload:
    """An address for a file of a caller's.

    Args:
        keys: The master keys, the newest first.
        identity: The caller.

    Raises:
        ProblemError: `CONFLICT`: there are no keys.
    """
    if not keys:
        raise ProblemError("CONFLICT", "this service signs nothing: SIGNING_KEYS is not set")
    upload, expires = UUID(int=uuid7().int), int(time.time()) + LIFE_S
    owner = _owner_number(keys[0], identity)
    return SignedUpload(upload, owner, expires, _signature(keys[0], upload, owner, expires))


def is_signed(keys: Sequence[bytes], given: SignedUpload, *, now: float) -> bool:
    """Whether an address is one that was given out, and has not expired."""
    wanted = [_signature(key, given.upload, given.owner, given.expires) for key in keys]
    # Each, found or not: the time that it takes tells nothing.
    matches = [hmac.compare_digest(given.signature, one) for one in wanted]
    return any(matches) and now < given.expires


def owner_numbers(keys: Sequence[bytes], identity: Identity) -> list[str]:
    """The numbers that stand for a caller: one for each key."""
    return [_owner_number(key, identity) for key in keys]


def _owner_number(key: bytes, identity: Identity) -> str:
    whose = f"{identity.tenant}\n{identity.owner}".encode()  # printable, so without a newline
    found = hmac.new(derive(key, "upload:owner"), whose, hashlib.sha256)
    return found.hexdigest()[:OWNER_DIGITS]


def _signature(key: bytes, upload: UUID, owner: str, expires: int) -> str:
    allowed = f"{upload}\n{owner}\n{expires}".encode()
    return hmac.new(derive(key, "upload"), allowed, hashlib.sha256).hexdigest()
