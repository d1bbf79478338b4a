"""Cutting texts into micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

MOST_TEXTS: Final = 256
"""Texts in a batch: what compatible servers accept in one call."""
MOST_TOKENS: Final = 8_000
"""Estimated tokens in a batch: what is done again after a crash."""


def estimated_tokens(text: str) -> int:
    """The larger of characters / 4 and UTF-8 bytes / 3, rounded up; 0 for an empty text.

    English has about four characters a token, other scripts rather three bytes.
    """
    characters = len(text)
    # Lone surrogates have no UTF-8; they are refused elsewhere, not by an estimate.
    size = characters if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return max(-(-characters // 4), -(-size // 3))


def batches(
    texts: Sequence[str],
    *,
    most_texts: int = MOST_TEXTS,
    most_tokens: int = MOST_TOKENS,
    count: Callable[[str], int] = estimated_tokens,
) -> Iterator[slice]:
    """The batches of `texts`, as slices of them that follow each other without a gap.

    The same texts always give the same batches. No batch is empty; one holds as many texts as fit.

    Args:
        texts: In the order in which they are embedded.
        most_texts: Texts in a batch, 1 or more.
        most_tokens: Tokens in a batch, 1 or more; a text that has more is a batch of its own.
        count: Tokens of a text.

    Raises:
        ValueError: A limit is below 1.
    """
    if most_texts < 1 or most_tokens < 1:
        raise ValueError(f"a batch of {most_texts} texts and {most_tokens} tokens holds nothing")
    start, used = 0, 0
    for position, text in enumerate(texts):
        tokens = count(text)
        is_full = position - start == most_texts or used + tokens > most_tokens
        if is_full and position > start:
            yield slice(start, position)
            start, used = position, 0
        used += tokens
    if start < len(texts):
        yield slice(start, len(texts))
