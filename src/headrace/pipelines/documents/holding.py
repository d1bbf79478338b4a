"""Files that were sent ahead of the request that takes them in."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from headrace.pipelines.documents.files import SCHEME

if TYPE_CHECKING:
    from datetime import timedelta

    from headrace.pipelines.documents.files import FileStore

PLACE: Final = "uploads"
_OWNER: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Held:
    """Names a file that was sent ahead.

    Attributes:
        owner: Whose it is, as 32 hexadecimal digits that tell nobody who that is.
        upload: Its id.
    """

    owner: str
    upload: UUID

    @property
    def address(self) -> str:
        """Where it lies.

        Raises:
            ValueError: The owner is no such number.
        """
        if not _OWNER.fullmatch(self.owner):
            raise ValueError(f"{self.owner!r} is no number of an owner")
        return f"{SCHEME}{PLACE}/{self.owner}/{self.upload}"


class Holding:
    """Keeps files until they are taken in, or nobody does that for too long.

    Args:
        files: Where they lie.
    """

    def __init__(self, files: FileStore) -> None:
        self._files = files

    def keep(self, held: Held, data: bytes) -> None:
        """Store a file, in place of any other of that name."""
        self._files.write(held.address, data)

    def find(self, held: Held) -> bytes | None:
        """A file that was sent; None where there is none."""
        try:
            return self._files.read(held.address)
        except FileNotFoundError:
            return None

    def drop(self, held: Held) -> None:
        """Remove a file; nothing happens where there is none."""
        self._files.delete(held.address)

    def clear(self, older_than: timedelta) -> int:
        """Remove the files that nobody has taken in; returns how many."""
        oldest, removed = time.time() - older_than.total_seconds(), 0
        for path in (self._files.folder / PLACE).glob("*/*"):
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    removed += 1
            except FileNotFoundError:  # another process was faster
                continue
        return removed
