"""Cancels the children of jobs that ended without them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from headrace.store.children import cancel_orphans, orphans_of

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from headrace.store.pool import Pool


class Orphans:
    """Those of the jobs that ended in one worker's hands.

    What is not reached, because the worker ends or the database is away, is left to the janitor.

    Args:
        pool: For a connection.
        closing: For so long a look that is under way may go on when the worker ends.
    """

    def __init__(self, pool: Pool, *, closing: timedelta) -> None:
        self._pool, self._closing_s = pool, closing.total_seconds()
        self._parents: set[UUID] = set()
        self._task: asyncio.Task[None] | None = None

    def look_for(self, parent: UUID) -> None:
        """A job with children has failed or was cancelled, durably."""
        self._parents.add(parent)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._cancel(), name="children of ended jobs")

    async def _cancel(self) -> None:
        with contextlib.suppress(Exception):
            while self._parents:
                parents = list(self._parents)
                self._parents.clear()
                async with self._pool.acquire() as connection:
                    await cancel_orphans(connection, await orphans_of(connection, parents))

    async def close(self) -> None:
        """Look for no more."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=self._closing_s)
            self._task.cancel()
            await asyncio.wait([self._task])
