"""Two questions about a server: does it open sessions, and which process is it."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Final

PROTOCOL_3_0: Final = 196_608
LOGIN: Final = b"user\0postgres\0database\0postgres\0application_name\0headrace ping\0\0"
READY_FOR_QUERY: Final = b"Z"
ERROR_RESPONSE: Final = b"E"


def session_opens(socket_path: str, timeout_s: float) -> bool:
    """True when the server behind `socket_path` makes a session ready for queries in time.

    A process id proves nothing: it may be another program's, or of a server that hangs. This takes
    no driver, so it also serves before an event loop runs.
    """
    deadline = time.monotonic() + timeout_s
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(socket_path)
            connection.sendall(struct.pack("!ii", len(LOGIN) + 8, PROTOCOL_3_0) + LOGIN)
            while True:
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
                kind, length = struct.unpack("!ci", _receive(connection, 5))
                _receive(connection, length - 4)
                if kind in (READY_FOR_QUERY, ERROR_RESPONSE):
                    connection.sendall(struct.pack("!ci", b"X", 4))
                    return bool(kind == READY_FOR_QUERY)
    except OSError:
        return False


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionResetError
        data += part
    return data


def find_server_process(data: Path) -> int | None:
    """The process id of the server over the cluster `data`, if it runs.

    When postmaster.pid names a process that is another program by now (numbers come again after
    a restart of the machine or the container), the file is removed: the server would believe it.
    """
    pid_file = data / "postmaster.pid"
    try:
        process = int(pid_file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    words = _command_line(process)
    if words is None:
        return None
    if words and Path(words[0]).name == "postgres" and str(data) in words:
        return process
    pid_file.unlink(missing_ok=True)
    return None


def _command_line(process: int) -> list[str] | None:
    """The words that `process` was started with; empty for a zombie, None when there is none."""
    if Path("/proc/self").exists():
        try:
            return [w for w in Path(f"/proc/{process}/cmdline").read_text().split("\0") if w]
        except (FileNotFoundError, ProcessLookupError):
            return None
    listed = subprocess.run(
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(process)],
        check=False,
        capture_output=True,
        text=True,
        timeout=10,
    )
    return listed.stdout.split() if listed.returncode == 0 else None
