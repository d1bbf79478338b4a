"""Bytes to a descriptor from a thread of its own, so that a stuck reader never stops the engine."""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import sys
import threading
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MOST_WAITING: Final = 4_096
"""Lines that may wait for a slow reader; further ones are dropped and counted."""
_WHOLE: Final = select.PIPE_BUF if hasattr(select, "PIPE_BUF") else 512
"""Bytes that a pipe takes in one piece: processes that share it cannot tear such lines apart."""
_WHOLE_IN_FILE: Final = 256 * 1024
"""The same of a file, which takes any number: each piece costs the engine's thread a change."""
_GATHER_S: Final = (
    0.01  # one wake-up for all lines of 10 ms; the first one after a rest goes at once
)
_RETRY_S: Final = 0.5


class LineWriter:
    """Writes lines in order. `write` never waits and never raises, whatever becomes of the reader.

    A reader that is gone (a closed pipe) ends the writing for good; a full disk is tried again.
    """

    def __init__(self, stream: TextIO | None, *, lost: Callable[[int], None] | None = None) -> None:
        """Start the thread.

        Args:
            stream: Where the lines go, the standard output by default; its descriptor is
                duplicated, so closing the stream later does no harm.
            lost: Told on the writer's thread how many lines were dropped, once writing works again.
        """
        self._queue: SimpleQueue[bytes | threading.Event] = SimpleQueue()
        self._descriptor, self._put = _destination(stream)
        self._whole = _WHOLE_IN_FILE if _is_file(self._descriptor) else _WHOLE
        self._on_lost = lost
        self._lost = 0
        self._counting = threading.Lock()
        self._hurry = threading.Event()
        self._closed = self._put is None
        self._thread = threading.Thread(target=self._run, name="headrace-log", daemon=True)
        if not self._closed:
            self._thread.start()

    def write(self, line: bytes) -> None:
        """Take one line, its newline included. It is dropped and counted when too many wait."""
        if self._closed:
            return
        if self._queue.qsize() < MOST_WAITING or threading.get_ident() == self._thread.ident:
            self._queue.put(line)
            return
        with self._counting:
            self._lost += 1

    def flush(self, timeout: float = 1.0) -> bool:
        """Wait until all lines so far are written; False when that takes over `timeout` seconds."""
        if self._closed or not self._thread.is_alive():
            return not self._queue.qsize()
        written = threading.Event()
        self._queue.put(written)
        self._hurry.set()
        return written.wait(timeout)

    def close(self, timeout: float = 1.0) -> None:
        """Write what waits, for at most `timeout` seconds, then take no more lines."""
        self.flush(timeout)
        self._closed = True
        self._hurry.set()
        self._queue.put(threading.Event())
        if self._thread.is_alive():
            self._thread.join(timeout)
        if self._descriptor is not None and not self._thread.is_alive():
            os.close(self._descriptor)
            self._descriptor = None

    def _run(self) -> None:
        while not self._closed:
            waiting = [self._queue.get()]
            with suppress(Empty):
                while True:
                    waiting.append(self._queue.get_nowait())
            self._write_all(waiting)
            self._report_lost()
            self._rest(_GATHER_S)

    def _write_all(self, waiting: Iterable[bytes | threading.Event]) -> None:
        for piece in _pieces(waiting, self._whole):
            if isinstance(piece, threading.Event):
                piece.set()
            elif not self._closed:
                self._write_piece(piece)

    def _write_piece(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest and not self._closed and self._put is not None:
            try:
                rest = rest[self._put(rest) :]
            except BlockingIOError:
                self._await_room()
            except OSError as error:
                if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                    self._rest(_RETRY_S)
                else:
                    self._closed = True
            except ValueError:  # the stream was closed
                self._closed = True

    def _rest(self, seconds: float) -> None:
        self._hurry.wait(seconds)
        self._hurry.clear()

    def _await_room(self) -> None:
        if self._descriptor is not None:
            select.select([], [self._descriptor], [], _RETRY_S)

    def _report_lost(self) -> None:
        with self._counting:
            lost, self._lost = self._lost, 0
        if lost and self._on_lost is not None and not self._closed:
            self._on_lost(lost)


def _destination(
    stream: TextIO | None,
) -> tuple[int | None, Callable[[memoryview], int] | None]:
    """Return a descriptor of our own and how to write; None where there is nothing to write to."""
    stream = stream if stream is not None else sys.stdout
    if stream is None:  # a process without standard output
        return None, None
    try:
        stream.flush()
        descriptor = os.dup(stream.fileno())
    except io.UnsupportedOperation:  # a stream in memory
        return None, partial(_put_text, stream)
    except (OSError, ValueError):  # already closed
        return None, None
    return descriptor, partial(os.write, descriptor)


def _put_text(stream: TextIO, piece: memoryview) -> int:
    stream.write(str(piece, "utf-8", "replace"))
    stream.flush()
    return len(piece)


def _is_file(descriptor: int | None) -> bool:
    return descriptor is not None and stat.S_ISREG(os.fstat(descriptor).st_mode)


def _pieces(
    waiting: Iterable[bytes | threading.Event], whole: int
) -> Iterator[bytes | threading.Event]:
    """Join whole lines into pieces that a pipe takes at once."""
    lines: list[bytes] = []
    size = 0
    for item in waiting:
        if isinstance(item, threading.Event) or size + len(item) > whole:
            yield b"".join(lines)
            lines, size = [], 0
        if isinstance(item, threading.Event):
            yield item
        else:
            lines.append(item)
            size += len(item)
    yield b"".join(lines)
