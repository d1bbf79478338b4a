"""The processes of the example: an API and two workers, which end with it."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
START_S = 60.0
PORTS = range(20_000, 32_000)


@dataclass
class Stage:
    """Runs `headrace` commands in the folder of the example.

    Args:
        logs: Folder for what the processes say.
        broker: The environment that leads to Pub/Sub.
    """

    logs: Path
    broker: Mapping[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.environment = {
            **os.environ,
            **self.broker,
            "HEADRACE_DOORBELL": "pubsub",
            "HEADRACE_SIGNING_KEYS": secrets.token_hex(32),
            # One address sends thousands of requests here.
            "HEADRACE_RATE_SUBMIT": "0",
            "HEADRACE_RATE_HEALTH": "0",
        }

    def ask(self, *command: str) -> str:
        """What a command prints; it has to succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "headrace", *command],
            cwd=HERE,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"headrace {command[0]}: {done.stderr.strip()}")
        return done.stdout.strip()

    def start(self, name: str, *command: str, port: int, **variables: str) -> str:
        """Start a process that stays, and wait until it is ready; its address."""
        with (self.logs / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "headrace", *command],
                cwd=HERE,
                env={**self.environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        address = f"http://127.0.0.1:{port}"
        give_up_at = time.monotonic() + START_S
        while not _is_ready(address):
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise SystemExit(f"{name} did not start; its log is in {self.logs}")
            time.sleep(0.1)
        return address

    def stop(self) -> None:
        """End all processes in good order."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/ready", timeout=5) as answer:  # noqa: S310 - ours
            return bool(answer.status == 200)  # noqa: PLR2004 - OK
    except (urllib.error.URLError, OSError):
        return False


def free_ports(number: int) -> list[int]:
    """Ports of this machine that nobody uses now, nor is given who asks the system for any."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
        if len(found) == number:
            break
    return found
