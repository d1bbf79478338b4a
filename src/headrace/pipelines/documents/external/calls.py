"""What is signed, and with which key: each run of a job has one of its own.

A key is made from PARSER_SECRET and what it is for, so that no row ever holds one. It goes to the
parser with the file, and opens nothing but the answer to that one hand-over.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from headrace import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable

TOLERANCE_S: Final = 300.0
"""By which the clocks of the parser and the database, and the way between them, may differ."""
MOST_SIGNATURES: Final = 10
"""Of one callback that are looked at; a stranger may write as many as fit into a header."""
_NONCE: Final = re.compile(r"[A-Za-z0-9._~+/=-]{8,128}", re.ASCII)
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}", re.ASCII)


class CallbackRefusedError(InvalidError):
    """A callback is not signed as it has to be; nothing of it was used."""

    code = "callback_refused"


@dataclass(frozen=True, slots=True)
class Call:
    """A run of a job that hands its file over: what an answer is for."""

    job: UUID
    run: int

    def key(self, master: bytes) -> str:
        """The key of its callbacks, 64 hexadecimal digits, which are signed with as they stand.

        Args:
            master: One of the secrets of the settings.
        """
        return derive(master, f"parser:{self.job}:{self.run}")


@dataclass(frozen=True, slots=True)
class Stamp:
    """How a callback is signed.

    Attributes:
        timestamp: When, in seconds since 1970.
        nonce: Tells it from all other callbacks of its call.
        given: The signatures that came with it, as hexadecimal digits.
        content: What they are over.
    """

    timestamp: float
    nonce: str
    given: tuple[str, ...]
    content: bytes

    def check(self, keys: Iterable[str]) -> None:
        """See that somebody with one of these keys signed it.

        Raises:
            CallbackRefusedError: Nobody did.
        """
        wanted = [sign(key, self.content) for key in keys]
        given = self.given[:MOST_SIGNATURES]
        # Each with each, found or not: the time that it takes tells nothing.
        matches = [
            hmac.compare_digest(one.encode(), good.encode()) for one in given for good in wanted
        ]
        if not any(matches):
            raise CallbackRefusedError("no signature is that of this job's key over this callback")

    def check_time(self, now: float) -> None:
        """See that it was signed just now.

        Args:
            now: Seconds since 1970, by the database's clock.

        Raises:
            CallbackRefusedError: It is too old, or from the future.
        """
        if not abs(now - self.timestamp) <= TOLERANCE_S:  # not `>`: NaN is refused, too
            raise CallbackRefusedError(
                f"it was signed more than {TOLERANCE_S:g} s ago, or ahead of time"
            )


def derive(master: bytes, purpose: str) -> str:
    """A key for one purpose, 64 hexadecimal digits: of no use for any other purpose."""
    return hmac.new(master, purpose.encode(), hashlib.sha256).hexdigest()


def canonical(job: UUID, timestamp: str, nonce: str, body: bytes) -> bytes:
    """What the signature of a callback is over; no two callbacks have the same.

    Args:
        job: The job that it answers.
        timestamp: As its header has it.
        nonce: As its header has it.
        body: Exactly the bytes that are sent.
    """
    return "\n".join((str(job), timestamp, nonce, hashlib.sha256(body).hexdigest())).encode()


def sign(key: str, content: bytes) -> str:
    """HMAC-SHA256 as 64 hexadecimal digits."""
    return hmac.new(key.encode(), content, hashlib.sha256).hexdigest()


def read_time(text: str) -> float:
    """A timestamp from a header.

    Raises:
        CallbackRefusedError: It is no number of seconds.
    """
    if not _TIMESTAMP.fullmatch(text):
        raise CallbackRefusedError("the timestamp is no number of seconds since 1970")
    return float(text)


def read_nonce(text: str) -> str:
    """A nonce from a header.

    Raises:
        CallbackRefusedError: It is none.
    """
    if not _NONCE.fullmatch(text):
        raise CallbackRefusedError(
            "the nonce has 8 to 128 letters, digits and characters of `._~+/=-`"
        )
    return text
