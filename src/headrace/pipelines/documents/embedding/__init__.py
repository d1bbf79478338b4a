"""Texts to vectors: the embedders, what they are opened with, and cutting texts into batches.

No model and no client is imported before an embedder that needs it is opened.
"""

from headrace.pipelines.documents.embedding.batches import batches, estimated_tokens
from headrace.pipelines.documents.embedding.checks import checked
from headrace.pipelines.documents.embedding.errors import (
    EmbedderError,
    EmbeddingFailedError,
    TextTooLongError,
)
from headrace.pipelines.documents.embedding.opening import (
    CHOICES,
    open_embedder,
    space_of,
    token_counter,
)
from headrace.pipelines.documents.embedding.options import EmbedderOptions
from headrace.pipelines.documents.embedding.room import room_for
from headrace.pipelines.documents.embedding.space import Embedded, Embedder, Space, Vector

__all__ = [
    "CHOICES",
    "Embedded",
    "Embedder",
    "EmbedderError",
    "EmbedderOptions",
    "EmbeddingFailedError",
    "Space",
    "TextTooLongError",
    "Vector",
    "batches",
    "checked",
    "estimated_tokens",
    "open_embedder",
    "room_for",
    "space_of",
    "token_counter",
]
