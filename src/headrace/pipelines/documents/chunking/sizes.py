"""How large pieces of a text are for an embedder, and the cutting of those that are too large."""

from __future__ import annotations

import functools
import importlib
import unicodedata
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from semantic_text_splitter import MarkdownSplitter

Range: TypeAlias = tuple[int, int]
"""Start and end of a piece of a text."""

CHARACTERS_A_TOKEN: Final = 8
"""What a chunk may have on average. Prose has 4 to 5; a tokenizer that takes a word of any length
for one unknown token would otherwise let whole files through."""

_SMALL: Final = 8
"""A piece of one part in so many of a chunk is small: 32 tokens of 256, or some 20 words."""

_INDENTATION: Final = 40  # characters that are looked at
_PROBE: Final = "The 1st line, quite short.\nAnd (after it) an unbelievably longer second line!"
_TOLERANCE: Final = 0.05
_MOST_WORDS: Final = 100_000  # remembered: about 10 MB
_LONG_WORD: Final = 64
_PART: Final = 32  # of a longer one: characters that are counted together


class Counter(Protocol):
    """Counts tokens as an embedder does."""

    def __call__(self, text: str, /) -> int:
        """The tokens of a text, special ones included."""
        ...

    def __hash__(self) -> int:
        """Sizes of words are remembered for each counter."""
        ...


class Sizes:
    """Cuts ranges of one text so that each piece fits."""

    def __init__(self, text: str, count: Counter, most_tokens: int) -> None:
        """Of a text that an embedder takes in pieces of at most `most_tokens`.

        Raises:
            ValueError: Not a single token fits beside the special ones.
        """
        if most_tokens <= count(""):
            raise ValueError(f"most_tokens is {most_tokens}; special tokens alone take {count('')}")
        self.text = text
        self.most_tokens = most_tokens
        self.most_characters = most_tokens * CHARACTERS_A_TOKEN
        self._count = count
        self._measure = self._bounded(_estimate(count))
        self.is_small = functools.lru_cache(8)(self._is_small)  # of a piece it is asked often
        """Whether a range says too little to be a chunk by itself."""

    def fits(self, start: int, end: int) -> bool:
        """Whether a range can be one chunk."""
        return self._bounded(self._count)(self.text[start:end]) <= self.most_tokens

    def tokens(self, start: int, end: int) -> int:
        """The tokens of a range, special ones included."""
        return self._count(self.text[start:end])

    def pieces(self, start: int, end: int) -> list[Range]:
        """A range cut along its structure, by estimated sizes. Takes time quadratic in its length.

        Pieces are in order, hold all but white space, and neither begin nor end with any.
        """
        return list(self._cut(start, end, self._measure, self.most_tokens))

    def fitted(self, start: int, end: int) -> Iterator[Range]:
        """A piece as it is where it fits, else in parts of up to three quarters of a chunk.

        Raises:
            ValueError: One character is too much.
        """
        if self.fits(start, end):
            yield start, end
        else:
            yield from self.cut(start, end, max(self.most_tokens * 3 // 4, self._count("") + 1))

    def cut(self, start: int, end: int, most_tokens: int) -> Iterator[Range]:
        """A piece cut into parts of at most `most_tokens`, by exact sizes.

        Raises:
            ValueError: One character is too much.
        """
        for part in self._cut(start, end, self._bounded(self._count), most_tokens):
            yield from self._halved(*part)

    def _is_small(self, start: int, end: int) -> bool:
        most = self.most_tokens // _SMALL
        return end - start <= most * CHARACTERS_A_TOKEN and self.tokens(start, end) <= most

    def _cut(
        self, start: int, end: int, measure: Callable[[str], int], most_tokens: int
    ) -> Iterator[Range]:
        splitter = _splitter().from_callback(measure, most_tokens)
        start = self._with_indentation(start)
        for offset, piece in splitter.chunk_indices(self.text[start:end]):
            yield from self._bare(start + offset, start + offset + len(piece))

    def _with_indentation(self, start: int) -> int:
        """Where the line begins, if there is only white space before: it tells a list's level."""
        line_start = self.text.rfind("\n", max(start - _INDENTATION, 0), start) + 1
        return line_start if line_start and self.text[line_start:start].isspace() else start

    def _bare(self, start: int, end: int) -> Iterator[Range]:
        piece = self.text[start:end]
        bare = piece.strip()
        if bare:
            first = start + piece.find(bare)
            yield first, first + len(bare)

    def _halved(self, start: int, end: int) -> Iterator[Range]:
        # The splitter sometimes leaves its last piece too large: "a b c d e" by 2 tokens a word in
        # pieces of 3 becomes a, b, c, "d e".
        if self.fits(start, end):
            yield start, end
        elif end - start == 1:
            raise ValueError(
                f"most_tokens is {self.most_tokens}; {self.text[start]!r} alone takes "
                f"{self._count(self.text[start])}"
            )
        else:
            middle = self._middle(start, end)
            for half in (*self._bare(start, middle), *self._bare(middle, end)):
                yield from self._halved(*half)

    def _middle(self, start: int, end: int) -> int:
        """Where to cut: before a word if there are two, else before a character with its marks."""
        middle = (start + end + 1) // 2
        gaps = [self.text.rfind(gap, start + 1, middle + 1) for gap in " \n"]
        if max(gaps) > 0:
            return max(gaps)
        place = middle
        while place > start and unicodedata.category(self.text[place])[0] == "M":
            place -= 1
        return place if place > start else middle

    def _bounded(self, count: Callable[[str], int]) -> Callable[[str], int]:
        def bounded(text: str) -> int:
            if len(text) > self.most_characters:
                return self.most_tokens + 1
            return count(text)

        return bounded


@functools.lru_cache(maxsize=2)  # words that a process knows from one text serve the next
def _estimate(count: Counter) -> Callable[[str], int]:
    """A faster counter that sums up words, where that comes to the same; else `count` itself.

    A splitter asks for the size of each word about twelve times. With a WordPiece tokenizer the sum
    is exact and 1 MB of text takes 0.3 s in place of 3 s. Small texts take a third less time when
    their words are known.
    """
    special = count("")

    @functools.lru_cache(_MOST_WORDS)
    def of_known(word: str) -> int:
        return count(f" {word}") - special

    def of_word(word: str) -> int:
        if len(word) <= _LONG_WORD:
            return of_known(word)
        return sum(of_known(word[start : start + _PART]) for start in range(0, len(word), _PART))

    def by_words(text: str) -> int:
        return special + sum(map(of_word, text.split()))

    exact = count(_PROBE)
    return by_words if abs(by_words(_PROBE) - exact) <= _TOLERANCE * exact else count


@functools.cache
def _splitter() -> type[MarkdownSplitter]:
    try:
        module = importlib.import_module("semantic_text_splitter")
    except ModuleNotFoundError as error:
        raise ImportError(
            "chunking needs semantic-text-splitter: pip install 'headrace[documents]'"
        ) from error
    splitter: type[MarkdownSplitter] = module.MarkdownSplitter
    return splitter
