"""Checks that hold for every embedder: before the call on the texts, after it on the vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace import PermanentError
from headrace.pipelines.documents.embedding.errors import EmbeddingFailedError, TextTooLongError
from headrace.pipelines.documents.embedding.space import (
    Embedded,
    Embedder,
    Space,
    Vector,
)

if TYPE_CHECKING:
    from headrace import RateLimit


def refuse_long_texts(space: Space, counts: Sequence[int]) -> None:
    """Check the tokens of texts.

    Raises:
        TextTooLongError: One has more than the space allows; says which.
    """
    for position, tokens in enumerate(counts, 1):
        if tokens > space.most_tokens:
            which = f"text {position} of {len(counts)}" if len(counts) > 1 else "the text"
            raise TextTooLongError(
                f"{which} has {tokens:,} tokens; {space} takes at most {space.most_tokens:,}: "
                "split or shorten it"
            )


def checked(space: Space, texts: Sequence[str], embedded: Embedded) -> Embedded:
    """What an embedder gave for `texts`, if it can be stored and compared.

    Raises:
        PermanentError: A vector has another dimension than its space.
        EmbeddingFailedError: There are more or fewer vectors than texts, or one holds a number
            that is not finite, or only zeros, which have no direction.
    """
    if len(embedded.vectors) != len(texts):
        raise EmbeddingFailedError(
            f"{space} gave {len(embedded.vectors)} vectors for {len(texts)} texts"
        )
    for position, vector in enumerate(embedded.vectors, 1):
        problem = _problem_of(vector, space)
        if problem is not None:
            raise EmbeddingFailedError(f"{space}: vector {position} of {len(texts)} {problem}")
    return embedded


class Checked:
    """An embedder whose answers are all `checked`; what `open_embedder` gives."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @property
    def space(self) -> Space:
        """That of the embedder."""
        return self._embedder.space

    @property
    def limit(self) -> RateLimit | None:
        """How often it may be called, where that is limited."""
        return getattr(self._embedder, "limit", None)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, as the embedder counts."""
        return self._embedder.count_tokens(text)

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """The vectors of texts, in their order.

        Raises:
            PermanentError: A vector has another dimension than its space.
            EmbeddingFailedError: There are more or fewer vectors than texts, or one cannot be used.
            Exception: Whatever the embedder raises.
        """
        return checked(self.space, texts, await self._embedder.embed(texts))

    async def aclose(self) -> None:
        """Close the embedder."""
        await self._embedder.aclose()


def _problem_of(vector: Vector, space: Space) -> str | None:
    if len(vector) != space.dimension:
        raise PermanentError(
            f"{space} gave a vector of {len(vector):,} numbers, but is declared with "
            f"{space.dimension:,}: correct the dimension or the model"
        )
    # The sum of squares is finite only if every number is; one pass in C instead of two in Python.
    length = math.hypot(*vector)
    if not math.isfinite(length):
        return "holds a number that is not finite"
    return None if length else "holds only zeros"
