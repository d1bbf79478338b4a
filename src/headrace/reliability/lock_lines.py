"""Those of a process who wait for locks: a line for each key, whose first alone asks for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.reliability.hub import Hub, Unlisten

Place = tuple[str, str]
"""A lock: its tenant and key."""


@dataclass(eq=False, slots=True)
class Line:
    """Those who wait for one key.

    Attributes:
        bell: Rung when the lock may be free, from `listen` on.
        waiting: Each one's turn, in the order in which they came.
    """

    hub: Hub
    place: Place
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    unlisten: Unlisten | None = None

    def listen(self) -> bool:
        """Let the bell ring; False where it does already."""
        if self.unlisten is not None:
            return False
        bell = self.bell
        self.unlisten = self.hub.listen("lock", ":".join(self.place), lambda _text: bell.set())
        return True


class Lines:
    """The lines of a process; each is there while somebody stands in it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lines: dict[Place, Line] = {}

    @contextlib.asynccontextmanager
    async def turn(self, place: Place) -> AsyncIterator[Line]:
        """Stand in line; the block begins when all who came before have gone."""
        line = self._lines.get(place)
        if line is None:
            line = self._lines[place] = Line(self._hub, place)
        mine = asyncio.get_running_loop().create_future()
        line.waiting.append(mine)
        if line.waiting[0] is mine:
            mine.set_result(None)
        try:
            await asyncio.shield(mine)
            yield line
        finally:
            self._leave(place, line, mine)

    def _leave(self, place: Place, line: Line, mine: asyncio.Future[None]) -> None:
        was_first = line.waiting[0] is mine
        line.waiting.remove(mine)
        mine.cancel()
        if not line.waiting:
            self._lines.pop(place, None)
            if line.unlisten is not None:
                line.unlisten()
        elif was_first:
            line.waiting[0].set_result(None)
