"""Credentials that were checked a moment ago: by their hash, so that none of them is kept."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

MOST: Final = 10_000
"""Remembered at once; beyond that the oldest is forgotten."""


def digest_of(credential: str) -> bytes:
    """What stands for a credential here."""
    return hashlib.sha256(credential.encode()).digest()


class Memory(Generic[T]):
    """What credentials proved, each for a time.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[bytes, tuple[T, float]] = {}

    def get(self, digest: bytes) -> T | None:
        """What was kept and is still good."""
        found = self._known.get(digest)
        if found is None:
            return None
        if self._clock() < found[1]:
            return found[0]
        del self._known[digest]
        return None

    def keep(self, digest: bytes, value: T, seconds: float) -> None:
        """Remember a value for so long."""
        if len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        self._known[digest] = (value, self._clock() + seconds)
