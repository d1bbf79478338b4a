"""The embedder alone on the chunks of a corpus: what the pipeline `documents` is compared with.

The same chunks in the same batches, as many batches at a time as the worker has jobs; no database,
no engine, and nothing is parsed meanwhile.
"""

import asyncio
import json
import sys
from pathlib import Path
from time import monotonic
from typing import Final

from headrace.pipelines.documents.chunking import split
from headrace.pipelines.documents.embedding import (
    Embedder,
    batches,
    open_embedder,
    token_counter,
)
from headrace.pipelines.documents.parsing import ParseLimits, kind_of, parse

EMBEDDER: Final = "minilm"
CHUNKER: Final = "markdown@1"


def batches_of(paths: list[Path], most_tokens: int) -> list[list[str]]:
    """The batches of each file, in the files' order."""
    count = token_counter(EMBEDDER)
    found = []
    for path in paths:
        data = path.read_bytes()
        text = parse(data, kind_of(data, path.name), ParseLimits()).markdown
        spans = split(text, chunker=CHUNKER, most_tokens=most_tokens, count=count)
        texts = [text[span.start : span.end] for span in spans]
        found += [texts[batch] for batch in batches(texts)]
    return found


async def embed(embedder: Embedder, found: list[list[str]], at_once: int) -> float:
    """Embed all batches, so many at once; returns the seconds that it took."""
    waiting = iter(found)

    async def take() -> None:
        for batch in waiting:
            await embedder.embed(batch)

    begin = monotonic()
    await asyncio.gather(*(take() for _ in range(at_once)))
    return monotonic() - begin


async def alone(paths: list[Path], at_once: int) -> dict[str, float]:
    """Seconds and chunks of a corpus, the model being loaded and warm."""
    embedder = await open_embedder(EMBEDDER)
    found = batches_of(paths, embedder.space.most_tokens)
    await embed(embedder, found[:at_once], at_once)
    elapsed = await embed(embedder, found, at_once)
    await embedder.aclose()
    return {"elapsed": elapsed, "chunks": sum(map(len, found))}


if __name__ == "__main__":
    answer = asyncio.run(alone(sorted(Path(sys.argv[2]).iterdir()), int(sys.argv[3])))
    sys.stdout.write(json.dumps(answer) + "\n")
