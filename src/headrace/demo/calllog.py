"""Reading the log that the embedder wrote."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

LOG_NAME: Final = "embedder.log"

Batch: TypeAlias = tuple[str, ...]
"""The texts of one call, by their SHA-256, in order."""


def read_calls(folder: Path) -> dict[Batch, Counter[int]]:
    """How often each process began to embed each batch; a line that is half there is left out."""
    calls: dict[Batch, Counter[int]] = {}
    whole, _, _ = (folder / LOG_NAME).read_bytes().rpartition(b"\n")
    for text in whole.splitlines():
        line = json.loads(text)
        if line["what"] == "start":
            calls.setdefault(tuple(line["texts"]), Counter())[line["process"]] += 1
    return calls
