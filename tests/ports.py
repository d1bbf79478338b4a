"""Ports for programs that have to be told which one to take."""

from __future__ import annotations

import contextlib
import secrets
import socket
from typing import Final

CHOICE: Final = range(20_000, 32_000)
"""Below those that a system gives to who asks for any: another test would get one of them while the
program that it is meant for starts."""


def free_port() -> int:
    """A port that nobody has now, and nobody is given before it is taken."""
    while True:
        port = secrets.choice(CHOICE)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
