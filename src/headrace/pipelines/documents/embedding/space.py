"""What every embedder is: texts in, vectors of one space out."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    Vector: TypeAlias = array[float]
else:
    Vector = array  # takes no parameter in Python 3.11


@dataclass(frozen=True, slots=True)
class Space:
    """Where vectors can be compared: those of one model in one version.

    Attributes:
        model: Name of the model, as `minilm`.
        version: Changes when the same text would get a different vector.
        dimension: Numbers in each vector.
        most_tokens: Longest text, in tokens of the model, special tokens included.
    """

    model: str
    version: str
    dimension: int
    most_tokens: int

    def __str__(self) -> str:
        return f"{self.model}@{self.version}"


@dataclass(frozen=True, slots=True)
class Embedded:
    """What embedding some texts gave.

    Attributes:
        vectors: One for each text, in their order; 32-bit floats (an `array` of typecode `f`).
        tokens: What the texts cost together.
    """

    vectors: list[Vector]
    tokens: int


class Embedder(Protocol):
    """Turns texts into vectors. Write your own and name its factory as `module:attribute`."""

    @property
    def space(self) -> Space:
        """The space of all its vectors; never changes."""

    def count_tokens(self, text: str) -> int:
        """Tokens of one text, special tokens included; may be an estimate."""

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """The vectors of texts, in their order; nothing is cut off.

        Raises:
            TextTooLongError: A text has more tokens than the space allows.
            PermanentError: It would fail again.
            RetryAfter: The model is busy; try again then.
            Exception: Anything else: trying again may help.
        """

    async def aclose(self) -> None:
        """Give back what it holds; it is not used afterwards."""
