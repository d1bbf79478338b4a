"""What the tests of logs share: an event, forged text, and how to read what was written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from headrace.telemetry.job_events import JobStarted
from headrace.telemetry.logs import Logs

JOB = UUID("0192f1e2-1234-7abc-8def-001122334455")
FORGED = 'nothing\n{"severity":"ERROR","message":"forged"}\r\n\x1b[31mred\u2028\x85\x9b2J'
KEY = "sk-proj-Zm9vYmFyYmF6cXV4MTIzNDU2"
STARTED = JobStarted(job_id=JOB, run=1, pipeline="echo", token=7, queue_latency_ms=1.5, lease_s=30)


class Output:
    """What was written, as text."""

    def __init__(self, path: Path, logs: Logs) -> None:
        self._path, self.logs = path, logs

    def text(self) -> str:
        assert self.logs.flush()
        return self._path.read_text()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]

    def line(self) -> dict[str, Any]:
        (line,) = self.lines()
        return line


def fail(text: str) -> None:
    raise ValueError(text)


def printed_by(code: str) -> list[dict[str, Any]]:
    """The lines of a process that runs this code, and says nothing on standard error."""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]
