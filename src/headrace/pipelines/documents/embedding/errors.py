"""What can go wrong with an embedder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headrace import InvalidError, UnavailableError, UserError


class EmbedderError(InvalidError):
    """An embedder cannot be opened as it is configured; the text says what to do."""

    code = "embedder_unusable"

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class TextTooLongError(UserError):
    """A text has more tokens than the model reads; it was not sent, and nothing was cut off."""


class EmbeddingFailedError(UnavailableError):
    """No vectors, or unusable ones, came back; another try may help."""

    code = "embedding_failed"


@contextmanager
def installed_with(extra: str, *, embedder: str) -> Iterator[None]:
    """Around imports: says which extra to install when one of them is not there.

    Raises:
        EmbedderError: A module is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise EmbedderError(
            f"the embedder {embedder} needs {error.name}, which is not installed: "
            f"pip install 'headrace[{extra}]'"
        ) from None
