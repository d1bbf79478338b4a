"""The steps' own witness: a line when a step starts and a line when it has done its work.

The file lies outside the database and is only ever appended to, a line with one write, so it tells
what ran even if the process was killed a moment later.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["start", "end", "fail", "cut"]

Mark: TypeAlias = str | Sequence[str] | None
"""What tells one output of a step from another; for a fan-out those of its items, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One line.

    Attributes:
        kind: `start`, `end` (the function returns), `fail` (it raises) or `cut` (it was cancelled).
        token: The claim under which the step ran.
        at: Seconds by the wall clock, which is that of the database's machine.
        monotonic: Seconds since the machine's start.
        mark: What an `end` returned.
        saw: By the name of an earlier step, the marks that a `start` received.
        got: By the name of a signal, the value that it received.
    """

    kind: Kind
    job: str
    run: int
    step: str
    item: str = ""
    attempt: int
    token: int
    pid: int = field(default_factory=os.getpid)
    at: float = field(default_factory=time.time)
    monotonic: float = field(default_factory=time.monotonic)
    mark: str | None = None
    saw: Mapping[str, Mark] = field(default_factory=dict)
    got: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, int, str, str]:
        """The step or item in its run."""
        return self.job, self.run, self.step, self.item


class EffectLedger:
    """Appends lines to a file that many processes share."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, effect: Effect) -> None:
        """Append a line; it stands when this returns, whatever happens to the process."""
        os.write(self._file, json.dumps(asdict(effect)).encode() + b"\n")


def read_effects(path: Path) -> Iterator[Effect]:
    """All lines, in the order in which they were written."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield Effect(**json.loads(line))
