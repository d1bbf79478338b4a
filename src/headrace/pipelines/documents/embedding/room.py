"""Room for a call under the limit of an embedder, if it has one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from headrace import RetryAfter
from headrace.pipelines.documents.embedding.space import Embedder

if TYPE_CHECKING:
    from headrace import RateLimit


class Room:
    """What a call takes; without a limit nobody counts it."""

    tokens: int | None = None

    def settle(self, *, tokens: int) -> None:
        """Say how many tokens the call used."""
        self.tokens = tokens


@asynccontextmanager
async def room_for(embedder: Embedder, texts: Sequence[str]) -> AsyncIterator[Room]:
    """Room for one call that embeds texts, inside a step.

    A server that asks to be left alone holds the calls of all workers back.

    Raises:
        RateLimitedError: There is none within a second.
    """
    limit: RateLimit | None = getattr(embedder, "limit", None)
    room = Room()
    if limit is None:
        yield room
        return
    async with limit.reserve(tokens=sum(map(embedder.count_tokens, texts))) as call:
        try:
            yield room
        except RetryAfter as error:
            call.hold(error.delay)
            raise
        finally:
            call.settle(tokens=room.tokens)
