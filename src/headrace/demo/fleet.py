"""The demo's workers: real processes, one of which is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from headrace.demo.embedder import CHOICE, FOLDER_VARIABLE
from headrace.worker.lifeline import VARIABLE

APP: Final = "headrace.pipelines.documents:app"
CONCURRENCY: Final = 2
"""Some files wait when the worker is killed, and the next one has what to do at once."""
BATCH_TOKENS: Final = 4_000
"""Estimated tokens in a batch, half of what is usual: there are more of them to be seen."""
PATIENCE_S: Final = 10.0
"""For how long a worker may take to end in good order."""


@dataclass(slots=True)
class WorkerProcess:
    """One `headrace worker`, which ends when this process ends, however that may be."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]
    line: socket.socket

    @classmethod
    def start(cls, name: str, database: str, folder: Path) -> Self:
        """Start a worker.

        Args:
            name: What the demo calls it.
            database: Address of the database.
            folder: Where its log and that of its embedder are.
        """
        ours, theirs = socket.socketpair()
        log = folder / f"worker-{name.lower()}.log"
        environment = {
            **os.environ,
            "HEADRACE_DATABASE_URL": database,
            "HEADRACE_DOCUMENTS_EMBEDDER": CHOICE,
            "HEADRACE_DOCUMENTS_BATCH_TOKENS": str(BATCH_TOKENS),
            FOLDER_VARIABLE: str(folder),
            VARIABLE: str(theirs.fileno()),
        }
        command = [sys.executable, "-m", "headrace", "worker", APP, "--no-supervisor"]
        command += ["--concurrency", str(CONCURRENCY)]
        with theirs, log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
            )
        return cls(name, log, process, ours)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self.process.poll() is not None

    def kill(self) -> datetime:
        """Kill it with SIGKILL, which it can neither see nor prepare for; the time of that."""
        at = datetime.now(UTC)
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
        return at

    def stop(self, *, at_once: bool) -> None:
        """End it, if it runs: in good order, or at once."""
        if not self.has_ended:
            self.process.kill() if at_once else self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.line.close()

    def last_words(self) -> str:
        """The last line of its log, for a run that went wrong."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"
