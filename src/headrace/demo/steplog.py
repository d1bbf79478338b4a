"""Reading the log that the steps wrote."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from headrace.demo.desk import LOG_NAME

if TYPE_CHECKING:
    from pathlib import Path


class Key(NamedTuple):
    """A step or an item of one run of a job; the item is empty for a step that runs once."""

    job: str
    run: int
    step: str
    item: str


class StepLog:
    """The lines so far; `read` takes in those that were added."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self._path = folder / LOG_NAME
        self._read = 0
        self.starts: dict[Key, list[int]] = defaultdict(list)
        """The process of each start."""
        self.ended: set[Key] = set()

    def read(self) -> None:
        """Take in what was written since the last time; a line that is half there waits."""
        if not self._path.exists():
            return
        with self._path.open("rb") as log:
            log.seek(self._read)
            whole, newline, _ = log.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        for text in whole.splitlines():
            line = json.loads(text)
            key = Key(line["job"], line["run"], line["step"], line["item"])
            if line["what"] == "start":
                self.starts[key].append(line["process"])
            elif line["what"] == "end":
                self.ended.add(key)

    def count_ended(self, step: str) -> int:
        """How many items of a step have ended."""
        return sum(key.step == step for key in self.ended)
