"""OpenAI's embeddings, or those of any server that speaks the same protocol.

Imported only when it is opened: the client takes half a second to import.
"""

from __future__ import annotations

import asyncio
import os
from array import array
from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, ValidationError

from headrace import RateLimit
from headrace.pipelines.documents.embedding.batches import estimated_tokens
from headrace.pipelines.documents.embedding.checks import refuse_long_texts
from headrace.pipelines.documents.embedding.errors import (
    EmbedderError,
    EmbeddingFailedError,
    installed_with,
)
from headrace.pipelines.documents.embedding.openai_errors import steering
from headrace.pipelines.documents.embedding.options import EmbedderOptions
from headrace.pipelines.documents.embedding.space import Embedded
from headrace.pipelines.openai_servers import Server, keep_requests_out_of_logs

with installed_with("openai", embedder="openai"):
    import openai

NATIVE_DIMENSIONS: Final = {"text-embedding-3-small": 1_536, "text-embedding-3-large": 3_072}
"""Of the models that can be asked for shorter vectors."""
BYTES_A_NUMBER: Final = 40
"""Room for one in JSON: up to 25 characters, and white space."""
BYTES_AROUND: Final = 1_024 * 1_024
"""Room for everything else in an answer."""


class OpenAIEmbedder:
    """Calls `POST {base_url}/embeddings` once for each `embed`, without tries of its own.

    Tokens of a text are estimated; `Embedded.tokens` is what the server says, where it does. In a
    step `room_for` keeps its `limit`.
    """

    def __init__(
        self, client: openai.AsyncOpenAI, options: EmbedderOptions, server: Server
    ) -> None:
        """Use `open_openai`."""
        self.space = options.space
        self.limit = RateLimit(
            f"openai:{options.model}",
            requests=options.requests_per_min,
            tokens=options.tokens_per_min,
            per=60,
        )
        self._client, self._server, self._timeout_s = client, server, options.timeout_s
        native = NATIVE_DIMENSIONS.get(options.model, options.dimension)
        self._shortened = openai.omit if native == options.dimension else options.dimension

    def count_tokens(self, text: str) -> int:
        """Estimated tokens of a text."""
        return estimated_tokens(text)

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """The vectors of texts, in their order.

        Raises:
            TextTooLongError: A text is estimated at more tokens than the space allows.
            RetryAfter: The server's rate limit is reached; after the time that it asks for.
            PermanentError: The server refuses the key, the model, the texts, or has no quota left.
            EmbeddingFailedError: The server cannot be reached, failed, took longer than the limit,
                or its answer cannot be used.
        """
        counts = [estimated_tokens(text) for text in texts]
        refuse_long_texts(self.space, counts)
        if not texts:
            return Embedded([], 0)
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await self._call(list(texts))
        except TimeoutError:
            raise EmbeddingFailedError(
                f"{self._server} gave no whole answer within {self._timeout_s:g} s"
            ) from None
        except openai.OpenAIError as error:
            # From None: the client's errors carry the request with its key.
            raise steering(error, self._server, self.space.model) from None
        return self._read(body, sum(counts))

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.close()

    async def _call(self, texts: list[str]) -> bytes:
        most = len(texts) * self.space.dimension * BYTES_A_NUMBER + BYTES_AROUND
        async with self._client.embeddings.with_streaming_response.create(
            input=texts,
            model=self.space.model,
            dimensions=self._shortened,
            encoding_format="float",
        ) as response:
            body = bytearray()
            try:
                async for piece in response.iter_bytes():
                    body += piece
                    if len(body) > most:
                        break
            except Exception as error:  # noqa: BLE001 - those of httpx, or of httpx2: it depends on openai's version
                reason = type(error).__name__
                raise EmbeddingFailedError(
                    f"{self._server} broke its answer off ({reason})"
                ) from None
        if len(body) > most:
            raise EmbeddingFailedError(
                f"{self._server} sent more than {most:,} bytes for {len(texts)} texts"
            )
        return bytes(body)

    def _read(self, body: bytes, estimate: int) -> Embedded:
        try:
            answer = _Answer.model_validate_json(body)
        except ValidationError as error:
            detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, detail["loc"])) or "the answer"
            raise EmbeddingFailedError(
                f"{self._server} sent no embeddings: {where}: {detail['msg']}"
            ) from None
        rows = sorted(answer.data, key=lambda row: row.index)
        if [row.index for row in rows] != list(range(len(rows))):
            raise EmbeddingFailedError(f"{self._server} sent vectors with wrong indexes")
        used = estimate if answer.usage is None else answer.usage.prompt_tokens
        return Embedded([array("f", row.embedding) for row in rows], used)


class _Row(BaseModel):
    index: int
    embedding: list[float]


class _Usage(BaseModel):
    prompt_tokens: int


class _Answer(BaseModel):
    data: list[_Row]
    usage: _Usage | None = None


def open_openai(options: EmbedderOptions) -> OpenAIEmbedder:
    """A client of the server; nothing is sent yet.

    Raises:
        EmbedderError: There is no key for OpenAI's own server.
    """
    key = _key_of(options)
    keep_requests_out_of_logs()
    try:
        client = openai.AsyncOpenAI(
            api_key=key, base_url=options.base_url, max_retries=0, timeout=options.timeout_s
        )
    except (openai.OpenAIError, ValueError) as error:
        raise EmbedderError(f"the embedder openai cannot be opened: {error}") from None
    return OpenAIEmbedder(client, options, Server("embedding", str(client.base_url), key))


def _key_of(options: EmbedderOptions) -> str:
    given = options.api_key
    if given is not None:
        return given if isinstance(given, str) else given.get_secret_value()
    if options.base_url is not None:
        return "none"  # many servers of one's own ask for none; OpenAI's key is not for them
    key = os.environ.get("OPENAI_API_KEY")
    if not key:
        raise EmbedderError(
            "the embedder openai needs an API key: set OPENAI_API_KEY, or the address of a server "
            "that needs none"
        )
    return key
