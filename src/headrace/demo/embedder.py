"""The demo's embedder: the local model, and a log of all its calls.

The log knows nothing of the engine and its tables: what was embedded twice would stand in it twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headrace.demo.calllog import LOG_NAME
from headrace.pipelines.documents.embedding import open_embedder, token_counter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.pipelines.documents.embedding import Embedded, Embedder, Space

CHOICE: Final = "headrace.demo.embedder:logged"
"""For HEADRACE_DOCUMENTS_EMBEDDER."""
MODEL: Final = "minilm"
FOLDER_VARIABLE: Final = "DEMO_FOLDER"


class LoggedEmbedder:
    """Embeds as the model does, and writes a line before and after each call.

    A line is one write to a file that was opened for appending, so lines of several processes never
    mix, and what a killed process has written stays.
    """

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        """Open the log.

        Args:
            embedder: Does the work.
            folder: An existing folder.
        """
        self._embedder = embedder
        self._log = os.open(folder / LOG_NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    @property
    def space(self) -> Space:
        """The model's."""
        return self._embedder.space

    def count_tokens(self, text: str) -> int:
        """Tokens of one text, as the model counts."""
        return self._embedder.count_tokens(text)

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """The vectors of texts, in their order."""
        hashes = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        self._write("start", hashes)
        embedded = await self._embedder.embed(texts)
        self._write("end", hashes)
        return embedded

    async def aclose(self) -> None:
        """Close the model and the log."""
        await self._embedder.aclose()
        os.close(self._log)

    def _write(self, what: str, texts: list[str]) -> None:
        line = {"at": time.time(), "what": what, "process": os.getpid(), "texts": texts}
        os.write(self._log, f"{json.dumps(line)}\n".encode())


class Factory:
    """What the setting names: opens the embedder, and counts tokens without opening it."""

    async def __call__(self) -> LoggedEmbedder:
        """The embedder, which logs in the folder that the demo names in the environment."""
        return LoggedEmbedder(
            await open_embedder(MODEL), Path(os.environ.get(FOLDER_VARIABLE, "."))
        )

    @cached_property
    def token_counter(self) -> Callable[[str], int]:
        """Counts as the model does."""
        return token_counter(MODEL)


logged: Final = Factory()
