"""Whether the event loop of a process goes round."""

from __future__ import annotations

import asyncio
from typing import Final

TICK_S: Final = 1.0
OLDEST_S: Final = 30.0
"""A loop whose last tick is older stands still."""


class Pulse:
    """Ticks on the loop that starts it."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0

    def start(self) -> None:
        """Begin to tick."""
        self._loop = asyncio.get_running_loop()
        self._tick()

    def stop(self) -> None:
        """Tick no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop = None

    @property
    def age_s(self) -> float | None:
        """Seconds since the last tick; None where nothing ticks."""
        return None if self._loop is None else self._loop.time() - self._at

    @property
    def beats(self) -> bool:
        """Whether the last tick is recent."""
        age = self.age_s
        return age is not None and age <= OLDEST_S

    def _tick(self) -> None:
        if self._loop is not None:
            self._at = self._loop.time()
            self._timer = self._loop.call_later(TICK_S, self._tick)
