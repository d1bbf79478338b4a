"""A resource that a lock guards, as one outside of the database would be: it refuses old tokens."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class GuardedWrite:
    """A write, and whether the resource took it."""

    key: str
    token: int
    accepted: bool


class Guard:
    """One file for each key: all writes ever tried, in order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, key: str, token: int) -> bool:
        """Write under a token; refused where a higher one was seen."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / key).open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # freed with the file, also by a kill
            file.seek(0)
            highest = max((written.token for written in _read(file.read())), default=0)
            written = GuardedWrite(key, token, token >= highest)
            # One write: a kill leaves all of it or nothing.
            os.write(file.fileno(), json.dumps(asdict(written)).encode() + b"\n")
            return written.accepted


def read_guard(folder: Path) -> list[GuardedWrite]:
    """All writes that were tried, by key, in order."""
    files = sorted(folder.iterdir()) if folder.exists() else []
    return [written for file in files for written in _read(file.read_bytes())]


def _read(data: bytes) -> Iterator[GuardedWrite]:
    for line in data.splitlines():
        yield GuardedWrite(**json.loads(line))
