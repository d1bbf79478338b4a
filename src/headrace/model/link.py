"""Links behind which a person answers: what they allow stands in them, signed, and nowhere else.

A token is the base64 of URLs over what the link says and 16 bytes of HMAC-SHA256. Any of the keys
of the settings verifies it, so that links outlive a change of keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from headrace.model.signing import derive

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION: Final = 1
PURPOSE: Final = "signal:link"
NONCE_BYTES: Final = 8
_HEAD: Final = struct.Struct(f">B16sIQ{NONCE_BYTES}s")
_SIGNATURE_BYTES: Final = 16
LONGEST_TITLE: Final = 100
LONGEST_TEXT: Final = 300
LONGEST_TOKEN: Final = 4_096
"""Characters; what is longer is none of ours, and is not looked at."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a link allows: one answer to one signal of a job.

    Attributes:
        job: The job that waits.
        run: The run for which the link was made.
        name: The signal.
        expires: Seconds since 1970; from then on it is not taken.
        nonce: 8 bytes that tell this link from others to the same signal.
        title: What is to be decided, one line; empty where the step said nothing.
        text: More on it, lines of plain text.
    """

    job: UUID
    run: int
    name: str
    expires: int
    nonce: bytes
    title: str = ""
    text: str = ""

    @property
    def sender(self) -> str:
        """Who answers, as it is recorded: which link it was, for nobody knows more."""
        return f"link:{self.nonce.hex()}"


def write_token(key: bytes, link: Link) -> str:
    """The token of a link.

    Args:
        key: The newest master key.
        link: Its title is one line, its name an identifier.
    """
    head = _HEAD.pack(VERSION, link.job.bytes, link.run, link.expires, link.nonce)
    said = head + f"{link.name}\n{link.title}\n{link.text}".encode()
    return _encode(said + _signature(key, said))


def read_token(keys: Sequence[bytes], token: str) -> Link | None:
    """The link of a token, expired or not; None if nobody with one of these keys made it.

    Args:
        keys: The master keys, all that are valid.
        token: Whatever a stranger sent.
    """
    data = _decode(token)
    if len(data) < _HEAD.size + _SIGNATURE_BYTES:
        return None
    said, given = data[:-_SIGNATURE_BYTES], data[-_SIGNATURE_BYTES:]
    # With each key, found or not: the time that it takes tells nothing.
    matches = [hmac.compare_digest(given, _signature(key, said)) for key in keys]
    if not any(matches) or said[0] != VERSION:
        return None
    _, job, run, expires, nonce = _HEAD.unpack(said[: _HEAD.size])
    name, title, text = said[_HEAD.size :].decode().split("\n", 2)
    return Link(UUID(bytes=job), run, name, expires, nonce, title, text)


def _signature(key: bytes, said: bytes) -> bytes:
    made = hmac.digest(derive(key, PURPOSE), said, hashlib.sha256)
    return made[:_SIGNATURE_BYTES]


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(token: str) -> bytes:
    """The bytes of a token; empty where it is none, or another spelling of one."""
    if len(token) > LONGEST_TOKEN:
        return b""
    try:
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return b""
    return data if _encode(data) == token else b""
