"""Embedders of a user's own, as the tests name them."""

from array import array
from collections.abc import Sequence

from headrace.pipelines.documents.embedding import Embedded, Embedder, Space


class Letters:
    """Counts letters."""

    closed = False
    space = Space("letters", "3", dimension=2, most_tokens=100)

    def count_tokens(self, text: str) -> int:
        return len(text)

    async def embed(self, texts: Sequence[str]) -> Embedded:
        vectors = [array("f", [text.count("a"), text.count("b")]) for text in texts]
        return Embedded(vectors, sum(map(len, texts)))

    async def aclose(self) -> None:
        type(self).closed = True


def plain() -> Embedder:
    return Letters()


async def later() -> Embedder:
    return Letters()


def counted() -> Embedder:
    return Letters()


counted.token_counter = len  # type: ignore[attr-defined]


def wrong() -> str:
    return "no embedder"


number = 7
