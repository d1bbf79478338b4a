"""`headrace dev` in a process of its own: a worker, and the API that serves the links."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

HERE = Path(__file__).parent
START_S = 60.0
PORTS = range(20_000, 32_000)


class Stage:
    """Runs inside a `with` block; `kill` and `start` replace the process.

    Args:
        log: File for what it says.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._port = _free_port()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "headrace", "dev", "shop:app"],
                cwd=HERE,
                env={**os.environ, "HEADRACE_PORT": str(self._port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        give_up_at = time.monotonic() + START_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                said = self._log.read_text(errors="replace").strip() or "nothing"
                raise SystemExit(f"headrace dev did not start; it said: {said.splitlines()[-1]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _is_ready(self) -> bool:
        address = f"http://127.0.0.1:{self._port}/ready"
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return bool(answer.status == 200)  # noqa: PLR2004 - OK
        except (urllib.error.URLError, OSError):
            return False


def _free_port() -> int:
    """A port that nobody uses now, nor is given who asks the system for any."""
    while True:
        port = secrets.choice(PORTS)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
