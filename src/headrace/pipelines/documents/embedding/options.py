"""What the embedders can be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from headrace.pipelines.documents.embedding.space import Space


class Secret(Protocol):
    """A text that does not show itself, as pydantic's `SecretStr`."""

    def get_secret_value(self) -> str:
        """The text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderOptions:
    """What an embedder is opened with; each reads its own part.

    Attributes:
        model_folder: `minilm`: a folder with its `model.onnx` and `tokenizer.json`; None for the
            installed package.
        threads: `minilm`: computations at a time; None for all processors of this process.
        api_key: `openai`: the key of the server; None for OPENAI_API_KEY.
        base_url: `openai`: address of the server with its version; None for OpenAI's own.
        model: `openai`: the model's name on the server.
        version: `openai`: raise it when the same name gives other vectors.
        dimension: `openai`: numbers in each vector.
        most_tokens: `openai`: the longest text, in estimated tokens.
        requests_per_min: `openai`: calls of all workers in a minute.
        tokens_per_min: `openai`: tokens of them.
        timeout_s: `openai`: seconds for one call, from its start to the last byte of its answer.
    """

    model_folder: Path | None = None
    threads: int | None = None
    api_key: Secret | str | None = field(default=None, repr=False)
    base_url: str | None = None
    model: str = "text-embedding-3-small"
    version: str = "1"
    dimension: int = 1_536
    most_tokens: int = 8_191
    requests_per_min: float = 3_500
    tokens_per_min: float = 90_000
    timeout_s: float = 60.0

    @property
    def space(self) -> Space:
        """The space of `openai`."""
        return Space(self.model, self.version, self.dimension, self.most_tokens)
