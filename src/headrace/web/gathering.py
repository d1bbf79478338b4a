"""A transport that sends what is written in one go: headers and body leave as one packet.

The server writes them one after the other, each with a call to the system that costs as much as
looking at the body. Here they wait for the end of the loop's turn, and leave together.
"""

from __future__ import annotations

import asyncio
from typing import Final

LARGE: Final = 64 * 1024
"""Bytes that are not held back."""


class Gathering(asyncio.Transport):
    """Stands before the transport of a connection.

    Args:
        inner: That transport.
        loop: Its loop.
    """

    def __init__(self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._inner, self._loop = inner, loop
        self._parts: list[bytes] = []
        self._given = 0

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

    def close(self) -> None:
        """Close when all is sent."""
        self._flush()
        self._inner.close()

    def abort(self) -> None:
        """Close at once."""
        self._parts.clear()
        self._inner.abort()

    def is_closing(self) -> bool:
        """Whether it closes."""
        return self._inner.is_closing()

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
