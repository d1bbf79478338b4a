"""Signatures of messages that leave or arrive, as Standard Webhooks has them.

Signed is `id.timestamp.body` with HMAC-SHA256. While a key is changed there are two of them: who
sends signs with both, who receives accepts either. A key is made from the master key of the
settings and what it is for, so that no row ever holds one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from headrace.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ID_HEADER: Final = "webhook-id"
TIME_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how secrets begin
VERSION: Final = "v1"
TOLERANCE: Final = timedelta(minutes=5)
"""By which the clocks of sender and receiver, and the way between them, may differ."""
MOST_SIGNATURES: Final = 10
"""Of one message that are looked at; a stranger may write as many as fit into a header."""
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}", re.ASCII)


class SignatureError(InvalidError):
    """A message is not signed with a key that is known, or not in time; nothing of it was used."""

    code = "signature_invalid"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the signature is not accepted: {self.reason}"


def derive(master: bytes, purpose: str) -> bytes:
    """The key for one purpose, 32 bytes: the same each time, and of no use for any other purpose.

    Args:
        master: A signing key of the settings.
        purpose: What the key is for, as `webhook:<id>:<generation>`.
    """
    return hmac.digest(master, purpose.encode(), hashlib.sha256)


def secret_text(key: bytes) -> str:
    """A key as its holder keeps it: `whsec_` and base64."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def secret_key(text: str) -> bytes:
    """The key that such a text holds.

    Raises:
        ValueError: It holds none.
    """
    return base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)


def sign(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that sign a message with each of these keys.

    Args:
        keys: The newest first; more than one while a key is changed.
        message_id: The same each time that the message is sent.
        timestamp: When it is sent, in seconds since 1970; another one with each try.
        body: Exactly the bytes that are sent.
    """
    signatures = (_signature(key, message_id, str(timestamp), body) for key in keys)
    return {
        ID_HEADER: message_id,
        TIME_HEADER: str(timestamp),
        SIGNATURE_HEADER: " ".join(
            f"{VERSION},{base64.b64encode(signature).decode()}" for signature in signatures
        ),
    }


def verify(
    keys: Sequence[bytes],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float,
    tolerance: timedelta = TOLERANCE,
) -> str:
    """The id of a message that is signed with one of these keys, and was signed just now.

    The same message may arrive more than once: who receives it keeps its id.

    Args:
        keys: All that are valid; two while a key is changed.
        headers: Of the request, with names in lower case.
        body: Exactly the bytes that arrived.
        now: Seconds since 1970.
        tolerance: How old, or how far ahead, its timestamp may be.

    Raises:
        SignatureError: A header is missing, it is too old or from the future, or nobody who has a
            key has signed this body.
    """
    try:
        message_id, timestamp = headers[ID_HEADER], headers[TIME_HEADER]
        given = headers[SIGNATURE_HEADER].split(" ")
    except KeyError as missing:
        raise SignatureError(f"the header {missing} is missing") from None
    if not message_id or not _TIMESTAMP.fullmatch(timestamp):
        raise SignatureError("the id is empty or the timestamp is no number of seconds")
    if abs(now - int(timestamp)) > tolerance.total_seconds():
        raise SignatureError("it was signed too long ago, or ahead of time")
    signatures = [_decoded(one) for one in given[:MOST_SIGNATURES]]
    wanted = [_signature(key, message_id, timestamp, body) for key in keys]
    # Each with each, found or not: the time that it takes tells nothing.
    matches = [hmac.compare_digest(one, good) for one in signatures for good in wanted]
    if not any(matches):
        raise SignatureError("no signature is that of a known key over this body")
    return message_id


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> bytes:
    return hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)


def _decoded(signature: str) -> bytes:
    version, _, text = signature.partition(",")
    try:
        return base64.b64decode(text, validate=True) if version == VERSION else b""
    except (binascii.Error, ValueError):
        return b""


def webhook_key(master: bytes, webhook: object, generation: int) -> bytes:
    """The key of a webhook, which its holder keeps as `secret_text` of it.

    Args:
        master: A signing key of the settings.
        webhook: Its id.
        generation: 1 for its first key; one more with each change.
    """
    return derive(master, f"webhook:{webhook}:{generation}")
