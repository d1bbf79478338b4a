"""A transport that sends what is written in one go: headers and body leave as one packet.

The server writes them one after the other, each with a call to the system that costs as much as
looking at the body. Here they wait for the end of the loop's turn, and leave together.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LARGE: Final = 64 * 1024
"""Bytes that are not held back."""
LINGER_S: Final = 2.0
"""For so long it is listened to a client that is still sending when it has its answer."""


class Gathering(asyncio.Transport):
    """Stands before the transport of a connection.

    Args:
        inner: That transport.
        loop: Its loop.
        is_sending: Tells whether the client has not sent all of what was answered.
    """

    def __init__(
        self,
        inner: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        is_sending: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._inner, self._loop, self._is_sending = inner, loop, is_sending
        self._parts: list[bytes] = []
        self._given = 0
        self._lingering: asyncio.TimerHandle | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send with whatever else is written in this turn of the loop."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(bytes(data))
        if len(data) > LARGE:
            self._flush()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._inner.is_closing():
            data = b"".join(parts)
            self._given += len(data)
            self._inner.write(data)

    def linger(self) -> None:
        """Close when all is sent and the client has ended, or after 2 s; what still comes is lost.

        Closed with bytes that nobody has read, the system would tell the client that its connection
        is broken, and the answer that says why would be lost.
        """
        self._flush()
        if self._lingering is not None or self._inner.is_closing():
            return
        self._lingering = self._loop.call_later(LINGER_S, self._inner.close)
        if self._inner.can_write_eof():
            self._inner.write_eof()
        self._inner.resume_reading()

    @property
    def lingers(self) -> bool:
        """Whether what comes is no longer of use."""
        return self._lingering is not None

    def close(self) -> None:
        """Close when all is sent; at first only linger where the client is still sending."""
        if not self.lingers and self._is_sending():
            self.linger()
            return
        self._flush()
        self._end_lingering()
        self._inner.close()

    def abort(self) -> None:
        """Close at once."""
        self._parts.clear()
        self._end_lingering()
        self._inner.abort()

    def lost(self) -> None:
        """The connection is gone."""
        self._end_lingering()

    def _end_lingering(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()

    def is_closing(self) -> bool:
        """Whether it closes."""
        return self.lingers or self._inner.is_closing()

    def get_extra_info(self, name: str, default: object = None) -> object:
        """As that of the transport."""
        return self._inner.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._inner.resume_reading()

    @property
    def sent(self) -> int:
        """Bytes that the system has taken so far."""
        return self._given - self._inner.get_write_buffer_size()

    def get_write_buffer_size(self) -> int:
        """Bytes that are not sent."""
        return self._inner.get_write_buffer_size() + sum(map(len, self._parts))
