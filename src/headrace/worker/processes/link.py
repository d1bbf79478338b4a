"""A step process's end of its line to the worker."""

from __future__ import annotations

import itertools
import os
import queue
import select
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

from headrace.worker.processes.raised import read_error
from headrace.worker.processes.system import MEMORY_EXIT
from headrace.worker.processes.wire import Frame, pack, receive_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOK_S: Final = 0.2
"""How long a progress may wait to be sent."""

Note = tuple[int, int | None, str]
"""What a step says of its progress."""


class Link:
    """Sends frames from any thread, and reads them in a thread of its own.

    Attributes:
        calls: What the worker wants to be run.
        is_cancelled: Whether the step should stop.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._sending = threading.Lock()
        self._replies: dict[int, queue.SimpleQueue[Frame]] = {}
        self._numbers = itertools.count()
        self._note: tuple[int, Note] | None = None
        self.calls: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self.is_cancelled = False

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._read, name="headrace-line", daemon=True).start()

    def send(self, frame: Frame) -> None:
        """Send a frame; waits while the worker reads slowly.

        Raises:
            OutputTooLargeError: A text of it is too large; nothing was sent.
        """
        chunks = pack(frame)
        with self._sending:
            for chunk in chunks:
                self._line.sendall(chunk)

    def ask(self, what: str, fields: Mapping[str, Any], *texts: str) -> Frame:
        """Let the worker do something, and wait for it.

        Raises:
            Exception: What was raised there.
        """
        number = next(self._numbers)
        answer: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._replies[number] = answer
        try:
            self.send(Frame(what, {"number": number, **fields}, texts))
            reply = answer.get()
        finally:
            del self._replies[number]
        if reply.what == "raised":
            raise read_error(reply.fields["error"])
        return reply

    def note(self, call: int, note: Note) -> None:
        """Show progress soon; a later one replaces it. Never waits."""
        self._note = call, note

    def _read(self) -> None:
        try:
            while True:
                ready, _, _ = select.select([self._line], [], [], LOOK_S)
                self._send_note()
                if ready:
                    self._take(receive_frame(self._line))
        except MemoryError:
            os._exit(MEMORY_EXIT)
        except BaseException:  # noqa: BLE001 - the worker is gone, or nothing can be heard of it
            # The whole group: what the step has started ends with it.
            os.killpg(0, signal.SIGKILL)

    def _take(self, frame: Frame) -> None:
        if frame.what == "cancel":
            self.is_cancelled = True
        elif frame.what in {"call", "stop"}:
            self.is_cancelled = False
            self.calls.put(frame)
        else:
            reply = self._replies.get(frame.fields["number"])
            if reply is not None:
                reply.put(frame)

    def _send_note(self) -> None:
        last, self._note = self._note, None
        if last is not None:
            call, note = last
            self.send(Frame("progress", {"call": call, "note": note}))
