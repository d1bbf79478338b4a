"""The senders' own witness: what they sent to jobs, and what they were told of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One value as its sender saw it.

    Attributes:
        told: `stands`: it is the one that counts; `other`: another one stands, or none came in
            time; `over`: the job had ended; `unknown` where no answer came.
    """

    told: Literal["stands", "other", "over", "unknown"]
    job: str
    name: str
    value: Any


class SentLedger:
    """Appends lines to a file; what `write` returned from is on the disk."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, sent: Sent) -> None:
        """Append a line."""
        os.write(self._file, json.dumps(asdict(sent)).encode() + b"\n")
        os.fsync(self._file)


def read_sent(path: Path) -> Iterator[Sent]:
    """All lines, in order; none where there is no such file."""
    if path.exists():
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                yield Sent(**json.loads(line))
