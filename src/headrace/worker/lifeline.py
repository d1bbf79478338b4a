"""What ties a worker process to its supervisor: one socket, and what is said over it.

The worker says when it is ready and when it ends in good order, so that an exit that nobody meant,
with whatever code, is told from one that was. The end of the file tells it that its parent is gone.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from datetime import timedelta

VARIABLE: Final = "_HEADRACE_LIFELINE"
"""Number of the descriptor that a supervised process inherits."""
READY: Final = b"r"
ENDED: Final = b"e"


class Lifeline:
    """A worker's end of the socket."""

    def __init__(self, line: socket.socket) -> None:
        """Take over `line`."""
        self._line = line

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> Self | None:
        """The line of a process that was started by a supervisor; None for any other.

        Steps' own child processes do not inherit it.
        """
        descriptor = environment.pop(VARIABLE, None)
        if descriptor is None:
            return None
        line = socket.socket(fileno=int(descriptor))
        line.set_inheritable(False)
        return cls(line)

    def say_ready(self) -> None:
        """Say that the start is over: from now on an unexpected end leads to a new process."""
        self._say(READY)

    def say_ended(self) -> None:
        """Say that the exit that follows is meant."""
        self._say(ENDED)

    def end_with_parent(self, patience: timedelta) -> None:
        """When the supervisor dies, end in good order (SIGTERM), and after `patience` at once."""
        threading.Thread(
            target=self._watch,
            args=(patience.total_seconds(),),
            name="headrace-lifeline",
            daemon=True,
        ).start()

    def _watch(self, patience_s: float) -> None:
        with suppress(OSError):
            while self._line.recv(1):  # the supervisor says nothing; it only ends
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(patience_s)
        os._exit(128 + signal.SIGTERM)

    def _say(self, word: bytes) -> None:
        with suppress(OSError):  # the supervisor is gone
            self._line.send(word)
