"""The embedder of these tests: `hashing`, which they can watch, change, or see from outside."""

import asyncio
import json
import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from headrace.pipelines.documents.embedding import (
    Embedded,
    Embedder,
    EmbedderOptions,
    Space,
    Vector,
    open_embedder,
)
from headrace.pipelines.documents.embedding.hashing import HASHING, HashingEmbedder

LOG: Final = "HEADRACE_TEST_EMBEDDER_LOG"
"""Names the file in which every process notes its calls, before and after each."""


class Trial:
    """What the embedders of this process are, and what they were asked.

    Attributes:
        space: Of those that are opened from now on.
        calls: The texts of each call, without those for a question.
        gate: While it is not set, calls wait, except those for a question.
        failure: What calls raise that are allowed no more.
        allowed: Calls before that.
        server: A server to use in place of all this.
    """

    def __init__(self) -> None:
        self.space = HASHING
        self.calls: list[tuple[str, ...]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.allowed = 0
        self.server: EmbedderOptions | None = None

    @property
    def texts(self) -> list[str]:
        return [text for call in self.calls for text in call]

    def reset(self) -> None:
        self.space = HASHING
        self.calls.clear()
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure, self.allowed, self.server = None, 0, None

    async def take(self, texts: Sequence[str]) -> None:
        """A call begins."""
        if not texts[0].endswith("?"):
            await self.gate.wait()
            if self.failure is not None and len(self.calls) >= self.allowed:
                raise self.failure
            self.calls.append(tuple(texts))


TRIAL: Final = Trial()


class TrialEmbedder:
    """Gives the vectors of `hashing`, folded where its space is smaller."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._hashing = HashingEmbedder()

    def count_tokens(self, text: str) -> int:
        return self._hashing.count_tokens(text)

    async def embed(self, texts: Sequence[str]) -> Embedded:
        await TRIAL.take(texts)
        note("begin", texts)
        embedded = await self._hashing.embed(texts)
        note("end", texts)
        vectors = [_folded(vector, self.space.dimension) for vector in embedded.vectors]
        return Embedded(vectors, embedded.tokens)

    async def aclose(self) -> None:
        """Nothing is held."""


async def open_trial() -> Embedder:
    """The factory."""
    if TRIAL.server is not None:
        return await open_embedder("openai", TRIAL.server)
    return TrialEmbedder(TRIAL.space)


def note(what: str, texts: Sequence[str]) -> None:
    """Write a line that survives the process."""
    if path := os.environ.get(LOG):
        line = json.dumps({"pid": os.getpid(), "what": what, "texts": texts}) + "\n"
        with Path(path).open("a") as file:
            file.write(line)


def _folded(vector: Vector, dimension: int) -> Vector:
    folded = [0.0] * dimension
    for place, number in enumerate(vector):
        folded[place % dimension] += number
    return array("f", folded)
