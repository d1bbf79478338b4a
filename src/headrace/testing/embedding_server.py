"""A fake of OpenAI's embeddings server, over real HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

from headrace.testing.fake_server import Asked, FakeServer, refusal
from headrace.testing.http_threads import Reply

MOST_TEXTS: Final = 256
_CENTRE: Final = 127.5  # of the values of a byte


class VectorFault(StrEnum):
    """What can be wrong with an answer of status 200; ask for it with `fail_next`."""

    COUNT = "count"
    """One vector less than texts."""
    DIMENSION = "dimension"
    """Each vector has one number less."""
    NOT_A_NUMBER = "not_a_number"
    """The last number of the last vector is NaN."""
    SHUFFLED = "shuffled"
    """The vectors come in another order; `index` still says which is whose. Not an error."""
    INDEX = "index"
    """Every vector has the index 0."""


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """A request that was made.

    Attributes:
        texts: What was to be embedded.
        status: What it was answered with.
        fault: What went wrong on purpose.
    """

    texts: tuple[str, ...]
    status: int
    fault: StrEnum | None

    @property
    def is_good(self) -> bool:
        """Whether the right vectors were sent."""
        return self.status == HTTPStatus.OK and self.fault in (None, VectorFault.SHUFFLED)


class EmbeddingServer(FakeServer):
    """Speaks `POST /v1/embeddings`, floats and base64; a vector is a hash of its text.

    with EmbeddingServer() as server:
        server.fail_next(Fault.UNAVAILABLE, times=2)
        ...  # a client of server.base_url with the key server.api_key
        assert server.embedded == ["first text", "second text"]

    Attributes:
        calls: Every request so far, in the order of their answers.
    """

    paths = ("/v1/embeddings",)

    def __init__(
        self,
        *,
        model: str = "text-embedding-3-small",
        dimension: int = 1_536,
        api_key: str | None = "test-key",
        requests_per_second: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A server that does not listen yet.

        Args:
            model: The one that it has; others are answered with status 404.
            dimension: Numbers in a vector, unless the request says `dimensions`.
            api_key: What callers must send as `Authorization: Bearer ...`; None asks for nothing.
            requests_per_second: More of them in any second are refused with status 429.
            clock: Seconds, for the rate limit.
        """
        super().__init__(api_key=api_key, requests_per_second=requests_per_second, clock=clock)
        self.model, self.dimension = model, dimension
        self.calls: list[EmbeddingCall] = []

    @property
    def embedded(self) -> list[str]:
        """The texts of all calls that got their vectors, in order, as often as they did."""
        return [text for call in self.calls if call.is_good for text in call.texts]

    def answer(self, asked: Asked, fault: StrEnum | None) -> Reply:
        """The vectors, as OpenAI answers."""
        data = asked.data
        texts = _texts_of(data)
        if data.get("model") != self.model:
            message = f"The model {data.get('model')!r} does not exist"
            raise refusal(404, message, "model_not_found")
        encoding = data.get("encoding_format", "float")
        if encoding not in ("float", "base64"):
            raise refusal(400, "encoding_format is float or base64", "invalid_request_error")
        vectors = _vectors(texts, self._dimension_of(data), fault)
        rows: list[dict[str, Any]] = [
            {
                "object": "embedding",
                "index": index,
                "embedding": _base64(vector) if encoding == "base64" else vector,
            }
            for index, vector in enumerate(vectors)
        ]
        _spoil(rows, fault)
        tokens = sum(-(-len(text) // 4) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        answer = {"object": "list", "data": rows, "model": self.model, "usage": usage}
        return Reply(200, json.dumps(answer).encode())

    def note(self, asked: Asked, reply: Reply, fault: StrEnum | None) -> None:
        """Add a request to `calls`."""
        given = asked.data.get("input")
        texts = given if isinstance(given, list) else [given]
        self.calls.append(EmbeddingCall(tuple(map(str, texts)), reply.status, fault))

    def _dimension_of(self, data: dict[str, Any]) -> int:
        dimension = data.get("dimensions", self.dimension)
        if not isinstance(dimension, int) or not 1 <= dimension <= self.dimension:
            message = f"dimensions is a number from 1 to {self.dimension}"
            raise refusal(400, message, "invalid_request_error")
        return dimension


def hash_vector(text: str, dimension: int) -> list[float]:
    """A vector of length 1 that depends on the text alone; no two texts are alike."""
    digest = hashlib.shake_256(text.encode()).digest(dimension)
    length = math.hypot(*(byte - _CENTRE for byte in digest))
    return [(byte - _CENTRE) / length for byte in digest]


def _texts_of(data: dict[str, Any]) -> list[str]:
    given = data.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise refusal(400, "input is a text or a list of texts", "invalid_request_error")
    if not all(isinstance(text, str) and text for text in texts):
        raise refusal(400, "input cannot hold an empty text", "invalid_request_error")
    if len(texts) > MOST_TEXTS:
        message = f"input takes at most {MOST_TEXTS} texts, not {len(texts)}"
        raise refusal(400, message, "invalid_request_error")
    return texts


def _vectors(texts: list[str], dimension: int, fault: StrEnum | None) -> list[list[float]]:
    if fault is VectorFault.DIMENSION:
        dimension -= 1
    vectors = [hash_vector(text, dimension) for text in texts]
    if fault is VectorFault.NOT_A_NUMBER:
        vectors[-1][-1] = math.nan
    return vectors


def _spoil(rows: list[dict[str, Any]], fault: StrEnum | None) -> None:
    match fault:
        case VectorFault.COUNT:
            rows.pop()
        case VectorFault.SHUFFLED:
            rows.reverse()
        case VectorFault.INDEX:
            for row in rows:
                row["index"] = 0
        case _:
            pass


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
