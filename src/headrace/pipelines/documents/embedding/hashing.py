"""An embedder for tests: it matches words, not meaning, and needs no model."""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from headrace.pipelines.documents.embedding.batches import estimated_tokens
from headrace.pipelines.documents.embedding.checks import refuse_long_texts
from headrace.pipelines.documents.embedding.space import Embedded, Space, Vector

HASHING: Final = Space("hashing", "1", dimension=256, most_tokens=256)
_WORD: Final = re.compile(r"\w+")
_EVERY_TEXT: Final = 0.01


class HashingEmbedder:
    """Each word adds to one number of the vector; texts are near when they share words.

    The vector depends on nothing but the text: not on the machine, the process or other texts.
    Tokens are estimated from characters and bytes.
    """

    space = HASHING

    def count_tokens(self, text: str) -> int:
        """Estimated tokens of a text."""
        return estimated_tokens(text)

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """The vectors of texts; takes about 0.05 ms for 100 words.

        Raises:
            TextTooLongError: A text is estimated at more than 256 tokens.
        """
        counts = [estimated_tokens(text) for text in texts]
        refuse_long_texts(self.space, counts)
        return Embedded([_vector_of(text) for text in texts], sum(counts))

    async def aclose(self) -> None:
        """Nothing is held."""


def _vector_of(text: str) -> Vector:
    # The first number belongs to no word: a vector of zeros would have no direction.
    numbers = [_EVERY_TEXT] + [0.0] * (HASHING.dimension - 1)
    for word, times in Counter(_WORD.findall(text.casefold())).items():
        place, sign = _place_of(word)
        numbers[place] += sign * math.sqrt(times)  # the tenth mention says less than the first
    length = math.hypot(*numbers)
    return array("f", [number / length for number in numbers])


@lru_cache(maxsize=50_000)
def _place_of(word: str) -> tuple[int, float]:
    """Where a word counts, and whether up or down, so that words of one place are not alike."""
    # Python's own hash differs between processes.
    digest = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest())
    return 1 + digest % (HASHING.dimension - 1), 1.0 if digest >> 63 else -1.0
