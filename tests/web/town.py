"""A running API with something of one user's in it for every route, and nothing that runs."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from headrace.errors import ConflictError
from tests.web.serving import Api, serve
from tests.web.whole import Stock, fill, whole_engine

LARGEST = 100_000
"""Bytes of a file."""


@dataclass
class Town:
    """A running API, and what one user has in it."""

    api: Api
    stock: Stock

    def first(self) -> dict[str, object]:
        """What parameters of paths name."""
        return {
            "job_id": self.stock.jobs[0],
            "another_id": self.stock.jobs[1],
            "document_id": self.stock.documents[0],
            "webhook_id": self.stock.webhooks[0],
            "name": "fill",
            "schema": "IdeaInput",
        }


@contextlib.asynccontextmanager
async def open_town(server: str) -> AsyncIterator[Town]:
    """A town, inside an `async with` block.

    Args:
        server: One that has pgvector.
    """
    engine = whole_engine(server, max_upload_bytes=LARGEST)
    async with engine, serve(engine) as api:
        stock = await fill(api)
        for job in stock.jobs:  # or those that would run for ever hold up what the tests submit
            with contextlib.suppress(ConflictError):
                await engine.app.cancel(job)
        yield Town(api, stock)
