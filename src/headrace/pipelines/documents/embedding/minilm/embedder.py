"""The embedder: it shares texts out among its threads and brings the vectors back in order."""

from __future__ import annotations

import asyncio
import os
from array import array
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headrace.pipelines.documents.embedding.checks import refuse_long_texts
from headrace.pipelines.documents.embedding.minilm.files import MINILM, read_model
from headrace.pipelines.documents.embedding.minilm.tokens import WordPieces, load_tokenizer
from headrace.pipelines.documents.embedding.space import Embedded, Vector

if TYPE_CHECKING:
    from headrace.pipelines.documents.embedding.minilm.network import Network

MOST_TOKENS_AT_ONCE: Final = 384
"""Tokens in one computation, padding included. Measured on 2 processors: 143 texts of 100 tokens a
second against 131 one by one and 134 with 1,024; texts of 254 tokens are fastest alone (48 against
44); 600 of 5 to 40 tokens against 370 one by one."""


class MiniLM:
    """all-MiniLM-L6-v2, computed by threads of its own: the event loop stays free.

    Each thread computes on one processor, and there are as many threads as processors: calls at the
    same time wait for each other's texts, they never use more. A vector depends on its text alone.
    """

    space = MINILM

    def __init__(self, network: Network, tokens: WordPieces, *, threads: int) -> None:
        """Use `open_minilm`."""
        self._network, self._tokens = network, tokens
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="headrace-minilm")

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, [CLS] and [SEP] included."""
        return self._tokens(text)

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """The vectors of texts, in their order, each of length 1.

        Cancelled, it starts no further computation; one takes some 20 ms.

        Raises:
            TextTooLongError: A text has more than 256 tokens.
        """
        loop = asyncio.get_running_loop()
        ids = await loop.run_in_executor(self._threads, self._encode, list(texts))
        refuse_long_texts(self.space, [len(each) for each in ids])
        runs = computations(ids)
        results = await asyncio.gather(
            *(
                loop.run_in_executor(self._threads, self._network.run, [ids[at] for at in run])
                for run in runs
            )
        )
        vectors: list[Vector] = [array("f")] * len(ids)
        for run, found in zip(runs, results, strict=True):
            for at, vector in zip(run, found, strict=True):
                vectors[at] = vector
        return Embedded(vectors, sum(map(len, ids)))

    async def aclose(self) -> None:
        """Ends its threads, when they have finished what they compute."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    def _encode(self, texts: list[str]) -> list[list[int]]:
        # One by one: the tokenizer's own batches would start a second set of threads.
        return [self._tokens.tokenizer.encode(text).ids for text in texts]


def computations(
    ids: Sequence[Sequence[int]], most_tokens: int = MOST_TOKENS_AT_ONCE
) -> list[list[int]]:
    """Positions in `ids` that are computed together, the longest texts first.

    Texts of like length share a computation, so little of it is padding; and the short ones, which
    come last, let all threads end at about the same time.
    """
    runs: list[list[int]] = []
    longest = 0
    for at in sorted(range(len(ids)), key=lambda at: len(ids[at]), reverse=True):
        if not runs or longest * (len(runs[-1]) + 1) > most_tokens:
            runs.append([])
            longest = len(ids[at])
        runs[-1].append(at)
    return runs


async def open_minilm(folder: Path | None = None, *, threads: int | None = None) -> MiniLM:
    """Load the model, off the event loop; takes about half a second and 210 MiB.

    Args:
        folder: Holds its `model.onnx` and `tokenizer.json`; None for the installed package.
        threads: Computations at a time, 1 or more; None for all processors of this process.

    Raises:
        EmbedderError: The extra is not installed, or a file is missing or another one.
    """
    return await asyncio.to_thread(_load, folder, threads or _processors())


def _load(folder: Path | None, threads: int) -> MiniLM:
    from headrace.pipelines.documents.embedding.minilm.network import (  # noqa: PLC0415 - an extra
        load_network,
    )

    return MiniLM(load_network(read_model(folder)), load_tokenizer(folder), threads=threads)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
