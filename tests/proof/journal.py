"""The client's own witness: what it asked for and what it was told."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One submission as its sender saw it.

    Attributes:
        outcome: `ok` with a job id; `refused`; `unknown` where no answer came.
        body: Hash of the input, see `hash_of`.
    """

    outcome: Literal["ok", "refused", "unknown"]
    pipeline: str
    body: str
    job: str | None = None
    key: str | None = None
    tenant: str = "default"
    owner: str = "default"


class Journal:
    """Appends requests to a file; what `write` returned from is on the disk."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, *requests: Request) -> None:
        """Append requests."""
        lines = b"".join(json.dumps(asdict(request)).encode() + b"\n" for request in requests)
        os.write(self._file, lines)
        os.fsync(self._file)


def read_journal(path: Path) -> Iterator[Request]:
    """All requests, in order."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield Request(**json.loads(line))


def hash_of(text: str) -> str:
    """A hash of a JSON text that does not depend on its layout."""
    canonical = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
